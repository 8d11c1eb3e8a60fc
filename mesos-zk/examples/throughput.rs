//! What the store is able to do on a server of yours: launches recorded in a second, and how long 100,000 records take
//! to be read. It writes below the path that it is given, and removes what it has written.
//!
//! `cargo run --release -p mesos-zk --example throughput -- zk://127.0.0.1:2181/throughput`
#![allow(clippy::print_stdout, reason = "a program")]

use std::error::Error;
use std::time::Instant;

use mesos_zk::mesos_core::{Key, Persist, Store as _, StoreOp, Ticket};
use mesos_zk::{Zk, ZkStore};

const RECORDS: u64 = 100_000;

/// As large as the record of an instance that is about to be launched.
fn intent(index: u64) -> StoreOp {
    let key = Key::new(["inst", "web", &index.to_string(), "1"]);
    let agent = r#""agent":{"id":"6b5c8d4e-0d3a-4f65-9b55-3c2a1d0e9f88-S17","hostname":"agent-17.example"}"#;
    let value = format!(
        r#"{{"stamp":{{"format":1,"incarnation":3}},"task_id":"shop.web-{index}.1.3-k3j5h2g4","revision":"95366d193723be09",
"state":"PREPARED",{agent},"resources":[{{"name":"cpus","milli":100}},{{"name":"mem","milli":32000}}],"ports":[31005]}}"#
    );
    StoreOp::Put { key, value: value.into() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("where? zk://host:port/path")?;
    let zk = Zk::new(url.parse()?)?;
    let (mut store, records) = ZkStore::open(&zk).await?;
    if !records.is_empty() {
        return Err("there are records at this path already".into());
    }
    let mut ticket = 0;
    let mut write = async |store: &mut ZkStore, size: usize, ops: &[StoreOp]| {
        let start = Instant::now();
        for chunk in ops.chunks(size) {
            ticket += 1;
            store.apply(&Persist::new(Ticket::new(ticket), chunk.to_vec())).await?;
        }
        let time = start.elapsed();
        let rate = ops.len() as f64 / time.as_secs_f64();
        println!(
            "{:>6} changes in batches of {size:>3}: {:6.2} s, {rate:>6.0} a second",
            ops.len(),
            time.as_secs_f64()
        );
        Ok::<_, Box<dyn Error>>(())
    };
    let intents: Vec<StoreOp> = (0..RECORDS).map(intent).collect();
    let (first, rest) = intents.split_at(1000);
    let (second, rest) = rest.split_at(10_000);
    write(&mut store, 1, first).await?;
    write(&mut store, 32, second).await?;
    write(&mut store, 512, rest).await?;
    // A status each: the same records once more.
    write(&mut store, 512, &intents).await?;
    drop(store);
    let start = Instant::now();
    let (mut store, records) = ZkStore::open(&zk).await?;
    println!("{:>6} records read in {:.2} s", records.len(), start.elapsed().as_secs_f64());
    let gone: Vec<StoreOp> = records.into_keys().map(|key| StoreOp::Delete { key }).collect();
    write(&mut store, 512, &gone).await
}
