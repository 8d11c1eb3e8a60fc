//! For who works on this project: the cells of the engine's two state tables, which were reached, and why some never
//! are. The tables are in `mesos-core/ENGINE.md`; `simulate --list-cells` prints them, and it says what it has reached.
//!
//! They are counted by what the judge sees: rows by statuses, calls, records and commands, columns by the engine's
//! snapshots and the store.

// The tables: ENGINE 1.4 and 1.5.

use std::collections::BTreeMap;

use mesos_core::engine::{KillReason, State};
use mesos_proto::v1;
use v1::TaskState;
use v1::task_status::Reason;

/// The columns; [`STATES`] says what they are.
pub const COLUMNS: &[&str] = &["WA", "PR", "LA", "ST", "RU", "UN", "DO", "KI", "KX", "GH", "FI", "HE"];

/// What the columns are.
pub const STATES: &[&str] = &[
    "an instance that waits for an offer",
    "an attempt whose intent is on its way to the store",
    "one whose ACCEPT has left",
    "one that has been heard of, and has not begun",
    "one that runs",
    "one that can't be reached",
    "one that the master doesn't know, as it says",
    "one that is being ended",
    "one that somebody else is ending",
    "a task that is no longer counted, and may come back",
    "an instance that has finished",
    "an instance that is given up",
];

/// A row of a table: its name, what it is, and which columns are never met, each group with the reason.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// `A1` to `A24` of the first table; or a status, of the second one.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// Groups of columns that are never met, and why.
    pub never: &'static [(&'static str, &'static str)],
}

const NO_ID: (&str, &str) = ("WA PR FI HE", "no task exists, so its id is unknown: rule X");
const IDS: &str = "a task that runs is told ERROR only if its id is launched twice, which I3 forbids";
const OWN: &str = "only our own KILL does this, and its record comes first (W4)";
const STARTS: &str = "a task that has ended says no more, and one that others kill has started";
const ONLY: &str = "concerns other columns only";

const fn row(name: &'static str, what: &'static str, never: &'static [(&'static str, &'static str)]) -> Row {
    Row { name, what, never }
}

/// All rows of both tables.
pub const ROWS: &[Row] = &[
    row("A1", "an offer is chosen for it", &[("PR LA ST RU UN DO KI KX GH FI HE", ONLY)]),
    row("A2", "its intent is durable, and ACCEPT leaves", &[("WA LA ST RU UN DO KI KX GH FI HE", ONLY)]),
    row("A3", "the intent is given up before ACCEPT", &[("WA LA ST RU UN DO KI KX GH FI HE", ONLY)]),
    row("A4", "202 for its ACCEPT", &[("WA PR FI HE", ONLY)]),
    row("A5", "its ACCEPT was surely not processed", &[("WA PR FI HE", ONLY), ("ST RU UN DO KX GH", "it never ran")]),
    row("A6", "nobody knows what became of its ACCEPT", &[("WA PR FI HE", ONLY)]),
    row("A7", "it takes too long to launch or to start", &[("WA PR RU UN DO KI KX GH FI HE", ONLY)]),
    row("A8", "a user restarts or kills it", &[]),
    row("A9", "a new revision of its spec", &[]),
    row("A10", "its spec is removed", &[]),
    row("A11", "its spec is scaled up, or added again", &[]),
    row("A12", "a rollout or another attempt of its place ends it", &[("WA PR KI KX GH FI HE", ONLY)]),
    row(
        "A13",
        "its health limit is reached",
        &[("WA PR LA ST RU UN DO KI KX GH FI HE", "the engine has no health checks of its own: Mesos kills")],
    ),
    row("A14", "FAILURE of its agent", &[("WA FI HE", ONLY)]),
    row(
        "A15",
        "FAILURE of its executor",
        &[("WA PR LA ST RU UN DO KI KX GH FI HE", "told of executors of groups and own ones; here are commands")],
    ),
    row("A16", "the subscription is lost", &[]),
    row("A17", "SUBSCRIBED", &[("PR", "an intent falls with the subscription before")]),
    row("A18", "the scheduler dies", &[]),
    row("A19", "the framework is removed, and made anew", &[]),
    row("A20", "the user removes the framework", &[]),
    row("A21", "unreachable for long enough to be replaced", &[("WA PR LA ST RU DO KI KX GH FI HE", ONLY)]),
    row("A22", "unreachable for too long", &[("WA PR LA ST RU DO KI KX GH FI HE", ONLY)]),
    row("A23", "its back-off ends, or its KILL or question is repeated", &[("PR LA ST RU UN KX GH FI HE", ONLY)]),
    row("A23b", "it is asked for again, since no answer came", &[("WA PR FI HE", ONLY)]),
    row(
        "A24",
        "a ghost is forgotten",
        &[("WA PR LA ST RU UN DO KI KX FI HE", ONLY), ("GH", "after 14 days; a world lasts for hours")],
    ),
    row("STARTING", "TASK_STAGING, TASK_STARTING", &[NO_ID]),
    row("RUNNING", "TASK_RUNNING", &[NO_ID]),
    row("KILLING", "TASK_KILLING", &[NO_ID]),
    row("FINISHED", "TASK_FINISHED", &[NO_ID]),
    row("FAILED", "TASK_FAILED, by its own fault", &[NO_ID]),
    row("FAILED infra", "TASK_FAILED, by the agent's fault", &[NO_ID, ("RU DO KX", "comes instead of the start")]),
    row("KILLED drained", "TASK_KILLED by draining", &[NO_ID]),
    row("KILLED in launch", "TASK_KILLED before it started", &[NO_ID, ("LA ST RU UN DO", OWN), ("KX", STARTS)]),
    row("KILLED unhealthy", "TASK_KILLED by its health check", &[NO_ID]),
    row("KILLED", "TASK_KILLED by others", &[NO_ID]),
    row("ERROR", "TASK_ERROR", &[NO_ID, ("ST RU UN DO KX GH", IDS)]),
    row("DROPPED", "TASK_DROPPED", &[NO_ID, ("RU DO KX", "comes instead of the start")]),
    row("GONE", "TASK_GONE", &[NO_ID]),
    row("GONE_BY_OPERATOR", "TASK_GONE_BY_OPERATOR", &[NO_ID]),
    row("GONE_BY_OPERATOR drained", "the same, by draining", &[NO_ID]),
    row("UNREACHABLE", "TASK_UNREACHABLE", &[NO_ID]),
    row("UNKNOWN", "TASK_UNKNOWN", &[NO_ID]),
    row("LOST", "TASK_LOST", &[NO_ID]),
];

