//! The log on a disk that loses, fails and fills up wherever that can hurt.

mod heard;
mod model;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use mesos_core::{Key, MemoryStore, Persist, StoreFailure, StoreOp, Ticket};
use model::{Crash, Fault, Model};

use crate::Records;
use crate::format::Fault as OpenFault;
use crate::format::{MAX_OPS, MAX_SIZE};
use crate::log::{LOG, Log, MIN_LOG, NEW};

const FOLDER: &str = "folder";
/// Compacts every few batches.
const OFTEN: u64 = 300;

fn key(name: &str) -> Key {
    Key::new(name.split('/'))
}

fn put(name: &str, value: impl Into<Bytes>) -> StoreOp {
    StoreOp::Put { key: key(name), value: value.into() }
}

fn batch(n: u64, ops: Vec<StoreOp>) -> Persist {
    Persist::new(Ticket::new(n), ops)
}

/// Batch by batch: a record that always changes, some that come and go.
fn batches(count: u64) -> Vec<Persist> {
    (1..=count)
        .map(|n| {
            let mut ops = vec![put("last", n.to_string()), put(&format!("inst/{}", n % 5), format!("{{\"n\":{n}}}"))];
            if n % 3 == 0 {
                ops.push(StoreOp::Delete { key: key(&format!("inst/{}", (n + 2) % 5)) });
            }
            batch(n, ops)
        })
        .collect()
}

/// The records after none, one, two ... of these batches.
fn histories(batches: &[Persist]) -> Vec<Records> {
    let mut store = MemoryStore::new();
    let mut all = vec![store.records().clone()];
    for batch in batches {
        store.apply_now(batch);
        all.push(store.records().clone());
    }
    all
}

fn open(model: &Model) -> Log<Model> {
    Log::open(model.clone(), PathBuf::from(FOLDER), OFTEN).unwrap_or_else(|fault| panic!("{fault:?}"))
}

fn records(log: &Log<Model>) -> Records {
    log.live().records.clone()
}

fn unavailable(result: &Result<(), StoreFailure>) -> bool {
    matches!(result, Err(StoreFailure::Unavailable(_)))
}

/// How many changes of the disk these batches make.
fn steps(batches: &[Persist]) -> usize {
    let model = Model::default();
    let mut log = open(&model);
    batches.iter().for_each(|batch| log.apply(batch).unwrap());
    model.steps()
}

// Power cuts before each change of the disk and within each write, and each time everything that a disk may have
// kept of what wasn't synced: nothing, all, a part, zeros in its place; new names or old ones.
#[test]
fn a_crash_at_any_step_loses_nothing_that_was_confirmed() {
    let batches = batches(20);
    let histories = histories(&batches);
    let mut seen = (0, 0);
    for step in 0..=steps(&batches) {
        for (short, crash) in [(0, Crash::Nothing), (7, Crash::Everything), (30, Crash::Half), (7, Crash::Zeros)] {
            for new_names in [false, true] {
                let model = Model::default();
                model.plan(step, Fault::Crash { short });
                let mut confirmed = 0;
                if let Ok(mut log) = Log::open(model.clone(), PathBuf::from(FOLDER), OFTEN) {
                    for batch in &batches {
                        if log.apply(batch).is_err() {
                            break;
                        }
                        confirmed += 1;
                    }
                }
                let mut log = open(&model.after_crash(crash, new_names));
                let found = records(&log);
                let before = found == histories[confirmed];
                let under_way = histories.get(confirmed + 1).is_some_and(|next| found == *next);
                assert!(before || under_way, "{step} {crash:?} {new_names}: {confirmed} confirmed, {found:?}");
                seen = (seen.0 + usize::from(before), seen.1 + usize::from(under_way));
                // And the work goes on from there, with the batch whose fate was unknown.
                for batch in &batches[confirmed..] {
                    log.apply(batch).unwrap();
                }
                assert_eq!(records(&log), histories[20]);
            }
        }
    }
    assert!(seen.0 > 100 && seen.1 > 20, "{seen:?}");
}

// Each step of the disk fails once, writes at several lengths; then the machine crashes, keeping only what was synced.
#[test]
fn a_failure_at_any_step_is_told_and_overcome() {
    let batches = batches(20);
    let histories = histories(&batches);
    let mut told = 0;
    for step in 0..steps(&batches) {
        for short in [0, 1, 25, 60] {
            let model = Model::default();
            model.plan(step, Fault::Once { short });
            let log = Log::open(model.clone(), PathBuf::from(FOLDER), OFTEN);
            // Opening may fail, and then may be tried again.
            let mut log = log.unwrap_or_else(|_| open(&model));
            for (n, batch) in batches.iter().enumerate() {
                while let Err(failure) = log.apply(batch) {
                    assert!(matches!(failure, StoreFailure::Unavailable(_)));
                    told += 1;
                }
                // Confirmed is confirmed, whatever had failed before.
                let crashed = open(&model.after_crash(Crash::Nothing, false));
                assert_eq!(records(&crashed), histories[n + 1], "{step} {short}");
            }
        }
    }
    assert!(told > 100, "{told}");
}

