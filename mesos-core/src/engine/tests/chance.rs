//! Anything at all, in any order: the laws hold, nothing panics, and the same gives the same.

use proptest::prelude::*;

use super::*;
use crate::fuzzing::Choices;

/// No history is longer.
const STEPS: usize = 200;

struct History {
    s: Script,
    /// All task ids that there ever were, and one that nobody knows.
    tasks: Vec<String>,
    transcript: Vec<String>,
}

const SPECS: [&str; 4] = ["web", "job", "strict", "team"];

/// Its tasks share an executor with resources of its own.
fn team(instances: u32) -> TaskSpec {
    let executor = v1::ExecutorInfo::custom("e", v1::CommandInfo::new("x"));
    let own = [v1::Resource::scalar("cpus", 0.5), v1::Resource::scalar("mem", 8.0)];
    let need = Resources::new().cpus(0.5).mem(8.0);
    TaskSpec::new("team").executor(executor.with_resources(own)).resources(need).instances(instances)
}

fn specs(choices: &mut Choices<'_>) -> Vec<TaskSpec> {
    let web = service("web", 3).scalable(true).max_failures(Some(3)).kill_grace(secs(2)).backoff(secs(1), secs(20));
    let job = service("job", 2).job().max_failures(Some(1)).role("b").unique("@hostname").scalable(true);
    let strict = service("strict", 1).duplicates(Duplicates::Forbid).unreachable(secs(30), secs(60));
    let team = team(4).scalable(true).backoff(secs(1), secs(20));
    let chosen = choices.byte() | choices.byte();
    let specs = [web, job, strict.launch_timeout(secs(20)).scalable(true), team].into_iter().enumerate();
    specs.filter(|(place, _)| chosen >> place & 1 != 0).map(|(_, spec)| spec).collect()
}

impl History {
    fn new(choices: &mut Choices<'_>, recording: Option<Vec<String>>) -> Self {
        let options = choices.byte();
        let on_removed = if options & 1 == 0 { OnRemoved::FreshId } else { OnRemoved::Stop };
        let removal = if options & 2 == 0 { Removal::Keep } else { Removal::Auto };
        let config = client(Framework::new("test").roles(["a", "b"])).on_removed(on_removed).removal(removal);
        let mut s = Script::unstarted(config.max_kills(2).max_launching_per_agent(3), specs(choices));
        s.recording = recording;
        s.start();
        Self { s, tasks: vec!["stranger".into()], transcript: Vec::new() }
    }

    fn task(&self, choices: &mut Choices<'_>) -> String {
        // The latest ones more often.
        let back = usize::from(choices.byte()) % self.tasks.len().min(12);
        self.tasks[self.tasks.len() - 1 - back].clone()
    }

    fn status(&mut self, choices: &mut Choices<'_>) {
        let task = self.task(choices);
        let state = choices.pick(&[
            TaskRunning,
            TaskRunning,
            TaskStarting,
            TaskStaging,
            TaskKilling,
            TaskFinished,
            TaskFailed,
            TaskKilled,
            TaskError,
            TaskLost,
            TaskDropped,
            TaskGone,
            TaskGoneByOperator,
            TaskUnreachable,
            TaskUnknown,
        ]);
        let reason = choices.pick(&[
            None,
            Some(Reason::Reconciliation),
            Some(Reason::AgentDraining),
            Some(Reason::AgentDisconnected),
            Some(Reason::InvalidOffers),
            Some(Reason::TaskKilledDuringLaunch),
        ]);
        let how = choices.byte();
        self.s.status(&task, state, |status| {
            status.reason = reason.map(Into::into);
            if how & 3 == 0 || reason == Some(Reason::Reconciliation) {
                status.uuid = None;
            } else if how & 3 == 1 {
                // One that comes again and again.
                status.uuid = Some(vec![0x40 | (state as u8 & 15); 16].into());
            }
            // What comes again is the same.
            if how & 3 != 1 {
                let sources = [Source::Executor, Source::Agent, Source::Master, Source::Executor];
                status.source = Some(sources[usize::from(how >> 6)].into());
            }
            if how & 16 != 0 {
                status.healthy = Some(how & 32 != 0);
            }
        });
    }

    fn offers(&mut self, choices: &mut Choices<'_>) {
        let offers = (0..choices.byte() % 4)
            .map(|_| {
                let text = choices.pick(&[BIG, "cpus:1;mem:32", "cpus:2.5;mem:64", "cpus(a):1;cpus:1;mem:99", "mem:9"]);
                let mut offer = self.s.make_offer(choices.pick(&["a1", "a2", "a3"]), text);
                if choices.byte() % 3 == 0 {
                    let info = v1::resource::AllocationInfo { role: Some("b".into()) };
                    offer.resources.iter_mut().for_each(|resource| resource.allocation_info = Some(info.clone()));
                    offer.allocation_info = Some(info);
                }
                offer
            })
            .collect();
        self.s.offers(offers);
    }

