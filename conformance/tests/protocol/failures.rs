//! Masters and agents that die, and come back.

use conformance::mesos_core::scheduler::Framework;
use conformance::v1::TaskState::*;
use conformance::v1::framework_info::capability::Type as Capability;
use conformance::{Cluster, Gate, Scheduler, task, without};

/// S151: the only master is killed and started again. The framework comes back by itself, under its id; the task has
/// never noticed.
pub(crate) async fn master_killed_and_back(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "sleep 1000").await;
    let id = scheduler.id();
    cluster.kill_master(0).await;
    scheduler.until("the loss", |seen| seen.session().contains(&"lost: broken").then_some(())).await;
    cluster.restart_master(0).await;
    scheduler.until("SUBSCRIBED", |seen| (seen.subscriptions.len() > 1).then_some(())).await;
    assert_eq!(scheduler.id(), id);
    let session = ["stream", "subscribed", "heartbeat", "lost: broken", "stream", "subscribed again"];
    assert_eq!(scheduler.seen.session()[..6], session);
    let masters = scheduler.seen.subscriptions.iter().map(|s| s.master_info.as_ref().unwrap().id.clone());
    let masters: Vec<String> = masters.collect();
    assert_ne!(masters[0], masters[1], "a new life");

    scheduler.ask_until("t", None, TaskRunning).await;
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    let lines = scheduler.seen.task("t");
    assert_eq!(lines[..2], ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1"]);
    assert_eq!(
        lines[2],
        "RUNNING MASTER RECONCILIATION no uuid on a1 in a container: Reconciliation: Latest task state"
    );
    assert_eq!(lines[lines.len() - 2..], ["KILLING EXECUTOR u3 on a1", "KILLED EXECUTOR u4 on a1"]);
    assert_eq!(scheduler.seen.losses(), [""; 0]);
    scheduler.run("new", "exit 0").await;
    scheduler.state("new", TaskFinished).await;
}

/// S142, S148: of three masters the leading one is killed; another takes over; the first one comes back as a follower.
pub(crate) async fn leader_killed(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let id = scheduler.id();
    scheduler.run("t", "sleep 1000").await;
    let leader = cluster.leader().await;
    let address = format!("http://{}", cluster.masters()[leader]);
    assert_eq!(scheduler.seen.subscriptions[0].master.to_string(), address);
    cluster.kill_master(leader).await;
    scheduler.until("another leader", |seen| (seen.subscriptions.len() > 1).then_some(())).await;
    assert_eq!(scheduler.id(), id);
    assert_ne!(scheduler.seen.subscriptions[1].master.to_string(), address);
    scheduler.ask_until("t", None, TaskRunning).await;
    cluster.restart_master(leader).await;
    scheduler.run("new", "exit 0").await;
    scheduler.state("new", TaskFinished).await;
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    assert_eq!(scheduler.seen.subscriptions.len(), 2, "once");
    assert_eq!(scheduler.seen.losses(), [""; 0]);
}

/// An agent is killed and started again: offers are rescinded, and that is all that is said; tasks with checkpoints
/// live on.
pub(crate) async fn agent_killed_and_back(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    scheduler.until("an offer in hand", |seen| seen.offers.first().map(drop)).await;
    cluster.kill_agent(0).await;
    scheduler.until("RESCIND", |seen| (seen.offering().last() == Some(&"rescind")).then_some(())).await;
    // For the master it still runs.
    scheduler.ask("t", None);
    scheduler.lines("t", 3).await;
    cluster.restart_agent(0).await;
    let again = scheduler.offer().await;
    assert_eq!(again.agent_id, offer.agent_id, "it is the same agent");
    let lines = [
        "STARTING EXECUTOR u1 on a1",
        "RUNNING EXECUTOR u2 on a1",
        "RUNNING MASTER RECONCILIATION no uuid on a1 in a container: Reconciliation: Latest task state",
    ];
    assert_eq!(scheduler.seen.task("t"), lines, "its return is no news");
    assert_eq!(scheduler.seen.losses(), [""; 0]);
    scheduler.call(|calls| calls.kill("t", Some(&offer.agent_id.value), None));
    scheduler.state("t", TaskKilled).await;
    assert_eq!(scheduler.seen.task("t")[3..], ["KILLING EXECUTOR u3 on a1", "KILLED EXECUTOR u4 on a1"]);
}

