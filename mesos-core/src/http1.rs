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
//! let bytes = http1::request(&request)?;
//! assert!(bytes.starts_with(b"POST /api/v1/scheduler HTTP/1.1\r\n") && bytes.ends_with(b"\r\n\r\ncall"));
//! // A driver writes these, and gives to `read` whatever it reads.
//! let mut answer = http1::Answer::new(id);
//! assert!(answer.read(b"HTTP/1.1 202 Accepted\r\nContent-Le").is_empty());
//! assert_eq!(answer.read(b"ngth: 0\r\n\r\n"), [Report::Head(id, Head::new(202)), Report::End(id)]);
//! # Ok::<(), mesos_core::Failure>(())
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::{ExchangeId, Failure, FailureKind, Head, Method, Report, Request, Sent};

/// No head, and no line with the size of a chunk, may be longer.
const LIMIT: usize = 64 * 1024;
/// No answer may have more interim heads and trailers than this.
const EXTRAS: u32 = 100;

/// The request as it goes over the wire. The server is asked to close the connection after its answer.
///
/// If writing it fails, the driver says [`Failed`](Report::Failed) itself: [`FailureKind::Io`], and [`Sent::No`] if not
/// a byte was written.
///
/// # Errors
/// Its path or a header can't stand in HTTP: the path begins with `/` and is visible ASCII without `#`, a header's value
/// is visible ASCII and spaces. It is the failure to report, and doesn't show the value.
pub fn request(request: &Request) -> Result<Vec<u8>, Failure> {
    let refused = |what: String| Failure::new(FailureKind::Http, Sent::No, what);
    let path = request.path();
    if !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(refused(format!("path {path:?}: not a legal one")));
    }
    let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method().as_str(), path);
    for header in request.headers() {
        if !is_name(header.name()) || !header.value().bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(refused(format!("header {:?}: not a legal name or value", header.name())));
        }
        head += &format!("{}: {}\r\n", header.name(), header.value());
    }
    if request.method() == Method::Post {
        head += &format!("Content-Length: {}\r\n", request.body().len());
    }
    Ok([head.as_bytes(), b"\r\n", request.body()].concat())
}

/// Whether it can stand before a colon; with a space behind it, it is another name for some and the same for others.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// An answer on its way. It holds at most 64 KiB, of a head or a line; a body goes through as it comes.
#[derive(Clone, Debug)]
pub struct Answer {
    id: ExchangeId,
    /// What has come and isn't understood so far; at most one line or head.
    rest: Vec<u8>,
    expects: Expects,
    /// Interim heads and trailers so far.
    extras: u32,
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
        Self { id, rest: Vec::new(), expects: Expects::Head, extras: 0 }
    }

    /// Takes what has been read, and makes reports of it; nothing at all, which is what a socket reads at its end, says
    /// that the connection has ended. After the [last](Report::is_last) report it takes no more.
    ///
    /// An answer that isn't HTTP/1, one whose length is in doubt, one in a transfer coding other than `chunked`, and one
    /// that ends too soon, is a [`Failed`](Report::Failed); interim answers (1xx) and trailers are left out, and more than
    /// a hundred of them are a failure. If reading fails, the driver says `Failed` itself.
    pub fn read(&mut self, data: &[u8]) -> Vec<Report> {
        let mut reports = Vec::new();
        if data.is_empty() {
            reports.extend(self.closed());
        }
        // An end that wasn't there before begins three bytes before what is new, or later.
        let searched = self.rest.len().saturating_sub(3);
        self.rest.extend_from_slice(data);
        let mut rest = core::mem::take(&mut self.rest);
        let used = match self.parse(&rest, searched, &mut reports) {
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

    /// Understands as much as there is, and says how much that is. No end begins within the first `searched` bytes.
    fn parse(&mut self, data: &[u8], mut searched: usize, reports: &mut Vec<Report>) -> Result<usize, &'static str> {
        let mut used = 0;
        loop {
            let rest = data.get(used..).unwrap_or_default();
            let from = core::mem::take(&mut searched);
            let taken = match self.expects {
                Expects::Head => match find(rest, b"\r\n\r\n", from)? {
                    Some(head) => {
                        self.head(head, reports)?;
                        head.len() + 4
                    }
                    None => return Ok(used),
                },
                Expects::ChunkSize | Expects::ChunkEnd | Expects::Trailer => match find(rest, b"\r\n", from)? {
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
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1));
        let status = status.filter(|status| status.len() == 3).and_then(number).ok_or("no status")?;
        let mut seen = Head::new(status);
        let (mut chunked, mut length) = (false, None);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
            if !is_name(name) {
                return Err("a header without a name");
            }
            let value = value.trim_matches([' ', '\t']);
            seen = seen.header(name, value.as_bytes());
            if name.eq_ignore_ascii_case("transfer-encoding") {
                if chunked || !value.eq_ignore_ascii_case("chunked") {
                    return Err("a transfer coding other than chunked");
                }
                chunked = true;
            }
            if name.eq_ignore_ascii_case("content-length") {
                let said: u64 = number(value).ok_or("no length")?;
                if length.replace(said).is_some_and(|before| before != said) {
                    return Err("two lengths");
                }
            }
        }
        self.expects = match length {
            _ if chunked => Expects::ChunkSize,
            Some(left) => Expects::Bytes { left, chunk: false },
            None => Expects::Everything,
        };
        match status {
            // Only a word in between.
            100..=199 => {
                self.extra()?;
                self.expects = Expects::Head;
            }
            204 | 304 => {
                self.expects = Expects::Bytes { left: 0, chunk: false };
                reports.push(Report::Head(self.id, seen));
            }
            _ => reports.push(Report::Head(self.id, seen)),
        }
        Ok(())
    }

    /// One more that means nothing to us.
    fn extra(&mut self) -> Result<(), &'static str> {
        self.extras += 1;
        if self.extras > EXTRAS { Err("interim answers or trailers without end") } else { Ok(()) }
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
            _ => self.extra()?,
        }
        Ok(())
    }
}

