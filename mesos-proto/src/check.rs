//! Checked decoding: one walk over protobuf bytes that builds nothing.
//!
//! prost enforces neither `required` nor the numbers of enums (its accessors turn an unknown number into the enum's
//! first value, which for `TaskState` is a live one). Mesos does: a message without a required field is invalid, and
//! an unknown number counts as if the field weren't there.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use bytes::Bytes;

use crate::cursor::{Cursor, FIXED64, LEN, VARINT, put_tag, put_varint};
use crate::descriptor::{Described, Field, Kind, Label, Message};

/// Messages may be nested this deep.
const MAX_DEPTH: u32 = 90;

/// What a walk saw that a reader of the bytes has to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// An optional or repeated enum field has a number that the schema doesn't know: it counts as absent.
    pub unknown_enum: bool,
    /// A field that isn't repeated stands there more than once: the last one wins, and messages are merged.
    pub repeated_singular: bool,
}

/// Why bytes aren't a valid message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{kind}", self.path, if self.path.is_empty() { "" } else { ": " })]
#[non_exhaustive]
pub struct Invalid {
    /// Where, such as `accept.operations[0].launch.task_infos[0].name`; empty for the message itself.
    pub path: String,
    /// What is wrong there.
    pub kind: InvalidKind,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKind {
    /// The bytes end within a field.
    #[error("the bytes end within a field")]
    Truncated,
    /// A number is longer than ten bytes, or a field's number is out of range.
    #[error("malformed number or field number")]
    Varint,
    /// The field is encoded as another type.
    #[error("wire type {0} doesn't fit the field's type")]
    WireType(u8),
    /// A text isn't UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// A required field is missing.
    #[error("required, but missing")]
    Missing,
    /// A required enum field has a number that the schema doesn't know.
    #[error("required, but {0} is no known value")]
    UnknownEnum(i32),
    /// Messages or groups are nested too deep.
    #[error("nested too deep")]
    Depth,
}

/// Walks over `bytes` as a message of this type.
///
/// Unknown fields are skipped; packed and unpacked repeated fields are both read. Nothing is allocated for a valid
/// message.
///
/// # Errors
///
/// [`Invalid`] names the first fault and its place.
pub fn check(message: &'static Message, bytes: &[u8]) -> Result<Checked, Invalid> {
    let mut checked = Checked::default();
    match walk(message, bytes, MAX_DEPTH, &mut checked) {
        Ok(()) => Ok(checked),
        Err(fault) => Err(fault.into_invalid()),
    }
}

/// Checks and decodes. Enum fields with unknown numbers are absent in the result, so prost's accessors tell the truth.
///
/// # Errors
///
/// As [`check`].
pub fn decode<M: Described>(bytes: impl Into<Bytes>) -> Result<M, Invalid> {
    let mut bytes = bytes.into();
    if check(M::descriptor(), &bytes)?.unknown_enum {
        bytes = strip_unknown_enums(M::descriptor(), &bytes).into();
    }
    // The walk accepts nothing that prost refuses; should they ever differ, the message is refused.
    M::decode(bytes).map_err(|_| Invalid { path: String::new(), kind: InvalidKind::Truncated })
}

/// A copy of a message that passed [`check`], without enum fields of unknown numbers and without unknown fields.
#[must_use]
pub fn strip_unknown_enums(message: &'static Message, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut cursor = Cursor { bytes, at: 0 };
    while let Ok(Some((number, wire))) = cursor.tag() {
        let Some(field) = message.field(number) else {
            if cursor.skip(number, wire, MAX_DEPTH).is_err() {
                break;
            }
            continue;
        };
        match (field.kind, wire) {
            (Kind::Enum(item), VARINT) => {
                let Ok(value) = cursor.varint() else { break };
                if item.contains(value as i32) {
                    put_tag(&mut out, number, VARINT);
                    put_varint(&mut out, value);
                }
            }
            (Kind::Enum(item), LEN) => {
                let Ok(packed) = cursor.delimited() else { break };
                let mut packed = Cursor { bytes: packed, at: 0 };
                while let (false, Ok(value)) = (packed.done(), packed.varint()) {
                    if item.contains(value as i32) {
                        put_tag(&mut out, number, VARINT);
                        put_varint(&mut out, value);
                    }
                }
            }
            (Kind::Message(inner), LEN) => {
                let Ok(data) = cursor.delimited() else { break };
                let data = strip_unknown_enums(inner, data);
                put_tag(&mut out, number, LEN);
                put_varint(&mut out, data.len() as u64);
                out.extend_from_slice(&data);
            }
            _ => {
                let start = cursor.at;
                if cursor.skip(number, wire, MAX_DEPTH).is_err() {
                    break;
                }
                put_tag(&mut out, number, wire);
                out.extend_from_slice(bytes.get(start..cursor.at).unwrap_or_default());
            }
        }
    }
    out
}

/// A fault on its way up: the path is gathered from the inside out.
struct Fault {
    kind: InvalidKind,
    path: Vec<(&'static str, Option<usize>)>,
}

impl Fault {
    fn into_invalid(self) -> Invalid {
        let mut path = String::new();
        for (name, index) in self.path.iter().rev() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            if let Some(index) = index {
                // Writing to a `String` can't fail.
                let _ = write!(path, "[{index}]");
            }
        }
        Invalid { path, kind: self.kind }
    }
}

impl From<InvalidKind> for Fault {
    fn from(kind: InvalidKind) -> Self {
        Self { kind, path: Vec::new() }
    }
}

fn walk(message: &'static Message, bytes: &[u8], depth: u32, checked: &mut Checked) -> Result<(), Fault> {
    let Some(depth) = depth.checked_sub(1) else { return Err(InvalidKind::Depth.into()) };
    let mut cursor = Cursor { bytes, at: 0 };
    let mut seen = 0_u64;
    loop {
        let start = cursor.at;
        let Some((number, wire)) = cursor.tag()? else { break };
        let Some((place, field)) = message.place(number).and_then(|place| Some((place, message.fields.get(place)?)))
        else {
            cursor.skip(number, wire, depth)?;
            continue;
        };
        let known = value(field, wire, &mut cursor, depth, checked);
        let known = match known {
            Ok(known) => known,
            Err(fault) => {
                let Err(fault) = merged(field, fault, bytes, depth, checked) else { continue };
                return Err(within(fault, field, bytes, start));
            }
        };
        let bit = 1 << place;
        if seen & bit != 0 && field.label != Label::Repeated {
            checked.repeated_singular = true;
        }
        if known {
            seen |= bit;
        } else {
            checked.unknown_enum = true;
        }
    }
    let missing = message.required & !seen;
    if missing == 0 {
        return Ok(());
    }
    let field = message.fields.get(missing.trailing_zeros() as usize);
    let kind = field.and_then(|field| last_enum(field, bytes)).map_or(InvalidKind::Missing, InvalidKind::UnknownEnum);
    Err(Fault { kind, path: field.map(|field| (field.name, None)).into_iter().collect() })
}

/// Checks one field's value. `false` if it is an enum's unknown number.
#[inline]
fn value(field: &Field, wire: u8, cursor: &mut Cursor<'_>, depth: u32, checked: &mut Checked) -> Result<bool, Fault> {
    match (field.kind, wire) {
        (Kind::Message(inner), LEN) => {
            let data = cursor.delimited()?;
            walk(inner, data, depth, checked)?;
        }
        (Kind::String, LEN) => {
            let text = cursor.delimited()?;
            if !text.is_ascii() && core::str::from_utf8(text).is_err() {
                return Err(InvalidKind::Utf8.into());
            }
        }
        (Kind::Bytes, LEN) => {
            cursor.delimited()?;
        }
        (Kind::Double, FIXED64) => cursor.advance(8)?,
        (Kind::Enum(item), VARINT) => return Ok(item.contains(cursor.varint()? as i32)),
        (Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool, VARINT) => {
            cursor.varint()?;
        }
        (kind, LEN) if field.label == Label::Repeated => {
            let mut packed = Cursor { bytes: cursor.delimited()?, at: 0 };
            let mut known = true;
            while !packed.done() {
                match kind {
                    Kind::Double => packed.advance(8)?,
                    Kind::Enum(item) => known &= item.contains(packed.varint()? as i32),
                    _ => {
                        packed.varint()?;
                    }
                }
            }
            return Ok(known);
        }
        _ => return Err(InvalidKind::WireType(wire).into()),
    }
    Ok(true)
}

/// A message that isn't repeated may come in pieces that only together are valid.
#[cold]
fn merged(field: &Field, fault: Fault, bytes: &[u8], depth: u32, checked: &mut Checked) -> Result<(), Fault> {
    let incomplete = matches!(fault.kind, InvalidKind::Missing | InvalidKind::UnknownEnum(_));
    let Kind::Message(inner) = field.kind else { return Err(fault) };
    if field.label == Label::Repeated || !incomplete {
        return Err(fault);
    }
    let mut pieces = 0;
    let mut whole = Vec::new();
    let mut cursor = Cursor { bytes, at: 0 };
    while let Some((number, wire)) = cursor.tag()? {
        if number == field.number && wire == LEN {
            pieces += 1;
            whole.extend_from_slice(cursor.delimited()?);
        } else {
            cursor.skip(number, wire, depth)?;
        }
    }
    if pieces < 2 {
        return Err(fault);
    }
    checked.repeated_singular = true;
    walk(inner, &whole, depth, checked)
}

/// The fault, one level further up.
#[cold]
fn within(mut fault: Fault, field: &Field, bytes: &[u8], start: usize) -> Fault {
    let index = (field.label == Label::Repeated).then(|| {
        let mut cursor = Cursor { bytes: bytes.get(..start).unwrap_or_default(), at: 0 };
        let mut before = 0;
        while let Ok(Some((number, wire))) = cursor.tag() {
            before += usize::from(number == field.number);
            if cursor.skip(number, wire, MAX_DEPTH).is_err() {
                break;
            }
        }
        before
    });
    fault.path.push((field.name, index));
    fault
}

/// The number in the last occurrence of an enum field.
#[cold]
fn last_enum(field: &Field, bytes: &[u8]) -> Option<i32> {
    let mut found = None;
    let mut cursor = Cursor { bytes, at: 0 };
    while let Ok(Some((number, wire))) = cursor.tag() {
        if number == field.number && wire == VARINT && matches!(field.kind, Kind::Enum(_)) {
            found = cursor.varint().ok().map(|value| value as i32);
        } else if cursor.skip(number, wire, MAX_DEPTH).is_err() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::END_GROUP;
    use crate::v1;
    use alloc::string::ToString;
    use alloc::vec;
    use prost::Message as _;

    fn fault<M: Described>(bytes: &[u8]) -> (String, InvalidKind) {
        let invalid = check(M::descriptor(), bytes).unwrap_err();
        (invalid.path, invalid.kind)
    }

    // S64: required fields are enforced, and the error says which.
    #[test]
    fn a_missing_required_field_is_named() {
        assert_eq!(fault::<v1::TaskId>(&[]), ("value".into(), InvalidKind::Missing));
        // Call: type ACCEPT, and an accept that is cut, then one whose second offer id has no value.
        let cut = [0x10, 3, 0x22, 7, 0x0a, 3, 0x0a, 1, b'o', 0x0a];
        assert_eq!(fault::<v1::scheduler::Call>(&cut), ("accept".into(), InvalidKind::Truncated));
        let nested = [0x10, 3, 0x22, 7, 0x0a, 3, 0x0a, 1, b'o', 0x0a, 0];
        assert_eq!(fault::<v1::scheduler::Call>(&nested), ("accept.offer_ids[1].value".into(), InvalidKind::Missing));
        let error = decode::<v1::scheduler::Call>(nested.to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "accept.offer_ids[1].value: required, but missing");
    }

    #[test]
    fn an_unknown_enum_number_is_never_another_value() {
        // Call.type is optional: absent. TaskStatus.state is required: the message is invalid.
        let call: v1::scheduler::Call = decode(vec![0x10, 63]).unwrap();
        assert_eq!(call.r#type, None);
        let status = [0x0a, 3, 0x0a, 1, b't', 0x10, 63];
        assert_eq!(fault::<v1::TaskStatus>(&status), ("state".into(), InvalidKind::UnknownEnum(63)));
        let status = [0x0a, 3, 0x0a, 1, b't', 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(fault::<v1::TaskStatus>(&status), ("state".into(), InvalidKind::UnknownEnum(-1)));
        // A later, known number heals it: the last one wins.
        let status = [0x0a, 3, 0x0a, 1, b't', 0x10, 63, 0x10, 1];
        let status: v1::TaskStatus = decode(status.to_vec()).unwrap();
        assert_eq!(status.state(), v1::TaskState::TaskRunning);
    }

    #[test]
    fn bytes_that_are_no_message() {
        type Id = v1::TaskId;
        assert_eq!(fault::<Id>(&[0x0a, 5, b'x']).1, InvalidKind::Truncated);
        assert_eq!(
            fault::<Id>(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).1,
            InvalidKind::Truncated
        );
        assert_eq!(fault::<Id>(&[0x0a, 2, 0xff, 0xfe]), ("value".into(), InvalidKind::Utf8));
        assert_eq!(fault::<Id>(&[0x08, 1]), ("value".into(), InvalidKind::WireType(0)));
        assert_eq!(fault::<Id>(&[0x02]).1, InvalidKind::Varint, "field number 0");
        assert_eq!(fault::<Id>(&[0xff; 11]).1, InvalidKind::Varint);
        assert_eq!(fault::<Id>(&[0x0a, 0, 0x13, 0x1c]).1, InvalidKind::WireType(END_GROUP), "group ended by another");
        assert_eq!(fault::<Id>(&[0x13].repeat(5000)).1, InvalidKind::Depth);
    }

    #[test]
    fn unknown_fields_are_skipped() {
        // Fields 2 to 6 of each wire type, a group with a field in it among them.
        let bytes = [
            0x0a, 1, b'x', 0x10, 0x81, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 1, 0, 0x2b, 0x08, 1, 0x2c, 0x35, 1, 2, 3,
            4,
        ];
        assert_eq!(decode::<v1::TaskId>(bytes.to_vec()).unwrap().value, "x");
    }

    #[test]
    fn pieces_of_a_message_are_merged() {
        // Resource.scalar twice: the first without its required value.
        let start = [0x0a, 1, b'c', 0x10, 0];
        let mut bytes = start.to_vec();
        bytes.extend([0x1a, 0, 0x1a, 9, 0x09]);
        bytes.extend(2.5_f64.to_le_bytes());
        let checked = check(v1::Resource::descriptor(), &bytes).unwrap();
        assert!(checked.repeated_singular);
        assert_eq!(decode::<v1::Resource>(bytes).unwrap().scalar.map(|scalar| scalar.value), Some(2.5));
    }

    #[test]
    fn stripping_keeps_all_but_unknown_numbers() {
        let framework = v1::FrameworkInfo {
            user: "u".into(),
            name: "n".into(),
            failover_timeout: Some(1.5),
            capabilities: vec![
                v1::framework_info::Capability { r#type: Some(5) },
                v1::framework_info::Capability { r#type: Some(60) },
            ],
            ..Default::default()
        };
        let decoded: v1::FrameworkInfo = decode(framework.encode_to_vec()).unwrap();
        let mut expected = framework;
        expected.capabilities[1].r#type = None;
        assert_eq!(decoded, expected);
    }
}
