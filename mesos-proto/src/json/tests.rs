use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::*;
use proptest::test_runner::TestRng;
use prost::Message as _;

use super::*;
use crate::check::check;
use crate::cursor::{FIXED64, LEN, VARINT, put_tag, put_varint};
use crate::descriptor::{Kind, Label, all_messages};
use crate::dynamic::Builder;
use crate::v1;
use v1::scheduler::{Call, Event};

fn call(json: &str) -> Result<Call, Error> {
    decode(json.as_bytes())
}

// S208: enum names, snake_case fields, numbers as numbers.
#[test]
fn written_as_mesos_writes_it() {
    let status = v1::TaskStatus {
        task_id: v1::TaskId { value: "t\"\n\u{1}ä".into() },
        state: v1::TaskState::TaskRunning.into(),
        uuid: Some(vec![0xfb, 0xff].into()),
        timestamp: Some(1_700_000_000.25),
        healthy: Some(true),
        unreachable_time: Some(v1::TimeInfo { nanoseconds: i64::MIN }),
        ..Default::default()
    };
    assert_eq!(
        encode(&status).unwrap(),
        r#"{"task_id":{"value":"t\"\n\u0001ä"},"state":"TASK_RUNNING","timestamp":1700000000.25,"healthy":true,"uuid":"+/8=","unreachable_time":{"nanoseconds":-9223372036854775808}}"#
    );
    assert_eq!(decode::<v1::TaskStatus>(encode(&status).unwrap().as_bytes()).unwrap(), status);
}

// A real master's first event, shortened.
#[test]
fn what_a_real_master_writes_is_read() {
    let json = r#"{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":"f-0000"},"heartbeat_interval_seconds":15.0,
        "master_info":{"id":"m","ip":16777343,"port":5050,"pid":"master@127.0.0.1:5050","version":"1.11.0",
        "address":{"hostname":"localhost","ip":"127.0.0.1","port":5050},
        "capabilities":[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{}]}}}"#;
    let event: Event = decode(json.as_bytes()).unwrap();
    let subscribed = event.subscribed.unwrap();
    assert_eq!(subscribed.heartbeat_interval_seconds, Some(15.0));
    assert_eq!(subscribed.master_info.unwrap().capabilities.last().unwrap().r#type, None);
}

