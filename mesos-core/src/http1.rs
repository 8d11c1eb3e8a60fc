//! HTTP/1.1 for drivers that have sockets but no HTTP library: a request as bytes, reports from the bytes of its answer.
//!
//! It is as much as masters and agents need: one exchange on a connection, which is closed after it. Nothing here is
//! needed by drivers that have a library for HTTP.
//!
//! ```
//! use mesos_core::{Endpoint, ExchangeId, Head, Lane, Method, Report, Request, http1};
//!
//! let (id, master) = (ExchangeId::new(1), Endpoint::Tcp { tls: false, host: "10.0.0.1".into(), port: 5050 });
//! let request = Request::new(id, Lane::Ordered, master, Method::Post, "/api/v1/scheduler").with_body("call");
//! let bytes = http1::request(&request);
//! assert!(bytes.starts_with(b"POST /api/v1/scheduler HTTP/1.1\r\n") && bytes.ends_with(b"\r\n\r\ncall"));
//! // A driver writes these, and gives to `read` whatever it reads.
//! let mut answer = http1::Answer::new(id);
//! assert!(answer.read(b"HTTP/1.1 202 Accepted\r\nContent-Le").is_empty());
//! assert_eq!(answer.read(b"ngth: 0\r\n\r\n"), [Report::Head(id, Head::new(202)), Report::End(id)]);
//! ```

use alloc::format;
use alloc::vec::Vec;

use crate::{ExchangeId, Failure, FailureKind, Head, Method, Report, Request, Sent};

/// No head, and no line with the size of a chunk, may be longer.
const LIMIT: usize = 64 * 1024;

/// The request as it goes over the wire. The server is asked to close the connection after its answer.
///
/// If writing it fails, the driver says [`Failed`](Report::Failed) itself: [`FailureKind::Io`], and [`Sent::No`] if not
/// a byte was written.
#[must_use]
pub fn request(request: &Request) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method().as_str(), request.path());
    for header in request.headers() {
        head += &format!("{}: {}\r\n", header.name(), header.value());
    }
    if request.method() == Method::Post {
        head += &format!("Content-Length: {}\r\n", request.body().len());
    }
    [head.as_bytes(), b"\r\n", request.body()].concat()
}

/// An answer on its way. It holds at most 64 KiB, of a head or a line; a body goes through as it comes.
#[derive(Clone, Debug)]
pub struct Answer {
    id: ExchangeId,
    /// What has come and isn't understood so far; at most one line or head.
    rest: Vec<u8>,
    expects: Expects,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expects {
    Head,
    ChunkSize,
    /// So many bytes, and then the end of the line if they are a chunk.
    Bytes {
        left: u64,
        chunk: bool,
    },
    ChunkEnd,
    Trailer,
    /// Whatever comes until the connection is closed.
    Everything,
    Nothing,
}

impl Answer {
    /// Nothing of it has come so far.
    #[must_use]
    pub const fn new(id: ExchangeId) -> Self {
        Self { id, rest: Vec::new(), expects: Expects::Head }
    }

    /// Takes what has been read, and makes reports of it; nothing at all, which is what a socket reads at its end, says
    /// that the connection has ended. After the [last](Report::is_last) report it takes no more.
    ///
    /// An answer that isn't HTTP/1, and one that ends too soon, is a [`Failed`](Report::Failed); interim answers (1xx)
    /// are left out. If reading fails, the driver says `Failed` itself.
    pub fn read(&mut self, data: &[u8]) -> Vec<Report> {
        let mut reports = Vec::new();
        if data.is_empty() {
            reports.extend(self.closed());
        }
        self.rest.extend_from_slice(data);
        let mut rest = core::mem::take(&mut self.rest);
        let used = match self.parse(&rest, &mut reports) {
            Ok(used) => used,
            Err(what) => {
                self.fail(FailureKind::Http, what, &mut reports);
                rest.len()
            }
        };
        rest.drain(..used);
        self.rest = rest;
        reports
    }

    /// Says what is to be said if the connection breaks here.
    fn closed(&mut self) -> Option<Report> {
        let mut reports = Vec::new();
        match self.expects {
            Expects::Nothing => {}
            Expects::Everything => self.end(&mut reports),
            _ => self.fail(FailureKind::Io, "the connection has ended", &mut reports),
        }
        reports.pop()
    }

    fn end(&mut self, reports: &mut Vec<Report>) {
        self.expects = Expects::Nothing;
        reports.push(Report::End(self.id));
    }

    fn fail(&mut self, kind: FailureKind, what: &str, reports: &mut Vec<Report>) {
        self.expects = Expects::Nothing;
        reports.push(Report::Failed(self.id, Failure::new(kind, Sent::Maybe, what)));
    }

    /// Understands as much as there is, and says how much that is.
    fn parse(&mut self, data: &[u8], reports: &mut Vec<Report>) -> Result<usize, &'static str> {
        let mut used = 0;
        loop {
            let rest = data.get(used..).unwrap_or_default();
            let taken = match self.expects {
                Expects::Head => match find(rest, b"\r\n\r\n")? {
                    Some(head) => {
                        self.head(head, reports)?;
                        head.len() + 4
                    }
                    None => return Ok(used),
                },
                Expects::ChunkSize | Expects::ChunkEnd | Expects::Trailer => match find(rest, b"\r\n")? {
                    Some(line) => {
                        self.line(line, reports)?;
                        line.len() + 2
                    }
                    None => return Ok(used),
                },
                Expects::Bytes { left: 0, chunk: false } => {
                    self.end(reports);
                    0
                }
                Expects::Bytes { left: 0, chunk: true } => {
                    self.expects = Expects::ChunkEnd;
                    0
                }
                _ if rest.is_empty() => return Ok(used),
                Expects::Bytes { left, chunk } => {
                    let piece = rest.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(rest);
                    self.expects = Expects::Bytes { left: left - piece.len() as u64, chunk };
                    reports.push(Report::Body(self.id, piece.to_vec().into()));
                    piece.len()
                }
                Expects::Everything => {
                    reports.push(Report::Body(self.id, rest.to_vec().into()));
                    rest.len()
                }
                Expects::Nothing => rest.len(),
            };
            used += taken;
        }
    }

