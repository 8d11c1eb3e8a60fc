//! RecordIO, HTTP, and the texts that name servers.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Choices;
use crate::recordio::{self, DecodeError, Decoder};
use crate::{Endpoint, ExchangeId, RedirectError, Report, http1, location};

/// The grammar of RecordIO, as plainly as it can be written.
pub(crate) fn naive(mut stream: &[u8], limit: usize) -> (Vec<Bytes>, Result<(), DecodeError>) {
    let mut records = Vec::new();
    while !stream.is_empty() {
        let digits = stream.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 32 {
            return (records, Err(DecodeError::BadLength(stream[32])));
        }
        match stream.get(digits) {
            None => return (records, Err(DecodeError::Truncated)),
            Some(b'\n') if digits > 0 => {}
            Some(&other) => return (records, Err(DecodeError::BadLength(other))),
        }
        let value = stream[..digits].iter().fold(0_u128, |value, digit| value * 10 + u128::from(digit - b'0'));
        let len = u64::try_from(value).unwrap_or(u64::MAX);
        if len > limit as u64 {
            return (records, Err(DecodeError::TooLarge { len, limit }));
        }
        stream = &stream[digits + 1..];
        if stream.len() < len as usize {
            return (records, Err(DecodeError::Truncated));
        }
        let (data, rest) = stream.split_at(len as usize);
        records.push(Bytes::copy_from_slice(data));
        stream = rest;
    }
    (records, Ok(()))
}

/// Feeds the chunks and drains after each: the records, and how it ended.
pub(crate) fn decode<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
) -> (Vec<Bytes>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(limit);
    let mut records = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(decoder.next_record(), Err(fault), "a fault stays");
                    return (records, Err(fault));
                }
            }
        }
        assert!(decoder.held() <= limit, "{} bytes are held", decoder.held());
    }
    (records, decoder.finish())
}

/// A stream is cut as the grammar says, wherever its chunks end; what was encoded comes back.
pub fn records(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let limit = choices.pick(&[30, 0, 1, 300, 100_000]);
    let sizes: Vec<usize> = (0..choices.byte() % 8).map(|_| usize::from(choices.byte()) + 1).collect();
    let stream = choices.rest();

    let expected = naive(stream, limit);
    assert_eq!(decode([stream], limit), expected);
    assert_eq!(decode(stream.chunks(1), limit), expected);
    let mut rest = stream;
    let mut pieces: Vec<&[u8]> = Vec::new();
    for size in sizes {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    assert_eq!(decode(pieces, limit), expected);

    let mut again = Vec::new();
    for record in &expected.0 {
        recordio::encode(record, &mut again);
    }
    assert_eq!(decode(again.chunks(7), limit), (expected.0, Ok(())));
}

/// Reads the pieces of an answer: its reports, with the body in one piece.
pub(crate) fn answer<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Report> {
    let mut answer = http1::Answer::new(ExchangeId::new(1));
    let mut all: Vec<Report> = Vec::new();
    for report in pieces.into_iter().flat_map(|piece| answer.read(piece)) {
        match (all.last_mut(), report) {
            (Some(Report::Body(_, before)), Report::Body(_, data)) => *before = [&before[..], &data].concat().into(),
            (_, report) => all.push(report),
        }
    }
    all
}

/// An answer is the same wherever it is cut; one report is the last, and that comes last.
pub fn answers(bytes: &[u8]) {
    let at_once = answer([bytes, b""]);
    assert_eq!(answer(bytes.chunks(1).chain([&b""[..], b"more"])), at_once);
    assert_eq!(at_once.iter().position(Report::is_last), at_once.len().checked_sub(1));
}

/// Whatever a redirect or a person names as a server: nothing gets through that can't stand in a request, and what gets
/// through is what was written.
pub fn places(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let tls = choices.byte() % 2 != 0;
    let Ok(text) = core::str::from_utf8(choices.rest()) else { return };
    let sound = |endpoint: &Endpoint| {
        let Endpoint::Tcp { host, port, .. } = endpoint else { unreachable!("no text names a socket") };
        assert!(!host.is_empty() && *port != 0);
        assert!(host.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@[]\\".contains(&b)), "{host:?}");
        assert_eq!(endpoint.to_string().parse().as_ref(), Ok(endpoint));
    };
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        sound(&endpoint);
        let Endpoint::Tcp { host, .. } = &endpoint else { return };
        assert!(text.contains(host.as_str()));
    }
    let from = Endpoint::Tcp { tls, host: "m".into(), port: 5050 };
    match location::resolve(Some(text), &from, "/api/v1/scheduler") {
        Ok((endpoint, path)) => {
            sound(&endpoint);
            assert!(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#'), "{path:?}");
            assert!(!tls || matches!(endpoint, Endpoint::Tcp { tls: true, .. }), "TLS is never given up");
        }
        Err(RedirectError::Malformed(shown) | RedirectError::Downgrade(shown)) => assert_eq!(shown, text),
        Err(other) => unreachable!("{other}"),
    }
}
