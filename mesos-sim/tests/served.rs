//! The served cluster, from outside: HTTP by hand over TCP, and real processes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mesos_proto::v1;
use mesos_sim::Options;
use mesos_sim::serve::Served;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use v1::TaskState;
use v1::scheduler::{Call, Event, call, event};

/// Nothing here should take longer; a hang is a failure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("no hang")
}

struct Stream {
    connection: TcpStream,
    buffer: Vec<u8>,
    id: String,
    head: String,
}

async fn post(master: SocketAddr, extra: &str, call: &Call) -> std::io::Result<(TcpStream, String)> {
    let mut connection = TcpStream::connect(master).await?;
    let body = call.encode_to_vec();
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
         Accept: application/x-protobuf\r\n{extra}Content-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(&body).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    Ok((connection, String::from_utf8(head).unwrap()))
}

fn subscribe(id: Option<v1::FrameworkId>) -> Call {
    let framework_info = v1::FrameworkInfo {
        user: "root".into(),
        name: "served".into(),
        failover_timeout: Some(60.0),
        id: id.clone(),
        ..Default::default()
    };
    Call {
        framework_id: id,
        r#type: Some(call::Type::Subscribe.into()),
        subscribe: Some(call::Subscribe { framework_info, ..Default::default() }),
        ..Default::default()
    }
}

impl Stream {
    async fn open(master: SocketAddr, id: Option<v1::FrameworkId>) -> Self {
        let (connection, head) = post(master, "", &subscribe(id)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let id = head.lines().find_map(|line| line.strip_prefix("Mesos-Stream-Id: ")).unwrap().to_owned();
        Self { connection, buffer: Vec::new(), id, head }
    }

    /// The next chunk; `None` at the end, of whichever kind.
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.connection.read_u8().await.ok()?);
        }
        let len = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let mut data = vec![0; len + 2];
        self.connection.read_exact(&mut data).await.ok()?;
        data.truncate(len);
        (len > 0).then_some(data)
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(line) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let len: usize = std::str::from_utf8(&self.buffer[..line]).unwrap().parse().unwrap();
                if self.buffer.len() > line + len {
                    let record: Vec<u8> = self.buffer.drain(..=line + len).skip(line + 1).collect();
                    return Some(mesos_proto::decode(record).unwrap());
                }
            }
            let chunk = self.chunk().await?;
            self.buffer.extend(chunk);
        }
    }

    async fn until<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            let event = soon(self.event()).await.expect("the stream lives");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    }
}

async fn act(master: SocketAddr, stream: &Stream, id: &v1::FrameworkId, call: Call) {
    let extra = format!("Mesos-Stream-Id: {}\r\n", stream.id);
    let (_, head) = post(master, &extra, &Call { framework_id: Some(id.clone()), ..call }).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 202"), "{head}");
    assert!(head.contains("Content-Length: 0\r\n"), "{head}");
}

fn launch(offer: &v1::Offer, id: &str, command: &str) -> Call {
    let scalar = |name: &str, value| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..Default::default()
    };
    let task = v1::TaskInfo {
        name: id.into(),
        task_id: v1::TaskId { value: id.into() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
        command: Some(Box::new(v1::CommandInfo { value: Some(command.into()), ..Default::default() })),
        ..Default::default()
    };
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(v1::offer::operation::Launch { task_infos: vec![task] }),
        ..Default::default()
    };
    Call {
        r#type: Some(call::Type::Accept.into()),
        accept: Some(call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![operation],
            filters: Some(v1::Filters { refuse_seconds: Some(0.0) }),
        }),
        ..Default::default()
    }
}

