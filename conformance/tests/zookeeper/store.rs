//! The store: what it promises, with servers that come and go.

use std::time::Duration;

use conformance::ZooKeeper;
use mesos_zk::mesos_core::engine::{Adoptee, Config, Engine, Event, TaskSpec, adopt};
use mesos_zk::mesos_core::scheduler::{self, Framework};
use mesos_zk::mesos_core::{
    Input, Instant, Key, Machine as _, MemoryStore, Output, Persist, Resources, Store as _, StoreFailure, StoreOp,
    Ticket, UnixTime,
};
use mesos_zk::{Original, Records, TakeOverError, Zk, ZkError, ZkStore, read_original, stored_framework_id};
use tokio::time::Instant as Clock;
use tokio::time::sleep;
use zookeeper_client::{Acls, CreateMode};

use crate::{LONG, TIMEOUT, settings, zk};

pub(crate) fn put(name: &str, value: impl Into<Vec<u8>>) -> StoreOp {
    StoreOp::Put { key: Key::parse(name).unwrap(), value: value.into().into() }
}

fn delete(name: &str) -> StoreOp {
    StoreOp::Delete { key: Key::parse(name).unwrap() }
}

pub(crate) fn batch(number: u64, ops: impl Into<Vec<StoreOp>>) -> Persist {
    Persist::new(Ticket::new(number), ops.into())
}

fn text(records: &Records) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    records.iter().map(|(key, value)| (key.to_string(), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

// S169, S170, S177, S178
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn what_is_written_is_there_the_next_time() {
    let servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/a/b/c");
    let (mut store, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), []);
    store.apply(&batch(1, [put("x", "1"), put("inst/web/0/3", "2"), delete("nothing")])).await.unwrap();
    store.apply(&batch(2, [put("x", "3"), put("y", ""), delete("nothing")])).await.unwrap();
    store.apply(&batch(3, [delete("y"), put("a%2Fb/,", "4")])).await.unwrap();
    let expected = pairs(&[("a%2Fb/,", "4"), ("inst/web/0/3", "2"), ("x", "3")]);
    let (mut second, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), expected);
    // S184: the one before is out, and nothing of its batch is applied.
    for _ in 0..2 {
        let failure = store.apply(&batch(4, [put("x", "5"), put("z", "6")])).await.unwrap_err();
        assert!(matches!(failure, StoreFailure::Fenced(_)), "{failure}");
    }
    second.apply(&batch(1, [delete("inst/web/0/3")])).await.unwrap();
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), pairs(&[("a%2Fb/,", "4"), ("x", "3")]));
}

// S181, W46: nobody is there at the start; the error comes in time and says so, and later it works.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn down_at_the_start() {
    let mut servers = ZooKeeper::make(1);
    let zk = zk(&servers, "/framework");
    let begin = Clock::now();
    let error = ZkStore::open(&zk).await.unwrap_err();
    assert!(matches!(error, ZkError::Unavailable(_)), "{error}");
    assert!(begin.elapsed() < TIMEOUT * 2, "{:?}", begin.elapsed());
    servers.launch(0);
    servers.wait();
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("a", "1")])).await.unwrap();
}

/// S181: sizes up to the limit work, at the longest path there may be; beyond, they are refused and named.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn sizes() {
    const LIMIT: usize = 900 * 1024;
    let servers = ZooKeeper::start(1);
    let settings = settings(&servers, &format!("/{}", "x".repeat(127))).session_timeout(LONG);
    let settings = settings.credentials("web", "secret").unwrap();
    let zk = Zk::new(settings).unwrap();
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("a", vec![b'x'; LIMIT - 1])])).await.unwrap();
    let many: Vec<_> = (0..512).map(|i| put(&format!("{i:0>100}"), vec![b'y'; LIMIT / 512 - 100])).collect();
    store.apply(&batch(2, many)).await.unwrap();
    for ops in
        [vec![put("a", vec![b'x'; LIMIT])], vec![put("b", vec![b'x'; LIMIT / 2]), put("c", vec![b'x'; LIMIT / 2])]]
    {
        let failure = store.apply(&batch(3, ops)).await.unwrap_err();
        assert!(matches!(failure, StoreFailure::Refused { .. }), "{failure}");
    }
    store.apply(&batch(3, [delete("a")])).await.unwrap();
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(records.len(), 512);
}

/// Nodes of somebody else: the error names the node, and no secret.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn permission_refused() {
    let servers = ZooKeeper::start(1);
    let as_user = |user: &str| Zk::new(settings(&servers, "/own").credentials(user, "SeCrEt").unwrap()).unwrap();
    let owner = as_user("web");
    let (mut store, _) = ZkStore::open(&owner).await.unwrap();
    store.apply(&batch(1, [put("a", "1")])).await.unwrap();
    for other in [as_user("other"), zk(&servers, "/own")] {
        let error = ZkStore::open(&other).await.unwrap_err();
        assert!(matches!(&error, ZkError::NoPermission { path } if path.starts_with("/own")), "{error}");
        let shown = format!("{error} {error:?} {other:?} {store:?}");
        assert!(!shown.contains("SeCrEt"), "{shown}");
    }
    let (_, records) = ZkStore::open(&owner).await.unwrap();
    assert_eq!(records.len(), 1);
}

