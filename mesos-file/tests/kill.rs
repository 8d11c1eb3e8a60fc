//! A process that writes as fast as it can, killed at some time; S185 as far as the store goes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll, Waker};

use mesos_core::{Key, Persist, Store, StoreOp, Ticket};
use mesos_file::{FileStore, OpenError};

const FOLDER: &str = "MESOS_FILE_TEST_FOLDER";

fn count(records: &mesos_file::Records, name: &str) -> u64 {
    records.get(&Key::new([name])).map_or(0, |value| std::str::from_utf8(&value[..20]).unwrap().parse().unwrap())
}

/// Goes on from what is there; two records in each batch, as large as makes a compaction every few dozen. Says each
/// number that is confirmed.
#[test]
#[ignore = "the process that the other test kills"]
fn child() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("only the other test starts it"));
    let (mut store, records) = FileStore::open(folder).unwrap();
    let mut out = std::io::stdout();
    for n in count(&records, "a") + 1.. {
        let put = |name| StoreOp::Put { key: Key::new([name]), value: format!("{n:020}{}", ".".repeat(20_000)).into() };
        let batch = Persist::new(Ticket::new(n), vec![put("a"), put("b")]);
        let applied = pin!(store.apply(&batch)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(applied, Poll::Ready(Ok(()))), "{applied:?}");
        // Fails when the parent has seen enough, and then it is over anyhow.
        if writeln!(out, "confirmed {n}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn what_was_confirmed_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut total = 0;
    for lines in [1, 2, 7, 25, 30, 31, 32, 60] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let numbers = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).filter_map(|line| {
            // The first one shares its line with what the test harness says.
            let (_, number) = line.rsplit_once("confirmed ")?;
            number.parse::<u64>().ok()
        });
        let mut numbers = numbers.peekable();
        assert_eq!(numbers.peek(), Some(&(total + 1)), "it goes on from what was there");
        let mut confirmed = 0;
        for number in numbers.by_ref().take(lines) {
            confirmed = number;
        }
        // While it lives, the folder is its own.
        let locked = OpenError::Locked { folder: folder.path().into() };
        assert_eq!(FileStore::open(&folder).err(), Some(locked));
        child.kill().unwrap();
        // What it said before it died counts, too.
        confirmed = numbers.last().unwrap_or(confirmed);
        child.wait().unwrap();
        let (_, records) = FileStore::open(&folder).unwrap();
        let found = count(&records, "a");
        assert!(found == confirmed || found == confirmed + 1, "{confirmed} confirmed, {found} found");
        assert_eq!(found, count(&records, "b"), "half a batch");
        total = found;
    }
    assert!(total > 180);
}
