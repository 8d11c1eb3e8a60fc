//! The log's bytes: how batches are framed, and what a reader makes of any bytes at all.

use std::io::{self, BufRead, BufReader, Read};

use bytes::Bytes;
use mesos_core::{Key, Persist, StoreOp};

use crate::Records;
use crate::disk::Failure;
use crate::log::LOG;

const MAGIC: &str = "mesos-file";
const VERSION: u64 = 1;

/// A record, name and value together, and a batch.
pub(crate) const MAX_SIZE: usize = Persist::MAX_BYTES;
pub(crate) const MAX_OPS: usize = Persist::MAX_OPS;
/// What a change takes beside name and value is `put `, a length of at most six digits between blanks, and the end.
const MAX_LINES: usize = MAX_SIZE + MAX_OPS * 13;
/// `sealed 18446744073709551615 928256 0123456789abcdef` and the end, with some air.
const MAX_HEAD: usize = 64;
const MAX_FRAME: usize = MAX_HEAD + MAX_LINES;
/// How many bytes are summed up in search of batches behind a broken one. Batches that overlap aren't ours, and those that
/// don't take one frame at most: more is only needed for values that try to look like them.
const MAX_SUMMED: usize = 16 * MAX_FRAME;

/// CRC-64/XZ, as far as it has got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc(u64);

impl Crc {
    const TABLE: [u64; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u64;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ (if crc & 1 == 1 { 0xC96C_5795_D787_0F42 } else { 0 });
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };

    const fn new() -> Self {
        Self(u64::MAX)
    }

    fn with(self, bytes: &[u8]) -> Self {
        let step = |crc: u64, byte: &u8| {
            let index = usize::from((crc as u8) ^ byte);
            Self::TABLE.get(index).copied().unwrap_or_default() ^ (crc >> 8)
        };
        Self(bytes.iter().fold(self.0, step))
    }

    const fn value(self) -> u64 {
        !self.0
    }
}

/// Records, and how many bytes they would take in a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    pub(crate) records: Records,
    pub(crate) size: u64,
}

impl Live {
    pub(crate) fn apply(&mut self, op: StoreOp) {
        let old = match &op {
            StoreOp::Put { key, value } => {
                self.size += line_size(key, value);
                self.records.insert(key.clone(), value.clone())
            }
            StoreOp::Delete { key } => self.records.remove(key),
        };
        if let Some(value) = old {
            self.size = self.size.saturating_sub(line_size(op.key(), &value));
        }
    }
}

fn line_size(key: &Key, value: &Bytes) -> u64 {
    // `put`, three blanks, the end of the line.
    let digits = value.len().checked_ilog10().unwrap_or(0) as usize + 1;
    (key.as_str().len() + value.len() + digits + 7) as u64
}

/// The first line, and what the checksums of all others start from.
pub(crate) fn header(salt: u64) -> (String, Crc) {
    let line = format!("{MAGIC} {VERSION} {salt:016x}\n");
    let seed = Crc::new().with(line.as_bytes());
    (line, seed)
}

/// A batch as it stands in the log.
pub(crate) fn batch<'a>(seed: Crc, number: u64, ops: impl IntoIterator<Item = &'a StoreOp>) -> Vec<u8> {
    let mut lines = Vec::new();
    for op in ops {
        match op {
            StoreOp::Put { key, value } => put(&mut lines, key, value),
            StoreOp::Delete { key } => lines.extend(format!("del {key}\n").bytes()),
        }
    }
    frame("batch", seed, number, &lines)
}

fn put(lines: &mut Vec<u8>, key: &Key, value: &[u8]) {
    lines.extend(format!("put {key} {} ", value.len()).bytes());
    lines.extend(value);
    lines.push(b'\n');
}

/// What closes the part of a log that was there before it got its name.
pub(crate) fn seal(seed: Crc, number: u64) -> Vec<u8> {
    frame("sealed", seed, number, &[])
}

fn frame(word: &str, seed: Crc, number: u64, lines: &[u8]) -> Vec<u8> {
    let head = format!("{word} {number} {} ", lines.len());
    let crc = seed.with(head.as_bytes()).with(lines).value();
    [head.as_bytes(), format!("{crc:016x}\n").as_bytes(), lines].concat()
}

