//! Whether offers are wanted: SUPPRESS and REVIVE for each role.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::SpecId;
use super::config::REFUSE_MOST;
use super::engine::{Engine, Sent};
use super::event::Event;
use super::reconcile::jitter;
use crate::Instant;
use crate::planted::planted;
use crate::rng::Rng;
use crate::scheduler::CallId;

/// Offers are wanted this long before they can be used, and unwanted only after as long.
const EARLY: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(5);
/// Changes are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// No role is revived more often. A SUPPRESS comes only after `QUIET`, which is no shorter.
const RATE: Duration = Duration::from_secs(5);
/// Without an offer for so long, the REVIVE may have been lost; give or take a tenth, and twice as long each time.
const LOST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(300);
/// Offers made before a REVIVE may still come this long after its answer.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// One role of the framework.
#[derive(Debug, Default)]
pub(super) struct Role {
    /// Specs with instances that wait, by the earliest moment of each.
    pub(super) waiting: BTreeSet<(Instant, SpecId)>,
    /// Whether the master is believed to offer nothing.
    pub(super) suppressed: bool,
    unwanted_since: Option<Instant>,
    /// There is something to say, since this moment.
    pending_since: Option<Instant>,
    /// When REVIVE was last sent, whatever has come of it.
    last_change: Option<Instant>,
    /// Without an offer until then, the REVIVE may have been lost.
    repeat_at: Option<Instant>,
    revive: Option<CallId>,
    answered: Option<Instant>,
    /// How often REVIVE went without an offer following it.
    silent: u32,
    /// Declines of ours may hide offers until this moment.
    hidden_until: Option<Instant>,
    /// The same, of those that came before the latest demand: it was not looked at for it.
    hides: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Suppress,
    Revive,
}

impl Role {
    fn is_wanted(&self, now: Instant) -> bool {
        let forgotten = |at: Instant| planted!(DemandForgotten) && at + LOST + LOST <= now;
        self.waiting.first().is_some_and(|(at, _)| *at <= now + EARLY && !forgotten(*at))
    }

    /// An instance waits that did not before.
    pub(super) const fn demand(&mut self) {
        self.hides = self.hidden_until;
    }

    /// A new session: filters of earlier ones may still be in force.
    pub(super) fn subscribed(&mut self, now: Instant, first: bool) {
        self.revive = None;
        self.last_change = None;
        // Nobody has looked meanwhile.
        self.unwanted_since = None;
        self.repeat_at = first.then_some(now + LOST);
        self.silent = 0;
        if !first {
            self.conceal(now);
        }
    }

    /// Filters that nobody knows may be in force.
    pub(super) fn conceal(&mut self, now: Instant) {
        self.hidden_until = Some(now + REFUSE_MOST);
        self.hides = self.hidden_until;
    }

    /// Nothing is known of it any more, but what waits.
    pub(super) fn forget(&mut self) {
        let waiting = core::mem::take(&mut self.waiting);
        *self = Self { waiting, ..Self::default() };
    }

    pub(super) fn offered(&mut self, now: Instant) {
        self.silent = 0;
        self.repeat_at = None;
        if core::mem::take(&mut self.suppressed) {
            // SUPPRESS was lost, or the offer crossed it: what is wanted, now or later, has to ask for offers.
            self.conceal(now);
        }
    }

    /// A decline with this filter is on its way.
    pub(super) fn declined(&mut self, now: Instant, refuse: Duration) {
        if refuse > RATE {
            self.hidden_until = self.hidden_until.max(Some(now + refuse));
        }
    }

    /// Whether offers that come now may have been made before the last REVIVE: a long filter would undo it.
    pub(super) fn has_stragglers(&self, now: Instant) -> bool {
        !planted!(ReviveUndone) && (self.revive.is_some() || self.answered.is_some_and(|at| now < at + STRAGGLERS))
    }

    /// Whether REVIVE was sent in this moment or later.
    pub(super) fn was_revived_since(&self, at: Instant) -> bool {
        self.last_change.is_some_and(|last| at <= last)
    }

