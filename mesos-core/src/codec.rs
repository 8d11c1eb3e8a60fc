//! The two content types of the API.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use mesos_proto::{Described, json};

/// How messages are written on the wire. Everything above the wire is the same for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// `application/x-protobuf`: the fast one.
    #[default]
    Protobuf,
    /// `application/json`: for people who look at the wire, and for proxies that want text.
    Json,
}

impl Codec {
    /// The media type, for `Content-Type` and `Accept`. Mesos compares it as a text: no parameter may follow.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// The body of a request, from an encoded call.
    pub(crate) fn write_call<Call: Described>(self, call: Vec<u8>) -> Bytes {
        match self {
            Self::Protobuf => call.into(),
            // Calls are checked before they get here, but for numbers that aren't numbers: a master says 400 to those.
            Self::Json => json::from_protobuf(Call::descriptor(), &call).unwrap_or_default().into(),
        }
    }

    /// An encoded event, from a record of the stream; the error says where it is invalid.
    pub(crate) fn read_event<Event: Described>(self, record: &Bytes) -> Result<Bytes, String> {
        match self {
            Self::Protobuf => Ok(record.clone()),
            Self::Json => match json::to_protobuf(Event::descriptor(), record) {
                Ok(event) => Ok(event.into()),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}
