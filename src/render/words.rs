//! The names that a template calls, in branches that nothing has run yet, too: filters, tests, and
//! the files that `path` is given.
//!
//! Not a parser: the engine has accepted the template before. It walks over the text, leaves out
//! comments, `raw` blocks and strings, and sees which word follows a `|`, an `is` or a `path(`.

/// What a template names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    /// From 1.
    pub(crate) line: usize,
}

/// As what it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Filter,
    Test,
    /// What stands in quotes alone in `path("…")`.
    File,
}

/// All of them, in order.
pub(crate) fn words(source: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['{']) {
        let from = &rest[at..];
        let start = source.len() - from.len();
        let (close, inner) = match from.as_bytes().get(1) {
            Some(b'{') => ("}}", true),
            Some(b'%') => ("%}", true),
            Some(b'#') => ("#}", false),
            _ => {
                rest = &from[1..];
                continue;
            }
        };
        if !inner {
            rest = from.find(close).map_or("", |end| &from[end + 2..]);
            continue;
        }
        let tokens = tokens(&from[2..], close);
        let end = start + 2 + tokens.length;
        rest = source.get(end..).unwrap_or_default();
        let block = close == "%}";
        if block && tokens.list.first().is_some_and(|token| token.text == "raw") {
            rest = after_raw(rest);
            continue;
        }
        collect(&tokens.list, block, |kind, token| {
            let line = source[..start + 2 + token.at].matches('\n').count() + 1;
            words.push(Word { kind, name: token.text, line });
        });
    }
    words
}

fn after_raw(rest: &str) -> &str {
    let mut from = rest;
    while let Some(at) = from.find("{%") {
        let inside = from[at + 2..].trim_start_matches(['-', '+']).trim_start();
        if inside.starts_with("endraw") {
            return inside.find("%}").map_or("", |end| &inside[end + 2..]);
        }
        from = &from[at + 2..];
    }
    ""
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Word,
    Text,
    Sign,
}

struct Token<'a> {
    form: Form,
    text: &'a str,
    at: usize,
}

struct Tokens<'a> {
    list: Vec<Token<'a>>,
    /// With what closes it.
    length: usize,
}

fn tokens<'a>(text: &'a str, close: &str) -> Tokens<'a> {
    let mut list = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        // A `}` that closes a map comes before the two that close the expression.
        if rest.starts_with(close) && !(close == "}}" && open_braces(&list) > 0) {
            return Tokens { list, length: at + close.len() };
        }
        let of_word = |c: char| c.is_alphanumeric() || c == '_';
        if first == '"' || first == '\'' {
            let length = string(rest, first);
            let inside = rest.get(1..length.saturating_sub(1)).unwrap_or_default();
            list.push(Token { form: Form::Text, text: inside, at });
            at += length;
        } else if of_word(first) {
            let length = rest.find(|c| !of_word(c)).unwrap_or(rest.len());
            list.push(Token { form: Form::Word, text: &rest[..length], at });
            at += length;
        } else {
            if !first.is_whitespace() {
                list.push(Token { form: Form::Sign, text: &rest[..first.len_utf8()], at });
            }
            at += first.len_utf8();
        }
    }
    Tokens { list, length: at }
}

fn open_braces(list: &[Token<'_>]) -> usize {
    let count =
        |sign: &str| list.iter().filter(|token| token.form == Form::Sign && token.text == sign).count();
    count("{").saturating_sub(count("}"))
}

/// The length of a string with its quotes.
fn string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn collect<'a>(tokens: &[Token<'a>], block: bool, mut found: impl FnMut(Kind, &Token<'a>)) {
    let sign = |at: usize, text: &str| {
        tokens.get(at).is_some_and(|token| token.form == Form::Sign && token.text == text)
    };
    let word = |at: usize| tokens.get(at).filter(|token| token.form == Form::Word);
    let text = |at: usize| tokens.get(at).filter(|token| token.form == Form::Text);
    for at in 0..tokens.len() {
        if sign(at, "|")
            && let Some(name) = word(at + 1)
        {
            found(Kind::Filter, name);
        }
        let after_dot = at > 0 && (sign(at - 1, ".") || sign(at - 1, "|"));
        let Some(here) = word(at).filter(|_| !after_dot) else { continue };
        if block
            && here.text == "filter"
            && tokens[..at].iter().all(|token| token.form == Form::Sign)
            && let Some(name) = word(at + 1)
        {
            found(Kind::Filter, name);
        }
        if here.text == "is" {
            let not = word(at + 1).is_some_and(|token| token.text == "not");
            if let Some(name) = word(at + 1 + usize::from(not)) {
                found(Kind::Test, name);
            }
        }
        if here.text == super::paths::FUNCTION
            && sign(at + 1, "(")
            && sign(at + 3, ")")
            && let Some(name) = text(at + 2)
        {
            found(Kind::File, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(source: &str) -> Vec<(Kind, &str, usize)> {
        words(source).into_iter().map(|word| (word.kind, word.name, word.line)).collect()
    }

    #[test]
    fn filters_tests_and_files_are_seen_wherever_they_stand() {
        assert_eq!(
            seen("a | b\n{% if x is not y %}\n{{ z.is | f(1 | g) |h }}{% endif %}"),
            [(Kind::Test, "y", 2), (Kind::Filter, "f", 3), (Kind::Filter, "g", 3), (Kind::Filter, "h", 3)]
        );
        assert_eq!(
            seen("{%- filter upper | lower %}x{% endfilter %}"),
            [(Kind::Filter, "upper", 1), (Kind::Filter, "lower", 1)]
        );
        assert_eq!(
            seen("{{ path('a/b') }}{{ path(\"c\")|d }}{{ path(x) }}{{ x.path('e') }}"),
            [(Kind::File, "a/b", 1), (Kind::File, "c", 1), (Kind::Filter, "d", 1)]
        );
    }

    #[test]
    fn strings_comments_and_raw_blocks_are_left_out() {
        assert_eq!(seen("{{ 'a | b' ~ \"\\\"| c\" }}"), []);
        assert_eq!(seen("{# | a #}{% raw %}{{ x | b }}{% endraw %}{{ y | c }}"), [(Kind::Filter, "c", 1)]);
        assert_eq!(seen("{{ {'k': {'l': 1}} | a }}"), [(Kind::Filter, "a", 1)]);
        assert_eq!(seen("{ | a } {{ x"), []);
    }
}