    pub(super) fn revived(&mut self, now: Instant, call: CallId, rng: &mut Rng) {
        self.suppressed = false;
        self.pending_since = None;
        self.last_change = Some(now);
        let silence = LOST.saturating_mul(1 << self.silent.min(10)).min(LONGEST);
        self.repeat_at = Some(now + jitter(silence, rng));
        self.revive = Some(call);
        self.hidden_until = None;
        self.hides = None;
        self.silent = self.silent.saturating_add(1);
    }

    pub(super) const fn suppressed(&mut self) {
        self.suppressed = true;
        self.pending_since = None;
        self.unwanted_since = None;
        self.repeat_at = None;
    }

    /// A call has got its answer, or none.
    pub(super) fn answered(&mut self, now: Instant, call: CallId, taken: bool) {
        if self.revive == Some(call) {
            self.revive = None;
            self.answered = Some(now);
            if !taken && !planted!(ReviveOnce) {
                self.conceal(now);
            }
        }
    }

    fn lost(&self, now: Instant) -> bool {
        !planted!(ReviveOnce) && self.repeat_at.is_some_and(|at| at <= now)
    }

    /// What is to be said now; `None` also while it has to wait.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Change> {
        let change = if self.is_wanted(now) {
            self.unwanted_since = None;
            let hidden = self.hides.is_some_and(|until| until > now);
            (self.suppressed || hidden || self.lost(now)).then_some(Change::Revive)
        } else {
            let since = *self.unwanted_since.get_or_insert(now);
            (!self.suppressed && since + QUIET <= now && !planted!(NeverSuppressed)).then_some(Change::Suppress)
        };
        let Some(change) = change else {
            self.pending_since = None;
            return None;
        };
        let since = *self.pending_since.get_or_insert(now);
        (self.due(change, since) <= now).then_some(change)
    }

    fn due(&self, change: Change, since: Instant) -> Instant {
        if planted!(ReviveStorm) {
            return since;
        }
        let gathered = if change == Change::Revive { since + GATHER } else { since };
        self.last_change.map_or(gathered, |last| gathered.max(last + RATE))
    }

    /// When to look again.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        if let Some(since) = self.pending_since {
            let change = if self.is_wanted(now) { Change::Revive } else { Change::Suppress };
            return Some(self.due(change, since));
        }
        if self.is_wanted(now) {
            return self.repeat_at;
        }
        let quiet = self.unwanted_since.filter(|_| !self.suppressed).map(|since| since + QUIET);
        // Five seconds before the first one may go.
        let early = self.waiting.first().map(|(at, _)| Instant::from_origin(at.since_origin().saturating_sub(EARLY)));
        [quiet, early].into_iter().flatten().min()
    }
}

impl Engine {
    /// A call of the user's may have given the framework more roles, and taken others from it: one SUPPRESS or REVIVE
    /// with such a one would be refused for all.
    pub(super) fn know_roles(&mut self) {
        let roles = &self.client.framework().roles;
        let before = self.roles.len();
        self.roles.retain(|name, _| roles.iter().any(|role| **role == **name));
        let mut changed = self.roles.len() < before;
        for name in roles {
            if !self.roles.contains_key(name.as_str()) {
                let mut role = Role::default();
                // Whether it is suppressed, that call has said.
                role.subscribed(self.now, false);
                self.roles.insert(name.as_str().into(), role);
                changed = true;
            }
        }
        if changed {
            // What waits may wait for others than it did.
            let ids: Vec<SpecId> = self.book.specs.keys().copied().collect();
            for id in ids {
                self.leave_roles(id);
                self.update_role(id);
                self.demand(id);
            }
        }
        self.know_suppressed();
    }

    /// A call of the user's may have said which roles want offers: one that something waits for is to be revived.
    pub(super) fn know_suppressed(&mut self) {
        for (name, role) in &mut self.roles {
            match self.client.suppressed_roles().any(|suppressed| *suppressed == **name) {
                true if !role.suppressed => role.suppressed(),
                suppressed => role.suppressed = suppressed,
            }
        }
    }

