//! Against an oracle that counts single thousandths and single ports, and knows no ranges and no totals.

use alloc::string::ToString;
use alloc::vec;

use proptest::collection::vec as some;
use proptest::prelude::*;

use super::*;

/// A resource without type and value: what makes a bucket.
fn form(resource: &v1::Resource) -> v1::Resource {
    v1::Resource { r#type: 0, scalar: None, ranges: None, set: None, ..resource.clone() }
}

/// One unit: a thousandth of a scalar, or a port.
#[derive(Clone, Debug, PartialEq)]
struct Unit {
    form: v1::Resource,
    port: Option<u16>,
    offer: usize,
}

impl Unit {
    fn is(&self, name: &str, revocable: bool) -> bool {
        self.form.name == name
            && self.form.revocable.is_some() == revocable
            && (self.port.is_some() == (name == "ports"))
    }

    #[allow(deprecated, reason = "one of the two ways to reserve")]
    fn depth(&self) -> usize {
        let role = match self.form.reservations.last() {
            Some(reservation) => reservation.role.clone(),
            None => self.form.role.clone().filter(|role| role != "*"),
        };
        role.map_or(0, |role| role.matches('/').count() + 1)
    }
}

/// The units of one message, whether they may be taken or not.
fn expand(resource: &v1::Resource, offer: usize) -> Vec<Unit> {
    let unit = |port| Unit { form: form(resource), port, offer };
    match resource.r#type() {
        v1::value::Type::Scalar => {
            let value = resource.scalar.map_or(0.0, |scalar| (scalar.value * 1000.0).round());
            let count = if (1.0..1e6).contains(&value) { value as usize } else { 0 };
            vec![unit(None); count]
        }
        v1::value::Type::Ranges if resource.name == "ports" => {
            let ranges = resource.ranges.iter().flat_map(|ranges| &ranges.range);
            let ports =
                ranges.flat_map(|range| (1..=u16::MAX).filter(|&p| (range.begin..=range.end).contains(&p.into())));
            ports.map(|port| unit(Some(port))).collect()
        }
        _ => vec![],
    }
}

/// What may be taken of these offers.
fn oracle(offers: &[Vec<v1::Resource>]) -> Vec<Unit> {
    let mut all: Vec<Unit> = vec![];
    for (index, offer) in offers.iter().enumerate() {
        for resource in offer {
            let is_static = |r: &ReservationInfo| r.r#type() == reservation_info::Type::Static;
            let free = resource.disk.as_ref().is_none_or(|disk| **disk == DiskInfo::default())
                && resource.shared.is_none()
                && resource.provider_id.is_none()
                && resource.reservation.is_none()
                && resource.reservations.iter().all(is_static);
            if free {
                for unit in expand(resource, index) {
                    if unit.port.is_none() || !all.iter().any(|other| other.port == unit.port) {
                        all.push(unit);
                    }
                }
            }
        }
    }
    all
}

/// What a need asks for, in the oracle's own words.
#[derive(Clone, Debug)]
struct Need {
    scalars: Vec<(&'static str, u32)>,
    dynamic: u32,
    fixed: Vec<u16>,
    revocable: Revocable,
}

impl Need {
    fn resources(&self) -> Resources {
        let scalars = self.scalars.iter();
        let need = scalars.fold(need(), |need, &(name, amount)| need.scalar(name, f64::from(amount) / 1000.0));
        let count = self.dynamic + self.fixed.len() as u32;
        need.ports(count).static_ports(self.fixed.iter().copied()).revocable(self.revocable)
    }

    /// Which kinds of resources of this name will do, the better one first.
    fn kinds(&self, name: &str) -> &'static [bool] {
        match self.revocable {
            Revocable::No => &[false],
            Revocable::Only if name == "cpus" => &[true],
            Revocable::Only | Revocable::Prefer => &[true, false],
        }
    }

    /// The kind that each name is to be taken of, `None` if something is missing.
    fn fits(&self, units: &[Unit]) -> Option<BTreeMap<&'static str, bool>> {
        let mut kinds = BTreeMap::new();
        for &(name, amount) in &self.scalars {
            let enough = |kind: &&bool| units.iter().filter(|unit| unit.is(name, **kind)).count() >= amount as usize;
            kinds.insert(name, *self.kinds(name).iter().find(enough)?);
        }
        let enough = |kind: &&bool| {
            let ports: Vec<_> = units.iter().filter(|unit| unit.is("ports", **kind)).map(|unit| unit.port).collect();
            ports.len() >= self.dynamic as usize + self.fixed.len()
                && self.fixed.iter().all(|&port| ports.contains(&Some(port)))
        };
        kinds.insert("ports", *self.kinds("ports").iter().find(enough)?);
        Some(kinds)
    }
}

