//! The cases. Each is named for the behaviour, and says what was expected where that is missing.

mod failures;
mod leases;
mod patience;
mod reads;
mod sessions;
mod versions;

pub(crate) use failures::*;
pub(crate) use leases::*;
pub(crate) use patience::*;
pub(crate) use reads::*;
pub(crate) use sessions::*;
pub(crate) use versions::*;

use leasehold_core::Fetched;

use crate::subject::Content;

/// That all of this was brought, byte for byte, and nothing else.
#[track_caller]
fn brings(fetched: &Fetched, content: &Content) {
    let fields = fetched.fields.as_ref().expect("fields are brought");
    let expected = content.named();
    for (name, value) in &expected {
        let field = fields.get(name);
        let names: Vec<&str> = fields.names().collect();
        let field = field.unwrap_or_else(|| panic!("the field {name:?} is brought; there are {names:?}"));
        let (got, wanted) = (field.bytes.len(), value.len());
        assert_eq!(got, wanted, "the length of {name:?} in bytes");
        assert!(field.bytes.expose() == *value, "the bytes of {name:?} are those that were kept");
    }
    assert_eq!(fields.len(), expected.len(), "no field beside those that were kept");
}
