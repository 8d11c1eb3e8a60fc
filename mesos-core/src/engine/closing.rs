//! Agents that are about to be taken away: for maintenance that is announced, or by inverse offers.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::engine::{Engine, Sent};
use super::event::Event;
use crate::planted::planted;
use crate::scheduler::{CallError, Outcome};
use crate::v1;

/// So long before the start nothing is launched there any more.
const LEAD: Duration = Duration::from_secs(360);
/// For so many seconds at most one of them is refused.
const LONGEST: u64 = 3600;
/// So many agents are remembered.
const MOST: usize = 10_000;
/// So many inverse offers wait for the store.
const WAITING: usize = 10_000;
/// For so many seconds an inverse offer doesn't come again.
const AGREED: f64 = 600.0;
const REFUSED: f64 = 60.0;

/// Agents whose unavailability was announced.
pub(super) type Closings = BTreeMap<Arc<str>, Closing>;

/// When an agent isn't there; since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    start: Duration,
    /// `None` is for ever.
    end: Option<Duration>,
    told: bool,
    /// The last inverse offer that said so.
    inverse: Option<String>,
}

impl Closing {
    fn is_over(&self, now: Duration) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    fn is_near(&self, now: Duration) -> bool {
        now.saturating_add(LEAD) >= self.start && !self.is_over(now)
    }
}

impl Engine {
    /// What an offer, or an inverse one (then its id is given), says of its agent: from when on it isn't there, and for
    /// how long, in nanoseconds.
    pub(super) fn note_unavailability(
        &mut self,
        agent_id: &str,
        inverse: Option<&str>,
        unavailability: Option<(i64, Option<i64>)>,
    ) {
        let now = self.wall_now().map(|now| now.since_epoch());
        let nanos = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        let announced = unavailability.filter(|(start, _)| *start >= 0).zip(now);
        let Some(((start, during), now)) = announced else {
            self.closings.remove(agent_id);
            return;
        };
        let start = nanos(start);
        let end = during.map(|during| start.saturating_add(nanos(during)));
        let known = self.closings.get(agent_id).filter(|known| (known.start, known.end) == (start, end));
        let told = known.is_some_and(|known| known.told);
        let inverse = inverse.or_else(|| known.and_then(|known| known.inverse.as_deref())).map(ToString::to_string);
        let mut closing = Closing { start, end, told, inverse };
        if self.closings.len() >= MOST && !self.closings.contains_key(agent_id) {
            self.closings.retain(|_, closing| !closing.is_over(now));
            if self.closings.len() >= MOST {
                self.closings.pop_first();
            }
        }
        if closing.is_near(now) && !core::mem::replace(&mut closing.told, true) {
            let (starts_in, during) = (start.saturating_sub(now), end.map(|end| end.saturating_sub(start)));
            self.tell(None, Event::AgentClosing { agent_id: agent_id.to_string(), starts_in, during });
        }
        self.closings.insert(agent_id.into(), closing);
    }

    /// For how many seconds an agent takes no launches, because it is about to be taken away.
    pub(super) fn closing_for(&self, agent_id: &str) -> Option<u64> {
        let now = self.wall_now()?.since_epoch();
        let closing = self.closings.get(agent_id).filter(|closing| closing.is_near(now))?;
        let left = closing.end.map(|end| end.saturating_sub(now).as_secs());
        Some(left.map_or(LONGEST, |left| left.clamp(1, LONGEST)))
    }

    /// An agent isn't to be taken away, or at another time, which is said anew.
    pub(super) fn inverse_rescinded(&mut self, id: &str) {
        self.inverse.retain(|offer| offer.id.value != id);
        // One whose answer is under way isn't answered again if that was never sent.
        for sent in self.sent.values_mut() {
            if let Sent::Inverse(offers) = sent {
                offers.retain(|offer| offer.id.value != id);
            }
        }
        self.closings.retain(|_, closing| closing.inverse.as_deref() != Some(id));
    }

    /// Agents are to be taken away: fine where nothing of ours is; elsewhere the tasks have nowhere to go.
    pub(super) fn answer_inverse(&mut self) {
        let inverse = core::mem::take(&mut self.inverse);
        for offer in &inverse {
            let Some(agent) = &offer.agent_id else { continue };
            let during = offer.unavailability.duration.as_ref().map(|during| during.nanoseconds);
            let id = Some(&*offer.id.value);
            self.note_unavailability(&agent.value, id, Some((offer.unavailability.start.nanoseconds, during)));
        }
        let empty = |offer: &&v1::InverseOffer| {
            let free = |agent: &v1::AgentId| planted!(LetsGo) || self.book.on_agent(&agent.value).next().is_none();
            !planted!(HoldsOn) && offer.agent_id.as_ref().is_some_and(free)
        };
        let (yes, no): (Vec<_>, Vec<_>) = inverse.into_iter().partition(|offer| empty(&offer));
        let (accepted, declined) = (self.answer_all(yes, true), self.answer_all(no, false));
        if accepted + declined > 0 {
            self.tell(None, Event::InverseOffersAnswered { accepted, declined });
        }
    }

    /// Answers these alike; how many answers are on their way. After the filter they come again, or with the next session.
    fn answer_all(&mut self, offers: Vec<v1::InverseOffer>, fine: bool) -> u32 {
        if offers.is_empty() || planted!(NotAnswered) && !fine {
            return 0;
        }
        let ids: Vec<&str> = offers.iter().map(|offer| &*offer.id.value).collect();
        let filters = Some(v1::Filters { refuse_seconds: Some(if fine { AGREED } else { REFUSED }) });
        let mut calls = self.client.calls();
        let call = match fine {
            true => calls.accept_inverse_offers(ids, filters),
            false => calls.decline_inverse_offers(ids, filters),
        };
        match call {
            Ok(call) => {
                let count = offers.len() as u32;
                self.sent.insert(call, Sent::Inverse(offers));
                count
            }
            Err(CallError::QueueFull { .. }) => {
                self.keep_inverse(offers);
                0
            }
            Err(_) => 0,
        }
    }

    /// Inverse offers that wait for their answer; one without any does no harm.
    pub(super) fn keep_inverse(&mut self, offers: Vec<v1::InverseOffer>) {
        let room = WAITING.saturating_sub(self.inverse.len());
        self.inverse.extend(offers.into_iter().take(room));
    }

    /// What became of answers. Of those that were never sent the master still waits for others: it doesn't ask again.
    pub(super) fn inverse_answered(&mut self, offers: Vec<v1::InverseOffer>, outcome: &Outcome) {
        if matches!(outcome, Outcome::NotSent) && self.subscribed {
            self.keep_inverse(offers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_at_their_end() {
        let closing = |end| Closing { start: Duration::from_secs(1), end, told: false, inverse: None };
        assert!(closing(None).is_near(Duration::MAX) && !closing(Some(Duration::MAX)).is_near(Duration::MAX));
    }
}