/// The invariants, and what each says. I20 is judged by the limit of steps, and by running a seed twice.
// Those of ENGINE 11, and I22 to I26 and L9.
pub const INVARIANTS: &[(&str, &str)] = &[
    (
        "I1",
        "an ACCEPT uses only offers of this session that nobody has answered or taken back; each is answered once, soon, inverse ones too",
    ),
    ("I2", "all offers of an ACCEPT share agent and role; what is taken is in them, to a thousandth; no port twice"),
    ("I3", "no task id is used twice, by whatever process; each says what it belongs to"),
    (
        "I4",
        "no call leaves before that is durable which a crash would have to know: ids, intents, why a task is to end",
    ),
    ("I5", "a status is acknowledged once what it changes is durable, once for each delivery, with its own ids"),
    (
        "I6",
        "a place has one task at a time, two in a rollout or for one out of sight; where duplicates are forbidden, one",
    ),
    ("I7", "nothing takes a place before an end, two UNKNOWNs, or a time out of sight of the one before"),
    ("I8", "a rollout has no more tasks than surge allows, and leaves no fewer ready than it may"),
    ("I9", "only what is to end is killed, as its spec says; nothing is killed for saying that it is dead"),
    (
        "I10",
        "nothing goes to an agent that closes, has failed, is avoided, or breaks a constraint; who fails often is avoided",
    ),
    (
        "I11",
        "no launch before its back-off is over; which grows, and is forgiven, as the policy says, over a crash too",
    ),
    (
        "I12",
        "a REVIVE per role every 5 s at most; SUPPRESS only if nothing waits, and again with SUBSCRIBE; few SUBSCRIBEs",
    ),
    ("I13", "calls leave in their order, in a session only, and none after the end"),
    ("I14", "RECONCILE: at most 1000 tasks, with their agents, each every 10 s at most"),
    ("I15", "KILLs of a task are as far apart as its time to end and 10 s, ever farther; so many tasks at a time"),
    ("I16", "what has a lower priority isn't placed before what has a higher one, where that fits"),
    ("I17", "the places in use are those wanted and those being removed; a new one has the lowest free number"),
    ("I18", "what is known, what is recorded, and what a new process would know are the same once the store is idle"),
    ("I19", "an end is for ever"),
    ("I20", "a step ends, and the same seed gives the same outputs, byte by byte"),
    (
        "I21",
        "declines last for up to an hour, 5 s for what came before a REVIVE; nothing waits beside offers that fit it",
    ),
    ("I22", "in an epoch of the store, one instance's batches are taken"),
    ("I23", "no task is launched whose intent was never durable in an epoch that was the present one"),
    ("I24", "calls of an instance that was replaced do no harm, and it is silent after its last event"),
    ("I25", "what is launched is what its revision says, and what a user has wanted; in the end, what users want runs"),
    ("I26", "commands take effect and are kept; what is told is so, is durable before, and adds up"),
    ("L1", "once all is mended, every spec is satisfied in time"),
    ("L2", "and nothing runs that nobody wants, nor is believed to run and doesn't"),
    ("L3", "and every status is acknowledged, also before TEARDOWN"),
    ("L4", "and every kill, rollout and uninstallation ends"),
    ("L5", "and any one call that is lost delays that by as long as it takes to be repeated"),
    ("L6", "and who is idle asks now and then, and nothing else; what waits has a reason"),
    ("L7", "and after any crashes all is as without them"),
    ("L8", "and nothing waits for ever beside offers that it fits"),
    ("L9", "and one instance leads, and all others have ended"),
];

