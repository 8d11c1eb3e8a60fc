//! A scheduler that does what a scenario says, and expects what a scenario expects.

use std::time::Duration;

use mesos_tokio::mesos_core::scheduler::{CallError, CallId, Calls, Client, Config, Event, Framework, Outcome};
use tokio::time::Instant;

use crate::driver::{Driver, Late};
use crate::{Cluster, Seen, v1};
use v1::TaskState;
use v1::offer::{Operation, operation};

/// Nothing that is waited for takes longer, even on a busy machine; only what never comes gets there.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A scheduler on the bare protocol client. It acknowledges each receipt of an update, unless told not to, and writes
/// all down that it sees.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scheduler {
    driver: Driver<Client>,
    /// What it has seen.
    pub seen: Seen,
    /// Whether it acknowledges by itself. Default: yes.
    pub acknowledges: bool,
    /// How many calls it has made.
    calls: usize,
}

impl Scheduler {
    /// One that isn't subscribed so far.
    #[must_use]
    pub fn new(cluster: &Cluster, config: Config) -> Self {
        Self { driver: cluster.driver(config), seen: Seen::default(), acknowledges: true, calls: 0 }
    }

    /// A framework with the default capabilities, subscribed.
    pub async fn start(cluster: &Cluster) -> Self {
        Self::subscribed(cluster, cluster.config(Framework::new("conformance"))).await
    }

    /// One that is subscribed.
    pub async fn subscribed(cluster: &Cluster, config: Config) -> Self {
        let mut scheduler = Self::new(cluster, config);
        scheduler.until("SUBSCRIBED", |seen| seen.subscriptions.first().map(drop)).await;
        scheduler
    }

    /// The framework's id.
    ///
    /// # Panics
    ///
    /// If it hasn't subscribed.
    #[must_use]
    pub fn id(&self) -> String {
        self.seen.subscriptions.last().expect("subscribed").framework_id.value.clone()
    }

    /// Takes the next event in; `false` after the last one.
    async fn step(&mut self, until: Instant) -> Result<bool, Late> {
        let Some(event) = self.driver.next_event(until).await? else { return Ok(false) };
        self.seen.record(&event);
        if let Event::Update(update) = &event {
            if self.acknowledges && update.uuid().is_some() {
                self.call(|calls| calls.acknowledge(update));
            }
        }
        Ok(true)
    }

