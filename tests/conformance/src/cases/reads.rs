//! What is kept is read.

use leasehold_core::{Effect, Kind, SecretRef, Wanted};

use super::brings;
use crate::stage::{Stage, bounded};
use crate::subject::{Cannot, Capability, Content};

pub(crate) async fn what_is_kept_is_read(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let kept = stage.kept();
    let fetched = used.fetch(&kept.reference).await;
    brings(&fetched, &Content::Text(kept.value));
    assert!(fetched.lease.is_none(), "what is kept has no lease");
    assert_eq!(used.describe(&kept.reference).effect, Effect::Reads, "a read is described as one");
    Ok(())
}

pub(crate) async fn the_libraries_below_say_no_value_either(stage: &Stage<'_>) -> Result<(), Cannot> {
    // What is said is looked at after each case; here it is told apart who is looked at.
    stage.needs(Capability::QuietLibraries)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value));
    Ok(())
}

pub(crate) async fn several_fields_are_told_apart(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Fields)?;
    let used = stage.enter().await;
    let (name, user, password) = (stage.name(), stage.value(), stage.value());
    let content = Content::fields([("user", user.as_str()), ("password", &password)]);
    stage.subject.put(&name, &content);
    brings(&used.fetch(&stage.subject.reference(&name)).await, &content);
    Ok(())
}

pub(crate) async fn a_key_picks_one_value(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Keys)?;
    let used = stage.enter().await;
    let (name, user, password) = (stage.name(), stage.value(), stage.value());
    stage.subject.put(&name, &Content::fields([("user", user.as_str()), ("password", &password)]));
    let mut reference = stage.subject.reference(&name);
    reference.key = Some("user".to_owned());
    let fetched = used.fetch(&reference).await;
    let fields = fetched.fields.expect("fields are brought");
    let brought: Vec<&[u8]> = fields.iter().map(|(_, field)| field.bytes.expose()).collect();
    assert!(brought == [user.as_bytes()], "the one value that key names, and no other");
    reference.key = Some("nothing-of-this-name".to_owned());
    assert_eq!(used.refused(&reference).await.kind, Kind::Absent, "a key that is not there");
    Ok(())
}

pub(crate) async fn what_is_not_there_is_absent(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let error = used.refused(&stage.subject.missing(&stage.name())).await;
    assert_eq!(error.kind, Kind::Absent, "{error}");
    Ok(())
}

pub(crate) async fn what_was_removed_is_absent(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Removal)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    let known = used.fetch(&kept.reference).await.version;
    stage.subject.remove(&kept.name);
    let error = used.settled(&kept.reference, known.as_deref()).await.expect_err("it was removed");
    assert_eq!(error.kind, Kind::Absent, "{error}");
    Ok(())
}

pub(crate) async fn a_path_that_leads_elsewhere_brings_nothing(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::OddPaths)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    used.fetch(&kept.reference).await;
    let path = &kept.reference.path;
    let odd = [
        String::new(),
        "/".to_owned(),
        "..".to_owned(),
        "../".repeat(20) + "etc/passwd",
        format!("{path}/../{}", kept.name),
        format!("{path}/"),
        format!("{path}?version=1"),
        format!("{path}#"),
        format!("{path}%00"),
        format!("{path}\0"),
        format!("{path}\r\nX-Forged: yes"),
        format!("{path} "),
        format!("{path}/\u{202e}🔑"),
        "a/".repeat(50_000),
    ];
    for path in odd {
        let reference = SecretRef { path: path.clone(), ..kept.reference.clone() };
        let shown: String = path.chars().take(60).collect();
        match used.settled(&reference, None).await {
            Ok(_) => panic!("the path {shown:?} brought something"),
            Err(error) => {
                let ours = matches!(error.kind, Kind::Invalid | Kind::Absent | Kind::Denied);
                assert!(ours, "the path {shown:?} is what is wrong: {:?}", error.kind);
            }
        }
    }
    brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value));
    Ok(())
}

pub(crate) async fn what_is_denied_is_denied(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Denial)?;
    let (kept, other) = (stage.kept(), stage.kept());
    stage.subject.deny(&kept.reference);
    let used = stage.enter().await;
    let error = used.refused(&kept.reference).await;
    assert_eq!(error.kind, Kind::Denied, "{error}");
    brings(&used.fetch(&other.reference).await, &Content::Text(other.value));
    Ok(())
}

pub(crate) async fn a_batch_keeps_its_order_and_one_bad_secret_fails_alone(
    stage: &Stage<'_>,
) -> Result<(), Cannot> {
    stage.needs(Capability::Batch)?;
    let used = stage.enter().await;
    let size = stage.facts().batch;
    let kept: Vec<_> = (0..size).map(|_| stage.kept()).collect();
    for one in &kept {
        let traits = used.describe(&one.reference);
        assert_eq!((traits.effect, traits.batch), (Effect::Reads, size), "as the subject says");
    }
    let missing = stage.subject.missing(&stage.name());
    let mut wanted: Vec<Wanted<'_>> =
        kept.iter().rev().map(|kept| Wanted { reference: &kept.reference, known_version: None }).collect();
    wanted[size / 2].reference = &missing;
    let results = used.fetch_all(&wanted).await;
    for (at, (result, kept)) in results.into_iter().zip(kept.into_iter().rev()).enumerate() {
        match result {
            Ok(fetched) if at != size / 2 => brings(&fetched, &Content::Text(kept.value)),
            Err(error) if at == size / 2 => assert_eq!(error.kind, Kind::Absent, "{error}"),
            Ok(_) => panic!("the missing secret, number {at}, was brought"),
            Err(error) => panic!("number {at} of {size} fails with the one that is missing: {error}"),
        }
    }
    Ok(())
}

