//! mesos-tokio
