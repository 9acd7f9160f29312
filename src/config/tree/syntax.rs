//! What is wrong with a YAML, in words.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

/// Our own words for what the parser says: its text may quote the file.
pub(super) fn syntax(error: &ScanError) -> (&'static str, Option<&'static str>) {
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            ("no valid YAML: a tab is used for indentation", Some("indent with spaces"))
        }
        ErrorKind::InvalidIndentation
        | ErrorKind::InvalidBlockScalarIndent
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry => (
            "no valid YAML: the indentation does not fit what stands above",
            Some("keys of one mapping begin in the same column"),
        ),
        ErrorKind::UnclosedQuotedScalar => ("no valid YAML: a quoted text is not closed", None),
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::MisplacedFlowCollectionEnd => (
            "no valid YAML: a `{` or `[` is not closed, or a comma is missing inside it",
            Some("inside `{ }` and `[ ]`, text that holds `{`, `[`, `,` or `${…}` belongs in quotes"),
        ),
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement
        | ErrorKind::InvalidMappingValueWhitespace
        | ErrorKind::FlowMappingValueAdjacentCollection => {
            ("no valid YAML: a `:` is not expected here", Some("text that holds `: ` belongs in quotes"))
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey | ErrorKind::MappingKeyNotAllowed => (
            "no valid YAML: a key without its `:`",
            Some("write `key: value`; text of several lines begins with `|`"),
        ),
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => {
            ("no valid YAML: an unknown escape in double quotes", Some("single quotes know no escapes"))
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("no valid YAML: something follows a closing quote", None)
        }
        ErrorKind::UnknownAnchor => ("no valid YAML: an alias (`*name`) without its anchor (`&name`)", None),
        ErrorKind::UnexpectedCharacter { .. } => (
            "no valid YAML: a character that cannot begin a value",
            Some("text that begins with `@`, `%` or a backtick belongs in quotes"),
        ),
        ErrorKind::RecursionLimitExceeded => ("this is nested too deeply for a configuration", None),
        ErrorKind::MissingAnchorOrAliasName => (
            "no valid YAML: `*` and `&` begin an alias or an anchor",
            Some("text that begins with `*` or `&` belongs in quotes"),
        ),
        _ => ("no valid YAML here", None),
    }
}