/// An agent stops answering: its tasks are unreachable until it goes on.
pub(crate) async fn agent_stopped_and_continued(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    scheduler.until("an offer in hand", |seen| seen.offers.first().map(drop)).await;
    cluster.stop_agent(0).await;
    scheduler.state("t", TaskUnreachable).await;
    scheduler.until("FAILURE", |seen| (!seen.losses().is_empty()).then_some(())).await;
    assert_eq!(scheduler.seen.losses(), ["agent lost on a1"]);
    scheduler.ask("t", Some(&offer.agent_id.value));
    scheduler.lines("t", 4).await;
    // Who doesn't name the agent hears that nobody knows the task: the master has forgotten all but the agent.
    scheduler.ask("t", None);
    scheduler.lines("t", 5).await;
    // KILL is answered like a question, and not kept for the agent's return.
    scheduler.call(|calls| calls.kill("t", Some(&offer.agent_id.value), None));
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.lines("t", 7).await;
    cluster.continue_agent(0).await;
    scheduler.lines("t", 8).await;
    let lines = [
        "STARTING EXECUTOR u1 on a1",
        "RUNNING EXECUTOR u2 on a1",
        "UNREACHABLE MASTER AGENT_REMOVED no uuid on a1 since: health check timed out",
        "UNREACHABLE MASTER RECONCILIATION no uuid on a1 since: Reconciliation: Task is unreachable",
        "UNKNOWN MASTER RECONCILIATION no uuid nowhere: Reconciliation: Task is unknown",
        "UNREACHABLE MASTER RECONCILIATION no uuid on a1 since: Reconciliation: Task is unreachable",
        "UNKNOWN MASTER RECONCILIATION no uuid nowhere: Reconciliation: Task is unknown",
        "RUNNING MASTER AGENT_REREGISTERED no uuid on a1 in a container: Unreachable agent re-reregistered",
    ];
    assert_eq!(scheduler.seen.task("t"), lines);
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    assert_eq!(scheduler.seen.task("t")[8..], ["KILLING EXECUTOR u3 on a1", "KILLED EXECUTOR u4 on a1"]);
    assert!(scheduler.seen.offering().contains(&"rescind"));
    assert_eq!(scheduler.offer().await.agent_id, offer.agent_id);
}

