//! Ends of tasks: what they count as, and what follows from them.

use super::*;

const ENDS: [v1::TaskState; 8] =
    [TaskFinished, TaskFailed, TaskKilled, TaskError, TaskLost, TaskDropped, TaskGone, TaskGoneByOperator];

/// A running task ends like this; whether another one is to follow.
fn goes_on(spec: TaskSpec, end: v1::TaskState) -> bool {
    let mut s = Script::new([spec]);
    let task = s.running(1).remove(0);
    s.update(&task, end);
    assert_eq!(s.state(&task), None, "S126, W38: {end:?}");
    assert_eq!(s.stored(["inst", "web", "0", "1"]), None, "S113, S116");
    assert_eq!(s.acks(), [task], "S111");
    let status = s.spec("web");
    assert_eq!(status.waiting + status.finished, 1);
    status.waiting == 1
}

// S10, S11, S116, S126, W38
#[test]
fn which_ends_are_followed_by_a_restart() {
    for end in ENDS {
        assert!(goes_on(service("web", 1), end), "{end:?}");
        let original = service("web", 1).restart(RestartPolicy::states_of_original());
        assert_eq!(goes_on(original, end), matches!(end, TaskFailed | TaskLost | TaskError), "S10: {end:?}");
        let listed = service("web", 1).restart(RestartPolicy::states([TaskKilled]));
        assert_eq!(goes_on(listed, end), end == TaskKilled, "S11: {end:?}");
        assert!(!goes_on(service("web", 1).restart(RestartPolicy::Never), end), "{end:?}");
        assert_eq!(goes_on(service("web", 1).job(), end), end != TaskFinished, "{end:?}");
    }
}

// ENGINE 3.1: what never ran is tried again whatever the policy says.
#[test]
fn a_launch_that_was_dropped_is_repeated_under_any_policy() {
    for end in [TaskDropped, TaskGone] {
        let mut s = Script::new([service("web", 1).restart(RestartPolicy::Never)]);
        let task = s.launch("a1", BIG).remove(0);
        s.answer(&task, end);
        assert_eq!(s.launch("a1", BIG).len(), 1);
    }
}

// S100, S113, S114, S115, W26, W39: the next attempt is made anew from its spec, with another id.
#[test]
fn a_restart_starts_afresh() {
    let spec = service("web", 1).resources(Resources::new().cpus(1.0).ports(2).static_ports([31_005]));
    let mut s = Script::new([spec.env("MYHOST", "mine").env("PORT1A", "kept")]);
    s.offer("a1", BIG);
    let first = s.accept().tasks.remove(0);
    s.update(&first.task_id.value, TaskRunning);
    s.update(&first.task_id.value, TaskFailed);
    s.sleep(secs(2));
    s.offer("a2", "cpus:4;mem:100;ports:[31005-31005,31900-31901]");
    let second = s.accept().tasks.remove(0);
    assert_ne!(first.task_id, second.task_id);
    let variables = |task: &v1::TaskInfo| {
        let variables = &task.command.as_ref().unwrap().environment.as_ref().unwrap().variables;
        variables.iter().map(|v| format!("{}={}", v.name, v.value())).collect::<Vec<_>>()
    };
    let common = ["MYHOST=mine", "PORT1A=kept", "PORT0=31005"];
    assert_eq!(variables(&first), [&common[..], &["PORT1=31000", "HOST=h-a1", "TASK_WEB_SERIAL_NUMBER=1"]].concat());
    assert_eq!(variables(&second), [&common[..], &["PORT1=31900", "HOST=h-a2", "TASK_WEB_SERIAL_NUMBER=1"]].concat());
    let now = s.engine.find_task(&second.task_id.value).unwrap();
    assert_eq!((now.agent_id.as_str(), &now.ports[..], now.task_state), ("a2", &[31_005, 31_900][..], None), "S100");
}