/// Checks one success, and removes its units from what there was.
fn account(
    need: &Need,
    kinds: &BTreeMap<&str, bool>,
    taken: &Taken,
    units: &mut Vec<Unit>,
    used: &mut BTreeSet<usize>,
    first_port: u16,
) {
    let mut got = vec![];
    for resource in &taken.resources {
        for unit in expand(resource, 0) {
            assert_eq!(kinds.get(&*unit.form.name), Some(&unit.form.revocable.is_some()), "the right kind");
            // The earliest offer that has such a unit.
            let same = |other: &Unit| other.form == unit.form && other.port == unit.port;
            let place = units.iter().position(same).expect("only what was offered");
            let unit = units.remove(place);
            used.insert(unit.offer);
            got.push(unit);
        }
    }
    let forms: Vec<_> = taken.resources.iter().map(form).collect();
    assert!(forms.iter().enumerate().all(|(i, form)| !forms[..i].contains(form)), "one message per bucket");
    for ranges in taken.resources.iter().filter_map(|resource| resource.ranges.as_ref()) {
        assert!(ranges.range.windows(2).all(|pair| pair[0].end + 1 < pair[1].begin), "sorted and coalesced");
    }

    let total: usize = need.scalars.iter().map(|&(_, amount)| amount as usize).sum();
    for &(name, amount) in &need.scalars {
        assert_eq!(got.iter().filter(|unit| unit.form.name == name).count(), amount as usize, "exactly the need");
    }
    let mut ports: Vec<_> = got.iter().filter_map(|unit| unit.port).collect();
    assert_eq!(got.len(), total + ports.len(), "nothing that wasn't asked for");
    ports.sort_unstable();
    let mut listed = taken.ports.clone();
    let (fixed, dynamic) = listed.split_at(need.fixed.len());
    assert_eq!((fixed, dynamic.len()), (&*need.fixed, need.dynamic as usize));
    assert!(dynamic.is_sorted());
    let dynamic = dynamic.to_vec();
    listed.sort_unstable();
    assert_eq!(ports, listed, "the ports of the resources, each once");

    // Nothing better is left: neither deeper reservations of the name, nor ports of the bucket that come before.
    let turn = |unit: &Unit| unit.port.map(|port| (port < first_port, port));
    for unit in got.iter().filter(|unit| unit.port.is_none_or(|port| dynamic.contains(&port))) {
        for rest in units.iter().filter(|rest| rest.is(&unit.form.name, unit.form.revocable.is_some())) {
            assert!(rest.depth() <= unit.depth(), "{rest:?} before {unit:?}");
            assert!(rest.form != unit.form || turn(rest) >= turn(unit), "{rest:?} before {unit:?}");
        }
    }
}

/// What an executor gets is taken from the task's, bucket by bucket, and exactly so much.
fn shares(need: &Need, mut taken: Taken) {
    let own: Vec<_> = need.scalars.iter().map(|&(name, amount)| (name, amount / 2)).collect();
    let before = taken.clone();
    taken.share(&Need { scalars: own.clone(), dynamic: 0, fixed: vec![], revocable: Revocable::No }.resources());
    let units = |resources: &[v1::Resource]| {
        let mut forms: Vec<_> = resources.iter().flat_map(|r| expand(r, 0)).map(|unit| format!("{unit:?}")).collect();
        forms.sort_unstable();
        forms
    };
    let both = [&*taken.resources, &*taken.executor].concat();
    assert_eq!((units(&both), &taken.ports), (units(&before.resources), &before.ports));
    for (name, amount) in own {
        let executor = taken.executor.iter().filter(|resource| resource.name == name).flat_map(|r| expand(r, 0));
        assert_eq!(executor.count(), amount as usize);
    }
}

fn amounts(units: &[Unit], name: &str, revocable: bool) -> i64 {
    units.iter().filter(|unit| unit.is(name, revocable)).count() as i64
}

const NAMES: [&str; 5] = ["cpus", "mem", "disk", "gpus", "x"];

fn range() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![
        8 => (0..30_u64, 0..6_u64).prop_map(|(begin, length)| (begin, begin + length)),
        1 => (0..30_u64, 0..30_u64),
        1 => (65530..65540_u64, 0..9_u64).prop_map(|(begin, length)| (begin, begin + length)),
        1 => Just((u64::MAX - 1, u64::MAX)),
    ]
}

fn value() -> impl Strategy<Value = v1::Resource> {
    let amount = prop_oneof![
        12 => (0..40_u32).prop_map(|amount| f64::from(amount) / 2000.0),
        1 => prop::sample::select(vec![-1.0, f64::NAN, f64::INFINITY, -1e300, 1e300, 1e17]),
    ];
    prop_oneof![
        4 => (prop::sample::select(&NAMES[..]), amount).prop_map(|(name, amount)| scalar(name, amount)),
        3 => some(range(), 0..5).prop_map(|of| ports(&of)),
        1 => some(range(), 0..3).prop_map(|of| ranges("cpus", &of)),
    ]
}

