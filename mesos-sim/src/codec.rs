//! Messages as bytes, in both content types, and RecordIO's framing.

use bytes::Bytes;
use mesos_proto::Described;
use mesos_proto::json::ErrorKind;

use crate::http::Codec;

/// Reads a message; the error is the text of a real server.
pub(crate) fn decode<M: Described>(codec: Codec, body: &Bytes) -> Result<M, String> {
    match codec {
        Codec::Protobuf => mesos_proto::decode(body.clone())
            .map_err(|error| format!("Failed to parse body into Call protobuf: {error}")),
        Codec::Json => mesos_proto::json::decode(body).map_err(|error| {
            // The real one names all that are missing, not only the first.
            let why = match error.kind {
                ErrorKind::Missing => format!("Missing required fields: {}", error.path),
                _ => error.to_string(),
            };
            format!("Failed to convert JSON into Call protobuf: {why}")
        }),
    }
}

/// One record with this message.
pub(crate) fn record<M: Described>(codec: Codec, message: &M) -> Bytes {
    let data = match codec {
        Codec::Protobuf => message.encode_to_vec(),
        // The messages are our own, so they can be written; an empty record would show otherwise.
        Codec::Json => mesos_proto::json::encode(message).unwrap_or_default().into_bytes(),
    };
    let mut record = format!("{}\n", data.len()).into_bytes();
    record.extend(data);
    record.into()
}
