//! From a task's `CommandInfo` to what the operating system starts.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mesos_tokio::mesos_core::v1;

/// Where tasks run, and what they must not know.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The executor's sandbox.
    sandbox: PathBuf,
    /// Environment variables of the executor's that are nobody else's business.
    secrets: Vec<String>,
}

/// Why a command cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadCommand {
    #[error("the task has no command")]
    None,
    #[error("the task's data are no line for a shell")]
    Data,
    #[error("Shell command is not specified")]
    NoLine,
    #[error("Executable path is not specified")]
    NoProgram,
    #[error("{0:?} is no name of an environment variable")]
    Variable(String),
    #[error("sandbox {}: {error}", folder.display())]
    Sandbox { folder: PathBuf, error: io::Error },
    #[error(transparent)]
    Start(#[from] io::Error),
}

impl Place {
    pub(crate) fn new(sandbox: impl Into<PathBuf>, secrets: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { sandbox: sandbox.into(), secrets: secrets.into_iter().map(Into::into).collect() }
    }

    /// The place of one of several tasks: a folder of its own, as the containers of a task group have.
    fn inner(&self, task_id: &str) -> Self {
        // Ids have no slashes, but may consist of dots.
        let name = if task_id.starts_with('.') { format!("_{task_id}") } else { task_id.replace('/', "_") };
        Self { sandbox: self.sandbox.join("tasks").join(name), secrets: self.secrets.clone() }
    }

    /// What runs a task. On its own it has the sandbox and the output of the executor, which the agent has directed to
    /// the files `stdout` and `stderr` there. Of several tasks each has its own sandbox below that, and in it its own
    /// two files.
    ///
    /// # Errors
    ///
    /// There is no command that could be run, or no folder to run it in.
    pub(crate) fn task(&self, task: &v1::TaskInfo, alone: bool) -> Result<(Self, Command), BadCommand> {
        let info = what(task)?;
        if alone {
            return Ok((self.clone(), self.command(&info)?));
        }
        let place = self.inner(&task.task_id.value);
        let mut command = place.command(&info)?;
        let failed = |error| BadCommand::Sandbox { folder: place.sandbox.clone(), error };
        fs::create_dir_all(&place.sandbox).map_err(failed)?;
        let append = |name| File::options().create(true).append(true).open(place.sandbox.join(name)).map_err(failed);
        command.stdout(append("stdout")?).stderr(append("stderr")?);
        Ok((place, command))
    }

    /// What runs a command here: with the executor's environment, and the command's over it.
    ///
    /// # Errors
    ///
    /// It lacks what to run, or has variables that cannot be.
    pub(crate) fn command(&self, info: &v1::CommandInfo) -> Result<Command, BadCommand> {
        let mut command = if info.shell() {
            let mut command = Command::new("/bin/sh");
            command.arg0("sh").arg("-c").arg(info.value.as_ref().ok_or(BadCommand::NoLine)?);
            command
        } else {
            let mut command = Command::new(info.value.as_ref().ok_or(BadCommand::NoProgram)?);
            // The first argument is what the program is told to be its name.
            if let Some((name, arguments)) = info.arguments.split_first() {
                command.arg0(name).args(arguments);
            }
            command
        };
        command.env("MESOS_SANDBOX", &self.sandbox);
        for variable in info.environment.iter().flat_map(|environment| &environment.variables) {
            if variable.name.is_empty() || variable.name.contains(['=', '\0']) {
                return Err(BadCommand::Variable(variable.name.clone()));
            }
            // A secret has none: the agent has put its value into our own environment.
            if let Some(value) = &variable.value {
                command.env(&variable.name, value);
            }
        }
        for secret in &self.secrets {
            command.env_remove(secret);
        }
        command.current_dir(&self.sandbox).stdin(Stdio::null());
        Ok(command)
    }
}

