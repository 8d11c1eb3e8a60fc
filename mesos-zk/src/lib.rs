#![doc = include_str!("../README.md")]

mod election;
mod error;
mod layout;
mod settings;
mod store;
#[cfg(feature = "tls")]
mod tls;
mod zk;

use std::collections::BTreeMap;

use bytes::Bytes;
pub use election::{Election, Lease};
pub use error::ZkError;
pub use mesos_core;
use mesos_core::Key;
pub use settings::{PathFault, ServerFault, Settings, SettingsError, SettingsProblem};
pub use store::{Place, ZkStore};
pub use zk::Zk;

/// What a store holds.
pub type Records = BTreeMap<Key, Bytes>;
