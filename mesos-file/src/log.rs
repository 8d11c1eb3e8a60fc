//! The log: batches at its end, a new one in its place when it has grown too long or can't be trusted.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::PathBuf;

use mesos_core::{Persist, StoreFailure};
use tracing::{info, warn};

use crate::disk::{Disk, Failure};
use crate::format::{self, Crc, Fault, Live, MAX_OPS, MAX_SIZE};

pub(crate) const LOG: &str = "log";
pub(crate) const NEW: &str = "log.new";

/// Shorter logs aren't worth compacting.
pub(crate) const MIN_LOG: u64 = 1024 * 1024;

/// What has to happen before the next batch can be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    /// A part of a batch may stand at the end: cut it off.
    Torn,
    /// A sync has failed. What the system shows of the file is no proof of what the disk has, and the next sync none
    /// either, as it may only say that there is nothing new: write another file.
    Unsure,
}

#[derive(Debug)]
pub(crate) struct Log<D: Disk> {
    disk: D,
    file: D::File,
    /// For messages.
    folder: PathBuf,
    live: Live,
    seed: Crc,
    next: u64,
    length: u64,
    min: u64,
    /// After a compaction that failed, none is tried before this length.
    not_before: u64,
    /// Whether it is said that compactions fail.
    grows: bool,
    health: Health,
}

impl<D: Disk> Log<D> {
    pub(crate) fn open(mut disk: D, folder: PathBuf, min: u64) -> Result<Self, Fault> {
        disk.remove(NEW).map_err(Failure::of(NEW))?;
        let Some((mut file, size)) = disk.open(LOG).map_err(Failure::of(LOG))? else {
            let new = New::write(&mut disk, &Live::default())?;
            disk.rename(NEW, LOG).map_err(Failure::of_folder)?;
            disk.sync_folder().map_err(Failure::of_folder)?;
            let New { file, seed, next, length } = new;
            let (live, health) = (Live::default(), Health::Good);
            return Ok(Self { disk, file, folder, live, seed, next, length, min, not_before: 0, grows: false, health });
        };
        let format::Content { live, seed, next, length } = format::read((&mut file).take(size))?;
        let health = Health::Unsure;
        let mut log = Self { disk, file, folder, live, seed, next, length, min, not_before: 0, grows: false, health };
        // What is found here is about to be believed, so it must stay; and a predecessor may have died before its
        // sync, or of one that failed.
        match log.compact() {
            Ok(()) => {}
            Err(failure)
                if matches!(failure.error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                // A full disk is no reason not to start.
                log.tell_growth(&failure);
                log.disk.cut(&mut log.file, log.length).map_err(Failure::of(LOG))?;
                log.disk.sync(&mut log.file).map_err(Failure::of(LOG))?;
                log.disk.sync_folder().map_err(Failure::of_folder)?;
                log.health = Health::Good;
            }
            Err(failure) => return Err(failure.into()),
        }
        Ok(log)
    }

    pub(crate) const fn live(&self) -> &Live {
        &self.live
    }

