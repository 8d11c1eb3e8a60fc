//! Asking the master what became of tasks: who is to be asked when. The answers are ordinary statuses.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::attempt::AttemptId;
use crate::Instant;
use crate::planted::planted;
use crate::rng::Rng;

/// So many tasks in a call.
const BATCH: usize = 1000;
/// After a full batch, and after any other.
const BETWEEN_BATCHES: Duration = Duration::from_secs(1);
const BETWEEN_CALLS: Duration = Duration::from_millis(100);
/// The same task is asked for no sooner than this.
pub(super) const AGAIN: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);
/// Without an answer to everything, the implicit question is asked all the same.
const IMPLICIT_AT_LAST: Duration = Duration::from_secs(60);

/// Whom a question is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Attempt(AttemptId),
    Ghost(Arc<str>),
}

/// What the engine is to do.
#[derive(Debug, PartialEq)]
pub(super) enum Ask {
    /// For these.
    Explicit(Vec<Subject>),
    /// For everything.
    Implicit,
    /// A run over all tasks is due.
    Run,
    /// The run is answered in full, after so long.
    Done(Duration),
}

#[derive(Debug)]
struct Question {
    due: Instant,
    tries: u32,
    in_run: bool,
}

/// All questions of a session.
#[derive(Debug)]
pub(super) struct Reconciler {
    open: BTreeMap<Subject, Question>,
    due: BTreeSet<(Instant, Subject)>,
    /// Questions of the run that have no answer.
    run: Option<Run>,
    next_call: Instant,
    next_run: Option<Instant>,
    next_implicit: Option<Instant>,
    /// Until the first run of the session is answered, or this moment.
    unsettled_until: Option<Instant>,
    every: Duration,
    implicit_every: Duration,
}

#[derive(Debug)]
struct Run {
    started: Instant,
    open: usize,
}

impl Reconciler {
    pub(super) const fn new(every: Duration, implicit_every: Duration) -> Self {
        Self {
            open: BTreeMap::new(),
            due: BTreeSet::new(),
            run: None,
            next_call: Instant::ORIGIN,
            next_run: None,
            next_implicit: None,
            unsettled_until: None,
            every,
            implicit_every,
        }
    }

    /// A session has begun: everything is asked anew.
    pub(super) fn begin(&mut self, now: Instant) {
        self.end();
        self.next_call = now;
        self.next_run = Some(now);
        self.next_implicit = Some(now + IMPLICIT_AT_LAST);
        self.unsettled_until = self.next_implicit;
    }

    /// The session is over.
    pub(super) fn end(&mut self) {
        self.open.clear();
        self.due.clear();
        self.run = None;
        self.next_run = None;
        self.next_implicit = None;
    }

    /// Starts a run over these, in place of any other; each with the moment from which it may be asked.
    pub(super) fn start_run(
        &mut self,
        now: Instant,
        subjects: impl IntoIterator<Item = (Subject, Instant)>,
        rng: &mut Rng,
    ) -> usize {
        for question in self.open.values_mut() {
            question.in_run = false;
        }
        self.run = Some(Run { started: now, open: 0 });
        for (subject, from) in subjects {
            self.ask(subject.clone(), from.max(now));
            if let (Some(question), Some(run)) = (self.open.get_mut(&subject), &mut self.run) {
                question.in_run = true;
                run.open += 1;
            }
        }
        self.next_run = Some(now + jitter(self.every, rng));
        self.run.as_ref().map_or(0, |run| run.open)
    }

    /// Asks for one of them from this moment on, if it isn't being asked already.
    pub(super) fn ask(&mut self, subject: Subject, at: Instant) {
        let question = self.open.entry(subject.clone()).or_insert(Question { due: at, tries: 0, in_run: false });
        if at < question.due {
            self.due.remove(&(question.due, subject.clone()));
            question.due = at;
        }
        self.due.insert((question.due, subject));
    }

    /// There is news of it, or nothing more to ask.
    pub(super) fn answered(&mut self, subject: &Subject) {
        if let Some(question) = self.open.remove(subject) {
            self.due.remove(&(question.due, subject.clone()));
            if let Some(run) = self.run.as_mut().filter(|_| question.in_run) {
                run.open = run.open.saturating_sub(1);
            }
        }
    }

