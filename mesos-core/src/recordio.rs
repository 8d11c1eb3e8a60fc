//! RecordIO framing: `length LF data`, over and over.
//!
//! The length is a decimal number, the data that many bytes. Chunks of the transport and records have nothing to do
//! with each other: a record may span many chunks, and a chunk may hold many records.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

/// A length line may have no more digits: the 20 of the largest 64-bit number, and some leading zeros.
const MAX_DIGITS: u8 = 32;

/// So much may be set aside for a record at once; beyond it, memory is only taken as data arrives.
const AHEAD: usize = 64 * 1024;

/// Cuts a stream of bytes into records.
///
/// The memory held is at most one record of the limit's size plus the chunks pushed since the last drain.
///
/// ```
/// use mesos_core::recordio::{DecodeError, Decoder};
///
/// let mut decoder = Decoder::new(1 << 20);
/// decoder.push(b"5\nhello3\nwo");
/// assert_eq!(decoder.next_record()?.as_deref(), Some(&b"hello"[..]));
/// assert_eq!(decoder.next_record()?, None);
/// decoder.push(b"w");
/// assert_eq!(decoder.next_record()?.as_deref(), Some(&b"wow"[..]));
/// decoder.finish()?;
/// # Ok::<(), DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    ready: VecDeque<Ready>,
    state: State,
    fault: Option<DecodeError>,
}

/// Why a stream can't be cut any further. There is no way to go on: the place of the next length is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A byte other than a digit stands in a length line, the line is empty, or it has more than 32 digits. The byte
    /// is the one at which the fault was seen.
    #[error("byte {0:#04x} where a record's length was expected")]
    BadLength(u8),
    /// The announced length is above the limit. `len` is `u64::MAX` if it doesn't fit 64 bits.
    #[error("a record of {len} bytes is above the limit of {limit}")]
    TooLarge {
        /// The announced length in bytes.
        len: u64,
        /// The decoder's limit in bytes.
        limit: usize,
    },
    /// The stream ended within a length or within a record's data.
    #[error("the stream ended within a record")]
    Truncated,
}

/// Whole records, not yet handed out.
#[derive(Debug)]
enum Ready {
    /// One record's data.
    Record(Bytes),
    /// Any number of records, each behind its length line. Keeping the lines instead of a list of records bounds the
    /// memory that a chunk full of tiny records costs.
    Framed(Bytes),
}

/// The record at the end of what was pushed.
#[derive(Debug)]
enum State {
    /// Within a length line, or before it.
    Length(Line),
    /// Within the data: what is there of it, and how long it will be.
    Data(Vec<u8>, usize),
}

/// A length line, digit by digit.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    value: u64,
    digits: u8,
}

impl Line {
    /// The length, once `byte` is the line's end.
    fn feed(&mut self, byte: u8, limit: usize) -> Result<Option<usize>, DecodeError> {
        match byte {
            b'0'..=b'9' if self.digits < MAX_DIGITS => {
                self.value = self.value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.digits += 1;
                Ok(None)
            }
            b'\n' if self.digits > 0 => match usize::try_from(self.value) {
                Ok(len) if len <= limit => Ok(Some(len)),
                _ => Err(DecodeError::TooLarge { len: self.value, limit }),
            },
            _ => Err(DecodeError::BadLength(byte)),
        }
    }

    /// Reads on in `bytes`: the length and the data behind its line, or `None` if the line doesn't end there.
    fn read<'a>(&mut self, bytes: &'a [u8], limit: usize) -> Result<Option<(usize, &'a [u8])>, DecodeError> {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if let Some(len) = self.feed(byte, limit)? {
                return Ok(Some((len, rest)));
            }
        }
        Ok(None)
    }
}