// S115, W39: nor is anything amiss where a command has a list of variables that is empty, or none at all, or where there is
// no command because an executor has its own.
#[test]
fn a_restart_without_variables() {
    let command = |environment| v1::CommandInfo {
        shell: Some(true),
        value: Some("run".into()),
        environment,
        ..v1::CommandInfo::default()
    };
    let plain = || service("web", 1).serial_numbers(false);
    let executor = v1::ExecutorInfo::custom("exec", command(None));
    let own = TaskSpec::new("web").executor(executor).resources(Resources::new().cpus(1.0).mem(32.0));
    for (spec, variables) in [
        (plain().command_info(command(None)), Some(1)),
        (plain().command_info(command(Some(v1::Environment::default()))), Some(1)),
        (own, None),
    ] {
        let mut s = Script::new([spec]);
        let mut launch = || {
            s.offer("a1", BIG);
            let task = s.accept().tasks.remove(0);
            s.update(&task.task_id.value, TaskRunning);
            s.update(&task.task_id.value, TaskFailed);
            s.sleep(secs(2));
            task
        };
        let (first, second) = (launch(), launch());
        let environment = first.command.as_ref().and_then(|command| command.environment.as_ref());
        assert_eq!(environment.map(|environment| environment.variables.len()), variables, "HOST, and no more");
        assert_ne!(second.task_id, first.task_id);
        assert_eq!(v1::TaskInfo { task_id: first.task_id.clone(), ..second }, first);
    }
}

// S118, S119, S122 to S125, S127, S128, W41, W42: STAGING, STARTING, RUNNING, and what is kept of them.
#[test]
fn what_is_known_of_a_task() {
    let mut s = Script::new([service("web", 1).http_check("/").resources(Resources::new().cpus(1.0).ports(1))]);
    let task = s.launch("a1", BIG).remove(0);
    s.clear();
    s.answer(&task, TaskStaging);
    s.status(&task, TaskStarting, |status| status.executor_id = Some("exec".into()));
    let launched = |event: &Event| matches!(event, Event::TaskLaunched(_));
    assert_eq!(s.told(launched), 0);
    s.status(&task, TaskRunning, |status| {
        status.healthy = Some(true);
        status.message = Some("up".into());
        status.reason = Some(Reason::TaskHealthCheckStatusUpdated.into());
        let address = v1::network_info::IpAddress { ip_address: Some("10.1.2.3".into()), ..Default::default() };
        let network = v1::NetworkInfo { ip_addresses: vec![address], ..Default::default() };
        let container = status.container_status.get_or_insert_default();
        (container.executor_pid, container.network_infos) = (Some(77), vec![network]);
    });
    let now = s.engine.find_task(&task).unwrap();
    assert_eq!((now.agent_id.as_str(), now.hostname.as_str()), ("a1", "h-a1"), "S118");
    assert_eq!((now.state, now.task_state), (State::Running, Some(TaskRunning)), "S118");
    let reason = Some(Reason::TaskHealthCheckStatusUpdated);
    assert_eq!((now.healthy, now.reason, now.message.as_deref()), (Some(true), reason, Some("up")), "S128");
    let record = s.stored(["inst", "web", "0", "1"]).unwrap();
    assert!(record.contains("RUNNING") && record.contains("exec"), "S125: {record}");
    s.sleep(secs(100));
    // Nothing but the state and health: what belongs to the task stays, and not what belonged to the former status.
    s.status(&task, TaskRunning, |status| status.healthy = Some(false));
    assert_eq!(s.told(launched), 1, "S122");
    // STAGING, STARTING, RUNNING, and the health.
    assert_eq!(s.told(|event| matches!(event, Event::TaskUpdated(_))), 4, "S123");
    let now = s.engine.find_task(&task).unwrap();
    assert_eq!((now.executor_id.as_deref(), now.healthy, now.ready), (Some("exec"), Some(false), false));
    assert_eq!((now.reason, now.message), (None, None));
    let container = now.container.unwrap();
    assert_eq!(container.executor_pid, Some(77));
    assert_eq!(container.network_infos[0].ip_addresses[0].ip_address(), "10.1.2.3", "S128");
    assert_eq!(now.running_for, Some(secs(100)), "S119");
    assert_eq!(now.ports, [31_000]);
    s.update(&task, TaskFinished);
    assert_eq!(s.told(|event| matches!(event, Event::TaskEnded { class: EndClass::Ok, .. })), 1, "S124");
}

