//! Simulates seeds, and reports what they reached: `cargo run --release -p mesos-sim --bin simulate -- --help`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use std::{iter, thread};

#[cfg(planted)]
use mesos_core::planted::{self, Bug};
use mesos_sim::world::{Fault, Settings, cells, run, run_executors};

const USAGE: &str = "usage: simulate [options]
  --seeds N          how many seeds; 100 unless said otherwise
  --seconds S        as many seeds as there is time for, in place of a number of them
  --first-seed K     the first of them; 1 unless said otherwise
  --seed N           this one only
  --trace            prints what happens
  --minutes M        for how long things go wrong, in the time of the simulation; 10 to 190, as the seed says, unless
                     said otherwise
  --fault NAME       only this fault; may be given several times
  --executors        executors and their agents, in place of schedulers and their cluster; takes neither --minutes, --fault,
                     --instances, --specs nor --twice
  --instances N      one or two instances of the scheduler; as the seed says unless said otherwise
  --specs KIND       alike, or varied; as the seed says unless said otherwise
  --twice            runs every seed twice, and compares
  --keep-going       goes on after a seed that fails
  --threads N        so many seeds at a time; one for each processor unless said otherwise
  --list-faults      names all faults
  --list-invariants  says what is judged
  --list-cells       says what the cells of the engine's two state tables are, and why some are never reached
ends with 0 if nothing is wrong, with 1 if something is, and with 2 if it can't do what was asked";

/// A week of seconds, a year of minutes.
const MOST: u64 = 600_000;

/// As `println!`, but whoever reads may go: `simulate | head`.
macro_rules! say {
    ($($text:tt)*) => {
        if writeln!(std::io::stdout(), $($text)*).is_err() {
            std::process::exit(1);
        }
    };
}

fn main() -> ExitCode {
    match simulate(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("simulate: {error}; --help names the options");
            ExitCode::from(2)
        }
    }
}

#[derive(Default)]
struct Totals {
    hours: f64,
    steps: u64,
    calls: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    judged: BTreeMap<&'static str, u64>,
    cells: cells::Cells,
    failed: Vec<u64>,
}

/// The seeds that are to run.
struct Seeds {
    first: u64,
    count: Option<u64>,
    limit: Option<Duration>,
    only: Option<u64>,
}

impl Seeds {
    /// Which these are, and whether it is one that was asked for by its number.
    fn chosen(&self) -> Result<(RangeInclusive<u64>, bool), String> {
        if let Some(only) = self.only {
            if self.count.is_some() || self.limit.is_some() || self.first != 1 {
                return Err("--seed is for one seed; --first-seed, --seeds and --seconds for many".into());
            }
            return Ok((only..=only, true));
        }
        if self.count.is_some() && self.limit.is_some() {
            return Err("either --seeds or --seconds".into());
        }
        let as_many_as_possible = self.limit.map(|_| u64::MAX - self.first);
        let count = self.count.or(as_many_as_possible).unwrap_or(100);
        let last = self.first.checked_add(count - 1).ok_or("there are not so many seeds from --first-seed on")?;
        Ok((self.first..=last, false))
    }
}

