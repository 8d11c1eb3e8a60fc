//! From a record of a stream to what it says: checked once, decoded on touch.
//!
//! Offers and updates are nearly all that a master sends, and of most offers only a few fields are ever looked at. So
//! these two stay bytes, behind views that cannot fail any more; the other, rare, events become plain messages.

mod executor;
mod offers;
mod resource;
mod update;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;
use mesos_proto::{Checked, Described, Fields, Value, check, strip_unknown_enums};
use prost::Message as _;

pub(crate) use executor::executor_event;
pub use offers::{OfferRef, Offers};
pub use resource::{Ranges, ResourceRef, ResourceValue, SetItems};
pub use update::Update;

use crate::v1;
use v1::scheduler::event::Type;

/// What a record holds.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "lives for one step only")]
pub(crate) enum Parsed {
    /// The good offers of an OFFERS event, and the bad ones.
    Offers(Offers, Vec<BadOffer>),
    /// An UPDATE event.
    Update(Update),
    /// Any other event; the message that its type promises is there.
    Other(v1::scheduler::Event, Type),
    /// An event without type, or of a type that isn't in the schema.
    Unknown,
}

/// An offer that isn't a valid message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadOffer {
    /// Where and what the fault is.
    pub(crate) path: String,
    /// Its id, if that much can be read.
    pub(crate) id: Option<String>,
}

/// Field numbers of `scheduler.Event`.
const TYPE: u32 = 1;
const OFFERS: u32 = 3;
const UPDATE: u32 = 5;
/// The one field of `Event.Offers` and of `Event.Update`.
const INNER: u32 = 1;

/// Reads one record; the error says where it is invalid.
pub(crate) fn scheduler_event(record: &Bytes) -> Result<Parsed, String> {
    // The type alone decides what else is looked at, so a fault elsewhere can't spoil an OFFERS event.
    let mut kind = None;
    for (number, value) in Fields::new(record) {
        if let (TYPE, Value::Varint(value)) = (number, value) {
            // As with any optional enum, an unknown number doesn't count.
            kind = Type::try_from(value as i32).ok().or(kind);
        }
    }
    if kind == Some(Type::Offers) {
        return offers::parse(record).map(|(offers, bad)| Parsed::Offers(offers, bad));
    }
    let checked = check(v1::scheduler::Event::descriptor(), record).map_err(|invalid| invalid.to_string())?;
    let record = normal::<v1::scheduler::Event>(record.clone(), checked);
    let kind = match kind {
        None | Some(Type::Unknown) => return Ok(Parsed::Unknown),
        Some(Type::Update) => {
            let status = span(&record, &[UPDATE, INNER]).ok_or("update: missing")?;
            return Ok(Parsed::Update(Update::new(record.slice_ref(status))));
        }
        Some(kind) => kind,
    };
    let event = v1::scheduler::Event::decode(record).map_err(|error| error.to_string())?;
    match promised(&event, kind) {
        Some(missing) => Err(missing.to_string() + ": missing"),
        None => Ok(Parsed::Other(event, kind)),
    }
}

/// The field that an event of this type must have, if it isn't there.
fn promised(event: &v1::scheduler::Event, kind: Type) -> Option<&'static str> {
    let (name, there) = match kind {
        Type::Subscribed => ("subscribed", event.subscribed.is_some()),
        Type::Rescind => ("rescind", event.rescind.is_some()),
        Type::Message => ("message", event.message.is_some()),
        Type::Failure => ("failure", event.failure.is_some()),
        Type::Error => ("error", event.error.is_some()),
        Type::InverseOffers => ("inverse_offers", event.inverse_offers.is_some()),
        Type::RescindInverseOffer => ("rescind_inverse_offer", event.rescind_inverse_offer.is_some()),
        Type::UpdateOperationStatus => ("update_operation_status", event.update_operation_status.is_some()),
        Type::Heartbeat | Type::Unknown | Type::Offers | Type::Update => return None,
    };
    (!there).then_some(name)
}