/// What is judged in the world of executors (`run_executors`).
pub const OF_EXECUTORS: &[(&str, &str)] = &[
    (
        "E0",
        "an executor's client is made, has no endless loop, and says nothing that an agent or a scheduler can't read",
    ),
    ("E1", "no update that an executor gave is lost"),
    ("E2", "they arrive in order"),
    ("E3", "each task ends once"),
    ("E4", "each executor ends in time, and none without a reason"),
];

/// How often each cell was reached, by row and column.
pub type Cells = BTreeMap<(&'static str, &'static str), u64>;

/// The cells that were not reached although nothing says that they can't be.
#[must_use]
pub fn holes(seen: &Cells) -> Vec<(&'static str, &'static str)> {
    let all = ROWS.iter().flat_map(|row| COLUMNS.iter().map(move |column| (row, *column)));
    let holes = all.filter(|(row, column)| reason(row, column).is_none() && !seen.contains_key(&(row.name, *column)));
    holes.map(|(row, column)| (row.name, column)).collect()
}

/// Why a cell is never reached; `None` if it is.
#[must_use]
pub fn reason(row: &Row, column: &str) -> Option<&'static str> {
    let names = |group: &&(&str, &'static str)| group.0.split(' ').any(|name| name == column);
    row.never.iter().find(names).map(|group| group.1)
}

/// The column of an attempt in this state.
pub(super) const fn column(state: State) -> &'static str {
    match state {
        State::Prepared => "PR",
        State::Launching => "LA",
        State::Staged => "ST",
        State::Running => "RU",
        State::Unreachable => "UN",
        State::Doubtful => "DO",
        State::Killing(KillReason::External) => "KX",
        State::Killing(_) => "KI",
    }
}

/// The row of a status.
pub(super) fn status(status: &v1::TaskStatus) -> &'static str {
    let reason = status.reason.map(|_| status.reason());
    let draining = reason == Some(Reason::AgentDraining);
    match status.state() {
        TaskState::TaskStaging | TaskState::TaskStarting => "STARTING",
        TaskState::TaskRunning => "RUNNING",
        TaskState::TaskKilling => "KILLING",
        TaskState::TaskFinished => "FINISHED",
        TaskState::TaskFailed if reason == Some(Reason::ExecutorRegistrationTimeout) => "FAILED infra",
        TaskState::TaskFailed => "FAILED",
        TaskState::TaskKilled if draining => "KILLED drained",
        TaskState::TaskKilled if reason == Some(Reason::TaskKilledDuringLaunch) => "KILLED in launch",
        TaskState::TaskKilled if status.healthy == Some(false) => "KILLED unhealthy",
        TaskState::TaskKilled => "KILLED",
        TaskState::TaskError => "ERROR",
        TaskState::TaskDropped => "DROPPED",
        TaskState::TaskGone => "GONE",
        TaskState::TaskGoneByOperator if draining => "GONE_BY_OPERATOR drained",
        TaskState::TaskGoneByOperator => "GONE_BY_OPERATOR",
        TaskState::TaskUnreachable => "UNREACHABLE",
        TaskState::TaskUnknown => "UNKNOWN",
        TaskState::TaskLost => "LOST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_is_named_once_at_most_and_exists() {
        assert_eq!(COLUMNS.len(), STATES.len());
        for row in ROWS {
            let named: Vec<&str> = row.never.iter().flat_map(|group| group.0.split(' ')).collect();
            assert!(named.iter().all(|name| COLUMNS.contains(name)), "{row:?}");
            assert!((1..named.len()).all(|at| !named[at..].contains(&named[at - 1])), "{row:?}");
        }
    }
}
