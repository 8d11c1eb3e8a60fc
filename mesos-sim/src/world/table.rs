//! Counts which cells of the engine's tables a run reaches, by what happens and by what there is then.

use mesos_core::{Persist, StoreOp};
use mesos_proto::store::{ghost, instance, slot};
use mesos_proto::v1::scheduler::{Call, Event};
use mesos_proto::{json, store};

use super::{World, cells, ledger};

/// Something in a place of a spec, and its column.
#[derive(Clone, Debug)]
pub(super) struct Place {
    column: &'static str,
    pub(super) spec: String,
    pub(super) index: u32,
    task: String,
    agent: String,
}

impl World {
    fn reached(&mut self, row: &'static str, column: &'static str) {
        *self.cells.entry((row, column)).or_default() += 1;
    }

    /// All that there is.
    pub(super) fn places(&self) -> Vec<Place> {
        let tasks = self.engine.iter().flat_map(|engine| engine.tasks()).map(|task| Place {
            column: cells::column(task.state),
            spec: task.spec,
            index: task.index,
            task: task.task_id,
            agent: task.agent_id,
        });
        let ghosts = self.disk.ghosts.iter().filter_map(|id| {
            let (spec, index, ..) = ledger::parse(id)?;
            Some(Place { column: "GH", spec, index, task: id.clone(), agent: String::new() })
        });
        let slots = self.disk.slots.iter().filter_map(|((spec, index), slot)| {
            let column = match slot.mark() {
                slot::Mark::Finished => "FI",
                slot::Mark::Exhausted | slot::Mark::Invalid => "HE",
                slot::Mark::None => slot.eligible_at.map(|_| "WA")?,
            };
            Some(Place { column, spec: spec.clone(), index: *index, task: String::new(), agent: String::new() })
        });
        tasks.chain(ghosts).chain(slots).collect()
    }

    /// Something has happened to all that there is and that it concerns.
    pub(super) fn befell(&mut self, row: &'static str, concerns: impl Fn(&Place) -> bool) {
        for place in self.places().into_iter().filter(concerns) {
            self.reached(row, place.column);
        }
    }

    pub(super) fn befell_tasks(&mut self, row: &'static str, tasks: &[String]) {
        self.befell(row, |place| tasks.contains(&place.task));
    }

    /// A user has said something about a spec, or one of its places.
    pub(super) fn commanded(&mut self, row: &'static str, before: Vec<Place>, concerned: &(String, Option<u32>)) {
        let (spec, index) = concerned;
        for place in before {
            if place.spec == *spec && index.is_none_or(|index| index == place.index) {
                self.reached(row, place.column);
            }
        }
    }

    /// Something reaches the scheduler.
    pub(super) fn meets(&mut self, event: &Event) {
        if event.subscribed.is_some() {
            self.befell("A17", |_| true);
        }
        if let Some(failure) = &event.failure {
            let agent = failure.agent_id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
            let row = if failure.executor_id.is_some() { "A15" } else { "A14" };
            self.befell(row, |place| place.agent == agent || place.column == "GH");
        }
        if event.error.as_ref().is_some_and(|error| error.message.contains("removed")) && self.config.is_remade() {
            self.befell("A19", |_| true);
        }
        let Some(update) = &event.update else { return };
        let id = &update.status.task_id.value;
        let task = self.engine.as_ref().and_then(|engine| engine.find_task(id)).map(|task| cells::column(task.state));
        let ghost = || self.disk.ghosts.contains(id).then_some("GH");
        if let Some(column) = task.or_else(ghost) {
            self.reached(cells::status(&update.status), column);
        }
    }

