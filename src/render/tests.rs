mod documented;

use super::*;
use crate::config::model::{Format, RequireTmpfs, Variable};
use leasehold_core::{Field, Shape};
use std::path::PathBuf;

fn output() -> Output {
    Output {
        directory: PathBuf::from("/out"),
        mode: 0o440,
        owner: None,
        group: None,
        require_tmpfs: RequireTmpfs::Yes,
    }
}

fn secrets() -> Secrets {
    let mut db = Fields::new();
    db.insert_text("username", "v-web-1".to_owned());
    db.insert_text("password", "canary/p@ss 'w\"ord\\\n".to_owned());
    db.insert_text("my-key", "dashed".to_owned());
    db.insert_json("port", serde_json::json!(5432));
    db.insert_json("tls", serde_json::json!(true));
    db.insert_json("options", serde_json::json!({ "pool": { "max": 5 }, "hosts": ["a", "b"], "none": null }));
    db.insert("blob", Field { bytes: SecretBytes::new(vec![0xff, 0x00, 0x10]), shape: Shape::Binary });
    Secrets::from([("db".to_owned(), Some(Arc::new(db))), ("api".to_owned(), None)])
}

fn file(content: Content) -> File {
    File { content, mode: None, owner: None, group: None, place: "leasehold.yaml:7".to_owned() }
}

fn template(source: &str) -> Result<String, String> {
    let files =
        Files::Named(BTreeMap::from([("db.env".to_owned(), file(Content::Template(source.to_owned())))]));
    let renderer =
        Renderer::new(&files, &Paths::new(&files, &output())).map_err(|errors| errors[0].to_string())?;
    let rendered = renderer.render(&secrets(), &output()).map_err(|error| {
        let debug = format!("{error:?}");
        assert!(!debug.contains("canary") && !error.to_string().contains("canary"), "{debug}");
        error.to_string()
    })?;
    Ok(rendered["db.env"].bytes.expose_text().unwrap().to_owned())
}

fn formatted(format: Format, fields: Fields) -> Result<String, String> {
    let content = Content::Format { secret: "db".to_owned(), format };
    let files = Files::Named(BTreeMap::from([("all".to_owned(), file(content))]));
    let secrets = Secrets::from([("db".to_owned(), Some(Arc::new(fields)))]);
    let rendered = Renderer::new(&files, &Paths::default())
        .unwrap()
        .render(&secrets, &output())
        .map_err(|error| error.to_string())?;
    Ok(rendered["all"].bytes.expose_text().unwrap().to_owned())
}

#[test]
fn a_template_sees_fields_as_they_are_and_keeps_its_last_line_break() {
    assert_eq!(
        template("u={{ db.username }} p={{ db.port + 1 }} t={{ db.tls }} k={{ db[\"my-key\"] }}\n\n")
            .unwrap(),
        "u=v-web-1 p=5433 t=true k=dashed\n\n"
    );
    assert_eq!(template("{{ db.password }}").unwrap(), "canary/p@ss 'w\"ord\\\n");
    assert_eq!(template("<{{ db.password }}> & x.html").unwrap(), "<canary/p@ss 'w\"ord\\\n> & x.html");
    assert_eq!(
        template("{{ db.options.pool.max }} {{ db.options.hosts[1] }} {% for h in db.options.hosts %}{{ h }};{% endfor %}")
            .unwrap(),
        "5 b a;b;"
    );
    assert_eq!(
        template("{% for name in db %}{{ name }} {% endfor %}").unwrap(),
        "blob my-key options password port tls username "
    );
}

#[test]
fn what_is_not_there_can_be_asked_for() {
    assert_eq!(template("{% if api %}yes{% else %}left out{% endif %}").unwrap(), "left out");
    assert_eq!(template("{{ api is none }}").unwrap(), "true");
    assert_eq!(template("{{ db.nothing | default('x') }}").unwrap(), "x");
    assert_eq!(template("{% if db.nothing is defined %}a{% else %}b{% endif %}").unwrap(), "b");
}

