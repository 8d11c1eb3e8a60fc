//! What is declared runs, and follows its declaration.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::mesos_core::Resources;
use conformance::mesos_core::engine::{Amount, Config, EndClass, Event, State, TaskSpec};
use conformance::mesos_core::scheduler::Framework;
use conformance::v1::{CommandInfo, ExecutorInfo, HealthCheck, Resource};
use conformance::{Cluster, Keeper};

use crate::{Folders, spec};

/// The task id of each instance.
fn ids(keeper: &Keeper, name: &str) -> BTreeMap<u32, String> {
    keeper.tasks(name).into_iter().map(|task| (task.index, task.task_id)).collect()
}

/// Three instances, each on record, known to its agent, and a process.
pub(crate) async fn three_instances_run(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 3)]);
    let told = Event::SpecSatisfied { spec: "web".into() };
    keeper.until("SpecSatisfied", |keeper| (keeper.count(|event| *event == told) > 0).then_some(())).await;
    keeper.agree(cluster, &folders.roll).await;
    assert_eq!(ids(&keeper, "web").into_keys().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(keeper.count(|event| matches!(event, Event::TaskLaunched(_))), 3);
    assert_eq!(keeper.count(|event| *event == told), 1);
}

/// S129: the delays double, are told, and are kept.
pub(crate) async fn what_fails_is_restarted_ever_more_slowly(cluster: &Cluster) {
    let folders = Folders::new();
    let failing = spec("bad", folders.roll.signed("bad", "exit 1"));
    let failing = failing.backoff(Duration::from_millis(500), Duration::from_secs(10));
    let mut keeper = Keeper::start(cluster, folders.store.path(), [failing]);
    let ended = |event: &Event| matches!(event, Event::TaskEnded { class: EndClass::Fault, .. });
    keeper.until("three failures", |keeper| (keeper.count(ended) == 3).then_some(())).await;
    keeper.stay(Duration::from_millis(100)).await;
    let delays = keeper.told.iter().filter_map(|(_, event)| match event {
        Event::InstanceWaiting { delay, cause: EndClass::Fault, .. } => Some(delay.as_millis()),
        _ => None,
    });
    let delays: Vec<u128> = delays.collect();
    let nominal = [500, 1000, 2000];
    assert_eq!(delays.len(), nominal.len(), "{delays:?}");
    for (delay, nominal) in delays.iter().zip(nominal) {
        assert!(delay.abs_diff(nominal) <= nominal / 10, "{delays:?}");
    }
    let ends = keeper.told.iter().filter(|(_, event)| ended(event)).map(|(at, _)| *at);
    let ends: Vec<_> = ends.collect();
    for (gap, delay) in ends.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).zip(delays) {
        assert!(gap >= delay, "{gap} ms after {delay} ms");
    }
}

/// S116: a job runs until it has finished, once per instance, also over a restart of the scheduler.
pub(crate) async fn jobs_finish_once(cluster: &Cluster) {
    let folders = Folders::new();
    let job = || {
        let work = format!("{}; {}", folders.roll.once("job", "exit 1"), folders.roll.done("job"));
        let job = spec("job", folders.roll.signed("job", &work)).job().instances(2);
        job.backoff(Duration::from_millis(100), Duration::from_secs(1))
    };
    let mut keeper = Keeper::start(cluster, folders.store.path(), [job()]);
    let finished = |keeper: &Keeper| keeper.engine().spec("job").is_some_and(|job| job.finished == 2);
    keeper.until("both", |keeper| finished(keeper).then_some(())).await;
    let ends = |class| move |event: &Event| matches!(event, Event::TaskEnded { class: end, .. } if *end == class);
    keeper.until("the end of both", |keeper| (keeper.count(ends(EndClass::Ok)) == 2).then_some(())).await;
    assert_eq!(keeper.count(ends(EndClass::Fault)), 2);
    keeper.leave().await;

    let mut keeper = Keeper::start(cluster, folders.store.path(), [job(), folders.service("web", 1)]);
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    assert!(finished(&keeper));
    let once = BTreeMap::from([(("job".to_owned(), 1), 1), (("job".to_owned(), 2), 1)]);
    assert_eq!(folders.roll.work(), once);
}

