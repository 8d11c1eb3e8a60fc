//! DECLINEs on their way, and those that come to nothing.

use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::engine::{Engine, Sent, Timer};
use super::offers::SHORT;
use crate::planted::planted;
use crate::scheduler::{CallError, Outcome};
use crate::{Instant, v1};

/// So many offers whose DECLINE was refused are remembered.
const KEPT: usize = 10_000;
/// Such a DECLINE is made again after this time, each time after twice as long.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Declines {
    /// Those that wait for room, with their filters in seconds.
    waiting: VecDeque<(Vec<String>, u64)>,
    /// Offers whose DECLINE was refused.
    refused: Vec<String>,
    /// The first offer of those that were last declined again.
    again: Option<String>,
    /// How often that has come to nothing in a row.
    times: u32,
    /// When they are declined again.
    again_at: Option<Instant>,
}

impl Declines {
    /// Roles are revived: a long filter that comes after it would undo that.
    pub(super) fn shorten(&mut self) {
        self.waiting.iter_mut().for_each(|(_, refuse)| *refuse = (*refuse).min(SHORT));
    }
}

impl Engine {
    pub(super) fn decline<I: AsRef<str>>(&mut self, ids: impl IntoIterator<Item = I>, refuse: u64) {
        self.declines.waiting.push_back((ids.into_iter().map(|id| id.as_ref().to_owned()).collect(), refuse));
        self.send_declines();
    }

    /// Hands declines to the client; what it has no room for stays for later, and without a subscription they are void.
    pub(super) fn send_declines(&mut self) {
        while let Some((ids, refuse)) = self.declines.waiting.pop_front() {
            let filters = v1::Filters { refuse_seconds: Some(refuse as f64) };
            match self.client.calls().decline(&ids, Some(filters)) {
                Ok(call) => drop(self.sent.insert(call, Sent::Decline(ids, refuse))),
                Err(CallError::QueueFull { .. }) => {
                    self.declines.waiting.push_front((ids, refuse));
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// What became of a DECLINE. One that surely had no effect is made again, in a session that stands: at once if it could
    /// not be sent, but one that was refused may be refused for ever.
    pub(super) fn declined(&mut self, ids: Vec<String>, refuse: u64, outcome: &Outcome) {
        match outcome {
            Outcome::NotSent if self.subscribed && !planted!(DeclineLost) => {
                // REVIVE may have been sent since, and a long filter would undo it.
                self.declines.waiting.push_back((ids, refuse.min(SHORT)));
            }
            Outcome::Rejected { .. } if self.subscribed => self.decline_refused(ids),
            Outcome::Accepted { .. } | Outcome::Carried if self.declines.again.as_ref() == ids.first() => {
                self.declines.times = 0;
            }
            _ => {}
        }
    }

    fn decline_refused(&mut self, ids: Vec<String>) {
        let room = KEPT.saturating_sub(self.declines.refused.len());
        self.declines.refused.extend(ids.into_iter().take(room));
        if self.declines.again_at.is_none() {
            let at = self.now + AGAIN.saturating_mul(1 << self.declines.times.min(10)).min(LONGEST);
            self.declines.times = self.declines.times.saturating_add(1);
            self.declines.again_at = Some(at);
            self.timers.insert((at, Timer::Declines));
        }
    }

    /// What was refused is tried again. The timer may be that of an earlier session.
    pub(super) fn on_declines_timer(&mut self) {
        if self.declines.again_at.take_if(|at| *at <= self.now).is_some() {
            let ids = core::mem::take(&mut self.declines.refused);
            self.declines.again = ids.first().cloned();
            self.decline(ids, SHORT);
        }
    }
}
