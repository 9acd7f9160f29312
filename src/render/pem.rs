//! Blocks of PEM: what stands between `-----BEGIN …-----` and `-----END …-----`.

use zeroize::Zeroize as _;

/// One block.
pub(super) struct Block {
    /// What stands after `BEGIN`.
    pub(super) label: String,
    /// The whole of it, one line break at its end.
    pub(super) text: String,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// All blocks of a text, in their order. What stands between them is left out.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, &'static str> {
    const OPEN: &str =
        "a block of PEM that does not end as it begins (`-----BEGIN X-----` … `-----END X-----`)";
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("-----BEGIN ") {
        let from = &rest[at..];
        let label_end = from["-----BEGIN ".len()..].find("-----").ok_or(OPEN)?;
        let label = &from["-----BEGIN ".len()..][..label_end];
        if label.contains('\n') {
            return Err(OPEN);
        }
        let end = format!("-----END {label}-----");
        let length = from.find(&end).ok_or(OPEN)? + end.len();
        if from[1..length].contains("-----BEGIN ") {
            return Err(OPEN);
        }
        let mut text = String::with_capacity(length + 1);
        text.push_str(&from[..length]);
        text.push('\n');
        blocks.push(Block { label: label.to_owned(), text });
        rest = &from[length..];
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn blocks_come_out_one_by_one_and_what_is_between_them_is_left_out() {
        let (key, certificate) = (block("EC PRIVATE KEY", "a2V5"), block("CERTIFICATE", "BwcH"));
        let text = format!("subject=x\n{key}\n\n{certificate}{}", certificate.trim_end());
        let found = blocks(&text).unwrap();
        let labels: Vec<&str> = found.iter().map(|block| block.label.as_str()).collect();
        assert_eq!(labels, ["EC PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"]);
        assert_eq!((&found[0].text, &found[1].text, &found[2].text), (&key, &certificate, &certificate));
        assert!(blocks("nothing of it").unwrap().is_empty());
    }

    #[test]
    fn a_block_that_does_not_end_is_refused() {
        let whole = block("CERTIFICATE", "eA==");
        for text in [
            &whole[..whole.len() - 4],
            "-----BEGIN X",
            "-----BEGIN X\n-----",
            &whole.replace("END C", "END K"),
        ] {
            assert!(blocks(text).is_err(), "{text}");
        }
        let nested = format!("-----BEGIN CERTIFICATE-----\n{whole}");
        assert!(blocks(&nested).is_err());
    }
}
