//! From bytes on a socket to checked events, timed: a stand-in master in a process of its own streams a file of
//! RecordIO scheduler events, and a client here looks at each offer's id and resources.
//!
//! ```text
//! cargo run --release -p mesos-tokio --example stream_bench              # 20 MB made up on the spot
//! cargo run --release -p mesos-tokio --example stream_bench -- FILE      # a file of events
//! cargo run --release -p mesos-tokio --example stream_bench -- FILE records    # one record a chunk, as Mesos does
//! ```
//!
//! Prints what was counted, the CPU time of the reading process and its peak memory (both from `/proc`).
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use mesos_core::scheduler::{Client, Config, Event, Framework};
use mesos_core::{Endpoint, ResourceValue, recordio, v1};
use mesos_tokio::{Driver, Http, mesos_core};
use prost::Message as _;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some("serve") = arguments.first().map(String::as_str) {
        let by_record = arguments.get(2).is_some_and(|a| a == "records");
        return serve(arguments.get(1).ok_or("serve FILE [records]")?, by_record);
    }
    let made = std::env::temp_dir().join(format!("mesos-stream-bench-{}", std::process::id()));
    let file = match arguments.first() {
        Some(file) => file.into(),
        None => {
            make(&made)?;
            made.clone()
        }
    };
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&file)
        .args(arguments.get(1))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut master = String::new();
    BufReader::new(server.stdout.take().ok_or("no pipe")?).read_line(&mut master)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(read(master.trim()));
    server.kill()?;
    server.wait()?;
    let _ = std::fs::remove_file(made);
    result
}

async fn read(master: &str) -> Result<()> {
    let config = Config::new(Framework::new("bench"), [master])?;
    let mut driver = Driver::new(Client::new(config, 7), Http::default());
    let before = cpu_seconds()?;
    let (mut events, mut offers, mut updates, mut resources, mut millicpus) = (0_u64, 0_u64, 0_u64, 0_u64, 0_i64);
    let mut id_bytes = 0;
    while let Some(event) = driver.next_event().await {
        match event {
            Event::StreamOpened { .. } => continue,
            Event::Offers(found) => {
                for offer in found.iter() {
                    offers += 1;
                    id_bytes += offer.id().len();
                    for resource in offer.resources() {
                        resources += 1;
                        if let ("cpus", ResourceValue::Scalar(value)) = (resource.name(), resource.value()) {
                            millicpus += (value * 1000.0).round() as i64;
                        }
                    }
                }
            }
            Event::Update(update) => {
                updates += 1;
                id_bytes += update.task_id().len();
            }
            Event::Malformed { path, .. } => return Err(format!("malformed: {path}").into()),
            // The file's end.
            Event::Disconnected { .. } => break,
            Event::Fatal(reason) => return Err(reason.into()),
            _ => {}
        }
        events += 1;
    }
    let cpu = cpu_seconds()? - before;
    let cpus = millicpus as f64 / 1000.0;
    println!("events={events} offers={offers} updates={updates} resources={resources} cpus={cpus} id_bytes={id_bytes}");
    println!("cpu={cpu:.3} s, {:.0} offers per CPU second, peak {:.1} MiB", offers as f64 / cpu, peak_mebibytes()?);
    Ok(())
}

/// Time on a processor of this process's only working thread.
fn cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanos: f64 = text.split(' ').next().ok_or("empty schedstat")?.parse()?;
    Ok(nanos / 1e9)
}

fn peak_mebibytes() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with("VmHWM")).ok_or("no VmHWM")?;
    let kibibytes: f64 = line.split_whitespace().nth(1).ok_or("empty VmHWM")?.parse()?;
    Ok(kibibytes / 1024.0)
}

