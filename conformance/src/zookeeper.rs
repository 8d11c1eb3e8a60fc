//! Real ZooKeeper servers, Debian's, one or several, to be killed and stopped by tests.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Where Debian's packages put it, and what it needs for TLS without saying so.
const JARS: &str = "/usr/share/java";
const JAR: &str = "/usr/share/java/zookeeper.jar";
const TLS_JARS: [&str; 3] = ["netty-codec.jar", "netty-resolver.jar", "netty-transport-native-unix-common.jar"];
/// Starts the server, says its process id, and kills it once its input ends: when this process closes it, or dies, even
/// by SIGKILL.
const WATCHDOG: &str = r#""$@" >"$LOG" 2>&1 & echo $!; cat >/dev/null; kill -KILL $!; wait"#;
/// For a JVM on a machine that is busy elsewhere.
const LIMIT: Duration = Duration::from_secs(60);
/// Half the shortest session timeout that is granted.
const TICK: Duration = Duration::from_millis(200);

/// One server, or an ensemble. They end when this is dropped, or with this process.
#[derive(Debug)]
pub struct ZooKeeper {
    folder: TempDir,
    nodes: Vec<Node>,
    /// Options for Java.
    java: Vec<String>,
}

#[derive(Debug)]
struct Node {
    port: u16,
    /// The one to be reached by TLS.
    secure: Option<u16>,
    config: PathBuf,
    running: Option<(Child, u32)>,
    /// Keeps others off the ports that a node isn't listening at, until the very first start.
    reserved: Vec<TcpListener>,
}

impl ZooKeeper {
    /// Starts so many servers, and waits until they serve. A tick is 200 ms, so sessions may time out after 400 ms.
    ///
    /// # Panics
    ///
    /// If they can't be had: `cargo xtask test --only real-setup` installs them.
    #[must_use]
    pub fn start(servers: usize) -> Self {
        let mut made = Self::make(servers);
        for index in 0..servers {
            made.launch(index);
        }
        made.wait();
        made
    }

