//! HTTP as the machines see it: whole requests in, heads and bytes out.

use bytes::Bytes;

/// Names one request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number that whoever drives the cluster chooses")]
pub struct ExchangeId(pub u64);

/// A request that has arrived as a whole.
#[derive(Clone, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "made by whoever drives the cluster")]
pub struct Request {
    /// Such as `POST`.
    pub method: String,
    /// Such as `/api/v1/scheduler`.
    pub path: String,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    /// The body, transfer coding removed.
    pub body: Bytes,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names as Mesos writes them, in its order; without the length.
    pub headers: Vec<(&'static str, String)>,
    /// The body, or `None` if it is a stream that follows piece by piece.
    pub body: Option<Bytes>,
}

impl Response {
    pub(crate) const fn accepted() -> Self {
        Self { status: 202, headers: Vec::new(), body: Some(Bytes::new()) }
    }

    pub(crate) const fn ok() -> Self {
        Self { status: 200, headers: Vec::new(), body: Some(Bytes::new()) }
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        let content_type = ("Content-Type", "text/plain; charset=utf-8".to_owned());
        Self { status, headers: vec![content_type], body: Some(text.into().into()) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Who sent a request, if credentials are wanted: HTTP Basic.
pub(crate) fn principal(credentials: &[(String, String)], request: &Request) -> Result<Option<String>, Response> {
    if credentials.is_empty() {
        return Ok(None);
    }
    let given = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
    let known = |(principal, secret): &&(String, String)| {
        given == Some(mesos_proto::base64::encode(format!("{principal}:{secret}").as_bytes()).as_str())
    };
    match credentials.iter().find(known) {
        Some((principal, _)) => Ok(Some(principal.clone())),
        None => Err(Response::text(401, "").with("WWW-Authenticate", "Basic realm=\"mesos-master-scheduler\"")),
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Json,
    Protobuf,
}

impl Codec {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// From a `Content-Type`: the comparison is exact.
    pub(crate) fn from_content_type(value: &str) -> Option<Self> {
        [Self::Json, Self::Protobuf].into_iter().find(|codec| codec.content_type() == value)
    }

    /// From an `Accept`: whatever allows JSON gets JSON.
    pub(crate) fn negotiate(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept else { return Some(Self::Json) };
        let allows = |codec: Self| {
            accept.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                let range = parts.next().unwrap_or_default();
                let matches = range == codec.content_type() || range == "*/*" || range == "application/*";
                matches && !parts.any(|parameter| parameter == "q=0" || parameter == "q=0.0")
            })
        };
        [Self::Json, Self::Protobuf].into_iter().find(|&codec| allows(codec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_prefers_json_whatever_the_weights() {
        for (accept, codec) in [
            (None, Some(Codec::Json)),
            (Some("*/*"), Some(Codec::Json)),
            (Some("application/x-protobuf, application/json;q=0.1"), Some(Codec::Json)),
            (Some("application/x-protobuf"), Some(Codec::Protobuf)),
            (Some("application/x-protobuf, application/json;q=0"), Some(Codec::Protobuf)),
            (Some("application/recordio"), None),
            (Some(""), None),
        ] {
            assert_eq!(Codec::negotiate(accept), codec, "{accept:?}");
        }
    }
}
