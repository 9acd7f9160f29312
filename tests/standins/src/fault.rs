//! What goes wrong on demand.

use std::time::Duration;

/// What becomes of one answer. A challenge (401) is never spoilt: the fault waits for the request after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset instead of an answer.
    Reset,
    /// The connection ends in the middle of the body.
    HalfSent,
    /// 200 with a page of HTML, as from a portal or a proxy that is in the way.
    WrongContentType,
    /// The right status and content type, and a body that is cut off: no JSON.
    Malformed,
    /// An answer of this status, with an error of the service's own form.
    Status(u16),
    /// The right answer, after this time.
    Slow(Duration),
}
