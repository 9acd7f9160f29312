use std::io;

use leasehold_core::SecretBytes;
use zeroize::Zeroize;

/// Grows without leaving a copy of what it held behind.
#[derive(Default)]
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// With room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.0.capacity() * 2).max(256));
            larger.extend_from_slice(&self.0);
            std::mem::replace(&mut self.0, larger).zeroize();
        }
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn into_secret(mut self) -> SecretBytes {
        SecretBytes::new(std::mem::take(&mut self.0))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_out_in_order_however_it_grows() {
        let mut buffer = Buffer::with_capacity(1);
        let mut expected = Vec::new();
        for byte in 0..=255_u8 {
            let piece = vec![byte; usize::from(byte)];
            buffer.push(&piece);
            expected.extend_from_slice(&piece);
        }
        assert_eq!(buffer.into_secret().expose(), expected);
    }
}
