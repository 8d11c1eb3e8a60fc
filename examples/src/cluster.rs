//! Which cluster to use and as whom, from the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mesos_sim::{Options, serve::Served};
use mesos_tokio::Http;
use mesos_tokio::mesos_core::Authorization;
use mesos_tokio::mesos_core::scheduler::{Config, Framework};
use mesos_zk::{MasterDetector, Settings, Zk};

use crate::{Failed, Leave};

/// The masters, and who comes to them.
#[derive(Args, Clone, Debug)]
pub struct MasterOptions {
    /// A Mesos master: host, host:port, http://host:port or https://host:port. Several, for a cluster with several
    /// masters, by commas or by repeating the option. Without any, a simulated cluster starts within this process
    #[arg(long, value_name = "MASTER", value_delimiter = ',')]
    master: Vec<String>,

    /// As whom tasks run; agents that don't run as root know only their own user
    #[arg(long, default_value = "root")]
    user: String,

    /// The role whose share of the cluster is wanted; several by commas or by repeating the option
    #[arg(long, value_name = "ROLE", value_delimiter = ',', default_value = "*")]
    role: Vec<String>,

    /// Whom to authenticate as (HTTP Basic); needs --secret-file
    #[arg(long, requires = "secret_file")]
    principal: Option<String>,

    /// A file with the principal's secret; white space around it is cut off
    #[arg(long, value_name = "FILE", requires = "principal")]
    secret_file: Option<PathBuf>,

    /// A PEM file with the authorities that https masters' certificates may come from
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// The name that masters' certificates carry, where they are addressed otherwise; needs --ca
    #[arg(long, value_name = "NAME", requires = "ca")]
    server_name: Option<String>,

    /// Write what the library does to stderr
    #[arg(long, short)]
    verbose: bool,
}

/// The cluster, the framework, and how long to stay.
#[derive(Args, Clone, Debug)]
pub struct ClusterOptions {
    #[command(flatten)]
    master: MasterOptions,

    /// Where ZooKeeper is: zk://[user:password@]host[:port][,host[:port]...]/path. Masters are found at that path, unless
    /// some are given
    #[arg(long, value_name = "ZK")]
    zk: Option<Place>,

    /// How long ZooKeeper waits for this process, when it is silent, before it takes it for dead, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    zk_timeout: Duration,

    /// The framework's name
    #[arg(long, default_value = "command-scheduler")]
    name: String,

    /// The id of a framework to take over, from an earlier run that wasn't torn down
    #[arg(long, value_name = "ID")]
    framework_id: Option<String>,

    /// How long the master keeps the tasks after this process has gone, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "604800", value_parser = seconds)]
    failover_timeout: Duration,

    /// After how many seconds to tear the framework down and exit; 0 means to stay until Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    duration: Duration,

    /// Tear the framework down at Ctrl-C as well; otherwise it and its tasks stay for the failover timeout
    #[arg(long)]
    teardown_on_exit: bool,
}

/// The tasks to run.
#[derive(Args, Clone, Debug)]
pub struct TaskOptions {
    /// How many tasks
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub instances: u32,

    /// What each runs, by /bin/sh -c. By default one task fails after 5 s, and all others sleep
    #[arg(long, value_name = "SHELL")]
    pub command: Option<String>,

    /// Processors for each task
    #[arg(long, default_value_t = 0.1, value_parser = amount)]
    pub cpus: f64,

    /// Memory for each task, in MiB
    #[arg(long, default_value_t = 32.0, value_parser = amount)]
    pub mem: f64,

    /// Disk for each task, in MiB
    #[arg(long, default_value_t = 0.0, value_parser = amount)]
    pub disk: f64,

    /// How many ports each task gets, to be found in its environment as PORT0, PORT1, ...
    #[arg(long, default_value_t = 0)]
    pub ports: u32,
}

/// For clap: a quantity.
///
/// # Errors
///
/// It isn't one.
pub fn amount(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(amount) if (0.0..1e9).contains(&amount) => Ok(amount),
        _ => Err("a number from 0 to 1e9 is wanted".into()),
    }
}

/// For clap: a time in seconds.
///
/// # Errors
///
/// It isn't one.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = amount(text)?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// Text that may have a password: it is neither shown nor complained of word by word.
#[derive(Clone)]
struct Place(String);

impl From<&str> for Place {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

/// A cluster to talk to; the embedded one ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// For the scheduler client.
    pub config: Config,
    /// For the driver.
    pub http: Http,
    /// When and how to leave.
    pub leave: Leave,
    /// The connection to ZooKeeper, if it is said where that is.
    pub zk: Option<Zk>,
    /// Whether masters are found there,
    pub detected: bool,
    /// and speak TLS.
    https: bool,
    /// The framework's name.
    pub name: String,
    embedded: Option<Served>,
}

impl Cluster {
    /// Ends the embedded cluster, and waits until its processes are gone.
    pub async fn stop(self) {
        if let Some(served) = self.embedded {
            served.stop().await;
        }
    }

    /// Follows the leading master, where ZooKeeper knows it.
    #[must_use]
    pub fn detector(&self) -> Option<MasterDetector> {
        let zk = self.zk.as_ref().filter(|_| self.detected)?;
        Some(if self.https { MasterDetector::https(zk) } else { MasterDetector::new(zk) })
    }