pub(crate) async fn a_batch_costs_what_it_says(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Batch)?;
    stage.needs(Capability::Counting)?;
    let used = stage.enter().await;
    let kept: Vec<_> = (0..stage.facts().batch).map(|_| stage.kept()).collect();
    let wanted: Vec<Wanted<'_>> =
        kept.iter().map(|kept| Wanted { reference: &kept.reference, known_version: None }).collect();
    let before = stage.subject.requests();
    for result in used.fetch_all(&wanted).await {
        result.expect("all of them are kept");
    }
    let cost = stage.subject.requests() - before;
    assert_eq!(cost, stage.facts().requests_per_batch, "requests for {} secrets", wanted.len());
    Ok(())
}

pub(crate) async fn every_request_is_told_to_the_observer(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Counting)?;
    let used = stage.enter().await;
    let kept = stage.kept();
    let missing = stage.subject.missing(&stage.name());
    stage.observed();
    let before = stage.subject.requests();
    used.fetch(&kept.reference).await;
    used.refused(&missing).await;
    let (arrived, told) = (stage.subject.requests() - before, stage.observed());
    assert_eq!(told.len() as u64, arrived, "what arrived at the store, and what was told: {told:?}");
    let outcomes: Vec<_> = told.iter().map(|(_, outcome)| *outcome).collect();
    assert!(outcomes.contains(&None), "one went well: {told:?}");
    Ok(())
}

pub(crate) async fn any_bytes_are_brought_as_they_are(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Binary)?;
    let used = stage.enter().await;
    let name = stage.name();
    let content = Content::Bytes((0..=255).chain([0, 0xff, 0xfe, 0, 0x80, b'\n']).collect());
    stage.subject.put(&name, &content);
    brings(&used.fetch(&stage.subject.reference(&name)).await, &content);
    Ok(())
}

pub(crate) async fn an_empty_value_is_a_value(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Empty)?;
    let used = stage.enter().await;
    let name = stage.name();
    let content = Content::Text(String::new());
    stage.subject.put(&name, &content);
    brings(&used.fetch(&stage.subject.reference(&name)).await, &content);
    Ok(())
}

/// Two bytes, three, four; combining, from right to left; quotes, backslashes, line ends.
const ODD: &str = "ü ← 鍵 🔑 e\u{301} שלום \u{202e}x \"quoted\" \\ back\\slash \t tab \r\n line\u{2028}end";

pub(crate) async fn any_character_is_brought_as_it_is(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Unicode)?;
    let used = stage.enter().await;
    let name = stage.name();
    let content = Content::Text(format!("{} {ODD}", stage.value()));
    stage.subject.put(&name, &content);
    brings(&used.fetch(&stage.subject.reference(&name)).await, &content);
    Ok(())
}

pub(crate) async fn a_field_may_have_any_name(stage: &Stage<'_>) -> Result<(), Cannot> {
    stage.needs(Capability::Fields)?;
    stage.needs(Capability::UnicodeNames)?;
    let used = stage.enter().await;
    let (name, value) = (stage.name(), stage.value());
    let content = Content::fields([("schlüssel 🔑", value.as_str()), ("a.b/c", "d"), ("", "no name")]);
    stage.subject.put(&name, &content);
    brings(&used.fetch(&stage.subject.reference(&name)).await, &content);
    Ok(())
}

pub(crate) async fn the_largest_value_is_brought_whole(stage: &Stage<'_>) -> Result<(), Cannot> {
    let used = stage.enter().await;
    let (name, marks) = (stage.name(), [stage.value(), stage.value()]);
    let filler = "0123456789abcdef".repeat(stage.facts().largest / 16 + 1);
    let room = stage.facts().largest - marks[0].len() - marks[1].len();
    let content = Content::Text(format!("{}{}{}", marks[0], &filler[..room], marks[1]));
    stage.subject.put(&name, &content);
    brings(&used.fetch(&stage.subject.reference(&name)).await, &content);
    Ok(())
}

pub(crate) async fn many_at_once_do_not_mix(stage: &Stage<'_>) -> Result<(), Cannot> {
    const AT_ONCE: usize = 64;
    let used = stage.enter().await;
    let kept: Vec<_> = (0..8).map(|_| stage.kept()).collect();
    let mut asked = Vec::new();
    for at in 0..AT_ONCE {
        let kept = &kept[at % kept.len()];
        asked.push(async {
            brings(&used.fetch(&kept.reference).await, &Content::Text(kept.value.clone()));
        });
    }
    bounded("64 fetches at once", crate::together::all(asked)).await;
    Ok(())
}
