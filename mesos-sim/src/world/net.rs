//! The network between a scheduler and the masters: exchanges, each with a fate of its own.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use mesos_core::{Head, Lane};
use mesos_proto::v1::scheduler as proto;

use crate::Request;

/// A request, its answer, and the connection that they are on.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Of the scheduler's process.
    pub(super) process: u64,
    /// Its number in that process.
    pub(super) id: mesos_core::ExchangeId,
    pub(super) lane: Lane,
    pub(super) master: usize,
    /// On its way to the master.
    pub(super) request: Option<Request>,
    /// The scheduler listens.
    pub(super) client_open: bool,
    /// The master has it, and believes that somebody listens.
    pub(super) server_open: bool,
    /// What the master says from now on gets lost.
    pub(super) mute: bool,
    /// The master never hears that the scheduler has gone away, or only after a long time.
    pub(super) half_open: bool,
    /// The stream id that it names.
    pub(super) stream: Option<String>,
    /// The offers that it answers.
    pub(super) offers: Vec<String>,
    /// The task that it ends.
    pub(super) kill: Option<String>,
    /// The head of its answer has arrived.
    pub(super) answered: bool,
    pub(super) sent: Duration,
    /// When the last piece arrives that is on its way to the scheduler: none overtakes it.
    pub(super) last: Duration,
    pub(super) latency: Duration,
    /// Of two instances: the call, until a master has taken it.
    pub(super) call: Option<proto::Call>,
    /// Records that have been sent and not arrived, each with how many bytes of it are missing.
    pub(super) records: VecDeque<(usize, Bytes)>,
}

/// Something on its way to the scheduler.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Head(Head),
    Body(Bytes),
    End,
    /// The connection broke.
    Broken(mesos_core::Failure),
}

impl Exchange {
    /// Whether calls have waited for its end: then they come closer together than they were decided.
    pub(super) fn has_jammed(&self, now: Duration) -> bool {
        self.lane == Lane::Ordered && self.sent + Duration::from_millis(500) < now
    }

    /// So many bytes have arrived: the records that are complete now.
    pub(super) fn arrived(&mut self, mut bytes: usize) -> Vec<Bytes> {
        let mut complete = Vec::new();
        while let Some((missing, record)) = self.records.front_mut() {
            if *missing > bytes {
                *missing -= bytes;
                break;
            }
            bytes -= *missing;
            complete.push(std::mem::take(record));
            self.records.pop_front();
        }
        complete
    }
}

/// The offers that a call answers.
pub(super) fn offers(call: &proto::Call) -> Vec<String> {
    let accepted = call.accept.iter().flat_map(|accept| &accept.offer_ids);
    let declined = call.decline.iter().flat_map(|decline| &decline.offer_ids);
    accepted.chain(declined).chain(super::inverse::answered(call)).map(|id| id.value.clone()).collect()
}

/// A call in a line.
pub(super) fn brief(call: &proto::Call) -> String {
    let kind = call.r#type().as_str_name();
    let ids = |ids: Vec<&str>| ids.join(" ");
    match (&call.accept, &call.kill, &call.acknowledge, &call.reconcile, &call.decline) {
        (Some(accept), ..) => {
            let tasks = accept.operations.iter().filter_map(|operation| operation.launch.as_ref());
            let tasks = tasks.flat_map(|launch| &launch.task_infos).map(|task| task.task_id.value.as_str()).collect();
            format!("{kind} {} for {}", ids(accept.offer_ids.iter().map(|id| id.value.as_str()).collect()), ids(tasks))
        }
        (_, Some(kill), ..) => format!("{kind} {}", kill.task_id.value),
        (_, _, Some(acknowledge), ..) => format!("{kind} {}", acknowledge.task_id.value),
        (_, _, _, Some(reconcile), _) => {
            format!("{kind} {}", ids(reconcile.tasks.iter().map(|task| task.task_id.value.as_str()).collect()))
        }
        (.., Some(decline)) => {
            let refuse = decline.filters.as_ref().and_then(|filters| filters.refuse_seconds);
            format!("{kind} {} for {refuse:?} s", ids(decline.offer_ids.iter().map(|id| id.value.as_str()).collect()))
        }
        _ => match (&call.revive, &call.suppress) {
            (Some(revive), _) => format!("{kind} {}", revive.roles.join(" ")),
            (_, Some(suppress)) => format!("{kind} {}", suppress.roles.join(" ")),
            _ => kind.to_owned(),
        },
    }
}

/// An event in a line.
pub(super) fn brief_event(event: &proto::Event) -> String {
    let kind = event.r#type().as_str_name();
    if let Some(update) = &event.update {
        let (status, reason) = (&update.status, update.status.reason.map(|_| update.status.reason()));
        let uuid = if status.uuid.is_some() { "" } else { ", no uuid" };
        return format!("{kind} {} {} {reason:?}{uuid}", status.task_id.value, status.state().as_str_name());
    }
    if let Some(offers) = &event.offers {
        let ids: Vec<String> = offers.offers.iter().map(|o| format!("{}@{}", o.id.value, o.hostname)).collect();
        return format!("{kind} {}", ids.join(" "));
    }
    match (&event.rescind, &event.failure, &event.error) {
        (Some(rescind), ..) => format!("{kind} {}", rescind.offer_id.value),
        (_, Some(failure), _) => format!("{kind} {failure:?}"),
        (_, _, Some(error)) => format!("{kind} {}", error.message),
        _ => kind.to_owned(),
    }
}
