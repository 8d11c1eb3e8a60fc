//! Tasks of another program.

use super::*;

fn adoptee(spec: &str, index: u32, state: v1::TaskState) -> Adoptee {
    Adoptee {
        spec: spec.into(),
        index,
        task_id: format!("shop.{}-{}.1b4e28ba", spec, u64::from(index) + 1),
        agent_id: "a1".into(),
        hostname: "host-1".into(),
        ports: vec![31_005],
        state: Some(state),
        ..Adoptee::default()
    }
}

/// An engine that goes on with these tasks, not started so far.
fn adopted(config: Config, specs: Vec<TaskSpec>, tasks: Vec<Adoptee>) -> (Script, Vec<(String, NotAdopted)>) {
    let now = UnixTime::from_epoch(secs(ORIGIN));
    let adoption = adopt(&config, &specs, "f-7", tasks, now).expect("a good id");
    let mut s = Script::unstarted(config, specs);
    let ops = adoption.records.into_iter().map(|(key, value)| StoreOp::Put { key, value }).collect();
    s.store.apply_now(&Persist::new(Ticket::new(1), ops));
    (s, adoption.left.into_iter().map(|(task, why)| (task.task_id, why)).collect())
}

// S169, S170, S171, S172: by name; what runs or comes to run again is gone on with, and asked for; what is missing is
// launched. The definition is the program's own, and nothing is restarted for that.
#[test]
fn goes_on_with_what_another_program_has_launched() {
    let states = [TaskRunning, TaskStaging, TaskStarting, TaskKilling, TaskUnreachable];
    let mut tasks: Vec<_> = (0..).zip(states).map(|(index, state)| adoptee("a-web", index, state)).collect();
    tasks.push(Adoptee { state: None, ..adoptee("a-web", 5, TaskRunning) });
    let ids: Vec<String> = tasks.iter().map(|task| task.task_id.clone()).collect();
    let (mut s, left) = adopted(config(), vec![service("a-web", 7).duplicates(Duplicates::Forbid)], tasks);
    assert_eq!(left, []);
    s.recover();
    assert_eq!(s.subscribes[0].framework_info.id.as_ref().map(|id| &*id.value), Some("f-7"));
    let mut asked = s.asked();
    asked.sort();
    assert_eq!(asked, ids);
    let known = s.engine.find_task(&ids[0]).expect("known");
    assert_eq!((&*known.hostname, known.ports), ("host-1", vec![31_005]));
    for id in &ids {
        s.answer(id, TaskRunning);
    }
    let missing = s.launch("a2", BIG);
    assert_eq!(missing.len(), 1, "the seventh");
    s.update(&missing[0], TaskRunning);
    s.sleep(secs(3600));
    assert_eq!(s.spec("a-web").ready, 7);
    assert_eq!(s.kills(), [""; 0]);
    assert!(ids.iter().all(|id| s.state(id) == Some(State::Running)));
    // It ends as any other.
    s.update(&ids[0], TaskFailed);
    s.sleep(secs(5));
    assert_eq!(s.launch("a2", BIG).len(), 1);
}

// S170: the next process knows the spec as well, even if it is no longer given.
#[test]
fn the_spec_of_adopted_tasks_is_kept() {
    let (mut s, _) = adopted(config(), vec![service("web", 1)], vec![adoptee("web", 0, TaskRunning)]);
    s.recover();
    s.answer("shop.web-1.1b4e28ba", TaskRunning);
    assert!(s.stored(["spec", "web"]).is_some());
    s.engine.pause("web").unwrap();
    s.tick();
    s.crash();
    assert_eq!(s.told(|e| matches!(e, Event::RecordQuarantined(_))), 0);
    assert!(s.spec("web").paused);
    s.specs.clear();
    s.crash();
    s.answer("shop.web-1.1b4e28ba", TaskRunning);
    assert!(s.kills().is_empty());
}

// S173, S174: what has no spec, and what nothing is known of any more, is none of ours.
#[test]
fn what_does_not_fit_is_left() {
    let ended = [TaskFinished, TaskFailed, TaskKilled, TaskError, TaskLost, TaskDropped, TaskGone];
    let mut tasks: Vec<_> = (0..).zip(ended).map(|(index, state)| adoptee("web", index, state)).collect();
    tasks.push(adoptee("gone", 0, TaskRunning));
    tasks.push(adoptee("web", 0, TaskRunning));
    tasks.push(Adoptee { task_id: "twice".into(), ..adoptee("web", 0, TaskRunning) });
    tasks.push(Adoptee { task_id: "a/b".into(), ..adoptee("web", 1, TaskRunning) });
    tasks.push(Adoptee { agent_id: String::new(), ..adoptee("web", 1, TaskRunning) });
    tasks.push(Adoptee { executor_id: Some("..".into()), ..adoptee("web", 1, TaskRunning) });
    let (mut s, left) = adopted(config(), vec![service("web", 1)], tasks);
    let why: Vec<NotAdopted> = left.into_iter().map(|(_, why)| why).collect();
    assert_eq!(why[..7], [const { NotAdopted::Ended }; 7]);
    assert_eq!(
        why[7..],
        [
            NotAdopted::NoSpec("gone".into()),
            NotAdopted::Double("shop.web-1.1b4e28ba".into()),
            NotAdopted::BadId("task's id"),
            NotAdopted::BadId("agent's id"),
            NotAdopted::BadId("executor's id"),
        ]
    );
    s.recover();
    assert_eq!(s.engine.tasks().count(), 1);
    s.answer("shop.gone-1.1b4e28ba", TaskRunning);
    assert_eq!(s.kills(), ["shop.gone-1.1b4e28ba"]);
    let bad = adopt(&config(), &[], "a/b", [], UnixTime::default());
    assert!(bad.is_err());
}

// S172: an instance that the spec no longer wants is ended, as when it is scaled down.
#[test]
fn more_instances_than_wanted() {
    let tasks = vec![adoptee("web", 0, TaskRunning), adoptee("web", u32::MAX, TaskRunning)];
    let surplus = tasks[1].task_id.clone();
    let (mut s, _) = adopted(config(), vec![service("web", 1)], tasks);
    s.recover();
    s.answer(&surplus, TaskRunning);
    assert_eq!(s.kills(), [surplus]);
}

// S176: no tasks are no reason not to go on.
#[test]
fn a_framework_without_tasks() {
    let (mut s, left) = adopted(config(), vec![service("web", 1)], Vec::new());
    assert_eq!(left, []);
    s.recover();
    assert_eq!(s.subscribes[0].framework_info.id.as_ref().map(|id| &*id.value), Some("f-7"));
    assert_eq!(s.launch("a1", BIG).len(), 1);
}

// One task is one instance: the second one of the same id would be told of nothing that becomes of it.
#[test]
fn a_task_is_adopted_once() {
    let mut tasks =
        vec![adoptee("web", 0, TaskRunning), adoptee("web", 1, TaskRunning), adoptee("other", 0, TaskRunning)];
    let id = tasks[0].task_id.clone();
    tasks.iter_mut().for_each(|task| task.task_id = id.clone());
    let (mut s, left) = adopted(config(), vec![service("web", 2), service("other", 1)], tasks);
    assert_eq!(left, vec![(id.clone(), NotAdopted::Double(id.clone())); 2]);
    s.recover();
    assert_eq!(s.asked(), [id]);
}
