//! Performing a check once: a command, a GET, a connection.

use std::process::Stdio;
use std::time::Duration;

use mesos_tokio::mesos_core::v1;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::command::Place;
use crate::exit::Exit;
use crate::process::Process;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Probe {
    Command(Box<v1::CommandInfo>),
    Http { tls: bool, host: &'static str, port: u16, path: String },
    Tcp { host: &'static str, port: u16 },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The command's exit code.
    Exited(i32),
    /// The answer's status.
    Answered(u16),
    /// Whether the connection was taken.
    Connected(bool),
    /// It came to no result.
    Failed(String),
}

impl Outcome {
    /// Whether a health check takes it for health.
    pub(crate) const fn is_healthy(&self) -> bool {
        match self {
            Self::Exited(code) => *code == 0,
            Self::Answered(status) => 200 <= *status && *status < 400,
            Self::Connected(connected) => *connected,
            Self::Failed(_) => false,
        }
    }
}

/// How many answers that lead elsewhere are followed.
const REDIRECTIONS: usize = 10;

/// The head of an answer that is still read.
const HEAD: usize = 64 * 1024;

impl Probe {
    /// Does it. A time-out is a failure.
    pub(crate) async fn perform(&self, place: &Place, timeout: Option<Duration>) -> Outcome {
        let Some(timeout) = timeout else { return self.attempt(place).await };
        let outcome = tokio::time::timeout(timeout, self.attempt(place)).await;
        outcome.unwrap_or_else(|_| Outcome::Failed(format!("timed out after {} s", timeout.as_secs_f64())))
    }

    async fn attempt(&self, place: &Place) -> Outcome {
        match self {
            Self::Command(info) => run(place, info).await,
            Self::Tcp { host, port } => Outcome::Connected(TcpStream::connect((*host, *port)).await.is_ok()),
            Self::Http { tls: true, host, port, path } => curl(place, &url("https", host, *port, path)).await,
            Self::Http { tls: false, host, port, path } => get(host, *port, path).await,
        }
    }
}

fn url(scheme: &str, host: &str, port: u16, path: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}:{port}{path}")
}

/// Ends a check's processes when nobody waits for its result any more.
struct Ending(Process);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL);
    }
}

async fn finish(command: &mut std::process::Command) -> Result<Exit, String> {
    let (ended, end) = oneshot::channel();
    let told = move |exit| {
        // Whoever waits no longer has dropped the rest.
        let _ = ended.send(exit);
    };
    let process = Process::start(command, told).map_err(|error| error.to_string())?;
    let _ending = Ending(process);
    Ok(end.await.unwrap_or(Exit::Unknown))
}

