//! Messages of the Apache Mesos v1 API.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod base64;
mod build;
mod check;
mod cursor;
pub mod descriptor;
pub mod json;

pub use check::{Checked, Invalid, InvalidKind, check, decode, strip_unknown_enums};
pub use cursor::{Fields, Value};
pub use descriptor::Described;

/// The messages of `mesos.v1`, and in its modules those of the single APIs.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::use_self,
    clippy::doc_overindented_list_items,
    clippy::doc_lazy_continuation,
    clippy::tabs_in_doc_comments,
    reason = "generated"
)]
pub mod v1 {
    include!("generated/mesos.v1.rs");

    /// The scheduler API.
    pub mod scheduler {
        include!("generated/mesos.v1.scheduler.rs");
    }

    /// The executor API.
    pub mod executor {
        include!("generated/mesos.v1.executor.rs");
    }

    /// The operator API of an agent.
    #[cfg(feature = "operator")]
    pub mod agent {
        include!("generated/mesos.v1.agent.rs");
    }

    /// Allocator messages of the operator API.
    #[cfg(feature = "operator")]
    pub mod allocator {
        include!("generated/mesos.v1.allocator.rs");
    }

    /// Maintenance messages of the operator API.
    #[cfg(feature = "operator")]
    pub mod maintenance {
        include!("generated/mesos.v1.maintenance.rs");
    }

    /// The operator API of a master.
    #[cfg(feature = "operator")]
    pub mod master {
        include!("generated/mesos.v1.master.rs");
    }

    /// Quota messages of the operator API.
    #[cfg(feature = "operator")]
    pub mod quota {
        include!("generated/mesos.v1.quota.rs");
    }

    /// The resource provider API.
    #[cfg(feature = "operator")]
    pub mod resource_provider {
        include!("generated/mesos.v1.resource_provider.rs");
    }
}

/// The records that the engine of `mesos-core` keeps in a store. Not part of Mesos, and of interest only to tools that
/// read such a store.
#[allow(missing_docs, clippy::use_self, reason = "generated")]
pub mod store {
    include!("generated/mesos.store.rs");
}
