//! The offers of one event, as views.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;
use mesos_proto::{Described, check};
use prost::Message as _;

use super::{BadOffer, INNER, OFFERS, ResourceRef, normal, number, repeated, single, span, text};
use crate::v1;

/// The offers of one OFFERS event.
///
/// They stay as they came, in one piece of memory, and are read when looked at; keeping one keeps the whole event.
/// `Send`, cheap to move, cheap enough to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Offers {
    record: Bytes,
    spans: Vec<Range<usize>>,
}

impl Offers {
    /// How many offers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The offers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = OfferRef<'_>> + Clone {
        self.spans.iter().map(|span| OfferRef(self.record.get(span.clone()).unwrap_or_default()))
    }

    /// Leaves the others out.
    pub(crate) fn retain(&mut self, keep: impl Fn(OfferRef<'_>) -> bool) {
        let record = &self.record;
        self.spans.retain(|span| keep(OfferRef(record.get(span.clone()).unwrap_or_default())));
    }

    /// The ids of all offers.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.iter().map(OfferRef::id)
    }
}

impl fmt::Debug for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One offer: resources of one agent, for one role.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OfferRef<'a>(&'a [u8]);

impl<'a> OfferRef<'a> {
    /// The offer's id; it can be used once.
    #[must_use]
    pub fn id(self) -> &'a str {
        text(span(self.0, &[1, 1]))
    }

    /// The agent.
    #[must_use]
    pub fn agent_id(self) -> &'a str {
        text(span(self.0, &[3, 1]))
    }

    /// The agent's host name.
    #[must_use]
    pub fn hostname(self) -> &'a str {
        text(single(self.0, 4))
    }

    /// The role that the resources are offered to; frameworks without MULTI_ROLE aren't told.
    #[must_use]
    pub fn role(self) -> Option<&'a str> {
        span(self.0, &[10, 1]).map(|role| text(Some(role)))
    }

    /// What is offered.
    pub fn resources(self) -> impl Iterator<Item = ResourceRef<'a>> + Clone {
        repeated(self.0, 5).map(ResourceRef::new)
    }

    /// The agent's attributes.
    pub fn attributes(self) -> impl Iterator<Item = v1::Attribute> + Clone + 'a {
        // Checked, so they decode.
        repeated(self.0, 7).map(|attribute| v1::Attribute::decode(attribute).unwrap_or_default())
    }

    /// When the agent will be unavailable: the beginning in nanoseconds since 1970, and for how many nanoseconds
    /// (without end if not said).
    #[must_use]
    pub fn unavailability(self) -> Option<(i64, Option<i64>)> {
        let unavailability = single(self.0, 9)?;
        let start = number(single(unavailability, 1)?, 1)?;
        let duration = single(unavailability, 2).and_then(|duration| number(duration, 1));
        Some((start as i64, duration.map(|duration| duration as i64)))
    }

    /// The message in full.
    #[must_use]
    pub fn to_owned(self) -> v1::Offer {
        // Checked, so it decodes.
        v1::Offer::decode(self.0).unwrap_or_default()
    }

    /// The serialized `Offer`.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for OfferRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfferRef").field("id", &self.id()).field("hostname", &self.hostname()).finish_non_exhaustive()
    }
}

/// Reads an OFFERS event. Each offer stands alone: one that is invalid doesn't take the others with it.
pub(super) fn parse(record: &Bytes) -> Result<(Offers, Vec<BadOffer>), String> {
    let base = record.as_ptr() as usize;
    let count = repeated(record, OFFERS).map(|offers| repeated(offers, INNER).count()).sum();
    let mut offers = Offers { record: record.clone(), spans: Vec::with_capacity(count) };
    let (mut bad, mut odd) = (Vec::new(), false);
    let mut there = false;
    for list in repeated(record, OFFERS) {
        there = true;
        for offer in repeated(list, INNER) {
            match check(v1::Offer::descriptor(), offer) {
                Ok(checked) => {
                    odd |= checked.unknown_enum || checked.repeated_singular;
                    let start = offer.as_ptr() as usize - base;
                    offers.spans.push(start..start + offer.len());
                }
                Err(invalid) => {
                    let index = offers.len() + bad.len();
                    let id = span(offer, &[1, 1]).and_then(|id| core::str::from_utf8(id).ok()).map(ToString::to_string);
                    bad.push(BadOffer { path: alloc::format!("offers.offers[{index}].{invalid}"), id });
                }
            }
        }
    }
    if !there {
        return Err("offers: missing".into());
    }
    if odd {
        offers = rewritten(&offers);
    }
    Ok((offers, bad))
}