/// The same message, in a form in which a field that isn't repeated stands there once, with a value of the schema.
fn normal<M: Described>(bytes: Bytes, checked: Checked) -> Bytes {
    let bytes = if checked.unknown_enum { strip_unknown_enums(M::descriptor(), &bytes).into() } else { bytes };
    if !checked.repeated_singular {
        return bytes;
    }
    // Rare to the point of never: no server writes such messages.
    M::decode(bytes.clone()).map_or(bytes, |message| message.encode_to_vec().into())
}

/// The value of a field that holds bytes and isn't repeated: in normal form the only one.
#[inline]
fn single(bytes: &[u8], field: u32) -> Option<&[u8]> {
    Fields::new(bytes).find_map(|(number, value)| match value {
        Value::Bytes(bytes) if number == field => Some(bytes),
        _ => None,
    })
}

/// The value of a field that holds a number and isn't repeated: in normal form the only one.
#[inline]
fn number(bytes: &[u8], field: u32) -> Option<u64> {
    Fields::new(bytes).find_map(|(number, value)| match value {
        Value::Varint(value) | Value::Fixed64(value) if number == field => Some(value),
        _ => None,
    })
}

/// All values of a repeated field that holds messages.
#[inline]
fn repeated(bytes: &[u8], field: u32) -> impl Iterator<Item = &[u8]> + Clone {
    Fields::new(bytes).filter_map(move |(number, value)| match value {
        Value::Bytes(bytes) if number == field => Some(bytes),
        _ => None,
    })
}

/// Follows a path of fields.
#[inline]
fn span<'a>(bytes: &'a [u8], path: &[u32]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, &field| single(bytes, field))
}

/// Text that has been checked before; empty if it isn't there.
#[inline]
fn text(bytes: Option<&[u8]>) -> &str {
    bytes.and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use v1::scheduler::{Event, event};

    fn record(event: &Event) -> Bytes {
        event.encode_to_vec().into()
    }

    // S159: no type, an unknown type, a type without its message.
    #[test]
    fn events_without_a_known_type_or_without_their_message() {
        assert!(matches!(scheduler_event(&Bytes::new()), Ok(Parsed::Unknown)));
        assert!(matches!(scheduler_event(&Bytes::from_static(&[0x08, 60])), Ok(Parsed::Unknown)));
        for (kind, name) in [
            (Type::Subscribed, "subscribed"),
            (Type::Offers, "offers"),
            (Type::Update, "update"),
            (Type::Error, "error"),
            (Type::UpdateOperationStatus, "update_operation_status"),
        ] {
            let event = Event { r#type: Some(kind.into()), ..Default::default() };
            assert_eq!(scheduler_event(&record(&event)).unwrap_err(), alloc::format!("{name}: missing"));
        }
        let heartbeat = Event { r#type: Some(Type::Heartbeat.into()), ..Default::default() };
        assert!(matches!(scheduler_event(&record(&heartbeat)), Ok(Parsed::Other(_, Type::Heartbeat))));
    }

    #[test]
    fn a_fault_is_named_with_its_place() {
        let mut bytes = vec![0x08, 4, 0x2a, 4, 0x0a, 2];
        bytes.extend([0x0a, 0]);
        assert_eq!(scheduler_event(&bytes.into()).unwrap_err(), "update.status.task_id.value: required, but missing");
    }

    #[test]
    fn rare_events_are_plain_messages() {
        let event = Event {
            r#type: Some(Type::Rescind.into()),
            rescind: Some(event::Rescind { offer_id: v1::OfferId { value: "o".into() } }),
            ..Default::default()
        };
        let Ok(Parsed::Other(parsed, Type::Rescind)) = scheduler_event(&record(&event)) else { panic!("a rescind") };
        assert_eq!(parsed, event);
    }
}
