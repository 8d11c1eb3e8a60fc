//! Schedulers of which one leads at a time, as processes, and what they say.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::process::{Command as Program, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Cluster, RollCall};

/// The session timeout of the instances at ZooKeeper.
pub const SESSION: Duration = Duration::from_secs(3);

/// So many lines are kept to be printed.
const LINES: usize = 6000;

/// States that no task leaves.
const ENDS: [&str; 7] =
    ["TaskFinished", "TaskFailed", "TaskKilled", "TaskGone", "TaskDropped", "TaskLost", "TaskError"];

/// Stops a process until its own input ends: when the test says so, or dies.
const STOPPER: &str = "kill -STOP $0; cat; kill -CONT $0";

/// The time by the clock that all processes of this machine have.
#[must_use]
pub fn now() -> f64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// A time in which an instance led. Times are in seconds, by [`now`].
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "scenarios look at it")]
pub struct Term {
    /// Which instance.
    pub who: usize,
    /// When it was elected.
    pub elected: f64,
    /// When it was subscribed first.
    pub subscribed: Option<f64>,
    /// When the master had taken its first acknowledgement.
    pub acknowledged: Option<f64>,
    /// When it ended, as the instance says, or because it was killed.
    pub over: Option<f64>,
    /// Whether all is there that was ordered.
    pub satisfied: bool,
}

/// What all instances have said.
#[derive(Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "scenarios look at it")]
pub struct Log {
    lines: VecDeque<String>,
    /// All terms.
    pub terms: Vec<Term>,
    /// The ids of all tasks that they said had been launched.
    pub launched: BTreeSet<String>,
    /// The ids of all tasks of whose end they heard.
    pub ended: BTreeSet<String>,
    /// The framework's ids.
    pub frameworks: BTreeSet<String>,
    /// What must never be said.
    pub wrong: Vec<String>,
    /// Candidates that ended because the leader had ended the framework.
    pub ends: usize,
    /// Orders given.
    pub orders: usize,
    /// Statuses received.
    pub updates: usize,
    /// How often the store was told to stall, and to be taken by another one.
    pub stalled: usize,
    /// Batches that were refused because another instance had taken over.
    pub fenced: usize,
}

impl Log {
    fn push(&mut self, who: usize, line: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{who} {line}"));
        let mut words = line.split(' ');
        let (at, verb, object) = (words.next().and_then(|at| at.parse::<f64>().ok()), words.next(), words.next());
        let (Some(at), Some(verb), object) = (at, verb, object.unwrap_or_default()) else { return };
        let term = self.terms.iter_mut().rev().find(|term| term.who == who && term.over.is_none());
        match (verb, term) {
            ("elected", _) => {
                let (subscribed, acknowledged, over) = (None, None, None);
                self.terms.push(Term { who, elected: at, subscribed, acknowledged, over, satisfied: false });
            }
            ("subscribed", Some(term)) => {
                term.subscribed.get_or_insert(at);
                self.frameworks.insert(object.to_owned());
            }
            ("acknowledged", Some(term)) => _ = term.acknowledged.get_or_insert(at),
            ("satisfied", Some(term)) => term.satisfied = object == "true",
            ("over", Some(term)) => term.over = Some(at),
            ("ended", _) => self.ends += 1,
            ("order", _) => self.orders += 1,
            ("stalled", _) => self.stalled += 1,
            ("fenced", _) => self.fenced += 1,
            ("launched", _) => _ = self.launched.insert(object.to_owned()),
            ("update", _) => {
                self.updates += 1;
                let state = words.next().unwrap_or_default();
                if ENDS.contains(&state) {
                    self.ended.insert(object.to_owned());
                }
            }
            // It may be an echo: the master tells of an end that it has heard of while nobody was subscribed, but once
            // the agent has repeated the statuses that wait for an acknowledgement, asked again it tells the first of
            // these.
            ("unknown", _) if self.ended.contains(object) => {}
            ("unknown" | "wrong", _) => self.wrong.push(format!("{who} {line}")),
            _ => {}
        }
    }

    /// Which instance leads, as they say.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.terms.iter().rev().find(|term| term.over.is_none()).map(|term| term.who)
    }

    /// The first term that began after this.
    #[must_use]
    pub fn term_after(&self, at: f64) -> Option<&Term> {
        self.terms.iter().find(|term| term.elected > at)
    }
}

