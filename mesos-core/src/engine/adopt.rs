//! Tasks that another program has launched, to be gone on with as if the engine had.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use mesos_proto::store::{self, instance};

use super::config::Config;
use super::record::{self, FORMAT};
use super::spec::TaskSpec;
use crate::scheduler::ConfigError;
use crate::{Key, UnixTime, checks, v1};

/// A task that another program has launched, in the words of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "made by users")]
pub struct Adoptee {
    /// The name of the spec that it is an instance of.
    pub spec: String,
    /// Which instance of it, from 0: one less than the number in its task's name.
    pub index: u32,
    /// Its id, whatever it looks like.
    pub task_id: String,
    /// Where it runs.
    pub agent_id: String,
    /// The agent's name, or nothing.
    pub hostname: String,
    /// Its executor, if it has one of its own.
    pub executor_id: Option<String>,
    /// The ports that it was given.
    pub ports: Vec<u16>,
    /// What was known of it last; `None` is asked for like everything else.
    pub state: Option<v1::TaskState>,
    /// Since when it is known.
    pub since: Option<UnixTime>,
}

/// Why a task is not adopted. To the engine it will be unknown: see [`UnknownTasks`](super::UnknownTasks).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdopted {
    /// No spec has this name.
    #[error("no spec is called {0:?}")]
    NoSpec(String),
    /// Another task is this instance already, or this task another one.
    #[error("{0} is the same instance, or the same task")]
    Double(String),
    /// It has ended.
    #[error("it has ended")]
    Ended,
    /// Its id, its agent's or its executor's isn't one that Mesos takes.
    #[error("the {0} can't be one")]
    BadId(&'static str),
}

/// Records of a framework that was another program's, and its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adoption {
    /// What to write into a store that is empty, and to give to [`Engine::new`](super::Engine::new). The record
    /// `framework` is what makes the others count: write it last, or all at once.
    pub records: BTreeMap<Key, Bytes>,
    /// Those that are not among them.
    pub left: Vec<(Adoptee, NotAdopted)>,
}

/// Makes the records with which an engine goes on with another program's framework and tasks. They count as made of the
/// present specs, so nothing is restarted; their states are asked for as after any start, and those that have ended are
/// replaced. `config` and `specs` are to be those of the engine, and `now` what the clock shows.
///
/// # Errors
/// The framework's id isn't one that Mesos takes.
pub fn adopt(
    config: &Config,
    specs: &[TaskSpec],
    framework_id: &str,
    tasks: impl IntoIterator<Item = Adoptee>,
    now: UnixTime,
) -> Result<Adoption, ConfigError> {
    // Checked as everywhere else.
    config.client.clone().framework_id(framework_id)?;
    let role = config.client.framework().roles.first().map_or("*", String::as_str);
    let revision = |spec: &TaskSpec| {
        let mut spec = spec.clone();
        spec.settle_role(role);
        spec.revision().to_string()
    };
    let revisions: BTreeMap<&str, String> = specs.iter().map(|spec| (spec.name(), revision(spec))).collect();
    let stamp = store::Stamp { format: FORMAT, incarnation: 1 };
    let mut adoption = Adoption::default();
    let mut taken: BTreeMap<(String, u32), String> = BTreeMap::new();
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for task in tasks {
        let place = (task.spec.clone(), task.index);
        let double = taken.get(&place).or_else(|| ids.get(&task.task_id));
        let revision = match check(&task, revisions.get(&*task.spec), double) {
            Ok(revision) => revision.clone(),
            Err(why) => {
                adoption.left.push((task, why));
                continue;
            }
        };
        taken.insert(place, task.task_id.clone());
        ids.insert(task.task_id.clone());
        let key = Key::new(["inst", &*task.spec, &task.index.to_string(), "1"]);
        adoption.records.insert(key, record::bytes(&instance(task, revision, stamp, now)));
    }
    let framework = store::Framework { stamp, id: framework_id.into(), first_seen: None, retired: Vec::new() };
    adoption.records.insert(record::framework_key(), record::bytes(&framework));
    Ok(adoption)
}

fn check<'a>(task: &Adoptee, revision: Option<&'a String>, double: Option<&String>) -> Result<&'a String, NotAdopted> {
    use v1::TaskState::*;
    let ids = [
        ("task's id", Some(&task.task_id)),
        ("agent's id", Some(&task.agent_id)),
        ("executor's id", task.executor_id.as_ref()),
    ];
    if let Some((what, _)) = ids.into_iter().find(|(_, id)| id.is_some_and(|id| checks::id(id).is_err())) {
        return Err(NotAdopted::BadId(what));
    }
    let revision = revision.ok_or_else(|| NotAdopted::NoSpec(task.spec.clone()))?;
    match (task.state, double) {
        (Some(TaskFinished | TaskFailed | TaskKilled | TaskError | TaskLost | TaskDropped | TaskGone), _) => {
            Err(NotAdopted::Ended)
        }
        (_, Some(other)) => Err(NotAdopted::Double(other.clone())),
        _ => Ok(revision),
    }
}

fn instance(task: Adoptee, revision: String, stamp: store::Stamp, now: UnixTime) -> store::Instance {
    use v1::TaskState as S;
    let millis = |time: UnixTime| record::millis(time.since_epoch());
    let (now, since) = (millis(now), millis(task.since.unwrap_or(now).min(now)));
    let (state, why) = match task.state {
        Some(S::TaskRunning) => (instance::State::Running, None),
        Some(S::TaskKilling) => (instance::State::Killing, Some(instance::Why::External)),
        Some(S::TaskUnreachable | S::TaskGoneByOperator | S::TaskUnknown) => (instance::State::Unreachable, None),
        // Whatever limit there is for that begins now.
        _ => (instance::State::Staged, None),
    };
    let at = |wanted: instance::State, time: u64| (state == wanted).then_some(time);
    store::Instance {
        stamp,
        task_id: task.task_id,
        revision,
        state: state.into(),
        why: why.map(Into::into),
        agent: store::Agent {
            id: task.agent_id,
            hostname: (!task.hostname.is_empty()).then_some(task.hostname),
            ..store::Agent::default()
        },
        executor_id: task.executor_id,
        ports: task.ports.into_iter().map(u32::from).collect(),
        prepared: since,
        staged: at(instance::State::Staged, now),
        running_since: at(instance::State::Running, since),
        unreachable_since: at(instance::State::Unreachable, now),
        kill_first_sent: at(instance::State::Killing, now),
        ..store::Instance::default()
    }
}
