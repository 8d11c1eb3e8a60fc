//! Rule by rule; the laws are in `laws`.

mod laws;

use alloc::string::ToString;
use alloc::{format, vec};
use core::time::Duration;

use prost::Message as _;

use super::*;
use crate::v1;
use crate::wire::{Offers, Parsed, scheduler_event};
use v1::resource::{AllocationInfo, DiskInfo, ReservationInfo, RevocableInfo, SharedInfo, disk_info, reservation_info};

fn named(name: &str) -> v1::Resource {
    let allocation_info = Some(AllocationInfo { role: Some("web".into()) });
    v1::Resource { name: name.into(), allocation_info, ..Default::default() }
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    let mut resource = named(name);
    resource.set_type(v1::value::Type::Scalar);
    resource.scalar = Some(v1::value::Scalar { value });
    resource
}

fn ranges(name: &str, ranges: &[(u64, u64)]) -> v1::Resource {
    let mut resource = named(name);
    resource.set_type(v1::value::Type::Ranges);
    let range = ranges.iter().map(|&(begin, end)| v1::value::Range { begin, end }).collect();
    resource.ranges = Some(v1::value::Ranges { range });
    resource
}

fn ports(of: &[(u64, u64)]) -> v1::Resource {
    ranges("ports", of)
}

