//! Offers: declined, suppressed, revived, misused.
#![allow(deprecated, reason = "older frameworks see the older fields")]

use std::time::Duration;

use conformance::mesos_core::scheduler::Framework;
use conformance::v1::framework_info::capability::Type as Capability;
use conformance::v1::{Filters, Offer, Resource, TaskState::*};
use conformance::{Cluster, Scheduler, offer_holds, task, without};
use tokio::time::Instant;

/// Several allocations.
const QUIET: Duration = Duration::from_millis(1500);

const fn filters(seconds: f64) -> Option<Filters> {
    Some(Filters { refuse_seconds: Some(seconds) })
}

/// S46: declined resources aren't offered again for as long as the filter says.
pub(crate) async fn declined_for_a_time(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    for (seconds, at_least, at_most) in [(0.0, 0.0, 5.0), (1.0, 1.0, 6.0), (2.5, 2.5, 7.5)] {
        let offer = scheduler.offer().await;
        let before = scheduler.seen.offerings;
        let began = Instant::now();
        scheduler.accepted(|calls| calls.decline([&offer.id.value], filters(seconds))).await;
        scheduler.until("offers", |seen| (seen.offerings > before).then_some(())).await;
        let waited = began.elapsed().as_secs_f64();
        assert!((at_least..at_most).contains(&waited), "declined for {seconds} s, offered after {waited} s");
    }
}

/// S48, S106: REVIVE lifts all filters.
pub(crate) async fn declined_for_long_and_revived(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    scheduler.accepted(|calls| calls.decline([&offer.id.value], filters(3600.0))).await;
    scheduler.stay(QUIET).await;
    assert_eq!(scheduler.seen.offering(), ["offers"]);
    scheduler.accepted(|calls| calls.revive::<&str>([])).await;
    let again = scheduler.offer().await;
    assert_eq!(again.agent_id, offer.agent_id);
    assert_ne!(again.id, offer.id, "an offer id is never used twice");
    assert_eq!(again.resources.len(), offer.resources.len());
}

/// A filter hides what was declined, not more than that: when a task ends, the offer is bigger.
pub(crate) async fn declined_but_then_there_is_more(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.run("t", "sleep 1000").await;
    let rest = scheduler.offer().await;
    assert!((offer_holds(&offer, "cpus") - offer_holds(&rest, "cpus") - 0.1).abs() < 1e-6, "{rest:?}");
    scheduler.accepted(|calls| calls.decline([&rest.id.value], filters(3600.0))).await;
    scheduler.stay(QUIET).await;
    assert!(scheduler.seen.offers.is_empty());
    scheduler.call(|calls| calls.kill("t", None, None));
    scheduler.state("t", TaskKilled).await;
    let all = scheduler.offer().await;
    assert!((offer_holds(&offer, "cpus") - offer_holds(&all, "cpus")).abs() < 1e-6, "{all:?}");
}

/// S55, S106: SUPPRESS ends offers until REVIVE, and a new subscription keeps to it.
pub(crate) async fn suppressed_and_revived(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    scheduler.accepted(|calls| calls.suppress::<&str>([])).await;
    scheduler.accepted(|calls| calls.decline([&offer.id.value], filters(0.0))).await;
    scheduler.stay(QUIET).await;
    assert_eq!(scheduler.seen.offering(), ["offers"]);
    scheduler.accepted(|calls| calls.revive(["*"])).await;
    scheduler.offer().await;

    let config = cluster.config(Framework::new("conformance")).framework_id(scheduler.id()).unwrap();
    let mut silent = Scheduler::subscribed(cluster, config.suppressed_roles(["*"]).unwrap()).await;
    silent.stay(QUIET).await;
    assert_eq!(silent.seen.offering(), [""; 0]);
    silent.accepted(|calls| calls.revive::<&str>([])).await;
    silent.offer().await;
}

