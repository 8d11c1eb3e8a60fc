//! Events, calls and their JSON.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use mesos_proto::descriptor::{Field, Kind, Label, Message};
use mesos_proto::{Described, check, json};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::Choices;
use crate::scheduler::{CallKind, Client, Config, Framework, Outgoing};
use crate::wire::{self, OfferRef, Parsed, ResourceRef, ResourceValue, Update};
use crate::{Codec, Head, Input, Instant, Lane, Machine, Output, recordio, v1};
use v1::scheduler::{Call, Event, call, event};

/// A valid message of this type, in protobuf bytes.
pub(crate) fn random(message: &Message, choices: &mut Choices<'_>, depth: u8, out: &mut Vec<u8>) {
    for field in message.fields() {
        let times = match field.label {
            Label::Required => 1,
            // Beyond the end of the choices these are zeros, and everything comes to an end.
            _ if depth == 0 => 0,
            Label::Optional => choices.byte() % 2,
            Label::Repeated => choices.byte() % 3,
        };
        for _ in 0..times {
            value(field, choices, depth.saturating_sub(1), out);
        }
    }
}

fn value(field: &Field, choices: &mut Choices<'_>, depth: u8, out: &mut Vec<u8>) {
    let mut varint = |value: u64| {
        encode_key(field.number, WireType::Varint, out);
        encode_varint(value, out);
    };
    let bytes = match field.kind {
        Kind::Int32 => return varint(i64::from(choices.pick(&[0, 1, -1, i32::MAX, i32::MIN])) as u64),
        Kind::Int64 => return varint(choices.pick(&[0, 1, -1, i64::MAX, i64::MIN]) as u64),
        Kind::Uint32 => return varint(choices.pick(&[0, 1, u32::MAX]).into()),
        Kind::Uint64 => return varint(choices.pick(&[0, 1, 31_000, u64::MAX])),
        Kind::Bool => return varint(choices.pick(&[0, 1])),
        Kind::Enum(of) => {
            let (_, number) = choices.pick(of.values());
            return varint(i64::from(number) as u64);
        }
        Kind::Double => {
            encode_key(field.number, WireType::SixtyFourBit, out);
            let value = choices.pick(&[0.0, 0.1, 4096.0, -1.5, 1e300, f64::INFINITY, f64::NAN]);
            return out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::String => choices.pick(&["a", "", "web.1", "ä\"\\\n\u{0}\u{1f980}", "*", "cpus"]).as_bytes().to_vec(),
        Kind::Bytes => match choices.byte() % 4 {
            0 => Vec::new(),
            1 => [0x4b; 16].into(),
            _ => choices.slice().to_vec(),
        },
        Kind::Message(inner) => {
            let mut bytes = Vec::new();
            random(inner, choices, depth, &mut bytes);
            bytes
        }
    };
    encode_key(field.number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(&bytes);
}

/// Any event that the schema can say.
pub(crate) fn any<M: Described>(choices: &mut Choices<'_>) -> M {
    let mut bytes = Vec::new();
    random(M::descriptor(), choices, 4, &mut bytes);
    mesos_proto::decode(bytes).unwrap_or_default()
}

/// A record of the stream: views say what the message says, and a fault is a fault for both.
pub fn events(record: &[u8]) {
    let record = Bytes::copy_from_slice(record);
    let plain = mesos_proto::decode::<Event>(record.clone());
    let kind = plain.as_ref().ok().and_then(|event| event.r#type).and_then(|kind| event::Type::try_from(kind).ok());
    match (wire::scheduler_event(&record), plain) {
        (Err(path), Ok(_)) => assert!(path.ends_with(": missing") && kind.is_some(), "{path}"),
        (Err(path), Err(_)) => assert!(!path.is_empty()),
        (Ok(Parsed::Unknown), Ok(_)) => assert!(matches!(kind, None | Some(event::Type::Unknown))),
        (Ok(Parsed::Other(event, _)), Ok(plain)) => assert_eq!(event.encode_to_vec(), plain.encode_to_vec()),
        (Ok(Parsed::Update(update)), Ok(plain)) => {
            let status = plain.update.unwrap_or_default().status;
            assert_eq!(update.to_owned().encode_to_vec(), status.encode_to_vec());
            same_update(&update, &status);
        }
        (Ok(Parsed::Offers(offers, bad)), plain) => {
            offers.iter().for_each(same_offer);
            // Each offer stands alone: the rest of the event may be anything.
            if let Ok(plain) = plain {
                assert!(bad.is_empty(), "{bad:?}");
                let plain = plain.offers.unwrap_or_default().offers;
                assert!(
                    offers
                        .iter()
                        .map(|o| o.to_owned().encode_to_vec())
                        .eq(plain.iter().map(prost::Message::encode_to_vec))
                );
            }
            if let Ok(decline) = Outgoing::decline(CallKind::Decline, offers.ids(), None) {
                assert!(decline.offer_ids().eq(offers.ids()));
            }
            let _ = alloc::format!("{offers:?}");
        }
        (Ok(parsed), Err(invalid)) => unreachable!("{parsed:?}, but {invalid}"),
    }
}

fn same_update(view: &Update, status: &v1::TaskStatus) {
    assert_eq!(view.task_id(), status.task_id.value);
    assert_eq!(i32::from(view.state()), status.state);
    assert_eq!(view.agent_id(), status.agent_id.as_ref().map(|id| id.value.as_str()));
    assert_eq!(view.executor_id(), status.executor_id.as_ref().map(|id| id.value.as_str()));
    assert_eq!(view.uuid(), status.uuid.as_deref().filter(|uuid| !uuid.is_empty()));
    assert_eq!(view.source().map(i32::from), status.source);
    assert_eq!(view.reason().map(i32::from), status.reason);
    assert_eq!((view.message(), view.healthy()), (status.message.as_deref(), status.healthy));
    assert_eq!(view.timestamp().map(f64::to_bits), status.timestamp.map(f64::to_bits));
    assert_eq!(view.unreachable_since(), status.unreachable_time.map(|time| time.nanoseconds));
    assert_eq!(view.data(), status.data);
    let _ = alloc::format!("{view:?}");
}

fn same_offer(view: OfferRef<'_>) {
    let offer = view.to_owned();
    assert_eq!((view.id(), view.agent_id()), (offer.id.value.as_str(), offer.agent_id.value.as_str()));
    assert_eq!(view.hostname(), offer.hostname);
    assert_eq!(view.role(), offer.allocation_info.and_then(|info| info.role).as_deref());
    let until = |u: v1::Unavailability| (u.start.nanoseconds, u.duration.map(|duration| duration.nanoseconds));
    assert_eq!(view.unavailability(), offer.unavailability.map(until));
    assert_eq!(view.attributes().count(), offer.attributes.len());
    assert_eq!(view.resources().count(), offer.resources.len());
    for (view, resource) in view.resources().zip(offer.resources) {
        same_resource(view, &resource);
    }
}

#[allow(deprecated, reason = "the field `role`, of frameworks without RESERVATION_REFINEMENT")]
fn same_resource(view: ResourceRef<'_>, resource: &v1::Resource) {
    assert_eq!(view.name(), resource.name);
    let bits = |scalar: Option<f64>| scalar.map(f64::to_bits);
    assert_eq!(bits(view.scalar()), bits(resource.scalar.map(|scalar| scalar.value)));
    let ranges: Vec<(u64, u64)> =
        resource.ranges.iter().flat_map(|ranges| &ranges.range).map(|r| (r.begin, r.end)).collect();
    assert!(view.ranges().eq(ranges));
    if let ResourceValue::Set(items) = view.value() {
        assert!(items.eq(resource.set.iter().flat_map(|set| &set.item)));
    }
    assert_eq!(view.allocation_role(), resource.allocation_info.as_ref().and_then(|info| info.role.as_deref()));
    let role = resource.reservations.last().map_or(&resource.role, |reservation| &reservation.role);
    assert_eq!(view.reserved_role(), role.as_deref().filter(|&role| role != "*"));
    assert_eq!((view.is_revocable(), view.is_shared()), (resource.revocable.is_some(), resource.shared.is_some()));
    assert_eq!(view.has_disk_info(), resource.disk.is_some());
    assert!(!view.to_string().is_empty());
}

/// A text that is read as an event or a call is a valid message, and written again it reads the same.
pub fn json_read(text: &[u8]) {
    read::<Event>(text);
    read::<Call>(text);
}

fn read<M: Described>(text: &[u8]) {
    let Ok(bytes) = json::to_protobuf(M::descriptor(), text) else { return };
    if let Err(invalid) = check(M::descriptor(), &bytes) {
        unreachable!("{invalid}");
    }
    there_and_back::<M>(&bytes);
}

/// A message that is valid, and has no NaN, can be written as JSON and read back.
pub fn json_write(bytes: &[u8]) {
    there_and_back::<Event>(bytes);
    there_and_back::<Call>(bytes);
}

fn there_and_back<M: Described>(bytes: &[u8]) {
    let Ok(message) = mesos_proto::decode::<M>(Bytes::copy_from_slice(bytes)) else { return };
    let bytes = message.encode_to_vec();
    match json::from_protobuf(M::descriptor(), &bytes) {
        Ok(text) => match json::decode::<M>(text.as_bytes()) {
            Ok(back) => assert_eq!(back.encode_to_vec(), bytes, "{text}"),
            Err(error) => assert!(is_empty_limit(&error), "{error}: {text}"),
        },
        Err(error) => assert_eq!(error.kind, json::ErrorKind::NotANumber, "{error}"),
    }
}

/// prost leaves out the value of a map's entry when it is a default, such as a limit of zero; read as JSON, that is a
/// message without its required field.
fn is_empty_limit(error: &json::Error) -> bool {
    error.kind == json::ErrorKind::Missing && error.path.ends_with("limits.value")
}

/// A call is refused, with nothing sent, or leaves as it was given, with the framework's id.
pub fn calls(bytes: &[u8]) {
    let Ok(call) = mesos_proto::decode::<Call>(Bytes::copy_from_slice(bytes)) else { return };
    for codec in [Codec::Protobuf, Codec::Json] {
        let mut client = subscribed(codec);
        let taken = client.calls().call(call.clone());
        let mut sent = None;
        while let Some(request) = next_request(&mut client) {
            assert!(request.lane() != Lane::Subscription && sent.is_none(), "one call: {request:?}");
            sent = Some(request);
        }
        assert_eq!(taken.is_ok(), sent.is_some(), "{taken:?}");
        let Some(request) = sent else { continue };
        let mut expected = Call { framework_id: Some(v1::FrameworkId { value: "f".into() }), ..call.clone() };
        let body = request.body().clone();
        let body: Call = match codec {
            Codec::Protobuf => mesos_proto::decode(body).unwrap_or_else(|invalid| unreachable!("{invalid}")),
            // JSON has no NaN, and no server would take one.
            Codec::Json if body.is_empty() => {
                assert!(json::encode(&expected).is_err());
                continue;
            }
            Codec::Json => match json::decode(&body) {
                Ok(body) => body,
                Err(error) => {
                    assert!(is_empty_limit(&error), "{error}");
                    continue;
                }
            },
        };
        match expected.r#type() {
            // Completed from what the client knows.
            call::Type::UpdateFramework => assert!(body.update_framework.is_some()),
            call::Type::Teardown => expected = Call { r#type: expected.r#type, ..Call::default() },
            _ => assert_eq!(body.encode_to_vec(), expected.encode_to_vec()),
        }
        assert_eq!((body.r#type, body.framework_id.map(|id| id.value)), (expected.r#type, Some("f".into())));
    }
}

/// A client with a stream, and nothing left to do.
fn subscribed(codec: Codec) -> Client {
    let config = Config::new(Framework::new("fuzz").roles(["a"]), ["m"]);
    let Ok(config) = config else { unreachable!("a good configuration") };
    let mut client = Client::new(config.codec(codec), 0);
    client.handle_input(Instant::ORIGIN, Input::Timeout);
    let Some(request) = next_request(&mut client) else { unreachable!("SUBSCRIBE") };
    let id = request.id();
    let head = Head::new(200).header("content-type", codec.media_type().as_bytes()).header("mesos-stream-id", b"s");
    client.handle_input(Instant::ORIGIN, Input::Head { id, head });
    let subscribed = event::Subscribed { framework_id: v1::FrameworkId { value: "f".into() }, ..Default::default() };
    let event =
        Event { r#type: Some(event::Type::Subscribed.into()), subscribed: Some(subscribed), ..Default::default() };
    let record = match codec {
        Codec::Protobuf => event.encode_to_vec(),
        Codec::Json => json::encode(&event).map(String::into_bytes).unwrap_or_default(),
    };
    let mut data = Vec::new();
    recordio::encode(&record, &mut data);
    client.handle_input(Instant::ORIGIN, Input::Body { id, data: &data });
    assert!(next_request(&mut client).is_none());
    client
}

/// The next request of this drain.
fn next_request(client: &mut Client) -> Option<crate::Request> {
    loop {
        match client.poll_output() {
            Output::Request(request) => return Some(request),
            Output::Timeout(_) => return None,
            Output::Abort(_) | Output::Event(_) | Output::Persist(_) => {}
        }
    }
}
