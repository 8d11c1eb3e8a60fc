//! Maps of which the oldest entry goes when there are too many.

use alloc::collections::BTreeMap;
use core::borrow::Borrow;

/// A map that remembers in which order its entries were last set.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    by_age: BTreeMap<u64, K>,
    next: u64,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), by_age: BTreeMap::new(), next: 0 }
    }
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// Sets an entry, which is the youngest then; the oldest one goes if there are more than so many.
    pub(super) fn insert(&mut self, most: usize, key: K, value: V) {
        self.remove(&key);
        self.next += 1;
        self.by_age.insert(self.next, key.clone());
        self.entries.insert(key, (self.next, value));
        if self.entries.len() > most {
            if let Some((_, oldest)) = self.by_age.pop_first() {
                self.entries.remove(&oldest);
            }
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (age, value) = self.entries.remove(key)?;
        self.by_age.remove(&age);
        Some(value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_one_goes() {
        let mut map = Bounded::default();
        for (key, value) in [("c", 1), ("a", 2), ("b", 3), ("c", 4), ("d", 5)] {
            map.insert(3, key, value);
        }
        assert_eq!(["a", "b", "c", "d"].map(|key| map.get(key).copied()), [None, Some(3), Some(4), Some(5)]);
        assert_eq!((map.remove("b"), map.remove("b")), (Some(3), None));
        map.insert(3, "a", 6);
        assert!(["a", "c", "d"].iter().all(|key| map.get(*key).is_some()), "there was room");
        assert_eq!(map.by_age.len(), map.entries.len());
    }
}