async fn run(place: &Place, info: &v1::CommandInfo) -> Outcome {
    let mut command = match place.command(info) {
        Ok(command) => command,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    match finish(command.stdout(std::io::stderr())).await {
        Ok(Exit::Status(code)) => Outcome::Exited(code),
        Ok(exit) => Outcome::Failed(exit.to_string()),
        Err(error) => Outcome::Failed(error),
    }
}

/// TLS is left to curl, which Mesos's own executors use for all: certificates aren't verified, redirections are
/// followed.
async fn curl(place: &Place, url: &str) -> Outcome {
    let arguments = ["-s", "-S", "-L", "-k", "-w", "%{http_code}", "-o", "/dev/null", "-g", url];
    let mut command = match place.command(&v1::CommandInfo::exec("curl", arguments)) {
        Ok(command) => tokio::process::Command::from(command),
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let output = match command.output().await {
        Ok(output) => output,
        Err(error) => return Outcome::Failed(format!("curl: {error}")),
    };
    let status = std::str::from_utf8(&output.stdout).ok().and_then(|text| text.trim().parse().ok());
    match status.filter(|_| output.status.success()) {
        Some(status) => Outcome::Answered(status),
        None => Outcome::Failed(format!("curl {}", Exit::from(output.status))),
    }
}

/// GET, as far as the head of the answer; on to where it leads, unless that takes TLS.
async fn get(host: &str, port: u16, path: &str) -> Outcome {
    let (mut host, mut port, mut path) = (host.to_owned(), port, path.to_owned());
    for _ in 0..=REDIRECTIONS {
        let (status, location) = match head(&host, port, &path).await {
            Ok(answer) => answer,
            Err(error) => return Outcome::Failed(error),
        };
        match location.filter(|_| (300..400).contains(&status)).and_then(|to| resolve(&host, port, &path, &to)) {
            Some(next) => (host, port, path) = next,
            None => return Outcome::Answered(status),
        }
    }
    Outcome::Failed("too many redirections".into())
}

/// Where a `Location` leads.
fn resolve(host: &str, port: u16, path: &str, location: &str) -> Option<(String, u16, String)> {
    let location = location.split('#').next()?;
    let (authority, path) = if let Some(rest) = location.strip_prefix("http://").or_else(|| location.strip_prefix("//"))
    {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        (Some(authority), if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
    } else if location.starts_with('/') {
        (None, location.to_owned())
    } else if location.contains("://") || location.is_empty() {
        return None;
    } else {
        let folder = path.split('?').next()?.rsplit_once('/').map_or("", |(folder, _)| folder);
        (None, format!("{folder}/{location}"))
    };
    let Some(authority) = authority else { return Some((host.to_owned(), port, path)) };
    let authority = authority.rsplit('@').next()?;
    let (name, number) = match authority.rsplit_once(':') {
        Some((name, number)) if !number.ends_with(']') => (name, number.parse().ok()?),
        _ => (authority, 80),
    };
    Some((name.trim_matches(['[', ']']).to_owned(), number, path))
}

/// The status, and the `Location` if there is one.
async fn head(host: &str, port: u16, path: &str) -> Result<(u16, Option<String>), String> {
    let mut stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    if path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err(format!("{path:?} is no path"));
    }
    let authority = url("", host, port, "");
    let authority = authority.trim_start_matches("://");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: mesos-executor\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let mut part = [0; 2048];
    let end = loop {
        let count = stream.read(&mut part).await.map_err(|error| error.to_string())?;
        answer.extend_from_slice(part.get(..count).unwrap_or_default());
        match answer.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => break end,
            None if count == 0 || answer.len() > HEAD => return Err("no answer".into()),
            None => {}
        }
    };
    let text = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).into_owned();
    let mut lines = text.split("\r\n");
    let status = lines.next().filter(|line| line.starts_with("HTTP/")).and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok()).ok_or("no answer in HTTP")?;
    let location = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    Ok((status, location))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn place() -> Place {
        Place::new(std::env::temp_dir(), [""; 0])
    }

    /// Answers each connection with the next of these, having read its request, which it hands back.
    async fn server(answers: &'static [&'static str]) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let count = stream.read(&mut request).await.unwrap();
                requests.push(String::from_utf8_lossy(&request[..count]).lines().next().unwrap().to_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        (port, serving)
    }

    fn http(port: u16) -> Probe {
        Probe::Http { tls: false, host: "127.0.0.1", port, path: "/here?a=b".into() }
    }

    #[tokio::test]
    async fn get_tells_the_status() {
        for (answer, outcome, healthy) in [
            ("HTTP/1.1 200 OK\r\n\r\nwell", Outcome::Answered(200), true),
            ("HTTP/1.0 503 Not now\r\nA: b\r\n\r\n", Outcome::Answered(503), false),
            ("HTTP/1.1 304 As it was\r\n\r\n", Outcome::Answered(304), true),
            ("HTTP/1.1 302 There\r\nLocation: https://127.0.0.1/\r\n\r\n", Outcome::Answered(302), true),
            ("SSH-2.0\r\n\r\n", Outcome::Failed("no answer in HTTP".into()), false),
            ("HTTP/1.1 200 OK\r\n", Outcome::Failed("no answer".into()), false),
        ] {
            let answers: &'static [&'static str] = Box::leak(Box::new([answer]));
            let (port, serving) = server(answers).await;
            let got = http(port).perform(&place(), Some(Duration::from_secs(10))).await;
            assert_eq!((got.is_healthy(), got), (healthy, outcome));
            assert_eq!(serving.await.unwrap(), ["GET /here?a=b HTTP/1.1"]);
        }
    }

    #[tokio::test]
    async fn redirections_are_followed() {
        let (port, serving) = server(&[
            "HTTP/1.1 307 x\r\nlocation: /there\r\n\r\n",
            "HTTP/1.1 301 x\r\nLocation: next?c\r\n\r\n",
            "HTTP/1.1 404 x\r\n\r\n",
        ])
        .await;
        assert_eq!(http(port).perform(&place(), None).await, Outcome::Answered(404));
        assert_eq!(serving.await.unwrap(), ["GET /here?a=b HTTP/1.1", "GET /there HTTP/1.1", "GET /next?c HTTP/1.1"]);
    }

    #[test]
    fn where_locations_lead() {
        for (location, to) in [
            ("/a/b", Some(("h", 1, "/a/b"))),
            ("http://other:8080/x#part", Some(("other", 8080, "/x"))),
            ("http://other", Some(("other", 80, "/"))),
            ("//[::1]:5/x", Some(("::1", 5, "/x"))),
            ("http://[::1]", Some(("::1", 80, "/"))),
            ("http://user@other?q", Some(("other", 80, "/?q"))),
            ("c", Some(("h", 1, "/a/c"))),
            ("https://other/", None),
            ("http://other:nonsense/", None),
            ("", None),
        ] {
            let to = to.map(|(host, port, path): (&str, u16, &str)| (host.to_owned(), port, path.to_owned()));
            assert_eq!(resolve("h", 1, "/a/b?c", location), to, "{location}");
        }
    }

    #[tokio::test]
    async fn connections() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = Probe::Tcp { host: "127.0.0.1", port: listener.local_addr().unwrap().port() };
        assert_eq!(probe.perform(&place(), None).await, Outcome::Connected(true));
        drop(listener);
        assert_eq!(probe.perform(&place(), None).await, Outcome::Connected(false));
    }

    #[tokio::test]
    async fn commands() {
        let run = async |line: &str, timeout| {
            Probe::Command(Box::new(v1::CommandInfo::new(line))).perform(&place(), timeout).await
        };
        assert_eq!(run("exit 0", None).await, Outcome::Exited(0));
        assert_eq!(run("exit 3", None).await, Outcome::Exited(3));
        assert_eq!(run("kill -KILL $$", None).await, Outcome::Failed("terminated with signal Killed".into()));
        let missing = Probe::Command(Box::new(v1::CommandInfo::exec("/no/such", [""; 0])));
        assert!(matches!(missing.perform(&place(), None).await, Outcome::Failed(_)));
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000", folder.path().join("pid").display());
        let probe = Probe::Command(Box::new(v1::CommandInfo::new(line)));
        let outcome = probe.perform(&place(), Some(Duration::from_secs(1))).await;
        assert_eq!(outcome, Outcome::Failed("timed out after 1 s".into()));
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        for _ in 0..2000 {
            if !std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{pid} lives");
    }
}