/// S113, S117: what a user kills is replaced at once, in the same place.
pub(crate) async fn a_killed_task_is_replaced(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 2)]);
    keeper.satisfied().await;
    let before = ids(&keeper, "web");
    keeper.command(|engine| engine.kill(&before[&1])).unwrap();
    keeper
        .until("the end", |keeper| {
            let ended = |event: &Event| matches!(event, Event::TaskEnded { task, .. } if task.task_id == before[&1]);
            (keeper.count(ended) > 0).then_some(())
        })
        .await;
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    let after = ids(&keeper, "web");
    assert_eq!(after[&0], before[&0]);
    assert_ne!(after[&1], before[&1]);
    let wanted = |event: &Event| matches!(event, Event::TaskEnded { class: EndClass::Wanted, .. });
    assert_eq!(keeper.count(wanted), 1);
}

/// S33: the highest numbers go, and come back; the others never notice.
pub(crate) async fn scaled_up_and_down_and_up(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 2)]);
    keeper.satisfied().await;
    let two = ids(&keeper, "web");
    let mut before = two.clone();
    for instances in [5, 1, 4] {
        keeper.command(|engine| engine.scale("web", instances)).unwrap();
        keeper.satisfied().await;
        keeper.agree(cluster, &folders.roll).await;
        let after = ids(&keeper, "web");
        assert_eq!(after.keys().copied().collect::<Vec<_>>(), (0..instances).collect::<Vec<_>>());
        for (index, id) in &after {
            assert!(before.get(index).is_none_or(|old| old == id), "{before:?}, {after:?}");
        }
        before = after;
    }
    assert_eq!(before[&0], two[&0]);
    assert_ne!(before[&1], two[&1]);
}

/// A rollout: never fewer than three of four are ready, never more than five there are.
pub(crate) async fn a_changed_spec_rolls(cluster: &Cluster) {
    const WANTED: u32 = 4;
    let folders = Folders::new();
    // So long that a process that is ready has surely signed in.
    let web = |version: &str| {
        let web = folders.service("web", WANTED).env("VERSION", version).min_ready(Duration::from_secs(1));
        web.max_surge(Amount::Count(1)).max_unavailable(Amount::Count(1))
    };
    let mut keeper = Keeper::start(cluster, folders.store.path(), [web("1")]);
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    let old = ids(&keeper, "web");
    keeper.command(|engine| engine.apply(web("2"))).unwrap();
    let mut fewest = WANTED;
    keeper
        .until("the new revision everywhere", |keeper| {
            let spec = keeper.engine().spec("web").unwrap();
            let processes = folders.roll.present();
            assert!(spec.ready >= WANTED - 1 && processes.len() as u32 >= WANTED - 1, "{spec:?}, {processes:?}");
            let all: usize = processes.values().map(Vec::len).sum();
            assert!(all as u32 <= WANTED + 1 && processes.values().all(|pids| pids.len() <= 2), "{processes:?}");
            fewest = fewest.min(spec.ready);
            (spec.satisfied && spec.outdated == 0).then_some(())
        })
        .await;
    keeper.agree(cluster, &folders.roll).await;
    let new = ids(&keeper, "web");
    assert!(new.keys().eq(old.keys()) && new.values().all(|id| !old.values().any(|other| other == id)));
    let revision = web("2").role("*").revision();
    assert!(keeper.tasks("web").iter().all(|task| task.revision == revision && task.state == State::Running));
    assert_eq!(fewest, WANTED - 1, "one at a time, as allowed");
}

/// S233: a rollout goes by the health of what it has started. One of a bad revision comes as far as its first task.
pub(crate) async fn a_rollout_heeds_health(cluster: &Cluster) {
    let folders = Folders::new();
    let web = |version: &str| {
        let check = HealthCheck::command(CommandInfo::new("test \"$VERSION\" != bad"));
        let check = check.with_delay(Duration::ZERO).with_interval(Duration::from_millis(200));
        folders
            .service("web", 3)
            .env("VERSION", version)
            // It is ill for as long as it runs.
            .health_check(check.with_grace_period(Duration::ZERO).with_consecutive_failures(1000))
            .max_surge(Amount::Count(0))
            .max_unavailable(Amount::Count(1))
    };
    let mut keeper = Keeper::start(cluster, folders.store.path(), [web("1")]);
    keeper.satisfied().await;
    let first = ids(&keeper, "web");
    keeper.command(|engine| engine.apply(web("bad"))).unwrap();
    let ill = |event: &Event| matches!(event, Event::TaskUnhealthy(_));
    keeper.until("an ill task", |keeper| (keeper.count(ill) > 0).then_some(())).await;
    keeper.stay(Duration::from_secs(1)).await;
    let kept = ids(&keeper, "web").iter().filter(|(index, id)| first.get(index) == Some(id)).count();
    assert_eq!(kept, 2, "one was replaced, and no more");
    keeper.command(|engine| engine.apply(web("2"))).unwrap();
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    let last = ids(&keeper, "web");
    assert!(last.iter().all(|(index, id)| first.get(index) != Some(id)), "{first:?}, then {last:?}");
    assert!(keeper.tasks("web").iter().all(|task| task.healthy == Some(true)));
}

