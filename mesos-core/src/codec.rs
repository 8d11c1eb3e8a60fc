//! The two content types of the API.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

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
    pub(crate) fn write_call(self, call: Vec<u8>) -> Bytes {
        match self {
            Self::Protobuf | Self::Json => call.into(),
        }
    }

    /// An encoded event, from a record of the stream; the error says where it is invalid.
    pub(crate) fn read_event(self, record: &Bytes) -> Result<Bytes, String> {
        match self {
            Self::Protobuf | Self::Json => Ok(record.clone()),
        }
    }
}
