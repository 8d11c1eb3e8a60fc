//! Health checks of tasks that are local processes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mesos_proto::v1;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Message;
use super::process::{prepared, signal};
use crate::TaskName;

/// The bytes of an answer that hold its status.
const STATUS: u64 = "HTTP/1.1 200".len() as u64;

/// Performs the check of a running task again and again, and tells each result.
pub(super) async fn watch(
    name: TaskName,
    check: v1::HealthCheck,
    command: v1::CommandInfo,
    sandbox: PathBuf,
    messages: mpsc::UnboundedSender<Message>,
) {
    let start = Instant::now();
    let seconds = |time: f64| Duration::try_from_secs_f64(time).unwrap_or_default();
    let (mut proven, mut failures) = (false, 0);
    tokio::time::sleep(seconds(check.delay_seconds())).await;
    loop {
        let timeout = Some(seconds(check.timeout_seconds())).filter(|timeout| !timeout.is_zero());
        let performed = perform(&check, &command, &sandbox);
        let healthy = match timeout {
            Some(timeout) => tokio::time::timeout(timeout, performed).await.unwrap_or(Ok(false)),
            None => performed.await,
        };
        let healthy = healthy.unwrap_or_else(|error| {
            tracing::debug!(?name, %error, "the health check can't be performed");
            false
        });
        proven |= healthy;
        failures = if healthy {
            0
        } else {
            failures + u32::from(proven || start.elapsed() >= seconds(check.grace_period_seconds()))
        };
        if healthy || failures > 0 {
            let kill = failures >= check.consecutive_failures() && !healthy;
            if messages.send(Message::Health { name: name.clone(), healthy, kill }).is_err() || kill {
                return;
            }
        }
        tokio::time::sleep(seconds(check.interval_seconds()).max(Duration::from_millis(10))).await;
    }
}

/// Whether it is healthy. Of https only the connection is looked at.
async fn perform(check: &v1::HealthCheck, task: &v1::CommandInfo, sandbox: &Path) -> io::Result<bool> {
    if let Some(command) = &check.command {
        // It runs in the task's container, and so in its environment.
        let mut command = command.clone();
        let environment = command.environment.get_or_insert_default();
        let own = std::mem::take(&mut environment.variables);
        environment.variables = task.environment.iter().flat_map(|of| of.variables.clone()).chain(own).collect();
        let mut child = prepared(&command, sandbox, []).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let _group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).map(Group);
        return Ok(child.wait().await?.success());
    }
    if let Some(tcp) = &check.tcp {
        return Ok(connect(tcp.port).await.is_ok());
    }
    let Some(http) = &check.http else { return Ok(false) };
    let mut stream = connect(http.port).await?;
    if http.scheme() == "https" {
        return Ok(true);
    }
    let path = http.path.as_deref().filter(|path| path.starts_with('/')).unwrap_or("/");
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", http.port);
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    stream.take(STATUS).read_to_end(&mut head).await?;
    let status = std::str::from_utf8(&head).ok().and_then(|head| head.split(' ').nth(1)?.parse::<u16>().ok());
    Ok(status.is_some_and(|status| (200..400).contains(&status)))
}

async fn connect(port: u32) -> io::Result<TcpStream> {
    let port = u16::try_from(port).map_err(io::Error::other)?;
    TcpStream::connect(("127.0.0.1", port)).await
}

/// What a check has started goes with it.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        signal(self.0, Signal::KILL);
    }
}
