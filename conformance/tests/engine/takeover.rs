//! Two instances of a scheduler, one of which leads, until it doesn't.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use conformance::{Cluster, Instances, LIMIT, Log, SESSION, Term, now};
use mesos_zk::{Settings, Zk, stored_framework_id};
use tokio::time::{Instant, sleep};

use crate::Folders;

/// How long a take-over may last on top of the session timeout.
const AIM: Duration = Duration::from_secs(2);

/// The same for each single one, on machines that are busy elsewhere.
const MARGIN: Duration = Duration::from_secs(8);

/// Two of them, with a service of four.
async fn two(cluster: &Cluster, folders: &Folders) -> Instances {
    running(Instances::new(env!("CARGO_BIN_EXE_instance"), cluster, &folders.roll, 2, (1, 6), None)).await
}

async fn running(mut instances: Instances) -> Instances {
    (0..2).for_each(|who| instances.start(who));
    instances.until("satisfaction", LIMIT, satisfied).await;
    instances
}

fn satisfied(log: &Log) -> Option<()> {
    log.terms.last().filter(|term| term.over.is_none() && term.satisfied).map(|_| ())
}

fn leader(instances: &Instances) -> usize {
    instances.log().lock().unwrap().leader().unwrap()
}

/// The processes, once there are four.
async fn processes(folders: &Folders) -> BTreeMap<(String, u32), Vec<u32>> {
    let limit = Instant::now() + LIMIT;
    loop {
        let present = folders.roll.present();
        assert!(present.values().all(|pids| pids.len() == 1), "{present:?}");
        if present.len() == 4 {
            return present;
        }
        assert!(Instant::now() < limit, "{present:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The next term after this, once its leader has an acknowledgement through.
async fn taken_over(instances: &Instances, at: f64) -> Term {
    let acknowledged = |log: &Log| log.term_after(at).filter(|term| term.acknowledged.is_some()).cloned();
    let term = instances.until("an acknowledgement by the next leader", LIMIT, acknowledged).await;
    let since = |at: f64, then: Option<f64>| then.map_or(f64::NAN, |then| then - at);
    println!(
        "elected {:.2} s after that, subscribed {:.2} s, first acknowledgement {:.2} s",
        term.elected - at,
        since(at, term.subscribed),
        since(at, term.acknowledged),
    );
    term
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

/// The same framework, and never two leaders.
fn good(instances: &Instances) {
    let log = instances.log();
    let log = log.lock().unwrap();
    assert_eq!(log.frameworks.len(), 1, "{:?}", log.frameworks);
    assert_eq!(log.wrong, [""; 0]);
    drop(log);
    assert_eq!(instances.overlap(), None);
}

/// S184, S185: the other one goes on with the same framework and the same tasks. A status that nobody was there to take
/// is what it acknowledges first.
pub(crate) async fn leader_killed(cluster: &Cluster) {
    let folders = Folders::new();
    let mut instances = two(cluster, &folders).await;
    let mut fastest = f64::INFINITY;
    for _ in 0..3 {
        let (leads, before) = (leader(&instances), processes(&folders).await);
        let at = now();
        instances.kill(leads).await;
        let (instance, pids) = before.first_key_value().unwrap();
        kill(pids[0]);
        let term = taken_over(&instances, at).await;
        assert_ne!(term.who, leads);
        let took = term.acknowledged.unwrap() - at;
        assert!(took < (SESSION + MARGIN).as_secs_f64(), "{term:?}");
        fastest = fastest.min(took);
        instances.start(leads);
        instances.until("satisfaction", LIMIT, satisfied).await;
        let mut after = processes(&folders).await;
        assert_ne!(after.insert(instance.clone(), pids.clone()), Some(pids.clone()));
        assert_eq!(after, before, "nobody but the one that was killed has been replaced");
    }
    println!("from kill -9 to the first acknowledgement of the next leader: {fastest:.2} s, session {SESSION:?}");
    assert!(fastest < (SESSION + AIM).as_secs_f64(), "{fastest:.2} s");
    good(&instances);
}

/// A leader that stands still for so long that another one is elected does no harm when it goes on.
pub(crate) async fn leader_stopped_for_longer_than_its_session(cluster: &Cluster) {
    let folders = Folders::new();
    let mut instances = two(cluster, &folders).await;
    for _ in 0..2 {
        let (leads, before) = (leader(&instances), processes(&folders).await);
        let at = now();
        instances.stop(leads);
        let (instance, pids) = before.first_key_value().unwrap();
        kill(pids[0]);
        let term = taken_over(&instances, at).await;
        assert_ne!(term.who, leads);
        assert!(term.acknowledged.unwrap() - at < (SESSION + MARGIN).as_secs_f64(), "{term:?}");
        instances.go_on(leads);
        let over =
            |log: &Log| log.terms.iter().filter(|term| term.who == leads).all(|term| term.over.is_some()).then_some(());
        instances.until("the end of the former leader", LIMIT, over).await;
        instances.until("satisfaction", LIMIT, satisfied).await;
        sleep(Duration::from_secs(1)).await;
        let mut after = processes(&folders).await;
        after.insert(instance.clone(), pids.clone());
        assert_eq!(after, before, "nobody but the one that was killed has been replaced");
        assert_eq!(leader(&instances), term.who);
    }
    good(&instances);
}

/// SIGTERM: nobody waits for a session to end.
pub(crate) async fn handed_over_in_order(cluster: &Cluster) {
    let folders = Folders::new();
    let mut instances = two(cluster, &folders).await;
    let before = processes(&folders).await;
    for _ in 0..4 {
        let leads = leader(&instances);
        let at = now();
        instances.terminate(leads).await;
        let subscribed = |log: &Log| log.term_after(at).filter(|term| term.subscribed.is_some()).cloned();
        let term = instances.until("the next leader", LIMIT, subscribed).await;
        let took = [term.elected - at, term.subscribed.unwrap() - at];
        println!("elected {:.3} s after the signal, subscribed {:.3} s", took[0], took[1]);
        assert_ne!(term.who, leads);
        // As a session of that length can't have ended by itself.
        assert!(took[0] < SESSION.as_secs_f64() * 0.6, "{took:?}");
        instances.start(leads);
        instances.until("satisfaction", LIMIT, satisfied).await;
    }
    assert_eq!(processes(&folders).await, before);
    good(&instances);
}

fn framework(instances: &Instances) -> String {
    instances.log().lock().unwrap().frameworks.last().unwrap().clone()
}

/// Somebody wanted the tasks dead: each instance hears of it, and ends.
pub(crate) async fn removed_frameworks_are_not_made_anew(cluster: &Cluster) {
    let folders = Folders::new();
    let instances = two(cluster, &folders).await;
    cluster.tear_down(&framework(&instances)).await;
    instances.until("two ends", LIMIT, |log| (log.wrong.len() == 2).then_some(())).await;
    let log = instances.log();
    let log = log.lock().unwrap();
    assert!(log.wrong.iter().all(|wrong| wrong.contains("Fatal(Removed)")), "{:?}", log.wrong);
    assert_eq!((log.frameworks.len(), log.launched.len()), (1, 4));
}

/// By the leader; and the next one knows the new framework.
pub(crate) async fn removed_frameworks_are_made_anew_if_so_wanted(cluster: &Cluster) {
    let folders = Folders::new();
    let instances = Instances::new(env!("CARGO_BIN_EXE_instance"), cluster, &folders.roll, 2, (1, 6), None);
    let mut instances = running(instances.fresh()).await;
    let (leads, before) = (leader(&instances), processes(&folders).await);
    cluster.tear_down(&framework(&instances)).await;
    let anew = |log: &Log| (log.frameworks.len() == 2 && log.launched.len() == 8).then_some(());
    instances.until("another framework", LIMIT, anew).await;
    instances.until("satisfaction", LIMIT, satisfied).await;
    let after = processes(&folders).await;
    assert!(before.iter().all(|(instance, pids)| after[instance] != *pids));
    let at = now();
    instances.terminate(leads).await;
    instances.until("the next leader", LIMIT, |log| log.term_after(at).and_then(|term| term.subscribed)).await;
    instances.until("satisfaction", LIMIT, satisfied).await;
    assert_eq!(processes(&folders).await, after);
    assert_eq!(instances.log().lock().unwrap().frameworks.len(), 2);
}

/// S163: the store is empty afterwards, and the other one, which waited meanwhile, ends too: it would undo what somebody
/// wanted. One that is started later begins anew.
pub(crate) async fn uninstalled_by_its_leader(cluster: &Cluster) {
    let folders = Folders::new();
    let mut instances = two(cluster, &folders).await;
    let zk = Zk::new(instances.zookeeper().parse::<Settings>().unwrap()).unwrap();
    let leads = leader(&instances);
    assert!(mesos_zk::read(&zk).await.unwrap().len() > 5);
    instances.uninstall().await;
    let over = |log: &Log| (log.ends == 1 && log.terms.iter().all(|term| term.over.is_some())).then_some(());
    instances.until("two ends", LIMIT, over).await;
    assert_eq!(mesos_zk::read(&zk).await.unwrap().len(), 0);
    assert_eq!(stored_framework_id(&zk).await, Ok(None));
    assert_eq!(folders.roll.present().len(), 0);
    assert_eq!(cluster.tasks().await, []);
    assert_eq!(instances.log().lock().unwrap().terms.len(), 1, "nobody else has led");
    instances.start(1 - leads);
    instances.until("satisfaction", LIMIT, satisfied).await;
    assert_eq!(instances.log().lock().unwrap().frameworks.len(), 2);
}
