//! Persistence as effects: what a machine wants written, and what a store promises.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;

use bytes::Bytes;

/// Numbers the batches of one machine, upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

impl Ticket {
    /// The ticket with this number, for machines of one's own and for tests.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a record: a path of segments, such as `inst/web/0/3`.
///
/// A segment may be any text; what a file or a ZooKeeper node can't be called is written as `%XX`, so a key is a
/// relative path of printable ASCII without empty segments, `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key with these segments.
    ///
    /// ```
    /// use mesos_core::Key;
    ///
    /// let key = Key::new(["slot", "shop/cart", "0"]);
    /// assert_eq!(key.as_str(), "slot/shop%2Fcart/0");
    /// assert!(key.segments().eq(["slot", "shop/cart", "0"]));
    /// ```
    #[must_use]
    pub fn new<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Self {
        let mut key = String::new();
        for segment in segments {
            if !key.is_empty() {
                key.push('/');
            }
            escape(segment.as_ref(), &mut key);
        }
        Self(key)
    }

    /// A key as a store keeps it; `None` if no key is written like that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let segments: Option<Vec<String>> = text.split('/').map(unescape).collect();
        let key = Self::new(segments?);
        (key.0 == text && !text.is_empty()).then_some(key)
    }

    /// The key as a relative path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments as they were given.
    pub fn segments(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').map(|segment| unescape(segment).unwrap_or_default())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn escape(segment: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if segment.is_empty() {
        // So that no segment is ever empty; it can't be mistaken, as a lone `%` is always escaped.
        out.push('%');
    }
    let dots = segment.bytes().all(|b| b == b'.');
    for byte in segment.bytes() {
        if byte.is_ascii_graphic() && byte != b'/' && byte != b'%' && !dots {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(HEX.get(usize::from(nibble)).copied().map_or('0', char::from));
            }
        }
    }
}

fn unescape(segment: &str) -> Option<String> {
    if segment == "%" {
        return Some(String::new());
    }
    let mut bytes = segment.bytes();
    let mut out = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// One change of a store. Both are absolute, so applying a batch twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "performed by stores: a new change must break them")]
pub enum StoreOp {
    /// Creates or replaces a record.
    Put {
        /// Its name.
        key: Key,
        /// What it holds from now on.
        value: Bytes,
    },
    /// Removes a record; one that isn't there is fine.
    Delete {
        /// Its name.
        key: Key,
    },
}

impl StoreOp {
    /// The record that it changes.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// How much it counts towards the size of a batch, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Put { key, value } => key.0.len() + value.len(),
            Self::Delete { key } => key.0.len(),
        }
    }
}

/// A batch of changes: all of them or none, and then the answer with its ticket. The engine's have
/// [`MAX_OPS`](Self::MAX_OPS) changes at most, and [`MAX_BYTES`](Self::MAX_BYTES) of names and values together.
#[must_use = "a batch that isn't written leaves its machine waiting"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    pub(crate) ticket: Ticket,
    pub(crate) ops: Vec<StoreOp>,
}

impl Persist {
    /// So many changes a store has to take at once.
    pub const MAX_OPS: usize = 512;
    /// So many bytes a store has to take at once, by [`StoreOp::size`]: a record is no larger either. A ZooKeeper server takes
    /// 1 MiB, paths and permissions included.
    pub const MAX_BYTES: usize = 900 * 1024;

    /// A batch, for machines of one's own and for tests.
    pub const fn new(ticket: Ticket, ops: Vec<StoreOp>) -> Self {
        Self { ticket, ops }
    }

    /// The ticket to answer with.
    #[must_use]
    pub const fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The changes, in order. No record is named twice.
    #[must_use]
    pub fn ops(&self) -> &[StoreOp] {
        &self.ops
    }
}

/// Where records are kept.
///
/// What a store promises: a batch is applied as a whole or not at all; batches take effect in the order of their
/// tickets; `Ok` means that the batch outlives a crash; after a newer instance has taken over, nothing of this one
/// applies any more ([`StoreFailure::Fenced`]). A batch whose fate is unknown is simply given again.
pub trait Store: Send {
    /// Applies one batch; the next one comes after the answer.
    fn apply(&mut self, batch: &Persist) -> impl Future<Output = Result<(), StoreFailure>> + Send;
}

/// Why a batch isn't durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFailure {
    /// It may or may not be; giving it again can help (disk full, server away).
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Another instance has taken over. Final.
    #[error("another instance owns the store: {0}")]
    Fenced(String),
    /// The store won't have it, and giving it again can't help (too large, no permission). Final.
    #[error("the store refuses {}: {detail}", key.as_ref().map_or("the batch", Key::as_str))]
    Refused {
        /// The record at fault, if there is a single one.
        key: Option<Key>,
        /// Why, for people.
        detail: String,
    },
}

/// A store in memory: for tests, and for frameworks that need not survive their process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    records: BTreeMap<Key, Bytes>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it holds.
    #[must_use]
    pub const fn records(&self) -> &BTreeMap<Key, Bytes> {
        &self.records
    }

    /// Applies a batch, at once.
    pub fn apply_now(&mut self, batch: &Persist) {
        for op in batch.ops() {
            match op {
                StoreOp::Put { key, value } => drop(self.records.insert(key.clone(), value.clone())),
                StoreOp::Delete { key } => drop(self.records.remove(key)),
            }
        }
    }
}

impl Store for MemoryStore {
    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        self.apply_now(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn keys_are_paths_that_any_file_system_takes() {
        for (segments, text) in [
            (&["engine"][..], "engine"),
            (&["a", "", "b"], "a/%/b"),
            (&["..", "x.y", "..."], "%2E%2E/x.y/%2E%2E%2E"),
            (&["ä", "a b", "%"], "%C3%A4/a%20b/%25"),
        ] {
            let key = Key::new(segments);
            assert_eq!(key.as_str(), text);
            assert!(key.segments().eq(segments.iter().copied()), "{text}");
            assert_eq!(Key::parse(text), Some(key));
        }
        for bad in ["", "a//b", "/a", "a/", "..", "a/./b", "a b", "%zz", "%2", "%61", "%FF"] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_segments_survive(segments in proptest::collection::vec(any::<String>(), 1..5)) {
            let key = Key::new(&segments);
            prop_assert!(key.segments().eq(segments));
            prop_assert!(key.as_str().bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(Key::parse(key.as_str()), Some(key));
        }
    }

    // S24
    #[test]
    fn the_last_write_counts() {
        let key = |name: &str| Key::new([name]);
        let put = |name, value: &'static str| StoreOp::Put { key: key(name), value: value.into() };
        let mut store = MemoryStore::new();
        store.apply_now(&Persist::new(Ticket::new(1), vec![put("a", "1"), put("b", "2")]));
        store.apply_now(&Persist::new(
            Ticket::new(2),
            vec![put("a", "3"), StoreOp::Delete { key: key("b") }, StoreOp::Delete { key: key("c") }],
        ));
        assert_eq!(store.records().iter().next(), Some((&key("a"), &Bytes::from_static(b"3"))));
        assert_eq!(store.records().len(), 1);
    }
}