/// S106: who wants nothing is offered nothing, until there is something to want.
pub(crate) async fn idle_is_quiet(cluster: &Cluster) {
    let folders = Folders::new();
    let mut keeper = Keeper::start(cluster, folders.store.path(), [folders.service("web", 1)]);
    let suppressed = |event: &Event| matches!(event, Event::Suppressed { .. });
    keeper.until("Suppressed", |keeper| (keeper.count(suppressed) > 0).then_some(())).await;
    let answered = |event: &Event| matches!(event, Event::OffersAnswered { .. });
    keeper.stay(Duration::from_millis(500)).await;
    let before = keeper.count(answered);
    keeper.stay(Duration::from_secs(2)).await;
    assert_eq!(keeper.count(answered), before);
    keeper.command(|engine| engine.apply(folders.service("more", 1))).unwrap();
    keeper.satisfied().await;
    assert_eq!(keeper.count(|event| matches!(event, Event::Revived { .. })), 1);
    keeper.agree(cluster, &folders.roll).await;
}

/// 60 tasks on three agents, in a few seconds.
pub(crate) async fn sixty_tasks_at_once(cluster: &Cluster) {
    let folders = Folders::new();
    let specs: Vec<TaskSpec> = ["a", "b", "c"].map(|name| folders.service(name, 20)).into();
    let mut keeper = Keeper::start(cluster, folders.store.path(), specs);
    keeper.satisfied().await;
    keeper.agree(cluster, &folders.roll).await;
    assert_eq!(keeper.engine().tasks().count(), 60);
    assert_eq!(keeper.count(|event| matches!(event, Event::TaskLaunched(_))), 60);
    assert_eq!(keeper.count(|event| matches!(event, Event::TaskEnded { .. })), 0);
}

/// ENGINE 2.1: an executor that outlives its task gets the next one, described as before although there is room of another
/// kind by now: a master refuses the task otherwise.
pub(crate) async fn an_executor_outlives_its_task(cluster: &Cluster) {
    let folders = Folders::new();
    let own = [Resource::scalar("cpus", 0.1), Resource::scalar("mem", 32.0)];
    let executor = ExecutorInfo::custom("shared", CommandInfo::exec(env!("CARGO_BIN_EXE_executor"), [""; 0]));
    let executor = executor.with_resources(own);
    let job = |name: &str, cpus| {
        let needs = Resources::new().cpus(cpus).mem(32.0);
        TaskSpec::new(name).job().executor(executor.clone()).data("true").resources(needs)
    };
    let config = Config::new(cluster.config(Framework::new("conformance").roles(["web"])));
    // All that is reserved goes to this one, and its executor gets none of it.
    let mut keeper = Keeper::with(cluster, config, folders.store.path(), [job("first", 0.1)]);
    let finished = |name: &'static str| {
        move |keeper: &Keeper| keeper.engine().spec(name).is_some_and(|job| job.finished == 1).then_some(())
    };
    keeper.until("the first to finish", finished("first")).await;
    keeper.command(|engine| engine.apply(job("second", 0.02)).map(drop)).unwrap();
    keeper.until("the second to finish", finished("second")).await;
    assert_eq!(keeper.count(|event| matches!(event, Event::TaskEnded { class: EndClass::Ok, .. })), 2);
    let others = |event: &Event| matches!(event, Event::TaskEnded { class, .. } if *class != EndClass::Ok);
    assert_eq!(keeper.count(others), 0);
}