impl Decoder {
    /// A decoder that refuses records above `limit` bytes, as soon as their length is read.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, ready: VecDeque::new(), state: State::Length(Line { value: 0, digits: 0 }), fault: None }
    }

    /// Takes the next bytes of the stream, split anywhere. After a fault they are ignored.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.fault.is_none() {
            if let Err(fault) = self.cut(chunk) {
                self.fault = Some(fault);
            }
        }
    }

    /// The next whole record; `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// Once the records before a fault have been handed out, the fault, again and again.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, DecodeError> {
        loop {
            match self.ready.pop_front() {
                Some(Ready::Record(record)) => return Ok(Some(record)),
                Some(Ready::Framed(mut block)) => {
                    let header = Line::default().read(&block, self.limit)?.map(|(len, rest)| (len, rest.len()));
                    let Some((len, rest)) = header.filter(|&(len, rest)| len <= rest) else { continue };
                    block.advance(block.len() - rest);
                    let record = block.split_to(len);
                    if block.has_remaining() {
                        self.ready.push_front(Ready::Framed(block));
                    }
                    return Ok(Some(record));
                }
                None => return self.fault.map_or(Ok(None), Err),
            }
        }
    }

    /// To be asked at the end of the stream.
    ///
    /// # Errors
    ///
    /// An earlier fault, or [`DecodeError::Truncated`] if the stream ended within a record.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match (self.fault, &self.state) {
            (Some(fault), _) => Err(fault),
            (None, State::Length(Line { digits: 0, .. })) => Ok(()),
            (None, _) => Err(DecodeError::Truncated),
        }
    }

    /// The memory that the record at the end has taken.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn held(&self) -> usize {
        match &self.state {
            State::Data(data, _) => data.capacity(),
            State::Length(_) => 0,
        }
    }

    /// Cuts `chunk`: every byte is copied once, into a record of its own or into the block of the whole records.
    fn cut(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        let mut chunk = chunk;
        // The record that an earlier chunk began.
        if let State::Length(line @ Line { digits: 1.., .. }) = &mut self.state {
            let Some((len, rest)) = line.read(chunk, self.limit)? else { return Ok(()) };
            self.state = State::Data(Vec::new(), len);
            chunk = rest;
        }
        if let State::Data(data, len) = &mut self.state {
            chunk = fill(data, *len, chunk);
            if data.len() < *len {
                return Ok(());
            }
            self.ready.push_back(Ready::Record(core::mem::take(data).into()));
        }
        // Whole records.
        let (mut rest, mut result) = (chunk, Ok(()));
        self.state = loop {
            let mut line = Line::default();
            match line.read(rest, self.limit) {
                Ok(Some((len, data))) => match data.get(len..) {
                    Some(behind) => rest = behind,
                    None => break State::Data(Vec::new(), len),
                },
                Ok(None) => break State::Length(line),
                Err(fault) => {
                    result = Err(fault);
                    break State::Length(line);
                }
            }
        };
        let whole = chunk.len() - rest.len();
        if whole > 0 {
            self.ready.push_back(Ready::Framed(Bytes::copy_from_slice(&chunk[..whole])));
        }
        // The beginning of one that a later chunk ends.
        if let State::Data(data, len) = &mut self.state {
            if let Ok(Some((_, beginning))) = Line::default().read(rest, self.limit) {
                fill(data, *len, beginning);
            }
        }
        result
    }
}

/// Moves bytes from `chunk` to `data` until that is `len` bytes long; what is left of the chunk.
fn fill<'a>(data: &mut Vec<u8>, len: usize, chunk: &'a [u8]) -> &'a [u8] {
    let missing = len - data.len();
    let (part, rest) = chunk.split_at(missing.min(chunk.len()));
    if data.capacity() - data.len() < part.len() {
        // Doubling, but never past the announced end, so that memory follows the data and the finished record
        // becomes `Bytes` without another copy.
        data.reserve_exact(missing.min(part.len().max(data.capacity()).max(AHEAD)));
    }
    data.extend_from_slice(part);
    rest
}

