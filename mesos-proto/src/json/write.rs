//! From protobuf bytes to JSON.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::{Error, ErrorKind, Fault, Step};
use crate::base64;
use crate::check::check;
use crate::cursor::{Cursor, Fields, Value};
use crate::descriptor::{Field, Kind, Label, Message};

pub(super) fn message(message: &'static Message, bytes: &[u8]) -> Result<String, Error> {
    check(message, bytes).map_err(|invalid| Error { path: invalid.path, offset: 0, kind: invalid.kind.into() })?;
    let mut out = String::with_capacity(bytes.len() * 2);
    object(message, bytes, &mut out).map_err(Fault::into_error)?;
    Ok(out)
}

/// A message that has been checked; so the recursion is no deeper than the check allows.
fn object(message: &'static Message, bytes: &[u8], out: &mut String) -> Result<(), Fault> {
    let place = |(number, value)| message.place(number).map(|place| (place, value));
    let mut values: Vec<(usize, Value<'_>)> = Fields::new(bytes).filter_map(place).collect();
    // Stable: the values of one field stay in their order.
    values.sort_by_key(|(place, _)| *place);
    out.push('{');
    let mut first = true;
    for values in values.chunk_by(|a, b| a.0 == b.0) {
        let Some(field) = values.first().and_then(|(place, _)| message.fields.get(*place)) else { continue };
        let before = out.len();
        if !first {
            out.push(',');
        }
        text(field.name, out);
        out.push(':');
        let written = match (field.label, field.kind) {
            (Label::Repeated, Kind::Message(entry)) if entry.map_entry => map(entry, values, out).map(|()| true),
            (Label::Repeated, _) => list(field, values, out),
            (_, Kind::Message(inner)) if values.len() > 1 => {
                // Pieces of one message: together they are one.
                let mut whole = Vec::new();
                for (_, value) in values {
                    whole.extend_from_slice(data(*value));
                }
                object(inner, &whole, out).map(|()| true)
            }
            // Of scalars the last one counts.
            _ => last(field, values, out),
        };
        if written.map_err(|fault| fault.within(Step::Field(field.name)))? {
            first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push('}');
    Ok(())
}

/// The last value that isn't an enum's unknown number. `false` if there is none.
fn last(field: &Field, values: &[(usize, Value<'_>)], out: &mut String) -> Result<bool, Fault> {
    for (_, value) in values.iter().rev() {
        if one(field, *value, out)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn list(field: &Field, values: &[(usize, Value<'_>)], out: &mut String) -> Result<bool, Fault> {
    out.push('[');
    let mut index = 0;
    let mut add = |value: Value<'_>, out: &mut String| -> Result<(), Fault> {
        let before = out.len();
        if index > 0 {
            out.push(',');
        }
        if one(field, value, out).map_err(|fault| fault.within(Step::Index(index)))? {
            index += 1;
        } else {
            out.truncate(before);
        }
        Ok(())
    };
    for (_, value) in values {
        match (field.kind, *value) {
            (Kind::Message(_) | Kind::String | Kind::Bytes, value) => add(value, out)?,
            (kind, Value::Bytes(packed)) => {
                let mut cursor = Cursor { bytes: packed, at: 0 };
                while !cursor.done() {
                    let value = match kind {
                        Kind::Double => cursor.fixed64().map(Value::Fixed64),
                        _ => cursor.varint().ok().map(Value::Varint),
                    };
                    let Some(value) = value else { break };
                    add(value, out)?;
                }
            }
            (_, value) => add(value, out)?,
        }
    }
    out.push(']');
    Ok(true)
}

fn map(entry: &'static Message, values: &[(usize, Value<'_>)], out: &mut String) -> Result<(), Fault> {
    let [_, value_field] = entry.fields else { return Ok(()) };
    out.push('{');
    for (index, (_, value)) in values.iter().enumerate() {
        let (mut key, mut content) = (&[][..], None);
        for (number, value) in Fields::new(data(*value)) {
            match number {
                1 => key = data(value),
                2 => content = Some(value),
                _ => {}
            }
        }
        if index > 0 {
            out.push(',');
        }
        text(core::str::from_utf8(key).unwrap_or_default(), out);
        out.push(':');
        // An entry without value has the value's default: here always a message without fields.
        one(value_field, content.unwrap_or(Value::Bytes(&[])), out)?;
    }
    out.push('}');
    Ok(())
}

const fn data(value: Value<'_>) -> &[u8] {
    match value {
        Value::Bytes(bytes) => bytes,
        Value::Varint(_) | Value::Fixed64(_) | Value::Fixed32(_) => &[],
    }
}

/// One value. `false`, and nothing written, if it is an enum's unknown number.
fn one(field: &Field, value: Value<'_>, out: &mut String) -> Result<bool, Fault> {
    let number = match value {
        Value::Varint(number) | Value::Fixed64(number) => number,
        Value::Bytes(_) | Value::Fixed32(_) => 0,
    };
    // Writing to a `String` can't fail.
    let _ = match field.kind {
        Kind::Message(inner) => return object(inner, data(value), out).map(|()| true),
        Kind::String => {
            text(core::str::from_utf8(data(value)).unwrap_or_default(), out);
            Ok(())
        }
        Kind::Bytes => {
            out.push('"');
            out.push_str(&base64::encode(data(value)));
            out.push('"');
            Ok(())
        }
        Kind::Bool => write!(out, "{}", number != 0),
        Kind::Int32 => write!(out, "{}", number as i32),
        Kind::Int64 => write!(out, "{}", number as i64),
        Kind::Uint32 => write!(out, "{}", number as u32),
        Kind::Uint64 => write!(out, "{number}"),
        Kind::Enum(item) => match item.value_name(number as i32) {
            Some(name) => write!(out, "\"{name}\""),
            None => return Ok(false),
        },
        Kind::Double => match f64::from_bits(number) {
            value if value.is_nan() => return Err(Fault::new(0, ErrorKind::NotANumber)),
            f64::INFINITY => write!(out, "\"Infinity\""),
            f64::NEG_INFINITY => write!(out, "\"-Infinity\""),
            // `Display` would write out all 300 zeros of the largest numbers.
            value if value.abs() >= 1e17 || (value != 0.0 && value.abs() < 1e-7) => write!(out, "{value:e}"),
            value => write!(out, "{value}"),
        },
    };
    Ok(true)
}

fn text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(other) => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
