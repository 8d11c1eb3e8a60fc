//! What is offered of one agent to one role, from any number of offers, and what tasks take of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::ops::Range;

use mesos_proto::{Fields, Value};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::{Decimal, MOST, ResourceName, Resources, Revocable, double, thousandths};
use crate::planted::planted;
use crate::v1;
use crate::wire::{ResourceRef, ResourceValue};

/// Everything offered in hand of one (agent, role).
///
/// Resources that differ in nothing but their value are one bucket, and arithmetic stays within buckets: what is taken
/// keeps reservation, allocation and all the rest of what it is taken from. Only what any task may take is held:
/// unreserved and statically reserved scalars and ports. Volumes, disks with a source, dynamic reservations, shared
/// resources, resources of a provider, sets and other ranges are left alone, and so is what makes no sense.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// The buckets' forms, one after the other.
    forms: Vec<u8>,
    buckets: Vec<Bucket>,
    /// Which offer has how much of a scalar bucket; earlier offers first.
    parts: Vec<Part>,
    /// Every port ever offered, once; sorted.
    spans: Vec<Span>,
    used: BTreeSet<usize>,
    /// From here on ports are given away that needn't be particular ones; then those below.
    first_port: u32,
}

#[derive(Clone, Debug)]
struct Bucket {
    /// The serialized resource but for its type and value, in `forms`.
    form: Range<usize>,
    /// Where in `forms` the name is.
    name: Range<usize>,
    kind: Kind,
    revocable: bool,
    /// Of the role it is reserved for: 0 if for none, 1 for `a`, 2 for `a/b`. What is reserved for fewer goes first.
    depth: usize,
    /// Thousandths, or number of ports.
    left: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    Ports,
}

#[derive(Clone, Debug)]
struct Part {
    bucket: usize,
    offer: usize,
    left: i64,
}

/// Adjacent ports, both ends included.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: u32,
    end: u32,
    bucket: usize,
    offer: usize,
    taken: bool,
}

/// What a task got.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    /// As they go into a `TaskInfo`.
    pub(crate) resources: Vec<v1::Resource>,
    /// Static ones first, then the others; both in ascending order.
    pub(crate) ports: Vec<u16>,
    /// Those of its executor, if that has some of its own.
    pub(crate) executor: Vec<v1::Resource>,
}

impl Taken {
    /// Gives scalars of what was taken to the executor; of what is reserved last, so that it mostly gets the same.
    pub(crate) fn share(&mut self, executor: &Resources) {
        for (name, amount) in &executor.scalars {
            let mut asked = amount.asked();
            for resource in self.resources.iter_mut().rev().filter(|resource| resource.name == name.as_str()) {
                let Some(scalar) = &mut resource.scalar else { continue };
                let there = thousandths(scalar.value).unwrap_or(0);
                let some = there.min(asked);
                asked -= some;
                scalar.value = double(there - some);
                let mut part = resource.clone();
                part.scalar = Some(v1::value::Scalar { value: double(some) });
                if some > 0 {
                    self.executor.push(part);
                }
            }
        }
        self.resources.retain(|resource| resource.scalar.is_none_or(|scalar| scalar.value > 0.0));
    }
}

/// Everything that a pool has too little of for some need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shortfall {
    missing: Vec<Missing>,
}

/// One thing of which there is too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A scalar; in thousandths.
    Scalar { name: ResourceName, asked: i64, available: i64 },
    /// Ports, whichever.
    Ports { asked: u32, available: u32 },
    /// These ports in particular.
    StaticPorts(Vec<u16>),
}

/// How many different buckets are looked at; a real agent has a dozen. It bounds the time that a mad offer costs.
const BUCKETS: usize = 256;

/// Field numbers of `Resource`.
const NAME: u32 = 1;
const SCALAR: u32 = 3;
const SET: u32 = 5;
const ROLE: u32 = 6;
const DISK: u32 = 7;
const RESERVATION: u32 = 8;
const REVOCABLE: u32 = 9;
const SHARED: u32 = 10;
const PROVIDER: u32 = 12;
const RESERVATIONS: u32 = 13;

impl Pool {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Gives away ports from this one on, before those below it.
    pub(crate) fn start_ports_at(&mut self, port: u16) {
        self.first_port = port.into();
    }

