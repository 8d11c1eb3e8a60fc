//! The network between a scheduler and the masters: exchanges, each with a fate of its own.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use mesos_core::{Head, Lane};

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
    /// The head of its answer has arrived.
    pub(super) answered: bool,
    pub(super) sent: Duration,
    /// When the last piece arrives that is on its way to the scheduler: none overtakes it.
    pub(super) last: Duration,
    pub(super) latency: Duration,
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