#[test]
fn a_disk_full_at_any_byte() {
    let batches = batches(12);
    let histories = histories(&batches);
    let mut full = 0;
    for space in 0..1200 {
        let model = Model::default();
        model.space(Some(space));
        let Ok(mut log) = Log::open(model.clone(), PathBuf::from(FOLDER), OFTEN) else {
            // Not even the seal fits.
            assert!(space < 60);
            continue;
        };
        for (n, batch) in batches.iter().enumerate() {
            if log.apply(batch).is_err() {
                full += 1;
                assert!(unavailable(&log.apply(batch)));
                // The full disk is there after a crash as well, and what was confirmed can be had from it.
                let crashed = open(&model.after_crash(Crash::Everything, true));
                assert_eq!(records(&crashed), histories[n]);
                model.space(None);
                log.apply(batch).unwrap();
            }
            assert_eq!(records(&open(&model.after_crash(Crash::Nothing, false))), histories[n + 1], "{space}");
        }
    }
    assert!(full > 400, "{full}");
}

#[test]
fn after_a_failed_sync_another_file_is_written() {
    let batches = batches(3);
    let model = Model::default();
    let mut log = open(&model);
    log.apply(&batches[0]).unwrap();
    // A write, then the sync.
    model.plan(model.steps() + 1, Fault::Once { short: 0 });
    assert!(unavailable(&log.apply(&batches[1])));
    let file = model.inode(LOG);
    // While that can't be had, nothing is confirmed.
    for more in 0..5 {
        model.plan(model.steps() + more, Fault::Once { short: 3 });
        assert!(unavailable(&log.apply(&batches[1])), "{more}");
        assert_eq!(records(&open(&model.after_crash(Crash::Nothing, false))), histories(&batches)[1]);
    }
    log.apply(&batches[1]).unwrap();
    assert_ne!(model.inode(LOG), file);
    assert_eq!(records(&open(&model.after_crash(Crash::Nothing, false))), histories(&batches)[2]);
}

// The next process finds a batch that the last one had no time to sync, or failed to, and acts on it: so it must stay.
#[test]
fn what_is_recovered_is_durable() {
    let batches = batches(2);
    for (fault, space) in [
        (Fault::Crash { short: 0 }, None),
        (Fault::Once { short: 0 }, None),
        // Without space for another file, the one that is there can still be synced.
        (Fault::Crash { short: 0 }, Some(0)),
    ] {
        let model = Model::default();
        let mut log = open(&model);
        log.apply(&batches[0]).unwrap();
        // A write, then the sync.
        model.plan(model.steps() + 1, fault);
        assert!(unavailable(&log.apply(&batches[1])));
        // The process alone dies: the system still has what was written.
        let model = model.after_kill();
        model.space(space);
        assert_eq!(records(&open(&model)), histories(&batches)[2]);
        assert_eq!(records(&open(&model.after_crash(Crash::Nothing, false))), histories(&batches)[2], "{fault:?}");
    }
}

#[test]
fn a_log_that_has_grown_is_compacted_and_one_that_is_alive_is_not() {
    let model = Model::default();
    let mut log = Log::open(model.clone(), PathBuf::from(FOLDER), MIN_LOG).unwrap_or_else(|fault| panic!("{fault:?}"));
    let value = vec![b'x'; 100_000];
    let mut files = 1;
    let mut write = |name: String, n| {
        let before = model.inode(LOG);
        log.apply(&batch(n, vec![put(&name, value.clone())])).unwrap();
        files += usize::from(model.inode(LOG) != before);
        (files, model.length(LOG))
    };
    // 3 MB of records, each written once.
    for n in 1..=30 {
        assert_eq!(write(format!("k{n}"), n).0, 1);
    }
    // The same ones again: the log may be twice as large before it is written anew.
    for n in 1..=30 {
        let (files, length) = write(format!("k{n}"), n + 30);
        assert!(length <= 6_100_000 && files <= 2);
    }
    let (files, length) = write("k1".into(), 61);
    assert_eq!(files, 2);
    assert!(length < 3_300_000);
    assert_eq!(model.names(), [LOG]);
}

