//! What waits to be durable: records in batches, one at a time, and the effects that must not come before them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::attempt::AttemptId;
use super::event::Event;
use super::offers::AcceptId;
use crate::planted::planted;
use crate::{Instant, Key, Persist, StoreFailure, StoreOp, Ticket};

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// A batch without answer for this long is a stall.
const STALL: Duration = Duration::from_secs(2);
const STALL_AGAIN: Duration = Duration::from_secs(60);

/// What happens once a batch is durable.
#[derive(Debug)]
pub(super) enum Effect {
    Acknowledge { agent_id: alloc::string::String, task_id: Arc<str>, uuid: Bytes },
    Accept(AcceptId),
    Kill(AttemptId),
    KillGhost(Arc<str>),
    Tell(Box<Event>),
    Teardown,
}

/// Gathers changes, and holds back what depends on them.
#[derive(Debug)]
pub(super) struct Writer {
    /// The last one may still grow.
    waiting: VecDeque<Batch>,
    flying: Option<Flying>,
    held: BTreeMap<u64, Vec<Effect>>,
    /// All batches up to this one are durable.
    confirmed: u64,
    last: u64,
    held_acknowledgements: usize,
}

#[derive(Debug, Default)]
struct Batch {
    number: u64,
    ops: BTreeMap<Key, Option<Bytes>>,
    bytes: usize,
    since: Instant,
}

#[derive(Debug)]
struct Flying {
    batch: Persist,
    since: Instant,
    tries: u32,
    /// To be given again at this time.
    retry: Option<Instant>,
    failure: Option<StoreFailure>,
    /// When the stall is to be told next.
    tell: Instant,
    told: bool,
}

