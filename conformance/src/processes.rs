//! What a scenario and a task's process tell each other: both sides run them on this machine.

use std::fs;
use std::path::PathBuf;
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

/// Waits until a process has ended; one that nobody has waited for counts as ended.
///
/// # Panics
///
/// If it hasn't within the [`LIMIT`].
pub async fn process_ends(pid: u32) {
    let lives = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    let ending = async {
        while lives() {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(LIMIT, ending).await.expect("the process ends");
}
