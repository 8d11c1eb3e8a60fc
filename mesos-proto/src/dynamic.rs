//! Messages by name, built at run time: for what a configuration or a user names, not the program.
//!
//! ```
//! use mesos_proto::dynamic::{Builder, Value};
//! use mesos_proto::v1;
//!
//! let mut task = Builder::new("mesos.v1.TaskInfo")?;
//! task.set("name", "web")?
//!     .set("task_id", Value::map([("value", "web.1")]))?
//!     .set("agent_id", &v1::AgentId::from("a-S0"))?
//!     .set_json("command", r#"{"value": "sleep 1000", "user": "www"}"#)?;
//! let task: v1::TaskInfo = task.to_message()?;
//! assert_eq!(task.command.unwrap().user(), "www");
//!
//! let error = Builder::new("mesos.v1.Port")?.set("number", "80").unwrap_err();
//! assert_eq!(error.to_string(), "number: expected a whole number");
//! # Ok::<(), mesos_proto::dynamic::Error>(())
//! ```

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::check::{Invalid, InvalidKind, check};
use crate::cursor::{Cursor, FIXED64, LEN, VARINT, put_tag, put_varint};
use crate::descriptor::{self, Described, Field, Kind, Label, Message};
use crate::json;

/// Values may be nested this deep.
const MAX_DEPTH: u32 = 90;

/// A message of a type that is known by its name only.
///
/// Each value is checked against the schema when it is set, and one that is refused changes nothing. That required
/// fields are there is checked when the message is used.
#[derive(Clone, Debug)]
pub struct Builder {
    message: &'static Message,
    /// Each field that is set, encoded, by number.
    fields: BTreeMap<u32, Vec<u8>>,
}

/// What a field can be set to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// Nothing: the field is cleared.
    Unset,
    /// A truth value.
    Bool(bool),
    /// A whole number: for the fields of integers, and doubles if nothing is lost; or an enum's number.
    Integer(i128),
    /// For the fields of doubles only.
    Double(f64),
    /// A text, or the name of an enum's value.
    Text(String),
    /// For the fields of bytes only.
    Bytes(Bytes),
    /// For repeated fields. They take a single value, too.
    List(Vec<Self>),
    /// A message by its fields' names, or a map field by its keys.
    Map(BTreeMap<String, Self>),
    /// A message.
    Message(Builder),
}

/// Why a message can't be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{}{kind}", self.path, if self.path.is_empty() { "" } else { ": " })]
#[non_exhaustive]
pub struct Error {
    /// Where, such as `command.environment.variables[0].name`; empty for the message itself.
    pub path: String,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// What is wrong with a value, or with the whole.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The schema has no message of this name.
    #[error("no such message: {0:?}")]
    UnknownMessage(String),
    /// The message has no field of this name.
    #[error("no such field: {0:?}")]
    UnknownField(String),
    /// The value isn't of the field's type.
    #[error("expected {0}")]
    Type(&'static str),
    /// The field's type doesn't hold this number.
    #[error("{0} is out of range")]
    Range(i128),
    /// The enum has no value of this name or number.
    #[error("{0:?} is no value of the enum")]
    UnknownEnum(String),
    /// The message is one of another type.
    #[error("a {found}, where a {expected} belongs")]
    OtherMessage {
        /// The full name of the type that belongs here.
        expected: &'static str,
        /// The full name of the message's type.
        found: &'static str,
    },
    /// A JSON text isn't a value of the field.
    #[error("{kind} (at byte {offset})")]
    Json {
        /// Where in the text.
        offset: usize,
        /// What is wrong there.
        kind: json::ErrorKind,
    },
    /// The whole is no valid message: in most cases a required field is missing.
    #[error("{0}")]
    Invalid(#[from] InvalidKind),
}

impl Builder {
    /// An empty message of the type with this full name, such as `mesos.v1.TaskInfo`.
    ///
    /// # Errors
    ///
    /// [`UnknownMessage`](ErrorKind::UnknownMessage).
    pub fn new(name: &str) -> Result<Self, Error> {
        match descriptor::message(name) {
            Some(message) if !message.map_entry => Ok(Self::of(message)),
            _ => Err(ErrorKind::UnknownMessage(name.to_string()).into()),
        }
    }

    const fn of(message: &'static Message) -> Self {
        Self { message, fields: BTreeMap::new() }
    }

    /// The message's type.
    #[must_use]
    pub const fn descriptor(&self) -> &'static Message {
        self.message
    }

    /// Sets a field, or clears it with `None`. Values keep their type: neither is `"80"` a number, nor 1 true.
    ///
    /// # Errors
    ///
    /// The field doesn't exist, or the value doesn't belong there: the first fault, with its place.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) -> Result<&mut Self, Error> {
        self.set_value(field, value.into(), MAX_DEPTH)?;
        Ok(self)
    }