/// What has changed about a store that hangs.
#[derive(Debug, PartialEq)]
pub(super) enum Stall {
    Began(Duration, Option<StoreFailure>),
    Over,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            flying: None,
            held: BTreeMap::new(),
            confirmed: 0,
            last: 0,
            held_acknowledgements: 0,
        }
    }

    /// The number of the last batch that there is.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    pub(super) const fn is_durable(&self, number: u64) -> bool {
        number <= self.confirmed
    }

    pub(super) const fn held_acknowledgements(&self) -> usize {
        self.held_acknowledgements
    }

    /// Adds changes that must not be torn apart; returns the batch that they are in.
    pub(super) fn write(&mut self, now: Instant, group: Vec<(Key, Option<Bytes>)>) -> u64 {
        if group.is_empty() {
            return self.last;
        }
        let size = |key: &Key, value: &Option<Bytes>| key.as_str().len() + value.as_ref().map_or(0, Bytes::len);
        let bytes: usize = group.iter().map(|(key, value)| size(key, value)).sum();
        // Whatever must be atomic is smaller.
        let fits = |batch: &Batch| {
            batch.ops.len() + group.len() <= Persist::MAX_OPS && batch.bytes + bytes <= Persist::MAX_BYTES
        };
        if !self.waiting.back().is_some_and(fits) {
            self.last += 1;
            self.waiting.push_back(Batch { number: self.last, since: now, ..Batch::default() });
        }
        if let Some(batch) = self.waiting.back_mut() {
            for (key, value) in group {
                if planted!(WriteLost) && batch.ops.contains_key(&key) {
                    continue;
                }
                batch.bytes += size(&key, &value);
                if let Some(old) = batch.ops.insert(key.clone(), value) {
                    batch.bytes = batch.bytes.saturating_sub(size(&key, &old));
                }
            }
        }
        self.last
    }

    /// Does something once this batch is durable. Nothing is held that could happen at once: ask first.
    pub(super) fn hold(&mut self, number: u64, effect: Effect) {
        self.held_acknowledgements += usize::from(matches!(effect, Effect::Acknowledge { .. }));
        self.held.entry(number).or_default().push(effect);
    }

    /// The next batch to be written, if none is under way.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Persist> {
        match &mut self.flying {
            Some(flying) => {
                flying.retry.filter(|at| *at <= now)?;
                flying.retry = None;
                Some(flying.batch.clone())
            }
            None => {
                let Batch { number, ops, since, .. } = self.waiting.pop_front()?;
                let op = |(key, value)| match value {
                    Some(value) => StoreOp::Put { key, value },
                    None => StoreOp::Delete { key },
                };
                let batch = Persist::new(Ticket::new(number), ops.into_iter().map(op).collect());
                let tell = since + STALL;
                let flying = Flying { batch, since, tries: 0, retry: None, failure: None, tell, told: false };
                Some(self.flying.insert(flying).batch.clone())
            }
        }
    }

    /// A batch is durable: what may happen now, in order, and whether a stall is over.
    pub(super) fn persisted(&mut self, ticket: Ticket) -> (Vec<Effect>, Option<Stall>) {
        if self.flying.as_ref().is_none_or(|flying| flying.batch.ticket() != ticket) {
            return (Vec::new(), None);
        }
        let stalled = self.flying.take().is_some_and(|flying| flying.told);
        self.confirmed = ticket.number();
        let later = self.held.split_off(&(self.confirmed + 1));
        let free: Vec<Effect> = core::mem::replace(&mut self.held, later).into_values().flatten().collect();
        let acknowledgements = free.iter().filter(|effect| matches!(effect, Effect::Acknowledge { .. })).count();
        self.held_acknowledgements = self.held_acknowledgements.saturating_sub(acknowledgements);
        (free, stalled.then_some(Stall::Over))
    }

    /// A batch could not be written: it is given again after a while.
    pub(super) fn failed(&mut self, now: Instant, ticket: Ticket, failure: StoreFailure) {
        if let Some(flying) = self.flying.as_mut().filter(|flying| flying.batch.ticket() == ticket) {
            let wait = FIRST_RETRY.saturating_mul(1 << flying.tries.min(10)).min(LAST_RETRY);
            flying.tries += 1;
            flying.retry = Some(now + wait);
            flying.failure = Some(failure);
        }
    }

    /// Whether the oldest batch has waited for too long.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        self.flying.as_ref().is_some_and(|flying| flying.since + STALL <= now)
    }

    /// Whether it is time to tell of a stall.
    pub(super) fn stall(&mut self, now: Instant) -> Option<Stall> {
        let flying = self.flying.as_mut().filter(|flying| flying.tell <= now)?;
        flying.tell = now + STALL_AGAIN;
        flying.told = true;
        Some(Stall::Began(now.saturating_duration_since(flying.since), flying.failure.clone()))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let flying = self.flying.as_ref()?;
        Some(flying.retry.map_or(flying.tell, |retry| retry.min(flying.tell)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn put(name: &str) -> (Key, Option<Bytes>) {
        (Key::new([name]), Some(Bytes::from_static(b"x")))
    }

    #[test]
    fn one_batch_at_a_time_and_the_last_write_of_each_key() {
        let mut writer = Writer::new();
        assert_eq!(writer.write(Instant::ORIGIN, vec![put("a")]), 1);
        let first = writer.poll(Instant::ORIGIN).unwrap();
        assert_eq!(writer.write(Instant::ORIGIN, vec![put("b"), (Key::new(["a"]), None)]), 2);
        assert_eq!(writer.write(Instant::ORIGIN, vec![put("a")]), 2);
        assert_eq!(writer.poll(Instant::ORIGIN), None);
        writer.hold(2, Effect::Teardown);
        assert!(writer.persisted(first.ticket()).0.is_empty());
        let second = writer.poll(Instant::ORIGIN).unwrap();
        assert_eq!(second.ops().len(), 2);
        assert!(second.ops().iter().all(|op| matches!(op, StoreOp::Put { .. })));
        assert_eq!(writer.persisted(second.ticket()).0.len(), 1);
        assert!(writer.is_durable(writer.last()));
    }

    #[test]
    fn a_group_is_never_torn_apart_and_a_batch_never_too_large() {
        let mut writer = Writer::new();
        let group = |from: usize| (from..from + 300).map(|i| put(&alloc::format!("k{i}"))).collect::<Vec<_>>();
        assert_eq!(writer.write(Instant::ORIGIN, group(0)), 1);
        assert_eq!(writer.write(Instant::ORIGIN, group(1000)), 2);
        assert_eq!(writer.poll(Instant::ORIGIN).unwrap().ops().len(), 300);
    }

    #[test]
    fn what_fails_is_given_again_and_a_stall_is_told_once_a_minute() {
        let mut writer = Writer::new();
        let at = |millis| Instant::from_origin(Duration::from_millis(millis));
        writer.write(at(0), vec![put("a")]);
        let batch = writer.poll(at(0)).unwrap();
        writer.failed(at(10), batch.ticket(), StoreFailure::Unavailable("full".into()));
        assert_eq!(writer.poll(at(109)), None);
        assert_eq!(writer.poll(at(110)), Some(batch.clone()));
        writer.failed(at(120), batch.ticket(), StoreFailure::Unavailable("full".into()));
        assert_eq!(writer.deadline(), Some(at(320)));
        assert_eq!(writer.stall(at(1999)), None);
        assert!(matches!(writer.stall(at(2000)), Some(Stall::Began(..))));
        assert_eq!(writer.stall(at(2001)), None);
        assert!(writer.is_stalled(at(2001)));
        assert_eq!(writer.persisted(batch.ticket()).1, Some(Stall::Over));
    }
}