fn reservation(kind: reservation_info::Type, role: &str) -> ReservationInfo {
    ReservationInfo { role: Some(role.into()), r#type: Some(kind.into()), ..Default::default() }
}

fn reserved(mut resource: v1::Resource, role: &str) -> v1::Resource {
    resource.reservations.push(reservation(reservation_info::Type::Static, role));
    resource
}

fn revocable(mut resource: v1::Resource) -> v1::Resource {
    resource.revocable = Some(RevocableInfo {});
    resource
}

/// The offers of one agent and role, as they come from a master.
fn offers(of: &[Vec<v1::Resource>]) -> Offers {
    let offer = |resources: &Vec<v1::Resource>| v1::Offer { resources: resources.clone(), ..Default::default() };
    let event = v1::scheduler::Event {
        r#type: Some(v1::scheduler::event::Type::Offers.into()),
        offers: Some(v1::scheduler::event::Offers { offers: of.iter().map(offer).collect() }),
        ..Default::default()
    };
    match scheduler_event(&event.encode_to_vec().into()) {
        Ok(Parsed::Offers(offers, bad)) if bad.is_empty() => offers,
        other => panic!("offers, not {other:?}"),
    }
}

fn pool(of: &[Vec<v1::Resource>]) -> Pool {
    let mut pool = Pool::new();
    for (index, offer) in offers(of).iter().enumerate() {
        pool.add(index, offer.resources());
    }
    pool
}

fn used(pool: &Pool) -> Vec<usize> {
    pool.offers_used().collect()
}

fn need() -> Resources {
    Resources::new()
}

// W31: what is asked for is in thousandths, rounded as Mesos does, so equal needs are equal.
#[test]
fn amounts_are_thousandths() {
    for (value, expected) in [
        (0.0, 0),
        (1.0, 1000),
        (0.1 + 0.2, 300),
        (0.0005, 1),
        (0.00049, 0),
        (1.0015, 1002),
        (2.5, 2500),
        (-0.0005, -1),
        (-0.00049, 0),
        (1e9 + 0.0004, 1_000_000_000_000),
        (1e12, 1_000_000_000_000_000),
    ] {
        assert_eq!(thousandths(value), Some(expected), "{value}");
        assert_eq!(thousandths(double(expected)), Some(expected));
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1.2e12, -1.2e12, 1e300] {
        assert_eq!(thousandths(value), None, "{value}");
    }
    assert_eq!(need().cpus(0.1 + 0.2), need().cpus(0.3));
    assert_eq!(need().cpus(0.0001), need().cpus(0.001), "never rounded to nothing");
    assert_eq!(need().scalar("cpus", 1.0).scalar("mem", 2.0), need().mem(2.0).cpus(1.0));
    assert_ne!(need().cpus(0.1), need().cpus(0.101));
}

#[test]
fn zero_is_nothing() {
    let zero = need().cpus(1.0).cpus(0.0).mem(-0.0).disk(0.0).scalar("x", 0.0).ports(0).static_ports([]);
    assert_eq!((zero.clone(), zero.problems()), (need(), vec![]));
    let mut pool = pool(&[vec![scalar("cpus", 1.0)]]);
    assert_eq!(pool.take(&zero), Ok(Taken { resources: vec![], ports: vec![], executor: vec![] }));
    assert_eq!(used(&pool), []);
}

// S37, W27, and what Mesos refuses: everything is reported at once.
#[test]
fn what_cannot_be_asked_for() {
    let fine = need().cpus(0.5).mem(1.0).disk(1.0).gpus(2.0).scalar("x", 0.1).ports(2).static_ports([2, 1]);
    assert_eq!(fine.problems(), []);
    let bad = need().cpus(-0.0001).mem(f64::NAN).disk(1e13).gpus(0.5).scalar("", 1.0).scalar("ports", f64::INFINITY);
    let expected = [
        ResourceProblem::Negative("cpus".into()),
        ResourceProblem::NotFinite("mem".into()),
        ResourceProblem::TooLarge("disk".into()),
        ResourceProblem::FractionalGpus,
        ResourceProblem::NoName,
        ResourceProblem::ScalarPorts,
        ResourceProblem::NotFinite("ports".into()),
        ResourceProblem::TooManyStaticPorts { ports: 1, static_ports: 2 },
        ResourceProblem::PortZero,
        ResourceProblem::DuplicatePort(9),
    ];
    assert_eq!(bad.ports(1).static_ports([9, 0, 9, 9]).problems(), expected);
    assert_eq!(need().static_ports([1]).problems(), [ResourceProblem::PortsMissing]);
    assert_eq!(need().cpus(f64::NEG_INFINITY).problems(), [ResourceProblem::NotFinite("cpus".into())]);
}

#[test]
fn what_cannot_be_asked_for_is_not_given() {
    let pool = pool(&[vec![scalar("cpus", 1e12), ports(&[(0, 70000)])]]);
    for bad in [need().cpus(-1.0), need().cpus(f64::NAN), need().cpus(1e13), need().ports(1).static_ports([0])] {
        assert!(pool.fits(&bad).is_err(), "{bad}");
    }
    assert!(pool.fits(&need().static_ports([1, 2])).is_ok());
    assert!(pool.fits(&need().ports(u32::MAX)).is_err());
}

#[test]
fn needs_as_text() {
    assert_eq!(need().to_string(), "{}");
    assert_eq!(need().ports(2).to_string(), "ports:2");
    let all = need().scalar("x", 12.345).gpus(1.0).mem(0.01).cpus(0.5).disk(f64::NAN).ports(3).static_ports([9001, 80]);
    assert_eq!(all.to_string(), "cpus:0.5; mem:0.01; disk:?; gpus:1; x:12.345; ports:3 with 80,9001");
}

// S66: several resources of one name add up; S75: no disk unless asked for; S94: others are left alone.
#[test]
fn scalars_add_up_and_nothing_else_is_taken() {
    let mut pool = pool(&[vec![
        scalar("cpus", 1.0),
        scalar("disk", 1000.0),
        scalar("gpus", 2.0),
        ranges("portsa", &[(1, 9)]),
        scalar("cpus", 0.5),
        scalar("mem", 64.0),
    ]]);
    assert_eq!(pool.amount("cpus", false), 1500);
    let taken = pool.take(&need().cpus(1.25).mem(64.0)).unwrap();
    assert_eq!(
        taken,
        Taken { resources: vec![scalar("cpus", 1.25), scalar("mem", 64.0)], ports: vec![], executor: vec![] }
    );
    let taken = pool.take(&need().disk(0.5).cpus(0.25)).unwrap();
    assert_eq!(taken.resources, [scalar("cpus", 0.25), scalar("disk", 0.5)]);
    assert_eq!((pool.amount("gpus", false), pool.amount("disk", false)), (2000, 999_500));
    assert!(pool.fits(&need().ports(1)).is_err());
    assert!(pool.fits(&need().gpus(2.0)).is_ok());
}

// S107, W31: three times 0.1 fits into 0.3, and 0.30000000000000004 is never sent.
#[test]
fn three_tenths() {
    let mut third = pool(&[vec![scalar("cpus", 0.3)]]);
    for _ in 0..3 {
        assert_eq!(third.take(&need().cpus(0.1)).unwrap().resources, [scalar("cpus", 0.1)]);
    }
    assert_eq!(third.amount("cpus", false), 0);
    let mut pool = pool(&[vec![scalar("cpus", 0.1), scalar("cpus", 0.2)]]);
    assert_eq!(pool.take(&need().cpus(0.3)).unwrap().resources, [scalar("cpus", 0.3)]);
}

// S76: lowest first, across ranges; S77: coalesced, part of the offer.
#[test]
fn twelve_ports_over_two_ranges() {
    let mut pool = pool(&[vec![ports(&[(9000, 9009), (31000, 31005)])]]);
    let taken = pool.take(&need().ports(12)).unwrap();
    assert_eq!(taken.ports, (9000..=9009).chain(31000..=31001).collect::<Vec<_>>());
    assert_eq!(taken.resources, [ports(&[(9000, 9009), (31000, 31001)])]);
    assert_eq!(pool.take(&need().ports(4)).unwrap().ports, [31002, 31003, 31004, 31005]);
}

// S36, S86: PORT0 and PORT1 are 8081 and 8082, in the order of their numbers; S92, W29: nobody else gets them.
#[test]
fn static_ports_in_one_range() {
    let mut far = pool(&[vec![ports(&[(9000, 10_009)])]]);
    assert_eq!(far.take(&need().ports(2).static_ports([10_000, 9001])).unwrap().ports, [9001, 10_000]);
    let mut pool = pool(&[vec![ports(&[(8080, 8089)]), ports(&[(8082, 8082)])]]);
    let fixed = need().ports(2).static_ports([8082, 8081]);
    let taken = pool.take(&fixed).unwrap();
    assert_eq!((taken.ports, taken.resources), (vec![8081, 8082], vec![ports(&[(8081, 8082)])]));
    let short = pool.fits(&fixed).unwrap_err();
    assert_eq!(short.missing(), [Missing::StaticPorts(vec![8081, 8082])]);
    assert_eq!(short.to_string(), "not available: port 8081, 8082");
    assert_eq!(pool.take(&need().ports(3)).unwrap().ports, [8080, 8083, 8084]);
}

// S87, W28: over two ranges, which may come in any order, overlap, or be split for no reason.
#[test]
fn static_ports_over_two_ranges() {
    for offered in [
        &[(9000, 9009), (8080, 8089)][..],
        &[(8080, 8089), (9000, 9009)],
        &[(9000, 9001), (8080, 8085), (8083, 8089), (9002, 9009), (9000, 9009)],
    ] {
        let mut pool = pool(&[vec![ports(offered)]]);
        let taken = pool.take(&need().ports(2).static_ports([9001, 8081])).unwrap();
        assert_eq!(taken.ports, [8081, 9001]);
        assert_eq!(taken.resources, [ports(&[(8081, 8081), (9001, 9001)])]);
        assert!(pool.fits(&need().ports(18)).is_ok() && pool.fits(&need().ports(19)).is_err());
    }
}

// S88: 31 ports, two of them static.
#[test]
fn static_ports_and_others() {
    let mut pool = pool(&[vec![ports(&[(8080, 8099), (9000, 9019)])]]);
    let taken = pool.take(&need().ports(31).static_ports([8081, 9001])).unwrap();
    let rest = (8080..=8099).chain(9000..=9011).filter(|port| ![8081, 9001].contains(port));
    assert_eq!(taken.ports, [8081, 9001].into_iter().chain(rest).take(31).collect::<Vec<u16>>());
    assert_eq!(taken.resources, [ports(&[(8080, 8099), (9000, 9010)])]);
}

// S89, S90, W25: above, below, between; by number, not by text.
#[test]
fn static_ports_outside_the_offer() {
    let before = pool(&[vec![ports(&[(9000, 9009), (9100, 9109)])]]);
    for port in [8999, 9010, 9099, 9110, 10000, 1, u16::MAX] {
        let mut pool = before.clone();
        let short = pool.take(&need().ports(2).static_ports([9001, port])).unwrap_err();
        assert_eq!(short.missing(), [Missing::StaticPorts(vec![port])]);
        assert_eq!(format!("{pool:?}"), format!("{before:?}"));
    }
}

// S91, W24: ports fail, and cpus are still there for the next task.
#[test]
fn a_failed_take_changes_nothing() {
    let mut pool = pool(&[vec![scalar("cpus", 1.0), scalar("mem", 64.0), ports(&[(1, 40)])]]);
    let before = format!("{pool:?}");
    // S93: 50 of 40.
    let short = pool.take(&need().cpus(1.0).mem(64.5).disk(1.0).ports(50).static_ports([7, 41])).unwrap_err();
    assert_eq!(format!("{pool:?}"), before);
    assert_eq!(
        short.missing(),
        [
            Missing::Scalar { name: ResourceName::Mem, asked: 64_500, available: 64_000 },
            Missing::Scalar { name: ResourceName::Disk, asked: 1000, available: 0 },
            Missing::Ports { asked: 50, available: 40 },
            Missing::StaticPorts(vec![41]),
        ]
    );
    assert_eq!(
        short.to_string(),
        "mem: 64.5 asked, 64 available; disk: 1 asked, 0 available; ports: 50 asked, 40 available; \
         not available: port 41"
    );
    assert!(pool.take(&need().cpus(1.0).mem(64.0).ports(40)).is_ok());
}

// S105, W23: 2 + 2 cpus, a task of 3; each part keeps what the offer says about it.
#[test]
fn a_need_may_be_split_over_buckets() {
    let mine = |value| reserved(scalar("cpus", value), "web");
    let mut pool = pool(&[vec![scalar("cpus", 2.0), mine(2.0)]]);
    assert_eq!(pool.take(&need().cpus(3.0)).unwrap().resources, [mine(2.0), scalar("cpus", 1.0)]);
    assert_eq!(pool.take(&need().cpus(1.0)).unwrap().resources, [scalar("cpus", 1.0)]);
}

// The deepest role's reservation first, since fewest can use it; ports as everything else.
#[test]
fn reserved_goes_first() {
    let offered = vec![
        ports(&[(1, 9)]),
        scalar("cpus", 1.0),
        reserved(scalar("cpus", 1.0), "web"),
        reserved(scalar("cpus", 1.0), "web/shop/cart"),
        reserved(scalar("cpus", 1.0), "web/shop"),
        reserved(ports(&[(20, 21)]), "web"),
    ];
    let mut pool = pool(&[offered]);
    let taken = pool.take(&need().cpus(3.5).ports(4).static_ports([5])).unwrap();
    let roles = taken.resources.iter().map(|r| r.reservations.first().and_then(|r| r.role.as_deref()));
    let expected = [Some("web/shop/cart"), Some("web/shop"), Some("web"), None, None, Some("web")];
    assert_eq!(roles.collect::<Vec<_>>(), expected);
    assert_eq!(taken.ports, [5, 1, 20, 21]);
    assert_eq!(taken.resources[4..], [ports(&[(1, 1), (5, 5)]), reserved(ports(&[(20, 21)]), "web")]);
}

// The same from a master that doesn't know refined reservations.
#[test]
#[allow(deprecated, reason = "the older field is what is tested")]
fn the_older_role_field_is_a_static_reservation() {
    let with = |role: &str, value| v1::Resource { role: Some(role.into()), ..scalar("cpus", value) };
    let mut pool = pool(&[vec![with("*", 1.0), with("web", 1.0)]]);
    assert_eq!(pool.take(&need().cpus(1.5)).unwrap().resources, [with("web", 1.0), with("*", 0.5)]);
}

#[test]
fn what_is_never_taken() {
    let dynamic = reservation(reservation_info::Type::Dynamic, "web");
    let label = v1::Label { key: "k".into(), value: None };
    let old = [
        ReservationInfo { principal: Some("p".into()), ..Default::default() },
        ReservationInfo { labels: Some(v1::Labels { labels: vec![label] }), ..Default::default() },
    ];
    let disk = |disk: DiskInfo| v1::Resource { disk: Some(disk.into()), ..scalar("disk", 100.0) };
    let persistence = disk_info::Persistence { id: "v".into(), principal: None };
    let mut source = disk_info::Source::default();
    source.set_type(disk_info::source::Type::Mount);
    let cpus = || scalar("cpus", 100.0);
    let mut foreign = vec![
        v1::Resource { reservations: vec![dynamic.clone()], ..cpus() },
        v1::Resource { reservations: vec![dynamic], ..reserved(cpus(), "web") },
        v1::Resource {
            reservations: vec![ReservationInfo { role: Some("web".into()), ..Default::default() }],
            ..cpus()
        },
        v1::Resource { shared: Some(SharedInfo {}), ..cpus() },
        v1::Resource { provider_id: Some(v1::ResourceProviderId { value: "p".into() }), ..cpus() },
        disk(DiskInfo { persistence: Some(persistence), ..Default::default() }),
        disk(DiskInfo { volume: Some(v1::Volume::default()), ..Default::default() }),
        disk(DiskInfo { source: Some(source), ..Default::default() }),
        v1::Resource { provider_id: Some(v1::ResourceProviderId { value: "p".into() }), ..ports(&[(1, 9)]) },
    ];
    let mut refined = reserved(cpus(), "web");
    refined.reservations.push(reservation(reservation_info::Type::Dynamic, "web/shop"));
    foreign.push(refined);
    foreign.extend(old.map(|reservation| v1::Resource { reservation: Some(reservation), ..cpus() }));
    foreign.push(disk(DiskInfo::default()));
    let pool = pool(&[foreign]);
    assert_eq!((pool.amount("cpus", false), pool.amount("cpus", true)), (0, 0));
    assert_eq!(pool.amount("disk", false), 100_000, "an empty DiskInfo says nothing");
    assert!(pool.fits(&need().ports(1)).is_err());
}

#[test]
fn malformed_resources_are_ignored() {
    let mut wrong_type = scalar("cpus", 1.0);
    wrong_type.set_type(v1::value::Type::Ranges);
    let mut no_value = scalar("cpus", 1.0);
    no_value.scalar = None;
    let huge = [-1.0, f64::NAN, f64::INFINITY, f64::MAX, 1e200, -0.0].map(|value| scalar("cpus", value));
    let odd = [(9, 8), (5, 5), (u64::MAX, 0), (0, 0), (65535, u64::MAX), (65536, 70000), (5, 6), (u64::MAX, u64::MAX)];
    let mut resources = vec![wrong_type, no_value, ports(&odd), scalar("ports", 9.0), ranges("cpus", &[(1, 2)])];
    resources.extend(huge);
    let mut pool = pool(&[resources, vec![scalar("cpus", 1e12), scalar("cpus", 1e12), scalar("mem", 1e12)]]);
    assert_eq!(pool.amount("cpus", false), 1_000_000_000_000_000, "the second would be too much");
    let taken = pool.take(&need().ports(3)).unwrap();
    assert_eq!((taken.ports, taken.resources), (vec![5, 6, 65535], vec![ports(&[(5, 6), (65535, 65535)])]));
    assert!(pool.fits(&need().ports(1)).is_err());
}

// A hundred thousand resources that differ, and one that is looked at no more.
#[test]
fn a_mad_offer_costs_little() {
    let mad: Vec<_> = (0..100_000).map(|n| scalar(&format!("x{n}"), 1.0)).chain([scalar("cpus", 1.0)]).collect();
    let pool = pool(&[mad]);
    assert_eq!((pool.amount("x255", false), pool.amount("x256", false), pool.amount("cpus", false)), (1000, 0, 0));
}

// Mesos: "Cannot use both revocable and non-revocable 'cpus' at the same time".
#[test]
fn revocable_never_mixes() {
    let offered = vec![
        revocable(scalar("cpus", 2.0)),
        scalar("cpus", 3.0),
        scalar("mem", 64.0),
        revocable(ports(&[(1, 4)])),
        ports(&[(11, 19)]),
    ];
    let before = pool(&[offered]);
    let take = |need: Resources| before.clone().take(&need);
    let small = need().cpus(1.5).mem(1.0).ports(4);
    let big = need().cpus(2.5).ports(5);
    assert_eq!(take(small.clone()).unwrap().resources[0], scalar("cpus", 1.5));
    for kind in [Revocable::Prefer, Revocable::Only] {
        let taken = take(small.clone().revocable(kind)).unwrap();
        assert_eq!(taken.resources, [revocable(scalar("cpus", 1.5)), scalar("mem", 1.0), revocable(ports(&[(1, 4)]))]);
        assert_eq!(take(need().ports(1).static_ports([12]).revocable(kind)).unwrap().ports, [12]);
        assert_eq!(take(need().ports(2).static_ports([3]).revocable(kind)).unwrap().ports, [3, 1]);
    }
    let taken = take(big.clone().revocable(Revocable::Prefer)).unwrap();
    assert_eq!(taken.resources, [scalar("cpus", 2.5), ports(&[(11, 15)])]);
    let short = take(big.revocable(Revocable::Only)).unwrap_err();
    assert_eq!(short.to_string(), "cpus: 2.5 asked, 2 available");
    let short = take(need().cpus(5.0).ports(13).revocable(Revocable::Prefer)).unwrap_err();
    assert_eq!(short.to_string(), "cpus: 5 asked, 3 available; ports: 13 asked, 9 available");
}

// An ACCEPT names just the offers that it draws from.
#[test]
fn earlier_offers_first_and_only_those_needed() {
    let mine = |value| reserved(scalar("cpus", value), "web");
    let mut pool = pool(&[
        vec![scalar("cpus", 1.0), scalar("mem", 10.0)],
        vec![scalar("cpus", 1.0), scalar("mem", 10.0), ports(&[(7, 9)])],
        vec![scalar("cpus", 1.0), ports(&[(1, 8)])],
        vec![mine(0.5), scalar("mem", 10.0)],
    ]);
    let one = pool.take(&need().mem(10.0)).unwrap();
    assert_eq!((one.resources, used(&pool)), (vec![scalar("mem", 10.0)], vec![0]));
    // Port 7 is the first offer's that had it.
    assert_eq!(pool.take(&need().ports(6)).unwrap().ports, [1, 2, 3, 4, 5, 6]);
    assert_eq!(used(&pool), [0, 2]);
    assert_eq!(pool.take(&need().cpus(0.5)).unwrap().resources, [mine(0.5)]);
    assert_eq!(used(&pool), [0, 2, 3]);
    let merged = pool.take(&need().cpus(1.5).mem(15.0)).unwrap();
    assert_eq!((merged.resources, used(&pool)), (vec![scalar("cpus", 1.5), scalar("mem", 15.0)], vec![0, 1, 2, 3]));
}

// W29: no port twice on one agent, whichever offer or reservation it comes in, given away or not.
#[test]
fn a_port_counts_once() {
    let twice = [vec![ports(&[(5, 6)]), ports(&[(6, 7)]), reserved(ports(&[(7, 8)]), "web")], vec![ports(&[(1, 8)])]];
    let mut pool = pool(&twice);
    assert!(pool.fits(&need().ports(9)).is_err());
    let taken = pool.take(&need().ports(8)).unwrap();
    assert_eq!(taken.ports, [1, 2, 3, 4, 5, 6, 7, 8]);
    let again = offers(&twice);
    for offer in again.iter() {
        pool.add(2, offer.resources());
    }
    assert!(pool.fits(&need().ports(1)).is_err());
}

// S107, W30. In as many pieces as there can be it takes longer in a debug build, but not as the square.
#[test]
fn sixty_thousand_ports_in_ten_milliseconds() {
    let whole = offers(&[vec![ports(&[(1, 65535)])]]);
    let pieces = offers(&[vec![ports(&(0..65536).step_by(2).map(|port| (port, port)).collect::<Vec<_>>())]]);
    for (offers, count, limit) in [(whole, 60_000, 10), (pieces, 32_000, 1000)] {
        let run = || {
            let start = std::time::Instant::now();
            let mut pool = Pool::new();
            pool.add(0, offers.iter().flat_map(crate::OfferRef::resources));
            let fixed = need().ports(count).static_ports([40_000, 50_000]);
            assert_eq!(pool.take(&fixed).unwrap().ports.len(), count as usize);
            start.elapsed()
        };
        // The quickest of some, since other tests run beside this one.
        let quickest = (0..6).map(|_| run()).min().unwrap();
        assert!(quickest < Duration::from_millis(limit), "{quickest:?}");
    }
}
