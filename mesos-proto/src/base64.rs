//! Base64 with the standard alphabet and padding, as JSON and HTTP Basic authentication want it.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `bytes` as text.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (i, &byte)| word | u32::from(byte) << (16 - 8 * i));
        for position in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * position) & 63) as usize];
            out.push(if position <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// The bytes, or `None` if the text is anything else than padded base64 of the standard alphabet.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        Some(u32::from(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }))
    };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut chunks = text.as_bytes().chunks(4).peekable();
    while let Some(chunk) = chunks.next() {
        let padding = chunk.iter().rev().take_while(|&&byte| byte == b'=').count();
        let last = chunks.peek().is_none();
        if chunk.len() != 4 || padding > 2 || (padding > 0 && !last) {
            return None;
        }
        let (digits, _) = chunk.split_at(4 - padding);
        let word = digits.iter().try_fold(0, |word, &byte| Some(word << 6 | digit(byte)?))? << (6 * padding);
        let [_, bytes @ ..] = word.to_be_bytes();
        out.extend_from_slice(bytes.get(..3 - padding)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn both_ways_for_every_remainder() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (&[0xfb, 0xff], "+/8=")]
        {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text), Some(bytes.to_vec()));
        }
        assert_eq!(decode("AAEC"), Some(vec![0, 1, 2]));
    }

    #[test]
    fn other_alphabets_and_loose_padding_are_refused() {
        for text in ["-_8=", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm 9v", "Zm9v\n"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
