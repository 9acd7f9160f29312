//! Values of one word or number.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// A scalar whose text is looked at later. Its schema's `title` says what is expected; the words
/// go into the report.
macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $schema:tt) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(transparent)]
        pub(in crate::config) struct $name(pub(in crate::config) $inner);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

scalar!(
    /// A length of time.
    Length,
    String,
    {
        "type": "string",
        "title": "a duration with its unit, such as \"30s\", \"5m\" or \"24h\"",
        "pattern": r"^(([0-9]+ ?[a-z]+ ?)+|.*\$\{.*)$"
    }
);

scalar!(
    /// A length of time, or what is right for the case.
    LengthOrAuto,
    String,
    {
        "type": "string",
        "title": "\"auto\", or a duration with its unit, such as \"30s\", \"5m\" or \"24h\"",
        "pattern": r"^(auto|([0-9]+ ?[a-z]+ ?)+|.*\$\{.*)$"
    }
);

scalar!(
    /// Permission bits.
    Mode,
    String,
    {
        "type": "string",
        "title": "four octal digits in quotes, such as \"0440\"",
        "pattern": r"^(0[0-7]{3}|.*\$\{.*)$"
    }
);

scalar!(
    /// A user or a group.
    Account,
    Value,
    { "type": ["string", "integer"], "title": "a number, or a name", "minimum": 0, "maximum": 4294967294u32 }
);

scalar!(
    /// A pinned version.
    Version,
    Value,
    { "type": ["string", "integer"], "title": "a version: a number, or text", "minimum": 0 }
);

scalar!(
    /// Whether the output has to be on tmpfs.
    RequireTmpfs,
    Value,
    { "enum": [true, "strict", false] }
);

scalar!(
    /// Who may use the admin socket.
    Uid,
    Value,
    { "type": ["string", "integer"], "title": "\"own\", or a number", "minimum": 0, "maximum": 4294967294u32 }
);
