//! Judges of answers to inverse offers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos_proto::v1;
use mesos_proto::v1::scheduler::{Call, Event};

use super::disk::Disk;
use super::ledger::{ANSWER, Ledger};
use super::{Step, violation};

/// Those of the present session.
#[derive(Debug, Default)]
pub(super) struct InverseOffers {
    /// Their agents on which something of ours was when they came, and what.
    occupied: BTreeMap<String, (String, String)>,
    /// Those of agents that had nothing of ours when they came.
    free: BTreeMap<String, String>,
    /// When each came that has no answer yet, or when the last one could not be sent.
    open: BTreeMap<String, Duration>,
    answered: BTreeSet<String>,
    rescinded: BTreeSet<String>,
    /// Nothing is being written.
    pub(super) saved: bool,
}

impl InverseOffers {
    /// The process has stood still.
    pub(super) fn woke(&mut self, now: Duration) {
        self.open.values_mut().for_each(|at| *at = now);
    }

    /// An answer was surely not sent.
    pub(super) fn unsent(&mut self, now: Duration, ids: &[String]) {
        for id in ids.iter().filter(|id| !self.rescinded.contains(*id)) {
            if self.answered.remove(id) {
                self.open.insert(id.clone(), now);
            }
        }
    }
}

/// The inverse offers that a call answers.
pub(super) fn answered(call: &Call) -> impl Iterator<Item = &v1::OfferId> {
    let accepted = call.accept_inverse_offers.iter().flat_map(|accept| &accept.inverse_offer_ids);
    accepted.chain(call.decline_inverse_offers.iter().flat_map(|decline| &decline.inverse_offer_ids))
}

/// Whether nothing is kept of an agent.
fn is_free(agent: &str, disk: &Disk) -> bool {
    disk.instances.values().all(|kept| kept.record.agent.id != agent)
}

impl Ledger {
    /// `disk`: unless something is being written, as that tasks are given up (simulated: seed 8100001273).
    pub(super) fn inverse_heard(&mut self, now: Duration, event: &Event, disk: Option<&Disk>) {
        for offer in event.inverse_offers.iter().flat_map(|inverse| &inverse.inverse_offers) {
            let agent = offer.agent_id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
            let id = &offer.id.value;
            if let Some(task) = disk.and_then(|disk| self.living_on(&agent, disk)) {
                self.inverse.occupied.insert(id.clone(), (agent, task));
            } else if disk.is_some_and(|disk| is_free(&agent, disk)) {
                self.inverse.free.insert(id.clone(), agent);
            }
            self.inverse.answered.remove(id);
            self.inverse.open.insert(id.clone(), now);
        }
        if let Some(rescind) = &event.rescind_inverse_offer {
            let id = &rescind.inverse_offer_id.value;
            self.inverse.open.remove(id);
            self.inverse.rescinded.insert(id.clone());
        }
    }

    /// Something of ours on an agent that hasn't ended.
    fn living_on(&self, agent: &str, disk: &Disk) -> Option<String> {
        let lives = |id: &String| self.tasks.get(id).is_some_and(|task| !task.ended);
        let there = disk.instances.iter().find(|(id, kept)| kept.record.agent.id == agent && lives(id));
        there.map(|(id, _)| id.clone())
    }

    /// I1: each is answered once. I10: an agent may be taken away if nothing of ours is there.
    pub(super) fn inverse_answers(&mut self, now: Duration, call: &Call, disk: &Disk) -> Step {
        for v1::OfferId { value: id } in answered(call) {
            self.judge("I1");
            let open = self.inverse.open.remove(id).is_some();
            // Taken back while its answer waited.
            if !open && !self.inverse.rescinded.contains(id) {
                return violation("I1", format!("inverse offer {id} was answered, or never made in this session"));
            }
            self.inverse.answered.insert(id.clone());
        }
        let filters = call.accept_inverse_offers.iter().map(|accept| &accept.filters);
        let filters = filters.chain(call.decline_inverse_offers.iter().map(|decline| &decline.filters));
        for refuse in filters.map(|filters| filters.as_ref().map(v1::Filters::refuse_seconds)) {
            if !refuse.is_some_and(|refuse| (60.0..=3600.0).contains(&refuse)) {
                return violation("I21", format!("an inverse offer is answered for {refuse:?} s"));
            }
        }
        for id in call.decline_inverse_offers.iter().flat_map(|decline| &decline.inverse_offer_ids) {
            // What has been launched since, or is about to be, is in the way.
            let free = |agent: &&String| self.inverse.saved && self.flows(now) && is_free(agent, disk);
            if let Some(agent) = self.inverse.free.get(&id.value).filter(free) {
                return violation("I10", format!("agent {agent} may not be taken away, and nothing is there"));
            }
        }
        for id in call.accept_inverse_offers.iter().flat_map(|accept| &accept.inverse_offer_ids) {
            self.judge("I10");
            // What has come back since is there when the answer has been given.
            let Some((agent, task)) = self.inverse.occupied.get(&id.value).filter(|_| self.flows(now)) else {
                continue;
            };
            if self.living_on(agent, disk).is_some() && self.tasks.get(task).is_some_and(|task| !task.ended) {
                return violation("I10", format!("agent {agent} may be taken away, and {task} is there"));
            }
        }
        Ok(())
    }

    /// I1: none is left without an answer, if nothing has hindered one since that moment.
    pub(super) fn inverse_check(&self, now: Duration, since: Option<Duration>) -> Step {
        let late = |at: &Duration| since.is_some_and(|since| since.max(*at) + ANSWER < now);
        match self.inverse.open.iter().find(|(_, at)| late(at)) {
            Some((id, at)) => violation("I1", format!("inverse offer {id} of {at:?} has no answer at {now:?}")),
            None => Ok(()),
        }
    }
}