/// A number of digits and nothing else.
fn number<N: core::str::FromStr>(text: &str) -> Option<N> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// What stands before this end, if it has come; it doesn't begin before `from`.
fn find<'a>(data: &'a [u8], end: &[u8], from: usize) -> Result<Option<&'a [u8]>, &'static str> {
    let place = data.windows(end.len()).take(LIMIT).skip(from).position(|window| window == end);
    match place {
        Some(place) => Ok(data.get(..from + place)),
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

    const OK: &str = "HTTP/1.1 200 OK";

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
            // Each byte is looked at once, or this takes minutes.
            assert_eq!(read(head.chunks(1).chain([&b""[..]])), at_once, "{length}");
        }
    }

    #[test]
    fn what_isnt_http_is_a_failure() {
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; LIMIT]].concat();
        let head = |header: &str| format!("{OK}\r\n{header}\r\n\r\n").into_bytes();
        let chunk = |rest: &str| format!("{OK}\r\nTransfer-Encoding: chunked\r\n\r\n{rest}").into_bytes();
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
            (head("Transfer-Encoding: gzip"), FailureKind::Http),
            (head("Transfer-Encoding: gzip, chunked"), FailureKind::Http),
            (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), FailureKind::Http),
            (head("Content-Length: 0\r\nContent-Length: 1"), FailureKind::Http),
            (head("Content-Length : 0"), FailureKind::Http),
            (head(": 0"), FailureKind::Http),
            (head("Content-Length: +0"), FailureKind::Http),
            (head("Content-Length:"), FailureKind::Http),
            (b"HTTP/1.1 +200 OK\r\n\r\n".to_vec(), FailureKind::Http),
            (b"HTTP/1.1 +20 OK\r\n\r\n".to_vec(), FailureKind::Http),
            (chunk(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(101))), FailureKind::Http),
            (format!("{}{OK}\r\n\r\n", "HTTP/1.1 103 Hints\r\n\r\n".repeat(101)).into_bytes(), FailureKind::Http),
        ] {
            let last = read([&bytes[..], b""]).pop();
            assert!(matches!(&last, Some(Report::Failed(_, failure)) if failure.kind == kind), "{last:?}");
        }
    }
    #[test]
    fn what_is_said_twice_alike_is_no_contradiction() {
        let lengths = "Content-Length: 2\r\ncontent-length: 2\r\n\r\nab";
        let chunks = "Content-Length: 9\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n";
        let trailers = [chunks, &"X: y\r\n".repeat(100), "\r\n"].concat();
        for rest in [lengths, &trailers] {
            let reports = read([[OK, "\r\n", rest].concat().as_bytes(), b""]);
            assert_eq!(reports.last(), Some(&Report::End(ExchangeId::new(1))), "{rest}");
        }
    }

    #[test]
    fn requests_that_http_has_no_room_for() {
        let made = |path: &str, header| {
            let (id, master) = (ExchangeId::new(1), crate::Endpoint::Tcp { tls: false, host: "m".into(), port: 1 });
            let made = Request::new(id, crate::Lane::Ordered, master, Method::Get, path).with_header(header);
            request(&made).map_err(|failure| (failure.kind, failure.sent, failure.detail.contains("Injected")))
        };
        let fine = || crate::Header::new("A", "Basic eA==");
        assert_eq!(
            made("/a?b=c", fine()).unwrap(),
            b"GET /a?b=c HTTP/1.1\r\nConnection: close\r\nA: Basic eA==\r\n\r\n"
        );
        for path in ["", "a", "/a b", "/a\r\nB: c", "/#", "/\u{e9}"] {
            assert_eq!(made(path, fine()), Err((FailureKind::Http, Sent::No, false)), "{path:?}");
        }
        for (name, value) in [("A", "a\r\nInjected: b"), ("A", "\0"), ("A", "\u{e9}"), ("A ", "b"), ("", "b")] {
            let header = crate::Header::sensitive(name, value);
            assert_eq!(made("/", header), Err((FailureKind::Http, Sent::No, false)), "{name:?} {value:?}");
        }
    }
}