    /// Adds what an offer has; `offer` is the caller's number for it.
    pub(crate) fn add<'a>(&mut self, offer: usize, resources: impl Iterator<Item = ResourceRef<'a>>) {
        let first = self.parts.len();
        for resource in resources {
            match resource.value() {
                ResourceValue::Scalar(value) => {
                    if let Some(amount @ 1..) = thousandths(value) {
                        self.add_scalar(first, offer, resource, amount);
                    }
                }
                ResourceValue::Ranges(ranges) if resource.name() == "ports" => {
                    let fresh = self.fresh(ranges);
                    if !fresh.is_empty() {
                        self.add_ports(offer, resource, &fresh);
                    }
                }
                ResourceValue::Ranges(_) | ResourceValue::Set(_) | ResourceValue::None => {}
            }
        }
    }

    /// The parts from `first` on are of this very offer.
    fn add_scalar(&mut self, first: usize, offer: usize, resource: ResourceRef<'_>, amount: i64) {
        let Some((index, bucket)) = self.bucket(resource, Kind::Scalar) else { return };
        // More than any agent has: one of these values is nonsense.
        if bucket.left + amount > MOST {
            return;
        }
        bucket.left += amount;
        match self.parts.iter_mut().skip(first).find(|part| part.bucket == index) {
            Some(part) => part.left += amount,
            None => self.parts.push(Part { bucket: index, offer, left: amount }),
        }
    }

    /// `fresh` are ports that no span has.
    fn add_ports(&mut self, offer: usize, resource: ResourceRef<'_>, fresh: &[(u32, u32)]) {
        let Some((index, bucket)) = self.bucket(resource, Kind::Ports) else { return };
        bucket.left += fresh.iter().map(|&(begin, end)| i64::from(end - begin) + 1).sum::<i64>();
        let span = |&(begin, end): &(u32, u32)| Span { begin, end, bucket: index, offer, taken: false };
        self.spans.extend(fresh.iter().map(span));
        self.spans.sort_unstable_by_key(|span| span.begin);
    }

    /// What of these ranges are ports, and new to the pool: sorted, disjoint, not adjacent.
    fn fresh(&self, ranges: impl Iterator<Item = (u64, u64)>) -> Vec<(u32, u32)> {
        let last = u64::from(u16::MAX);
        let port = |&(begin, end): &(u64, u64)| begin <= end && begin <= last && end > 0;
        let mut ranges: Vec<_> =
            ranges.filter(port).map(|(begin, end)| (begin.max(1) as u32, end.min(last) as u32)).collect();
        ranges.sort_unstable();
        let mut fresh = Vec::with_capacity(ranges.len());
        let mut known = self.spans.iter().peekable();
        // Below this, all has been looked at.
        let mut next = 0;
        for (begin, end) in ranges {
            let mut begin = begin.max(next);
            next = next.max(end + 1);
            while begin <= end {
                while known.next_if(|span| span.end < begin).is_some() {}
                match known.peek().filter(|span| span.begin <= end) {
                    Some(span) => {
                        if begin < span.begin {
                            push_range(&mut fresh, begin, span.begin - 1);
                        }
                        begin = span.end + 1;
                    }
                    None => {
                        push_range(&mut fresh, begin, end);
                        break;
                    }
                }
            }
        }
        fresh
    }

    /// The bucket of a resource, a new one if need be; `None` if nothing may be taken of it.
    fn bucket(&mut self, resource: ResourceRef<'_>, kind: Kind) -> Option<(usize, &mut Bucket)> {
        let start = self.forms.len();
        let form = self.push_form(resource, kind);
        let known = form.as_ref().and_then(|form| {
            let bytes = self.forms.get(form.form.clone());
            let same = |bucket: &Bucket| bucket.kind == kind && self.forms.get(bucket.form.clone()) == bytes;
            self.buckets.iter().position(same)
        });
        let index = match (known, form) {
            (Some(index), _) => {
                self.forms.truncate(start);
                index
            }
            (None, Some(form)) if self.buckets.len() < BUCKETS => {
                self.buckets.push(form);
                self.buckets.len() - 1
            }
            _ => {
                self.forms.truncate(start);
                return None;
            }
        };
        self.buckets.get_mut(index).map(|bucket| (index, bucket))
    }

    /// Writes a resource without type and value to the end of `forms`; `None` if nothing may be taken of it.
    fn push_form(&mut self, resource: ResourceRef<'_>, kind: Kind) -> Option<Bucket> {
        let start = self.forms.len();
        let mut bucket = Bucket { form: start..start, name: 0..0, kind, revocable: false, depth: 0, left: 0 };
        for (number, value) in Fields::new(resource.as_bytes()) {
            // All but the type.
            let Value::Bytes(value) = value else { continue };
            match number {
                SCALAR..=SET => continue,
                ROLE if value != b"*" => bucket.depth = bucket.depth.max(depth(value)),
                DISK if !value.is_empty() => return None,
                // The older field is there for dynamic reservations only.
                RESERVATION | SHARED | PROVIDER => return None,
                REVOCABLE => bucket.revocable = true,
                RESERVATIONS => bucket.depth = bucket.depth.max(depth(static_role(value)?)),
                _ => {}
            }
            encode_key(number, WireType::LengthDelimited, &mut self.forms);
            encode_varint(value.len() as u64, &mut self.forms);
            self.forms.extend_from_slice(value);
            if number == NAME {
                bucket.name = self.forms.len() - value.len()..self.forms.len();
            }
        }
        bucket.form.end = self.forms.len();
        Some(bucket)
    }

    /// Takes what a task needs: of each name what is statically reserved first, the deepest role before others, then
    /// what isn't reserved; within a bucket from the earliest offer that has some, or the lowest port. Takes all or
    /// nothing.
    pub(crate) fn take(&mut self, need: &Resources) -> Result<Taken, Shortfall> {
        self.fits(need)?;
        let mut taken =
            Taken { resources: Vec::with_capacity(need.scalars.len() + 1), ports: Vec::new(), executor: Vec::new() };
        for (name, amount) in &need.scalars {
            let (revocable, _) = self.source(need, name, amount.asked());
            self.take_scalar(name, amount.asked(), revocable, &mut taken.resources);
        }
        if need.port_count() > 0 {
            let revocable = self.ports_are_revocable(need);
            self.take_ports(need, revocable, &mut taken);
        }
        Ok(taken)
    }

    /// Whether [`take`](Self::take) would succeed.
    pub(crate) fn fits(&self, need: &Resources) -> Result<(), Shortfall> {
        let mut short = Shortfall::default();
        for (name, amount) in &need.scalars {
            let asked = amount.asked();
            let (_, available) = self.source(need, name, asked);
            if available < asked {
                short.missing.push(Missing::Scalar { name: name.clone(), asked, available });
            }
        }
        if need.port_count() > 0 {
            let revocable = self.ports_are_revocable(need);
            let available = self.count_ports(revocable);
            if available < need.port_count() {
                short.missing.push(Missing::Ports { asked: need.port_count(), available });
            }
            let missing: Vec<_> =
                need.static_ports.iter().copied().filter(|&port| !self.has_port(port, revocable)).collect();
            if !missing.is_empty() {
                short.missing.push(Missing::StaticPorts(missing));
            }
        }
        if short.missing.is_empty() { Ok(()) } else { Err(short) }
    }

    /// The offers of which something has been taken, in ascending order: those that an ACCEPT must name.
    pub(crate) fn offers_used(&self) -> impl Iterator<Item = usize> {
        self.used.iter().copied()
    }

    /// How much there is of a scalar, in thousandths.
    pub(crate) fn amount(&self, name: &str, revocable: bool) -> i64 {
        let buckets = self.buckets.iter().filter(|bucket| bucket.is(Kind::Scalar, revocable));
        buckets.filter(|bucket| self.name(bucket) == name.as_bytes()).map(|bucket| bucket.left).sum()
    }

    fn count_ports(&self, revocable: bool) -> u32 {
        let buckets = self.buckets.iter().filter(|bucket| bucket.is(Kind::Ports, revocable));
        // At most 65535.
        buckets.map(|bucket| bucket.left as u32).sum()
    }

    fn has_port(&self, port: u16, revocable: bool) -> bool {
        let port = u32::from(port);
        let index = self.spans.partition_point(|span| span.end < port);
        self.spans.get(index).is_some_and(|span| {
            let kind = self.buckets.get(span.bucket).is_some_and(|bucket| bucket.revocable == revocable);
            span.begin <= port && !span.taken && kind
        })
    }

    fn name(&self, bucket: &Bucket) -> &[u8] {
        self.forms.get(bucket.name.clone()).unwrap_or_default()
    }

    /// Which kind of a scalar to take, and how much there is of it. Never both: Mesos would refuse the task.
    fn source(&self, need: &Resources, name: &ResourceName, asked: i64) -> (bool, i64) {
        let amount = |revocable: bool| {
            let may = match need.revocable {
                Revocable::No => !revocable,
                Revocable::Only if *name == ResourceName::Cpus => revocable,
                Revocable::Prefer | Revocable::Only => true,
            };
            let may = may && need.kinds.get(name).is_none_or(|kind| *kind == revocable);
            if may { self.amount(name.as_str(), revocable) } else { 0 }
        };
        let (firm, revocable) = (amount(false), amount(true));
        if revocable >= asked || revocable > firm { (true, revocable) } else { (false, firm) }
    }

    fn ports_are_revocable(&self, need: &Resources) -> bool {
        need.revocable != Revocable::No
            && self.count_ports(true) >= need.port_count()
            && need.static_ports.iter().all(|&port| self.has_port(port, true))
    }

    /// The buckets of this kind in the order in which they are taken from.
    fn order(&self, kind: Kind, revocable: bool) -> Vec<usize> {
        let some = |(_, bucket): &(usize, &Bucket)| bucket.is(kind, revocable) && bucket.left > 0;
        let mut order: Vec<_> = self.buckets.iter().enumerate().filter(some).collect();
        order.sort_by_key(|(_, bucket)| Reverse(bucket.depth));
        order.into_iter().map(|(index, _)| index).collect()
    }

    fn take_scalar(&mut self, name: &ResourceName, mut asked: i64, revocable: bool, out: &mut Vec<v1::Resource>) {
        for index in self.order(Kind::Scalar, revocable) {
            let Some(bucket) = self.buckets.get_mut(index) else { continue };
            let amount = bucket.left.min(asked);
            if amount == 0 || self.forms.get(bucket.name.clone()) != Some(name.as_str().as_bytes()) {
                continue;
            }
            bucket.left -= amount * if planted!(TakenTwice) { 2 } else { i64::from(!planted!(NotTaken)) };
            asked -= amount;
            let mut rest = amount;
            for part in self.parts.iter_mut().filter(|part| part.bucket == index) {
                let some = part.left.min(rest);
                if some > 0 {
                    part.left -= some;
                    rest -= some;
                    self.used.insert(part.offer);
                }
            }
            let mut resource = self.form(index);
            resource.set_type(v1::value::Type::Scalar);
            resource.scalar = Some(v1::value::Scalar { value: double(amount) });
            out.push(resource);
        }
    }

    fn take_ports(&mut self, need: &Resources, revocable: bool, taken: &mut Taken) {
        let mut chosen = self.dynamic_ports(need, revocable);
        chosen.sort_unstable();
        taken.ports.reserve_exact(need.port_count() as usize);
        taken.ports.extend(&need.static_ports);
        // They come from spans, which are within 16 bits.
        taken.ports.extend(
            chosen
                .iter()
                .flat_map(|&(begin, end)| begin..=end)
                .map(|port| port as u16 ^ u16::from(planted!(WrongPort))),
        );
        chosen.extend(need.static_ports.iter().map(|&port| (u32::from(port), u32::from(port))));
        chosen.sort_unstable();

        let mut ranges: BTreeMap<usize, Vec<(u32, u32)>> = BTreeMap::new();
        let mut chosen = chosen.into_iter().peekable();
        let old = core::mem::take(&mut self.spans);
        for mut span in old {
            // Each chosen range lies within one span.
            while let Some((begin, end)) = chosen.next_if(|&(begin, _)| begin <= span.end) {
                if span.begin < begin {
                    push_span(&mut self.spans, Span { end: begin - 1, ..span });
                }
                push_span(&mut self.spans, Span { begin, end, taken: !planted!(PortTwice), ..span });
                push_range(ranges.entry(span.bucket).or_default(), begin, end);
                self.used.insert(span.offer);
                span.begin = end + 1;
            }
            if span.begin <= span.end {
                push_span(&mut self.spans, span);
            }
        }
        for (index, ranges) in ranges {
            if let Some(bucket) = self.buckets.get_mut(index) {
                bucket.left -= ranges.iter().map(|&(begin, end)| i64::from(end - begin) + 1).sum::<i64>();
            }
            let mut resource = self.form(index);
            resource.set_type(v1::value::Type::Ranges);
            let range = |(begin, end): (u32, u32)| v1::value::Range { begin: begin.into(), end: end.into() };
            resource.ranges = Some(v1::value::Ranges { range: ranges.into_iter().map(range).collect() });
            taken.resources.push(resource);
        }
    }

    /// Chooses the ports that needn't be particular ones.
    fn dynamic_ports(&self, need: &Resources, revocable: bool) -> Vec<(u32, u32)> {
        let mut chosen = Vec::new();
        let mut count = need.port_count() - need.static_ports.len() as u32;
        for bucket in self.order(Kind::Ports, revocable) {
            let free = self.spans.iter().filter(|span| span.bucket == bucket && !span.taken);
            // There is no port 0.
            let rounds = [(self.first_port, u32::from(u16::MAX)), (0, self.first_port.saturating_sub(1))];
            for (span, (first, last)) in
                rounds.into_iter().flat_map(|round| free.clone().map(move |span| (span, round)))
            {
                if count == 0 {
                    return chosen;
                }
                let (mut begin, end) = (span.begin.max(first), span.end.min(last));
                if begin > end {
                    continue;
                }
                let fixed = need.static_ports.range(begin as u16..=end as u16).map(|&port| u32::from(port));
                for bound in fixed.chain([end + 1]) {
                    let some = (bound - begin).min(count);
                    if some > 0 {
                        chosen.push((begin, begin + some - 1));
                        count -= some;
                    }
                    begin = bound + 1;
                }
            }
        }
        chosen
    }

    /// The resource of a bucket, without type and value.
    fn form(&self, bucket: usize) -> v1::Resource {
        let form = self.buckets.get(bucket).and_then(|bucket| self.forms.get(bucket.form.clone()));
        // From a checked message, so it decodes.
        v1::Resource::decode(form.unwrap_or_default()).unwrap_or_default()
    }
}