    fn head(&mut self, head: &[u8], reports: &mut Vec<Report>) -> Result<(), &'static str> {
        let head = core::str::from_utf8(head).map_err(|_| "a head that isn't text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok());
        let status: u16 = status.ok_or("no status")?;
        let mut seen = Head::new(status);
        self.expects = Expects::Everything;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
            let value = value.trim_matches([' ', '\t']);
            seen = seen.header(name, value.as_bytes());
            if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
                self.expects = Expects::ChunkSize;
            }
            if name.eq_ignore_ascii_case("content-length") && self.expects == Expects::Everything {
                let left = value.parse().map_err(|_| "no length")?;
                self.expects = Expects::Bytes { left, chunk: false };
            }
        }
        match status {
            // Only a word in between.
            100..=199 => self.expects = Expects::Head,
            204 | 304 => {
                self.expects = Expects::Bytes { left: 0, chunk: false };
                reports.push(Report::Head(self.id, seen));
            }
            _ => reports.push(Report::Head(self.id, seen)),
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], reports: &mut Vec<Report>) -> Result<(), &'static str> {
        match self.expects {
            Expects::ChunkSize => {
                // What may follow a semicolon means nothing to us.
                let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                let digits = core::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
                let left = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or("no chunk size")?;
                self.expects = if left == 0 { Expects::Trailer } else { Expects::Bytes { left, chunk: true } };
            }
            Expects::ChunkEnd if line.is_empty() => self.expects = Expects::ChunkSize,
            Expects::ChunkEnd => return Err("a chunk longer than its size"),
            _ if line.is_empty() => self.end(reports),
            _ => {}
        }
        Ok(())
    }
}

/// What stands before this end, if it has come.
fn find<'a>(data: &'a [u8], end: &[u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let place = data.windows(end.len()).take(LIMIT).position(|window| window == end);
    match place {
        Some(place) => Ok(data.get(..place)),
        None if data.len() >= LIMIT - 1 + end.len() => Err("a line without an end"),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::{answers, texts::answer as read};
    use alloc::vec;
    use proptest::prelude::*;

    fn chunked(body: &[u8], size: usize) -> Vec<u8> {
        let chunks =
            body.chunks(size).map(|chunk| [format!("{:X};x=y\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        [&chunks.collect::<Vec<_>>().concat(), &b"0\r\nTrailer: 1\r\n\r\n"[..]].concat()
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            body in proptest::collection::vec(any::<u8>(), 0..300),
            size in 1..100_usize,
            kind in 0..4,
            piece in 1..50_usize,
            cut in any::<proptest::sample::Index>(),
        ) {
            let rest = match kind {
                0 => [b"Transfer-Encoding: chunked\r\n\r\n", &chunked(&body, size)[..]].concat(),
                1 => [format!("content-length:{}\r\n\r\n", body.len()).as_bytes(), &body].concat(),
                2 => [b"X: y\r\n\r\n", &body[..]].concat(),
                // Anything at all.
                _ => body.clone(),
            };
            let whole = [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nMesos-Stream-Id: s1\r\n", &rest[..]].concat();
            let cut = &whole[..cut.index(whole.len() + 1)];
            for bytes in [&whole[..], cut] {
                answers(bytes);
                prop_assert_eq!(read(bytes.chunks(piece).chain([&b""[..]])), read([bytes, b""]));
            }
            if kind < 3 {
                let id = ExchangeId::new(1);
                let mut expected = vec![Report::Head(id, Head::new(200).header("mesos-stream-id", b"s1"))];
                expected.extend((!body.is_empty()).then(|| Report::Body(id, body.into())));
                expected.push(Report::End(id));
                prop_assert_eq!(read([&whole[..], b""]), expected);
            }
        }
    }

    // The limit came sooner for a head in pieces.
    #[test]
    fn a_head_as_long_as_may_be() {
        let start = b"HTTP/1.1 204 No\r\nX: ";
        for (length, kept) in [(LIMIT - 1, true), (LIMIT, false)] {
            let head = [&start[..], &vec![b'x'; length - start.len()], b"\r\n\r\n"].concat();
            let at_once = read([&head[..], b""]);
            assert_eq!(matches!(at_once.last(), Some(Report::End(_))), kept, "{length}");
            for cut in 1..5 {
                let (before, behind) = head.split_at(head.len() - cut);
                assert_eq!(read([before, behind, b""]), at_once, "{length}, {cut}");
            }
        }
    }

    #[test]
    fn what_isnt_http_is_a_failure() {
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; LIMIT]].concat();
        let chunk = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}").into_bytes();
        for (bytes, kind) in [
            (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n".to_vec(), FailureKind::Http),
            (endless, FailureKind::Http),
            (chunk("zz\r\n"), FailureKind::Http),
            (chunk("-1\r\n"), FailureKind::Http),
            (chunk("fffffffffffffffff\r\n"), FailureKind::Http),
            (chunk("1\r\nabc\r\n"), FailureKind::Http),
            (chunk("4\r\nab"), FailureKind::Io),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab".to_vec(), FailureKind::Io),
            (b"".to_vec(), FailureKind::Io),
        ] {
            let last = read([&bytes[..], b""]).pop();
            assert!(matches!(&last, Some(Report::Failed(_, failure)) if failure.kind == kind), "{last:?}");
        }
    }
}