// S123: each change is told once, with the task, its executor and its state.
#[test]
fn each_change_of_state_is_told() {
    type Step = fn(&mut Script, &str);
    let killing = State::Killing(KillReason::User);
    let steps: [(Step, State, v1::TaskState); 7] = [
        (|s, task| s.answer(task, TaskStaging), State::Staged, TaskStaging),
        (
            |s, task| s.status(task, TaskStarting, |status| status.executor_id = Some("exec".into())),
            State::Staged,
            TaskStarting,
        ),
        (|s, task| s.update(task, TaskRunning), State::Running, TaskRunning),
        (|s, task| s.master_says(task, TaskUnreachable, Reason::AgentRemoved), State::Unreachable, TaskUnreachable),
        (|s, task| s.master_says(task, TaskRunning, Reason::AgentReregistered), State::Running, TaskRunning),
        (|s, task| drop((s.engine.kill(task), s.tick())), killing, TaskRunning),
        (|s, task| s.update(task, TaskKilling), killing, TaskKilling),
    ];
    let mut s = Script::new([service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.clear();
    for (step, state, task_state) in steps {
        step(&mut s, &task);
        step(&mut s, &task);
        let told = core::mem::take(&mut s.events).into_iter().filter_map(|event| match event {
            Event::TaskUpdated(now) => Some((now.task_id, now.executor_id, now.state, now.task_state)),
            _ => None,
        });
        let executor = (task_state != TaskStaging).then(|| "exec".to_string());
        assert_eq!(told.collect::<Vec<_>>(), [(task.clone(), executor, state, Some(task_state))]);
    }
}

// S124: a task that leaves for good is told once.
#[test]
fn who_leaves_for_good_is_told() {
    for (spec, instances, end, class) in [
        (service("web", 1).job(), 1, TaskFinished, EndClass::Ok),
        (service("web", 1).restart(RestartPolicy::Never), 1, TaskFailed, EndClass::Fault),
        (service("web", 1), 0, TaskKilled, EndClass::Wanted),
    ] {
        let mut s = Script::new([spec.scalable(true)]);
        let task = s.running(1).remove(0);
        s.engine.scale("web", instances).unwrap();
        s.tick();
        assert_eq!(s.left(), []);
        // An agent repeats what was not acknowledged in time.
        for _ in 0..2 {
            s.update(&task, end);
            s.sleep(secs(60));
            assert_eq!(s.left(), [(task.clone(), Ok(class))]);
        }
        assert!(s.launch("a1", BIG).is_empty(), "for good");
    }
}

// S127, W41: what is known of a task and of its place stays where a status says nothing of it.
#[test]
fn health_and_failures_outlive_updates() {
    let spec = service("web", 1).http_check("/").resources(Resources::new().cpus(1.0).ports(1));
    let mut s = Script::new([spec.max_failures(Some(2))]);
    let first = s.running(1).remove(0);
    s.update(&first, TaskFailed);
    s.sleep(secs(2));
    let task = s.launch("a1", BIG).remove(0);
    let mut healthy = None;
    for said in [None, Some(true), None, Some(false), None] {
        s.status(&task, TaskRunning, |status| status.healthy = said);
        healthy = said.or(healthy);
        let instance = s.engine.instances("web").next().unwrap();
        assert_eq!((instance.tasks[0].healthy, instance.faults), (healthy, 1));
    }
    s.update(&task, TaskFailed);
    assert_eq!(s.told(|e| matches!(e, Event::InstanceHeld { why: Held::Exhausted, .. })), 1, "the second one");
}

// What a check of the task's says (`TaskSpec::check`) is told when it changes, and stays until another status says more.
#[test]
fn what_a_check_says() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    let said = |code| {
        let command = Some(v1::check_status_info::Command { exit_code: Some(code) });
        v1::CheckStatusInfo { r#type: Some(v1::check_info::Type::Command.into()), command, ..Default::default() }
    };
    for (code, told) in [(Some(0), 1), (Some(0), 0), (Some(1), 1), (None, 0)] {
        s.status(&task, TaskRunning, |status| status.check_status = code.map(said));
        let updated: Vec<_> = s.events.drain(..).filter(|event| matches!(event, Event::TaskUpdated(_))).collect();
        assert_eq!(updated.len(), told, "{code:?}");
        assert_eq!(s.engine.find_task(&task).unwrap().check_status, Some(said(code.unwrap_or(1))));
    }
}

// S130, W2, I5: the same status again is acknowledged again, and does nothing else.
#[test]
fn the_same_status_twice() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.launch("a1", BIG).remove(0);
    s.clear();
    for state in [TaskStarting, TaskRunning] {
        let uuid = vec![if state == TaskRunning { 0x4b } else { 0x4a }; 16];
        for _ in 0..3 {
            s.status(&task, state, |status| status.uuid = Some(uuid.clone().into()));
        }
    }
    assert_eq!(s.acks().len(), 6);
    assert_eq!(s.told(|event| matches!(event, Event::TaskUpdated(_))), 2);
    // And one that comes late changes nothing.
    s.update(&task, TaskStarting);
    assert_eq!(s.acks().len(), 1);
    assert_eq!(s.state(&task), Some(State::Running));
}

// W39: a status without an agent, and one in a state that nobody knows.
#[test]
fn strange_statuses_do_no_harm() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.status(&task, TaskRunning, |status| status.agent_id = None);
    assert!(s.acks().is_empty());
    s.status(&task, TaskRunning, |status| status.state = 99);
    assert_eq!(s.acks(), [&*task], "ENGINE 1.5: its agent waits");
    s.status("", TaskRunning, |_| {});
    assert_eq!(s.state(&task), Some(State::Running));
    s.sleep(secs(60));
    assert_eq!(s.spec("web").ready, 1);
}