/// The instances of one scheduler.
pub struct Instances {
    program: PathBuf,
    zookeeper: String,
    /// As a list, and as they register.
    masters: [String; 2],
    words: Vec<String>,
    seed: Option<u64>,
    fresh: bool,
    life: u64,
    log: Arc<Mutex<Log>>,
    heard: watch::Sender<()>,
    children: Vec<Option<Child>>,
    readers: Vec<Option<JoinHandle<()>>>,
    stoppers: Vec<Option<std::process::Child>>,
    /// When instances were stopped, and when they went on.
    pub stops: Vec<(usize, f64, f64)>,
}

impl Instances {
    /// So many instances of this program (`bin/instance.rs`), none of which runs so far. With a seed they give orders to
    /// themselves, for so many services of so many instances each at most. Those of even numbers have a list of masters,
    /// the others find them through ZooKeeper.
    #[must_use]
    pub fn new(
        program: impl Into<PathBuf>,
        cluster: &Cluster,
        roll: &RollCall,
        instances: usize,
        (services, most): (u32, u32),
        seed: Option<u64>,
    ) -> Self {
        let servers = cluster.real().zookeepers().join(",");
        let roll = roll.folder().display().to_string();
        Self {
            program: program.into(),
            zookeeper: format!("zk://{servers}/chaos"),
            masters: [cluster.masters().join(","), format!("zk://{servers}/mesos")],
            words: vec![roll, services.to_string(), most.to_string()],
            seed,
            fresh: false,
            life: 0,
            log: Arc::default(),
            heard: watch::Sender::default(),
            children: (0..instances).map(|_| None).collect(),
            readers: (0..instances).map(|_| None).collect(),
            stoppers: (0..instances).map(|_| None).collect(),
            stops: Vec::new(),
        }
    }

    /// A framework that others have removed is made anew by them.
    #[must_use]
    pub const fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Where they find ZooKeeper.
    #[must_use]
    pub fn zookeeper(&self) -> &str {
        &self.zookeeper
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.children.len()
    }