/// Acknowledges until the task has come to this state, and hands back its message.
async fn follow(master: SocketAddr, stream: &mut Stream, id: &v1::FrameworkId, last: TaskState) -> v1::TaskStatus {
    loop {
        let status = stream.until(|event| event.update.map(|update| update.status)).await;
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        let kind = Some(call::Type::Acknowledge.into());
        act(master, stream, id, Call { r#type: kind, acknowledge: Some(acknowledge), ..Default::default() }).await;
        if status.state() == last {
            return status;
        }
    }
}

fn options() -> Options {
    Options::default().allocation_interval(Duration::from_millis(20)).reregistration(Duration::from_millis(50))
}

async fn first_offer(stream: &mut Stream) -> v1::Offer {
    stream.until(|event| event.offers.map(|mut offers| offers.offers.remove(0))).await
}

async fn subscribed(stream: &mut Stream) -> v1::FrameworkId {
    stream.until(|event| event.subscribed.map(|subscribed| subscribed.framework_id)).await
}

#[tokio::test]
async fn tasks_are_real_processes() {
    let cluster = Served::start(options()).await.unwrap();
    let master = cluster.masters()[0];
    let mut stream = Stream::open(master, None).await;
    assert!(stream.head.contains("Transfer-Encoding: chunked\r\n"), "{}", stream.head);
    let id = subscribed(&mut stream).await;
    let offer = first_offer(&mut stream).await;
    act(master, &stream, &id, launch(&offer, "fails", "exit 7")).await;
    let failed = follow(master, &mut stream, &id, TaskState::TaskFailed).await;
    assert_eq!(failed.message(), "Command exited with status 7");

    // A task with a child; its end is the end of both.
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let command = format!("sleep 1000 & echo $! $$ > {}.new; mv {0}.new {0}; wait", pids.display());
    let offer = first_offer(&mut stream).await;
    act(master, &stream, &id, launch(&offer, "stays", &command)).await;
    follow(master, &mut stream, &id, TaskState::TaskRunning).await;
    soon(async {
        while !pids.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let pids = std::fs::read_to_string(&pids).unwrap();
    let kill = call::Kill { task_id: v1::TaskId { value: "stays".into() }, ..Default::default() };
    act(master, &stream, &id, Call { r#type: Some(call::Type::Kill.into()), kill: Some(kill), ..Default::default() })
        .await;
    follow(master, &mut stream, &id, TaskState::TaskKilled).await;
    soon(gone(&pids)).await;
    cluster.stop().await;
}

#[tokio::test]
async fn health_checks_are_performed() {
    let directory = tempfile::tempdir().unwrap();
    let ill = directory.path().join("ill");
    let answers = |status: &'static str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                use std::io::{Read as _, Write as _};
                let _ = stream.read(&mut [0; 1024]);
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            }
        });
        port
    };
    let command = v1::CommandInfo::new(format!("test \"$A$B\" = 12 && ! test -e {}", ill.display()));
    let checks = [
        ("command", true, v1::HealthCheck::command(command.with_env([("B", "2")]))),
        ("tcp", true, v1::HealthCheck::tcp(answers("200 OK"))),
        ("http", true, v1::HealthCheck::http(answers("302 Found"), "/health")),
        ("refused", false, v1::HealthCheck::http(answers("500 Internal Server Error"), "/health")),
        ("slow", false, v1::HealthCheck::command(v1::CommandInfo::new("sleep 1000"))),
    ];
    for (name, healthy, check) in checks {
        let cluster = Served::start(options()).await.unwrap();
        let master = cluster.masters()[0];
        let mut stream = Stream::open(master, None).await;
        let id = subscribed(&mut stream).await;
        let offer = first_offer(&mut stream).await;
        let mut call = launch(&offer, name, "exec sleep 1000");
        let task = &mut call.accept.as_mut().unwrap().operations[0].launch.as_mut().unwrap().task_infos[0];
        let command = task.command.take().unwrap();
        task.command = Some(Box::new(command.with_env([("A", "1")])));
        let check = v1::HealthCheck { timeout_seconds: Some(0.5), ..check };
        let check = check.with_delay(Duration::ZERO).with_interval(Duration::from_millis(50));
        task.health_check = Some(Box::new(check.with_grace_period(Duration::ZERO).with_consecutive_failures(2)));
        act(master, &stream, &id, call).await;
        let first = loop {
            let status = follow(master, &mut stream, &id, TaskState::TaskRunning).await;
            if let Some(healthy) = status.healthy {
                break healthy;
            }
        };
        assert_eq!(first, healthy, "{name}");
        if name == "command" {
            std::fs::write(&ill, "").unwrap();
        }
        if !healthy || name == "command" {
            let killed = follow(master, &mut stream, &id, TaskState::TaskKilled).await;
            assert_eq!(killed.healthy, Some(false), "{name}");
        }
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_stream_has_the_headers_of_the_real_master_in_its_order() {
    let cluster = Served::start(options()).await.unwrap();
    let stream = Stream::open(cluster.masters()[0], None).await;
    let names: Vec<&str> = stream.head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert_eq!(names, ["Date", "Transfer-Encoding", "Mesos-Stream-Id", "Content-Type"]);
    cluster.stop().await;
}

/// Until no process with one of these ids is left (a zombie that nobody waits for counts as gone).
async fn gone(pids: &str) {
    for pid in pids.split_whitespace() {
        let stat = format!("/proc/{pid}/stat");
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn stopping_the_cluster_ends_its_processes() {
    let cluster = Served::start(options()).await.unwrap();
    let master = cluster.masters()[0];
    let mut stream = Stream::open(master, None).await;
    let id = subscribed(&mut stream).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let offer = first_offer(&mut stream).await;
    let command = format!("trap '' TERM; echo $$ > {}.new; mv {0}.new {0}; sleep 1000", file.display());
    act(master, &stream, &id, launch(&offer, "deaf", &command)).await;
    soon(async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let pid = std::fs::read_to_string(&file).unwrap();
    soon(cluster.stop()).await;
    soon(gone(&pid)).await;
    assert!(soon(stream.event()).await.is_none_or(|event| event.r#type() != event::Type::Unknown));
}

/// Starts a task that starts another, says so, and stays.
#[tokio::test]
#[ignore = "tasks_end_with_a_program_that_is_killed runs it as a process"]
async fn holds_a_cluster() {
    let cluster = Served::start(options()).await.unwrap();
    let master = cluster.masters()[0];
    let mut stream = Stream::open(master, None).await;
    let id = subscribed(&mut stream).await;
    let offer = first_offer(&mut stream).await;
    // One of the two is in a session of its own, as an executor's tasks may be.
    let command = "setsid sh -c 'echo $$ > $0; exec sleep 1000' \"$PIDS\" & echo $$ >> \"$PIDS.too\"; sleep 1000";
    let pids = std::env::var("PIDS").unwrap();
    act(master, &stream, &id, launch(&offer, "t", &format!("PIDS={pids}; {command}"))).await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn tasks_end_with_a_program_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let program = std::env::current_exe().unwrap();
    let mut program = std::process::Command::new(program);
    program.args(["--exact", "holds_a_cluster", "--ignored"]).env("PIDS", &pids);
    let mut program = program.stdout(std::process::Stdio::null()).spawn().unwrap();
    let read = |file: PathBuf| async move {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let running = [soon(read(pids.clone())).await, soon(read(pids.with_extension("too"))).await];
    program.kill().unwrap();
    program.wait().unwrap();
    for pid in running {
        soon(gone(&pid)).await;
    }
}

#[tokio::test]
async fn streams_are_rechunked_if_asked_for() {
    let cluster = Served::start(options().rechunk(true)).await.unwrap();
    let mut stream = Stream::open(cluster.masters()[0], None).await;
    let first = soon(stream.chunk()).await.unwrap();
    stream.buffer.extend(&first);
    // Offers and heartbeats until a chunk has ended within a record, as each does with the default options.
    let mut within = false;
    while !within {
        within = !stream.buffer.is_empty();
        let event = soon(stream.event()).await.unwrap();
        within &= !stream.buffer.is_empty() || event.r#type() == event::Type::Subscribed;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_killed_master_breaks_its_connections_and_comes_back() {
    let cluster = Served::start(options().masters(2).election(Duration::from_millis(50))).await.unwrap();
    let masters = cluster.masters().to_vec();
    let mut stream = Stream::open(masters[0], None).await;
    let id = subscribed(&mut stream).await;
    cluster.control(|cluster| cluster.kill_master(0)).await;
    soon(async { while stream.event().await.is_some() {} }).await;
    assert!(post(masters[0], "", &subscribe(None)).await.is_err(), "refused");
    soon(async {
        while cluster.control(|cluster| cluster.leader()).await != Some(Some(1)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    cluster.restart_master(0).await.unwrap();
    let (_, head) = post(masters[0], "", &subscribe(Some(id.clone()))).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 307"), "{head}");
    assert!(head.contains(&format!("Location: //{}/master/api/v1/scheduler\r\n", masters[1])), "{head}");
    let mut stream = Stream::open(masters[1], Some(id.clone())).await;
    assert_eq!(subscribed(&mut stream).await, id);
    cluster.stop().await;
}
