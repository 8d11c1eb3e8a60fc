//! `cargo xtask gen`: the Rust types of the schema, from `proto/` to `mesos-proto/src/generated/`.

use std::error::Error;
use std::path::{Path, PathBuf};

/// The files of the schema, relative to `proto/`.
const FILES: [&str; 9] = [
    "mesos/v1/mesos.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/allocator/allocator.proto",
    "mesos/v1/maintenance/maintenance.proto",
    "mesos/v1/quota/quota.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/agent/agent.proto",
    "mesos/v1/resource_provider/resource_provider.proto",
];

/// Fields whose size would make every message that holds them huge, and that are rarely set.
const BOXED: [&str; 16] = [
    ".mesos.v1.TaskInfo.container",
    ".mesos.v1.TaskInfo.executor",
    ".mesos.v1.TaskInfo.command",
    ".mesos.v1.TaskInfo.health_check",
    ".mesos.v1.TaskInfo.check",
    ".mesos.v1.ExecutorInfo.container",
    ".mesos.v1.ExecutorInfo.command",
    ".mesos.v1.Resource.disk",
    ".mesos.v1.Offer.Operation.launch_group",
    ".mesos.v1.Offer.Operation.grow_volume",
    ".mesos.v1.Offer.Operation.shrink_volume",
    ".mesos.v1.Offer.Operation.create_disk",
    ".mesos.v1.Offer.Operation.destroy_disk",
    ".mesos.v1.executor.Event.launch",
    ".mesos.v1.executor.Event.launch_group",
    ".mesos.v1.executor.Event.subscribed",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap_or_else(|| Path::new(".")).to_path_buf()
}

/// Generates into the source tree.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let out = root().join("mesos-proto/src/generated");
    std::fs::create_dir_all(&out)?;
    write_to(&out)
}

fn write_to(out: &Path) -> Result<(), Box<dyn Error>> {
    let proto = root().join("proto");
    let descriptors = protox::compile(FILES, [&proto])?;
    let mut config = prost_build::Config::new();
    config.out_dir(out).bytes(["."]).btree_map(["."]).format(true);
    for path in BOXED {
        config.boxed(path);
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
