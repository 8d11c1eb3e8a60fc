//! One resource of an offer, as a view.

use core::fmt;

use mesos_proto::{Fields, Value};
use prost::Message as _;

use super::{number, repeated, single, span, text};
use crate::v1;

/// A resource of an offer: a name, an amount, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResourceRef<'a>(&'a [u8]);

/// The amount of a resource.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResourceValue<'a> {
    /// A number, such as cpus, or MiB of memory. Mesos counts in thousandths.
    Scalar(f64),
    /// Ranges of numbers, such as ports.
    Ranges(Ranges<'a>),
    /// A set of texts.
    Set(SetItems<'a>),
    /// The type and the value don't go together.
    None,
}

/// Iterates over `(begin, end)`, both inclusive, in the order in which the master wrote them.
#[derive(Clone, Debug)]
pub struct Ranges<'a>(Fields<'a>);

/// Iterates over the items of a set.
#[derive(Clone, Debug)]
pub struct SetItems<'a>(Fields<'a>);

impl<'a> ResourceRef<'a> {
    /// A view of a checked `Resource`.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The name: `cpus`, `mem`, `disk`, `ports`, `gpus` or one that the agent's operator chose.
    #[must_use]
    pub fn name(self) -> &'a str {
        text(single(self.0, 1))
    }

    /// The amount.
    #[must_use]
    pub fn value(self) -> ResourceValue<'a> {
        let kind = number(self.0, 2).and_then(|kind| v1::value::Type::try_from(kind as i32).ok());
        match kind {
            Some(v1::value::Type::Scalar) => match self.scalar() {
                Some(value) => ResourceValue::Scalar(value),
                None => ResourceValue::None,
            },
            Some(v1::value::Type::Ranges) => ResourceValue::Ranges(self.ranges()),
            Some(v1::value::Type::Set) => {
                ResourceValue::Set(SetItems(Fields::new(single(self.0, 5).unwrap_or_default())))
            }
            Some(v1::value::Type::Text) | None => ResourceValue::None,
        }
    }

    /// The amount of a scalar resource.
    #[must_use]
    pub fn scalar(self) -> Option<f64> {
        single(self.0, 3).and_then(|scalar| number(scalar, 1)).map(f64::from_bits)
    }

    /// The ranges of a ranges resource; none for others.
    #[must_use]
    pub fn ranges(self) -> Ranges<'a> {
        Ranges(Fields::new(single(self.0, 4).unwrap_or_default()))
    }

    /// The role to whose subscription it is offered; frameworks without MULTI_ROLE aren't told.
    #[must_use]
    pub fn allocation_role(self) -> Option<&'a str> {
        span(self.0, &[11, 1]).map(|role| text(Some(role)))
    }

    /// The role it is reserved for: the most refined reservation's, or the field `role` of frameworks without
    /// RESERVATION_REFINEMENT. `None` if it isn't reserved.
    #[must_use]
    pub fn reserved_role(self) -> Option<&'a str> {
        let role = match repeated(self.0, 13).last() {
            Some(reservation) => single(reservation, 3),
            None => single(self.0, 6),
        };
        role.map(|role| text(Some(role))).filter(|&role| role != "*")
    }

    /// Whether it may be taken away again at any time.
    #[must_use]
    pub fn is_revocable(self) -> bool {
        single(self.0, 9).is_some()
    }

    /// Whether several tasks can use it at once.
    #[must_use]
    pub fn is_shared(self) -> bool {
        single(self.0, 10).is_some()
    }

    /// Whether it is a particular piece of disk: a volume, or one with a source.
    #[must_use]
    pub fn has_disk_info(self) -> bool {
        single(self.0, 7).is_some()
    }

    /// The message in full.
    #[must_use]
    pub fn to_owned(self) -> v1::Resource {
        // Checked, so it decodes.
        v1::Resource::decode(self.0).unwrap_or_default()
    }

    /// The serialized `Resource`.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl Iterator for Ranges<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let (1, Value::Bytes(range)) = self.0.next()? {
                return Some((number(range, 1)?, number(range, 2)?));
            }
        }
    }
}

impl<'a> Iterator for SetItems<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let (1, Value::Bytes(item)) = self.0.next()? {
                return Some(text(Some(item)));
            }
        }
    }
}

/// As Mesos writes it: `cpus:4`, `ports(web):[31000-32000]`.
impl fmt::Display for ResourceRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(role) = self.reserved_role() {
            write!(f, "({role})")?;
        }
        f.write_str(":")?;
        match self.value() {
            ResourceValue::Scalar(value) => write!(f, "{value}"),
            ResourceValue::Ranges(ranges) => {
                for (index, (begin, end)) in ranges.enumerate() {
                    write!(f, "{}{begin}-{end}", if index == 0 { "[" } else { "," })?;
                }
                f.write_str("]")
            }
            ResourceValue::Set(items) => {
                for (index, item) in items.enumerate() {
                    write!(f, "{}{item}", if index == 0 { "{" } else { "," })?;
                }
                f.write_str("}")
            }
            ResourceValue::None => f.write_str("?"),
        }
    }
}

impl fmt::Debug for ResourceRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
