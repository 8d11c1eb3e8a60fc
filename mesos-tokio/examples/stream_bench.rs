//! How much processor time it takes from bytes to checked events, against what one would write by hand.
//!
//! ```text
//! cargo xtask bench                         # 200 MB: 20 MB made up on the spot, ten times
//! cargo xtask bench FILE                    # a file of scheduler events, protobuf in RecordIO
//! cargo xtask bench FILE records            # one record a chunk, as Mesos sends them, instead of 64 KiB
//! ```
//!
//! Two pairs, run in turn five times after a warm-up, each run in a process of its own:
//!
//! - framing: [`recordio::Decoder`] against a loop over one buffer that lends its records;
//! - events: the client over HTTP, which looks at each offer's id and resources, against hyper, that loop and plain
//!   prost, which builds each event and checks nothing.
//!
//! What counts is the ratio within a pair, in processor time of the reading process; the seconds themselves say how
//! fast the machine is. Linux only: times and memory are read from `/proc`.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use http_body_util::{BodyExt, Full};
use mesos_core::scheduler::{Client, Config, Event, Framework};
use mesos_core::{Endpoint, ResourceValue, recordio, v1};
use mesos_tokio::{Driver, Http, mesos_core};
use prost::Message as _;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The size of the pieces in which a file is read and sent.
const PIECE: usize = 64 << 10;
const ROUNDS: usize = 5;
/// Records above this size aren't expected.
const LIMIT: usize = 64 << 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", file, times, by] => serve(file, times.parse()?, by == "records"),
        ["frame", file, times] => measured(|tally| frame(file, times.parse()?, tally)),
        ["frame-by-hand", file, times] => measured(|tally| frame_by_hand(file, times.parse()?, tally)),
        ["events", master] => measured(|tally| runtime()?.block_on(events(master, tally))),
        ["events-by-hand", master] => measured(|tally| runtime()?.block_on(events_by_hand(master, tally))),
        [] => {
            let made = std::env::temp_dir().join(format!("mesos-stream-bench-{}", std::process::id()));
            let result = make(&made).and_then(|()| compare(&made, 10, "pieces"));
            std::fs::remove_file(made)?;
            result
        }
        [file] => compare(Path::new(file), 1, "pieces"),
        [file, "records"] => compare(Path::new(file), 1, "records"),
        _ => Err("stream_bench [FILE [records]]".into()),
    }
}

/// What a run has seen: two that read the same saw the same.
#[derive(Default)]
struct Tally {
    events: u64,
    offers: u64,
    /// The bytes of all records, when framing; of the offers' ids otherwise.
    bytes: usize,
    resources: u64,
    millicpus: i64,
}

/// One run of a child.
struct Run {
    cpu: f64,
    peak: f64,
    seen: String,
}

fn compare(file: &Path, times: u32, by: &str) -> Result<()> {
    let mut server = Server::start(file, times, by)?;
    let (master, file, times) =
        (server.master()?, file.to_str().ok_or("the file's name isn't UTF-8")?, times.to_string());
    pair("framing", &["frame", file, &times], &["frame-by-hand", file, &times])?;
    pair("events", &["events", &master], &["events-by-hand", &master])
}

/// Runs two programs in turn.
fn pair(name: &str, ours: &[&str], by_hand: &[&str]) -> Result<()> {
    run(ours)?;
    run(by_hand)?;
    let mut runs = Vec::new();
    for _ in 0..ROUNDS {
        runs.push((run(ours)?, run(by_hand)?));
    }
    let Some((a, b)) = runs.first() else { return Ok(()) };
    if runs.iter().any(|(ours, by_hand)| ours.seen != a.seen || by_hand.seen != a.seen) {
        return Err(format!("{name}: {} and {} were seen", a.seen, b.seen).into());
    }
    let median = |of: &dyn Fn(&(Run, Run)) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    println!(
        "{name:<8} {:.3} s, by hand {:.3} s: ratio {:.2}; peak {:.1} MiB, by hand {:.1} MiB ({})",
        median(&|(ours, _)| ours.cpu),
        median(&|(_, by_hand)| by_hand.cpu),
        median(&|(ours, by_hand)| ours.cpu / by_hand.cpu),
        median(&|(ours, _)| ours.peak),
        median(&|(_, by_hand)| by_hand.peak),
        a.seen,
    );
    Ok(())
}

fn run(arguments: &[&str]) -> Result<Run> {
    let output = Command::new(std::env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut parts = text.trim().splitn(3, ' ');
    let (Some(cpu), Some(peak), Some(seen)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("{arguments:?} failed").into());
    };
    Ok(Run { cpu: cpu.parse()?, peak: peak.parse()?, seen: seen.to_owned() })
}