/// All records as batches, numbered from 1, and the number of the next.
pub(crate) fn snapshot(
    seed: Crc,
    records: &Records,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut next, mut ops, mut size, mut lines) = (1, 0, 0, Vec::new());
    for (key, value) in records {
        let more = key.as_str().len() + value.len();
        if ops == MAX_OPS || size + more > MAX_SIZE {
            write(&frame("batch", seed, next, &lines))?;
            (next, ops, size) = (next + 1, 0, 0);
            lines.clear();
        }
        put(&mut lines, key, value);
        (ops, size) = (ops + 1, size + more);
    }
    if ops > 0 {
        write(&frame("batch", seed, next, &lines))?;
        next += 1;
    }
    Ok(next)
}

/// What is in a log.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) live: Live,
    pub(crate) seed: Crc,
    /// The number of the next batch.
    pub(crate) next: u64,
    /// Where it goes. What follows there by now is the beginning of a batch that was never confirmed.
    pub(crate) length: u64,
}

/// Why a log can't be read.
#[derive(Debug)]
pub(crate) enum Fault {
    Newer(u64),
    Damaged { offset: u64, detail: &'static str },
    Io(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Io(failure)
    }
}

impl From<io::Error> for Fault {
    /// Of a log that is being read.
    fn from(error: io::Error) -> Self {
        Self::Io(Failure::of(LOG)(error))
    }
}

/// Reads a log up to its end, or to the batch that a crash left unfinished there.
///
/// One batch at a time is written and synced, so only the last one can be unfinished, whatever of it has come to the
/// disk; and what was there before the file got its name can't be.
pub(crate) fn read(input: impl Read) -> Result<Content, Fault> {
    let mut input = BufReader::new(input);
    let first = line(&mut input)?;
    let seed = parse_header(&first)?;
    let mut content = Content { live: Live::default(), seed, next: 1, length: first.len() as u64 };
    let mut sealed = false;
    loop {
        let damaged = |detail| Err(Fault::Damaged { offset: content.length, detail });
        let mut bytes = line(&mut input)?;
        if bytes.is_empty() && sealed {
            return Ok(content);
        }
        if let Some(head) = Head::parse(&bytes) {
            input.by_ref().take(head.lines as u64).read_to_end(&mut bytes)?;
        }
        let Some((head, lines)) = whole(seed, &bytes) else {
            if !sealed {
                return damaged("not a batch as it was written");
            }
            let missing = (MAX_FRAME + 1).saturating_sub(bytes.len());
            input.by_ref().take(missing as u64).read_to_end(&mut bytes)?;
            if bytes.len() > MAX_FRAME {
                return damaged("not a batch as it was written, and more follows than a crash can leave");
            }
            return match later_batch(seed, content.next, &bytes) {
                Some(detail) => damaged(detail),
                None => Ok(content),
            };
        };
        if head.number != content.next {
            return damaged("a batch out of sequence");
        }
        match (head.seals, sealed) {
            (true, false) => sealed = true,
            (true, true) => return damaged("a second seal"),
            (false, _) => {}
        }
        if parse_lines(lines, &mut content.live).is_none() {
            return damaged("a batch with changes that nobody can read");
        }
        content.next += 1;
        content.length += bytes.len() as u64;
    }
}

/// Up to the end of the line, of the file, or as many bytes as a line of ours has at most.
fn line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(MAX_HEAD as u64).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn parse_header(line: &[u8]) -> Result<Crc, Fault> {
    let damaged = Err(Fault::Damaged { offset: 0, detail: "not the first line of a log" });
    let text = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix('\n'));
    let Some(rest) = text.and_then(|text| text.strip_prefix(MAGIC)?.strip_prefix(' ')) else { return damaged };
    let (version, salt) = rest.split_once(' ').unwrap_or((rest, ""));
    match version.parse() {
        Ok(version) if version > VERSION => Err(Fault::Newer(version)),
        Ok(VERSION) if salt.len() == 16 => Ok(Crc::new().with(line)),
        _ => damaged,
    }
}

/// The first line of a batch.
#[derive(Clone, Copy, Debug)]
struct Head {
    seals: bool,
    number: u64,
    /// How long the lines are that follow.
    lines: usize,
    /// How long this one is.
    size: usize,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().take(MAX_HEAD).position(|b| *b == b'\n')?;
        let mut words = std::str::from_utf8(bytes.get(..end)?).ok()?.split(' ');
        let seals = match words.next()? {
            "batch" => false,
            "sealed" => true,
            _ => return None,
        };
        let (number, lines) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let crc = words.next()?;
        let good = crc.len() == 16 && lines <= MAX_LINES && words.next().is_none();
        good.then_some(Self { seals, number, lines, size: end + 1 })
    }
}