// ENGINE 19
#[test]
fn invalid_is_held() {
    let mut s = Script::new([service("web", 1)]);
    for _ in 0..3 {
        let task = s.launch("a1", BIG).remove(0);
        s.master_says(&task, TaskError, Reason::TaskInvalid);
        s.sleep(secs(16));
    }
    assert_eq!(s.told(|e| matches!(e, Event::InstanceHeld { why: Held::Invalid, index: 0, .. })), 1);
    assert_eq!(s.told(|e| matches!(e, Event::SpecDegraded { .. })), 1);
    assert!(s.launch("a1", BIG).is_empty());
    assert_eq!((s.spec("web").held, s.spec("web").satisfied), (1, false));
    s.engine.apply(service("web", 1).env("A", "b")).unwrap();
    s.tick();
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    assert!(s.spec("web").satisfied);
}

// ENGINE 20
#[test]
fn job_exhausted() {
    let mut s = Script::new([service("web", 1).job()]);
    let mut agents = (1..).map(|n| format!("a{n}"));
    let mut fail = |s: &mut Script| {
        for _ in 0..6 {
            let task = s.launch(&agents.next().unwrap(), BIG).remove(0);
            s.update(&task, TaskRunning);
            s.update(&task, TaskFailed);
            s.sleep(secs(40));
        }
        assert_eq!(s.told(|e| matches!(e, Event::InstanceHeld { why: Held::Exhausted, .. })), 1);
        assert!(s.launch("a1", BIG).is_empty());
        s.clear();
    };
    fail(&mut s);
    s.crash();
    assert_eq!(s.spec("web").held, 1, "also after a crash");
    s.clear();
    s.engine.retry("web").unwrap();
    s.tick();
    fail(&mut s);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskFinished);
    assert_eq!(s.spec("web").finished, 1);
    assert!(s.spec("web").satisfied);
}

