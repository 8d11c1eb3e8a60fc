//! What is run.

use alloc::string::String;

use crate::v1;
use v1::command_info::Uri;
use v1::environment::Variable;

impl v1::CommandInfo {
    /// A line for `/bin/sh -c`.
    #[must_use]
    pub fn new(line: impl Into<String>) -> Self {
        Self { shell: Some(true), value: Some(line.into()), ..Self::default() }
    }

    /// A program and its arguments, without a shell. Mesos wants the program's own name at the front of the arguments,
    /// as `execv` does, and gets it. Not for containers of type DOCKER, where Docker would take that name for an
    /// argument: there, [`arguments`](Self::arguments) with the program in front does the same.
    #[must_use]
    pub fn exec<A: Into<String>>(program: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        let program = program.into();
        let mut command = Self::arguments([program.clone()]);
        command.arguments.extend(arguments.into_iter().map(Into::into));
        command.value = Some(program);
        command
    }

    /// Arguments for what the container's image runs by itself, its entry point; none are fine. For images without
    /// entry point the first of them is the program.
    #[must_use]
    pub fn arguments<A: Into<String>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { shell: Some(false), arguments, ..Self::default() }
    }

    /// Adds environment variables, as pairs of name and value.
    #[must_use]
    pub fn with_env<K: Into<String>, V: Into<String>>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
        self.environment.get_or_insert_default().extend(variables);
        self
    }

    /// Adds something to fetch into the sandbox before the start: a URI, or its text with Mesos's defaults (archives
    /// are extracted, nothing is cached).
    #[must_use]
    pub fn with_uri(mut self, uri: impl Into<Uri>) -> Self {
        self.uris.push(uri.into());
        self
    }

    /// The user of the agent's system to run as, instead of the framework's.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }
}

impl From<&str> for Uri {
    fn from(value: &str) -> Self {
        Self::from(String::from(value))
    }
}

impl From<String> for Uri {
    fn from(value: String) -> Self {
        Self { value, ..Self::default() }
    }
}

/// Variables from pairs of name and value.
impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for v1::Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut environment = Self::default();
        environment.extend(pairs);
        environment
    }
}

/// A variable of a name that is there already takes its place, since Mesos doesn't say which of two would count.
impl<K: Into<String>, V: Into<String>> Extend<(K, V)> for v1::Environment {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            let variable = Variable { name: name.into(), value: Some(value.into()), ..Variable::default() };
            match self.variables.iter_mut().find(|other| other.name == variable.name) {
                Some(other) => *other = variable,
                None => self.variables.push(variable),
            }
        }
    }
}