/// The batch at the start of these bytes, if it is there as it was written.
fn whole(seed: Crc, bytes: &[u8]) -> Option<(Head, &[u8])> {
    let head = Head::parse(bytes)?;
    let (first, rest) = bytes.split_at_checked(head.size)?;
    let lines = rest.get(..head.lines)?;
    let (covered, crc) = first.split_at_checked(head.size.checked_sub(17)?)?;
    let expected = format!("{:016x}\n", seed.with(covered).with(lines).value());
    (crc == expected.as_bytes()).then_some((head, lines))
}

/// Why the end can't be cut off from a broken batch on: a whole one stands somewhere behind it. The seed keeps values that
/// quote a log, and old blocks of the disk, from looking like one.
fn later_batch(seed: Crc, broken: u64, bytes: &[u8]) -> Option<&'static str> {
    let mut budget = MAX_SUMMED;
    for bytes in (1..bytes.len()).filter_map(|at| bytes.get(at..)) {
        let Some(head) = bytes.starts_with(b"batch ").then(|| Head::parse(bytes)).flatten() else { continue };
        // One that isn't there to its end is none, and costs nothing.
        if head.number <= broken || bytes.len().saturating_sub(head.size) < head.lines {
            continue;
        }
        match budget.checked_sub(head.lines) {
            Some(left) => budget = left,
            None => return Some("not a batch as it was written, and others may follow"),
        }
        if whole(seed, bytes).is_some() {
            return Some("not a batch as it was written, and others follow");
        }
    }
    None
}

fn parse_lines(mut lines: &[u8], live: &mut Live) -> Option<()> {
    while !lines.is_empty() {
        let (word, rest) = until(b' ', lines)?;
        match word {
            "put" => {
                let (key, rest) = until(b' ', rest)?;
                let (length, rest) = until(b' ', rest)?;
                let (value, rest) = rest.split_at_checked(length.parse().ok()?)?;
                live.apply(StoreOp::Put { key: Key::parse(key)?, value: Bytes::copy_from_slice(value) });
                lines = rest.strip_prefix(b"\n")?;
            }
            "del" => {
                let (key, rest) = until(b'\n', rest)?;
                live.apply(StoreOp::Delete { key: Key::parse(key)? });
                lines = rest;
            }
            _ => return None,
        }
    }
    Some(())
}

