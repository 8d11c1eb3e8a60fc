//! One HTTP request and its answer, as values: what a machine asks for and what a driver reports back.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::Endpoint;

/// Names one exchange (a request and its answer) for as long as the machine lives.
///
/// Drivers tag every [`Input`](crate::Input) with it; inputs for an exchange that the machine has given up are
/// ignored, so a driver may race with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub(crate) u64);

impl ExchangeId {
    /// The exchange with this number, for machines of one's own and for tests; a machine never uses one twice.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Which connection carries an exchange, and with which other ones.
///
/// Closed on purpose: a driver has to decide for each lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "performed by drivers: a new lane must break them")]
pub enum Lane {
    /// SUBSCRIBE and its endless answer: a connection of its own, nothing else on it.
    Subscription,
    /// Calls whose order matters: one connection, one exchange at a time (the machine asks for the next one only
    /// after the answer to the former). A connection kept alive between them saves time; it must not be retried.
    Ordered,
    /// Acknowledgements: any connection, in any order; several may be under way.
    Acks,
}

/// The HTTP method of a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "performed by drivers")]
pub enum Method {
    /// `GET`, without a body.
    Get,
    /// `POST`; all calls of the scheduler and executor APIs.
    Post,
}

impl Method {
    /// The method as it stands in the request line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A header of a [`Request`]. `Debug` doesn't show a sensitive value.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: &'static str,
    value: String,
    sensitive: bool,
}

impl Header {
    /// A header whose value may be shown.
    #[must_use]
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), sensitive: false }
    }

    /// A header whose value is a secret.
    #[must_use]
    pub fn sensitive(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into(), sensitive: true }
    }

    /// The name, in the case in which Mesos's own client writes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The value; visible ASCII only.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether the value is a secret that must not be logged.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        self.sensitive
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.sensitive { "***" } else { &self.value };
        write!(f, "{}: {value}", self.name)
    }
}

/// An HTTP/1.1 request, complete but for `Content-Length`, which the driver derives from the body.
#[must_use = "a request that isn't made leaves its machine waiting"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(crate) id: ExchangeId,
    pub(crate) lane: Lane,
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Bytes,
}

impl Request {
    /// A request without headers and body, for machines of one's own and for tests.
    pub fn new(id: ExchangeId, lane: Lane, endpoint: Endpoint, method: Method, path: impl Into<String>) -> Self {
        Self { id, lane, endpoint, method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header.
    pub fn with_header(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    /// Sets the body.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The exchange that this request starts.
    #[must_use]
    pub const fn id(&self) -> ExchangeId {
        self.id
    }

    /// The connection it belongs on.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// Whom to connect to.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The request target in origin form, such as `/api/v1/scheduler`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// All headers but `Content-Length`; `Host` and `Authorization` are among them.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The body; empty for a `GET`.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Status and headers of an answer, as far as the machines look at them.
///
/// ```
/// use mesos_core::Head;
///
/// let head = Head::new(307).header("Location", b"//10.0.0.2:5050/master/api/v1/scheduler");
/// assert_eq!(head.status(), 307);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) stream_id: Option<String>,
    pub(crate) location: Option<String>,
}

/// No header that a machine keeps may be longer, in bytes; a longer one counts as absent.
const HEADER_LIMIT: usize = 4096;

impl Head {
    /// An answer with this status code and no headers so far.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self { status, content_type: None, stream_id: None, location: None }
    }

    /// Adds a header; names are compared without regard to case. Headers that no machine needs, values that aren't
    /// UTF-8 and values above 4 KiB are dropped, and of a repeated one the first is kept.
    #[must_use]
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        let slot = if name.eq_ignore_ascii_case("content-type") {
            &mut self.content_type
        } else if name.eq_ignore_ascii_case("mesos-stream-id") {
            &mut self.stream_id
        } else if name.eq_ignore_ascii_case("location") {
            &mut self.location
        } else {
            return self;
        };
        if slot.is_none() && value.len() <= HEADER_LIMIT {
            *slot = core::str::from_utf8(value).ok().map(Into::into);
        }
        self
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }
}

/// Why an exchange ended without a complete answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Failure {
    /// At which step.
    pub kind: FailureKind,
    /// Whether the peer may have got the request.
    pub sent: Sent,
    /// What the operating system or the library said, for people.
    pub detail: String,
}

impl Failure {
    /// A failure of this kind. `detail` is cut to 512 bytes.
    #[must_use]
    pub fn new(kind: FailureKind, sent: Sent, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > 512 {
            let cut = (0..=512).rev().find(|&i| detail.is_char_boundary(i)).unwrap_or(0);
            detail.truncate(cut);
        }
        Self { kind, sent, detail }
    }
}

/// The step at which an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FailureKind {
    /// The host name has no address.
    #[error("name resolution failed")]
    Resolve,
    /// No connection: refused, unreachable, or not within the driver's connect timeout.
    #[error("connection failed")]
    Connect,
    /// The TLS handshake failed: unknown authority, wrong name, or no TLS at all.
    #[error("TLS handshake failed")]
    Tls,
    /// The connection broke, in the middle of the request or of the answer.
    #[error("connection lost")]
    Io,
    /// What came isn't HTTP/1.1.
    #[error("malformed HTTP")]
    Http,
}

/// Whether a request can have reached its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Sent {
    /// Not a byte of it left.
    No,
    /// Some or all of it may have arrived.
    Maybe,
}
