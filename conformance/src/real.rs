//! The real side: Mesos 1.11.0, run by `real-mesos/cluster`.
//!
//! `MESOS_CONFORMANCE_REAL` says where `real-mesos/setup` has put it, `MESOS_CONFORMANCE_RUN` under which folder each
//! cluster gets a folder of its own (default: the temporary one).

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesos_tokio::Http;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{ChildStdin, ChildStdout};

use crate::{Options, http};

/// Stops the cluster once its input ends: when this process closes it, or dies, even by SIGKILL.
const WATCHDOG: &str = r#"cat; "$0" stop; rm -rf "${REAL_MESOS_RUN:?}""#;

/// How long a node may take to say who leads.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long `cluster` may take over a command.
const LIMIT: Duration = Duration::from_secs(120);

/// `cluster console`, which ends with its input.
#[derive(Debug)]
struct Console {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Console {
    async fn perform(&mut self, words: &str) -> Result<String, String> {
        self.input.write_all(format!("{words}\n").as_bytes()).await.map_err(|error| error.to_string())?;
        let mut said = String::new();
        loop {
            match self.output.next_line().await {
                Ok(Some(line)) if line == "ok" => return Ok(said),
                Ok(Some(line)) => match line.strip_prefix("failed: ") {
                    Some(why) => return Err(why.to_owned()),
                    None => said = said + &line + "\n",
                },
                end => panic!("the console has ended: {end:?}"),
            }
        }
    }
}

/// A real cluster. Its nodes are named by their kind, `master`, `agent` or `zookeeper`, and an index from 0.
#[derive(Debug)]
pub struct Real {
    home: PathBuf,
    run: PathBuf,
    masters: Vec<String>,
    zookeepers: Vec<String>,
    tls: bool,
    console: tokio::sync::Mutex<Option<Console>>,
    watchdog: Child,
    /// Keeps other clusters of this suite off the ports.
    _ports: TcpListener,
}

fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("real-mesos/cluster")
}

impl Real {
    pub(crate) async fn start(options: &Options) -> Self {
        let home = std::env::var_os("MESOS_CONFORMANCE_REAL").filter(|home| !home.is_empty());
        let home = PathBuf::from(home.expect("MESOS_CONFORMANCE_REAL says where real-mesos/setup has put things"));
        let runs = std::env::var_os("MESOS_CONFORMANCE_RUN").filter(|runs| !runs.is_empty());
        let runs = runs.map_or_else(|| std::env::temp_dir().join("mesos-conformance"), PathBuf::from);
        let (ports, port) = free_ports(options);
        let run = runs.join(format!("{port}-{}", std::process::id()));
        fs::create_dir_all(&run).expect("a folder for the cluster");
        let watchdog = watchdog(&home, &run);
        let scheme = if options.tls { "https://" } else { "" };
        let masters = (port..).take(options.masters).map(|port| format!("{scheme}127.0.0.1:{port}")).collect();
        let zookeepers = (port + 200..).take(zookeepers(options)).map(|port| format!("127.0.0.1:{port}")).collect();
        let real =
            Self { home, run, masters, zookeepers, tls: options.tls, console: None.into(), watchdog, _ports: ports };

        let mut words: Vec<String> = ["start", "--wait", "100"].map(Into::into).into();
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("port", port.to_string());
        option("masters", options.masters.to_string());
        option("agents", options.agents.to_string());
        option("zookeepers", options.zookeepers.to_string());
        option("agent-flag", format!("executor_reregistration_timeout={}", options.executor_patience));
        option("resources", options.resources.into());
        option("master-flag", "agent_ping_timeout=1secs".into());
        if !options.attributes.is_empty() {
            let attributes: Vec<String> =
                options.attributes.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            option("agent-flag", format!("attributes={}", attributes.join(";")));
        }
        for (principal, secret) in options.credentials {
            option("credential", format!("{principal}:{secret}"));
        }
        if let Some(program) = options.executor {
            words.extend(["--executor".into(), program.into()]);
        }
        if options.tls {
            words.push("--tls-only".into());
        }
        if options.executor_tokens {
            words.push("--executor-tokens".into());
        }
        real.launch(words).await;
        real
    }

    /// Starts the cluster; from then on it is told what to do by a program that stays.
    async fn launch(&self, words: Vec<String>) {
        let mut command = self.command();
        let output = tokio::time::timeout(LIMIT, command.args(words).stdin(Stdio::null()).output()).await;
        let output = output.expect("no hang").expect("real-mesos/cluster runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?}: {}: {errors}", command.as_std(), output.status);
        let mut console = self.command().arg("console").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let console = console.as_mut().expect("real-mesos/cluster runs");
        let (input, output) = (console.stdin.take(), console.stdout.take());
        let (input, output) = input.zip(output).expect("they are piped");
        *self.console.lock().await = Some(Console { input, output: BufReader::new(output).lines() });
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(tool());
        command.env("REAL_MESOS_HOME", &self.home).env("REAL_MESOS_RUN", &self.run);
        command
    }

    /// Has `cluster` do this, and hands back what it prints.
    async fn cluster(&self, words: &str) -> String {
        self.try_cluster(words).await.unwrap_or_else(|error| panic!("cluster {words}: {error}"))
    }

    async fn try_cluster(&self, words: &str) -> Result<String, String> {
        let mut console = self.console.lock().await;
        let console = console.as_mut().expect("it has been started");
        tokio::time::timeout(LIMIT, console.perform(words)).await.expect("no hang")
    }

    pub(crate) fn masters(&self) -> &[String] {
        &self.masters
    }