    /// The next thing to ask.
    pub(super) fn poll(&mut self, now: Instant, rng: &mut Rng) -> Option<Ask> {
        if let Some(run) = self.run.take_if(|run| run.open == 0) {
            // Half an interval off the explicit ones, but at once after the first of a session.
            self.unsettled_until = None;
            let first = self.next_implicit.is_some_and(|at| at <= run.started + IMPLICIT_AT_LAST);
            if first {
                self.next_implicit = Some(now);
            }
            return Some(Ask::Done(now.saturating_duration_since(run.started)));
        }
        if self.next_run.is_some_and(|at| at <= now) {
            self.next_run = None;
            return Some(Ask::Run);
        }
        if self.next_call > now {
            return None;
        }
        if self.next_implicit.is_some_and(|at| at <= now) {
            self.next_implicit = Some(now + jitter(self.implicit_every, rng));
            self.next_call = now + BETWEEN_CALLS;
            return Some(Ask::Implicit);
        }
        let mut batch = Vec::new();
        while let Some((at, _)) = self.due.first() {
            if *at > now || batch.len() == BATCH {
                break;
            }
            let Some((_, subject)) = self.due.pop_first() else { break };
            if let Some(question) = self.open.get_mut(&subject) {
                let wait = AGAIN.saturating_mul(1 << question.tries.min(3)).min(LONGEST);
                let wait = if planted!(AskFlood) { BETWEEN_BATCHES } else { wait };
                question.tries += 1;
                question.due = now + wait + rng.below(wait / 10);
                self.due.insert((question.due, subject.clone()));
                batch.push(subject);
            }
        }
        if batch.is_empty() {
            return None;
        }
        self.next_call = now + if batch.len() == BATCH { BETWEEN_BATCHES } else { BETWEEN_CALLS };
        Some(Ask::Explicit(batch))
    }

    /// Whether the first run of the session has had its time.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.unsettled_until.is_none_or(|until| until <= now)
    }

    /// A question could not be sent: it stays due.
    pub(super) fn not_sent(&mut self, now: Instant) {
        self.next_call = now + BETWEEN_BATCHES;
    }

    /// The implicit question could not be sent, or was lost.
    pub(super) fn implicit_lost(&mut self, now: Instant) {
        self.next_implicit = self.next_implicit.map(|at| at.min(now + AGAIN));
    }

    /// How many questions are without an answer.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let questions = self.due.first().map(|(at, _)| *at);
        let calls = [questions, self.next_implicit].into_iter().flatten().min().map(|at| at.max(self.next_call));
        [calls, self.next_run].into_iter().flatten().min()
    }
}

/// A delay, 10 % more or less.
pub(super) fn jitter(delay: Duration, rng: &mut Rng) -> Duration {
    delay - delay / 10 + rng.below(delay / 5)
}

#[cfg(test)]
mod tests {
    use super::super::attempt::{SlotId, SpecId};
    use super::*;

    fn subject(index: u32) -> Subject {
        Subject::Attempt(AttemptId { slot: SlotId { spec: SpecId(1), index }, generation: 1 })
    }

    fn at(millis: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(millis))
    }

    fn begun() -> (Reconciler, Rng) {
        let mut reconciler = Reconciler::new(Duration::from_secs(900), Duration::from_secs(3600));
        reconciler.begin(at(0));
        let mut rng = Rng::new(1);
        assert_eq!(reconciler.poll(at(0), &mut rng), Some(Ask::Run));
        (reconciler, rng)
    }

    // ENGINE scenario 32, W43, S162: until the answer comes, ever more slowly, and never sooner than 10 s.
    #[test]
    fn an_unanswered_question_is_asked_again() {
        let (mut reconciler, mut rng) = begun();
        reconciler.start_run(at(0), [(subject(0), at(0))], &mut rng);
        let mut asked = Vec::new();
        let mut now = at(0);
        while asked.len() < 6 {
            match reconciler.poll(now, &mut rng) {
                Some(Ask::Explicit(_)) => asked.push(now),
                Some(_) => {}
                None => now = reconciler.deadline().unwrap(),
            }
        }
        let gaps: Vec<u64> =
            asked.windows(2).map(|w| w[1].saturating_duration_since(w[0]).as_millis() as u64).collect();
        for (gap, want) in gaps.iter().zip([10_000, 20_000, 40_000, 60_000, 60_000]) {
            assert!((want..=want + want / 10 + 200).contains(gap), "{gaps:?}");
        }
        reconciler.answered(&subject(0));
        assert!(matches!(reconciler.poll(now, &mut rng), Some(Ask::Done(_))));
    }

    // ENGINE scenario 33: 100 000 tasks in 100 calls, a second apart.
    #[test]
    fn many_are_asked_in_batches() {
        let (mut reconciler, mut rng) = begun();
        reconciler.start_run(at(0), (0..100_000).map(|i| (subject(i), at(0))), &mut rng);
        let (mut now, mut calls) = (at(0), Vec::new());
        while reconciler.open() > 0 {
            match reconciler.poll(now, &mut rng) {
                Some(Ask::Explicit(batch)) => {
                    assert_eq!(batch.len(), 1000);
                    calls.push(now);
                    batch.iter().for_each(|subject| reconciler.answered(subject));
                }
                // After a minute the implicit question comes in between.
                Some(_) => {}
                None => now = reconciler.deadline().unwrap(),
            }
        }
        assert_eq!(calls.len(), 100);
        assert!(calls.windows(2).all(|w| w[1] >= w[0] + Duration::from_secs(1)), "{calls:?}");
    }

    #[test]
    fn the_implicit_question_follows_the_first_run() {
        let (mut reconciler, mut rng) = begun();
        reconciler.start_run(at(0), [], &mut rng);
        assert!(matches!(reconciler.poll(at(0), &mut rng), Some(Ask::Done(_))));
        assert_eq!(reconciler.poll(at(0), &mut rng), Some(Ask::Implicit));
        assert_eq!(reconciler.poll(at(0), &mut rng), None);
    }
}