fn until(end: u8, bytes: &[u8]) -> Option<(&str, &[u8])> {
    let at = bytes.iter().position(|b| *b == end)?;
    let (text, rest) = bytes.split_at_checked(at)?;
    Some((std::str::from_utf8(text).ok()?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: u64 = 0x0123_4567_89ab_cdef;

    fn op(key: &str, value: Option<&str>) -> StoreOp {
        let key = Key::new(key.split('/'));
        match value {
            Some(value) => StoreOp::Put { key, value: Bytes::copy_from_slice(value.as_bytes()) },
            None => StoreOp::Delete { key },
        }
    }

    /// A log with these batches behind its seal, and where each of them ends.
    fn log(batches: &[Vec<StoreOp>]) -> (Vec<u8>, Vec<usize>) {
        let (line, seed) = header(SALT);
        let mut bytes = [line.into_bytes(), seal(seed, 1)].concat();
        let mut ends = vec![bytes.len()];
        for (number, ops) in (2..).zip(batches) {
            bytes.extend(batch(seed, number, ops));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn after(batches: &[Vec<StoreOp>]) -> Records {
        let mut live = Live::default();
        batches.iter().flatten().for_each(|op| live.apply(op.clone()));
        live.records
    }

    fn example() -> Vec<Vec<StoreOp>> {
        vec![
            vec![op("engine", Some("{\"version\":1}")), op("inst/web/0/3", Some("{\"state\":\"STAGING\"}"))],
            vec![op("inst/web/0/3", Some("two\nlines\nbatch 9 0 "))],
            vec![op("inst/web/0/3", None), op("slot/web/0", Some(""))],
        ]
    }

    #[test]
    fn the_checksum_is_the_one_that_others_know() {
        assert_eq!(Crc::new().with(b"123456789").value(), 0x995D_C9BB_DF19_39FA);
    }

    // The format is a promise to those who have logs already.
    #[test]
    fn a_log_as_it_stands_on_the_disk() {
        let text = "mesos-file 1 0123456789abcdef\n\
            sealed 1 0 1ff2d3b9c03aca08\n\
            batch 2 68 252011175d3496f1\n\
            put engine 13 {\"version\":1}\n\
            put inst/web/0/3 19 {\"state\":\"STAGING\"}\n";
        let (bytes, ends) = log(&example());
        assert_eq!(std::str::from_utf8(&bytes[..ends[1]]).unwrap(), text);
    }

    #[test]
    fn the_manual_s_example_is_one() {
        let (_, rest) = include_str!("../README.md").split_once("```text\n").unwrap();
        let (example, _) = rest.split_once("...\n```").unwrap();
        let content = read(example.as_bytes()).unwrap();
        assert_eq!((content.length, content.next), (example.len() as u64, 4));
        let batch = [op("engine", Some("{\"version\":1}")), op("inst/web/0/3", Some("{\"state\":\"RUNNING\"}"))];
        assert_eq!(content.live.records, after(&[batch.to_vec()]));
    }

    #[test]
    fn the_size_kept_is_the_size_written() {
        let mut live = Live::default();
        for batch in example() {
            batch.into_iter().for_each(|op| live.apply(op));
            let mut size = 0;
            for (key, value) in &live.records {
                let mut lines = Vec::new();
                put(&mut lines, key, value);
                size += lines.len() as u64;
            }
            assert_eq!(live.size, size);
        }
    }

    // A crash may leave any length behind the seal.
    #[test]
    fn cut_anywhere_it_gives_the_batches_before() {
        let batches = example();
        let (bytes, ends) = log(&batches);
        for length in 0..=bytes.len() {
            let read = read(&bytes[..length]);
            let Some(complete) = ends.iter().rposition(|end| *end <= length) else {
                assert!(matches!(read, Err(Fault::Damaged { .. })), "{length}: {read:?}");
                continue;
            };
            let content = read.unwrap();
            assert_eq!(content.live.records, after(&batches[..complete]), "{length}");
            assert_eq!(content.length, ends[complete] as u64);
            assert_eq!(content.next, complete as u64 + 2);
        }
    }

    // Each byte, in each of many ways; what comes of it is never wrong and never less than it could be.
    #[test]
    fn any_byte_may_be_another() {
        let batches = example();
        let (bytes, ends) = log(&batches);
        let last = ends[ends.len() - 2];
        for at in 0..bytes.len() {
            for flip in (0..8).map(|bit| 1 << bit).chain([0xff, 0x20 | 0x01]) {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                match read(&bytes[..]) {
                    Ok(content) => {
                        assert!(at >= last && content.length == last as u64, "{at} {flip}");
                        assert_eq!(content.live.records, after(&batches[..2]), "{at} {flip}");
                    }
                    Err(Fault::Damaged { offset, .. }) => {
                        assert!(at < last, "{at} {flip}");
                        let frame = ends.iter().rfind(|end| **end <= at).copied().unwrap_or(0);
                        assert!(offset as usize <= frame.max(ends[0]), "{at} {flip}: {offset}");
                    }
                    Err(Fault::Newer(_)) => assert_eq!(at, 11),
                    Err(Fault::Io(failure)) => panic!("{failure:?}"),
                }
            }
        }
    }

    #[test]
    fn the_pages_of_the_last_batch_may_never_have_come_to_the_disk() {
        let batches = example();
        let (bytes, ends) = log(&batches);
        let mut zeros = bytes.clone();
        zeros[ends[2]..].fill(0);
        let content = read(&zeros[..]).unwrap();
        assert_eq!((content.live.records, content.length), (after(&batches[..2]), ends[2] as u64));
        // But one batch is all that a crash can spoil.
        let much = [&bytes[..], &[0; MAX_FRAME + 1]].concat();
        match read(&much[..]) {
            Err(Fault::Damaged { offset, detail }) => {
                assert_eq!(offset, bytes.len() as u64);
                // Which no batch is a part of.
                assert!(!detail.contains("others follow"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }

    // Each line that looks like one has a checksum over most of the rest.
    #[test]
    fn values_full_of_what_looks_like_batches_take_no_time_for_ever() {
        let line = "batch 99 900000 0123456789abcdef\n";
        for (lines, expected) in [(10, true), (10_000, false)] {
            let mut value = line.repeat(lines);
            value.extend(std::iter::repeat_n('x', (MAX_SIZE - 1).saturating_sub(value.len())));
            let (mut bytes, ends) = log(&[vec![op("k", Some(&value))]]);
            bytes.pop();
            match read(&bytes[..]) {
                Ok(content) => assert!(expected && content.length == ends[0] as u64, "{lines}"),
                // Nothing is cut off unless it is known to be of no use.
                Err(Fault::Damaged { offset, detail }) => {
                    assert!(!expected && offset == ends[0] as u64, "{lines}: {detail}");
                    assert!(detail.ends_with("others may follow"), "{detail}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    // What isn't there to its end can't be a later batch, however often it begins.
    #[test]
    fn what_begins_like_batches_and_has_no_end_is_no_damage() {
        let value = "batch 99 900000 0123456789abcdef\n".repeat(1000);
        let (mut bytes, ends) = log(&[vec![op("k", Some(&value))]]);
        bytes.pop();
        assert_eq!(read(&bytes[..]).unwrap().length, ends[0] as u64);
    }

    #[test]
    fn batches_that_are_gone_or_come_twice_are_damage() {
        let (bytes, ends) = log(&example());
        let piece = |n: usize| &bytes[ends[n]..ends[n + 1]];
        let start = &bytes[..ends[0]];
        for pieces in [vec![start, piece(1)], vec![start, piece(0), piece(0)], vec![start, piece(0), piece(2)]] {
            let bytes = pieces.concat();
            assert!(matches!(read(&bytes[..]), Err(Fault::Damaged { .. })));
        }
        // Nor does a batch of another log pass for one of this.
        let (other, seed) = header(SALT + 1);
        let foreign = [other.as_bytes(), &seal(seed, 1), piece(0), piece(1)].concat();
        let content = read(&foreign[..]).unwrap();
        assert_eq!((content.length, content.live.records.len()), (ends[0] as u64, 0));
    }

    #[test]
    fn newer_formats_are_told_from_none() {
        for (bytes, newer) in [("mesos-file 2 x\n", Some(2)), ("mesos-file 10\n", Some(10)), ("mesos-file 0 x\n", None)]
        {
            match read(bytes.as_bytes()) {
                Err(Fault::Newer(version)) => assert_eq!(Some(version), newer),
                Err(Fault::Damaged { offset: 0, .. }) => assert_eq!(newer, None),
                other => panic!("{other:?}"),
            }
        }
        for bytes in [&b""[..], b"mesos-file 2", b"\x7fELF", b"\n", &[b'x'; 1000]] {
            assert!(matches!(read(bytes), Err(Fault::Damaged { offset: 0, .. })));
        }
    }

    fn ops() -> impl Strategy<Value = Vec<StoreOp>> {
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        let op = ("[a-c]", value).prop_map(|(key, value)| match value {
            Some(value) => StoreOp::Put { key: Key::new([key]), value: value.into() },
            None => StoreOp::Delete { key: Key::new([key]) },
        });
        proptest::collection::vec(op, 0..4)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(batches in proptest::collection::vec(ops(), 0..6)) {
            let (bytes, _) = log(&batches);
            let content = read(&bytes[..]).unwrap();
            prop_assert_eq!(content.length, bytes.len() as u64);
            prop_assert_eq!(content.live.records, after(&batches));
        }

        #[test]
        fn a_snapshot_holds_everything(batches in proptest::collection::vec(ops(), 0..6)) {
            let records = after(&batches);
            let (line, seed) = header(SALT);
            let mut bytes = line.into_bytes();
            let next = snapshot(seed, &records, |frame| { bytes.extend(frame); Ok(()) }).unwrap();
            bytes.extend(seal(seed, next));
            let content = read(&bytes[..]).unwrap();
            prop_assert_eq!(content.live.records, records);
            prop_assert_eq!(content.next, next + 1);
        }

        // Any piece in the place of any other: what was before it, or a typed error.
        #[test]
        fn no_damage_makes_anything_up(
            batches in proptest::collection::vec(ops(), 1..6),
            (from, to) in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            junk in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let (bytes, ends) = log(&batches);
            let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            let (from, to) = (from.min(to), from.max(to));
            let changed = [&bytes[..from], &junk, &bytes[to..]].concat();
            if let Ok(content) = read(&changed[..]) {
                let complete = ends.iter().rposition(|end| content.length == *end as u64);
                let complete = complete.expect("a place where a batch ended");
                prop_assert_eq!(content.live.records, after(&batches[..complete]));
                // And no batch that comes whole before the damage is missing.
                prop_assert!(ends.iter().rposition(|end| *end <= from) <= Some(complete));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes[..]);
            let (line, seed) = header(SALT);
            let _ = read(&[line.as_bytes(), &seal(seed, 1), &bytes].concat()[..]);
            // Even with the right checksum.
            let _ = read(&[line.as_bytes(), &seal(seed, 1), &frame("batch", seed, 2, &bytes)].concat()[..]);
        }
    }
}