/// What one framework has in hand the other isn't offered; what it lets go goes to the other.
pub(crate) async fn shared_by_two_frameworks(cluster: &Cluster) {
    let mut first = Scheduler::start(cluster).await;
    let held = first.offer().await;
    let mut second = Scheduler::start(cluster).await;
    second.stay(QUIET).await;
    assert_eq!(second.seen.offering(), [""; 0]);
    first.accepted(|calls| calls.decline([&held.id.value], filters(3600.0))).await;
    let offer = second.offer().await;
    assert_eq!(offer.agent_id, held.agent_id);
    // One that leaves for good gives back all that it had.
    first.accepted(|calls| calls.revive::<&str>([])).await;
    second.with(|client| client.teardown());
    assert_eq!(second.end().await, "removed");
    assert_eq!(first.offer().await.agent_id, held.agent_id);
}

/// S104: an ACCEPT is dropped as a whole for a bad offer; a bad task only spoils itself.
pub(crate) async fn misused(cluster: &Cluster) {
    let mut scheduler = Scheduler::start(cluster).await;
    let offer = scheduler.offer().await;
    scheduler.launch_on([offer.id.value.clone(), "no-such-offer".into()], [task(&offer, "dropped", "exit 0")]);
    scheduler.state("dropped", TaskDropped).await;
    assert_eq!(scheduler.seen.task("dropped"), ["DROPPED MASTER INVALID_OFFERS no uuid on a1"]);

    let offer = scheduler.run("live", "sleep 1000").await;
    let used = offer.id.value.clone();
    scheduler.launch_on([used], [task(&offer, "twice", "exit 0")]);
    scheduler.state("twice", TaskDropped).await;
    assert_eq!(scheduler.seen.task("twice"), ["DROPPED MASTER INVALID_OFFERS no uuid on a1"]);

    let offer = scheduler.offer().await;
    let mut greedy = task(&offer, "greedy", "exit 0");
    greedy.resources[0].scalar.as_mut().unwrap().value = 1000.0;
    let mut empty = task(&offer, "empty", "exit 0");
    empty.resources.clear();
    let mut idle = task(&offer, "idle", "exit 0");
    idle.command = None;
    let tasks = [greedy, task(&offer, "live", "exit 0"), empty, idle, task(&offer, "good", "exit 0")];
    scheduler.launch(&offer, tasks);
    scheduler.state("good", TaskFinished).await;
    for bad in ["greedy", "empty", "idle"] {
        assert_eq!(scheduler.seen.task(bad), ["ERROR MASTER TASK_INVALID no uuid on a1"], "{bad}");
    }
    // The ERROR carries the id of a task that lives.
    let seen = ["STARTING EXECUTOR u1 on a1", "RUNNING EXECUTOR u2 on a1", "ERROR MASTER TASK_INVALID no uuid on a1"];
    assert_eq!(scheduler.seen.task("live"), seen);
    scheduler.ask_until("live", None, TaskRunning).await;
}

