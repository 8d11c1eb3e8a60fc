//! The master's arithmetic: amounts of named resources, reserved for a role or not.

use std::collections::{BTreeMap, BTreeSet};

use mesos_proto::v1;

/// What an agent, an offer or a task has, by name and reservation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pool(BTreeMap<Key, Amount>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    /// The role that it is reserved for.
    reserved: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Amount {
    /// Thousandths.
    Scalar(i64),
    /// Sorted, disjoint, not adjacent; both ends inclusive.
    Ranges(Vec<(u64, u64)>),
    Set(BTreeSet<String>),
}

impl Amount {
    fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(value) => *value <= 0,
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.is_empty(),
        }
    }

    fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => {
                b.iter().all(|&(begin, end)| a.iter().any(|&(first, last)| first <= begin && end <= last))
            }
            (Self::Set(a), Self::Set(b)) => b.is_subset(a),
            _ => false,
        }
    }

    fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.saturating_add(*b),
            (Self::Ranges(a), Self::Ranges(b)) => {
                a.extend(b);
                *a = coalesced(std::mem::take(a));
            }
            (Self::Set(a), Self::Set(b)) => a.extend(b.iter().cloned()),
            _ => {}
        }
    }

    fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.saturating_sub(*b),
            (Self::Ranges(a), Self::Ranges(b)) => {
                for &(begin, end) in b {
                    *a = a.iter().flat_map(|&range| without(range, begin, end)).collect();
                }
            }
            (Self::Set(a), Self::Set(b)) => a.retain(|item| !b.contains(item)),
            _ => {}
        }
    }
}

fn coalesced(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.retain(|range| range.0 <= range.1);
    ranges.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (begin, end) in ranges {
        match out.last_mut() {
            Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => out.push((begin, end)),
        }
    }
    out
}

/// What is left of `range` without `begin..=end`.
fn without(range: (u64, u64), begin: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let left = (range.0 < begin).then(|| (range.0, range.1.min(begin - 1)));
    let right = (range.1 > end).then(|| (range.0.max(end + 1), range.1));
    left.into_iter().chain(right)
}