    /// Sets a field to a JSON value, read as [`json::to_protobuf_strict`] reads: with Mesos's conversions of numbers,
    /// but with unknown names as errors, and messages have to be complete. `null` clears.
    ///
    /// # Errors
    ///
    /// The field doesn't exist, or the first fault in the text.
    pub fn set_json(&mut self, field: &str, json: &str) -> Result<&mut Self, Error> {
        let field = self.field(field)?;
        let value = json::field_to_protobuf(field, json).map_err(|error| {
            let kind = ErrorKind::Json { offset: error.offset, kind: error.kind };
            Error { path: error.path, kind }.within(field.name)
        })?;
        self.put(field, value);
        Ok(self)
    }

    /// Clears a field.
    ///
    /// # Errors
    ///
    /// [`UnknownField`](ErrorKind::UnknownField).
    pub fn clear(&mut self, field: &str) -> Result<&mut Self, Error> {
        self.set(field, Value::Unset)
    }

    /// The message as protobuf bytes.
    ///
    /// # Errors
    ///
    /// A required field is missing, here or further inside; messages are nested too deep.
    pub fn to_protobuf(&self) -> Result<Vec<u8>, Invalid> {
        let bytes = self.unchecked();
        check(self.message, &bytes)?;
        Ok(bytes)
    }

    /// The message as JSON, as [`json::from_protobuf`] writes it.
    ///
    /// # Errors
    ///
    /// As [`to_protobuf`](Self::to_protobuf); a double isn't a number.
    pub fn to_json(&self) -> Result<String, json::Error> {
        json::from_protobuf(self.message, &self.unchecked())
    }

    /// The message as its generated type.
    ///
    /// # Errors
    ///
    /// It is one of another type; as [`to_protobuf`](Self::to_protobuf).
    pub fn to_message<M: Described>(&self) -> Result<M, Error> {
        self.expect(M::descriptor())?;
        crate::decode(self.unchecked()).map_err(|Invalid { path, kind }| Error { path, kind: kind.into() })
    }

    fn unchecked(&self) -> Vec<u8> {
        self.fields.values().flatten().copied().collect()
    }

    fn expect(&self, expected: &'static Message) -> Result<(), Error> {
        if core::ptr::eq(self.message, expected) {
            return Ok(());
        }
        Err(ErrorKind::OtherMessage { expected: expected.name, found: self.message.name }.into())
    }

    fn field(&self, name: &str) -> Result<&'static Field, Error> {
        self.message.field_named(name).ok_or_else(|| ErrorKind::UnknownField(name.to_string()).into())
    }

    fn set_value(&mut self, name: &str, value: Value, depth: u32) -> Result<(), Error> {
        let field = self.field(name)?;
        let value = encoded(field, value, depth).map_err(|error| error.within(field.name))?;
        self.put(field, value);
        Ok(())
    }

    fn put(&mut self, field: &Field, encoded: Option<Vec<u8>>) {
        match encoded {
            Some(encoded) => self.fields.insert(field.number, encoded),
            None => self.fields.remove(&field.number),
        };
    }
}

/// A copy of a message, to go on with by name.
impl<M: Described> From<&M> for Builder {
    fn from(message: &M) -> Self {
        let bytes = message.encode_to_vec();
        let mut builder = Self::of(M::descriptor());
        let mut cursor = Cursor { bytes: &bytes, at: 0 };
        loop {
            let start = cursor.at;
            let Ok(Some((number, wire))) = cursor.tag() else { break };
            if cursor.skip(number, wire, MAX_DEPTH).is_err() {
                break;
            }
            let field = bytes.get(start..cursor.at).unwrap_or_default();
            builder.fields.entry(number).or_default().extend_from_slice(field);
        }
        builder
    }
}

/// A field with all of its values; `None` if it is unset.
fn encoded(field: &'static Field, value: Value, depth: u32) -> Result<Option<Vec<u8>>, Error> {
    let mut out = Vec::new();
    match (field.label, field.kind, value) {
        (_, _, Value::Unset) => return Ok(None),
        (
            Label::Repeated,
            Kind::Message(entry @ &Message { map_entry: true, fields: [key_field, value_field], .. }),
            Value::Map(map),
        ) => {
            for (key, value) in map {
                let mut pair = Builder::of(entry);
                let value = encoded(value_field, value, depth).map_err(|error| error.within(&key))?;
                // An unset value is no entry.
                if value.is_some() {
                    pair.put(value_field, value);
                    pair.put(key_field, encoded(key_field, Value::Text(key), depth)?);
                    put_data(field, &pair.unchecked(), &mut out);
                }
            }
        }
        (_, Kind::Message(Message { map_entry: true, .. }), _) => return Err(ErrorKind::Type("a map").into()),
        (Label::Repeated, _, Value::List(list)) => {
            for (index, value) in list.into_iter().enumerate() {
                one(field, value, &mut out, depth).map_err(|error| error.within(&format!("[{index}]")))?;
            }
        }
        (_, _, value) => one(field, value, &mut out, depth)?,
    }
    Ok(Some(out))
}

