//! The example `command_scheduler` as a process, on real servers.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use conformance::mesos_core::scheduler::Framework;
use conformance::{Cluster, LIMIT, Scheduler};
use mesos_zk::{Settings, Zk, ZkStore};
use tempfile::{NamedTempFile, TempDir};
use tokio::time::{Instant, sleep};
use zookeeper_client::{Acls, Client, CreateMode};

pub(crate) const CREDENTIALS: &[(&str, &str)] = &[("scheduler", "MesosSeCrEt")];
const PASSWORD: &str = "ZkPaSsWoRd";

/// It, with all that it says going into a file.
struct Program {
    child: Child,
    said: PathBuf,
    _folder: TempDir,
}

impl Program {
    fn start(cluster: &Cluster, zk: &str, more: &[&str]) -> Self {
        // `cargo xtask test` builds it.
        let bin = Path::new(env!("CARGO_BIN_EXE_instance")).with_file_name("examples").join("command_scheduler");
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let output = std::fs::File::create(&said).unwrap();
        let child = Command::new(bin)
            .args(["--master", &cluster.masters().join(","), "--zk", zk, "--zk-timeout", "3", "--store", "zk"])
            .args(["--duration", "0", "--instances", "3", "--command", "exec sleep 1000", "--verbose"])
            .args(more)
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .expect("examples/command_scheduler, built");
        Self { child, said, _folder: folder }
    }

    fn said(&self) -> String {
        let mut said = String::new();
        std::fs::File::open(&self.said).unwrap().read_to_string(&mut said).unwrap();
        said
    }

    async fn until(&mut self, words: &str) -> String {
        let limit = Instant::now() + LIMIT;
        loop {
            let said = self.said();
            if said.contains(words) {
                return said;
            }
            assert!(self.child.try_wait().unwrap().is_none() && Instant::now() < limit, "no {words:?}: {said}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a signal and waits for the end; all that it has said.
    async fn end(mut self, signal: Option<&str>) -> (Option<i32>, String) {
        if let Some(signal) = signal {
            let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
            assert!(sent.success());
        }
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.said());
            }
            assert!(Instant::now() < limit, "no end: {}", self.said());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn no_secret(said: &str) {
    for secret in [PASSWORD, CREDENTIALS[0].1, "WrOnG"] {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
}

/// S3, S5, S229: killed with -9 and started again, it has its framework and its tasks back. With credentials for masters
/// and ZooKeeper, of which nothing is in what it and the libraries write at their most talkative, right or wrong.
pub(crate) async fn restarted_with_its_records_in_zookeeper(cluster: &Cluster) {
    let servers = cluster.real().zookeepers().join(",");
    let secret = NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), CREDENTIALS[0].1).unwrap();
    let secret = secret.path().display().to_string();
    let credentials = ["--principal", CREDENTIALS[0].0, "--secret-file", &secret];
    let zk = format!("zk://web:{PASSWORD}@{servers}/mesos");
    let mut first = Program::start(cluster, &zk, &credentials);
    no_secret(&first.until("all instances are ready").await);
    let mut before = cluster.tasks().await;
    before.sort();
    assert_eq!(before.len(), 3);
    no_secret(&first.end(Some("-KILL")).await.1);

    let mut second = Program::start(cluster, &zk, &credentials);
    let said = second.until("all states known").await;
    assert_eq!(said.matches("known: ").count(), 3, "{said}");
    second.until("all instances are ready").await;
    let mut after = cluster.tasks().await;
    after.sort();
    assert_eq!(after, before);
    // Where people look for it, and who else may.
    let settings: Settings = format!("zk://{servers}/dcos-service-command-scheduler").parse().unwrap();
    let stranger = Zk::new(settings).unwrap();
    assert!(ZkStore::open(&stranger).await.is_err());

    let (code, said) =
        Program::start(cluster, &format!("zk://web:WrOnG@{servers}/mesos"), &credentials).end(None).await;
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("no permission"), "{said}");
    no_secret(&said);
    let (code, said) = Program::start(cluster, &format!("zk://web:{PASSWORD}/WrOnG@{servers}"), &[]).end(None).await;
    assert_eq!(code, Some(2), "{said}");
    no_secret(&said);
    let (code, said) = second.end(Some("-TERM")).await;
    assert_eq!(code, Some(0), "{said}");
    no_secret(&said);
}

/// S169, S170, S173: npm's mesos-framework has left a framework with tasks; they run on, what is missing is launched, what
/// nobody wants any more is killed.
pub(crate) async fn goes_on_with_the_original_s_tasks(cluster: &Cluster) {
    let servers = cluster.real().zookeepers().join(",");
    // The original: no checkpoints, and ids of its own make.
    let config = cluster.config(Framework::new("command-scheduler").checkpoint(false));
    let mut original = Scheduler::subscribed(cluster, config).await;
    let framework = original.id();
    let client = Client::connect(&servers).await.unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let root = "/dcos-service-command-scheduler";
    client.mkdir(&format!("{root}/tasks"), &options).await.unwrap();
    client.create(&format!("{root}/framework-id"), framework.as_bytes(), &options).await.unwrap();
    for name in ["command-1", "command-3", "gone-1"] {
        let id = format!("command-scheduler.{name}.0b3c4d5e-1f2a-4b6c-8d9e-0a1b2c3d4e5f");
        let offer = original.run(&id, "exec sleep 1000").await;
        let agent = &offer.agent_id.value;
        let record = format!(
            r#"{{"name":"{name}","commandInfo":{{"value":"exec sleep 1000"}},"isSubmitted":true,"taskId":"{id}",
            "runtimeInfo":{{"agentId":"{agent}","state":"TASK_RUNNING","startTime":1514764800123,
            "network":{{"hostname":"127.0.0.1","ip":"127.0.0.1","ports":[]}}}}}}"#
        );
        client.create(&format!("{root}/tasks/{id}"), record.as_bytes(), &options).await.unwrap();
    }
    original.settle().await;
    drop(original);
    let before = cluster.tasks().await;
    assert_eq!(before.len(), 3);

    let zk = format!("zk://{servers}/mesos");
    let mut program = Program::start(cluster, &zk, &["--take-over-original"]);
    let said = program.until("all instances are ready").await;
    assert!(said.contains(&format!("framework {framework} is taken over, with 2 tasks")), "{said}");
    program.until("not ours to run, killed").await;
    let limit = Instant::now() + LIMIT;
    loop {
        let tasks = cluster.tasks().await;
        let kept = before.iter().filter(|task| tasks.contains(task)).count();
        assert!(before.iter().filter(|(_, id)| id.contains(".command-")).all(|task| tasks.contains(task)), "{tasks:?}");
        if tasks.len() == 3 && kept == 2 && tasks.iter().all(|(id, _)| *id == framework) {
            break;
        }
        assert!(Instant::now() < limit, "{tasks:?}");
        sleep(Duration::from_millis(100)).await;
    }
    // Once only; from then on it is a framework like any other.
    let tasks = cluster.tasks().await;
    program.end(Some("-KILL")).await;
    let mut program = Program::start(cluster, &zk, &["--take-over-original", "--teardown-on-exit"]);
    let said = program.until("all states known").await;
    assert!(!said.contains("is taken over"), "{said}");
    assert_eq!(said.matches("known: ").count(), 3, "{said}");
    assert_eq!(cluster.tasks().await.len(), tasks.len());
    let (code, said) = program.end(Some("-TERM")).await;
    assert_eq!(code, Some(0), "{said}");
}