/// Appends `data` as one record.
///
/// ```
/// let mut stream = Vec::new();
/// mesos_core::recordio::encode(b"hello", &mut stream);
/// assert_eq!(stream, b"5\nhello");
/// ```
pub fn encode(data: &[u8], out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let (mut start, mut left) = (digits.len(), data.len());
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.reserve(digits.len() - start + 1 + data.len());
    out.extend_from_slice(&digits[start..]);
    out.push(b'\n');
    out.extend_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::texts::{decode, naive};
    use alloc::vec;
    use proptest::collection::vec as vec_of;
    use proptest::prelude::*;

    const LIMIT: usize = 1000;

    fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
    }

    // S155, S156, W5: one byte at a time, every size of chunk, many records in a chunk.
    #[test]
    fn every_chunk_size_gives_the_same_records() {
        let expected: Vec<Vec<u8>> = (0..60).map(|n| vec![b'a' + (n % 26) as u8; n * 7 % 131]).collect();
        let mut stream = Vec::new();
        for record in &expected {
            encode(record, &mut stream);
        }
        for size in 1..=stream.len() {
            let (records, end) = decode(stream.chunks(size), LIMIT);
            assert_eq!((end, records.len()), (Ok(()), expected.len()), "chunks of {size}");
            assert!(records.iter().zip(&expected).all(|(a, b)| a == b), "chunks of {size}");
        }
    }

    // S157, W6: a length counts bytes, and a cut may fall into a character.
    #[test]
    fn lengths_count_bytes_not_characters() {
        let text = "ä€🦀";
        let mut stream = Vec::new();
        encode(text.as_bytes(), &mut stream);
        assert!(stream.starts_with(b"9\n"));
        assert_eq!(decode(stream.chunks(1), LIMIT).0, [Bytes::from_static(text.as_bytes())]);
    }

    // S158
    #[test]
    fn faults() {
        let fault = |stream: &[u8]| decode([stream], LIMIT).1;
        for (stream, byte) in [
            (&b"\n"[..], b'\n'),
            (b"+1\na", b'+'),
            (b" 1\na", b' '),
            (b"1\r\na", b'\r'),
            (b"0x1\na", b'x'),
            (b"-1\n", b'-'),
        ] {
            assert_eq!(fault(stream), Err(DecodeError::BadLength(byte)));
        }
        assert_eq!(fault(b"1001\n"), Err(DecodeError::TooLarge { len: 1001, limit: LIMIT }));
        assert_eq!(fault(b"99999999999999999999999\n"), Err(DecodeError::TooLarge { len: u64::MAX, limit: LIMIT }));
        assert_eq!(fault(&[b'0'; 40]), Err(DecodeError::BadLength(b'0')));
        for truncated in [&b"1"[..], b"1\n", b"2\na", b"0\n5\nabcd"] {
            assert_eq!(fault(truncated), Err(DecodeError::Truncated));
        }
        let (records, end) = decode([&b"1\na1\nb!"[..]], LIMIT);
        assert_eq!((records.len(), end), (2, Err(DecodeError::BadLength(b'!'))), "records before a fault are good");
    }

    #[test]
    fn empty_records_and_leading_zeros_are_legal() {
        let (records, end) = decode([&b"0\n00000000000000000003\nabc0\n"[..]], LIMIT);
        assert_eq!((records, end), (vec![Bytes::new(), Bytes::from_static(b"abc"), Bytes::new()], Ok(())));
    }

    #[test]
    fn an_announced_length_takes_no_memory_by_itself() {
        let mut decoder = Decoder::new(usize::MAX);
        decoder.push(b"1000000000000\nx");
        assert!((1..=AHEAD).contains(&decoder.held()));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_cut_as_the_grammar_says(
            stream in vec_of(prop_oneof![8 => b'0'..=b'9', 4 => Just(b'\n'), 1 => any::<u8>()], 0..300),
            cuts in vec_of(any::<usize>(), 0..20),
        ) {
            prop_assert_eq!(decode(pieces(&stream, &cuts), 30), naive(&stream, 30));
        }

        #[test]
        fn what_was_encoded_is_decoded(
            records in vec_of(vec_of(any::<u8>(), 0..200), 0..20),
            cuts in vec_of(any::<usize>(), 0..40),
        ) {
            let mut stream = Vec::new();
            for record in &records {
                encode(record, &mut stream);
            }
            let (decoded, end) = decode(pieces(&stream, &cuts), 200);
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(decoded, records);
        }
    }
}
