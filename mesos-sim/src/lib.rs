//! mesos-sim