    pub(crate) fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        check(batch)?;
        match self.disk.is_ours() {
            Ok(true) => {}
            Ok(false) => {
                return Err(StoreFailure::Fenced(format!("{}: folder or lock replaced", self.folder.display())));
            }
            Err(error) => return Err(self.unavailable(&Failure::of_folder(error))),
        }
        self.append(batch).map_err(|failure| self.unavailable(&failure))?;
        batch.ops().iter().for_each(|op| self.live.apply(op.clone()));
        if self.length > self.min.max(2 * self.live.size) && self.length >= self.not_before {
            if let Err(failure) = self.compact() {
                // The batch is safe, in the old file or the new; only space is lost.
                self.not_before = self.length.saturating_add(self.min);
                self.tell_growth(&failure);
            }
        }
        Ok(())
    }

    fn unavailable(&self, failure: &Failure) -> StoreFailure {
        StoreFailure::Unavailable(self.describe(failure))
    }

    fn describe(&self, failure: &Failure) -> String {
        format!("{}: {}", failure.path(&self.folder).display(), failure.error)
    }

    /// Nothing fails by it yet, so nobody else says it; once, as the next attempts fail, too.
    fn tell_growth(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.grows, true) {
            warn!(failure = self.describe(failure), length = self.length, "the log can't be compacted, and grows");
        }
    }

    fn append(&mut self, batch: &Persist) -> Result<(), Failure> {
        match self.health {
            Health::Good => {}
            Health::Torn => {
                self.disk.cut(&mut self.file, self.length).map_err(Failure::of(LOG))?;
                self.health = Health::Good;
            }
            Health::Unsure => self.compact()?,
        }
        let bytes = format::batch(self.seed, self.next, batch.ops());
        self.health = Health::Torn;
        write_all(&mut self.disk, &mut self.file, &bytes).map_err(Failure::of(LOG))?;
        self.health = Health::Unsure;
        self.disk.sync(&mut self.file).map_err(Failure::of(LOG))?;
        self.health = Health::Good;
        self.next += 1;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Puts a new log with the live records in the place of this one.
    fn compact(&mut self) -> Result<(), Failure> {
        let New { file, seed, next, length } = match New::write(&mut self.disk, &self.live) {
            Ok(new) => new,
            Err(failure) => {
                // It may be what fills the disk. If it stays, the next one removes it.
                let _ = self.disk.remove(NEW);
                return Err(failure);
            }
        };
        // Until the folder is synced, each of the two files may be the one that is found after a crash.
        self.health = Health::Unsure;
        self.disk.rename(NEW, LOG).map_err(Failure::of_folder)?;
        (self.file, self.seed, self.next, self.length, self.not_before) = (file, seed, next, length, 0);
        self.disk.sync_folder().map_err(Failure::of_folder)?;
        self.health = Health::Good;
        if std::mem::take(&mut self.grows) {
            info!(length = self.length, "the log is compacted again");
        }
        Ok(())
    }
}

/// A log that has no name yet, synced.
struct New<F> {
    file: F,
    seed: Crc,
    next: u64,
    length: u64,
}

impl<F> New<F> {
    fn write<D: Disk<File = F>>(disk: &mut D, live: &Live) -> Result<Self, Failure> {
        disk.remove(NEW).and_then(|()| Self::fill(disk, live)).map_err(Failure::of(NEW))
    }

    fn fill<D: Disk<File = F>>(disk: &mut D, live: &Live) -> io::Result<Self> {
        let mut file = disk.create(NEW)?;
        let mut length = 0;
        let mut write = |bytes: &[u8]| {
            length += bytes.len() as u64;
            write_all(disk, &mut file, bytes)
        };
        // Seeded by the system, and another one each time.
        let (line, seed) = format::header(RandomState::new().build_hasher().finish());
        write(line.as_bytes())?;
        let next = format::snapshot(seed, &live.records, &mut write)?;
        write(&format::seal(seed, next))?;
        disk.sync(&mut file)?;
        Ok(Self { file, seed, next: next + 1, length })
    }
}

fn write_all<D: Disk>(disk: &mut D, file: &mut D::File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn check(batch: &Persist) -> Result<(), StoreFailure> {
    let refused = |key, detail| Err(StoreFailure::Refused { key, detail });
    if let Some(op) = batch.ops().iter().find(|op| op.size() > MAX_SIZE) {
        return refused(Some(op.key().clone()), format!("{} bytes, {MAX_SIZE} at most", op.size()));
    }
    let size = batch.ops().iter().fold(0, |sum: usize, op| sum.saturating_add(op.size()));
    if size > MAX_SIZE {
        return refused(None, format!("{size} bytes, {MAX_SIZE} at most"));
    }
    if batch.ops().len() > MAX_OPS {
        return refused(None, format!("{} changes, {MAX_OPS} at most", batch.ops().len()));
    }
    Ok(())
}
