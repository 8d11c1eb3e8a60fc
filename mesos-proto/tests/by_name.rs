//! Messages by name, as far as their users see them (rows S201 to S213 of the parity list, where the original has its
//! `Builder`). S213, a test for functions and a factory of loggers, has no counterpart: the compiler knows functions,
//! and a library doesn't log.

#![allow(clippy::unwrap_used, reason = "tests")]

use mesos_proto::descriptor::{Field, Kind, Label, Message, all_messages};
use mesos_proto::dynamic::{Builder, Error, ErrorKind, Value};
use mesos_proto::{InvalidKind, json, v1};
use prost::Message as _;

fn builder(name: &str) -> Builder {
    Builder::new(name).unwrap()
}

/// A value for a field, complete with all that is required in it.
fn sample(field: &Field) -> Value {
    match field.kind {
        Kind::Double => 1.5.into(),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => 7.into(),
        Kind::Bool => true.into(),
        Kind::String => "text".into(),
        Kind::Bytes => Value::from(&b"\xfb\xff"[..]),
        Kind::Enum(item) => item.values()[0].0.into(),
        Kind::Message(message) => complete(message).into(),
    }
}

fn required(message: &'static Message) -> impl Iterator<Item = &'static Field> {
    message.fields().iter().filter(|field| field.label == Label::Required)
}

fn complete(message: &'static Message) -> Builder {
    let mut complete = builder(message.name());
    for field in required(message) {
        complete.set(field.name, sample(field)).unwrap();
    }
    complete
}

// S201, S202: every message of the schema, the newest ones of 1.11 too.
#[test]
fn every_message_can_be_built_by_its_name() {
    for message in all_messages().filter(|message| !message.is_map_entry()) {
        let mut whole = complete(message);
        assert_eq!(whole.descriptor().name(), message.name());
        whole.to_protobuf().unwrap();
        for field in message.fields() {
            let is_map = matches!(field.kind, Kind::Message(entry) if entry.is_map_entry());
            if is_map {
                let Kind::Message(entry) = field.kind else { continue };
                let value = sample(entry.field_named("value").unwrap());
                whole.set(field.name, Value::map([("key", value)])).unwrap();
            } else {
                // S206: repeated or not, one value does.
                whole.set(field.name, sample(field)).unwrap_or_else(|error| panic!("{}: {error}", message.name()));
            }
        }
        // S212: JSON and protobuf say the same.
        let bytes = whole.to_protobuf().unwrap();
        let text = whole.to_json().unwrap();
        assert_eq!(json::to_protobuf_strict(message, text.as_bytes()).unwrap(), bytes, "{text}");
        for field in required(message) {
            whole.clear(field.name).unwrap();
            let invalid = whole.to_protobuf().unwrap_err();
            assert_eq!((invalid.path.as_str(), invalid.kind), (field.name, InvalidKind::Missing));
            assert!(whole.to_json().is_err(), "enforced for JSON too, unlike the original");
            whole.set(field.name, sample(field)).unwrap();
        }
    }
}

// S202: an unknown name is an error at once.
#[test]
fn unknown_messages() {
    for name in ["", "TaskInfo", "mesos.v1.Task_Info", "mesos.v1.taskinfo", "mesos.v1.TaskInfo.LimitsEntry"] {
        assert_eq!(Builder::new(name).unwrap_err().kind, ErrorKind::UnknownMessage(name.into()));
    }
}

// S203: chained setters change the one message. S211: it is the generated type that comes out.
#[test]
fn chained_and_typed() -> Result<(), Error> {
    let mut status = builder("mesos.v1.TaskStatus");
    status
        .set("task_id", &v1::TaskId::from("t"))?
        .set("state", "TASK_RUNNING")?
        .set("healthy", true)?
        .set("timestamp", 3)?
        .set("data", &b"\0\xff"[..])?
        .set("message", "soon gone")?
        .set("message", None::<&str>)?
        .set("labels", Value::map([("labels", [Value::map([("key", "k")]), Value::map([("key", "l")])])]))?;
    let expected = v1::TaskStatus {
        task_id: "t".into(),
        state: v1::TaskState::TaskRunning.into(),
        healthy: Some(true),
        timestamp: Some(3.0),
        data: Some(vec![0, 0xff].into()),
        labels: Some(v1::Labels {
            labels: vec![v1::Label { key: "k".into(), value: None }, v1::Label { key: "l".into(), value: None }],
        }),
        ..Default::default()
    };
    assert_eq!(status.to_message::<v1::TaskStatus>()?, expected);
    assert_eq!(status.to_protobuf().unwrap(), expected.encode_to_vec());
    // And back: a typed message goes on by name.
    let mut again = Builder::from(&expected);
    assert_eq!(again.to_message::<v1::TaskStatus>()?, expected);
    again.set("state", "TASK_FINISHED")?.clear("labels")?;
    let finished = v1::TaskStatus { state: v1::TaskState::TaskFinished.into(), labels: None, ..expected };
    assert_eq!(again.to_message::<v1::TaskStatus>()?, finished);
    let other = again.to_message::<v1::TaskInfo>().unwrap_err();
    assert_eq!(other.to_string(), "a mesos.v1.TaskStatus, where a mesos.v1.TaskInfo belongs");
    Ok(())
}

// S204: nothing is converted, and a refused value changes nothing.
#[test]
fn wrong_values() {
    let text = || Value::from("80");
    let cases: [(&str, &str, Value, &str); 22] = [
        ("Port", "number", text(), "number: expected a whole number"),
        ("Port", "number", 80.0.into(), "number: expected a whole number"),
        ("Port", "number", (-1).into(), "number: -1 is out of range"),
        ("Port", "number", (1_u64 << 32).into(), "number: 4294967296 is out of range"),
        ("Port", "number", Value::from([1, 2]), "number: expected a whole number"),
        ("Port", "name", 80.into(), "name: expected a text"),
        ("Port", "nmae", text(), "no such field: \"nmae\""),
        ("Port", "visibility", "HIDDEN".into(), "visibility: \"HIDDEN\" is no value of the enum"),
        ("Port", "visibility", 3.into(), "visibility: \"3\" is no value of the enum"),
        ("Port", "visibility", true.into(), "visibility: expected an enum's name or number"),
        ("Port", "labels", text(), "labels: expected a message"),
        ("Address", "port", (1_i64 << 31).into(), "port: 2147483648 is out of range"),
        ("TimeInfo", "nanoseconds", u64::MAX.into(), "nanoseconds: 18446744073709551615 is out of range"),
        ("CommandInfo", "shell", "true".into(), "shell: expected true or false"),
        ("CommandInfo", "shell", 1.into(), "shell: expected true or false"),
        ("CommandInfo", "arguments", Value::from([Some("a"), None]), "arguments[1]: expected a text"),
        ("TaskStatus", "data", "AAEC".into(), "data: expected bytes"),
        ("TaskStatus", "timestamp", "1".into(), "timestamp: expected a number"),
        ("TaskStatus", "timestamp", ((1_i64 << 53) + 1).into(), "timestamp: 9007199254740993 is out of range"),
        ("TaskInfo", "limits", text(), "limits: expected a map"),
        ("TaskInfo", "limits", Value::map([("cpus", text())]), "limits.cpus: expected a message"),
        (
            "TaskInfo",
            "task_id",
            (&v1::AgentId::from("a")).into(),
            "task_id: a mesos.v1.AgentID, where a mesos.v1.TaskID belongs",
        ),
    ];
    for (name, field, value, expected) in cases {
        let mut message = complete(builder(&format!("mesos.v1.{name}")).descriptor());
        if message.descriptor().field_named(field).is_some_and(|field| matches!(field.kind, Kind::String)) {
            message.set(field, "before").unwrap();
        }
        let before = message.to_protobuf().unwrap();
        assert_eq!(message.set(field, value).unwrap_err().to_string(), expected);
        assert_eq!(message.to_protobuf().unwrap(), before);
    }
}

// S205: an enum's number, or its name.
#[test]
fn enums() {
    let of = |value: Value| {
        let mut capability = builder("mesos.v1.FrameworkInfo.Capability");
        capability.set("type", value).unwrap();
        capability.to_json().unwrap()
    };
    assert_eq!(of("GPU_RESOURCES".into()), r#"{"type":"GPU_RESOURCES"}"#);
    assert_eq!(of(3.into()), r#"{"type":"GPU_RESOURCES"}"#);
    assert_eq!(of(i32::from(v1::framework_info::capability::Type::GpuResources).into()), of(3_u64.into()));
}

// S206: one value for a list of one; a list replaces what was there.
#[test]
fn lists() {
    let mut command = builder("mesos.v1.CommandInfo");
    let mut arguments = |value: Value| {
        command.set("arguments", value).unwrap();
        command.to_message::<v1::CommandInfo>().unwrap().arguments
    };
    assert_eq!(arguments("a".into()), ["a"]);
    assert_eq!(arguments(["b", "c"].into()), ["b", "c"]);
    assert_eq!(arguments(vec!["d".to_owned()].into()), ["d"]);
    assert_eq!(arguments(Value::from(Vec::<String>::new())), [""; 0]);
    let tasks = [v1::TaskInfo::new("a", "a.1", "s"), v1::TaskInfo::new("b", "b.1", "s")];
    let mut launch = builder("mesos.v1.Offer.Operation.Launch");
    launch.set("task_infos", tasks.iter().map(Value::from).collect::<Vec<_>>()).unwrap();
    assert_eq!(launch.to_message::<v1::offer::operation::Launch>().unwrap().task_infos, tasks);
}

// S207: nested messages from maps and from JSON; what they don't have is an error, with its place.
#[test]
fn nested() {
    let variable = |entries: [(&str, &str); 2]| Value::map([("variables", Value::from([Value::map(entries)]))]);
    let mut command = builder("mesos.v1.CommandInfo");
    command.set("environment", variable([("name", "A"), ("value", "b")])).unwrap();
    let golden = r#"{"environment":{"variables":[{"name":"A","value":"b"}]}}"#;
    assert_eq!(command.to_json().unwrap(), golden);
    command.set_json("environment", r#" {"variables": {"name": "A", "value": "b"}} "#).unwrap();
    assert_eq!(command.to_json().unwrap(), golden);

    let error = command.set("environment", variable([("name", "A"), ("valeu", "b")])).unwrap_err();
    assert_eq!(error.to_string(), "environment.variables[0]: no such field: \"valeu\"");
    for (text, expected) in [
        (
            r#"{"variables":[{"name":"A"},{"nmae":"B"}]}"#,
            "environment.variables[1]: no such field: \"nmae\" (at byte 35)",
        ),
        (
            r#"{"variables":[{"name":"A","type":"SECERT"}]}"#,
            "environment.variables[0].type: \"SECERT\" is no value of the enum (at byte 33)",
        ),
        (r#"{"variables":[{}]}"#, "environment.variables[0].name: required, but missing (at byte 16)"),
        ("{} {}", "environment: expected the end (at byte 3)"),
        ("", "environment: expected an object (at byte 0)"),
    ] {
        assert_eq!(command.set_json("environment", text).unwrap_err().to_string(), expected);
        assert_eq!(command.to_json().unwrap(), golden);
    }
    assert_eq!(command.set_json("enviroment", "{}").unwrap_err().kind, ErrorKind::UnknownField("enviroment".into()));
    assert_eq!(command.set_json("environment", "null").unwrap().to_json().unwrap(), "{}");

    // What a map leaves out is missed in the end, wherever it is.
    command.set("environment", Value::map([("variables", Value::map([("value", "b")]))])).unwrap();
    let error = command.to_message::<v1::CommandInfo>().unwrap_err();
    assert_eq!(error.to_string(), "environment.variables[0].name: required, but missing");

    let mut task = Builder::from(&v1::TaskInfo::new("t", "t.1", "s"));
    let limits = [("cpus", Value::map([("value", f64::INFINITY)])), ("mem", Value::Unset)];
    task.set("limits", Value::map(limits)).unwrap();
    let typed: v1::TaskInfo = task.to_message().unwrap();
    assert_eq!(typed.limits, [("cpus".into(), v1::value::Scalar { value: f64::INFINITY })].into());
}

// Values that refer to themselves can't be made, but deep ones can.
#[test]
fn depth_is_bounded() {
    let mut value = Value::map([("value", "innermost")]);
    for _ in 0..200 {
        value = Value::map([("value", "outer".into()), ("parent", value)]);
    }
    let mut status = builder("mesos.v1.ContainerStatus");
    let error = status.set("container_id", value).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid(InvalidKind::Depth));
    // A builder in a builder is taken, and refused in the end.
    let mut container = builder("mesos.v1.ContainerID");
    container.set("value", "c").unwrap();
    for _ in 0..200 {
        let inner = container.clone();
        container.set("parent", inner).unwrap();
    }
    assert_eq!(container.to_protobuf().unwrap_err().kind, InvalidKind::Depth);
}

// S208, S209, S210: names in JSON as in the schema; neither conversions nor clones touch the original.
#[test]
fn conversions_leave_the_message_alone() {
    let mut info = builder("mesos.v1.FrameworkInfo");
    info.set("user", "root").unwrap().set("name", "n").unwrap().set("failover_timeout", 60).unwrap();
    info.set("capabilities", Value::map([("type", 6)])).unwrap();
    let json = info.to_json().unwrap();
    assert_eq!(json, r#"{"user":"root","name":"n","failover_timeout":60,"capabilities":[{"type":"MULTI_ROLE"}]}"#);
    let typed: v1::FrameworkInfo = info.to_message().unwrap();
    let before = typed.clone();
    let mut copy = info.clone();
    copy.set("name", "other").unwrap().clear("capabilities").unwrap();
    let mut named = Builder::from(&typed);
    named.set("user", "nobody").unwrap();
    json::encode(&typed).unwrap();
    assert_eq!(typed, before);
    assert_eq!(info.to_json().unwrap(), json);
    assert_eq!(copy.to_json().unwrap(), r#"{"user":"root","name":"other","failover_timeout":60}"#);

    // Typed clones are deep, boxed fields too.
    let task = v1::TaskInfo::new("t", "t.1", "s").with_command(v1::CommandInfo::new("true").with_env([("A", "b")]));
    let mut clone = task.clone();
    clone.command.as_mut().unwrap().environment.as_mut().unwrap().variables[0].value = None;
    assert_eq!(task.command.unwrap().environment.unwrap().variables[0].value(), "b");
}