#[test]
fn without_space_to_compact_the_log_grows_on() {
    let model = Model::default();
    let mut log = open(&model);
    for n in 1..=100 {
        // What is left is enough for the batch, but not for the records anew.
        model.space(Some(model.used() + 90));
        log.apply(&batch(n, vec![put("same", "x".repeat(20)), put("key", n.to_string())])).unwrap();
    }
    assert!(model.length(LOG) > 10 * OFTEN as usize);
    model.space(None);
    for n in 101..=110 {
        log.apply(&batch(n, vec![put("same", "y")])).unwrap();
    }
    assert!(model.length(LOG) < 2 * OFTEN as usize);
    assert!(!model.names().contains(&NEW.to_owned()));
}

#[test]
fn what_is_too_large_is_refused_by_name() {
    let model = Model::default();
    let mut log = open(&model);
    let exactly = MAX_SIZE - "big".len();
    log.apply(&batch(1, vec![put("big", vec![b'x'; exactly])])).unwrap();
    let before = (model.steps(), records(&log));
    let failure = log.apply(&batch(2, vec![put("a", "1"), put("big", vec![b'x'; exactly + 1])])).unwrap_err();
    assert!(matches!(&failure, StoreFailure::Refused { key: Some(k), .. } if *k == key("big")), "{failure}");
    for ops in
        [vec![put("big", vec![b'x'; exactly]), put("a", "")], (0..=MAX_OPS).map(|n| put(&n.to_string(), "")).collect()]
    {
        let failure = log.apply(&batch(2, ops)).unwrap_err();
        assert!(matches!(failure, StoreFailure::Refused { key: None, .. }), "{failure}");
    }
    assert_eq!((model.steps(), records(&log)), before);
    // The largest ones can be read, and compacted.
    log.apply(&batch(3, (0..MAX_OPS).map(|n| put(&format!("many/{n}"), vec![b'y'; 1780])).collect())).unwrap();
    log.apply(&batch(4, vec![put("big", vec![b'z'; exactly])])).unwrap();
    log.apply(&batch(5, vec![put("big", vec![b'!'; exactly])])).unwrap();
    log.apply(&batch(6, vec![put("big", vec![b'?'; exactly])])).unwrap();
    assert_eq!(records(&open(&model)), records(&log));
}

#[test]
fn a_lost_lock_is_the_end() {
    let model = Model::default();
    let mut log = open(&model);
    log.apply(&batches(1)[0]).unwrap();
    let steps = model.steps();
    model.take_over();
    for _ in 0..2 {
        assert!(matches!(log.apply(&batches(1)[0]), Err(StoreFailure::Fenced(_))));
    }
    assert_eq!(model.steps(), steps);
}

#[test]
fn what_fails_is_named() {
    let folder = Path::new(FOLDER);
    let (new, log) = (folder.join(NEW), folder.join(LOG));
    // Neither of the names that a rename is about is at fault, nor is the file whose name is synced.
    let expected = [&[new.as_path(); 4][..], &[folder; 2]].concat();
    for (step, expected) in expected.iter().enumerate() {
        let model = Model::default();
        model.plan(step, Fault::Once { short: 0 });
        match Log::open(model, PathBuf::from(FOLDER), OFTEN) {
            Err(OpenFault::Io(failure)) => assert_eq!(failure.path(folder), *expected, "{step}"),
            other => panic!("{step}: {other:?}"),
        }
    }
    assert_eq!(steps(&[]), expected.len());
    // Nor is it always the log, if a batch can't be written.
    let model = Model::default();
    let mut store = open(&model);
    for expected in [log, new] {
        // The sync; and then the file that has to be made.
        model.plan(model.steps() + usize::from(expected.ends_with(LOG)), Fault::Once { short: 0 });
        let failure = store.apply(&batches(1)[0]).unwrap_err();
        assert_eq!(failure, StoreFailure::Unavailable(format!("{}: planned", expected.display())));
    }
}

// Nobody else notices: batches are confirmed as before, and the disk fills up.
#[test]
fn a_log_that_can_t_be_compacted_says_so_once_until_it_can() {
    let model = Model::default();
    let mut log = open(&model);
    let mut n = 0;
    let mut write = |times, space| {
        for _ in 0..times {
            n += 1;
            model.space(if space { None } else { Some(model.used() + 90) });
            log.apply(&batch(n, vec![put("same", "x".repeat(20)), put("key", n.to_string())])).unwrap();
        }
    };
    let heard = heard::warnings(|| {
        write(200, false);
        write(100, true);
        write(200, false);
    });
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.iter().all(|text| text.contains("folder/log.new: ")), "{heard:?}");
    // Nor is it a reason not to start.
    model.space(Some(0));
    let heard = heard::warnings(|| drop(open(&model)));
    assert_eq!(heard.len(), 1, "{heard:?}");
}