/// Answers the first request with the file, in chunks of 64 KiB or of one record, and goes on to the next.
fn serve(file: &str, by_record: bool) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", Endpoint::Tcp { tls: false, host: "127.0.0.1".into(), port: listener.local_addr()?.port() });
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nMesos-Stream-Id: s\r\n\
              Transfer-Encoding: chunked\r\n\r\n",
        )?;
        let mut input = BufReader::with_capacity(1 << 20, std::fs::File::open(file)?);
        let mut piece = Vec::new();
        loop {
            piece.clear();
            if by_record {
                input.read_until(b'\n', &mut piece)?;
                let length = std::str::from_utf8(&piece)?.trim().parse().unwrap_or(0);
                (&mut input).take(length).read_to_end(&mut piece)?;
            } else {
                (&mut input).take(64 << 10).read_to_end(&mut piece)?;
            }
            let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
            // The client may have seen enough.
            if stream.write_all(&chunk).is_err() || piece.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

/// Writes about 20 MB of events: in turn 50 offers in one, and 20 updates.
fn make(file: &std::path::Path) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    let mut written = 0;
    let mut write = |event: v1::scheduler::Event| {
        let mut record = Vec::new();
        recordio::encode(&event.encode_to_vec(), &mut record);
        written += record.len();
        out.write_all(&record).map(|()| written)
    };
    let subscribed = v1::scheduler::event::Subscribed {
        framework_id: v1::FrameworkId { value: "framework".into() },
        ..Default::default()
    };
    let of = |r#type: v1::scheduler::event::Type| Some(r#type.into());
    use v1::scheduler::event::Type;
    write(v1::scheduler::Event { r#type: of(Type::Subscribed), subscribed: Some(subscribed), ..Default::default() })?;
    let mut serial = 0;
    loop {
        let offers = (0..50).map(|_| offer(&mut serial)).collect();
        let offers = Some(v1::scheduler::event::Offers { offers });
        write(v1::scheduler::Event { r#type: of(Type::Offers), offers, ..Default::default() })?;
        for _ in 0..20 {
            serial += 1;
            let status = v1::TaskStatus {
                task_id: v1::TaskId { value: format!("web.{serial:032}") },
                state: v1::TaskState::TaskRunning.into(),
                agent_id: Some(v1::AgentId { value: format!("agent-{serial:030}") }),
                uuid: Some(vec![7; 16].into()),
                ..Default::default()
            };
            let update = Some(v1::scheduler::event::Update { status });
            let event = v1::scheduler::Event { r#type: of(Type::Update), update, ..Default::default() };
            if write(event)? > 20_000_000 {
                return Ok(out.flush()?);
            }
        }
    }
}

fn offer(serial: &mut u64) -> v1::Offer {
    *serial += 1;
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.into(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: Some(v1::resource::AllocationInfo { role: Some("services/web".into()) }),
        ..Default::default()
    };
    let range = (0..5).map(|n| v1::value::Range { begin: 31_000 + n * 100, end: 31_050 + n * 100 }).collect();
    let ports = v1::Resource {
        r#type: v1::value::Type::Ranges.into(),
        scalar: None,
        ranges: Some(v1::value::Ranges { range }),
        ..scalar("ports", 0.0)
    };
    let attribute = |name: &str, value: &str| v1::Attribute {
        name: name.into(),
        r#type: v1::value::Type::Text.into(),
        text: Some(v1::value::Text { value: value.into() }),
        ..Default::default()
    };
    v1::Offer {
        id: v1::OfferId { value: format!("5d9f5a5c-0000-4000-8000-000000000001-O{serial}") },
        framework_id: v1::FrameworkId { value: "framework".into() },
        agent_id: v1::AgentId { value: format!("5d9f5a5c-0000-4000-8000-000000000001-S{}", *serial % 5000) },
        hostname: format!("ip-10-0-{}.compute.internal", *serial % 5000),
        resources: vec![scalar("cpus", 3.125), scalar("mem", 4096.0), scalar("disk", 90_000.0), ports],
        attributes: vec![attribute("rack", "rack-07"), attribute("os", "debian-12"), attribute("zone", "eu-1a")],
        ..Default::default()
    }
}
