//! Judges of KILLs: of which tasks, how, and how often.

use std::time::Duration;

use mesos_proto::store::instance;
use mesos_proto::v1::scheduler::call;

use super::disk::Disk;
use super::ledger::{ASK, Launched, Ledger};
use super::{Step, violation};

/// Per task, between two KILLs: the grace that Mesos gives by default, and ten seconds.
pub(super) const KILL: Duration = Duration::from_secs(13);
/// Each time it is repeated it waits twice as long, but no longer than this.
const KILL_AT_MOST: Duration = Duration::from_secs(300);
/// What Mesos gives by default.
const GRACE: Duration = Duration::from_secs(3);

/// The last KILL of a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Killed {
    at: Duration,
    /// How many there were since the task was last heard of alive, or since the first one by force.
    sent: u32,
    forced: bool,
}

impl Ledger {
    /// I9, I15: a KILL leaves.
    pub(super) fn kill(&mut self, now: Duration, kill: &call::Kill, disk: &Disk) -> Step {
        self.judge("I9");
        let id = &kill.task_id.value;
        if kill.agent_id.is_none() {
            return violation("I9", format!("KILL for {id} without its agent"));
        }
        let state = disk.instances.get(id).map(|kept| kept.record.state());
        let task = self.tasks.get(id);
        match state {
            Some(instance::State::Killing) => {}
            Some(state) => return violation("I9", format!("KILL for {id}, which is {state:?} in the store")),
            None => {
                // It may have ended while the KILL waited for its turn, for the store, or for the end of a standstill; and
                // in a lane where one call after the other waits long for its answer, for longer.
                let just_woke = self.woke_at.is_some_and(|woke| now <= woke + 6 * ASK);
                let waited = |at: &Duration| *at + 6 * ASK >= disk.hangs_since && disk.hangs_until <= now;
                let over_at = task.and_then(|task| task.over_at);
                let over_at = over_at.map(|at| if waited(&at) { at.max(disk.hangs_until) } else { at });
                let limit = if self.jammed(now) { 12 * ASK } else { 6 * ASK };
                // Of one that is gone a user may think otherwise, and so does a place that takes it back where duplicates are
                // forbidden: nobody else keeps what was heard of it in between (simulated: seed 9610007944).
                let wished = disk.ghosts.contains(id) && self.user_kills.contains(id) || disk.taken_back.contains(id);
                if !wished && over_at.is_some_and(|at| at + limit < now) && !just_woke {
                    return violation("I9", format!("KILL for {id}, which has ended"));
                }
            }
        }
        let manners = std::mem::take(&mut self.manners);
        let grace = kill.kill_policy.and_then(|policy| policy.grace_period).map(|grace| grace.nanoseconds);
        let grace = grace.map(|nanos| Duration::from_nanos(nanos.unsigned_abs()));
        let forced = grace == Some(Duration::ZERO);
        if !forced && !manners.graces.contains(&grace) && state.is_some() && !self.own {
            return violation("I9", format!("KILL for {id} with {grace:?} to end, and not {:?}", manners.graces));
        }
        self.of_this(id).or_else(|what| violation("I9", format!("KILL for {what}")))?;
        self.judge("I15");
        let before = self.killed.get(id).copied();
        // Of one that was given up all news lets it begin anew; what was never launched has none (simulated: seed 2500009658).
        let at = |task: &Launched| if state.is_none() { Some(task.heard?.1) } else { task.alive_at };
        let news = match self.tasks.get(id) {
            Some(task) => at(task),
            None => state.is_none().then_some(now),
        };
        let returned = news.is_some_and(|at| before.is_some_and(|before| at + Duration::from_secs(1) >= before.at));
        // The first one by force counts as the first, and several that waited for the same are one.
        let sent = before.filter(|before| !returned && (before.forced || !forced));
        let sent = sent.map_or(1, |before| before.sent + u32::from(before.at + Duration::from_secs(1) < now));
        self.killed.insert(id.clone(), Killed { at: now, sent, forced });
        let least = manners.graces.iter().map(|grace| grace.unwrap_or(GRACE)).min().unwrap_or(GRACE).min(GRACE);
        let wait = |sent: u32, grace: Duration| ((KILL - GRACE + grace) * (1 << (sent - 1).min(10))).min(KILL_AT_MOST);
        // One that had to wait is nearer to the next one.
        let late = |at: Duration| self.jammed_at.is_some_and(|jammed| at <= jammed + 2 * KILL);
        let least = before.map(|Killed { at, sent, forced, .. }| {
            let least = if forced { Duration::ZERO } else { least };
            at + wait(if late(at) { 1 } else { sent }, least).mul_f64(0.9)
        });
        let first = *self.killed_first.entry(id.clone()).or_insert(now);
        let soon = |force: Duration| now < first + force.mul_f64(0.9) && self.flows(now);
        if forced && !self.own && manners.force.is_none_or(soon) {
            return violation(
                "I15",
                format!("KILL for {id} by force, and it has {:?} from {first:?} on", manners.force),
            );
        }
        let early = (!forced || before.is_some_and(|before| before.forced)) && least.is_some_and(|least| now < least);
        if early && !self.own && !returned && self.flows(now) && !self.user_kills.remove(id) {
            return violation(
                "I15",
                format!("KILL number {sent} for {id} after {:?}", before.map(|before| now - before.at)),
            );
        }
        Ok(())
    }
}