    pub(crate) fn http(&self) -> Http {
        if !self.tls {
            return Http::default();
        }
        let authority = fs::read(self.run.join("tls/ca.pem")).expect("the cluster's authority");
        Http::builder().roots(authority).build().expect("a good authority")
    }

    pub(crate) async fn leader(&self) -> usize {
        let said = self.cluster("wait").await;
        let number = said.strip_prefix("cluster: master").and_then(|rest| rest.split(' ').next()?.parse().ok());
        number.map(|number: usize| number - 1).expect("`cluster wait` names the leader")
    }

    /// Sends a signal to a node; `false` if it isn't running.
    pub async fn kill(&self, kind: &str, index: usize, signal: u8) -> bool {
        self.try_cluster(&format!("kill {kind}{} {signal}", index + 1)).await.is_ok()
    }

    /// Starts a killed node again, or lets a stopped one go on.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub async fn resume(&self, kind: &str, index: usize) {
        self.cluster(&format!("resume {kind}{}", index + 1)).await;
    }

    /// Starts every node again that has ended by itself, as masters do that lose their leadership, and names them.
    pub async fn mend(&self) -> Vec<String> {
        self.cluster("mend").await.lines().map(str::to_owned).collect()
    }

    /// Whether a master leads and all agents are in, or soon will be.
    pub async fn is_whole(&self) -> bool {
        self.try_cluster("wait 3").await.is_ok()
    }

    /// Each task that agents have ever had, as their files say: framework, id, and states in order, with `!` after those
    /// whose acknowledgement has come.
    pub async fn ledger(&self) -> Vec<Vec<String>> {
        self.cluster("ledger").await.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }

    /// The addresses of the ZooKeeper servers.
    #[must_use]
    pub fn zookeepers(&self) -> &[String] {
        &self.zookeepers
    }

    /// Which ZooKeeper server leads the others, if that can be found out at the moment.
    pub async fn leading_zookeeper(&self) -> Option<usize> {
        for (index, server) in self.zookeepers.iter().enumerate() {
            let asked = async {
                let mut connection = TcpStream::connect(server).await.ok()?;
                connection.write_all(b"srvr").await.ok()?;
                let mut answer = String::new();
                connection.read_to_string(&mut answer).await.ok()?;
                Some(answer)
            };
            let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
            if answer.is_some_and(|answer| answer.contains("Mode: leader") || answer.contains("Mode: standalone")) {
                return Some(index);
            }
        }
        None
    }

    /// Which master leads, if that can be found out at the moment. Not for masters with TLS.
    pub async fn leading_master(&self) -> Option<usize> {
        for master in &self.masters {
            let asked = async {
                let mut connection = TcpStream::connect(master).await.ok()?;
                let request = format!("GET /master/redirect HTTP/1.1\r\nHost: {master}\r\nConnection: close\r\n\r\n");
                connection.write_all(request.as_bytes()).await.ok()?;
                let mut answer = String::new();
                connection.read_to_string(&mut answer).await.ok()?;
                let location = answer.lines().find_map(|line| line.strip_prefix("Location: "))?;
                self.masters.iter().position(|master| location.ends_with(&format!("//{master}")))
            };
            if let Ok(Some(leader)) = tokio::time::timeout(PATIENCE, asked).await {
                return Some(leader);
            }
        }
        None
    }

    pub(crate) async fn tasks(&self) -> Vec<(String, String)> {
        let said = self.cluster("tasks").await;
        let pair = |line: &str| line.split_once(' ').map(|(framework, task)| (framework.to_owned(), task.to_owned()));
        said.lines().filter_map(pair).collect()
    }

    pub(crate) async fn tear_down(&self, framework: &str) {
        let leader = &self.masters[self.leader().await];
        let form = format!("frameworkId={framework}");
        let answer = http::ask(leader, "POST", "/master/teardown", &[], &form).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The ends of the logs, for a test that fails.
    fn print_logs(&self) {
        for entry in fs::read_dir(self.run.join("logs")).into_iter().flatten().flatten() {
            let text = fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            println!("== {}", entry.path().display());
            for line in &lines[lines.len().saturating_sub(60)..] {
                println!("{line}");
            }
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        // It ends with its input, while the cluster is being stopped.
        self.console.get_mut().take();
        self.watchdog.stdin = None;
        let _ = self.watchdog.wait();
    }
}

/// In a group of its own, so that it outlives this process when that is ended from outside.
fn watchdog(home: &Path, run: &Path) -> Child {
    use std::os::unix::process::CommandExt as _;
    Command::new("/bin/sh")
        .args(["-c", WATCHDOG])
        .arg(tool())
        .env("REAL_MESOS_HOME", home)
        .env("REAL_MESOS_RUN", run)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell")
}

/// As many as `cluster` starts.
fn zookeepers(options: &Options) -> usize {
    options.zookeepers.max(usize::from(options.masters > 1))
}

/// A range of ports that nobody uses: masters from its start, agents from 101, ZooKeeper at 200. The range is the
/// listener's holder's; below the ports that the system hands out by itself.
fn free_ports(options: &Options) -> (TcpListener, u16) {
    const RANGES: u16 = 66;
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
    let start = (std::process::id() % u32::from(RANGES)) as u16;
    for range in (start..RANGES).chain(0..start) {
        let port = 10_000 + 300 * range;
        let Some(holder) = listen(port + 299) else { continue };
        let masters = port..port + options.masters as u16;
        let agents = port + 101..port + 101 + options.agents as u16;
        // Each ZooKeeper server has three.
        let zookeepers = [200, 210, 220].map(|more| port + more..port + more + zookeepers(options) as u16);
        if masters.chain(agents).chain(zookeepers.into_iter().flatten()).all(|port| listen(port).is_some()) {
            return (holder, port);
        }
    }
    panic!("no range of free ports");
}
