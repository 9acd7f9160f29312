//! PEM, in memory that is wiped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// How many letters of base64 make a line of PEM.
const LINE: usize = 64;

/// PEM, without a line break at its end, as a PKI gives it.
pub(super) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let lines = base64.len().div_ceil(LINE);
    let mut out = Zeroizing::new(String::with_capacity(base64.len() + lines + 2 * label.len() + 40));
    for text in ["-----BEGIN ", label, "-----\n"] {
        out.push_str(text);
    }
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    for text in ["-----END ", label, "-----"] {
        out.push_str(text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_never_grows_and_no_line_is_too_long() {
        let pem = pem("PRIVATE KEY", &[7; 3_000]);
        assert!(pem.capacity() >= pem.len() && pem.capacity() < pem.len() + 64, "{}", pem.capacity());
        assert!(pem.lines().all(|line| line.len() <= LINE));
    }
}
