//! Requests to an API and answers from it, as far as both clients treat them alike.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::{Authorization, Codec, Endpoint, ExchangeId, Failure, Header, Lane, Method, Request};

/// How much of an error's body is kept.
pub(crate) const TEXT_LIMIT: usize = 4096;

/// How the stream of a subscription has ended. Records before its end may still wait in the decoder.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    Orderly,
    Failed(Failure),
}

/// What makes another attempt sensible; everything else that isn't 200 is final.
pub(crate) fn is_transient(status: u16) -> bool {
    match status {
        404 | 408 | 425 | 429 => true,
        501 => false,
        _ => !(400..500).contains(&status),
    }
}

/// Whether this is the media type, whatever its parameters.
pub(crate) fn is_media_type(value: Option<&str>, expected: &str) -> bool {
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

/// Keeps what fits of a body.
pub(crate) fn keep(text: &mut Vec<u8>, data: &[u8], limit: usize) {
    let room = limit.saturating_sub(text.len()).min(data.len());
    text.extend_from_slice(data.get(..room).unwrap_or_default());
}

pub(crate) fn readable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// Whom calls go to, and in which form.
pub(crate) struct Target<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) path: &'a str,
    pub(crate) codec: Codec,
    pub(crate) authorization: Option<&'a Authorization>,
}

impl Target<'_> {
    /// The request that carries a call.
    pub(crate) fn request(&self, id: ExchangeId, lane: Lane, stream_id: Option<&str>, body: Bytes) -> Request {
        let media_type = self.codec.media_type();
        let mut headers = Vec::with_capacity(5);
        headers.push(Header::new("Host", self.endpoint.authority()));
        headers.push(Header::new("Content-Type", media_type));
        headers.push(Header::new("Accept", media_type));
        if let Some(stream_id) = stream_id {
            headers.push(Header::new("Mesos-Stream-Id", stream_id));
        }
        if let Some(authorization) = self.authorization {
            headers.push(Header::sensitive("Authorization", authorization.value()));
        }
        let (endpoint, path) = (self.endpoint.clone(), self.path.to_owned());
        Request { id, lane, endpoint, method: Method::Post, path, headers, body }
    }
}