#[test]
fn tolerant_of_what_servers_take() {
    // Numbers and truth values in strings, one value for a list, null, unknown fields and names, other white space.
    let json = "\r\n{\"framework_id\" : {\"value\":\"f\"}, \"type\":\"ACCEPT\", \"unknown\": [{\"a\":[Infinity, null]}, -1.5e3],\
        \"accept\":{\"offer_ids\":{\"value\":\"o\"},\"filters\":{\"refuse_seconds\":\"5.5\"},\"operations\":null}}";
    let accept = call(json).unwrap().accept.unwrap();
    assert_eq!((accept.offer_ids.len(), accept.filters.unwrap().refuse_seconds), (1, Some(5.5)));
    let info: v1::FrameworkInfo = decode(
        br#"{"user":"u","name":"n","checkpoint":"true","capabilities":[{"type":"NEW_ONE"}],"failover_timeout":Infinity}"#,
    )
    .unwrap();
    assert_eq!((info.checkpoint, info.failover_timeout), (Some(true), Some(f64::INFINITY)));
    assert_eq!(info.capabilities[0].r#type, None);
    let range: v1::value::Range = decode(br#"{"begin":"18446744073709551615","end":18446744073709551615}"#).unwrap();
    assert_eq!((range.begin, range.end), (u64::MAX, u64::MAX), "not by way of a double");
    let text: v1::value::Text = decode(r#"{"value":"\u00e4\ud83e\udd80\/\b"}"#.as_bytes()).unwrap();
    assert_eq!(text.value, "ä🦀/\u{8}");
}

#[test]
fn infinities_are_read_back() {
    for value in [f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324, 0.1 + 0.2, -0.0, 1e17] {
        let scalar = v1::value::Scalar { value };
        let json = encode(&scalar).unwrap();
        assert_eq!(decode::<v1::value::Scalar>(json.as_bytes()).unwrap().value.to_bits(), value.to_bits(), "{json}");
    }
    assert_eq!(encode(&v1::value::Scalar { value: f64::NAN }).unwrap_err().kind, ErrorKind::NotANumber);
}

#[test]
fn faults_have_a_place() {
    for (json, error) in [
        ("", "expected an object (at byte 0)"),
        ("[]", "expected an object (at byte 0)"),
        ("{} x", "expected the end (at byte 3)"),
        (r#"{"type":"KILL","kill":{"task_id":{}}}"#, "kill.task_id.value: required, but missing (at byte 35)"),
        (
            r#"{"accept":{"offer_ids":[{"value":"a"},{"value":1}]}}"#,
            "accept.offer_ids[1].value: expected a text (at byte 47)",
        ),
        (r#"{"acknowledge":{"uuid":"-_8="}}"#, "acknowledge.uuid: not base64 (at byte 23)"),
        (r#"{"framework_id":{"value":"\ud800"}}"#, "framework_id.value: expected the pair's second half (at byte 32)"),
        (r#"{"type":tru}"#, "type: expected a name (at byte 8)"),
        ("{\"a\":\"\u{1}\"}", "expected the string's end (at byte 6)"),
        (r#"{"a":01x}"#, "expected a comma or the object's end (at byte 7)"),
        (r#"{"a":.5}"#, "expected a value (at byte 5)"),
    ] {
        assert_eq!(call(json).unwrap_err().to_string(), error, "{json}");
    }
    let status = decode::<v1::TaskStatus>(br#"{"task_id":{"value":"t"},"state":"TASK_ODD"}"#).unwrap_err();
    assert_eq!(status.kind, ErrorKind::UnknownEnum("TASK_ODD".into()), "required, so not dropped");
    for (json, text) in
        [(r#"{"port":2147483648}"#, "2147483648"), (r#"{"port":1.5}"#, "1.5"), (r#"{"port":1e99}"#, "1e99")]
    {
        assert_eq!(decode::<v1::Address>(json.as_bytes()).unwrap_err().kind, ErrorKind::Range(text.into()));
    }
    assert_eq!(decode::<v1::Address>(br#"{"port":5.0e1}"#).unwrap().port, 50);
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    assert_eq!(call(&deep).unwrap_err().kind, ErrorKind::Depth);
    let strict = to_protobuf_strict(Call::descriptor(), br#"{"frameworkId":{}}"#).unwrap_err();
    assert_eq!(strict.kind, ErrorKind::UnknownField("frameworkId".into()));
    let strict = to_protobuf_strict(Call::descriptor(), br#"{"type":"SUBSCRIBED"}"#).unwrap_err();
    assert_eq!(strict.to_string(), "type: \"SUBSCRIBED\" is no value of the enum (at byte 8)");
}

// S212: a number that the schema doesn't know counts as unset, as it does for Mesos.
#[test]
fn unknown_numbers_are_not_written() {
    let framework = v1::FrameworkInfo {
        user: "u".into(),
        name: "n".into(),
        capabilities: vec![v1::framework_info::Capability { r#type: Some(99) }],
        ..Default::default()
    };
    assert_eq!(encode(&framework).unwrap(), r#"{"user":"u","name":"n","capabilities":[{}]}"#);
}

/// Bytes of a random valid message of a type, by the table alone.
fn random(message: &'static Message, depth: u32, rng: &mut TestRng, out: &mut Vec<u8>) {
    for field in message.fields() {
        let count = match field.label {
            Label::Required => 1,
            Label::Optional => rng.random_range(0..2),
            Label::Repeated => rng.random_range(0..3),
        };
        // Whatever isn't required is left out when it gets too deep.
        let count = if depth == 0 && field.label != Label::Required { 0 } else { count };
        for n in 0..count {
            let number = field.number;
            match field.kind {
                Kind::Message(inner) => {
                    let mut data = Vec::new();
                    if inner.is_map_entry() {
                        // Keys differ, or the map would shrink.
                        put_tag(&mut data, 1, LEN);
                        put_varint(&mut data, 2);
                        data.extend(format!("k{n}").into_bytes());
                        let mut content = Vec::new();
                        if let Kind::Message(value) = inner.fields()[1].kind {
                            random(value, depth.saturating_sub(1), rng, &mut content);
                        }
                        put_tag(&mut data, 2, LEN);
                        put_varint(&mut data, content.len() as u64);
                        data.extend(content);
                    } else {
                        random(inner, depth.saturating_sub(1), rng, &mut data);
                    }
                    put_tag(out, number, LEN);
                    put_varint(out, data.len() as u64);
                    out.extend(data);
                }
                Kind::String | Kind::Bytes => {
                    let data: Vec<u8> = (0..rng.random_range(0..5)).map(|_| rng.random_range(0..128)).collect();
                    put_tag(out, number, LEN);
                    put_varint(out, data.len() as u64);
                    out.extend(data);
                }
                Kind::Double => {
                    put_tag(out, number, FIXED64);
                    out.extend((rng.random::<i32>() as f64 / 1024.0).to_le_bytes());
                }
                Kind::Enum(item) => {
                    let value = item.values()[rng.random_range(0..item.values().len())].1;
                    put_tag(out, number, VARINT);
                    put_varint(out, value as u64);
                }
                Kind::Bool => {
                    put_tag(out, number, VARINT);
                    put_varint(out, rng.random_range(0..2));
                }
                Kind::Int32 => {
                    put_tag(out, number, VARINT);
                    put_varint(out, i64::from(rng.random::<i32>()) as u64);
                }
                Kind::Uint32 => {
                    put_tag(out, number, VARINT);
                    put_varint(out, rng.random::<u32>().into());
                }
                Kind::Int64 | Kind::Uint64 => {
                    put_tag(out, number, VARINT);
                    put_varint(out, rng.random());
                }
            }
        }
    }
}

// S212: a round trip loses nothing, for every message of the schema.
#[test]
fn every_message_survives_the_round_trip() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for message in all_messages().filter(|message| !message.is_map_entry()) {
        for round in 0..20 {
            let mut bytes = Vec::new();
            random(message, 1 + round % 4, runner.rng(), &mut bytes);
            check(message, &bytes).unwrap_or_else(|invalid| panic!("{message:?}: {invalid}"));
            let json = from_protobuf(message, &bytes).unwrap();
            let back =
                to_protobuf(message, json.as_bytes()).unwrap_or_else(|error| panic!("{message:?}: {error}\n{json}"));
            assert_eq!(back, bytes, "{message:?}: {json}");
            assert_eq!(to_protobuf_strict(message, json.as_bytes()).unwrap(), bytes);
        }
    }
}

// S211: there and back again between a generated type and one by name, nothing is lost.
#[test]
fn typed_messages_survive_the_way_by_name() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for round in 0..200 {
        let mut bytes = Vec::new();
        random(Call::descriptor(), 1 + round % 5, runner.rng(), &mut bytes);
        let call: Call = crate::decode(bytes).unwrap();
        let by_name = Builder::from(&call);
        assert_eq!(by_name.to_protobuf().unwrap(), call.encode_to_vec());
        assert_eq!(by_name.to_message::<Call>().unwrap(), call);
        assert_eq!(by_name.to_json().unwrap(), encode(&call).unwrap());
    }
}

// S209: writing leaves the message as it is (it is only lent), and the clone is another one.
#[test]
fn map_fields_are_objects() {
    let task = v1::TaskInfo {
        limits: [("cpus".into(), v1::value::Scalar { value: f64::INFINITY })].into(),
        command: Some(Box::default()),
        ..Default::default()
    };
    let before = task.clone();
    let json = encode(&task).unwrap();
    assert!(json.contains(r#""limits":{"cpus":{"value":"Infinity"}}"#), "{json}");
    assert_eq!(task, before);
    assert_eq!(decode::<v1::TaskInfo>(json.as_bytes()).unwrap(), task);
}

proptest! {
    #[test]
    fn any_bytes_at_all_are_a_message_or_an_error(bytes in vec_of(any::<u8>(), 0..200)) {
        let _ = decode::<Event>(&bytes);
        let _ = from_protobuf(Event::descriptor(), &bytes);
    }

    #[test]
    fn text_that_is_nearly_json(text in r#"[\{\}\[\]":,0-9a-z\\ eE.+-]{0,80}"#) {
        let _ = decode::<Event>(text.as_bytes());
        let wrapped = format!("{{\"type\":{text}}}");
        let _ = decode::<Event>(wrapped.as_bytes());
    }

    #[test]
    fn what_is_read_is_valid(cut in 0usize..400) {
        let json = r#"{"type":"UPDATE","update":{"status":{"task_id":{"value":"t"},"state":"TASK_LOST","labels":{"labels":[{"key":"k"}]}}}}"#;
        if let Ok(bytes) = to_protobuf(Event::descriptor(), json.as_bytes().get(..cut).unwrap_or(json.as_bytes())) {
            prop_assert!(check(Event::descriptor(), &bytes).is_ok());
        }
    }
}