/// Prints time, memory and what was seen.
fn measured(work: impl FnOnce(&mut Tally) -> Result<()>) -> Result<()> {
    let before = cpu_seconds()?;
    let mut tally = Tally::default();
    work(&mut tally)?;
    let cpu = cpu_seconds()? - before;
    let Tally { events, offers, bytes, resources, millicpus } = tally;
    println!(
        "{cpu} {} events={events} offers={offers} resources={resources} cpus={} bytes={bytes}",
        peak_mebibytes()?,
        millicpus as f64 / 1000.0
    );
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

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn frame(file: &str, times: u32, tally: &mut Tally) -> Result<()> {
    let mut piece = vec![0; PIECE];
    for _ in 0..times {
        let mut input = File::open(file)?;
        let mut decoder = recordio::Decoder::new(LIMIT);
        loop {
            let len = input.read(&mut piece)?;
            if len == 0 {
                break;
            }
            decoder.push(&piece[..len]);
            while let Some(record) = decoder.next_record()? {
                tally.events += 1;
                tally.bytes += record.len();
            }
        }
        decoder.finish()?;
    }
    Ok(())
}

/// One buffer, which is read into and whose records are lent: what nothing that hands out records can beat.
fn frame_by_hand(file: &str, times: u32, tally: &mut Tally) -> Result<()> {
    let (mut buffer, mut start, mut end) = (vec![0; 1 << 20], 0, 0);
    for _ in 0..times {
        let mut input = File::open(file)?;
        loop {
            while let Some((record, behind)) = cut(&buffer[start..end]) {
                tally.events += 1;
                tally.bytes += record.len();
                start += behind;
            }
            if buffer.len() - end < PIECE {
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                buffer.resize(buffer.len().max(end + PIECE), 0);
            }
            let len = input.read(&mut buffer[end..end + PIECE])?;
            if len == 0 {
                break;
            }
            end += len;
        }
    }
    Ok(())
}

/// The first record, and where the next one begins. For streams without faults.
fn cut(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let line = bytes.iter().take(21).position(|&byte| byte == b'\n')?;
    let len = bytes[..line].iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
    let end = line + 1 + len;
    Some((bytes.get(line + 1..end)?, end))
}

async fn events(master: &str, tally: &mut Tally) -> Result<()> {
    let config = Config::new(Framework::new("bench"), [master])?;
    let mut driver = Driver::new(Client::new(config, 7), Http::default());
    while let Some(event) = driver.next_event().await {
        match event {
            Event::StreamOpened { .. } => continue,
            Event::Offers(found) => {
                for offer in found.iter() {
                    tally.offers += 1;
                    tally.bytes += offer.id().len();
                    for resource in offer.resources() {
                        tally.resources += 1;
                        if let ("cpus", ResourceValue::Scalar(value)) = (resource.name(), resource.value()) {
                            tally.millicpus += (value * 1000.0).round() as i64;
                        }
                    }
                }
            }
            Event::Update(update) => tally.bytes += update.task_id().len(),
            Event::Malformed { path, .. } => return Err(format!("malformed: {path}").into()),
            // The file's end.
            Event::Disconnected { .. } => break,
            Event::Fatal(reason) => return Err(reason.into()),
            _ => {}
        }
        tally.events += 1;
    }
    Ok(())
}

async fn events_by_hand(master: &str, tally: &mut Tally) -> Result<()> {
    let Endpoint::Tcp { host, port, .. } = master.parse()? else { return Err("a TCP port is wanted".into()) };
    let stream = tokio::net::TcpStream::connect((host.as_str(), port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::post("/api/v1/scheduler")
        .header("Host", host)
        .header("Accept", "application/x-protobuf")
        .header("Content-Type", "application/x-protobuf")
        .body(Full::new(bytes::Bytes::from_static(&[8, 1])))?;
    let mut body = sender.send_request(request).await?.into_body();
    let mut buffer: Vec<u8> = Vec::new();
    while let Some(piece) = body.frame().await {
        let Ok(piece) = piece?.into_data() else { continue };
        buffer.extend_from_slice(&piece);
        let mut start = 0;
        while let Some((record, behind)) = cut(&buffer[start..]) {
            by_hand(&v1::scheduler::Event::decode(record)?, tally);
            start += behind;
        }
        buffer.drain(..start);
    }
    Ok(())
}

fn by_hand(event: &v1::scheduler::Event, tally: &mut Tally) {
    tally.events += 1;
    for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
        tally.offers += 1;
        tally.bytes += offer.id.value.len();
        for resource in &offer.resources {
            tally.resources += 1;
            if let ("cpus", Some(scalar)) = (resource.name.as_str(), &resource.scalar) {
                tally.millicpus += (scalar.value * 1000.0).round() as i64;
            }
        }
    }
    tally.bytes += event.update.as_ref().map_or(0, |update| update.status.task_id.value.len());
}

/// The stand-in master's process; ends with this value.
struct Server(Child);

impl Server {
    fn start(file: &Path, times: u32, by: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self(command.arg("serve").arg(file).arg(times.to_string()).arg(by).stdout(Stdio::piped()).spawn()?))
    }

    fn master(&mut self) -> Result<String> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers each request with the file, in chunks of 64 KiB or of one record; from the second time on without its first
/// record, which is SUBSCRIBED.
fn serve(file: &str, times: u32, by_record: bool) -> Result<()> {
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
        let mut input = BufReader::with_capacity(1 << 20, File::open(file)?);
        let (mut piece, mut left) = (Vec::new(), times);
        while left > 0 {
            piece.clear();
            if by_record {
                read_record(&mut input, &mut piece)?;
            } else {
                (&mut input).take(PIECE as u64).read_to_end(&mut piece)?;
            }
            if piece.is_empty() {
                left -= 1;
                input.seek(SeekFrom::Start(0))?;
                read_record(&mut input, &mut piece)?;
                continue;
            }
            let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
            // The client may have seen enough.
            if stream.write_all(&chunk).is_err() {
                break;
            }
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    }
    Ok(())
}

/// A record with its length line; nothing at the end.
fn read_record(input: &mut impl BufRead, piece: &mut Vec<u8>) -> Result<()> {
    input.read_until(b'\n', piece)?;
    let length = std::str::from_utf8(piece)?.trim().parse().unwrap_or(0);
    input.take(length).read_to_end(piece)?;
    Ok(())
}

/// Writes about 20 MB of events: in turn 50 offers in one, and 20 updates.
fn make(file: &Path) -> Result<()> {
    let mut out = std::io::BufWriter::new(File::create(file)?);
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
    use v1::scheduler::event::Type;
    let of = |r#type: Type| Some(r#type.into());
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