/// A launch for an agent that has just stopped waits there, and is done when the agent goes on.
pub(crate) async fn launched_on_a_stopped_agent(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    cluster.stop_agent(0).await;
    scheduler.launch(&offer, [task(&offer, "t", "exit 0")]);
    scheduler.state("t", TaskUnreachable).await;
    cluster.continue_agent(0).await;
    scheduler.ask_until("t", Some(&offer.agent_id.value), TaskGone).await;
    let mut seen = scheduler.seen.task("t");
    seen.retain(|line| !line.contains("RECONCILIATION"));
    assert_eq!(seen.remove(0), "UNREACHABLE MASTER AGENT_REMOVED no uuid on a1 since: health check timed out");
    // The launch waits in the agent's socket, but if the master closes that first, it is lost.
    if seen.is_empty() {
        return;
    }
    // How far it is when its agent is back is chance; what it says until then comes twice.
    let back = seen.remove(0);
    assert!(
        back.ends_with("Unreachable agent re-reregistered") && back.contains(" MASTER AGENT_REREGISTERED "),
        "{back}"
    );
    let state = back.split(' ').next().unwrap_or_default();
    assert!(["STAGING", "STARTING", "RUNNING", "FINISHED"].contains(&state), "{back}");
    seen.dedup();
    assert_eq!(seen, ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1", "FINISHED EXECUTOR u3 on a1"]);
}

/// A task ends while its agent is stopped: the master says so first, then the agent, twice.
pub(crate) async fn ended_on_a_stopped_agent(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let gate = Gate::new();
    let offer = scheduler.run("t", &format!("{}; exit 0", gate.passed())).await;
    cluster.stop_agent(0).await;
    gate.open();
    scheduler.state("t", TaskUnreachable).await;
    cluster.continue_agent(0).await;
    scheduler.state("t", TaskFinished).await;
    scheduler.ask_until("t", Some(&offer.agent_id.value), TaskGone).await;
    let lines = scheduler.seen.task("t");
    assert_eq!(lines[2], "UNREACHABLE MASTER AGENT_REMOVED no uuid on a1 since: health check timed out");
    assert!(lines.contains(&"FINISHED EXECUTOR u3 on a1"), "{lines:?}");
    // Whether the executor got through to the agent before the agent was back at the master is chance.
    let back = lines[3]
        .strip_suffix(" MASTER AGENT_REREGISTERED no uuid on a1 in a container: Unreachable agent re-reregistered");
    assert!(matches!(back, Some("RUNNING" | "FINISHED")), "{lines:?}");
}

/// KILL for an agent that has just stopped is done when it goes on, and told twice: by the master, by the executor.
pub(crate) async fn killed_on_a_stopped_agent(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    cluster.stop_agent(0).await;
    scheduler.accepted(|calls| calls.kill("t", None, None)).await;
    scheduler.ask("t", None);
    scheduler.state("t", TaskUnreachable).await;
    assert_eq!(
        scheduler.seen.task("t")[2],
        "RUNNING MASTER RECONCILIATION no uuid on a1 in a container: Reconciliation: Latest task state"
    );
    cluster.continue_agent(0).await;
    let killed = |seen: &conformance::Seen| seen.task("t").contains(&"KILLED EXECUTOR u4 on a1");
    // The KILL waits in the agent's socket, but if the master closes that first, it is lost, and has to be repeated.
    let back = |seen: &conformance::Seen| seen.task("t").iter().any(|line| line.contains("AGENT_REREGISTERED"));
    scheduler.until("back", |seen| (killed(seen) || back(seen)).then_some(())).await;
    if scheduler.seen.task("t").iter().any(|line| line.starts_with("RUNNING MASTER AGENT_REREGISTERED")) {
        scheduler.accepted(|calls| calls.kill("t", None, None)).await;
    }
    scheduler.until("KILLED", |seen| killed(seen).then_some(())).await;
    scheduler.ask_until("t", Some(&offer.agent_id.value), TaskGone).await;
}

/// A framework that isn't aware of partitions hears LOST.
pub(crate) async fn agent_stopped_unaware(cluster: &Cluster) {
    let config = cluster.config(without(Capability::PartitionAware));
    let mut scheduler = Scheduler::subscribed(cluster, config).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    let agent = offer.agent_id.value.as_str();
    scheduler.accepted(|calls| calls.reconcile([("ghost", Some(agent)), ("nobody", None)])).await;
    scheduler.state("nobody", TaskLost).await;
    let text = "LOST MASTER RECONCILIATION no uuid on a1: Reconciliation: Task is unknown to the agent";
    assert_eq!(scheduler.lines("ghost", 1).await, [text]);
    cluster.stop_agent(0).await;
    scheduler.state("t", TaskLost).await;
    scheduler.ask("t", Some(agent));
    scheduler.lines("t", 4).await;
    cluster.continue_agent(0).await;
    scheduler.lines("t", 5).await;
    let lines = [
        "STARTING EXECUTOR u1 on a1",
        "RUNNING EXECUTOR u2 on a1",
        "LOST MASTER AGENT_REMOVED no uuid on a1 since: health check timed out",
        "LOST MASTER RECONCILIATION no uuid on a1 since: Reconciliation: Task is unreachable",
        "RUNNING MASTER AGENT_REREGISTERED no uuid on a1 in a container: Unreachable agent re-reregistered",
    ];
    assert_eq!(scheduler.seen.task("t"), lines);
}

/// Without checkpoints an agent takes its tasks along.
pub(crate) async fn agent_killed_without_checkpoints(cluster: &Cluster) {
    let framework = Framework::new("conformance").checkpoint(false);
    let mut scheduler = Scheduler::subscribed(cluster, cluster.config(framework)).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    cluster.kill_agent(0).await;
    scheduler.state("t", TaskLost).await;
    cluster.restart_agent(0).await;
    scheduler.offer().await;
    scheduler.ask_until("t", Some(&offer.agent_id.value), TaskGone).await;
    let lines = [
        "STARTING EXECUTOR u1 on a1",
        "RUNNING EXECUTOR u2 on a1",
        "LOST MASTER AGENT_DISCONNECTED no uuid on a1: Agent 127.0.0.1 disconnected",
    ];
    assert_eq!(scheduler.seen.task("t")[..3], lines);
    assert_eq!(scheduler.seen.losses(), [""; 0]);
}

/// KILL while the agent is away is done when it is back.
pub(crate) async fn killed_while_the_agent_is_away(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    scheduler.run("t", "sleep 1000").await;
    scheduler.until("an offer in hand", |seen| seen.offers.first().map(drop)).await;
    cluster.kill_agent(0).await;
    scheduler.until("RESCIND", |seen| (seen.offering().last() == Some(&"rescind")).then_some(())).await;
    scheduler.accepted(|calls| calls.kill("t", None, None)).await;
    cluster.restart_agent(0).await;
    scheduler.state("t", TaskKilled).await;
    let lines = [
        "STARTING EXECUTOR u1 on a1",
        "RUNNING EXECUTOR u2 on a1",
        "KILLING EXECUTOR u3 on a1",
        "KILLED EXECUTOR u4 on a1",
    ];
    assert_eq!(scheduler.seen.task("t"), lines);
}
