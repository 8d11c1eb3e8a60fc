//! A master and agents that play along, for scenarios in which the whole counts: tasks run as soon as they are
//! launched, end when they are killed, and every question is answered.

use super::*;

/// What a rule is checked against.
type Rule = fn(&Script, &World);

#[derive(Default)]
pub(super) struct World {
    /// The tasks that live.
    pub(super) tasks: BTreeMap<String, v1::TaskInfo>,
    agents: Vec<&'static str>,
    /// The agent of each offer that has no answer.
    offered: BTreeMap<String, &'static str>,
    refused: BTreeMap<&'static str, Instant>,
    suppressed: bool,
    /// Holds after every single call.
    pub(super) rule: Option<Rule>,
    /// Tasks with the variable BAD never get beyond staging.
    pub(super) crashes: usize,
    /// A crash loses what was under way, or else it arrives.
    pub(super) lossy: bool,
}

pub(super) fn has(task: &v1::TaskInfo, name: &str) -> bool {
    let environment = task.command.as_ref().and_then(|command| command.environment.as_ref());
    environment.is_some_and(|environment| environment.variables.iter().any(|variable| variable.name == name))
}

impl World {
    pub(super) fn new(agents: impl IntoIterator<Item = &'static str>) -> Self {
        Self { agents: agents.into_iter().collect(), ..Self::default() }
    }

    /// How many tasks of this spec live that have a variable, or don't.
    pub(super) fn with(&self, name: &str, there: bool) -> usize {
        self.tasks.values().filter(|task| has(task, name) == there).count()
    }

    /// Time passes.
    pub(super) fn play(&mut self, s: &mut Script, time: Duration) {
        let end = s.now + time;
        while s.now < end {
            self.respond(s);
            s.sleep(secs(1));
        }
        self.respond(s);
    }

    /// Works off all calls, and what follows from them.
    pub(super) fn respond(&mut self, s: &mut Script) {
        for _ in 0..ENDLESS {
            if s.crashed {
                self.crash(s);
            }
            let Some((_, call)) = s.calls.pop_front() else {
                if self.offer(s) {
                    continue;
                }
                if s.crashed {
                    continue;
                }
                return;
            };
            self.answer(s, call);
            if let Some(rule) = self.rule {
                rule(s, self);
            }
        }
        panic!("no rest");
    }

    /// The process dies, and another one starts.
    pub(super) fn crash(&mut self, s: &mut Script) {
        self.crashes += 1;
        if let Some(batch) = s.flying.take().filter(|_| !self.lossy) {
            s.store.apply_now(&batch);
        }
        s.crashed = true;
        while let Some((_, call)) = s.calls.pop_front() {
            if !self.lossy {
                self.answer(s, call);
            }
        }
        s.crashed = false;
        s.stop();
        self.offered.clear();
        self.refused.clear();
        self.suppressed = false;
        s.recover();
    }

    /// Offers what agents have; `false` if nobody wants it.
    fn offer(&mut self, s: &mut Script) -> bool {
        if self.suppressed || s.stream.is_none() {
            return false;
        }
        let free = |agent: &&&'static str| {
            !self.offered.values().any(|offered| offered == *agent)
                && self.refused.get(**agent).is_none_or(|until| *until <= s.now)
        };
        let Some(agent) = self.agents.iter().find(free).copied() else { return false };
        let offer = s.make_offer(agent, BIG);
        self.offered.insert(offer.id.value.clone(), agent);
        s.offers(vec![offer]);
        true
    }

    fn refuse(&mut self, s: &Script, offers: &[v1::OfferId], filters: Option<v1::Filters>) {
        for id in offers {
            if let Some(agent) = self.offered.remove(&id.value) {
                let seconds = filters.unwrap_or_default().refuse_seconds();
                self.refused.insert(agent, s.now + Duration::from_secs_f64(seconds));
            }
        }
    }

    fn says(s: &mut Script, task: &str, state: v1::TaskState) {
        if s.stream.is_some() {
            s.answer(task, state);
        }
    }

    fn answer(&mut self, s: &mut Script, call: Call) {
        let state = |task: &v1::TaskInfo| if has(task, "BAD") { TaskStaging } else { TaskRunning };
        match call.r#type() {
            Type::Accept => {
                let accept = call.accept.expect("a body");
                self.refuse(s, &accept.offer_ids, accept.filters);
                for task in accept.operations.into_iter().flat_map(|o| o.launch.expect("LAUNCH").task_infos) {
                    let (id, state) = (task.task_id.value.clone(), state(&task));
                    s.agents.insert(id.clone(), task.agent_id.value.clone());
                    assert!(self.tasks.insert(id.clone(), task).is_none(), "{id} twice");
                    if state == TaskRunning && s.stream.is_some() {
                        s.update(&id, TaskStarting);
                        s.update(&id, TaskRunning);
                    }
                }
            }
            Type::Decline => {
                let decline = call.decline.expect("a body");
                self.refuse(s, &decline.offer_ids, decline.filters);
            }
            Type::Kill => {
                let task = call.kill.expect("a body").task_id.value;
                match self.tasks.remove(&task) {
                    Some(_) if s.stream.is_some() => s.update(&task, TaskKilled),
                    _ => Self::says(s, &task, TaskGone),
                }
            }
            Type::Reconcile => {
                let asked = call.reconcile.expect("a body").tasks;
                let everything = asked.is_empty();
                let asked: Vec<String> = asked.into_iter().map(|task| task.task_id.value).collect();
                for task in if everything { self.tasks.keys().cloned().collect() } else { asked } {
                    let state = self.tasks.get(&task).map_or(TaskGone, state);
                    Self::says(s, &task, state);
                }
            }
            Type::Revive => {
                self.suppressed = false;
                self.refused.clear();
            }
            Type::Suppress => self.suppressed = true,
            Type::Teardown => self.tasks.clear(),
            _ => {}
        }
    }

    /// What a settled framework looks like, from within, from the store and in truth.
    pub(super) fn assert_settled(&self, s: &Script, name: &str, instances: usize) {
        let status = s.spec(name);
        assert!(status.satisfied, "{status:?}");
        assert_eq!(self.tasks.len(), instances, "{:?}", self.tasks.keys());
        let mut known: Vec<String> = s.engine.tasks().map(|task| task.task_id).collect();
        known.sort();
        assert!(known.iter().eq(self.tasks.keys()), "{known:?}");
        let records = s.store.records().keys().filter(|key| key.as_str().starts_with("inst/")).count();
        assert_eq!(records, instances, "I18");
        assert!(s.store.records().keys().all(|key| !key.as_str().starts_with("ghost/")), "L2");
    }
}