    /// Tells a spec's role, and those of its former revisions that go on, when the first of its instances may go.
    pub(super) fn update_role(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get(&id) else { return };
        let mut first = spec.sums.waiting.first().map(|(at, _)| *at);
        let soonest = first;
        let mut elsewhere: BTreeMap<Arc<str>, Instant> = BTreeMap::new();
        if spec.has_other_roles() {
            first = None;
            for (at, index) in &spec.sums.waiting {
                match self.role_of(spec, *index) {
                    role if role == spec.spec.role_name() => first = first.or(Some(*at)),
                    role if elsewhere.contains_key(role) => {}
                    role => drop(elsewhere.insert(role.into(), *at)),
                }
            }
        }
        if spec.first_waiting == first && spec.first_elsewhere == elsewhere {
            return;
        }
        self.leave_roles(id);
        let Some(spec) = self.book.specs.get_mut(&id) else { return };
        (spec.first_waiting, spec.first_elsewhere) = (first, elsewhere);
        let own = first.map(|at| (spec.spec.role_name(), at));
        for (name, at) in own.into_iter().chain(spec.first_elsewhere.iter().map(|(role, at)| (&**role, *at))) {
            if let Some(role) = self.roles.get_mut(name) {
                role.waiting.insert((at, id));
                if name != spec.spec.role_name() {
                    role.demand();
                }
            }
        }
        self.watch_waiting(id, soonest);
    }

    /// Nothing of a spec waits for its roles, as far as they know.
    pub(super) fn leave_roles(&mut self, id: SpecId) {
        let Some(spec) = self.book.specs.get_mut(&id) else { return };
        let own = spec.first_waiting.take().map(|at| (spec.spec.role_name(), at));
        let elsewhere = core::mem::take(&mut spec.first_elsewhere);
        for (name, at) in own.into_iter().chain(elsewhere.iter().map(|(role, at)| (&**role, *at))) {
            if let Some(role) = self.roles.get_mut(name) {
                role.waiting.remove(&(at, id));
            }
        }
    }

    /// Says which roles want offers, and which don't.
    pub(super) fn change_demand(&mut self) {
        if !self.may_call() || self.config.own_offers {
            return;
        }
        let (mut suppress, mut revive) = (Vec::new(), Vec::new());
        for (name, role) in &mut self.roles {
            match role.poll(self.now) {
                Some(Change::Suppress) => suppress.push(name.clone()),
                Some(Change::Revive) => revive.push(name.clone()),
                None => {}
            }
        }
        let names = |roles: &[Arc<str>]| roles.iter().map(|role| role.to_string()).collect::<Vec<String>>();
        if !suppress.is_empty() && self.client.calls().suppress(&suppress).is_ok() {
            for role in &suppress {
                if let Some(role) = self.roles.get_mut(role) {
                    role.suppressed();
                }
            }
            self.tell(None, Event::Suppressed { roles: names(&suppress) });
        }
        if revive.is_empty() {
            return;
        }
        if let Ok(call) = self.client.calls().revive(&revive) {
            for role in &revive {
                if let Some(role) = self.roles.get_mut(role) {
                    role.revived(self.now, call, &mut self.rng);
                    self.counters.revived_again += u64::from(role.silent > 1);
                }
            }
            self.declines.shorten();
            self.tell(None, Event::Revived { roles: names(&revive) });
            self.sent.insert(call, Sent::Revive(revive));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(secs))
    }

    // S106, W51, ENGINE scenario 2
    #[test]
    fn idle_is_suppressed_after_five_seconds_once() {
        let mut role = Role::default();
        assert_eq!(role.poll(at(0)), None);
        assert_eq!(role.deadline(at(0)), Some(at(5)));
        assert_eq!(role.poll(at(5)), Some(Change::Suppress));
        role.suppressed();
        assert_eq!((role.poll(at(100)), role.deadline(at(100))), (None, None));
    }