fn simulate(mut args: impl Iterator<Item = String>) -> Result<bool, String> {
    let mut seeds = Seeds { first: 1, count: None, limit: None, only: None };
    let (mut twice, mut keep_going, mut executors, mut trace) = (false, false, false, false);
    let mut threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut settings = Settings::default();
    let mut replay = String::new();
    while let Some(arg) = args.next() {
        let mut number = |possible: RangeInclusive<u64>| {
            let (least, most) = (possible.start(), possible.end());
            let wants = || format!("{arg} wants a number from {least} to {most}");
            let number = args.next().and_then(|text| text.parse::<u64>().ok());
            number.filter(|number| possible.contains(number)).ok_or_else(wants)
        };
        match arg.as_str() {
            "--seeds" => seeds.count = Some(number(1..=u64::MAX)?),
            "--seconds" => seeds.limit = Some(Duration::from_secs(number(1..=MOST)?)),
            "--first-seed" => seeds.first = number(0..=u64::MAX - 1)?,
            "--seed" => seeds.only = Some(number(0..=u64::MAX)?),
            "--minutes" => {
                let minutes = number(0..=MOST)?;
                replay += &format!(" --minutes {minutes}");
                settings = settings.faulty(Duration::from_secs(60 * minutes));
            }
            "--instances" => {
                let instances = number(1..=2)?;
                replay += &format!(" --instances {instances}");
                settings = settings.instances(instances as u32);
            }
            "--specs" => {
                let kind = args.next().unwrap_or_default();
                let varied = match &*kind {
                    "varied" => true,
                    "alike" => false,
                    _ => return Err("--specs wants alike or varied".into()),
                };
                replay += &format!(" --specs {kind}");
                settings = settings.varied(varied);
            }
            "--trace" => (trace, settings) = (true, settings.trace(true)),
            "--threads" => threads = number(1..=1024)? as usize,
            "--executors" => executors = true,
            "--twice" => twice = true,
            "--keep-going" => keep_going = true,
            "--fault" => {
                let name = args.next().unwrap_or_default();
                let fault = Fault::ALL.iter().find(|fault| fault.name() == name);
                let fault = fault.ok_or_else(|| format!("no fault is called {name:?}; --list-faults names them"))?;
                replay += &format!(" --fault {name}");
                settings = settings.only([*fault]);
            }
            "--list-invariants" => {
                for (name, what) in cells::INVARIANTS.iter().chain(cells::OF_EXECUTORS) {
                    say!("{name:<4} {what}");
                }
                return Ok(true);
            }
            "--list-faults" => {
                for fault in Fault::ALL {
                    say!("{:<14} {}", fault.name(), fault.what());
                }
                return Ok(true);
            }
            "--list-cells" => {
                list_cells();
                return Ok(true);
            }
            #[cfg(planted)]
            "--plant" => {
                let name = args.next().unwrap_or_default();
                let bug = Bug::ALL.iter().find(|bug| bug.name() == name);
                planted::plant(*bug.ok_or_else(|| format!("no bug is called {name:?}; --list-planted names them"))?);
                replay += &format!(" --plant {name}");
            }
            #[cfg(planted)]
            "--list-planted" => {
                for bug in Bug::ALL {
                    say!("{} {} {}", bug.name(), bug.seeds(), bug.what());
                }
                return Ok(true);
            }
            "--help" | "-h" => {
                say!("{USAGE}");
                return Ok(true);
            }
            _ => return Err(format!("{arg} is no option")),
        }
    }
    let (range, single) = seeds.chosen()?;
    let (began, limit) = (Instant::now(), seeds.limit.unwrap_or(Duration::MAX));
    let chosen = range.take_while(|_| began.elapsed() < limit);
    if executors {
        if twice || !replay.is_empty() {
            return Err("--executors takes seeds, --seconds, --trace, --keep-going and --threads only".into());
        }
        return Ok(of_executors(chosen, threads, trace, keep_going));
    }
    let mut totals = Totals::default();
    let mut count = 0;
    let work = |seed| {
        let report = run(seed, &settings);
        let same = !twice || report.violation.is_some() || run(seed, &settings).digest == report.digest;
        (report, same)
    };
    in_order(chosen, threads, work, |seed, (report, same)| {
        count += 1;
        for line in &report.trace {
            say!("{line}");
        }
        if let Some(violation) = &report.violation {
            say!(
                "seed {seed}, step {} at {:.3} s: {violation}\n  replay: cargo run --release -p mesos-sim --bin simulate \
                 -- --seed {seed} --trace{replay}",
                report.steps,
                report.time.as_secs_f64()
            );
            totals.failed.push(seed);
        } else if single {
            say!(
                "seed {seed}: {} steps, {:.1} simulated hours, nothing wrong",
                report.steps,
                report.time.as_secs_f64() / 3600.0
            );
        }
        if twice && report.violation.is_none() {
            *totals.judged.entry("I20 twice").or_default() += 1;
            if !same {
                say!(
                    "seed {seed}, step {}: I20: another run of it has other outputs\n  replay: cargo run --release -p \
                     mesos-sim --bin simulate -- --seed {seed} --twice{replay}",
                    report.steps
                );
                totals.failed.push(seed);
            }
        }
        totals.hours += report.time.as_secs_f64() / 3600.0;
        totals.steps += report.steps;
        add(&mut totals.calls, report.calls);
        add(&mut totals.faults, report.faults);
        add(&mut totals.judged, report.judged);
        add(&mut totals.cells, report.cells);
        keep_going || totals.failed.is_empty()
    });
    if !single {
        print(&totals, count, began.elapsed());
    }
    Ok(totals.failed.is_empty())
}