    /// Which it is, for people.
    #[must_use]
    pub const fn about(&self) -> &'static str {
        match self.embedded {
            Some(_) => "a simulated cluster in this process, its tasks are processes of this machine",
            None if self.detected => "the cluster whose masters are found through ZooKeeper",
            None => "the cluster of the masters given",
        }
    }
}

impl ClusterOptions {
    /// Starts the embedded cluster, unless masters are given, and makes the configuration.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, and settings that cannot work.
    pub async fn prepare(&self) -> Result<Cluster, Failed> {
        self.master.log();
        let zk = self.zk()?;
        let detected = zk.is_some() && self.master.masters().is_empty();
        let embedded = if self.master.masters().is_empty() && !detected {
            let options = Options::default().allocation_interval(Duration::from_millis(200));
            Some(Served::start(options).await.map_err(|e| Failed::Usage(format!("embedded cluster: {e}")))?)
        } else {
            None
        };
        let masters = match &embedded {
            Some(served) => served.masters().iter().map(ToString::to_string).collect(),
            None => self.master.masters().to_vec(),
        };
        let framework = Framework::new(&self.name).failover_timeout(self.failover_timeout);
        let mut config = self.master.config(framework, (!detected).then_some(&masters))?;
        if let Some(id) = &self.framework_id {
            config = config.framework_id(id).map_err(|e| Failed::Usage(e.to_string()))?;
        }
        Ok(Cluster {
            config,
            http: self.master.http()?,
            leave: Leave::new(self.duration, self.teardown_on_exit)?,
            zk,
            detected,
            https: self.master.ca.is_some(),
            name: self.name.clone(),
            embedded,
        })
    }

    fn zk(&self) -> Result<Option<Zk>, Failed> {
        let Some(Place(text)) = &self.zk else { return Ok(None) };
        let settings: Settings = text.parse().map_err(|error| Failed::Usage(format!("--zk: {error}")))?;
        Ok(Some(Zk::new(settings.session_timeout(self.zk_timeout))?))
    }
}

impl MasterOptions {
    /// Those given.
    #[must_use]
    pub fn masters(&self) -> &[String] {
        &self.master
    }

    /// Starts to write what the library does, if that is wanted.
    pub fn log(&self) {
        if self.verbose {
            tracing_subscriber::fmt().with_max_level(tracing_level()).with_writer(std::io::stderr).init();
        }
    }

    /// The framework with its user, roles and credentials, at these masters, or at those that are detected.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, and settings that cannot work.
    pub fn config(&self, framework: Framework, masters: Option<&Vec<String>>) -> Result<Config, Failed> {
        let framework = placed(framework.user(&self.user).roles(&self.role), |name| std::env::var(name).ok());
        let config = match masters {
            Some(masters) => Config::new(framework, masters),
            None => Config::detected(framework),
        };
        let config = config.map_err(|e| Failed::Usage(e.to_string()))?;
        let (Some(principal), Some(file)) = (&self.principal, &self.secret_file) else { return Ok(config) };
        let secret = read(file)?;
        Ok(config.authorization(Authorization::basic(principal, secret.trim_ascii())))
    }

    /// How masters are reached.
    ///
    /// # Errors
    ///
    /// As [`config`](Self::config).
    pub fn http(&self) -> Result<Http, Failed> {
        let mut http = Http::builder();
        if let Some(file) = &self.ca {
            http = http.roots(read(file)?);
        }
        if let Some(name) = &self.server_name {
            http = http.server_name(name);
        }
        http.build().map_err(|e| Failed::Usage(e.to_string()))
    }
}

/// Says where this process runs, as Marathon and others tell the tasks that they run, schedulers among these.
fn placed(mut framework: Framework, variable: impl Fn(&str) -> Option<String>) -> Framework {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(host) = variable("HOST") {
        if let Some(port) = variable("PORT0") {
            framework = framework.webui_url(format!("http://{host}:{port}"));
        }
        framework = framework.hostname(host);
    }
    framework
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failed> {
    std::fs::read(file).map_err(|e| Failed::Usage(format!("{}: {e}", file.display())))
}

const fn tracing_level() -> tracing_subscriber::filter::LevelFilter {
    tracing_subscriber::filter::LevelFilter::DEBUG
}

#[cfg(test)]
mod tests {
    use super::*;

    // S26, S27
    #[test]
    fn the_environment_says_where_it_runs() {
        for (host, port, hostname, webui) in [
            (None, Some("8080"), None, None),
            (Some(""), Some("8080"), None, None),
            (Some("h1"), None, Some("h1"), None),
            (Some("h1"), Some("8080"), Some("h1"), Some("http://h1:8080")),
        ] {
            let variable = |name: &str| match name {
                "HOST" => host.map(str::to_owned),
                "PORT0" => port.map(str::to_owned),
                _ => None,
            };
            let framework = placed(Framework::new("test"), variable);
            let info = framework.info();
            assert_eq!((info.hostname.as_deref(), info.webui_url.as_deref()), (hostname, webui));
        }
    }
}