/// What npm's mesos-framework has left at `/dcos-service-web`: its framework's id, and records of tasks.
async fn original(servers: &ZooKeeper, records: &[(&str, &str)]) {
    let client = zookeeper_client::Client::connect(&servers.url("").replace("zk://", "")).await.unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.mkdir("/dcos-service-web/tasks", &options).await.unwrap();
    client.create("/dcos-service-web/framework-id", b"f-7", &options).await.unwrap();
    for (id, record) in records {
        client.create(&format!("/dcos-service-web/tasks/{id}"), record.as_bytes(), &options).await.unwrap();
    }
}

/// Of a task that runs.
fn record(name: &str) -> String {
    format!(
        r#"{{"name":"{name}","runtimeInfo":{{"agentId":"a-1","state":"TASK_RUNNING","network":{{"ports":[31005]}}}}}}"#
    )
}

// S5, S168, S170, S174, S175, S182: what npm's mesos-framework has left is taken over once, into a store at the same path,
// and stays where it is. Records that are of no use don't hold up the others.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn the_original_s_framework_is_taken_over() {
    let servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/dcos-service-web");
    let specs = [TaskSpec::new("web").command("run").resources(Resources::new().cpus(0.1).mem(32.0)).instances(3)];
    let config = Config::new(scheduler::Config::new(Framework::new("web"), ["10.0.0.1"]).unwrap());
    let nothing = read_original(&zk).await.unwrap();
    assert_eq!(nothing, Original::default());
    let mut memory = MemoryStore::new();
    let failure = nothing.take_over(&mut memory, &Records::new(), &config, &specs).await.unwrap_err();
    assert_eq!(failure, TakeOverError::Nothing);

    let (first, third, old) = (record("web-1"), record("web-3"), record("old-1"));
    let never = r#"{"name":"web-2","commandInfo":{}}"#;
    original(
        &servers,
        &[
            ("web.web-1.0b3c", &first),
            ("web.web-2.1", ""),
            ("web.web-2.2", "{"),
            ("web.web-2.3", never),
            ("x", &third),
            ("y", &old),
        ],
    )
    .await;
    let original = read_original(&zk).await.unwrap();
    assert_eq!(original.framework_id.as_deref(), Some("f-7"));
    let ids: Vec<&str> = original.tasks.iter().map(|task| &*task.task_id).collect();
    assert_eq!(ids, ["web.web-1.0b3c", "x", "y"]);
    let unusable: Vec<&str> = original.unusable.iter().map(|(id, _)| &**id).collect();
    assert_eq!(unusable, ["web.web-2.1", "web.web-2.2", "web.web-2.3"]);

    // As an attempt that was cut off would have left it.
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("inst/web/1/1", "stale"), put("inst/web/0/1", "torn")])).await.unwrap();
    let (mut store, records) = ZkStore::open(&zk).await.unwrap();
    let adoption = original.take_over(&mut store, &records, &config, &specs).await.unwrap();
    let left: Vec<&str> = adoption.left.iter().map(|(task, _)| &*task.task_id).collect();
    assert_eq!(left, ["y"]);
    let (mut store, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(records, adoption.records);
    let keys: Vec<&str> = records.keys().map(Key::as_str).collect();
    assert_eq!(keys, ["framework", "inst/web/0/1", "inst/web/2/1"]);
    let again = original.take_over(&mut store, &records, &config, &specs).await.unwrap_err();
    assert_eq!(again, TakeOverError::Done);
    // The engine takes it, and the original is where it was.
    let engine = Engine::new(config, specs, records, 1).unwrap();
    drop(engine);
    assert_eq!(read_original(&zk).await.unwrap(), original);
    assert_eq!(stored_framework_id(&zk).await.unwrap().as_deref(), Some("f-7"));
}

