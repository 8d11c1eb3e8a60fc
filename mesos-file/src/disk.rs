//! What the log needs of a file system, and the real one.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, openat, renameat, unlinkat};
use rustix::io::Errno;

pub(crate) const LOCK: &str = "lock";

/// A failure, and what in the folder has failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// None: the folder itself.
    name: Option<&'static str>,
    pub(crate) error: io::Error,
}

impl Failure {
    pub(crate) const fn of_folder(error: io::Error) -> Self {
        Self { name: None, error }
    }

    pub(crate) fn of(name: &'static str) -> impl Fn(io::Error) -> Self + Copy {
        move |error| Self { name: Some(name), error }
    }

    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        self.name.map_or_else(|| folder.to_owned(), |name| folder.join(name))
    }
}

/// One folder. Tests put a model in its place, which loses and fails what real disks lose and fail.
pub(crate) trait Disk {
    /// Read from its start, written at its end.
    type File: Read;

    /// A file and its length; none, if there is none.
    fn open(&mut self, name: &str) -> io::Result<Option<(Self::File, u64)>>;

    /// An empty file that wasn't there before.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;

    /// Appends some of these bytes.
    fn write(&mut self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts off what follows.
    fn cut(&mut self, file: &mut Self::File, length: u64) -> io::Result<()>;

    /// Waits until the file's bytes outlive a crash of the machine.
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;

    /// Gives a file another's name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, if it is there.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Waits until the files' names outlive a crash of the machine.
    fn sync_folder(&mut self) -> io::Result<()>;

    /// Whether the folder is still the one that was opened, with the lock that was taken.
    fn is_ours(&mut self) -> io::Result<bool>;
}

/// A folder of the file system, by its handle: moved away, it never writes into the one that comes in its place.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    handle: File,
    lock: Option<File>,
}

impl Folder {
    /// An existing folder, to read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        Ok(Self { path: path.canonicalize()?, handle, lock: None })
    }

    /// Takes the lock, which goes with this value (or its process).
    pub(crate) fn lock(&mut self) -> io::Result<bool> {
        let lock = self.file(LOCK, OFlags::RDWR | OFlags::CREATE)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.lock = Some(lock),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        // Somebody may have put another in its place in between.
        self.is_ours()
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // Without waiting for the other end, should it be a pipe. And no link: one that leads nowhere just now would be no
        // store, and another one made in its place.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        match openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(file.into()),
            Err(Errno::LOOP) => Err(io::Error::new(io::ErrorKind::InvalidInput, "a symbolic link")),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes a folder that stays, with those above it.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    let above = match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let sync_above = || File::open(above)?.sync_all();
    match fs::create_dir(folder) {
        Ok(()) => sync_above(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && above != Path::new(".") => {
            make(above)?;
            fs::create_dir(folder)?;
            sync_above()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Whoever made it may have died before this, or it is as old as the hills, above it nothing we may read.
            let _ = sync_above();
            // Whatever it is: opening it will tell.
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl Disk for Folder {
    type File = File;

    fn open(&mut self, name: &str) -> io::Result<Option<(File, u64)>> {
        let flags = if self.lock.is_some() { OFlags::RDWR | OFlags::APPEND } else { OFlags::RDONLY };
        let file = match self.file(name, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Some((file, metadata.len())))
    }

    fn create(&mut self, name: &str) -> io::Result<File> {
        self.file(name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL)
    }

    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn cut(&mut self, file: &mut File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &self.handle, to)?)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn is_ours(&mut self) -> io::Result<bool> {
        let Some(lock) = &self.lock else { return Ok(false) };
        for (path, handle) in [(self.path.clone(), &self.handle), (self.path.join(LOCK), lock)] {
            let there = match fs::symlink_metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                other => other?,
            };
            let ours = handle.metadata()?;
            if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
