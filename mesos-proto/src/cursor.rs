//! Reading protobuf bytes field by field.

use alloc::vec::Vec;

use crate::check::InvalidKind;

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LEN: u8 = 2;
const GROUP: u8 = 3;
pub(crate) const END_GROUP: u8 = 4;
const FIXED32: u8 = 5;

/// The fields of a message, in the order of the bytes; what is malformed ends the iteration.
///
/// Meant for bytes that passed [`check`](crate::check).
#[derive(Clone, Debug)]
pub struct Fields<'a>(Cursor<'a>);

/// The value of a field as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "the wire has no others, groups aside, which are skipped")]
pub enum Value<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes, least significant first.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// The fields in these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Cursor { bytes, at: 0 })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, wire) = self.0.tag().ok()??;
            let value = match wire {
                VARINT => Value::Varint(self.0.varint().ok()?),
                LEN => Value::Bytes(self.0.delimited().ok()?),
                FIXED64 => Value::Fixed64(u64::from_le_bytes(self.0.array()?)),
                FIXED32 => Value::Fixed32(u32::from_le_bytes(self.0.array()?)),
                other => {
                    self.0.skip(number, other, 64).ok()?;
                    continue;
                }
            };
            return Some((number, value));
        }
    }
}

/// A place in protobuf bytes.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Number and wire type of the next field; `None` at the end.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<(u32, u8)>, InvalidKind> {
        if self.done() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| InvalidKind::Varint)?;
        if tag >> 3 == 0 {
            return Err(InvalidKind::Varint);
        }
        Ok(Some((tag >> 3, (tag & 7) as u8)))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, InvalidKind> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, InvalidKind> {
        let mut value = 0;
        for shift in 0..10 {
            let &byte = self.bytes.get(self.at).ok_or(InvalidKind::Truncated)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                // The tenth byte holds one bit.
                return if shift == 9 && byte > 1 { Err(InvalidKind::Varint) } else { Ok(value) };
            }
        }
        Err(InvalidKind::Varint)
    }

    #[inline]
    pub(crate) fn delimited(&mut self) -> Result<&'a [u8], InvalidKind> {
        let len = usize::try_from(self.varint()?).map_err(|_| InvalidKind::Truncated)?;
        let start = self.at;
        self.advance(len)?;
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    #[inline]
    pub(crate) fn advance(&mut self, len: usize) -> Result<(), InvalidKind> {
        if len > self.bytes.len() - self.at {
            return Err(InvalidKind::Truncated);
        }
        self.at += len;
        Ok(())
    }

    pub(crate) fn fixed64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let start = self.at;
        self.advance(N).ok()?;
        self.bytes.get(start..self.at)?.try_into().ok()
    }

    /// Skips the value of a field.
    pub(crate) fn skip(&mut self, number: u32, wire: u8, depth: u32) -> Result<(), InvalidKind> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.advance(8),
            LEN => self.delimited().map(drop),
            FIXED32 => self.advance(4),
            GROUP => {
                let depth = depth.checked_sub(1).ok_or(InvalidKind::Depth)?;
                loop {
                    match self.tag()?.ok_or(InvalidKind::Truncated)? {
                        (end, END_GROUP) if end == number => return Ok(()),
                        (_, END_GROUP) => return Err(InvalidKind::WireType(END_GROUP)),
                        (inner, wire) => self.skip(inner, wire, depth)?,
                    }
                }
            }
            other => Err(InvalidKind::WireType(other)),
        }
    }
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire));
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