    /// What they have said.
    #[must_use]
    pub fn log(&self) -> Arc<Mutex<Log>> {
        Arc::clone(&self.log)
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an instance runs, be it stopped.
    #[must_use]
    pub fn runs(&self, who: usize) -> bool {
        self.children[who].is_some()
    }

    /// Starts an instance.
    ///
    /// # Panics
    ///
    /// If it can't be started.
    pub fn start(&mut self, who: usize) {
        self.life += 1;
        let mut command = Command::new(&self.program);
        command
            .args([&who.to_string(), &self.zookeeper, &self.masters[who % 2]])
            .args(&self.words)
            .arg(self.life.to_string());
        command.arg(self.seed.map_or_else(|| "-".to_owned(), |seed| (seed + self.life).to_string()));
        command.args(self.fresh.then_some("fresh"));
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program");
        let (output, errors) = (child.stdout.take().expect("its output"), child.stderr.take().expect("its errors"));
        let (log, heard) = (self.log(), self.heard.clone());
        self.readers[who] = Some(tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                log.lock().unwrap_or_else(PoisonError::into_inner).push(who, &line);
                heard.send_replace(());
            }
        }));
        let log = self.log();
        tokio::spawn(async move {
            let mut errors = BufReader::new(errors).lines();
            while let Ok(Some(line)) = errors.next_line().await {
                log.lock().unwrap_or_else(PoisonError::into_inner).push(who, &format!("error {line}"));
            }
        });
        self.children[who] = Some(child);
    }

    fn signal(&self, who: usize, signal: &str) {
        let pid = self.children[who].as_ref().and_then(Child::id).expect("it runs");
        let status = Program::new("kill").args([signal, &pid.to_string()]).status().expect("`kill` runs");
        assert!(status.success(), "{signal} {pid}");
    }

    /// Waits until it has ended, however it does; its time at the head was over at that moment, if it hasn't said when.
    async fn end(&mut self, who: usize, at: f64) -> Option<i32> {
        let mut child = self.children[who].take()?;
        // To be waited for closes it, and that asks for another kind of end.
        let _input = child.stdin.take();
        let status =
            timeout(Duration::from_secs(10), child.wait()).await.expect("it ends").expect("it can be waited for");
        // What it said last is still to be read.
        if let Some(reader) = self.readers[who].take() {
            reader.await.expect("no panic");
        }
        for term in self.lock().terms.iter_mut().filter(|term| term.who == who) {
            term.over.get_or_insert(at);
        }
        status.code()
    }

    /// `kill -9`.
    pub async fn kill(&mut self, who: usize) {
        self.signal(who, "-KILL");
        // Not later: on a busy machine the next one may be elected before this one is waited for.
        self.end(who, now()).await;
        self.go_on(who);
    }

    /// Asks it to leave, and waits until it has, which takes this long.
    ///
    /// # Panics
    ///
    /// If it doesn't in time, or not well.
    pub async fn terminate(&mut self, who: usize) -> Duration {
        let start = tokio::time::Instant::now();
        self.signal(who, "-TERM");
        assert_eq!(self.end(who, f64::INFINITY).await, Some(0), "how {who} ended");
        start.elapsed()
    }

    /// SIGSTOP.
    ///
    /// # Panics
    ///
    /// If there is no shell.
    pub fn stop(&mut self, who: usize) {
        use std::os::unix::process::CommandExt as _;
        let pid = self.children[who].as_ref().and_then(Child::id).expect("it runs");
        let mut stopper = Program::new("/bin/sh");
        stopper.args(["-c", STOPPER]).arg(pid.to_string()).process_group(0).stdin(Stdio::piped());
        self.stoppers[who] = Some(stopper.spawn().expect("a shell"));
        self.stops.push((who, now(), f64::INFINITY));
    }

    /// SIGCONT, if it was stopped.
    pub fn go_on(&mut self, who: usize) {
        if let Some(mut stopper) = self.stoppers[who].take() {
            stopper.stdin = None;
            let _ = stopper.wait();
            for stop in self.stops.iter_mut().filter(|stop| stop.0 == who && stop.2.is_infinite()) {
                stop.2 = now();
            }
        }
    }

    /// The one that has ended by itself, if one has.
    pub fn ended(&mut self) -> Option<String> {
        let ended = |child: &mut Option<Child>| child.as_mut()?.try_wait().ok()?;
        self.children.iter_mut().enumerate().find_map(|(who, child)| Some(format!("{who}: {}", ended(child)?)))
    }

    /// No more orders.
    pub async fn quiet(&mut self) {
        self.seed = None;
        self.tell("quiet\n").await;
    }

    /// The leader is to end with the whole framework.
    pub async fn uninstall(&mut self) {
        self.tell("uninstall\n").await;
    }

    async fn tell(&mut self, line: &str) {
        for child in self.children.iter_mut().flatten() {
            if let Some(input) = &mut child.stdin {
                // It may be ending.
                let _ = input.write_all(line.as_bytes()).await;
            }
        }
    }

    /// Waits until they have said something, at most for this long.
    ///
    /// # Panics
    ///
    /// If they haven't by then.
    pub async fn until<T>(&self, what: &str, limit: Duration, mut pick: impl FnMut(&Log) -> Option<T>) -> T {
        let mut heard = self.heard.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = pick(&self.lock()) {
                    return found;
                }
                let _ = heard.changed().await;
            }
        };
        timeout(limit, waiting).await.unwrap_or_else(|_| panic!("{what} hasn't come within {limit:?}"))
    }

    /// Where two instances led at once although neither was stopped, if they ever did.
    #[must_use]
    pub fn overlap(&self) -> Option<String> {
        let log = self.lock();
        let stopped =
            |who: usize, at: f64| self.stops.iter().any(|stop| stop.0 == who && stop.1 <= at && at <= stop.2 + 0.5);
        let both = |pair: &[Term]| {
            let [one, next] = pair else { return false };
            one.over.is_none_or(|over| over > next.elected) && !stopped(one.who, next.elected)
        };
        log.terms.windows(2).find(|pair| both(pair)).map(|pair| format!("{pair:?}"))
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances").field("children", &self.children).finish_non_exhaustive()
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        (0..self.count()).for_each(|who| self.go_on(who));
        if std::thread::panicking() {
            println!("== said by the instances");
            self.lock().lines.iter().for_each(|line| println!("{line}"));
        }
    }
}
