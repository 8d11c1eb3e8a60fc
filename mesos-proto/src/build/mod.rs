//! Constructors of the messages that people write by hand.
//!
//! They are associated functions and methods of the generated types: what a message is about goes into its constructor,
//! the optional rest is added by chained methods. Those are called `with_…`, since the plain names are prost's getters.
//! A list grows with each call, everything else is replaced. What has no method here is a public field.

mod check;
mod command;
mod container;
mod offer;
mod resource;
mod task;
#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use crate::v1;

/// Ids are texts.
macro_rules! ids {
    ($($id:ident)*) => {$(
        impl From<&str> for v1::$id {
            fn from(value: &str) -> Self {
                Self::from(value.to_string())
            }
        }

        impl From<String> for v1::$id {
            fn from(value: String) -> Self {
                Self { value }
            }
        }

        impl AsRef<str> for v1::$id {
            fn as_ref(&self) -> &str {
                &self.value
            }
        }

        impl fmt::Display for v1::$id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.value)
            }
        }
    )*};
}

ids!(AgentId FrameworkId ExecutorId OfferId OperationId ResourceProviderId TaskId);

/// Nanoseconds; what doesn't fit (292 years) becomes the largest number.
fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// In nanoseconds; what doesn't fit, from 292 years on, becomes the longest duration.
impl From<Duration> for v1::DurationInfo {
    fn from(duration: Duration) -> Self {
        Self { nanoseconds: nanoseconds(duration) }
    }
}

impl v1::TimeInfo {
    /// The time so long after the Unix epoch.
    #[must_use]
    pub fn since_epoch(duration: Duration) -> Self {
        Self { nanoseconds: nanoseconds(duration) }
    }
}

/// Labels from pairs of key and value.
impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for v1::Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut labels = Self::default();
        labels.extend(pairs);
        labels
    }
}

impl<K: Into<String>, V: Into<String>> Extend<(K, V)> for v1::Labels {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        let label = |(key, value): (K, V)| v1::Label { key: key.into(), value: Some(value.into()) };
        self.labels.extend(pairs.into_iter().map(label));
    }
}

impl v1::Parameter {
    /// A key and its value.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}
