//! Messages as bytes, in both content types, and RecordIO's framing.

use bytes::Bytes;
use mesos_proto::Described;
use mesos_proto::json::ErrorKind;

use crate::http::{Codec, Request, Response};

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

/// A call, after the checks that come before anything is looked at, in the order of the real servers.
pub(crate) fn call<M: Described>(request: &Request) -> Result<M, Response> {
    if request.method != "POST" {
        let method = &request.method;
        let text = format!("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'.");
        return Err(Response::text(405, text).with("Allow", "POST"));
    }
    let Some(content_type) = request.header("content-type") else {
        return Err(Response::text(400, "Expecting 'Content-Type' to be present"));
    };
    let Some(codec) = Codec::from_content_type(content_type) else {
        return Err(Response::text(415, "Expecting 'Content-Type' of application/json or application/x-protobuf"));
    };
    decode(codec, &request.body).map_err(|why| Response::text(400, why))
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