#[test]
fn filters_make_values_fit_where_they_go() {
    assert_eq!(template("{{ db.password | urlencode }}").unwrap(), "canary%2Fp%40ss%20%27w%22ord%5C%0A");
    assert_eq!(template("{{ db.port | urlencode }}").unwrap(), "5432");
    assert_eq!(
        template("{{ db.blob | b64encode }} {{ db.username | b64encode }}").unwrap(),
        "/wAQ di13ZWItMQ=="
    );
    let json = template("{{ db.password | tojson }}").unwrap();
    assert_eq!(serde_json::from_str::<String>(&json).unwrap(), "canary/p@ss 'w\"ord\\\n");
    let json = template("{{ db.options | json }}").unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["pool"]["max"], 5);
}

#[test]
fn values_fit_into_a_shell_yaml_and_toml() {
    let word = template("{{ db.password | shell_quote }}").unwrap();
    assert_eq!(word, "'canary/p@ss '\\''w\"ord\\\n'");
    assert_eq!(template("{{ db.username | shell_quote }} {{ '' | shell_quote }}").unwrap(), "v-web-1 ''");
    for filter in ["yaml", "toml"] {
        let text = template(&format!("{{{{ db.password | {filter} }}}}")).unwrap();
        assert_eq!(text, r#""canary/p@ss 'w\"ord\\\n""#, "{filter}");
        assert_eq!(template(&format!("{{{{ db.options.hosts | {filter} }}}}")).unwrap(), r#"["a", "b"]"#);
    }
    assert_eq!(template("{{ db.options.pool | toml }}").unwrap(), r#"{"max" = 5}"#);
    let read: serde_json::Value =
        serde_saphyr::from_str(&template("{{ db.options | yaml }}").unwrap()).unwrap();
    assert_eq!(read, serde_json::json!({ "pool": { "max": 5 }, "hosts": ["a", "b"], "none": null }));
    assert_eq!(template("k:\n  {{ 'a\nb' | indent(2) }}").unwrap(), "k:\n  a\n  b");
}

#[test]
fn base64_is_read_in_both_alphabets_padded_or_not() {
    assert_eq!(
        template("{{ 'aGVsbG8=' | b64decode }} {{ 'aGVs\nbG8' | b64decode }}").unwrap(),
        "hello hello"
    );
    assert_eq!(template("{{ '_-8' | b64decode | b64encode }}").unwrap(), "/+8=");
}

#[test]
fn a_pem_bundle_is_taken_apart() {
    let bundle = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\nnote\n\
                  -----BEGIN CERTIFICATE-----\nAQ==\n-----END CERTIFICATE-----\n\
                  -----BEGIN CERTIFICATE-----\nAg==\n-----END CERTIFICATE-----";
    let said = |filter: &str| template(&format!("{{{{ {} | {filter} }}}}", serde_json::json!(bundle)));
    let (key, rest) = bundle.split_once("note\n").unwrap();
    assert_eq!(said("pem_private_key").unwrap(), key);
    assert_eq!(said("pem_certificates").unwrap(), format!("{rest}\n"));
    assert_eq!(said("pem_split | length").unwrap(), "3");
    let first = rest.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    assert_eq!(said("pem_certificates | pem_split | first").unwrap(), first);
    let list =
        format!("{{{{ [{0}, {0}] | pem_certificates | pem_split | length }}}}", serde_json::json!(rest));
    assert_eq!(template(&list).unwrap(), "4", "a list is one bundle");
}

fn variable(text: &str) -> Variable {
    Variable { template: text.to_owned(), place: "leasehold.yaml:9".to_owned() }
}

#[test]
fn an_error_in_a_variable_names_file_and_line_too() {
    let said = |text: &str| {
        let env = BTreeMap::from([("PGUSER".to_owned(), variable(text))]);
        let variables = Variables::new(&env, &Paths::default()).map_err(|errors| errors[0].to_string())?;
        variables.render(&secrets()).map(drop).map_err(|error| error.to_string())
    };
    for (wrong, why) in [
        ("{{ db.user }}", "secret \"db\" has no field \"user\": it has"),
        ("{{ db.blob | b64encode | b64decode }}", ""),
        ("{{ db.user", ""),
    ] {
        let error = said(wrong).unwrap_err();
        let start = "cannot render \"env.PGUSER\" (leasehold.yaml:9), line 1 of its template: ";
        assert!(error.starts_with(start) && error.contains(why), "{error}");
    }
}

#[test]
fn path_is_where_a_file_of_this_configuration_is() {
    assert_eq!(template("{{ path('db.env') }}").unwrap(), "/out/db.env");
    let env = |text: &str| BTreeMap::from([("PW_FILE".to_owned(), variable(text))]);
    let every = Paths::new(&Files::EveryField, &output());
    let render = |text: &str| {
        let rendered = Variables::new(&env(text), &every).unwrap().render(&secrets());
        rendered.map(|values| values["PW_FILE"].expose_text().unwrap().to_owned()).map_err(|error| error.text)
    };
    assert_eq!(render("{{ path('db/password') }}").unwrap(), "/out/db/password");
    let texts = ["db/nope", "dbx/password", "password"]
        .map(|name| render(&format!("{{{{ path('{name}') }}}}")).unwrap_err());
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn errors_name_file_line_and_what_there_is_and_no_value() {
    let cases = [
        "one\n{{ db.user }}",
        "{{ dbx.username }}",
        "one\n\n{{ db.options.pool.min }}",
        "{{ db.nope.deeper }}",
        "{% if db.maybe is defined %}{% endif %}\n{{ db.user }}",
        "{{ db }}",
        "{{ db.options }}",
        "{{ db.options.none }}",
        "{{ db.blob }}",
        "{{ 'x' ~ db.blob }}",
        "{{ db | tojson }}",
        "{{ db.password + 1 }}",
        "{{ db.password | int }}",
        "{{ db.password.first }}",
        "{{ db.options.hosts[7] }}",
        "{{ db.options.hosts.first }}",
        "{% for host in db.options.hosts %}{{ host.name }}{% endfor %}",
        "{{ db.username.foo }}",
        "{{ db['username']['foo'] }}",
        "{{ db.options.pool.max.foo }}",
        "{{ db.port.foo }}",
        "{{ db.blob.foo }}",
        "{{ db.options | urlencode }}",
        "{{ db.nope | urlencode }}",
        "{{ db.nope ~ 'x' }}",
        "{{ db.password | shout }}",
        "{{ db.password is shouted }}",
        "{{ shout(db.password) }}",
        "{{ db.password.shout() }}",
        "{{ db.password",
        "{% if db.password %}",
        "{% include db.password %}",
        "{% for x in db.port %}{% endfor %}",
        "{{ path('db.yaml') }}",
        "{{ path(db.password) }}",
        "{{ db.password | b64decode }}",
        "{{ db.blob | shell_quote }}",
        "{{ db.nope | shell_quote }}",
        "{{ db.options.pool | shell_quote }}",
        "{{ db.options | toml }}",
        "{{ db.nope | yaml }}",
        "{{ db.password | pem_split }}",
        "{{ '-----BEGIN X-----' | pem_split }}",
        "{{ db.blob | b64encode | b64decode }}",
    ];
    let shown: Vec<String> = cases
        .iter()
        .map(|case| format!("{}\n    {}", case.replace('\n', "⏎"), template(case).unwrap_err()))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn fields_are_written_byte_by_byte() {
    let content = |secret: &str, field: &str| Content::Field {
        secret: secret.to_owned(),
        field: field.to_owned(),
        decode: None,
    };
    let field = |field: &str| file(content("db", field));
    let files = Files::Named(BTreeMap::from([
        ("blob".to_owned(), File { mode: Some(0o400), owner: Some(7), group: Some(8), ..field("blob") }),
        ("p".to_owned(), field("password")),
        ("gone".to_owned(), file(content("api", "key"))),
    ]));
    let renderer = Renderer::new(&files, &Paths::default()).unwrap();
    let rendered = renderer.render(&secrets(), &output()).unwrap();
    assert_eq!(rendered.keys().collect::<Vec<_>>(), ["blob", "p"], "what uses a left-out secret is left out");
    let blob = &rendered["blob"];
    assert_eq!(
        (blob.bytes.expose(), blob.mode, blob.owner, blob.group),
        (&[0xff, 0, 0x10][..], 0o400, Some(7), Some(8))
    );
    assert_eq!((rendered["p"].mode, rendered["p"].owner), (0o440, None));
    assert_eq!(renderer.uses_of("gone"), BTreeSet::from(["api".to_owned()]));
}

#[test]
fn a_field_in_base64_is_written_as_what_it_stands_for() {
    let render = |field: &str| {
        let content =
            Content::Field { secret: "db".to_owned(), field: field.to_owned(), decode: Some(Decode::Base64) };
        let files = Files::Named(BTreeMap::from([("f".to_owned(), file(content))]));
        let mut db = Fields::new();
        db.insert_text("keystore", "/wAQ\n".to_owned());
        db.insert_text("password", "canary!".to_owned());
        let secrets = Secrets::from([("db".to_owned(), Some(Arc::new(db)))]);
        let rendered = Renderer::new(&files, &Paths::default()).unwrap().render(&secrets, &output());
        rendered.map(|rendered| rendered["f"].bytes.expose().to_vec()).map_err(|error| error.to_string())
    };
    assert_eq!(render("keystore").unwrap(), [0xff, 0, 0x10]);
    insta::assert_snapshot!(render("password").unwrap_err(), @r#"cannot render "f" (leasehold.yaml:7): field "password" of secret "db" is no base64: leave `decode` out"#);
}

#[test]
fn a_field_that_is_not_there_and_a_secret_that_is_not_there_are_named() {
    let render = |secret: &str, field: &str| {
        let content = Content::Field { secret: secret.to_owned(), field: field.to_owned(), decode: None };
        let files = Files::Named(BTreeMap::from([("f".to_owned(), file(content))]));
        Renderer::new(&files, &Paths::default())
            .unwrap()
            .render(&secrets(), &output())
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(render("db", "user"), @r#"cannot render "f" (leasehold.yaml:7): secret "db" has no field "user": it has blob, my-key, options, password, port, tls, username"#);
    insta::assert_snapshot!(render("dbx", "user"), @r#"cannot render "f" (leasehold.yaml:7): there is no secret "dbx""#);
}

#[test]
fn without_files_every_field_is_a_file() {
    let renderer = Renderer::new(&Files::EveryField, &Paths::default()).unwrap();
    let rendered = renderer.render(&secrets(), &output()).unwrap();
    let names: Vec<&String> = rendered.keys().collect();
    assert_eq!(
        names,
        ["db/blob", "db/my-key", "db/options", "db/password", "db/port", "db/tls", "db/username"]
    );
    assert_eq!(rendered["db/port"].bytes.expose(), b"5432");
    assert_eq!(renderer.uses_of("db/port"), BTreeSet::from(["db".to_owned()]));

    for bad in ["a/b", "..", "", "nul\0"] {
        let mut fields = Fields::new();
        fields.insert_text(bad, "canary".to_owned());
        let secrets = Secrets::from([("kv".to_owned(), Some(Arc::new(fields)))]);
        let error = renderer.render(&secrets, &output()).unwrap_err().to_string();
        assert!(error.contains(&format!("{bad:?}")) && error.contains("\"kv\""), "{error}");
        if bad == "a/b" {
            insta::assert_snapshot!(error, @r#"cannot render "kv/a/b": the field "a/b" of secret "kv" cannot be a file name: it contains `/`; say under `files` which file it belongs in"#);
        }
    }
}

#[test]
fn every_template_that_is_none_is_reported_at_once() {
    let named = [("a", "{{"), ("b", "fine"), ("c", "{% endif %}")]
        .map(|(name, source)| (name.to_owned(), file(Content::Template(source.to_owned()))));
    let errors = Renderer::new(&Files::Named(named.into()), &Paths::default()).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.file.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn a_template_uses_what_it_looks_up_and_no_variable_of_its_own() {
    let source = "{% set x = db.a %}{{ x }}{% for i in range(3) %}{{ cert.b }}{{ loop.index }}{% endfor %}{% if api %}{% endif %}";
    let files = Files::Named(BTreeMap::from([("f".to_owned(), file(Content::Template(source.to_owned())))]));
    let renderer = Renderer::new(&files, &Paths::default()).unwrap();
    let uses: Vec<&str> = renderer.uses()["f"].iter().map(String::as_str).collect();
    assert_eq!(uses, ["api", "cert", "db", "range"]);
}

fn awkward() -> Fields {
    let mut fields = Fields::new();
    fields.insert_text("plain", "v-web-1".to_owned());
    fields.insert_text("empty", String::new());
    fields.insert_text("quotes", "it's \"so\" \\ $HOME `id`".to_owned());
    fields.insert_text("lines", " a\r\n\tb ".to_owned());
    fields.insert_text("unicode", "ü€😀\u{7f}\u{85}\u{2028}".to_owned());
    fields.insert_text("number", "007".to_owned());
    fields.insert_text("yes", "no".to_owned());
    fields.insert_json("port", serde_json::json!(5432));
    fields.insert_json("list", serde_json::json!(["a", { "b": 1.5 }, false]));
    fields
}

#[test]
fn json_says_what_the_fields_say() {
    let text = formatted(Format::Json, awkward()).unwrap();
    insta::assert_snapshot!(text);
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, field) in awkward().iter() {
        match field.shape {
            Shape::Json => assert_eq!(read[name].to_string().as_bytes(), field.bytes.expose(), "{name}"),
            _ => assert_eq!(read[name].as_str(), field.bytes.expose_text(), "{name}"),
        }
    }
    assert_eq!(formatted(Format::Json, Fields::new()).unwrap(), "{}\n");
}

#[test]
fn yaml_says_what_the_fields_say() {
    let text = formatted(Format::Yaml, awkward()).unwrap();
    insta::assert_snapshot!(text);
    let read: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(&text).unwrap();
    let json: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&formatted(Format::Json, awkward()).unwrap()).unwrap();
    assert_eq!(read, json);
    assert_eq!(formatted(Format::Yaml, Fields::new()).unwrap(), "{}\n");
}

#[test]
fn toml_says_what_the_fields_say_or_why_it_cannot() {
    insta::assert_snapshot!(formatted(Format::Toml, awkward()).unwrap());
    let mut fields = Fields::new();
    fields.insert_json("n", serde_json::json!({ "deep": null }));
    insta::assert_snapshot!(formatted(Format::Toml, fields).unwrap_err(), @r#"cannot render "all" (leasehold.yaml:7): field "n" of secret "db" holds null, which TOML does not have"#);
}

#[test]
fn env_is_what_a_shell_reads_back() {
    let text = formatted(Format::Env, awkward()).unwrap();
    insta::assert_snapshot!(text);
    for (name, field) in awkward().iter() {
        #[allow(clippy::disallowed_methods, reason = "a test runs a real shell")]
        let read = std::process::Command::new("sh")
            .args(["-c", &format!("{text}\nprintf %s \"${name}\"")])
            .output()
            .unwrap();
        assert_eq!(read.stdout, field.bytes.expose(), "{name}");
    }
}

#[test]
fn env_refuses_what_no_variable_can_be() {
    for (name, value) in [("my-key", "x"), ("1st", "x"), ("", "x"), ("nul", "a\0b")] {
        let mut fields = Fields::new();
        fields.insert_text(name, value.to_owned());
        let error = formatted(Format::Env, fields).unwrap_err();
        assert!(error.contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn properties_are_plain_ascii_with_escapes() {
    let mut fields = awkward();
    fields.insert_text("a key: #!=", "=: #!".to_owned());
    insta::assert_snapshot!(formatted(Format::Properties, fields).unwrap());
}

#[test]
fn a_binary_field_is_in_no_text_format() {
    for format in [Format::Json, Format::Yaml, Format::Toml, Format::Env, Format::Properties] {
        let mut fields = Fields::new();
        fields.insert("blob", Field { bytes: SecretBytes::new(vec![0xff]), shape: Shape::Binary });
        let error = formatted(format, fields).unwrap_err();
        assert!(error.contains("\"blob\"") && error.contains("binary"), "{error}");
    }
}

#[test]
fn a_template_that_cannot_do_without_a_secret_that_is_left_out_is_left_out_too() {
    let template = |text: &str| File {
        content: Content::Template(text.to_owned()),
        mode: None,
        owner: None,
        group: None,
        place: "a.yaml:1".to_owned(),
    };
    let files = Files::Named(BTreeMap::from([
        ("needs".to_owned(), template("{{ gone.user }}")),
        ("asks".to_owned(), template("{% if gone %}{{ gone.user }}{% else %}-{% endif %}")),
        ("other".to_owned(), template("x")),
    ]));
    let renderer = Renderer::new(&files, &Paths::default()).unwrap();
    let secrets = Secrets::from([("gone".to_owned(), None)]);
    let names = |rendered: BTreeMap<String, Rendered>| rendered.into_keys().collect::<Vec<_>>();
    assert_eq!(names(renderer.render(&secrets, &output()).unwrap()), ["asks", "other"]);
    let gone = BTreeSet::from(["gone".to_owned()]);
    assert_eq!(names(renderer.render_without(&gone, &secrets, &output()).unwrap()), ["other"]);
}