// ENGINE 29, W44
#[test]
fn finished_while_killing() {
    let mut s = Script::new([service("web", 1).job()]);
    let task = s.running(1).remove(0);
    s.engine.kill(&task).unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*task]);
    s.update(&task, TaskKilling);
    s.update(&task, TaskFinished);
    assert_eq!(s.told(|e| matches!(e, Event::TaskEnded { class: EndClass::Ok, .. })), 1);
    assert_eq!(s.spec("web").finished, 1);
}

// S117, W40, W44: what is being restarted is replaced when it has ended, not before.
#[test]
fn restarting_one_instance() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.engine.restart_instance("web", 0).unwrap();
    s.tick();
    assert_eq!(s.kills(), [&*task]);
    for state in [TaskRunning, TaskKilling] {
        s.update(&task, state);
        assert_eq!(s.state(&task), Some(State::Killing(KillReason::User)));
        let told = |event: &Event| matches!(event, Event::TaskUpdated(task) if task.task_state == Some(state));
        assert_eq!(s.events.iter().filter(|event| told(event)).count(), 1, "S123: {state:?}, whatever becomes of it");
        assert!(s.launch("a1", BIG).is_empty());
    }
    s.update(&task, TaskKilled);
    assert_eq!(s.launch("a1", BIG).len(), 1, "at once");
}

// ENGINE 1.5: KILLED by the executor's own health check, and by nobody that we know.
#[test]
fn killed_by_others() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    s.update(&task, TaskKilling);
    assert_eq!(s.state(&task), Some(State::Killing(KillReason::External)));
    assert!(s.kills().is_empty());
    s.update(&task, TaskKilled);
    s.sleep(secs(5));
    let task = s.launch("a1", BIG).remove(0);
    s.update(&task, TaskRunning);
    s.status(&task, TaskKilled, |status| status.healthy = Some(false));
    s.sleep(secs(5));
    let task = s.launch("a1", BIG).remove(0);
    s.status(&task, TaskKilled, |status| status.reason = Some(Reason::TaskKilledDuringLaunch.into()));
    let classes: Vec<_> = s.left().into_iter().map(|(_, class)| class).collect();
    assert_eq!(classes, [Ok(EndClass::External), Ok(EndClass::Fault), Ok(EndClass::Infra)]);
}

// ENGINE 57
#[test]
fn agent_drained() {
    let mut s = Script::new([service("web", 8)]);
    let tasks = s.running(8);
    for task in &tasks[..4] {
        s.status(task, TaskKilling, |status| status.reason = Some(Reason::AgentDraining.into()));
        s.status(task, TaskKilled, |status| status.reason = Some(Reason::AgentDraining.into()));
    }
    assert_eq!(s.acks().len(), 8);
    assert_eq!(
        s.told(|e| matches!(e, Event::InstanceWaiting { cause: EndClass::Drain, delay: Duration::ZERO, .. })),
        4
    );
    assert_eq!(s.launch("a2", BIG).len(), 4);
    assert!(s.kills().is_empty());
}

// ENGINE 58, OBSERVED: once or twice, and early: the task may live on.
#[test]
fn drain_mark_gone() {
    let mut s = Script::new([service("web", 1)]);
    let task = s.running(1).remove(0);
    let gone = |s: &mut Script, task: &str| {
        s.status(task, TaskGoneByOperator, |status| status.reason = Some(Reason::AgentDraining.into()));
    };
    gone(&mut s, &task);
    let next = s.launch("a2", BIG);
    assert_eq!(next.len(), 1);
    gone(&mut s, &task);
    assert!(s.launch("a3", BIG).is_empty(), "one replacement");
    assert_eq!(s.acks(), [task.clone(), task.clone()]);
    assert!(s.stored(["ghost", &task]).is_some());
    // Should it live after all, it is killed.
    s.update(&next[0], TaskRunning);
    s.update(&task, TaskRunning);
    assert_eq!(s.kills(), [&*task]);
    s.update(&task, TaskKilled);
    assert_eq!(s.stored(["ghost", &task]), None);
}

