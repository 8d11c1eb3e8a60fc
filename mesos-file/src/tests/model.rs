//! A disk in memory, with the page cache before it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::Disk;

/// What a planned step does in place of its work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Fails, and the next ones don't; a write has done so many bytes by then.
    Once { short: usize },
    /// Fails, and so does everything after it.
    Crash { short: usize },
}

/// What a crash leaves of bytes that weren't synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crash {
    Nothing,
    Everything,
    Half,
    Zeros,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// A sync has failed: the pages count as clean from now on, and no other sync writes them.
    lost: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    steps: usize,
    plan: Option<(usize, Fault)>,
    crashed: bool,
    space: Option<usize>,
    taken: bool,
}

impl State {
    /// How many bytes of a write still happen; none means all.
    fn step(&mut self) -> io::Result<Option<usize>> {
        if self.crashed {
            return Err(io::Error::other("crashed"));
        }
        let step = self.steps;
        self.steps += 1;
        match self.plan {
            Some((at, fault)) if at == step => match fault {
                Fault::Once { short } => Ok(Some(short)),
                Fault::Crash { short } => {
                    self.crashed = true;
                    Ok(Some(short))
                }
            },
            _ => Ok(None),
        }
    }

    /// For steps that are done or not done.
    fn whole_step(&mut self) -> io::Result<()> {
        match self.step()? {
            None => Ok(()),
            Some(_) => Err(io::Error::other("planned")),
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|n| self.inodes[*n].cached.len()).sum()
    }
}

/// The disk; a clone is the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct ModelFile {
    disk: Model,
    inode: usize,
    at: usize,
    /// A write that did a part of its bytes fails the next time.
    fails: bool,
}

impl Model {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics within")
    }

    fn of(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn plan(&self, step: usize, fault: Fault) {
        self.state().plan = Some((step, fault));
    }

    /// Changes so far.
    pub(crate) fn steps(&self) -> usize {
        self.state().steps
    }

    pub(crate) fn space(&self, bytes: Option<usize>) {
        self.state().space = bytes;
    }

    pub(crate) fn used(&self) -> usize {
        self.state().used()
    }

    pub(crate) fn inode(&self, name: &str) -> Option<usize> {
        self.state().names.get(name).copied()
    }

    pub(crate) fn length(&self, name: &str) -> usize {
        let state = self.state();
        state.names.get(name).map_or(0, |n| state.inodes[*n].cached.len())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn take_over(&self) {
        self.state().taken = true;
    }

    /// The process is gone, the system isn't.
    pub(crate) fn after_kill(&self) -> Self {
        let state = self.state().clone();
        Self::of(State { crashed: false, plan: None, ..state })
    }

    /// The system is gone.
    pub(crate) fn after_crash(&self, crash: Crash, new_names: bool) -> Self {
        let state = self.state().clone();
        let names = if new_names { &state.names } else { &state.durable_names };
        let inodes = state.inodes.iter().map(|inode| {
            let mut bytes = inode.durable.clone();
            let unsynced = inode.cached.get(bytes.len()..).unwrap_or_default();
            match crash {
                Crash::Nothing => {}
                Crash::Everything => bytes.extend(unsynced),
                Crash::Half => bytes.extend(&unsynced[..unsynced.len() / 2]),
                Crash::Zeros => bytes.extend(vec![0; unsynced.len()]),
            }
            Inode { cached: bytes.clone(), durable: bytes, lost: false }
        });
        let space = state.space;
        let (names, durable_names) = (names.clone(), names.clone());
        Self::of(State { inodes: inodes.collect(), names, durable_names, space, ..State::default() })
    }
}

impl Read for ModelFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let rest = state.inodes[self.inode].cached.get(self.at..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

impl Disk for Model {
    type File = ModelFile;

    fn open(&mut self, name: &str) -> io::Result<Option<(ModelFile, u64)>> {
        let state = self.state();
        let Some(inode) = state.names.get(name).copied() else { return Ok(None) };
        let length = state.inodes[inode].cached.len() as u64;
        Ok(Some((ModelFile { disk: self.clone(), inode, at: 0, fails: false }, length)))
    }

    fn create(&mut self, name: &str) -> io::Result<ModelFile> {
        let mut state = self.state();
        state.whole_step()?;
        assert!(!state.names.contains_key(name), "it is there already");
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.into(), inode);
        Ok(ModelFile { disk: self.clone(), inode, at: 0, fails: false })
    }

    fn write(&mut self, file: &mut ModelFile, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if std::mem::take(&mut file.fails) {
            return Err(io::Error::other("planned"));
        }
        let short = state.step()?;
        let free = state.space.map_or(usize::MAX, |space| space.saturating_sub(state.used()));
        let length = bytes.len().min(short.unwrap_or(usize::MAX)).min(free);
        state.inodes[file.inode].cached.extend(&bytes[..length]);
        file.fails = short.is_some();
        match length {
            0 if short.is_some() => {
                file.fails = false;
                Err(io::Error::other("planned"))
            }
            0 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(length),
        }
    }

    fn cut(&mut self, file: &mut ModelFile, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.whole_step()?;
        state.inodes[file.inode].cached.truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self, file: &mut ModelFile) -> io::Result<()> {
        let mut state = self.state();
        let done = state.whole_step();
        let crashed = state.crashed;
        let inode = &mut state.inodes[file.inode];
        match done {
            Err(_) => inode.lost |= !crashed,
            Ok(()) if !inode.lost => inode.durable = inode.cached.clone(),
            Ok(()) => {}
        }
        done
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.whole_step()?;
        let inode = state.names.remove(from).expect("it is there");
        state.names.insert(to.into(), inode);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        // Not a change, if there is nothing: then it can't fail for want of space or of a disk.
        if state.names.contains_key(name) {
            state.whole_step()?;
            state.names.remove(name);
        }
        Ok(())
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.whole_step()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn is_ours(&mut self) -> io::Result<bool> {
        Ok(!self.state().taken)
    }
}