/// One value, with its tag.
fn one(field: &'static Field, value: Value, out: &mut Vec<u8>, depth: u32) -> Result<(), Error> {
    let number = match (field.kind, value) {
        (Kind::Message(message), value) => {
            let value = message_of(message, value, depth)?;
            put_data(field, &value.unchecked(), out);
            return Ok(());
        }
        (Kind::String, Value::Text(text)) => {
            put_data(field, text.as_bytes(), out);
            return Ok(());
        }
        (Kind::Bytes, Value::Bytes(bytes)) => {
            put_data(field, &bytes, out);
            return Ok(());
        }
        (Kind::Double, value) => {
            put_tag(out, field.number, FIXED64);
            out.extend_from_slice(&double(&value)?.to_le_bytes());
            return Ok(());
        }
        (Kind::Bool, Value::Bool(value)) => u64::from(value),
        (Kind::Enum(item), Value::Text(name)) => {
            i64::from(item.number(&name).ok_or(ErrorKind::UnknownEnum(name))?) as u64
        }
        (Kind::Enum(item), Value::Integer(number)) => {
            let known = i32::try_from(number).ok().filter(|number| item.contains(*number));
            i64::from(known.ok_or_else(|| ErrorKind::UnknownEnum(number.to_string()))?) as u64
        }
        (Kind::Int32, Value::Integer(number)) => i64::from(ranged::<i32>(number)?) as u64,
        (Kind::Int64, Value::Integer(number)) => ranged::<i64>(number)? as u64,
        (Kind::Uint32, Value::Integer(number)) => ranged::<u32>(number)?.into(),
        (Kind::Uint64, Value::Integer(number)) => ranged::<u64>(number)?,
        (kind, _) => return Err(ErrorKind::Type(expected(kind)).into()),
    };
    put_tag(out, field.number, VARINT);
    put_varint(out, number);
    Ok(())
}

fn message_of(message: &'static Message, value: Value, depth: u32) -> Result<Builder, Error> {
    match value {
        Value::Message(builder) => builder.expect(message).map(|()| builder),
        Value::Map(map) => {
            let depth = depth.checked_sub(1).ok_or(InvalidKind::Depth).map_err(ErrorKind::from)?;
            let mut builder = Builder::of(message);
            for (name, value) in map {
                builder.set_value(&name, value, depth)?;
            }
            Ok(builder)
        }
        _ => Err(ErrorKind::Type("a message").into()),
    }
}

fn put_data(field: &Field, data: &[u8], out: &mut Vec<u8>) {
    put_tag(out, field.number, LEN);
    put_varint(out, data.len() as u64);
    out.extend_from_slice(data);
}

fn double(value: &Value) -> Result<f64, Error> {
    match *value {
        Value::Double(value) => Ok(value),
        Value::Integer(number) if number as f64 as i128 == number => Ok(number as f64),
        Value::Integer(number) => Err(ErrorKind::Range(number).into()),
        _ => Err(ErrorKind::Type("a number").into()),
    }
}

fn ranged<T: TryFrom<i128>>(number: i128) -> Result<T, Error> {
    T::try_from(number).map_err(|_| ErrorKind::Range(number).into())
}

const fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Double => "a number",
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => "a whole number",
        Kind::Bool => "true or false",
        Kind::String => "a text",
        Kind::Bytes => "bytes",
        Kind::Enum(_) => "an enum's name or number",
        Kind::Message(_) => "a message",
    }
}

impl Value {
    /// A message by its fields' names, or a map field by its keys.
    #[must_use]
    pub fn map<K: Into<String>, V: Into<Self>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

macro_rules! from {
    ($($type:ty: $value:ident => $expr:expr,)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $expr
            }
        }
    )*};
}

from! {
    bool: value => Self::Bool(value),
    u16: value => Self::Integer(value.into()),
    i32: value => Self::Integer(value.into()),
    u32: value => Self::Integer(value.into()),
    i64: value => Self::Integer(value.into()),
    u64: value => Self::Integer(value.into()),
    f64: value => Self::Double(value),
    &str: value => Self::Text(value.into()),
    String: value => Self::Text(value),
    &[u8]: value => Self::Bytes(Bytes::copy_from_slice(value)),
    Bytes: value => Self::Bytes(value),
    Builder: value => Self::Message(value),
}

/// A copy of the message.
impl<M: Described> From<&M> for Value {
    fn from(message: &M) -> Self {
        Self::Message(message.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unset, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(list: [T; N]) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { path: String::new(), kind }
    }
}

impl Error {
    /// The same, one level further up.
    fn within(mut self, step: &str) -> Self {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, step);
        self
    }
}