// S182, W47: records that nobody can read are told, kept as they are, and don't stop the others.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn what_nobody_can_read_stays() {
    let servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/web");
    let specs = [TaskSpec::new("web").command("run").resources(Resources::new().cpus(0.1).mem(32.0)).instances(3)];
    let config = Config::new(scheduler::Config::new(Framework::new("web"), ["10.0.0.1"]).unwrap());
    let task = Adoptee { spec: "web".into(), task_id: "t".into(), agent_id: "a".into(), ..Adoptee::default() };
    let good = adopt(&config, &specs, "f-7", [task], UnixTime::default()).unwrap().records;
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    let ops: Vec<StoreOp> = good.into_iter().map(|(key, value)| StoreOp::Put { key, value }).collect();
    store.apply(&batch(1, ops)).await.unwrap();
    let bad: [(&str, &[u8]); 6] = [
        ("inst,web,1,1", b""),
        ("inst,web,2,1", b"\xff\0{"),
        ("inst,web,x,1", b"{}"),
        ("slot,web,2", br#"{"stamp":{"format":1}}"#),
        ("spec,other", b"null"),
        ("no key % of ours", b"what?"),
    ];
    let client = zookeeper_client::Client::connect(&servers.url("").replace("zk://", "")).await.unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for (name, data) in bad {
        client.create(&format!("/web/records/{name}"), data, &options).await.unwrap();
    }
    let (mut store, records) = ZkStore::open(&zk).await.unwrap();
    let mut engine = Engine::new(config, specs, records, 1).unwrap();
    let now = Instant::from_origin(Duration::from_secs(1));
    engine.handle_input(now, Input::Timeout);
    let (mut told, mut subscribes) = (Vec::new(), 0);
    loop {
        match engine.poll_output() {
            Output::Persist(batch) => {
                store.apply(&batch).await.unwrap();
                engine.handle_input(now, Input::Persisted { ticket: batch.ticket() });
            }
            Output::Event(Event::RecordQuarantined(record)) => told.push(record.key.to_string()),
            Output::Request(_) => subscribes += 1,
            Output::Event(_) | Output::Abort(_) => {}
            Output::Timeout(_) => break,
        }
    }
    told.sort();
    assert_eq!(
        told,
        ["inst/web/1/1", "inst/web/2/1", "inst/web/x/1", "no%20key%20%25%20of%20ours", "slot/web/2", "spec/other"]
    );
    assert_eq!((subscribes, engine.tasks().count()), (1, 1));
    for (name, data) in bad {
        assert_eq!(client.get_data(&format!("/web/records/{name}")).await.unwrap().0, data, "{name}");
    }
}

// S167: as text, for people; and it goes with the record.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn the_framework_id_is_also_plain_text() {
    let servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/framework");
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    let record = |id: &str| format!(r#"{{"stamp":{{"format":1,"incarnation":1}},"id":"{id}"}}"#);
    for (number, id) in [(1, "f-1"), (2, "f-1"), (3, "f-2")] {
        store.apply(&batch(number, [put("framework", record(id))])).await.unwrap();
        assert_eq!(stored_framework_id(&zk).await.unwrap().as_deref(), Some(id));
    }
    store.apply(&batch(4, [delete("framework")])).await.unwrap();
    assert_eq!(stored_framework_id(&zk).await.unwrap(), None);
}

#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn a_session_that_is_gone_is_replaced_and_the_store_stays_ours() {
    let mut servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/framework");
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    for number in 1..4 {
        servers.kill(0);
        let write = batch(number, [put(&number.to_string(), "x"), put("last", number.to_string())]);
        assert!(store.apply(&write).await.is_err());
        // Longer than the client hopes for: 7/5 of the timeout, from when it last heard of a server.
        sleep(TIMEOUT).await;
        servers.launch(0);
        persist(&mut store, &write).await;
    }
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), pairs(&[("1", "x"), ("2", "x"), ("3", "x"), ("last", "3")]));
}

// W46, W49, S181, S183: the server is killed and stays away for longer than the session lives.
#[tokio::test]
#[ignore = "needs ZooKeeper: cargo xtask test --only real-setup --only zookeeper"]
async fn an_outage_in_the_middle() {
    let mut servers = ZooKeeper::start(1);
    let zk = zk(&servers, "/framework");
    let (mut store, _) = ZkStore::open(&zk).await.unwrap();
    store.apply(&batch(1, [put("a", "1"), put("b", "1")])).await.unwrap();
    servers.kill(0);
    let second = batch(2, [put("a", "2"), put("c", "2"), delete("b")]);
    let begin = Clock::now();
    let failure = store.apply(&second).await.unwrap_err();
    assert!(matches!(failure, StoreFailure::Unavailable(_)), "{failure}");
    assert!(begin.elapsed() < TIMEOUT * 2, "{:?}", begin.elapsed());
    let write = async {
        let failures = persist(&mut store, &second).await;
        store.apply(&batch(3, [put("b", "3")])).await.unwrap();
        failures
    };
    let back = async {
        sleep(TIMEOUT * 3).await;
        servers.launch(0);
    };
    let (failures, ()) = tokio::join!(write, back);
    assert!(failures > 1, "{failures}");
    let (_, records) = ZkStore::open(&zk).await.unwrap();
    assert_eq!(text(&records), pairs(&[("a", "2"), ("b", "3"), ("c", "2")]));
}

/// Gives a batch until it is durable, as the engine does; how often that was not so.
async fn persist(store: &mut ZkStore, batch: &Persist) -> usize {
    for failures in 0.. {
        match store.apply(batch).await {
            Ok(()) => return failures,
            Err(StoreFailure::Unavailable(_)) => sleep(Duration::from_millis(100)).await,
            Err(failure) => panic!("{failure}"),
        }
    }
    unreachable!()
}