fn resource(resource: &Resource) -> String {
    let Resource { name, scalar, ranges, set, role, reservations, allocation_info, .. } = resource;
    let value = match (scalar, ranges, set) {
        (Some(scalar), None, None) => scalar.value.to_string(),
        (None, Some(ranges), None) => {
            ranges.range.iter().map(|range| format!("[{}-{}]", range.begin, range.end)).collect()
        }
        other => format!("{other:?}"),
    };
    let reserved: String = reservations.iter().map(|r| format!(" {}:{}", r.r#type().as_str_name(), r.role())).collect();
    let allocated = allocation_info.as_ref().map_or("nobody", |info| info.role());
    let role = role.as_ref().map(|role| format!(" role {role}")).unwrap_or_default();
    let kind = resource.r#type().as_str_name();
    format!("{name} {kind} {value} for {allocated}{role}{reserved}")
}

fn resources(offer: &Offer) -> Vec<String> {
    let mut lines: Vec<String> = offer.resources.iter().map(resource).collect();
    lines.sort();
    lines
}

/// All that is in an offer.
pub(crate) async fn as_they_are(cluster: &Cluster) {
    let roles = Framework::new("conformance").roles(["*", "web"]);
    let mut scheduler = Scheduler::subscribed(cluster, cluster.config(roles)).await;
    scheduler.until("an offer for each role", |seen| (seen.offers.len() == 2).then_some(())).await;
    let mut offers = scheduler.seen.offers.clone();
    offers.sort_by_key(|offer| offer.allocation_info.as_ref().map(|info| info.role().to_owned()));
    let [all, web] = <[Offer; 2]>::try_from(offers).unwrap();
    let unreserved = [
        "cpus SCALAR 2 for *",
        "disk SCALAR 100 for *",
        "mem SCALAR 512 for *",
        "ports RANGES [31000-31009][31020-31029] for *",
    ];
    assert_eq!(resources(&all), unreserved);
    assert_eq!(resources(&web), ["cpus SCALAR 1 for web STATIC:web", "mem SCALAR 64 for web STATIC:web"]);
    for offer in [&all, &web] {
        assert_eq!(offer.framework_id.value, scheduler.id());
        assert_eq!(offer.hostname, "127.0.0.1");
        let attributes: Vec<_> = offer
            .attributes
            .iter()
            .map(|a| (a.name.as_str(), a.r#type().as_str_name(), a.text.as_ref().unwrap().value.as_str()))
            .collect();
        assert_eq!(attributes, [("rack", "TEXT", "a"), ("zone", "TEXT", "eu-1")]);
        let url = offer.url.as_ref().unwrap();
        assert_eq!((url.scheme.as_str(), url.path()), ("http", "/slave(1)"));
        assert_eq!((url.address.hostname(), url.address.ip()), ("127.0.0.1", "127.0.0.1"));
        assert!(url.query.is_empty() && url.fragment.is_none());
        assert_eq!(offer.executor_ids, []);
        assert_eq!(offer.unavailability, None);
        assert_eq!(offer.domain, None);
    }
}

/// What frameworks see that lack a capability: the older fields.
pub(crate) async fn as_older_frameworks_see_them(cluster: &Cluster) {
    let single = without(Capability::MultiRole);
    let mut scheduler = Scheduler::subscribed(cluster, cluster.config(single)).await;
    let offer = scheduler.offer().await;
    assert_eq!(offer.allocation_info, None);
    assert_eq!(resources(&offer)[0], "cpus SCALAR 2 for nobody");
    scheduler.launch(&offer, [task(&offer, "t", "exit 0")]);
    scheduler.state("t", TaskFinished).await;
    scheduler.with(|client| client.teardown());
    assert_eq!(scheduler.end().await, "removed");

    let mut unrefined = without(Capability::ReservationRefinement);
    unrefined.roles = vec!["web".into()];
    let mut scheduler = Scheduler::subscribed(cluster, cluster.config(unrefined)).await;
    let offer = scheduler.offer().await;
    let lines = resources(&offer);
    assert_eq!(lines[..2], ["cpus SCALAR 1 for web role web", "cpus SCALAR 2 for web role *"]);
}

/// A new SUBSCRIBE over an open stream keeps the old filters; REVIVE lifts them.
pub(crate) async fn filters_outlive_a_failover(cluster: &Cluster) {
    let mut first = Scheduler::start(cluster).await;
    let offer = first.offer().await;
    first.accepted(|calls| calls.decline([&offer.id.value], filters(3600.0))).await;
    let config = cluster.config(Framework::new("conformance")).framework_id(first.id()).unwrap();
    let mut second = Scheduler::subscribed(cluster, config).await;
    second.stay(QUIET).await;
    assert_eq!(second.seen.offering(), [""; 0]);
    second.accepted(|calls| calls.revive::<&str>([])).await;
    second.offer().await;
}

/// UPDATE_FRAMEWORK: a role that goes takes its offers along, a new one gets some.
pub(crate) async fn follow_the_roles(cluster: &Cluster) {
    let old = Framework::new("conformance").roles(["a"]);
    let mut scheduler = Scheduler::subscribed(cluster, cluster.config(old)).await;
    let first = scheduler.until("an offer", |seen| seen.offers.first().cloned()).await;
    assert_eq!(first.allocation_info.unwrap().role(), "a");
    let new = Framework::new("conformance").roles(["b"]).info().clone();
    scheduler.accepted(|calls| calls.update_framework(new, [""; 0], None)).await;
    let role = |offer: &Offer| offer.allocation_info.as_ref().map(|info| info.role().to_owned());
    scheduler
        .until("an offer for b", |seen| seen.offers.iter().any(|o| role(o).as_deref() == Some("b")).then_some(()))
        .await;
    assert_eq!(scheduler.seen.offering()[..3], ["offers", "rescind", "offers"]);
    assert_eq!(scheduler.seen.offers.len(), 1);
}
