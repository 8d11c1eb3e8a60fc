//! From a record of the executor stream to a plain message: all of its events are rare.

use alloc::string::{String, ToString as _};

use bytes::Bytes;
use mesos_proto::{Described as _, check};
use prost::Message as _;

use super::normal;
use crate::v1::executor::Event;
use crate::v1::executor::event::Type;

/// Reads one record; the message that its type promises is there. `None` if it has no type, or one that isn't in the
/// schema; the error says where it is invalid.
pub(crate) fn executor_event(record: &Bytes) -> Result<Option<(Event, Type)>, String> {
    let checked = check(Event::descriptor(), record).map_err(|invalid| invalid.to_string())?;
    let record = normal::<Event>(record.clone(), checked);
    let event = Event::decode(record).map_err(|error| error.to_string())?;
    let Some(kind) = event.r#type.and_then(|number| Type::try_from(number).ok()) else { return Ok(None) };
    let (name, there) = match kind {
        Type::Unknown => return Ok(None),
        Type::Subscribed => ("subscribed", event.subscribed.is_some()),
        Type::Launch => ("launch", event.launch.is_some()),
        Type::LaunchGroup => ("launch_group", event.launch_group.is_some()),
        Type::Kill => ("kill", event.kill.is_some()),
        Type::Acknowledged => ("acknowledged", event.acknowledged.is_some()),
        Type::Message => ("message", event.message.is_some()),
        Type::Error => ("error", event.error.is_some()),
        Type::Shutdown | Type::Heartbeat => ("", true),
    };
    if there { Ok(Some((event, kind))) } else { Err(name.to_string() + ": missing") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    // S159, for executors.
    #[test]
    fn events_without_a_known_type_or_without_their_message() {
        assert_eq!(executor_event(&Bytes::new()), Ok(None));
        assert_eq!(executor_event(&Bytes::from_static(&[0x08, 60])), Ok(None));
        for number in 1..=9 {
            let kind = Type::try_from(number).expect("a type");
            let event = Event { r#type: Some(number), ..Default::default() };
            let parsed = executor_event(&event.encode_to_vec().into());
            match kind {
                Type::Shutdown | Type::Heartbeat => assert_eq!(parsed, Ok(Some((event, kind)))),
                _ => assert_eq!(parsed, Err(format!("{}: missing", kind.as_str_name().to_lowercase()))),
            }
        }
        let launch = Bytes::from_static(&[0x08, 2, 0x22, 2, 0x0a, 0]);
        assert_eq!(executor_event(&launch).unwrap_err(), "launch.task.name: required, but missing");
    }
}
