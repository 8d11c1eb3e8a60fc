//! What was, and forbids something for ever after: ids that were used, streams that are over, offers that are void,
//! delays that are durable.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_core::engine::Event as Told;
use mesos_core::scheduler::FatalReason;
use mesos_core::{Key, Persist, StoreOp, UnixTime};
use mesos_proto::store;
use mesos_proto::v1::scheduler::{Call, Event, call};

use super::disk::Disk;
use super::ledger::parse;
use super::{Step, violation};
use crate::resources::Pool;

/// A run this long is stable: a fault after it counts as the first (ENGINE 3.2).
const STABLE: u64 = 300_000;
/// A filter that says: nothing that waits fits (ENGINE 2.5).
const NOTHING_FITS: f64 = 120.0;

/// A framework that is removed again so soon is not made anew (ENGINE 1.4, A19).
const ONCE_PER: Duration = Duration::from_secs(3600);

/// The memory of the judge.
#[derive(Debug, Default)]
pub(super) struct Past {
    process: u64,
    /// Specs and their delays are a user's.
    pub(super) own: bool,
    /// Which process has used an incarnation.
    incarnations: BTreeMap<u64, u64>,
    /// The task id of each generation of an instance, by incarnation.
    burnt: BTreeMap<(String, u32, u64, u64), String>,
    /// What is durable of each slot, and whether its moment can't be one of before a command, or of another clock.
    slots: BTreeMap<(String, u32), (store::Slot, bool)>,
    /// The latest batch that is durable.
    ticket: u64,
    /// What is in batches up to this one may come from a command.
    lenient: u64,
    /// Streams on which a call may still arrive that nobody knows the fate of.
    doubtful: BTreeSet<String>,
    /// The scheduler has heard that it is no longer wanted, or its store that somebody else writes.
    over: Option<&'static str>,
    /// When the present process last heard that its framework was removed,
    removal_at: Option<Duration>,
    /// and that of when it last told so.
    removed_at: Option<Duration>,
    /// Taken back since the ordered lane was last free.
    rescinded: BTreeSet<String>,
    /// Taken back for so long that no call that uses them can have been decided before.
    void: BTreeSet<String>,
    /// What the scheduler has told of its roles.
    suppressed: BTreeSet<String>,
    /// The resources of offers.
    offers: BTreeMap<String, Pool>,
    /// What an instance needs, if instances differ in nothing else that matters to offers.
    pub(super) need: Option<Pool>,
    /// How often each invariant had something to judge.
    pub(super) judged: BTreeMap<&'static str, u64>,
}

impl Past {
    fn judge(&mut self, invariant: &'static str) {
        *self.judged.entry(invariant).or_default() += 1;
    }

    /// A process takes over, from an empty store or what another one left; with specs that may be new, or none.
    pub(super) fn started(&mut self, process: u64, given: bool, disk: &Disk) {
        self.process = process;
        (self.ticket, self.lenient) = (0, if self.own { u64::MAX } else { u64::from(given) });
        (self.over, self.removal_at, self.removed_at) = (None, None, None);
        self.suppressed.clear();
        if disk.records.is_empty() {
            self.incarnations.clear();
            self.burnt.clear();
            self.slots.clear();
        }
    }

    /// A subscription begins or ends: offers of before are another invariant's business.
    pub(super) fn lost(&mut self) {
        self.rescinded.clear();
        self.void.clear();
        self.offers.clear();
    }

    /// The scheduler's clock jumps: moments written before mean others now.
    pub(super) fn jumped(&mut self) {
        self.slots.clear();
        self.commanded();
    }

    /// A user's command lifts delays and starts counts anew. What comes of it is in the next batch but one at the
    /// latest.
    pub(super) fn commanded(&mut self) {
        self.lenient = self.lenient.max(self.ticket + 2);
    }

