//! Mesos's own mapping between messages and JSON, over the descriptor table.
//!
//! It isn't the canonical mapping of protobuf: fields have the schema's names, enums are names, 64-bit numbers are
//! JSON numbers, bytes are padded base64 of the standard alphabet. Reading is as tolerant as Mesos's writers and
//! readers are: numbers and booleans may stand in strings, a single value may stand for a list, `null` is unset,
//! unknown fields and unknown names in optional enums don't count, and the bare word `Infinity` is a number. Required
//! fields are enforced both ways.
//!
//! JSON and protobuf bytes are turned into each other directly, in one pass; no tree is built.

mod read;
mod write;

use alloc::string::String;
use alloc::vec::Vec;

use crate::check::InvalidKind;
use crate::descriptor::{Described, Message};
pub(crate) use read::field as field_to_protobuf;

/// Values may be nested this deep.
const MAX_DEPTH: u32 = 90;

/// Why a text isn't a message, or a message can't be a text.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}{}{kind} (at byte {offset})", self.path, if self.path.is_empty() { "" } else { ": " })]
#[non_exhaustive]
pub struct Error {
    /// Where, such as `accept.operations[0].launch`; empty for the message itself.
    pub path: String,
    /// Where in the text; when writing, 0.
    pub offset: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong with a text or a message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It isn't JSON: something else was expected here.
    #[error("expected {0}")]
    Syntax(&'static str),
    /// The value isn't of the field's type.
    #[error("expected {0}")]
    Type(&'static str),
    /// A number is beyond the field's type.
    #[error("{0} is out of range")]
    Range(String),
    /// A name that the enum doesn't have: of a required field, or where unknown names aren't ignored.
    #[error("{0:?} is no value of the enum")]
    UnknownEnum(String),
    /// Bytes aren't base64.
    #[error("not base64")]
    Base64,
    /// A required field is missing.
    #[error("required, but missing")]
    Missing,
    /// Values are nested too deep.
    #[error("nested too deep")]
    Depth,
    /// The text isn't UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// No field of this name; only where unknown fields aren't ignored.
    #[error("no such field: {0:?}")]
    UnknownField(String),
    /// Written: the bytes aren't a valid message.
    #[error("{0}")]
    Invalid(#[from] InvalidKind),
    /// Written: JSON has no such number.
    #[error("NaN can't be written")]
    NotANumber,
}

/// Reads a JSON object as a message of this type, into protobuf bytes.
///
/// # Errors
///
/// The first fault, with its place.
pub fn to_protobuf(message: &'static Message, json: &[u8]) -> Result<Vec<u8>, Error> {
    read::message(message, json, false)
}

/// The same, but fields that the type doesn't have, and names that an enum doesn't have, are an error: for texts that
/// people write.
///
/// # Errors
///
/// The first fault, with its place.
pub fn to_protobuf_strict(message: &'static Message, json: &[u8]) -> Result<Vec<u8>, Error> {
    read::message(message, json, true)
}

/// Writes protobuf bytes as JSON, fields in the order of their numbers. Infinite doubles become strings, which
/// servers read since 1.10; the bare word that they write themselves isn't JSON.
///
/// # Errors
///
/// If the bytes aren't a valid message of this type, or hold a double that isn't a number.
pub fn from_protobuf(message: &'static Message, bytes: &[u8]) -> Result<String, Error> {
    write::message(message, bytes)
}

/// Reads a message.
///
/// # Errors
///
/// As [`to_protobuf`].
pub fn decode<M: Described>(json: &[u8]) -> Result<M, Error> {
    let bytes = to_protobuf(M::descriptor(), json)?;
    crate::decode(bytes).map_err(|invalid| Error { path: invalid.path, offset: 0, kind: invalid.kind.into() })
}

/// Writes a message.
///
/// # Errors
///
/// As [`from_protobuf`].
pub fn encode<M: Described>(message: &M) -> Result<String, Error> {
    from_protobuf(M::descriptor(), &message.encode_to_vec())
}

/// A fault on its way up: the path is gathered from the inside out.
struct Fault {
    offset: usize,
    kind: ErrorKind,
    path: Vec<Step>,
}

enum Step {
    Field(&'static str),
    Index(usize),
}

impl Fault {
    fn new(offset: usize, kind: ErrorKind) -> Self {
        Self { offset, kind, path: Vec::new() }
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    fn into_error(self) -> Error {
        let mut path = String::new();
        for step in self.path.iter().rev() {
            match step {
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&alloc::format!("[{index}]")),
            }
        }
        Error { path, offset: self.offset, kind: self.kind }
    }
}

#[cfg(test)]
mod tests;