impl Pool {
    /// Sums up messages. `None` if one of them is malformed, negative, or reserves in a way that isn't modelled.
    pub(crate) fn of(resources: &[v1::Resource]) -> Option<Self> {
        let mut pool = Self::default();
        for resource in resources {
            let amount = match resource.r#type() {
                v1::value::Type::Scalar => {
                    let value = resource.scalar.as_ref()?.value;
                    if !(0.0005..=1e12).contains(&value) {
                        return None;
                    }
                    Amount::Scalar((value * 1000.0).round() as i64)
                }
                v1::value::Type::Ranges => {
                    let ranges = resource.ranges.as_ref()?.range.iter().map(|range| (range.begin, range.end));
                    Amount::Ranges(coalesced(ranges.collect()))
                }
                v1::value::Type::Set => Amount::Set(resource.set.as_ref()?.item.iter().cloned().collect()),
                v1::value::Type::Text => return None,
            };
            let role = match resource.reservations.last() {
                Some(reservation) => reservation.role.clone(),
                None => resource.role.clone().filter(|role| role != "*"),
            };
            pool.put(Key { name: resource.name.clone(), reserved: role }, &amount);
        }
        Some(pool)
    }

    /// Reads the agent's own notation, such as `cpus:4;mem:1024;ports:[31000-32000];cpus(web):1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut pool = Self::default();
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once(':')?;
            let (name, reserved) = match name.split_once('(') {
                Some((name, role)) => (name, Some(role.strip_suffix(')')?).filter(|&role| role != "*")),
                None => (name, None),
            };
            let inner = |open, close| value.strip_prefix::<char>(open).and_then(|v| v.strip_suffix::<char>(close));
            let amount = if let Some(ranges) = inner('[', ']') {
                let ranges: Option<Vec<_>> = ranges
                    .split(',')
                    .map(|range| {
                        let (begin, end) = range.split_once('-')?;
                        Some((begin.trim().parse().ok()?, end.trim().parse().ok()?))
                    })
                    .collect();
                Amount::Ranges(coalesced(ranges?))
            } else if let Some(items) = inner('{', '}') {
                Amount::Set(items.split(',').map(|item| item.trim().to_owned()).collect())
            } else {
                let value: f64 = value.parse().ok().filter(|value| (0.0..1e12).contains(value))?;
                Amount::Scalar((value * 1000.0).round() as i64)
            };
            pool.put(Key { name: name.trim().to_owned(), reserved: reserved.map(Into::into) }, &amount);
        }
        Some(pool)
    }

    fn put(&mut self, key: Key, amount: &Amount) {
        match self.0.get_mut(&key) {
            Some(mine) => mine.add(amount),
            None if amount.is_empty() => {}
            None => {
                self.0.insert(key, amount.clone());
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(key, amount)| self.0.get(key).is_some_and(|mine| mine.contains(amount)))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (key, amount) in &other.0 {
            self.put(key.clone(), amount);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (key, amount) in &other.0 {
            if let Some(mine) = self.0.get_mut(key) {
                mine.subtract(amount);
            }
        }
        self.0.retain(|_, amount| !amount.is_empty());
    }

    /// The part that may be offered to this role: what is reserved for it, and what isn't reserved.
    pub(crate) fn for_role(&self, role: &str) -> Self {
        let mine = |key: &Key| key.reserved.as_deref().is_none_or(|reserved| reserved == role);
        Self(self.0.iter().filter(|(key, _)| mine(key)).map(|(k, a)| (k.clone(), a.clone())).collect())
    }

    /// The master offers nothing with less than 0.01 cpus and less than 32 MiB.
    pub(crate) fn is_worth_offering(&self) -> bool {
        let sum = |name: &str| -> i64 {
            let amounts = self.0.iter().filter(|(key, _)| key.name == name);
            amounts.map(|(_, amount)| if let Amount::Scalar(value) = amount { *value } else { 0 }).sum()
        };
        sum("cpus") >= 10 || sum("mem") >= 32_000
    }

    /// As messages, allocated to `role`; with a refined reservation or with the older field, as the framework
    /// understands it.
    pub(crate) fn to_messages(&self, role: Option<&str>, refined: bool) -> Vec<v1::Resource> {
        let message = |(key, amount): (&Key, &Amount)| {
            let mut resource = v1::Resource {
                name: key.name.clone(),
                allocation_info: role.map(|role| v1::resource::AllocationInfo { role: Some(role.into()) }),
                ..Default::default()
            };
            match amount {
                Amount::Scalar(value) => {
                    resource.set_type(v1::value::Type::Scalar);
                    resource.scalar = Some(v1::value::Scalar { value: *value as f64 / 1000.0 });
                }
                Amount::Ranges(ranges) => {
                    resource.set_type(v1::value::Type::Ranges);
                    let range = ranges.iter().map(|&(begin, end)| v1::value::Range { begin, end }).collect();
                    resource.ranges = Some(v1::value::Ranges { range });
                }
                Amount::Set(items) => {
                    resource.set_type(v1::value::Type::Set);
                    resource.set = Some(v1::value::Set { item: items.iter().cloned().collect() });
                }
            }
            match (&key.reserved, refined) {
                (Some(reserved), true) => {
                    let mut reservation =
                        v1::resource::ReservationInfo { role: Some(reserved.clone()), ..Default::default() };
                    reservation.set_type(v1::resource::reservation_info::Type::Static);
                    resource.reservations.push(reservation);
                }
                (Some(reserved), false) => resource.role = Some(reserved.clone()),
                (None, true) => {}
                (None, false) => resource.role = Some("*".into()),
            }
            resource
        };
        self.0.iter().map(message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(text: &str) -> Pool {
        Pool::parse(text).unwrap()
    }

    #[test]
    fn arithmetic_is_exact() {
        let mut left = pool("cpus:0.3;ports:[1-10,20-30]");
        for _ in 0..3 {
            assert!(left.contains(&pool("cpus:0.1")));
            left.subtract(&pool("cpus:0.1"));
        }
        left.subtract(&pool("ports:[5-6,20-30]"));
        assert_eq!(left, pool("ports:[1-4,7-10]"));
        left.add(&pool("ports:[5-6]"));
        assert_eq!(left, pool("ports:[1-10]"));
        assert!(!left.contains(&pool("ports:[10-11]")));
    }

    #[test]
    fn reserved_and_unreserved_stay_apart() {
        let all = pool("cpus:1;cpus(web):2");
        assert!(!all.contains(&pool("cpus:2")));
        assert_eq!(all.for_role("db"), pool("cpus:1"));
        assert_eq!(all.for_role("web"), all);
        assert_eq!(Pool::of(&all.to_messages(Some("web"), true)).unwrap(), all);
        assert_eq!(Pool::of(&all.to_messages(Some("web"), false)).unwrap(), all);
    }

    #[test]
    fn texts_that_mean_nothing() {
        for text in ["cpus", "cpus:x", "cpus:-1", "ports:[1]", "ports:[a-b]", "cpus(web:1"] {
            assert!(Pool::parse(text).is_none(), "{text}");
        }
    }
}
