//! What has become of each task so far, as a state machine without terminal and connection.

use std::fmt;

use mesos_blocking::mesos_core::engine::{EndClass, Event, Held, Task};
use mesos_blocking::mesos_core::v1::TaskState;

/// All tasks of the run.
#[derive(Debug)]
pub(crate) struct Board {
    rows: Vec<Row>,
}

/// One of them, over all its attempts.
#[derive(Debug, Default)]
struct Row {
    phase: Phase,
    /// The state that Mesos told last, and where.
    state: Option<TaskState>,
    host: String,
    healthy: Option<bool>,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No offer so far, or the next attempt is to come.
    #[default]
    Waiting,
    /// Launched, and not running yet.
    Launched,
    Running,
    Finished,
    Failed,
}

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) all: usize,
    pub(crate) waiting: usize,
    pub(crate) launched: usize,
    pub(crate) running: usize,
    pub(crate) finished: usize,
    pub(crate) failed: usize,
}

/// What was last told of a task.
#[derive(Debug)]
struct Told<'a> {
    state: Option<TaskState>,
    host: &'a str,
    healthy: Option<bool>,
    message: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(task: &'a Task) -> Self {
        let Task { task_state, hostname, healthy, message, .. } = task;
        Self { state: *task_state, host: hostname, healthy: *healthy, message: message.as_deref() }
    }

    fn line(&self, index: u32) -> String {
        let state = self.state.map_or("launched", examples::short);
        let health = match self.healthy {
            Some(true) => ", healthy",
            Some(false) => ", unhealthy",
            None => "",
        };
        let message = self.message.map(|message| format!(" ({message})")).unwrap_or_default();
        format!("{}: {state}{health} on {}{message}", name(index), self.host)
    }
}

impl Row {
    fn take(&mut self, told: &Told<'_>) {
        self.state = told.state;
        self.healthy = told.healthy;
        told.host.clone_into(&mut self.host);
    }
}

impl Board {
    pub(crate) fn new(tasks: u32) -> Self {
        Self { rows: (0..tasks).map(|_| Row::default()).collect() }
    }

    fn row(&mut self, index: u32) -> Option<&mut Row> {
        self.rows.get_mut(usize::try_from(index).ok()?)
    }

    /// Takes an event in, and hands back what it says for people.
    pub(crate) fn event(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::TaskUpdated(task) => self.updated(task.index, &Told::of(task)),
            Event::TaskEnded { task, class } => self.ended(task.index, &Told::of(task), *class),
            Event::InstanceWaiting { index, delay, .. } => {
                Some(format!("{}: next attempt in {:.1} s", name(*index), delay.as_secs_f64()))
            }
            Event::InstanceHeld { index, why, .. } => self.held(*index, *why),
            _ => None,
        }
    }

    fn updated(&mut self, index: u32, told: &Told<'_>) -> Option<String> {
        let row = self.row(index)?;
        let news = row.state != told.state || row.healthy != told.healthy;
        row.take(told);
        // The end comes as such.
        let state = told.state.filter(|state| !is_end(*state))?;
        row.phase = match state {
            TaskState::TaskStaging | TaskState::TaskStarting => Phase::Launched,
            _ => Phase::Running,
        };
        news.then(|| told.line(index))
    }

    fn ended(&mut self, index: u32, told: &Told<'_>, class: EndClass) -> Option<String> {
        let row = self.row(index)?;
        row.take(told);
        row.phase = match class {
            EndClass::Ok => Phase::Finished,
            EndClass::External | EndClass::Wanted => Phase::Failed,
            // Whether there is another attempt is told next.
            _ => Phase::Waiting,
        };
        Some(told.line(index))
    }

    fn held(&mut self, index: u32, why: Held) -> Option<String> {
        self.row(index)?.phase = Phase::Failed;
        let why = match why {
            Held::Exhausted => "no more attempts",
            Held::Invalid => "Mesos refuses it",
            _ => "given up",
        };
        Some(format!("{}: {why}", name(index)))
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts { all: self.rows.len(), ..Counts::default() };
        for row in &self.rows {
            *match row.phase {
                Phase::Waiting => &mut counts.waiting,
                Phase::Launched => &mut counts.launched,
                Phase::Running => &mut counts.running,
                Phase::Finished => &mut counts.finished,
                Phase::Failed => &mut counts.failed,
            } += 1;
        }
        counts
    }

    /// The tasks that are on their way, as many as there is room for.
    pub(crate) fn live(&self, room: usize) -> Vec<String> {
        let live = self.rows.iter().enumerate();
        let live = live.filter(|(_, row)| matches!(row.phase, Phase::Launched | Phase::Running));
        let mut lines: Vec<_> = live
            .map(|(index, row)| {
                let state = row.state.map_or("launched", examples::short);
                let ill = if row.healthy == Some(false) { ", unhealthy" } else { "" };
                format!("  {index}: {state}{ill} on {}", row.host)
            })
            .collect();
        if lines.len() > room {
            let more = lines.len() - room.saturating_sub(1);
            lines.truncate(room.saturating_sub(1));
            lines.push(format!("  and {more} more"));
        }
        lines
    }
}