    /// Something has reached the scheduler.
    pub(super) fn heard(&mut self, now: Duration, event: &Event) {
        if let Some(rescind) = &event.rescind {
            self.rescinded.insert(rescind.offer_id.value.clone());
        }
        let offers = event.offers.iter().flat_map(|offers| &offers.offers);
        // An agent that is about to be taken away is refused for other reasons.
        for offer in offers.filter(|offer| offer.unavailability.is_none()) {
            self.offers.insert(offer.id.value.clone(), Pool::of(&offer.resources).unwrap_or_default());
        }
        if event.error.as_ref().is_some_and(|error| error.message.contains("failed over")) {
            self.over = Some("another instance has taken over");
        }
        if event.error.as_ref().is_some_and(|error| error.message.contains("has been removed")) {
            self.removal_at = Some(now);
        }
    }

    /// Whether nothing in this batch comes from a command.
    pub(super) fn is_certain(&self, batch: &Persist) -> bool {
        batch.ticket().number() > self.lenient
    }

    /// The framework was removed, and is made anew; if that was so a short while ago, somebody means it.
    pub(super) fn removed(&mut self, now: Duration) {
        // It may have waited for the store to say so.
        let now = self.removal_at.unwrap_or(now);
        if self.removed_at.replace(now).is_some_and(|before| now < before + ONCE_PER) {
            self.over = Some("the framework was removed twice within an hour");
        }
    }

    /// Whether it was made anew so short a while ago that it isn't once more.
    pub(super) fn gives_up(&self, now: Duration) -> bool {
        let now = self.removal_at.unwrap_or(now);
        self.removed_at.is_some_and(|before| now < before + ONCE_PER)
    }

    /// The scheduler was told that somebody else writes its store.
    pub(super) const fn fenced(&mut self) {
        self.over = Some("its store is another's");
    }

    /// The scheduler has told something.
    pub(super) fn told(&mut self, event: &Told) {
        match event {
            Told::Suppressed { roles } => self.suppressed.extend(roles.iter().cloned()),
            Told::Revived { roles } => self.suppressed.retain(|role| !roles.contains(role)),
            Told::FrameworkRemoved { .. } | Told::Fatal(FatalReason::Removed) => self.suppressed.clear(),
            _ => {}
        }
    }

    /// No call waits for another one.
    pub(super) fn free(&mut self) {
        self.void.append(&mut self.rescinded);
    }

    /// A call that was sent on this stream may still arrive.
    pub(super) fn doubt(&mut self, stream: Option<String>) {
        self.doubtful.extend(stream);
    }

