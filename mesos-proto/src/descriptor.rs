//! The schema as a table: what checking, views, JSON and messages by name are driven by.

use core::fmt;

/// A message type.
pub struct Message {
    pub(crate) name: &'static str,
    pub(crate) map_entry: bool,
    /// A bit for each required field, by its place in `fields`.
    pub(crate) required: u64,
    /// From a field's number to its place in `fields`, plus one; zero where there is none.
    pub(crate) index: &'static [u8],
    /// The places in `fields`, sorted by the fields' names.
    pub(crate) by_name: &'static [u8],
    pub(crate) fields: &'static [Field],
}

/// A field of a message type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Field {
    /// The name, as in the schema and in JSON.
    pub name: &'static str,
    /// The number.
    pub number: u32,
    /// How often it may stand in a message.
    pub label: Label,
    /// What it holds.
    pub kind: Kind,
}

/// How often a field stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "proto2 has no other")]
pub enum Label {
    /// At most once.
    Optional,
    /// Exactly once.
    Required,
    /// Any number of times.
    Repeated,
}

/// What a field holds; the types that occur in the schema.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_enums, reason = "whoever walks the table has to handle each")]
pub enum Kind {
    /// A 64-bit floating point number.
    Double,
    /// A signed 32-bit number.
    Int32,
    /// A signed 64-bit number.
    Int64,
    /// An unsigned 32-bit number.
    Uint32,
    /// An unsigned 64-bit number.
    Uint64,
    /// A truth value.
    Bool,
    /// UTF-8 text.
    String,
    /// Bytes.
    Bytes,
    /// A value of an enum.
    Enum(&'static Enum),
    /// A message.
    Message(&'static Message),
}

/// An enum type.
pub struct Enum {
    pub(crate) name: &'static str,
    /// A bit for each number below 64; only Linux capabilities have larger ones.
    pub(crate) mask: u64,
    pub(crate) values: &'static [(&'static str, i32)],
}

/// A generated message type, with its row in the table.
pub trait Described: prost::Message + Default {
    /// The type's descriptor.
    fn descriptor() -> &'static Message;
}

impl Message {
    /// The full name, such as `mesos.v1.TaskInfo`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this is the entry type of a map field: `key` is field 1, `value` is field 2.
    #[must_use]
    pub const fn is_map_entry(&self) -> bool {
        self.map_entry
    }

    /// The fields, sorted by number.
    #[must_use]
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// The field with this number.
    #[must_use]
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        self.place(number).and_then(|place| self.fields.get(place))
    }

    /// The field with this name.
    #[must_use]
    pub fn field_named(&self, name: &str) -> Option<&'static Field> {
        let at = |place: &u8| self.fields.get(usize::from(*place));
        let found = self.by_name.binary_search_by(|place| at(place).map_or("", |field| field.name).cmp(name)).ok()?;
        self.by_name.get(found).and_then(at)
    }

    /// Where in `fields` the field with this number stands.
    #[inline]
    pub(crate) fn place(&self, number: u32) -> Option<usize> {
        let place = *self.index.get(usize::try_from(number).ok()?)?;
        usize::from(place).checked_sub(1)
    }
}

impl Enum {
    /// The full name, such as `mesos.v1.TaskState`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Names and numbers, sorted by number.
    #[must_use]
    pub const fn values(&self) -> &'static [(&'static str, i32)] {
        self.values
    }

    /// Whether a value has this number.
    #[inline]
    #[must_use]
    pub fn contains(&self, number: i32) -> bool {
        match number {
            0..64 => self.mask & (1 << number) != 0,
            _ => self.value_name(number).is_some(),
        }
    }

    /// The number of the value with this name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|value| value.0 == name).map(|value| value.1)
    }

    /// The name of the value with this number.
    #[must_use]
    pub fn value_name(&self, number: i32) -> Option<&'static str> {
        let found = self.values.binary_search_by_key(&number, |value| value.1).ok()?;
        self.values.get(found).map(|value| value.0)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Enum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

// By hand: the types may refer to themselves, and a name says enough.
impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Double => "double",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Enum(item) => item.name,
            Self::Message(message) => message.name,
        })
    }
}

/// The message type with this full name.
///
/// ```
/// use mesos_proto::descriptor::{Label, message};
///
/// let task = message("mesos.v1.TaskInfo").unwrap();
/// assert_eq!(task.field_named("agent_id").map(|field| (field.number, field.label)), Some((3, Label::Required)));
/// ```
#[must_use]
pub fn message(name: &str) -> Option<&'static Message> {
    all_messages().find(|message| message.name == name)
}

/// Every message type, those of the operator API with the feature `operator` only.
pub fn all_messages() -> impl Iterator<Item = &'static Message> {
    tables::MESSAGES.iter().chain(OPERATOR_MESSAGES).copied()
}

/// Every enum type, those of the operator API with the feature `operator` only.
pub fn all_enums() -> impl Iterator<Item = &'static Enum> {
    tables::ENUMS.iter().chain(OPERATOR_ENUMS).copied()
}

#[cfg(feature = "operator")]
use operator::{ENUMS as OPERATOR_ENUMS, MESSAGES as OPERATOR_MESSAGES};
#[cfg(not(feature = "operator"))]
const OPERATOR_MESSAGES: &[&Message] = &[];
#[cfg(not(feature = "operator"))]
const OPERATOR_ENUMS: &[&Enum] = &[];

pub(crate) mod tables {
    use super::{Described, Enum, Field, Kind, Label, Message};

    include!("generated/descriptors.rs");
}

#[cfg(feature = "operator")]
mod operator {
    use super::tables::*;
    use super::{Described, Enum, Field, Kind, Label, Message};

    include!("generated/descriptors_operator.rs");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_agree_with_the_table() {
        let mut messages = 0;
        for descriptor in all_messages() {
            messages += 1;
            assert!(message(descriptor.name).is_some_and(|found| core::ptr::eq(found, descriptor)));
            for field in descriptor.fields() {
                assert_eq!(descriptor.field(field.number).map(|f| f.name), Some(field.name));
                assert_eq!(descriptor.field_named(field.name).map(|f| f.number), Some(field.number));
                let place = descriptor.place(field.number).unwrap();
                assert_eq!(descriptor.required & (1 << place) != 0, field.label == Label::Required);
            }
            assert!(descriptor.field(0).is_none() && descriptor.field(u32::MAX).is_none());
            assert!(descriptor.field_named("").is_none() && descriptor.field_named("no_such").is_none());
        }
        assert!(messages > 200);
        assert!(message("mesos.v1.Nothing").is_none());
    }

    #[test]
    fn enums_know_their_numbers() {
        for item in all_enums() {
            for &(name, number) in item.values() {
                assert!(item.contains(number));
                assert_eq!(item.number(name), Some(number));
                assert_eq!(item.value_name(number), Some(name));
            }
            assert!(!item.contains(-1) && !item.contains(63) && !item.contains(i32::MAX));
        }
    }
}