impl Counts {
    /// Whether nothing is to come any more.
    pub(crate) const fn is_over(&self) -> bool {
        self.finished + self.failed == self.all
    }

    /// `[#####...x]`: what has ended, well at the left and badly at the right.
    pub(crate) fn bar(&self, width: usize) -> String {
        let share = |count: usize| (width * count).checked_div(self.all).unwrap_or_default();
        // One that has failed is to be seen, however many there are.
        let failed = share(self.failed).max(usize::from(self.failed > 0)).min(width);
        let finished = if self.is_over() { width } else { share(self.finished) }.min(width - failed);
        let open = width - failed - finished;
        format!("[{}{}{}]", "#".repeat(finished), ".".repeat(open), "x".repeat(failed))
    }
}

/// `2 of 5 finished, 1 failed, 2 running`
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} finished", self.finished, self.all)?;
        let others = [
            (self.failed, "failed"),
            (self.running, "running"),
            (self.launched, "launched"),
            (self.waiting, "waiting"),
        ];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        Ok(())
    }
}

const fn is_end(state: TaskState) -> bool {
    use TaskState::*;
    !matches!(state, TaskStaging | TaskStarting | TaskRunning | TaskKilling | TaskUnreachable)
}

fn name(index: u32) -> String {
    format!("task {index}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskState::*;

    fn told(state: TaskState) -> Told<'static> {
        Told { state: Some(state), host: "h", healthy: None, message: Some("so") }
    }

    #[test]
    fn from_launch_to_end() {
        let mut board = Board::new(3);
        assert_eq!(board.counts().to_string(), "0 of 3 finished, 3 waiting");
        assert_eq!(board.updated(0, &told(TaskStarting)).as_deref(), Some("task 0: STARTING on h (so)"));
        assert_eq!(board.updated(0, &told(TaskStarting)), None, "no news");
        board.updated(1, &told(TaskRunning));
        assert_eq!(board.counts().to_string(), "0 of 3 finished, 1 running, 1 launched, 1 waiting");
        assert_eq!(board.live(9), ["  0: STARTING on h", "  1: RUNNING on h"]);
        let ill = Told { healthy: Some(false), ..told(TaskRunning) };
        assert_eq!(board.updated(1, &ill).as_deref(), Some("task 1: RUNNING, unhealthy on h (so)"));
        assert_eq!(board.live(9)[1], "  1: RUNNING, unhealthy on h");
        // The end is told once.
        assert_eq!(board.updated(0, &told(TaskFinished)), None);
        assert_eq!(board.ended(0, &told(TaskFinished), EndClass::Ok).as_deref(), Some("task 0: FINISHED on h (so)"));
        board.ended(1, &told(TaskKilled), EndClass::External);
        assert!(!board.counts().is_over());
        board.ended(2, &told(TaskFailed), EndClass::Fault);
        assert!(!board.counts().is_over(), "there may be another attempt");
        assert_eq!(board.held(2, Held::Exhausted).as_deref(), Some("task 2: no more attempts"));
        assert!(board.counts().is_over());
        assert_eq!(board.counts().to_string(), "1 of 3 finished, 2 failed");
        assert_eq!(board.live(9), [""; 0]);
    }

    #[test]
    fn another_attempt_may_do_better() {
        let mut board = Board::new(1);
        board.ended(0, &told(TaskFailed), EndClass::Fault);
        assert_eq!(board.counts().waiting, 1);
        board.updated(0, &told(TaskRunning));
        board.ended(0, &told(TaskFinished), EndClass::Ok);
        assert_eq!(board.counts(), Counts { all: 1, finished: 1, ..Counts::default() });
    }

    #[test]
    fn no_more_lines_than_there_is_room_for() {
        let mut board = Board::new(10);
        for index in 0..10 {
            board.updated(index, &told(TaskRunning));
        }
        assert_eq!(board.live(10).len(), 10);
        assert_eq!(board.live(3), ["  0: RUNNING on h", "  1: RUNNING on h", "  and 8 more"]);
        assert_eq!(board.live(1), ["  and 10 more"]);
    }

    #[test]
    fn strange_numbers_are_no_matter() {
        let mut board = Board::new(1);
        assert_eq!(board.updated(1, &told(TaskRunning)), None);
        assert_eq!(board.held(u32::MAX, Held::Invalid), None);
        assert_eq!(board.counts().waiting, 1);
    }

    #[test]
    fn bars() {
        let bar = |finished, failed, all| Counts { all, finished, failed, ..Counts::default() }.bar(10);
        assert_eq!(bar(0, 0, 5), "[..........]");
        assert_eq!(bar(3, 1, 5), "[######..xx]");
        assert_eq!(bar(5, 0, 5), "[##########]");
        assert_eq!(bar(999, 1, 1000), "[#########x]");
        assert_eq!(bar(2, 1, 3), "[#######xxx]");
    }
}
