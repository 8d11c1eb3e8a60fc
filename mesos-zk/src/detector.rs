//! Which master leads: the group that masters form in ZooKeeper.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use mesos_core::mesos_proto::{self, json};
use mesos_core::{Detector, Endpoint, v1};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, warn};
use zookeeper_client::{Client, Error};

use crate::{Zk, ZkError};

/// Between attempts at servers that are away.
const RETRY: Duration = Duration::from_secs(1);

/// What to speak with masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Follows the leading Mesos master: the one with the lowest number among those that have registered at a path, for which
/// the masters were given `zk://...`.
///
/// When the servers can't be reached, what was known last stands, since masters go on without them for a while; when the
/// session ends, nobody is known to lead until there is another one. Failures are told as `tracing` events only: see
/// [`leading_master`] for one look with a word of what is wrong.
///
/// A task on the thread of its [`Zk`] does the work, as long as this is there.
pub struct MasterDetector {
    news: watch::Receiver<Option<Endpoint>>,
}

impl MasterDetector {
    /// Follows the masters registered at the connection's path. They are addressed by IP.
    #[must_use]
    pub fn new(zk: &Zk) -> Self {
        Self::start(zk, Scheme::Http)
    }

    /// The same for masters that speak TLS. They are addressed by host name, as that is what certificates name.
    #[must_use]
    pub fn https(zk: &Zk) -> Self {
        Self::start(zk, Scheme::Https)
    }

    fn start(zk: &Zk, scheme: Scheme) -> Self {
        let (leader, news) = watch::channel(None);
        let task = zk.clone();
        zk.spawn(async move {
            tokio::select! {
                () = leader.closed() => {}
                () = follow(&task, scheme, &leader) => {}
            }
        });
        Self { news }
    }
}

impl Detector for MasterDetector {
    async fn next(&mut self) -> Option<Endpoint> {
        match self.news.changed().await {
            Ok(()) => self.news.borrow_and_update().clone(),
            // The thread has ended: there will be no news.
            Err(_) => std::future::pending().await,
        }
    }
}

impl fmt::Debug for MasterDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterDetector").field("leader", &*self.news.borrow()).finish_non_exhaustive()
    }
}

/// Which master leads now; `None` if none is registered at the connection's path.
///
/// # Errors
/// [`ZkError`], also if the leader's data can't be read.
pub fn leading_master(zk: &Zk) -> impl Future<Output = Result<Option<Endpoint>, ZkError>> + Send + 'static + use<> {
    let task = zk.clone();
    zk.run(async move {
        let client = task.client().await?;
        let folder = task.settings().root().to_owned();
        loop {
            let names = match task.answer(client.list_children(slash(&folder))).await {
                Some(Ok(names)) => names,
                Some(Err(Error::NoNode)) => return Ok(None),
                Some(Err(error)) => return Err(ZkError::new(&error, &folder)),
                None => return Err(ZkError::timeout()),
            };
            match look(&task, &client, &folder, names, Scheme::Http).await? {
                Look::Leader(leader) => return Ok(leader),
                Look::Gone => {}
            }
        }
    })
}

/// A path as the client wants it.
fn slash(root: &str) -> &str {
    if root.is_empty() { "/" } else { root }
}

async fn follow(zk: &Zk, scheme: Scheme, leader: &watch::Sender<Option<Endpoint>>) {
    let tell = |found: Option<Endpoint>| {
        leader.send_if_modified(|leader| {
            let news = *leader != found;
            if news {
                debug!(?found, "detected");
                *leader = found;
            }
            news
        });
    };
    loop {
        let client = match zk.client().await {
            Ok(client) => client,
            Err(error) => {
                warn!(servers = %zk.settings(), %error, "no detection");
                sleep(RETRY).await;
                continue;
            }
        };
        if let Err(error) = follow_on(zk, &client, scheme, &tell).await {
            warn!(servers = %zk.settings(), %error, "detection interrupted");
            if client.state().is_terminated() {
                tell(None);
            } else {
                sleep(RETRY).await;
            }
        }
    }
}

/// Follows the leader as long as the session lives.
async fn follow_on(
    zk: &Zk,
    client: &Client,
    scheme: Scheme,
    tell: &(impl Fn(Option<Endpoint>) + Sync),
) -> Result<(), ZkError> {
    let folder = zk.settings().root().to_owned();
    loop {
        let watcher = match zk.answer(client.list_and_watch_children(slash(&folder))).await {
            Some(Ok((names, watcher))) => match look(zk, client, &folder, names, scheme).await {
                Ok(Look::Leader(leader)) => {
                    tell(leader);
                    watcher
                }
                Ok(Look::Gone) => continue,
                // What can't be understood may be replaced by what can.
                Err(ZkError::Refused { path, detail }) => {
                    warn!(path, detail, "the leading master can't be made out");
                    tell(None);
                    watcher
                }
                Err(error) => return Err(error),
            },
            // No master has ever been here.
            Some(Err(Error::NoNode)) => {
                tell(None);
                let (stat, watcher) = zk.ask(&folder, client.check_and_watch_stat(&folder)).await?;
                if stat.is_some() {
                    continue;
                }
                watcher
            }
            Some(Err(error)) => return Err(ZkError::new(&error, &folder)),
            None => return Err(ZkError::timeout()),
        };
        watcher.changed().await;
        if client.state().is_terminated() {
            return Err(ZkError::Unavailable("the session has ended".into()));
        }
    }
}

enum Look {
    Leader(Option<Endpoint>),
    /// It went while one looked.
    Gone,
}