    // A task that ends right after SUPPRESS isn't held up by it; and so often as that may be, neither call is frequent.
    #[test]
    fn a_revive_need_not_wait_for_the_last_suppress() {
        let mut role = Role::default();
        let (mut now, mut last, mut calls) = (at(0), at(0), 0);
        for _ in 0..4 {
            role.waiting.clear();
            assert_eq!(role.poll(now), None);
            assert_eq!(role.poll(now + QUIET), Some(Change::Suppress));
            now += QUIET;
            role.suppressed();
            role.waiting.insert((now, SpecId(1)));
            assert_eq!(role.poll(now), None);
            assert_eq!(role.deadline(now), Some(now + GATHER));
            now += GATHER;
            assert_eq!(role.poll(now), Some(Change::Revive));
            role.revived(now, CallId::for_tests(1), &mut Rng::new(1));
            assert!(calls == 0 || now.saturating_duration_since(last) >= RATE);
            (last, calls) = (now, calls + 1);
        }
    }

    // ENGINE scenario 49
    #[test]
    fn a_revive_without_offers_is_repeated_ever_more_slowly() {
        let mut role = Role { suppressed: true, ..Role::default() };
        role.waiting.insert((at(0), SpecId(1)));
        let (mut now, mut revived, mut rng) = (at(10), Vec::new(), Rng::new(1));
        while revived.len() < 6 {
            match role.poll(now) {
                Some(Change::Revive) => {
                    role.revived(now, CallId::for_tests(1), &mut rng);
                    role.answered(now, CallId::for_tests(1), true);
                    revived.push(now);
                }
                Some(Change::Suppress) => panic!("it is wanted"),
                None => now = role.deadline(now).unwrap(),
            }
        }
        let gaps = revived.windows(2).map(|w| w[1].saturating_duration_since(w[0]) - GATHER);
        let gaps: Vec<f64> = gaps.map(|gap| gap.as_secs_f64()).collect();
        for (gap, expected) in gaps.iter().zip([30.0, 60.0, 120.0, 240.0, 300.0]) {
            assert!((gap / expected - 1.0).abs() <= 0.1, "{gaps:?}");
        }
        assert!(gaps.iter().any(|gap| gap.fract() != 0.0), "not all frameworks at once: {gaps:?}");
    }

    // Seed 23 of the simulated world: the offer was older than SUPPRESS, so no other would have come.
    #[test]
    fn an_offer_that_crosses_a_suppress_does_not_undo_it() {
        let mut role = Role::default();
        role.suppressed();
        role.offered(at(1));
        role.waiting.insert((at(10), SpecId(1)));
        role.demand();
        assert_eq!(role.poll(at(10)), None);
        assert_eq!(role.poll(at(11)), Some(Change::Revive));
    }

    // The same, when something waits already that can't use the offer yet (simulated: no other offer ever came).
    #[test]
    fn an_offer_that_crosses_a_suppress_does_not_help_what_waits() {
        let mut role = Role::default();
        role.suppressed();
        role.waiting.insert((at(2), SpecId(1)));
        role.demand();
        role.offered(at(1));
        assert_eq!(role.poll(at(1)), None);
        assert_eq!(role.poll(at(2)), Some(Change::Revive));
    }

    // ENGINE scenario 50
    #[test]
    fn a_long_filter_hides_only_what_came_later() {
        let mut role = Role::default();
        role.waiting.insert((at(0), SpecId(1)));
        role.demand();
        role.declined(at(0), Duration::from_secs(120));
        assert_eq!(role.poll(at(1)), None);
        role.demand();
        assert_eq!(role.poll(at(2)), None);
        assert_eq!(role.poll(at(3)), Some(Change::Revive));
        role.revived(at(3), CallId::for_tests(1), &mut Rng::new(1));
        assert!(role.has_stragglers(at(60)));
        role.answered(at(60), CallId::for_tests(1), true);
        assert!(role.has_stragglers(at(61)) && !role.has_stragglers(at(62)));
    }
}