    /// A request leaves the scheduler.
    pub(super) fn leaves(&mut self, call: &Call, stream: Option<&str>) -> Step {
        self.judge("I13");
        if let Some(why) = self.over {
            return violation("I13", format!("{:?} leaves, although {why}", call.r#type()));
        }
        if let Some(subscribe) = &call.subscribe {
            self.judge("I12");
            let said: BTreeSet<String> = subscribe.suppressed_roles.iter().cloned().collect();
            if said != self.suppressed {
                return violation(
                    "I12",
                    format!("SUBSCRIBE suppresses {said:?}, suppressed are {:?}", self.suppressed),
                );
            }
        }
        if stream.is_some_and(|stream| self.doubtful.contains(stream)) && call.r#type() != call::Type::Acknowledge {
            return violation("I13", format!("{:?} leaves, and one before it may still arrive", call.r#type()));
        }
        if let Some(accept) = &call.accept {
            if let Some(id) = accept.offer_ids.iter().find(|id| self.void.contains(&id.value)) {
                return violation("I1", format!("offer {} is used, and was taken back before", id.value));
            }
            let launches = accept.operations.iter().filter_map(|operation| operation.launch.as_ref());
            let tasks: Vec<_> = launches.flat_map(|launch| &launch.task_infos).collect();
            for task in &tasks {
                self.launched(&task.task_id.value)?;
            }
            let mut left = self.all_of(&accept.offer_ids);
            for task in tasks {
                left.subtract(&Pool::of(&task.resources).unwrap_or_default());
            }
            self.refused(&left, accept.filters.as_ref().and_then(|filters| filters.refuse_seconds))?;
        }
        if let Some(decline) = &call.decline {
            for id in &decline.offer_ids {
                let left = self.all_of(std::slice::from_ref(id));
                self.refused(&left, decline.filters.as_ref().and_then(|filters| filters.refuse_seconds))?;
            }
        }
        Ok(())
    }

    fn all_of(&self, offers: &[mesos_proto::v1::OfferId]) -> Pool {
        let mut all = Pool::default();
        offers.iter().filter_map(|id| self.offers.get(&id.value)).for_each(|pool| all.add(pool));
        all
    }

    /// What is refused as too little for what waits is too little.
    fn refused(&mut self, left: &Pool, refuse: Option<f64>) -> Step {
        let Some(need) = self.need.as_ref().filter(|_| refuse == Some(NOTHING_FITS)) else { return Ok(()) };
        if left.contains(need) {
            return violation(
                "I21",
                format!("{left:?} is refused for {NOTHING_FITS} s, and something waits that fits"),
            );
        }
        self.judge("I21");
        Ok(())
    }

    /// Each process has an incarnation of its own.
    fn launched(&mut self, id: &str) -> Step {
        let Some((_, _, _, incarnation)) = parse(id) else { return Ok(()) };
        self.judge("I3");
        match self.incarnations.insert(incarnation, self.process) {
            Some(process) if process != self.process => {
                violation("I3", format!("{id} has the incarnation of an earlier process"))
            }
            _ => Ok(()),
        }
    }

    /// A batch has become durable. `wall` is what the scheduler's clock shows.
    pub(super) fn durable(&mut self, batch: &Persist, disk: &Disk, wall: UnixTime) -> Step {
        self.ticket = batch.ticket().number();
        for op in batch.ops() {
            let segments: Vec<String> = op.key().segments().collect();
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            match segments.as_slice() {
                ["inst", ..] => disk.task(op.key()).map_or(Ok(()), |task| self.intended(task))?,
                ["slot", spec, index] => {
                    let slot = ((*spec).to_owned(), index.parse().unwrap_or(u32::MAX));
                    self.held_back(slot, batch, disk, wall)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// I3: a generation of an instance is used for one task only.
    fn intended(&mut self, id: &str) -> Step {
        let Some(place) = parse(id) else { return Ok(()) };
        match self.burnt.insert(place, id.to_owned()) {
            Some(other) if other != *id => violation("I3", format!("{id} has the generation of {other}")),
            _ => Ok(()),
        }
    }

    /// I11: what is durable of faults and delays stands, whatever happens to the process.
    fn held_back(&mut self, slot: (String, u32), batch: &Persist, disk: &Disk, wall: UnixTime) -> Step {
        let Some(new) = &disk.slot(&slot) else {
            self.slots.remove(&slot);
            return Ok(());
        };
        let certain = self.ticket > self.lenient;
        let old = self.slots.insert(slot.clone(), (new.clone(), certain)).filter(|_| certain);
        let Some((old, was_certain)) = old else { return Ok(()) };
        self.judge("I11");
        let ran = new.last_end.as_ref().and_then(|end| end.ran_for).unwrap_or_default();
        // Of two that have ended the other one may have run for long (simulated: seed 8800001630).
        let alone = batch.ops().iter().filter(|op| deletes(op, &slot)).count() < 2;
        if new.faults < old.faults && ran < STABLE && alone {
            return violation("I11", format!("{slot:?} has had {} faults, and now {}", old.faults, new.faults));
        }
        // Beside another one it holds nothing back.
        if !self.own && !disk.instances.values().any(|kept| kept.slot == slot) {
            let newest = Key::new(["inst", &slot.0, &slot.1.to_string(), &new.generation.to_string()]);
            // What was intended after the end of the one before has been given up in the same moment, and waits anew.
            let given_up = batch.ops().iter().filter(|op| deletes(op, &slot)).count() > 1
                && batch.ops().iter().any(|op| matches!(op, StoreOp::Delete { key } if *key == newest));
            curve(&old, new, given_up).or_else(|what| violation("I11", format!("{slot:?} {what}")))?;
        }
        let wall = wall.since_epoch() + Duration::from_millis(5);
        let used = new.generation > old.generation && !returns(batch, disk, &slot, new.generation);
        if let Some(at) = held_until(&old).filter(|_| was_certain && used) {
            if wall < Duration::from_millis(at) {
                return violation("I11", format!("{slot:?} is used at {wall:?}, and held back until {at} ms"));
            }
        }
        Ok(())
    }
}

/// Whether it is the end of one of this slot's tasks.
pub(super) fn deletes(op: &StoreOp, slot: &(String, u32)) -> bool {
    let StoreOp::Delete { key } = op else { return false };
    let segments: Vec<String> = key.segments().collect();
    matches!(segments.as_slice(), [kind, spec, index, _] if kind == "inst" && *spec == slot.0 && *index == slot.1.to_string())
}

/// Until when a slot is held back; that of a demand that is no more counts for the next one.
fn held_until(slot: &store::Slot) -> Option<u64> {
    slot.eligible_at.max(slot.held_until)
}

/// Whether this generation is a ghost's that takes its place again: nothing is launched that could be held back.
fn returns(batch: &Persist, disk: &Disk, slot: &(String, u32), generation: u64) -> bool {
    let kept = disk.instances.iter().find(|(_, kept)| kept.slot == *slot && kept.generation == generation);
    let ghost = kept.map(|(task, _)| Key::new(["ghost", task]));
    batch.ops().iter().any(|op| matches!(op, StoreOp::Delete { key } if ghost.as_ref() == Some(key)))
}

/// How long an end holds the next attempt back (ENGINE 1.3, 3.2). The error says what is wrong about it.
fn curve(old: &store::Slot, new: &store::Slot, given_up: bool) -> Result<(), String> {
    let Some((end, at)) = new.last_end.as_ref().zip(new.eligible_at) else { return Ok(()) };
    let same = old.last_end.as_ref().is_some_and(|before| before.at == end.at && before.class == end.class);
    if same || new.mark() != store::slot::Mark::None || new.goal() != store::slot::Goal::Run {
        return Ok(());
    }
    // What ends after another one was intended in its place counts for nothing, though that be given up at once.
    let counts = |slot: &store::Slot| (slot.faults, slot.losses, slot.invalids);
    if given_up && counts(new) == counts(old) {
        return Ok(());
    }
    use store::end::Class as C;
    let doubled = |times: u32, most: u64| (1000_u64 << times.min(20)).min(most);
    let stable = end.ran_for.unwrap_or_default() >= STABLE;
    let delay = match end.class() {
        C::Ok if stable => 0,
        C::Ok | C::Fault | C::External => {
            // Two attempts of a slot may have ended since.
            let counted = new.faults > old.faults && new.faults <= old.faults + 2 || stable && new.faults == 1;
            if !counted {
                return Err(format!("has had {} faults, and after one more {}: {end:?}", old.faults, new.faults));
            }
            doubled(new.faults - 1, 300_000)
        }
        C::Invalid => 16_000,
        C::Infra if new.losses > 1 => doubled(new.losses - 2, 30_000),
        C::Infra | C::Drain | C::Wanted => 0,
    };
    let jitter = if matches!(end.class(), C::Ok | C::Fault | C::External) { delay / 10 } else { 0 };
    let (least, most) = (end.at + delay - jitter, end.at + delay + jitter);
    // What the end of the other attempt has set isn't shortened by this one; an ACCEPT that was given up before it left
    // is tried again from then on.
    let mut most = most.max(held_until(old).unwrap_or_default());
    if new.faults > old.faults {
        // The other attempt's end may have come in the same moment, and be a fault.
        most = most.max(end.at + doubled(new.faults - 1, 300_000) * 11 / 10);
    }
    if at + 2 < least || at > most + 2 && new.generation == old.generation && !given_up {
        return Err(format!("waits until {at} ms after {end:?}, which is not within {least} and {most}"));
    }
    Ok(())
}