/// Reads who leads among the group's members.
async fn look(zk: &Zk, client: &Client, folder: &str, names: Vec<String>, scheme: Scheme) -> Result<Look, ZkError> {
    let Some((label, name)) = leader(&names) else { return Ok(Look::Leader(None)) };
    let path = format!("{folder}/{name}");
    let data = match zk.answer(client.get_data(&path)).await {
        Some(Ok((data, _))) => data,
        Some(Err(Error::NoNode)) => return Ok(Look::Gone),
        Some(Err(error)) => return Err(ZkError::new(&error, &path)),
        None => return Err(ZkError::timeout()),
    };
    match endpoint(label, &data, scheme) {
        Some(endpoint) => Ok(Look::Leader(Some(endpoint))),
        None => Err(ZkError::Refused { path, detail: "it names no master".into() }),
    }
}

/// The member with the lowest number, whatever its label, and the label. What has no number isn't a member.
fn leader(names: &[String]) -> Option<(&str, &str)> {
    let member = |name: &'_ String| {
        let digits = name.len().checked_sub(10)?;
        let (label, number) = name.split_at_checked(digits)?;
        let label = if label.is_empty() { label } else { label.strip_suffix('_')? };
        // A signed number of 32 bits, which may have passed its end.
        Some((number.parse::<i64>().ok().filter(|_| !number.starts_with('+'))?, label.len()))
    };
    let members = names.iter().filter_map(|name| Some((member(name)?, name)));
    let ((_, label), name) = members.min()?;
    Some((name.split_at_checked(label)?.0, name))
}

/// What a member says of itself: a MasterInfo as JSON (all masters of 1.x), as protobuf, or a bare process id.
fn endpoint(label: &str, data: &[u8], scheme: Scheme) -> Option<Endpoint> {
    let info: v1::MasterInfo = match label {
        "json.info" => json::decode(data).ok()?,
        "info" => mesos_proto::decode(Bytes::copy_from_slice(data)).ok()?,
        "" => v1::MasterInfo { pid: Some(std::str::from_utf8(data).ok()?.to_owned()), ..Default::default() },
        _ => return None,
    };
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let address = info.address.unwrap_or_default();
    let port = u16::try_from(address.port).ok().filter(|port| *port != 0);
    let (ip, hostname) = (some(address.ip), some(address.hostname).or_else(|| some(info.hostname)));
    let pid = info.pid.unwrap_or_default();
    let pid = pid.rsplit_once('@').map_or(pid.as_str(), |(_, place)| place);
    let tls = scheme == Scheme::Https;
    let at = |host: String, port: u16| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    };
    let place = match (port, if tls { hostname.clone().or(ip) } else { ip.or_else(|| hostname.clone()) }) {
        (Some(port), Some(host)) => at(host, port),
        _ => match (hostname.filter(|_| tls), pid.rsplit_once(':')) {
            (Some(host), Some((_, port))) => at(host, port.parse().ok()?),
            (None, Some(_)) => pid.to_owned(),
            (_, None) => return None,
        },
    };
    format!("{}://{place}", if tls { "https" } else { "http" }).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message as _;

    #[test]
    fn the_lowest_number_leads_whatever_its_name() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut all = names(&["json.info_0000000012", "log_replicas", "info_0000000011", "x", "json.info_00000000011"]);
        assert_eq!(leader(&all), Some(("info", "info_0000000011")));
        all.push("0000000010".into());
        assert_eq!(leader(&all), Some(("", "0000000010")));
        all.push("json.info_-000000001".into());
        assert_eq!(leader(&all), Some(("json.info", "json.info_-000000001")));
        assert_eq!(leader(&names(&["log_replicas", "json.info_", "json.info", "\u{e4}000000001"])), None);
    }

    // As a master of 1.11.0 writes it.
    const JSON: &[u8] = br#"{"address":{"hostname":"m1.example","ip":"10.0.0.1","port":5051},"capabilities":
        [{"type":"AGENT_UPDATE"},{"type":"SOMETHING_NEW"}],"hostname":"m1.example","id":"c1","ip":16777226,
        "pid":"master@10.0.0.1:5051","port":5051,"version":"1.11.0","not":{"known":[]}}"#;

    #[test]
    fn what_masters_write() {
        let shown = |label, data: &[u8], scheme| endpoint(label, data, scheme).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("json.info", JSON, Scheme::Http).as_deref(), Some("http://10.0.0.1:5051"));
        assert_eq!(shown("json.info", JSON, Scheme::Https).as_deref(), Some("https://m1.example:5051"));
        let old = v1::MasterInfo {
            id: "x".into(),
            ip: 1,
            port: 5050,
            pid: Some("master@10.0.0.2:5050".into()),
            hostname: Some("m2".into()),
            ..Default::default()
        };
        let data = old.encode_to_vec();
        assert_eq!(shown("info", &data, Scheme::Http).as_deref(), Some("http://10.0.0.2:5050"));
        assert_eq!(shown("info", &data, Scheme::Https).as_deref(), Some("https://m2:5050"));
        assert_eq!(shown("", b"master@10.0.0.3:5050", Scheme::Http).as_deref(), Some("http://10.0.0.3:5050"));
        assert_eq!(shown("", b"master@[::1]:5050", Scheme::Http).as_deref(), Some("http://[::1]:5050"));
        for (label, data) in
            [("json.info", &b""[..]), ("json.info", b"{}"), ("info", b"\xff"), ("", b"master"), ("y", JSON)]
        {
            assert_eq!(endpoint(label, data, Scheme::Http), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(names in proptest::collection::vec(".{0,14}", 0..4), data in any::<Vec<u8>>()) {
            let _ = leader(&names);
            for label in ["json.info", "info", ""] {
                let _ = endpoint(label, &data, Scheme::Http);
            }
        }
    }
}