    /// A call leaves the scheduler.
    pub(super) fn sends(&mut self, call: &Call) {
        self.ledger.inverse.saved = !self.unsaved;
        if let Some(accept) = &call.accept {
            let launches = accept.operations.iter().filter_map(|operation| operation.launch.as_ref());
            let tasks: Vec<String> =
                launches.flat_map(|launch| &launch.task_infos).map(|task| task.task_id.value.clone()).collect();
            for _ in &tasks {
                self.reached("A2", "PR");
            }
            // The exchange is made right after this.
            self.accepts.insert(self.next_exchange + 1, tasks);
        }
        if let Some(kill) = &call.kill {
            if self.ledger.is_killed(&kill.task_id.value) && self.disk.instances.contains_key(&kill.task_id.value) {
                self.reached("A23", "KI");
            }
        }
        if let Some(reconcile) = &call.reconcile {
            let asked: Vec<String> = reconcile.tasks.iter().map(|task| task.task_id.value.clone()).collect();
            self.befell("A23", |place| place.column == "DO" && asked.contains(&place.task));
            let again: Vec<String> = asked.into_iter().filter(|id| self.ledger.is_unanswered(id)).collect();
            self.befell_tasks("A23b", &again);
        }
        if call.r#type() == mesos_proto::v1::scheduler::call::Type::Teardown {
            self.befell("A20", |_| true);
        }
    }

    /// A batch is about to be durable: how it changes what is there.
    pub(super) fn changes(&mut self, batch: &Persist) {
        let mut reached = Vec::new();
        let mut gone = Vec::new();
        for op in batch.ops() {
            let first = op.key().segments().next();
            match (first.as_deref(), op) {
                (Some("inst"), StoreOp::Put { key, value }) => {
                    let Ok(new) = json::decode::<store::Instance>(value) else { continue };
                    let old = self.disk.task(key).and_then(|task| self.disk.instances.get(task));
                    let Some(old) = old else {
                        reached.push(("A1", "WA"));
                        let place = ledger::parse(&new.task_id).map(|(spec, index, ..)| (spec, index));
                        let slot = place.and_then(|place| self.disk.slots.get(&place));
                        let waited =
                            |slot: &store::Slot| slot.eligible_at.zip(slot.last_end.as_ref().map(|end| end.at));
                        if slot.and_then(waited).is_some_and(|(at, end)| at > end + 500) {
                            reached.push(("A23", "WA"));
                        }
                        continue;
                    };
                    use instance::{State as S, Why as W};
                    let why = new.why.map(|_| new.why());
                    let column = match old.record.state() {
                        S::Prepared | S::Launching => "LA",
                        S::Staged => "ST",
                        S::Running => "RU",
                        S::Unreachable => "UN",
                        S::Doubtful => "DO",
                        S::Killing => continue,
                    };
                    match (new.state(), why) {
                        (S::Killing, Some(W::Overdue)) => reached.push(("A7", column)),
                        (S::Killing, Some(W::Update | W::Duplicate | W::Drain)) => reached.push(("A12", column)),
                        (S::Unreachable, _) if new.inactive() && !old.record.inactive() && column == "UN" => {
                            reached.push(("A21", column));
                        }
                        _ => {}
                    }
                }
                (Some("inst"), StoreOp::Delete { key }) => {
                    let Some(task) = self.disk.task(key) else { continue };
                    let Some(old) = self.disk.instances.get(task) else { continue };
                    if old.record.state() == instance::State::Prepared && !self.ledger.tasks.contains_key(task) {
                        reached.push(("A3", "PR"));
                    }
                    gone.push((task.to_owned(), old.record.state()));
                }
                _ => {}
            }
        }
        for op in batch.ops() {
            let StoreOp::Put { value, .. } = op else { continue };
            if op.key().segments().next().as_deref() != Some("ghost") {
                continue;
            }
            let Ok(new) = json::decode::<store::Ghost>(value) else { continue };
            let Some((_, state)) = gone.iter().find(|(task, _)| *task == new.task_id) else { continue };
            match (new.why(), state) {
                (ghost::Why::Abandoned, instance::State::Unreachable) => reached.push(("A12", "UN")),
                (ghost::Why::Abandoned, instance::State::Doubtful) => reached.push(("A12", "DO")),
                (ghost::Why::Expired, instance::State::Unreachable) => reached.push(("A22", "UN")),
                _ => {}
            }
        }
        for (row, column) in reached {
            self.reached(row, column);
        }
    }
}
