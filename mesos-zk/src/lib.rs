#![doc = include_str!("../README.md")]

mod detector;
mod election;
mod error;
mod layout;
mod original;
mod settings;
mod store;
#[cfg(feature = "tls")]
mod tls;
mod zk;

use std::collections::BTreeMap;

use bytes::Bytes;
pub use detector::{MasterDetector, leading_master};
pub use election::{Election, Lease};
pub use error::ZkError;
pub use mesos_core;
use mesos_core::Key;
pub use original::{Original, TakeOverError, read_original};
pub use settings::{PathFault, ServerFault, Settings, SettingsError, SettingsProblem};
pub use store::{Place, ZkStore, read, stored_framework_id};
pub use zk::Zk;

/// What a store holds.
pub type Records = BTreeMap<Key, Bytes>;