    /// Waits until this is there to see; it may be there already.
    ///
    /// # Panics
    ///
    /// If it doesn't come within the [`LIMIT`], or the client has ended.
    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&Seen) -> Option<T>) -> T {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(found) = pick(&self.seen) {
                return found;
            }
            match self.step(limit).await {
                Ok(true) => {}
                Ok(false) => panic!("the client has ended, without {what}"),
                Err(_) => panic!("{what} hasn't come within {LIMIT:?}"),
            }
        }
    }

    /// Takes events in for this long.
    pub async fn stay(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while matches!(self.step(end).await, Ok(true)) {}
    }

    /// Waits for the last event, and hands back its line.
    pub async fn end(&mut self) -> String {
        self.until("an end", |seen| seen.end.as_ref().map(drop)).await;
        let more = self.step(Instant::now() + LIMIT).await;
        assert!(matches!(more, Ok(false)), "nothing follows the end");
        self.seen.session().last().copied().unwrap_or_default().to_owned()
    }

    /// Gives commands to the client.
    pub fn with<R>(&mut self, command: impl FnOnce(&mut Client) -> R) -> R {
        self.driver.with(command)
    }

    /// Makes a call.
    ///
    /// # Panics
    ///
    /// If the client refuses it.
    pub fn call(&mut self, call: impl FnOnce(&mut Calls<'_>) -> Result<CallId, CallError>) -> CallId {
        self.calls += 1;
        self.driver.with(|client| call(&mut client.calls())).expect("a good call")
    }

    /// Waits until each call made so far has its answer, those of acknowledgements too.
    pub async fn settle(&mut self) {
        let calls = self.calls;
        self.until("all answers", |seen| (seen.answers.len() >= calls).then_some(())).await;
    }

    /// Makes a call, and waits until the master has taken it.
    ///
    /// # Panics
    ///
    /// If it doesn't.
    pub async fn accepted(&mut self, call: impl FnOnce(&mut Calls<'_>) -> Result<CallId, CallError>) {
        let id = self.call(call);
        let (kind, outcome) = self.until("an answer", |seen| seen.answers.get(&id).cloned()).await;
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{kind}: {outcome:?}");
    }

    /// Takes an offer into use, an old one or the next to come.
    pub async fn offer(&mut self) -> v1::Offer {
        self.until("an offer", |seen| seen.offers.first().map(drop)).await;
        self.seen.offers.remove(0)
    }

    /// ACCEPT of one offer to launch tasks. The rest of it is offered again at once.
    pub fn launch(&mut self, offer: &v1::Offer, tasks: impl IntoIterator<Item = v1::TaskInfo>) -> CallId {
        self.launch_on([offer.id.value.clone()], tasks)
    }

    /// ACCEPT of any offers to launch tasks.
    pub fn launch_on(
        &mut self,
        offers: impl IntoIterator<Item = String>,
        tasks: impl IntoIterator<Item = v1::TaskInfo>,
    ) -> CallId {
        let launch = Operation {
            r#type: Some(operation::Type::Launch.into()),
            launch: Some(operation::Launch { task_infos: tasks.into_iter().collect() }),
            ..Default::default()
        };
        let at_once = Some(v1::Filters { refuse_seconds: Some(0.0) });
        self.call(|calls| calls.accept(offers, [launch], at_once))
    }

    /// Launches one shell command on the next offer, and waits until it runs and has been acknowledged.
    pub async fn run(&mut self, id: &str, command: &str) -> v1::Offer {
        let offer = self.offer().await;
        self.launch(&offer, [task(&offer, id, command)]);
        let running = |seen: &Seen| {
            seen.updates.iter().any(|update| update.task_id() == id && update.state() == TaskState::TaskRunning)
        };
        self.until(&format!("TASK_RUNNING of {id}"), |seen| running(seen).then_some(())).await;
        self.settle().await;
        offer
    }

    /// Waits until the last word on a task is this state.
    pub async fn state(&mut self, task: &str, state: TaskState) {
        let what = format!("{} of {task}", state.as_str_name());
        self.until(&what, |seen| (seen.state(task) == Some(state)).then_some(())).await;
    }

    /// Waits until so many lines about a task are there.
    pub async fn lines(&mut self, task: &str, count: usize) -> Vec<String> {
        let what = format!("line {count} of {task}");
        self.until(&what, |seen| {
            let lines = seen.task(task);
            (lines.len() >= count).then(|| lines.into_iter().map(str::to_owned).collect())
        })
        .await
    }

    /// RECONCILE for one task.
    pub fn ask(&mut self, task: &str, agent: Option<&str>) -> CallId {
        self.call(|calls| calls.reconcile([(task, agent)]))
    }

    /// Asks for a task, again and again, until the answer is this state: while agents come back the master may be
    /// silent.
    ///
    /// # Panics
    ///
    /// If it isn't within the [`LIMIT`].
    pub async fn ask_until(&mut self, task: &str, agent: Option<&str>, state: TaskState) {
        let limit = Instant::now() + LIMIT;
        let from = self.seen.updates.len();
        let answered = |seen: &Seen| {
            seen.updates.iter().skip(from).any(|update| update.task_id() == task && update.state() == state)
        };
        while !answered(&self.seen) {
            assert!(Instant::now() < limit, "{task} never was {}", state.as_str_name());
            // Meanwhile the subscription may be lost again.
            if self.with(|client| client.calls().reconcile([(task, agent)])).is_ok() {
                self.calls += 1;
            }
            self.stay(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("== seen by framework {:?}", self.seen.subscriptions.last().map(|s| &s.framework_id.value));
            self.seen.print();
        }
    }
}

/// A task for an offer's agent: a shell command with a tenth of a cpu and 32 MiB.
#[must_use]
pub fn task(offer: &v1::Offer, id: &str, command: &str) -> v1::TaskInfo {
    let scalar = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    v1::TaskInfo {
        name: id.into(),
        task_id: v1::TaskId { value: id.into() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(Box::new(v1::CommandInfo { value: Some(command.into()), ..Default::default() })),
        ..Default::default()
    }
}

/// How much of a scalar resource an offer holds.
#[must_use]
pub fn offer_holds(offer: &v1::Offer, name: &str) -> f64 {
    let scalars = offer.resources.iter().filter(|resource| resource.name == name);
    scalars.filter_map(|resource| resource.scalar.as_ref()).map(|scalar| scalar.value).sum()
}

/// A task has this long to end after KILL.
#[must_use]
pub fn kill_policy(grace: Duration) -> v1::KillPolicy {
    let nanoseconds = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
    v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds }) }
}

/// A framework that lacks one of the default capabilities.
#[must_use]
pub fn without(capability: v1::framework_info::capability::Type) -> v1::FrameworkInfo {
    let mut info = Framework::new("conformance").info().clone();
    info.capabilities.retain(|other| other.r#type() != capability);
    if capability == v1::framework_info::capability::Type::MultiRole {
        info.roles.clear();
    }
    info
}
