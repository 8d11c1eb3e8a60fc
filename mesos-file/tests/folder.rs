//! Real folders: what is made, what is refused, who may have it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mesos_core::{Key, Persist, Store, StoreFailure, StoreOp, Ticket};
use mesos_file::{FileStore, OpenError, read};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(store: &mut FileStore, n: u64) -> Result<(), StoreFailure> {
    let put = StoreOp::Put { key: Key::new(["n"]), value: n.to_string().into() };
    let batch = Persist::new(Ticket::new(n), vec![put]);
    // It never waits.
    match pin!(store.apply(&batch)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("it blocks"),
    }
}

fn last(records: &mesos_file::Records) -> Option<u64> {
    records.get(&Key::new(["n"])).map(|value| std::str::from_utf8(value).unwrap().parse().unwrap())
}

fn refusal(folder: &Path) -> OpenError {
    FileStore::open(folder).expect_err("it can't be opened")
}

#[test]
fn what_is_written_is_there_the_next_time() {
    let folder = folder();
    let deep = folder.path().join("a/b/c");
    let (mut store, records) = FileStore::open(&deep).unwrap();
    assert!(records.is_empty());
    for n in 1..=3 {
        write(&mut store, n).unwrap();
        // Also for those who only look.
        assert_eq!(last(&read(&deep).unwrap()), Some(n));
    }
    drop(store);
    let (mut store, records) = FileStore::open(&deep).unwrap();
    assert_eq!(last(&records), Some(3));
    write(&mut store, 4).unwrap();
    assert_eq!(last(&read(&deep).unwrap()), Some(4));
    // Records may hold secrets.
    let mode = fs::metadata(deep.join("log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn one_instance_at_a_time() {
    let folder = folder();
    let (store, _) = FileStore::open(&folder).unwrap();
    let locked = OpenError::Locked { folder: folder.path().into() };
    assert_eq!(refusal(folder.path()), locked);
    assert_eq!(refusal(folder.path()), locked);
    drop(store);
    FileStore::open(&folder).unwrap();
}

#[test]
fn an_unfinished_compaction_is_swept_away() {
    let folder = folder();
    let (mut store, _) = FileStore::open(&folder).unwrap();
    write(&mut store, 1).unwrap();
    drop(store);
    fs::write(folder.path().join("log.new"), "mesos-file 1 00").unwrap();
    let (_store, records) = FileStore::open(&folder).unwrap();
    assert_eq!(last(&records), Some(1));
    assert!(!folder.path().join("log.new").exists());
}

#[test]
fn a_torn_end_is_cut_off_and_damage_before_it_is_told() {
    let folder = folder();
    let log = folder.path().join("log");
    let length = || fs::metadata(&log).unwrap().len();
    let (mut store, _) = FileStore::open(&folder).unwrap();
    let ends: Vec<_> = (1..=3).map(|n| (write(&mut store, n).unwrap(), length()).1).collect();
    drop(store);
    let bytes = fs::read(&log).unwrap();
    // Damaged where the second batch begins, with the third behind it.
    let mut damaged = bytes.clone();
    damaged[ends[0] as usize + 3] ^= 1;
    fs::write(&log, &damaged).unwrap();
    for error in [refusal(folder.path()), read(&folder).unwrap_err()] {
        let OpenError::Damaged { file, offset, .. } = &error else { panic!("{error}") };
        assert_eq!((file, *offset), (&log, ends[0]));
        assert!(error.to_string().contains(&format!("damaged at byte {offset}")), "{error}");
    }
    assert_eq!(fs::read(&log).unwrap(), damaged);
    // The third one torn.
    fs::write(&log, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(last(&read(&folder).unwrap()), Some(2));
    assert_eq!(length(), ends[2] - 1, "a reader changes nothing");
    let (mut store, records) = FileStore::open(&folder).unwrap();
    assert_eq!(last(&records), Some(2));
    write(&mut store, 4).unwrap();
    drop(store);
    assert_eq!(last(&read(&folder).unwrap()), Some(4));
    fs::write(&log, "mesos-file 7 something else\n").unwrap();
    assert_eq!(refusal(folder.path()), OpenError::Newer { file: log, version: 7 });
}

#[test]
fn what_is_no_folder() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        assert_eq!(refusal(&path), OpenError::NotAFolder { path: path.clone() });
        assert!(read(&path).is_err());
    }
    // Nor is everything called `log` a log; a pipe must not make anybody wait.
    for name in ["log", "log.new", "lock"] {
        let ours = folder.path().join("ours");
        let path = ours.join(name);
        fs::create_dir_all(&path).unwrap();
        let error = refusal(&ours);
        assert!(matches!(&error, OpenError::Io { path: named, .. } if *named == path), "{error}");
        fs::remove_dir_all(&ours).unwrap();
    }
}

// One that leads nowhere, to a disk that isn't mounted yet for instance, must not pass for a store that isn't there: a new
// one in its place would have every task running twice.
#[test]
fn links_are_refused() {
    let folder = folder();
    let (ours, away) = (folder.path().join("ours"), folder.path().join("away"));
    let (mut store, _) = FileStore::open(&away).unwrap();
    write(&mut store, 1).unwrap();
    drop(store);
    for name in ["log", "lock"] {
        for target in [away.join(name), away.join("none")] {
            fs::create_dir(&ours).unwrap();
            let link = ours.join(name);
            symlink(&target, &link).unwrap();
            let mut errors = vec![refusal(&ours)];
            if name == "log" {
                errors.push(read(&ours).unwrap_err());
            }
            for error in errors {
                assert!(matches!(&error, OpenError::Io { path, .. } if *path == link), "{error}");
                assert!(error.to_string().contains("a symbolic link"), "{error}");
            }
            // And nothing else was made in its place, or where it leads to.
            assert_eq!(fs::read_link(&link).unwrap(), target);
            assert!(!ours.join("log.new").exists() && !away.join("none").exists());
            fs::remove_dir_all(&ours).unwrap();
        }
    }
    // What would be a compaction's is swept away as any is, and not what it leads to.
    symlink(away.join("log"), away.join("log.new")).unwrap();
    let (mut store, records) = FileStore::open(&away).unwrap();
    assert_eq!(last(&records), Some(1));
    write(&mut store, 2).unwrap();
    assert!(fs::symlink_metadata(away.join("log.new")).is_err());
    drop(store);
    // The folder itself may be one.
    symlink(&away, &ours).unwrap();
    let (_store, records) = FileStore::open(&ours).unwrap();
    assert_eq!(last(&records), Some(2));
}

#[test]
fn reading_makes_nothing() {
    let folder = folder();
    for path in [folder.path().to_owned(), folder.path().join("none")] {
        assert_eq!(read(&path), Err(OpenError::Missing { folder: path }));
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn no_permission() {
    let folder = folder();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let inner = folder.path().join("inner");
    match FileStore::open(&inner) {
        Err(error) => assert_eq!(error, OpenError::NoPermission { path: inner }),
        // Whoever may do everything (root) is refused by no mode.
        Ok(_) => assert!(fs::create_dir(folder.path().join("other")).is_ok()),
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_folder_or_lock_that_was_replaced_fences() {
    let folder = folder();
    let (ours, away) = (folder.path().join("ours"), folder.path().join("away"));
    let (mut first, _) = FileStore::open(&ours).unwrap();
    write(&mut first, 1).unwrap();
    fs::rename(&ours, &away).unwrap();
    assert!(matches!(write(&mut first, 2), Err(StoreFailure::Fenced(_))));
    let (mut second, records) = FileStore::open(&ours).unwrap();
    assert!(records.is_empty());
    write(&mut second, 3).unwrap();
    assert!(matches!(write(&mut first, 4), Err(StoreFailure::Fenced(_))));
    assert_eq!(last(&read(&ours).unwrap()), Some(3));
    assert_eq!(last(&read(&away).unwrap()), Some(1));
    // Somebody removes the lock, and a third instance takes over.
    fs::remove_file(ours.join("lock")).unwrap();
    let (mut third, records) = FileStore::open(&ours).unwrap();
    assert_eq!(last(&records), Some(3));
    assert!(matches!(write(&mut second, 5), Err(StoreFailure::Fenced(_))));
    write(&mut third, 6).unwrap();
    assert_eq!(last(&read(&ours).unwrap()), Some(6));
}
