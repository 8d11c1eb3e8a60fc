//! What is done to the cluster and to the instances.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use conformance::{Cluster, Dice, Instances, SESSION, now};
use tokio::time::{Instant, sleep_until};

/// Between looks for nodes that have ended by themselves.
const MEND: Duration = Duration::from_secs(2);

const KILL: u8 = 9;
const STOP: u8 = 19;

/// Who suffers. Of leaders it is decided in the moment who that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Instance(usize),
    Node(&'static str, usize),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(who) => write!(f, "instance {who}"),
            Self::Node(kind, index) => write!(f, "{kind}{}", index + 1),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Kill,
    Stop,
    Terminate,
}

/// An end of the instance that led.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    /// When.
    pub(crate) at: f64,
    /// The word for how.
    pub(crate) how: &'static str,
}

/// Something that isn't healed.
struct Wound {
    target: Target,
    how: How,
    until: Instant,
}

pub(crate) struct Faults<'a> {
    cluster: &'a Cluster,
    dice: Dice,
    start: Instant,
    wounds: Vec<Wound>,
    tally: BTreeMap<String, usize>,
    pub(crate) deaths: Vec<Death>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(cluster: &'a Cluster, dice: Dice) -> Self {
        Self { cluster, dice, start: Instant::now(), wounds: Vec::new(), tally: BTreeMap::new(), deaths: Vec::new() }
    }

    fn say(&self, what: impl fmt::Display) {
        println!("{:9.3} {what}", self.start.elapsed().as_secs_f64());
    }

    /// For this long.
    pub(crate) async fn inflict(&mut self, instances: &mut Instances, time: Duration) {
        let end = Instant::now() + time;
        let (mut next, mut mend) = (Instant::now(), Instant::now() + MEND);
        while Instant::now() < end {
            if let Some(ended) = instances.ended() {
                panic!("an instance has ended by itself: {ended}");
            }
            if next <= Instant::now() {
                self.one(instances).await;
                next = Instant::now() + Duration::from_millis(200) + self.dice.millis(4500);
            }
            if mend <= Instant::now() {
                self.mend().await;
                mend = Instant::now() + MEND;
            }
            self.heal_until(instances, Instant::now()).await;
            let healed = self.wounds.iter().map(|wound| wound.until).min();
            sleep_until(healed.map_or(next, |healed| healed.min(next)).min(mend)).await;
        }
    }

    /// All of it is over.
    pub(crate) async fn heal(&mut self, instances: &mut Instances) {
        self.say("all is healed");
        while let Some(until) = self.wounds.iter().map(|wound| wound.until).max() {
            self.heal_until(instances, until).await;
        }
        self.mend().await;
    }

    /// As somebody does who watches over servers.
    async fn mend(&mut self) {
        for name in self.cluster.real().mend().await {
            self.say(format_args!("{name} had ended by itself, and is started again"));
            let kind = name.trim_end_matches(char::is_numeric);
            *self.tally.entry(format!("{kind} ended by itself")).or_default() += 1;
        }
    }

    async fn heal_until(&mut self, instances: &mut Instances, until: Instant) {
        let (healed, open) = std::mem::take(&mut self.wounds).into_iter().partition(|wound| wound.until <= until);
        self.wounds = open;
        for wound in healed {
            let Wound { target, how, .. } = wound;
            self.say(format_args!("{target} {}", if how == How::Stop { "goes on" } else { "is started again" }));
            match target {
                Target::Instance(who) if how == How::Stop => instances.go_on(who),
                Target::Instance(who) => instances.start(who),
                Target::Node(kind, index) => self.cluster.real().resume(kind, index).await,
            }
        }
    }

    /// Draws one thing, and does it.
    async fn one(&mut self, instances: &mut Instances) {
        let leader = instances.log().lock().expect("no panic").leader();
        let somebody = self.dice.below(2) as usize;
        let leads = leader.unwrap_or(somebody);
        let session = SESSION.as_millis() as u64;
        // Always as many numbers, so that the same seed does about the same.
        let (kind, any, long, share) =
            (self.dice.below(26), self.dice.below(3) as usize, self.dice.below(2), self.dice.below(1000));
        let within = |from: u64, to: u64| Duration::from_millis(from + (to - from) * share / 1000);
        let pause = if long == 0 { within(0, session / 2) } else { within(session * 5 / 4, session * 4) };
        match kind {
            0..=4 => self.hurt(instances, Target::Instance(leads), How::Kill, within(0, 4000)).await,
            5..=7 => self.hurt(instances, Target::Instance(leads), How::Stop, pause).await,
            8 => self.hurt(instances, Target::Instance(leads), How::Terminate, within(0, 3000)).await,
            9 => self.hurt(instances, Target::Instance(1 - leads), How::Kill, within(0, 4000)).await,
            10 => self.hurt(instances, Target::Instance(1 - leads), How::Stop, pause).await,
            11 => {
                self.hurt(instances, Target::Instance(0), How::Kill, within(0, 3000)).await;
                self.hurt(instances, Target::Instance(1), How::Kill, within(0, 2000)).await;
            }
            12..=17 => {
                let leader = self.cluster.real().leading_master().await.unwrap_or(any);
                let (other, how) =
                    ((leader + 1 + any % 2) % 3, if kind == 15 || kind == 17 { How::Stop } else { How::Kill });
                let index = if kind > 15 { other } else { leader };
                self.hurt(instances, Target::Node("master", index), how, within(0, 8000)).await;
            }
            18 | 19 => self.hurt(instances, Target::Node("agent", any), How::Kill, within(0, 8000)).await,
            20 => self.hurt(instances, Target::Node("agent", any), How::Stop, within(0, 10000)).await,
            _ => {
                let leader = self.cluster.real().leading_zookeeper().await.unwrap_or(any);
                let other = (leader + 1 + any % 2) % 3;
                let how = if kind >= 24 { How::Stop } else { How::Kill };
                let index = if kind == 21 || kind == 24 { leader } else { other };
                self.hurt(instances, Target::Node("zookeeper", index), how, within(0, 6000)).await;
                if kind == 23 {
                    self.hurt(instances, Target::Node("zookeeper", leader), how, within(0, 8000)).await;
                }
            }
        }
    }

    async fn hurt(&mut self, instances: &mut Instances, target: Target, how: How, time: Duration) {
        if self.wounds.iter().any(|wound| wound.target == target) {
            return;
        }
        let led = match target {
            Target::Instance(who) => instances.log().lock().expect("no panic").leader() == Some(who),
            Target::Node(..) => false,
        };
        let role = if led { " (leader)" } else { "" };
        let word = match how {
            How::Kill => "kill -9",
            How::Stop => "stopped",
            How::Terminate => "SIGTERM",
        };
        let kind = match target {
            Target::Instance(_) => "instance",
            Target::Node(kind, _) => kind,
        };
        if led {
            self.deaths.push(Death { at: now(), how: word });
        }
        self.say(format_args!("{target}{role}: {word}, for {:.1} s", time.as_secs_f64()));
        match (target, how) {
            (Target::Instance(who), How::Kill) => instances.kill(who).await,
            (Target::Instance(who), How::Stop) => instances.stop(who),
            (Target::Instance(who), How::Terminate) => {
                let took = instances.terminate(who).await;
                self.say(format_args!("{target} has left within {:.3} s", took.as_secs_f64()));
            }
            (Target::Node(kind, index), _) => {
                if !self.cluster.real().kill(kind, index, if how == How::Stop { STOP } else { KILL }).await {
                    self.say(format_args!("{target} isn't there"));
                    return;
                }
            }
        }
        *self.tally.entry(format!("{kind}{role} {word}")).or_default() += 1;
        self.wounds.push(Wound { target, how, until: Instant::now() + time });
    }

    pub(crate) fn figures(&self) {
        let all: usize = self.tally.values().sum();
        println!("{all} faults:");
        self.tally.iter().for_each(|(what, times)| println!("  {times:4} {what}"));
    }
}
