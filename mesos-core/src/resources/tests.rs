//! Rule by rule, then laws against an oracle that counts single units.

use alloc::string::ToString;
use alloc::vec;

use prost::Message as _;

use super::*;
use crate::v1;
use crate::wire::{Offers, Parsed, scheduler_event};

fn base(name: &str) -> v1::Resource {
    v1::Resource {
        name: name.into(),
        allocation_info: Some(v1::resource::AllocationInfo { role: Some("a/b".into()) }),
        ..Default::default()
    }
}

fn scalar(name: &str, value: f64) -> v1::Resource {
    let mut resource = base(name);
    resource.set_type(v1::value::Type::Scalar);
    resource.scalar = Some(v1::value::Scalar { value });
    resource
}

fn ranges(name: &str, ranges: &[(u64, u64)]) -> v1::Resource {
    let mut resource = base(name);
    resource.set_type(v1::value::Type::Ranges);
    let range = ranges.iter().map(|&(begin, end)| v1::value::Range { begin, end }).collect();
    resource.ranges = Some(v1::value::Ranges { range });
    resource
}

fn offers(offers: &[Vec<v1::Resource>]) -> Offers {
    let offer = |resources: &Vec<v1::Resource>| v1::Offer { resources: resources.clone(), ..Default::default() };
    let event = v1::scheduler::Event {
        r#type: Some(v1::scheduler::event::Type::Offers.into()),
        offers: Some(v1::scheduler::event::Offers { offers: offers.iter().map(offer).collect() }),
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

#[test]
fn basic_take() {
    let mut pool = pool(&[vec![scalar("cpus", 2.0), scalar("mem", 64.0), ranges("ports", &[(10, 20), (1, 3)])]]);
    let taken = pool.take(&Resources::new().cpus(0.5).mem(64.0).ports(4)).unwrap();
    assert_eq!(taken.ports, [1, 2, 3, 10]);
    assert_eq!(taken.resources, [scalar("cpus", 0.5), scalar("mem", 64.0), ranges("ports", &[(1, 3), (10, 10)])]);
    assert_eq!(pool.amount("cpus", false), 1500);
    assert_eq!(pool.offers_used().collect::<Vec<_>>(), [0]);
    let short = pool.take(&Resources::new().cpus(2.0).mem(0.5).ports(11).static_ports([1])).unwrap_err();
    assert_eq!(
        short.to_string(),
        "cpus: 2 asked, 1.5 available; mem: 0.5 asked, 0 available; ports: 11 asked, 10 available; not available: port 1"
    );
}
