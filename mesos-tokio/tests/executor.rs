//! The example's executor on the embedded cluster: it must be built, which `cargo test` does by itself.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use mesos_sim::Options;
use mesos_sim::serve::Served;
use mesos_tokio::mesos_core::scheduler::{Client, Config, Event, Framework};
use mesos_tokio::mesos_core::v1;
use mesos_tokio::{Driver, Http};
use v1::TaskState::{self, TaskFailed, TaskFinished, TaskKilled, TaskRunning};

// S233: the example works; and its agent may be killed meanwhile.
#[tokio::test]
async fn the_example_runs_tasks_and_outlives_its_agent() {
    let test = std::env::current_exe().expect("a path");
    let program = test.ancestors().nth(2).expect("target/debug").join("examples/executor");
    assert!(program.exists(), "cargo build -p mesos-tokio --examples makes {}", program.display());
    let executor = v1::ExecutorInfo::custom("e", v1::CommandInfo::exec(program.display().to_string(), [""; 0]));

    let cluster = Served::start(Options::default().allocation_interval(Duration::from_millis(50))).await.expect("one");
    let config = Config::new(Framework::new("executor"), [cluster.master_url()]).expect("good");
    let mut driver = Driver::new(Client::new(config, 7), Http::default());
    let mut states = BTreeMap::<String, Vec<TaskState>>::new();
    let all = async {
        while let Some(event) = driver.next_event().await {
            match event {
                Event::Offers(offers) if states.is_empty() => {
                    let offer = offers.iter().next().expect("an offer").to_owned();
                    let tasks =
                        [("good", "sleep 1"), ("bad", "exit 7"), ("long", "exec sleep 1000")].map(|(id, script)| {
                            states.insert(id.to_owned(), Vec::new());
                            let task =
                                v1::TaskInfo::new(id, id, offer.agent_id.clone()).with_executor(executor.clone());
                            let task = task.with_resources([v1::Resource::cpus(0.1), v1::Resource::mem(32.0)]);
                            v1::TaskInfo { data: Some(script.into()), ..task }
                        });
                    let launch = v1::offer::Operation::launch(tasks);
                    driver.with(|c| c.calls().accept([&offer.id.value], [launch], None)).expect("a call");
                }
                Event::Offers(offers) => drop(driver.with(|c| c.calls().decline(offers.ids(), None))),
                Event::Update(update) => {
                    if update.uuid().is_some() {
                        driver.with(|c| c.calls().acknowledge(&update)).expect("a call");
                    }
                    let seen = states.get_mut(update.task_id()).expect("ours");
                    // An update may come again, until it is acknowledged.
                    if seen.last() == Some(&update.state()) {
                        continue;
                    }
                    seen.push(update.state());
                    match (update.task_id(), update.state()) {
                        ("long", TaskRunning) => {
                            cluster.control(|cluster| cluster.kill_agent(0)).await;
                            cluster.control(|cluster| cluster.restart_agent(0)).await;
                        }
                        ("good", TaskFinished) => {
                            driver.with(|c| c.calls().kill("long", None, None)).expect("a call");
                        }
                        ("long", TaskKilled) => break,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("no hang");
    let expected = [("good", TaskFinished), ("bad", TaskFailed), ("long", TaskKilled)];
    assert_eq!(states, expected.map(|(id, end)| (id.to_owned(), vec![TaskRunning, end])).into());
    cluster.stop().await;
}