/// What a task runs. One that has an executor may have no command, says Mesos; its data are a line for the shell then.
fn what(task: &v1::TaskInfo) -> Result<Cow<'_, v1::CommandInfo>, BadCommand> {
    if let Some(info) = &task.command {
        return Ok(Cow::Borrowed(info));
    }
    let data = task.data.as_ref().ok_or(BadCommand::None)?;
    let line = std::str::from_utf8(data).map_err(|_| BadCommand::Data)?;
    Ok(Cow::Owned(v1::CommandInfo::new(line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesos_tokio::mesos_core::v1::{CommandInfo, TaskInfo};

    fn output(command: &mut Command) -> String {
        let output = command.stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn place() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), ["PATH"]);
        (folder, place)
    }

    #[test]
    fn shell_or_arguments() {
        let (_folder, place) = place();
        let told = |info| output(&mut place.command(&info).unwrap());
        assert_eq!(told(CommandInfo::new("echo $0; echo 'a b' | cat")), "sh\na b\n");
        assert_eq!(told(CommandInfo::exec("/bin/echo", ["a", "$HOME", "b c"])), "a $HOME b c\n");
        let mut renamed = CommandInfo::exec("/bin/sh", ["-c", "echo $0"]);
        renamed.arguments[0] = "fish".into();
        assert_eq!(told(renamed), "fish\n");
        let bare = CommandInfo { shell: Some(false), value: Some("/bin/true".into()), ..Default::default() };
        assert_eq!(told(bare), "");
    }

    #[test]
    fn environment_and_place() {
        let (folder, place) = place();
        let info = CommandInfo::new("echo \"$GREETING $MESOS_SANDBOX ${CARGO_PKG_NAME-} $(pwd)\"");
        let info = info.with_env([("GREETING", "h i"), ("CARGO_PKG_NAME", "over")]);
        let sandbox = folder.path().display();
        assert_eq!(output(&mut place.command(&info).unwrap()), format!("h i {sandbox} over {sandbox}\n"));
    }

    #[test]
    fn secrets_are_not_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let info = CommandInfo::new("echo ${CARGO_PKG_NAME-none} ${OPEN-none}").with_env([("OPEN", "yes")]);
        let told = |secrets: &[&str]| {
            let place = Place::new(folder.path(), secrets.iter().copied());
            output(&mut place.command(&info).unwrap())
        };
        assert_eq!(told(&[]), format!("{} yes\n", env!("CARGO_PKG_NAME")));
        assert_eq!(told(&["CARGO_PKG_NAME"]), "none yes\n");
    }

    #[test]
    fn several_tasks_have_folders_of_their_own() {
        let (folder, place) = place();
        for (id, name) in [("one", "one"), ("..", "_..")] {
            let info = CommandInfo::new("echo out; echo err >&2; pwd > where; echo $MESOS_SANDBOX >> where");
            let task = TaskInfo::new("t", id, "a").with_command(info);
            let (_, mut command) = place.task(&task, false).unwrap();
            assert!(command.status().unwrap().success());
            let sandbox = folder.path().join("tasks").join(name);
            let read = |name| fs::read_to_string(sandbox.join(name)).unwrap();
            let here = sandbox.display();
            assert_eq!(
                [read("stdout"), read("stderr"), read("where")],
                ["out\n".into(), "err\n".into(), format!("{here}\n{here}\n")]
            );
        }
    }

    #[test]
    fn what_cannot_be_run() {
        let (_folder, place) = place();
        let refused = |info| place.command(&info).map(drop).unwrap_err().to_string();
        assert_eq!(refused(CommandInfo::default()), "Shell command is not specified");
        assert_eq!(refused(CommandInfo::arguments(["a"])), "Executable path is not specified");
        let odd = CommandInfo::new("true").with_env([("A=B", "c")]);
        assert_eq!(refused(odd), "\"A=B\" is no name of an environment variable");
        let task = TaskInfo::new("t", "t", "a");
        assert!(matches!(place.task(&task, true), Err(BadCommand::None)));
        let odd = TaskInfo { data: Some(b"\xff".as_slice().into()), ..task };
        assert!(matches!(place.task(&odd, true), Err(BadCommand::Data)));
    }

    #[test]
    fn data_for_want_of_a_command() {
        let (_folder, place) = place();
        let task = TaskInfo { data: Some("echo $((1 + 1))".into()), ..TaskInfo::new("t", "t", "a") };
        assert_eq!(output(&mut place.task(&task, true).unwrap().1), "2\n");
    }
}
