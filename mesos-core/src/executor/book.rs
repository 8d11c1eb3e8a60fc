//! What must survive a lost subscription: the tasks, and the updates that the agent hasn't acknowledged.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::error::CallError;
use crate::v1;
use v1::TaskState;
use v1::executor::call;

/// Names an update, on the wire too.
pub(super) type Uuid = [u8; 16];

#[derive(Debug, Default)]
pub(super) struct Book {
    tasks: BTreeMap<String, Task>,
    /// In the order in which they were made.
    updates: VecDeque<Update>,
    launched: u64,
}

#[derive(Debug)]
struct Task {
    /// Its place among the tasks that were launched.
    order: u64,
    /// Until the first update of it is acknowledged: the agent takes a task that SUBSCRIBE doesn't name, and that it
    /// knows nothing else of, for one that never arrived.
    info: Option<Box<v1::TaskInfo>>,
    policy: Option<v1::KillPolicy>,
    /// Its last update is given.
    ended: bool,
}

#[derive(Debug)]
pub(super) struct Update {
    pub(super) uuid: Uuid,
    pub(super) status: Box<v1::TaskStatus>,
}

/// The states after which an executor has nothing more to say.
pub(super) const fn is_last(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
    )
}

impl Book {
    /// Takes tasks in, all or none: false if one of them is there already, or twice among them.
    pub(super) fn launch(&mut self, tasks: &[v1::TaskInfo]) -> bool {
        let mut ids = BTreeSet::new();
        if tasks.iter().any(|task| self.tasks.contains_key(&task.task_id.value) || !ids.insert(&task.task_id.value)) {
            return false;
        }
        for info in tasks {
            let order = self.launched;
            self.launched += 1;
            let task = Task { order, info: Some(Box::new(info.clone())), policy: info.kill_policy, ended: false };
            self.tasks.insert(info.task_id.value.clone(), task);
        }
        true
    }

    /// Whether an update of this task makes sense.
    pub(super) fn may_update(&self, task: &str) -> Result<(), CallError> {
        match self.tasks.get(task) {
            None => Err(CallError::UnknownTask(task.into())),
            Some(Task { ended: true, .. }) => Err(CallError::TaskEnded(task.into())),
            Some(_) => Ok(()),
        }
    }

    /// How to kill a task that has not ended, if there is such a task.
    pub(super) fn policy(&self, task: &str) -> Option<Option<v1::KillPolicy>> {
        self.tasks.get(task).filter(|task| !task.ended).map(|task| task.policy)
    }

    /// The tasks that have not ended, in the order of their launch, and how to kill them.
    pub(super) fn live(&self) -> Vec<(v1::TaskId, Option<v1::KillPolicy>)> {
        let mut live: Vec<_> = self.tasks.iter().filter(|(_, task)| !task.ended).collect();
        live.sort_by_key(|(_, task)| task.order);
        live.into_iter().map(|(id, task)| (id.clone().into(), task.policy)).collect()
    }

    /// How many tasks have not ended.
    pub(super) fn count_live(&self) -> usize {
        self.tasks.values().filter(|task| !task.ended).count()
    }

    pub(super) fn push(&mut self, uuid: Uuid, status: v1::TaskStatus) {
        if let Some(task) = self.tasks.get_mut(&status.task_id.value) {
            task.ended |= is_last(status.state());
        }
        self.updates.push_back(Update { uuid, status: Box::new(status) });
    }

    /// The update of this name, if it isn't acknowledged.
    pub(super) fn update(&self, uuid: &Uuid) -> Option<&Update> {
        self.updates.iter().find(|update| update.uuid == *uuid)
    }

    /// The updates that aren't acknowledged, oldest first.
    pub(super) fn updates(&self) -> impl Iterator<Item = &Update> {
        self.updates.iter()
    }

    /// How many updates aren't acknowledged.
    pub(super) fn count_updates(&self) -> usize {
        self.updates.len()
    }

    /// Takes an acknowledgement; the state that it is for, unless it is a stranger's, or a second one.
    pub(super) fn acknowledge(&mut self, task: &str, uuid: &[u8]) -> Option<TaskState> {
        let place = self.updates.iter().position(|u| u.uuid == uuid && u.status.task_id.value == task)?;
        let update = self.updates.remove(place)?;
        if let Some(task) = self.tasks.get_mut(task) {
            task.info = None;
        }
        let more = self.updates.iter().any(|update| update.status.task_id.value == task);
        if !more && self.tasks.get(task).is_some_and(|task| task.ended) {
            self.tasks.remove(task);
        }
        Some(update.status.state())
    }

    /// Takes an update out that the agent refuses. If it was the last one of its task, that has not ended yet.
    pub(super) fn reject(&mut self, uuid: &Uuid) -> Option<Box<v1::TaskStatus>> {
        let place = self.updates.iter().position(|update| update.uuid == *uuid)?;
        let update = self.updates.remove(place)?;
        if let Some(task) = self.tasks.get_mut(&update.status.task_id.value).filter(|_| is_last(update.status.state()))
        {
            task.ended = false;
        }
        Some(update.status)
    }

    /// Empties the list of updates.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Box<v1::TaskStatus>> {
        core::mem::take(&mut self.updates).into_iter().map(|update| update.status)
    }

    /// What SUBSCRIBE has to say.
    pub(super) fn subscribe(&self) -> call::Subscribe {
        let mut tasks: Vec<_> =
            self.tasks.values().filter_map(|task| Some((task.order, task.info.as_ref()?))).collect();
        tasks.sort_by_key(|(order, _)| *order);
        call::Subscribe {
            unacknowledged_tasks: tasks.into_iter().map(|(_, info)| (**info).clone()).collect(),
            unacknowledged_updates: self.updates.iter().map(|u| call::Update { status: (*u.status).clone() }).collect(),
        }
    }
}

/// The uuid as a status carries it.
pub(super) fn bytes(uuid: Uuid) -> Bytes {
    Bytes::copy_from_slice(&uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_names_each_task_once() {
        let mut book = Book::default();
        let task = |id: &str| v1::TaskInfo { task_id: id.into(), ..Default::default() };
        assert!(!book.launch(&[task("a"), task("a")]));
        assert_eq!(book.count_live(), 0);
        assert!(book.launch(&[task("a"), task("b")]));
    }
}