// A job that has run elsewhere after all needs nobody who takes its place, whatever has become of that one.
#[test]
fn a_job_that_was_out_of_sight_has_finished() {
    for step in ["waiting", "prepared", "launching", "running"] {
        let mut s = Script::new([service("web", 1).job()]);
        let task = s.running(1).remove(0);
        s.master_says(&task, TaskUnreachable, Reason::AgentRemoved);
        s.tick();
        if step == "prepared" {
            s.disk = Disk::Hangs;
            s.offer("a2", BIG);
        }
        let next = match step {
            "launching" | "running" => s.launch("a2", BIG),
            _ => Vec::new(),
        };
        if step == "running" {
            s.update(&next[0], TaskRunning);
        }
        s.update(&task, TaskFinished);
        s.disk = Disk::Writes;
        s.settle();
        assert_eq!(s.kills(), next, "{step}");
        next.iter().for_each(|task| s.update(task, TaskKilled));
        s.sleep(secs(60));
        assert!(s.launch("a3", BIG).is_empty(), "{step}");
        assert_eq!((s.spec("web").finished, s.spec("web").waiting), (1, 0), "{step}");
        assert!(s.spec("web").satisfied);
        s.crash();
        assert!(s.launch("a3", BIG).is_empty(), "{step}");
    }
}

// The same in a rollout: the new one has finished before the old one was ended.
#[test]
fn a_job_whose_successor_has_finished() {
    let mut s = Script::new([service("web", 1).job()]);
    let old = s.running(1).remove(0);
    s.engine.apply(service("web", 1).job().env("A", "b")).unwrap();
    s.tick();
    let new = s.launch("a2", BIG).remove(0);
    s.update(&new, TaskFinished);
    assert_eq!(s.kills(), [&*old]);
    s.update(&old, TaskKilled);
    s.sleep(secs(60));
    assert!(s.launch("a3", BIG).is_empty());
    assert_eq!((s.spec("web").finished, s.spec("web").waiting), (1, 0));
}

// ENGINE 10: health is told when it changes, of tasks that run.
#[test]
fn health_is_told() {
    let mut s = Script::new([service("web", 1).http_check("/").resources(Resources::new().cpus(1.0).ports(1))]);
    let task = s.launch("a1", BIG).remove(0);
    s.clear();
    for healthy in [None, Some(true), Some(true), Some(false), Some(false), Some(true), None] {
        s.status(&task, TaskRunning, |status| status.healthy = healthy);
    }
    let counts = (
        s.told(|e| matches!(e, Event::TaskReady(_))),
        s.told(|e| matches!(e, Event::TaskUnhealthy(task) if task.healthy == Some(false) && !task.ready)),
        s.told(|e| matches!(e, Event::TaskHealthy(task) if task.healthy == Some(true))),
    );
    assert_eq!(counts, (2, 1, 1));
    // It changes while somebody else seems to kill it, and while it can't be seen (simulated: seed 10000010705).
    for (meanwhile, healthy) in [(TaskKilling, false), (TaskUnreachable, true), (TaskUnreachable, false)] {
        s.clear();
        s.status(&task, meanwhile, |status| status.healthy = Some(healthy));
        s.status(&task, TaskRunning, |status| status.healthy = Some(healthy));
        let told = |e: &Event| matches!(e, Event::TaskUnhealthy(_) | Event::TaskHealthy(_));
        let events: Vec<&Event> = s.events.iter().filter(|e| told(e)).collect();
        let right = |e: &Event| matches!(e, Event::TaskHealthy(_)) == healthy;
        assert!(events.len() == 1 && events.iter().all(|e| right(e)), "{events:?}");
    }
}
