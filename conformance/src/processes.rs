//! What a scenario and a task's process tell each other: both sides run them on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::LIMIT;

const STEP: Duration = Duration::from_millis(10);

/// A name that no other test uses; the file ends with the value.
#[derive(Debug)]
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("conformance-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A file that a task writes its process id to.
#[derive(Debug)]
pub struct PidFile(TemporaryFile);

impl PidFile {
    /// One that isn't there so far.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self(TemporaryFile::new())
    }

    /// The command that writes it.
    #[must_use]
    pub fn written(&self) -> String {
        format!("echo $$ > {0}.new; mv {0}.new {0}", self.0.0.display())
    }

    /// The process id, once it is there.
    ///
    /// # Panics
    ///
    /// If it isn't within the [`LIMIT`].
    pub async fn read(&self) -> u32 {
        let reading = async {
            loop {
                if let Ok(text) = fs::read_to_string(&self.0.0) {
                    return text.trim().parse().expect("a number");
                }
                tokio::time::sleep(STEP).await;
            }
        };
        tokio::time::timeout(LIMIT, reading).await.expect("the task writes its process id")
    }
}

/// What a task waits for.
#[derive(Debug)]
pub struct Gate(TemporaryFile);

impl Gate {
    /// A closed one.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self(TemporaryFile::new())
    }

    /// The command that waits for it.
    #[must_use]
    pub fn passed(&self) -> String {
        format!("until test -e {}; do sleep 0.05; done", self.0.0.display())
    }

    /// Opens it.
    ///
    /// # Panics
    ///
    /// If the temporary folder can't be written to.
    pub fn open(&self) {
        fs::write(&self.0.0, "").expect("a file in the temporary folder");
    }
}

/// Tasks sign in with their processes, which can then be counted however agents and masters fare: what really runs.
#[derive(Clone, Debug)]
pub struct RollCall {
    folder: PathBuf,
}

impl RollCall {
    /// In a folder that is there, and used for nothing else.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that signs in as a task of this spec, and then does the rest.
    #[must_use]
    pub fn signed(&self, spec: &str, rest: &str) -> String {
        format!(": > {}.$$; {rest}", self.place(spec))
    }

    /// A command that says for an instance of this spec that it has done its work; each time counts.
    #[must_use]
    pub fn done(&self, spec: &str) -> String {
        format!("echo >> {}.done", self.place(spec))
    }

    /// A command that does this the first time only that an instance of this spec comes to it.
    #[must_use]
    pub fn once(&self, spec: &str, first: &str) -> String {
        let place = self.place(spec);
        format!("test -e {place}.once || {{ : > {place}.once; {first}; }}")
    }

    /// A file of the instance, as a shell sees it.
    fn place(&self, spec: &str) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let variable: String = spec.chars().map(letter).collect();
        format!("{}/{spec}.$TASK_{variable}_SERIAL_NUMBER", self.folder.display())
    }

    /// All files: spec, serial number, and what comes after them.
    fn files(&self) -> Vec<(String, u32, String)> {
        let parts = |name: String| {
            let mut parts = name.split('.').map(str::to_owned);
            let (spec, serial, rest) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
            Some((spec, serial, rest))
        };
        let entries = fs::read_dir(&self.folder).expect("the folder");
        entries.filter_map(|entry| parts(entry.ok()?.file_name().into_string().ok()?)).collect()
    }

    /// The processes that live, by spec and serial number (from 1). One that began after another had ended is never
    /// seen together with it.
    #[must_use]
    pub fn present(&self) -> BTreeMap<(String, u32), Vec<u32>> {
        let mut present: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for (spec, serial, rest) in self.files() {
            if let Some(pid) = rest.parse().ok().filter(|pid| lives(*pid)) {
                present.entry((spec, serial)).or_default().push(pid);
            }
        }
        present
    }

    /// Forgets the processes that have ended, and says how many. With very many, looking takes long, and in the end
    /// another process has the number of one of them.
    pub fn sweep(&self) -> usize {
        let ended = |(.., rest): &(String, u32, String)| rest.parse().is_ok_and(|pid| !lives(pid));
        let ended = self.files().into_iter().filter(ended);
        ended.map(|(spec, serial, rest)| fs::remove_file(self.folder.join(format!("{spec}.{serial}.{rest}")))).count()
    }

    /// How often each instance has done its work.
    #[must_use]
    pub fn work(&self) -> BTreeMap<(String, u32), usize> {
        let done = self.files().into_iter().filter(|(.., rest)| rest == "done");
        let times = |(spec, serial, rest): (String, u32, String)| {
            let lines = fs::read(self.folder.join(format!("{spec}.{serial}.{rest}"))).map_or(0, |text| text.len());
            ((spec, serial), lines)
        };
        done.map(times).collect()
    }
}

fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits until a process has ended; one that nobody has waited for counts as ended.
///
/// # Panics
///
/// If it hasn't within the [`LIMIT`].
pub async fn process_ends(pid: u32) {
    let ending = async {
        while lives(pid) {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(LIMIT, ending).await.expect("the process ends");
}

/// Kills a process at once.
///
/// # Panics
///
/// If there is none of this id.
pub fn kill_process(pid: u32) {
    let killed = Command::new("/bin/sh").args(["-c", "kill -s KILL $0", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()), "{pid} can't be killed");
}