impl Bucket {
    fn is(&self, kind: Kind, revocable: bool) -> bool {
        self.kind == kind && self.revocable == revocable
    }
}

impl Resources {
    /// How many ports there must be, even where fewer than the static ones are asked for.
    pub(crate) fn port_count(&self) -> u32 {
        // At most 65536 static ones.
        self.ports.max(self.static_ports.len() as u32)
    }

    /// How many of them are particular ones.
    pub(crate) fn static_port_count(&self) -> usize {
        self.static_ports.len()
    }
}

/// The role of a static reservation; `None` if it is any other.
fn static_role(reservation: &[u8]) -> Option<&[u8]> {
    let (mut role, mut fixed) = (None, false);
    for (number, value) in Fields::new(reservation) {
        match (number, value) {
            (3, Value::Bytes(value)) => role = Some(value),
            (4, Value::Varint(kind)) => fixed = kind == v1::resource::reservation_info::Type::Static as u64,
            _ => {}
        }
    }
    role.filter(|_| fixed)
}

fn depth(role: &[u8]) -> usize {
    role.split(|&byte| byte == b'/').count()
}

/// Adds a range to ascending ones.
fn push_range(ranges: &mut Vec<(u32, u32)>, begin: u32, end: u32) {
    match ranges.last_mut() {
        Some(last) if last.1 + 1 == begin => last.1 = end,
        _ => ranges.push((begin, end)),
    }
}

/// Adds a span to ascending ones. It doesn't matter whose the taken ones were.
fn push_span(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last) if last.taken && span.taken && last.end + 1 == span.begin => last.end = span.end,
        _ => spans.push(span),
    }
}

impl Shortfall {
    /// The name of the first of them.
    pub(crate) fn first(&self) -> &str {
        match self.missing.first() {
            Some(Missing::Scalar { name, .. }) => name.as_str(),
            Some(Missing::Ports { .. } | Missing::StaticPorts(_)) | None => "ports",
        }
    }

    /// At least one; in the order cpus, mem, disk, gpus, others by name, ports, static ports.
    #[cfg(test)]
    pub(crate) fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, missing) in self.missing.iter().enumerate() {
            write!(f, "{}{missing}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar { name, asked, available } => {
                write!(f, "{name}: {} asked, {} available", Decimal(*asked), Decimal(*available))
            }
            Self::Ports { asked, available } => write!(f, "ports: {asked} asked, {available} available"),
            Self::StaticPorts(ports) => {
                f.write_str("not available: port")?;
                for (index, port) in ports.iter().enumerate() {
                    write!(f, "{}{port}", if index == 0 { " " } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}
