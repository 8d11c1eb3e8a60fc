//! Processes: each leads a group of its own, is signalled with it, and takes it along when it ends.
//!
//! A signal also goes to its descendants that have left the group, as long as their parents tie them to it (Linux).
//! Mesos's own executor goes by parents as well, and beyond them by a session, which it makes for its task by code between
//! fork and exec. That would be `unsafe` here, so a process that has left the group *and* lost its parent is out of sight
//! until the executor ends and the agent destroys the container. What a task leaves in its group when it ends by itself is
//! killed here at once, and there with the container.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::exit::Exit;

/// A process that was started, and its group.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    group: Pid,
    /// Whether somebody has waited for it: then its number may be another's.
    gone: Arc<Mutex<bool>>,
}

impl Process {
    /// Starts it; a thread of its own waits for its end, ends what is left of its group, and then says so.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub(crate) fn start(command: &mut Command, ended: impl FnOnce(Exit) + Send + 'static) -> io::Result<Self> {
        let mut child = command.process_group(0).spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = group.ok_or_else(|| io::Error::other("a process without number"))?;
        let process = Self { group, gone: Arc::default() };
        let waiting = process.clone();
        let (child_in, child_out) = std::sync::mpsc::sync_channel::<Child>(1);
        let waiter = std::thread::Builder::new().name(format!("waits for {process}")).spawn(move || {
            if let Ok(child) = child_out.recv() {
                ended(waiting.wait(child));
                waiting.reap_orphans();
            }
        });
        match waiter {
            Ok(_) => {
                // The thread waits for nothing else.
                let _ = child_in.send(child);
                Ok(process)
            }
            Err(error) => {
                process.signal(Signal::KILL);
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Signals the whole group and who has left it, unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !*gone {
            // Before a signal can part them from their parents.
            let strays = strays(self.group);
            // A group without processes is no fault, nor is a process that has just ended.
            let _ = kill_process_group(self.group, signal);
            for stray in strays {
                let _ = kill_process(stray, signal);
            }
        }
    }

    fn wait(&self, mut child: Child) -> Exit {
        // As long as nobody has taken its status the number is its own: the group can be killed safely.
        let ended = || waitid(WaitId::Pid(self.group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        while matches!(ended(), Err(rustix::io::Errno::INTR)) {}
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = kill_process_group(self.group, Signal::KILL);
        *gone = true;
        child.wait().map_or(Exit::Unknown, Exit::from)
    }

    /// Takes the status of what the process has left behind, which is ours once its parents are gone.
    fn reap_orphans(&self) {
        loop {
            match waitid(WaitId::Pgid(Some(self.group)), WaitIdOptions::EXITED) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// The descendants of a group's leader that are in other groups.
fn strays(leader: Pid) -> Vec<Pid> {
    let processes: Vec<[i32; 3]> =
        std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| kin(&entry.path())).collect();
    let (mut family, mut found) = (BTreeSet::from([leader.as_raw_nonzero().get()]), Vec::new());
    // One generation after the other, until there is none.
    loop {
        let before = family.len();
        for [pid, parent, group] in &processes {
            if family.contains(parent) && family.insert(*pid) && *group != leader.as_raw_nonzero().get() {
                found.extend(Pid::from_raw(*pid));
            }
        }
        if family.len() == before {
            return found;
        }
    }
}

/// A process by its folder in `/proc`: its number, its parent's and its group's.
fn kin(folder: &Path) -> Option<[i32; 3]> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // Before the last parenthesis stands the program's name, which may be anything; behind it the state comes first.
    let mut numbers = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1).map(str::parse);
    Some([pid, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

/// Makes this process the parent of those whose parents have ended, so that none of them stays behind as a zombie.
pub(crate) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    // Where it is refused, init takes them.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.group.as_raw_nonzero().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    const LIMIT: Duration = Duration::from_secs(20);

    fn start(script: &str) -> (Process, mpsc::Receiver<Exit>) {
        let (ended, end) = mpsc::channel();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        let process = Process::start(&mut command, move |exit| ended.send(exit).unwrap()).unwrap();
        (process, end)
    }

    /// What stands in a file, once it is there.
    fn line(file: &Path) -> String {
        let limit = Instant::now() + LIMIT;
        loop {
            match std::fs::read_to_string(file) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => assert!(Instant::now() < limit, "nothing is written"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lives(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn dies(pid: &str) {
        let limit = Instant::now() + LIMIT;
        while lives(pid) {
            assert!(Instant::now() < limit, "{pid} lives");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn says_how_it_ended() {
        for (script, exit) in [
            ("exit 0", Exit::Status(0)),
            ("exit 7", Exit::Status(7)),
            ("kill -KILL $$", Exit::Signal { number: 9, core: false }),
        ] {
            assert_eq!(start(script).1.recv_timeout(LIMIT), Ok(exit), "{script}");
        }
    }

    #[test]
    fn what_cannot_be_started_says_so() {
        let ended = |exit| panic!("{exit:?}");
        let error = Process::start(&mut Command::new("/no/such/program"), ended).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_group_is_signalled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let (process, end) = start(&format!("sleep 1000 & echo $! > {}; wait", file.display()));
        let child = line(&file);
        assert!(lives(&child));
        process.signal(Signal::TERM);
        assert_eq!(end.recv_timeout(LIMIT), Ok(Exit::Signal { number: 15, core: false }));
        dies(&child);
        process.signal(Signal::TERM);
    }

    // A process with a session of its own lived on.
    #[test]
    fn who_has_left_the_group_is_signalled() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let inner = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let (process, end) = start(&format!("sh -c \"setsid sh -c '{inner}' & wait\"; true").replace("$!", "\\$!"));
        let child = line(&file);
        assert!(lives(&child));
        process.signal(Signal::KILL);
        assert_eq!(end.recv_timeout(LIMIT), Ok(Exit::Signal { number: 9, core: false }));
        dies(&child);
    }

    #[test]
    fn nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let (_process, end) = start(&format!("trap '' TERM; sleep 1000 & echo $! > {}", file.display()));
        let child = line(&file);
        assert_eq!(end.recv_timeout(LIMIT), Ok(Exit::Status(0)));
        dies(&child);
    }
}