/// The same offers in a memory of their own, each in normal form.
#[cold]
fn rewritten(offers: &Offers) -> Offers {
    let (mut record, mut spans) = (Vec::with_capacity(offers.record.len()), Vec::with_capacity(offers.len()));
    for span in &offers.spans {
        let offer = offers.record.slice(span.clone());
        let start = record.len();
        if let Ok(checked) = check(v1::Offer::descriptor(), &offer) {
            record.extend_from_slice(&normal::<v1::Offer>(offer, checked));
        }
        spans.push(start..record.len());
    }
    Offers { record: record.into(), spans }
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, ResourceValue, scheduler_event};
    use super::*;
    use alloc::vec;
    use v1::scheduler::{Event, event};

    fn scalar(name: &str, value: f64) -> v1::Resource {
        v1::Resource {
            name: name.into(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value }),
            allocation_info: Some(v1::resource::AllocationInfo { role: Some("web".into()) }),
            ..Default::default()
        }
    }

    fn offer(id: &str) -> v1::Offer {
        let ports = v1::value::Ranges {
            range: vec![v1::value::Range { begin: 31000, end: 32000 }, v1::value::Range { begin: 1, end: 1 }],
        };
        v1::Offer {
            id: v1::OfferId { value: id.into() },
            framework_id: v1::FrameworkId { value: "f".into() },
            agent_id: v1::AgentId { value: "a1".into() },
            hostname: "host-1".into(),
            resources: vec![
                scalar("cpus", 2.5),
                v1::Resource {
                    name: "ports".into(),
                    r#type: v1::value::Type::Ranges.into(),
                    ranges: Some(ports),
                    reservations: vec![v1::resource::ReservationInfo {
                        role: Some("web".into()),
                        ..Default::default()
                    }],
                    ..Default::default()
                },
                v1::Resource {
                    name: "zones".into(),
                    r#type: v1::value::Type::Set.into(),
                    set: Some(v1::value::Set { item: vec!["a".into(), "b".into()] }),
                    revocable: Some(v1::resource::RevocableInfo {}),
                    ..Default::default()
                },
            ],
            attributes: vec![v1::Attribute {
                name: "rack".into(),
                r#type: v1::value::Type::Text.into(),
                text: Some(v1::value::Text { value: "r1".into() }),
                ..Default::default()
            }],
            allocation_info: Some(v1::resource::AllocationInfo { role: Some("web".into()) }),
            unavailability: Some(v1::Unavailability {
                start: v1::TimeInfo { nanoseconds: 7 },
                duration: Some(v1::DurationInfo { nanoseconds: 9 }),
            }),
            ..Default::default()
        }
    }

    fn event(offers: Vec<v1::Offer>) -> Event {
        Event { r#type: Some(event::Type::Offers.into()), offers: Some(event::Offers { offers }), ..Default::default() }
    }

    fn parsed(record: Vec<u8>) -> (Offers, Vec<BadOffer>) {
        match scheduler_event(&record.into()) {
            Ok(Parsed::Offers(offers, bad)) => (offers, bad),
            other => panic!("offers, not {other:?}"),
        }
    }

    #[test]
    fn views_say_what_the_messages_say() {
        let originals = vec![offer("o1"), offer("o2")];
        let (offers, bad) = parsed(event(originals.clone()).encode_to_vec());
        assert_eq!((offers.len(), bad.len()), (2, 0));
        assert!(offers.iter().map(OfferRef::to_owned).eq(originals));
        assert!(offers.ids().eq(["o1", "o2"]));
        let view = offers.iter().next().unwrap();
        assert_eq!((view.agent_id(), view.hostname(), view.role()), ("a1", "host-1", Some("web")));
        assert_eq!(view.unavailability(), Some((7, Some(9))));
        assert_eq!(view.attributes().next().unwrap().text.unwrap().value, "r1");
        let resources: Vec<ResourceRef<'_>> = view.resources().collect();
        assert!(resources.iter().map(|resource| resource.to_owned()).eq(offer("").resources));
        assert!(matches!(resources[0].value(), ResourceValue::Scalar(value) if value == 2.5));
        assert_eq!((resources[0].allocation_role(), resources[0].reserved_role()), (Some("web"), None));
        assert!(resources[1].ranges().eq([(31000, 32000), (1, 1)]));
        assert_eq!(resources[1].reserved_role(), Some("web"));
        assert!(matches!(resources[2].value(), ResourceValue::Set(items) if items.clone().eq(["a", "b"])));
        assert!(resources[2].is_revocable() && !resources[2].is_shared() && !resources[2].has_disk_info());
        let texts: Vec<String> = resources.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["cpus:2.5", "ports(web):[31000-32000,1-1]", "zones:{a,b}"]);
    }

    #[test]
    fn a_bad_offer_is_reported_and_the_good_ones_are_delivered() {
        // An offer with an id but nothing else, between two good ones.
        let good = |id| {
            let bytes = offer(id).encode_to_vec();
            let mut field = vec![0x0a, (bytes.len() & 0x7f | 0x80) as u8, (bytes.len() >> 7) as u8];
            field.extend(bytes);
            field
        };
        let mut list = good("o1");
        list.extend([0x0a, 2, 0x0a, 0]);
        list.extend([0x0a, 5, 0x0a, 3, 0x0a, 1, b'x']);
        list.extend(good("o3"));
        let mut record = vec![0x08, 2, 0x1a, (list.len() & 0x7f | 0x80) as u8, (list.len() >> 7) as u8];
        record.extend(list);
        let (offers, bad) = parsed(record);
        assert!(offers.ids().eq(["o1", "o3"]));
        assert_eq!(bad[0].path, "offers.offers[1].id.value: required, but missing");
        assert_eq!((bad[0].id.as_deref(), bad[1].id.as_deref()), (None, Some("x")));
    }

    #[test]
    fn odd_encodings_are_read_as_protobuf_reads_them() {
        let mut bytes = offer("o1").encode_to_vec();
        let mut later = vec![0x22, 3];
        later.extend(b"new");
        bytes.extend(later);
        let mut list = vec![0x0a, (bytes.len() & 0x7f | 0x80) as u8, (bytes.len() >> 7) as u8];
        list.extend(bytes);
        let mut record = vec![0x08, 2, 0x1a, (list.len() & 0x7f | 0x80) as u8, (list.len() >> 7) as u8];
        record.extend(list);
        let (offers, _) = parsed(record);
        assert_eq!(offers.iter().next().unwrap().hostname(), "new");
    }
}
