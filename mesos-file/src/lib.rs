#![doc = include_str!("../README.md")]

mod disk;
mod format;
mod log;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use disk::{Disk as _, Folder, LOCK};
use format::Fault;
use log::{LOG, Log, MIN_LOG};
pub use mesos_core;
use mesos_core::{Key, Persist, Store, StoreFailure};

/// What a store holds.
pub type Records = BTreeMap<Key, Bytes>;

/// A store in a folder of a local file system. See the [crate's page](crate) for what it promises.
#[derive(Debug)]
pub struct FileStore {
    log: Log<Folder>,
}

impl FileStore {
    /// Opens the store in this folder and reads what it holds. What isn't there yet is made.
    ///
    /// Blocks: it reads the whole log, and writes it anew.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; no record is changed then.
    pub fn open(folder: impl AsRef<Path>) -> Result<(Self, Records), OpenError> {
        let path = folder.as_ref();
        let failed = |error| OpenError::io(path, &error);
        disk::make(path).map_err(failed)?;
        let mut folder = Folder::open(path).map_err(failed)?;
        if !folder.lock().map_err(|error| OpenError::io(&path.join(LOCK), &error))? {
            return Err(OpenError::Locked { folder: path.into() });
        }
        let log = Log::open(folder, path.into(), MIN_LOG).map_err(|fault| OpenError::fault(path, fault))?;
        let records = log.live().records.clone();
        Ok((Self { log }, records))
    }
}

impl Store for FileStore {
    /// Blocks until the batch is on the disk, now and then for as long as it takes to write all records anew.
    async fn apply(&mut self, batch: &Persist) -> Result<(), StoreFailure> {
        self.log.apply(batch)
    }
}

/// Reads what the store in this folder holds, without a lock and without a change, also while it is in use: then the
/// records are those after one of its batches.
///
/// # Errors
///
/// [`OpenError`]; among them [`Missing`](OpenError::Missing), if there is no store.
pub fn read(folder: impl AsRef<Path>) -> Result<Records, OpenError> {
    let path = folder.as_ref();
    let missing = || OpenError::Missing { folder: path.into() };
    let mut folder = Folder::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(),
        _ => OpenError::io(path, &error),
    })?;
    let failed = |error| OpenError::io(&path.join(LOG), &error);
    let (log, size) = folder.open(LOG).map_err(failed)?.ok_or_else(missing)?;
    // No further than now: its owner may be writing.
    let content = format::read(log.take(size)).map_err(|fault| OpenError::fault(path, fault))?;
    Ok(content.live.records)
}

/// Why a store can't be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Somebody else has it open: another process, or this one.
    #[error("{}: in use by another instance", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no store here. Only [`read`] says so.
    #[error("{}: no store", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// Something else has the folder's name, or that of one above it.
    #[error("{}: not a folder", path.display())]
    NotAFolder {
        /// The folder.
        path: PathBuf,
    },
    /// This process may not read or write here.
    #[error("{}: no permission", path.display())]
    NoPermission {
        /// Folder or file.
        path: PathBuf,
    },
    /// A later version of this crate wrote it.
    #[error("{}: format {version} is newer than this program", file.display())]
    Newer {
        /// The log.
        file: PathBuf,
        /// Its format.
        version: u64,
    },
    /// Something in the log isn't as it was written, and it isn't the end that a crash leaves behind. Nothing has
    /// been cut off: what to do about it is for people to decide.
    #[error("{}: damaged at byte {offset}: {detail}", file.display())]
    Damaged {
        /// The log.
        file: PathBuf,
        /// Where the damaged batch begins, in bytes.
        offset: u64,
        /// What is wrong.
        detail: &'static str,
    },
    /// The system fails in another way: disk full, read error.
    #[error("{}: {detail}", path.display())]
    Io {
        /// Folder or file.
        path: PathBuf,
        /// How.
        kind: io::ErrorKind,
        /// In the system's words.
        detail: String,
    },
}

impl OpenError {
    fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::NotADirectory => Self::NotAFolder { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NoPermission { path },
            kind => Self::Io { path, kind, detail: error.to_string() },
        }
    }

    fn fault(folder: &Path, fault: Fault) -> Self {
        let file = folder.join(LOG);
        match fault {
            Fault::Newer(version) => Self::Newer { file, version },
            Fault::Damaged { offset, detail } => Self::Damaged { file, offset, detail },
            Fault::Io(failure) => Self::io(&failure.path(folder), &failure.error),
        }
    }
}