    fn command(&mut self, choices: &mut Choices<'_>) {
        let name = choices.pick(&SPECS);
        let task = self.task(choices);
        let (number, index) = (choices.byte(), u32::from(choices.byte() % 4));
        let engine = &mut self.s.engine;
        let result = match choices.byte() % 16 {
            0 | 1 => engine.scale(name, u32::from(number % 5)),
            2 | 3 => {
                let (instances, value) = (u32::from(number % 4), (number % 3).to_string());
                let executor = name == "team";
                let spec =
                    if executor { team(instances).data(value) } else { service(name, instances).env("V", value) };
                engine.apply(spec).map(drop)
            }
            4 => engine.remove(name),
            5 => engine.restart(name).map(drop),
            6 => engine.restart_instance(name, index),
            7 | 8 => engine.kill(&task),
            9 => engine.pause(name),
            10 => engine.resume(name),
            11 => engine.retry(name),
            12 => engine.reset_delay(name),
            13 => engine.declare_dead(name, index),
            _ if number > 240 => {
                engine.uninstall();
                Ok(())
            }
            _ if number > 230 => {
                engine.disconnect();
                Ok(())
            }
            _ => Ok(()),
        };
        self.transcript.push(format!("{result:?}"));
        self.s.tick();
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let streaming = self.s.stream.is_some();
        match choices.byte() % 20 {
            0..=2 if streaming => self.offers(choices),
            3..=8 if streaming => self.status(choices),
            9 if streaming => {
                let offers: Vec<String> = self.s.laws.offers().collect();
                if let Some(offer) = offers.get(usize::from(choices.byte()) % offers.len().max(1)) {
                    self.s.rescind(offer);
                }
            }
            10 if streaming => {
                let task = self.task(choices);
                let executor = choices.pick(&[None, Some(&*task), Some("e")]);
                self.s.failure(choices.pick(&["a1", "a2"]), executor);
            }
            11 if streaming => match choices.byte() % 16 {
                0 => self.s.error("Framework has been removed"),
                1 => self.s.error("Framework failed over"),
                _ => self.s.cut(),
            },
            12 => {
                self.s.disk = choices.pick(&[Disk::Writes, Disk::Writes, Disk::Hangs, Disk::Fails]);
                self.s.settle();
            }
            13 => {
                self.s.answering = choices.byte() % 4 != 0;
                self.s.master = choices.byte() % 4 != 0;
                self.s.settle();
            }
            14 if !self.s.open.is_empty() => self.s.reply(choices.pick(&[202, 400, 503]), ""),
            15 | 16 => self.command(choices),
            17 if choices.byte() % 4 == 0 => {
                if let (true, Some(batch)) = (choices.byte() % 2 == 0, self.s.flying.take()) {
                    self.s.store.apply_now(&batch);
                }
                self.s.crash();
            }
            18 if choices.byte() % 32 == 0 => {
                if let Some(batch) = self.s.flying.take() {
                    let failure = StoreFailure::Fenced("scripted".into());
                    self.s.feed(Input::PersistFailed { ticket: batch.ticket(), failure });
                    self.s.settle();
                }
            }
            _ => {
                let time = choices.pick(&[0, 1, 100, 1000, 5000, 30_000, 120_000]);
                self.s.sleep(millis(time));
            }
        }
        let launched: Vec<String> = self.s.accepts().iter().flat_map(Accept::ids).collect();
        self.tasks.extend(launched);
        self.check();
    }

    /// What holds at rest.
    fn check(&self) {
        for name in SPECS {
            for index in 0..6 {
                let tasks = self.s.tasks(name, index);
                // I6
                assert!(tasks.len() <= 2, "{tasks:?}");
            }
            if let Some(spec) = self.s.engine.spec(name) {
                assert!(spec.ready <= spec.wanted && spec.waiting <= spec.wanted + 1, "{spec:?}");
            }
        }
    }
}

/// Plays a history; what came out, in order.
fn play(bytes: &[u8]) -> Vec<String> {
    run(bytes, Some(Vec::new()))
}

/// Plays a history without or with a recording.
fn run(bytes: &[u8], recording: Option<Vec<String>>) -> Vec<String> {
    let mut choices = Choices::new(bytes);
    let mut history = History::new(&mut choices, recording);
    for _ in 0..STEPS {
        if choices.is_empty() {
            break;
        }
        history.step(&mut choices);
    }
    let mut transcript = history.s.recording.take().unwrap_or_default();
    transcript.extend(history.transcript);
    transcript
}

/// A quarter of what `PROPTEST_CASES` asks for: each of these is long.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.div_ceil(4), ..default }
}

proptest! {
    #![proptest_config(cases())]

    // S140, I1 to I5, I13, I14, I20, I21
    #[test]
    fn any_history_keeps_the_laws(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        run(&bytes, None);
    }

    // I20
    #[test]
    fn the_same_history_gives_the_same_outputs(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(play(&bytes), play(&bytes));
    }
}

// The generator is worth something only if it gets everywhere.
#[test]
fn histories_get_everywhere() {
    let mut rng = crate::rng::Rng::new(3);
    let mut missing = std::vec![
        "TaskLaunched",
        "TaskReturned",
        "TaskReady",
        "TaskEnded",
        "UnknownTask",
        "InstanceHeld",
        "SpecRemoved",
        "SpecKept",
        "StoreStalled",
        "StoreBack",
        "Fenced",
        "FrameworkRemoved",
        "FailedOver",
        "removed: true",
        "removed: false",
        "Suppressed",
        "Revived",
        "ReconcileDone",
        "Doubtful",
        "Killing(Duplicate)",
        "Killing(Overdue)",
        "Killing(Update)",
        "Killing(Scale)",
        "Killing(External)",
        "Unreachable",
        "SpecSatisfied",
        "SpecDegraded",
        "executor_id: Some(\"e\")",
    ];
    for _ in 0..1000 {
        let bytes: Vec<u8> = (0..500).map(|_| rng.next() as u8).collect();
        let lines = play(&bytes);
        missing.retain(|word| !lines.iter().any(|line| line.contains(word)));
        if missing.is_empty() {
            return;
        }
    }
    panic!("never seen: {missing:?}");
}