/// Runs seeds on some threads, and tells of each in their order, so that the first one that fails is the same each time,
/// until nobody wants more.
fn in_order<R: Send>(
    seeds: impl Iterator<Item = u64> + Send,
    threads: usize,
    work: impl Fn(u64) -> R + Sync,
    mut each: impl FnMut(u64, R) -> bool,
) {
    let seeds = Mutex::new(seeds.enumerate());
    let (results, done) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (results, seeds, work) = (results.clone(), &seeds, &work);
            scope.spawn(move || {
                let next = || seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
                iter::from_fn(next).try_for_each(|(place, seed)| results.send((place, seed, work(seed))))
            });
        }
        drop(results);
        let (mut ahead, mut wanted) = (BTreeMap::new(), 0);
        for (place, seed, result) in done {
            ahead.insert(place, (seed, result));
            while let Some((seed, result)) = ahead.remove(&wanted) {
                wanted += 1;
                if !each(seed, result) {
                    return;
                }
            }
        }
    });
}

fn of_executors(seeds: impl Iterator<Item = u64> + Send, threads: usize, trace: bool, keep_going: bool) -> bool {
    let (mut count, mut updates, mut faults, mut failed) = (0_u64, 0, BTreeMap::new(), Vec::new());
    let mut time = Duration::ZERO;
    in_order(seeds, threads, run_executors, |seed, report| {
        (count, updates, time) = (count + 1, updates + report.updates, time + report.time);
        add(&mut faults, report.faults);
        for line in report.trace.iter().filter(|_| trace) {
            say!("{line}");
        }
        if let Some(violation) = &report.violation {
            say!(
                "seed {seed}, step {}: {violation}\n  replay: cargo run --release -p mesos-sim --bin simulate -- \
                 --executors --seed {seed} --trace",
                report.steps
            );
            failed.push(seed);
        }
        keep_going || failed.is_empty()
    });
    let faults: Vec<String> = faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
    say!(
        "{count} seeds of executors, {:.0} simulated hours, {updates} updates; {} failed {failed:?}\nfaults: {}",
        time.as_secs_f64() / 3600.0,
        failed.len(),
        faults.join(", ")
    );
    failed.is_empty()
}

/// Each row with what it is, and its columns that are never met, with the reasons.
fn list_cells() {
    for (name, what) in cells::COLUMNS.iter().zip(cells::STATES) {
        say!("{name:<24} {what}");
    }
    for row in cells::ROWS {
        say!("{:<24} {}", row.name, row.what);
        for (columns, why) in row.never {
            say!("{:<24}   not {columns}: {why}", "");
        }
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    for (key, count) in more {
        *sums.entry(key).or_default() += count;
    }
}

fn print(totals: &Totals, seeds: u64, took: Duration) {
    say!(
        "{seeds} seeds, {:.0} simulated hours, {} steps, {:.1} s; {} failed {:?}",
        totals.hours,
        totals.steps,
        took.as_secs_f64(),
        totals.failed.len(),
        totals.failed
    );
    let line = |counts: Vec<(&str, u64)>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    say!("calls: {}", line(totals.calls.iter().map(|(name, count)| (*name, *count)).collect()));
    say!("faults: {}", line(totals.faults.iter().map(|(fault, count)| (fault.name(), *count)).collect()));
    let never: Vec<&str> =
        Fault::ALL.iter().filter(|fault| !totals.faults.contains_key(fault)).map(|fault| fault.name()).collect();
    say!("faults that never happened: {}", never.join(", "));
    say!("judged: {}", line(totals.judged.iter().map(|(name, count)| (*name, *count)).collect()));
    let never: Vec<&str> =
        cells::INVARIANTS.iter().map(|(name, _)| *name).filter(|name| !totals.judged.contains_key(name)).collect();
    say!("invariants that had nothing to judge: {}", never.join(", "));
    for row in cells::ROWS {
        let counts =
            cells::COLUMNS.iter().filter_map(|column| Some((*column, *totals.cells.get(&(row.name, *column))?)));
        say!("{:<24} {}", row.name, line(counts.collect()));
    }
    let holes = cells::holes(&totals.cells);
    let all = cells::ROWS.len() * cells::COLUMNS.len();
    let excused =
        cells::ROWS.iter().flat_map(|row| cells::COLUMNS.iter().map(move |column| cells::reason(row, column)));
    let excused = excused.filter(Option::is_some).count();
    let names: Vec<String> = holes.iter().map(|(row, column)| format!("{row} {column}")).collect();
    say!(
        "cells (--list-cells): {} reached, {excused} of {all} can't be, {} never were: {}",
        totals.cells.len(),
        names.len(),
        names.join(", ")
    );
    let odd = totals.cells.keys().filter(|(name, column)| {
        cells::ROWS.iter().any(|row| row.name == *name && cells::reason(row, column).is_some())
    });
    let odd: Vec<String> = odd.map(|(row, column)| format!("{row} {column}")).collect();
    say!("cells that were reached although they can't be: {}", odd.join(", "));
}