    /// The same, not running so far.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn make(servers: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for ZooKeeper");
        let ports: Vec<[(u16, TcpListener); 3]> = (0..servers).map(|_| [(); 3].map(|()| free_port())).collect();
        let ensemble: String = ports
            .iter()
            .enumerate()
            .map(|(index, [_, (peer, _), (vote, _)])| format!("server.{}=127.0.0.1:{peer}:{vote}\n", index + 1))
            .collect();
        let nodes = ports.into_iter().enumerate().map(|(index, [(port, a), (_, b), (_, c)])| {
            let data = folder.path().join(format!("server{}", index + 1));
            fs::create_dir(&data).expect("a folder for a server");
            fs::write(data.join("myid"), (index + 1).to_string()).expect("its number");
            let tick = TICK.as_millis();
            let mut text = format!(
                "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime={tick}\ninitLimit=25\nsyncLimit=10\n\
                 admin.enableServer=false\nmaxClientCnxns=0\nmaxSessionTimeout=60000\nforceSync=no\n4lw.commands.whitelist=srvr,ruok\n",
                data.display()
            );
            if servers > 1 {
                text.push_str(&ensemble);
            }
            let config = data.join("zoo.cfg");
            fs::write(&config, text).expect("its configuration");
            Node { port, secure: None, config, running: None, reserved: vec![a, b, c] }
        });
        Self { nodes: nodes.collect(), folder, java: Vec::new() }
    }

    /// A member that has no quorum is to serve reads, to those who want no more.
    #[must_use]
    pub fn read_only_without_quorum(mut self) -> Self {
        self.java.push("-Dreadonlymode.enabled=true".into());
        self
    }

    /// Servers that don't run so far are to be reached by TLS, with this certificate and key, by those that have a
    /// certificate of these authorities: all of it PEM text.
    ///
    /// # Panics
    ///
    /// If there is no room for that.
    #[must_use]
    pub fn speaking_tls(mut self, identity: &str, roots: &str) -> Self {
        let file = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            fs::write(&path, text).expect("a PEM file");
            path
        };
        let (identity, roots) = (file("identity.pem", identity), file("roots.pem", roots));
        for node in &mut self.nodes {
            let (port, reserved) = free_port();
            let mut text = fs::read_to_string(&node.config).expect("its configuration");
            text.push_str(&format!(
                "secureClientPort={port}\nsecureClientPortAddress=127.0.0.1\nssl.clientAuth=need\n\
                 serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
                 ssl.keyStore.location={}\nssl.keyStore.type=PEM\nssl.trustStore.location={}\nssl.trustStore.type=PEM\n",
                identity.display(),
                roots.display()
            ));
            fs::write(&node.config, text).expect("its configuration");
            node.secure = Some(port);
            node.reserved.push(reserved);
        }
        self
    }

    /// `zk://`, the servers, and this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let servers: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.secure.unwrap_or(node.port))).collect();
        format!("zk://{}{path}", servers.join(","))
    }

    /// Starts a server that was killed, or wasn't started so far.
    ///
    /// # Panics
    ///
    /// If it can't be started.
    pub fn launch(&mut self, index: usize) {
        assert!(std::path::Path::new(JAR).exists(), "{JAR} isn't there: cargo xtask test --only real-setup");
        let node = &mut self.nodes[index];
        node.reserved.clear();
        let log = node.config.with_file_name("log");
        let netty = node.secure.iter().flat_map(|_| TLS_JARS).map(|jar| format!(":{JARS}/{jar}"));
        let jars = netty.fold(JAR.to_owned(), |jars, jar| jars + &jar);
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "sh", "java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-Djava.net.preferIPv4Stack=true", "-Dzookeeper.jmx.log4j.disable=true"])
            .args(&self.java)
            .args(["-cp", &jars, "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
            .arg(&node.config)
            .env("LOG", log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        node.running = Some((child, line.trim().parse().expect("a process id")));
    }

    /// Waits until all servers that run serve.
    ///
    /// # Panics
    ///
    /// If they don't within a minute.
    pub fn wait(&self) {
        self.wait_for("Mode: ");
    }

    /// Waits until all servers that run say this of themselves.
    ///
    /// # Panics
    ///
    /// If they don't within a minute.
    pub fn wait_for(&self, state: &str) {
        let limit = Instant::now() + LIMIT;
        for node in self.nodes.iter().filter(|node| node.running.is_some()) {
            while !ask(node.port, "srvr").is_some_and(|said| said.contains(state)) {
                assert!(Instant::now() < limit, "ZooKeeper doesn't serve: {}", self.logs());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Kills a server with SIGKILL.
    ///
    /// # Panics
    ///
    /// If it isn't running.
    pub fn kill(&mut self, index: usize) {
        let (mut child, _) = self.nodes[index].running.take().expect("a running server");
        drop(child.stdin.take());
        child.wait().expect("its end");
    }

    /// Stops a server, with all its threads, or lets it go on.
    ///
    /// # Panics
    ///
    /// If it isn't running.
    pub fn freeze(&self, index: usize, frozen: bool) {
        let (_, pid) = self.nodes[index].running.as_ref().expect("a running server");
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill");
        assert!(sent.success(), "kill {signal} {pid}");
    }

    /// Whether a server runs.
    #[must_use]
    pub fn is_running(&self, index: usize) -> bool {
        self.nodes.get(index).is_some_and(|node| node.running.is_some())
    }

    /// Which server of an ensemble leads.
    ///
    /// # Panics
    ///
    /// If none does.
    #[must_use]
    pub fn leader(&self) -> usize {
        let leads = |node: &Node| ask(node.port, "srvr").is_some_and(|said| said.contains("Mode: leader"));
        self.nodes.iter().position(leads).expect("a leader")
    }

    /// The ends of the logs.
    fn logs(&self) -> String {
        let log = |node: &Node| fs::read_to_string(node.config.with_file_name("log")).unwrap_or_default();
        let end = |text: String| text.lines().rev().take(20).map(|line| format!("\n{line}")).collect::<String>();
        self.nodes.iter().map(|node| end(log(node))).collect::<Vec<_>>().join("\n==")
    }

    /// Where data and logs are.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            if self.nodes[index].running.is_some() {
                self.kill(index);
            }
        }
    }
}

/// One of those that the system hands out; nobody else gets it as long as the listener is there.
fn free_port() -> (u16, TcpListener) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    (listener.local_addr().expect("an address").port(), listener)
}

/// What a server says to one of its four-letter words.
fn ask(port: u16, word: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}
