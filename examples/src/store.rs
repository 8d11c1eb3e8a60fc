//! Where the records are kept.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use mesos_file::{FileStore, Records};

use crate::Failed;

/// The store.
#[derive(Args, Clone, Debug)]
pub struct StoreOptions {
    /// What keeps the framework's id and tasks: `memory`, which forgets them with this process, or `file:DIR`, a folder
    /// that the next run takes them over from
    #[arg(long, value_name = "memory|file:DIR", default_value = "memory")]
    store: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory,
    File(PathBuf),
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("file", folder)) if !folder.is_empty() => Ok(Self::File(folder.into())),
            _ => Err("memory or file:DIR is wanted"),
        }
    }
}

impl StoreOptions {
    /// The store, unless it is memory, and what it holds.
    ///
    /// # Errors
    ///
    /// It can't be opened.
    pub fn open(&self) -> Result<(Option<FileStore>, Records), Failed> {
        match &self.store {
            Place::Memory => Ok((None, Records::new())),
            Place::File(folder) => {
                let (store, records) = FileStore::open(folder)?;
                Ok((Some(store), records))
            }
        }
    }
}