#[allow(deprecated, reason = "one of the two ways to reserve")]
fn resource() -> impl Strategy<Value = v1::Resource> {
    (value(), 0..8_u8, 0..20_u8).prop_map(|(mut resource, owner, odd)| {
        match owner {
            0 => resource = reserved(resource, "web"),
            1 => resource = reserved(resource, "web/shop"),
            2 => resource.role = Some("web".into()),
            3 => resource.role = Some("*".into()),
            _ => {}
        }
        match odd {
            0..=4 => resource = revocable(resource),
            5 => resource.shared = Some(SharedInfo {}),
            6 => resource.provider_id = Some(v1::ResourceProviderId { value: "p".into() }),
            7 => resource.reservation = Some(ReservationInfo::default()),
            8 => resource.reservations.push(reservation(reservation_info::Type::Dynamic, "web/x")),
            9 => resource.disk = Some(DiskInfo { volume: Some(v1::Volume::default()), ..Default::default() }.into()),
            10 => resource.disk = Some(DiskInfo::default().into()),
            _ => {}
        }
        resource
    })
}

fn a_need() -> impl Strategy<Value = Need> {
    let scalars = prop::sample::subsequence(&NAMES[..], 0..3).prop_flat_map(|names| {
        let amounts = some(1..25_u32, names.len());
        amounts.prop_map(move |amounts| names.iter().copied().zip(amounts).collect())
    });
    let fixed = prop::collection::btree_set(1..33_u16, 0..3).prop_map(|ports| ports.into_iter().collect());
    let kind = prop::sample::select(vec![Revocable::No, Revocable::No, Revocable::Prefer, Revocable::Only]);
    (scalars, 0..8_u32, prop_oneof![2 => Just(vec![]), 1 => fixed], kind)
        .prop_map(|(scalars, dynamic, fixed, revocable)| Need { scalars, dynamic, fixed, revocable })
}

proptest! {
    // S77, S90, S91, S105, S107: what is taken and what remains is what was there, per bucket; a take succeeds if and
    // only if the oracle says so; one that fails changes nothing.
    #[test]
    fn nothing_is_lost_or_made_up(
        offered in some(some(resource(), 0..8), 1..4),
        needs in some(a_need(), 1..8),
        first in prop_oneof![Just(0_u16), any::<u16>(), 1..20_u16],
    ) {
        let mut pool = pool(&offered);
        pool.start_ports_at(first);
        let mut units = oracle(&offered);
        let mut offers = BTreeSet::new();
        for need in needs {
            let resources = need.resources();
            prop_assert_eq!(resources.problems().iter().filter(|p| **p != ResourceProblem::FractionalGpus).count(), 0);
            let before = format!("{pool:?}");
            let fits = pool.fits(&resources);
            match (need.fits(&units), pool.take(&resources)) {
                (Some(kinds), Ok(taken)) => {
                    prop_assert_eq!(fits, Ok(()));
                    account(&need, &kinds, &taken, &mut units, &mut offers, first);
                    shares(&need, taken);
                }
                (None, Err(short)) => {
                    prop_assert!(!short.missing().is_empty() && !short.to_string().is_empty());
                    prop_assert_eq!(fits, Err(short));
                    prop_assert_eq!(format!("{pool:?}"), before);
                }
                (kinds, taken) => prop_assert!(false, "{:?}, but {:?}", kinds, taken),
            }
            for (name, kind) in NAMES.into_iter().flat_map(|name| [(name, false), (name, true)]) {
                prop_assert_eq!(pool.amount(name, kind), amounts(&units, name, kind));
            }
            prop_assert_eq!(used(&pool), offers.iter().copied().collect::<Vec<_>>());
        }
        // To the last unit, of both kinds.
        for kind in [Revocable::No, Revocable::Prefer] {
            let scalars = NAMES.map(|name| (name, amounts(&units, name, kind != Revocable::No) as u32));
            let dynamic = amounts(&units, "ports", kind != Revocable::No) as u32;
            let rest = Need { scalars: scalars.into(), dynamic, fixed: vec![], revocable: kind };
            let kinds = rest.fits(&units).unwrap();
            let taken = pool.take(&rest.resources()).unwrap();
            let rest = Need { scalars: scalars.into_iter().filter(|&(_, amount)| amount > 0).collect(), ..rest };
            account(&rest, &kinds, &taken, &mut units, &mut offers, first);
        }
        prop_assert_eq!(units, vec![]);
    }

    // W31: what a thousandth is doesn't depend on the way through doubles, nor do sums.
    #[test]
    fn thousandths_survive_doubles(amount in -MOST..=MOST) {
        prop_assert_eq!(thousandths(double(amount)), Some(amount));
    }

    #[test]
    fn rounding_is_half_away_from_zero(value in -1e12..1e12) {
        prop_assert_eq!(thousandths(value), Some((value * 1000.0).round() as i64));
    }
}
