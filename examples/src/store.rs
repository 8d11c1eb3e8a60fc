//! Where the records are kept.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use mesos_file::{FileStore, Records};
use mesos_zk::Zk;

use crate::{Cluster, Failed};

/// The store.
#[derive(Args, Clone, Debug)]
pub struct StoreOptions {
    /// What keeps the framework's id and tasks: `memory`, which forgets them with this process, or `file:DIR`, a folder
    /// that the next run takes them over from, or `zk`: then several instances may run, of which one leads
    #[arg(long, value_name = "memory|file:DIR|zk", default_value = "memory")]
    store: Place,

    /// What stands before the framework's name in the path of the store in ZooKeeper
    #[arg(long, value_name = "PREFIX", default_value = "/dcos-service-")]
    zk_prefix: String,

    /// Go on with the framework and the tasks that npm's mesos-framework has left at the same path, unless the store has a
    /// framework already. Stop the original first
    #[arg(long = "take-over-original")]
    pub takes_over: bool,
}

#[derive(Clone, Debug)]
enum Place {
    Memory,
    File(PathBuf),
    ZooKeeper,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("file", folder)) if !folder.is_empty() => Ok(Self::File(folder.into())),
            None if text == "zk" => Ok(Self::ZooKeeper),
            _ => Err("memory, file:DIR or zk is wanted"),
        }
    }
}

/// The store of an instance that is alone, or where one is shared.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums, reason = "the example's")]
pub enum Opened {
    /// Nothing outlives the process.
    Memory,
    /// In a folder.
    File(FileStore, Records),
    /// In ZooKeeper, for the instance that leads.
    Shared(Zk),
}

impl StoreOptions {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// It can't be opened.
    pub fn open(&self, cluster: &Cluster) -> Result<Opened, Failed> {
        match &self.store {
            Place::Memory => Ok(Opened::Memory),
            Place::File(folder) => {
                let (store, records) = FileStore::open(folder)?;
                Ok(Opened::File(store, records))
            }
            Place::ZooKeeper => {
                let usage = |what: &dyn Display| Failed::Usage(format!("--store zk: {what}"));
                let zk = cluster.zk.as_ref().ok_or_else(|| usage(&"--zk says where ZooKeeper is"))?;
                // S5
                let path = format!("{}{}", self.zk_prefix, cluster.name);
                let settings = zk.settings().clone().path(path).map_err(|error| usage(&error))?;
                Ok(Opened::Shared(Zk::new(settings)?))
            }
        }
    }
}
