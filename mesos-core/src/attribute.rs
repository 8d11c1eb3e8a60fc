//! What constraints see of an agent's attributes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::v1;

/// The value of an attribute as text, the same for values that mean the same: a scalar with at most three decimals
/// (half goes to the even one; no zeros at the end), ranges as `[1-2,5-9]`, a set as `{a,b}`, both sorted, and text as
/// it is. Empty if the value isn't there.
pub(crate) fn attribute_text(attribute: &v1::Attribute) -> String {
    match v1::value::Type::try_from(attribute.r#type) {
        Ok(v1::value::Type::Scalar) => attribute.scalar.map_or_else(String::new, |scalar| decimal(scalar.value)),
        Ok(v1::value::Type::Ranges) => attribute.ranges.as_ref().map_or_else(String::new, |ranges| {
            let mut ranges: Vec<_> = ranges.range.iter().map(|range| (range.begin, range.end)).collect();
            ranges.sort_unstable();
            let ranges: Vec<_> = ranges.into_iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
            format!("[{}]", ranges.join(","))
        }),
        Ok(v1::value::Type::Set) => attribute.set.as_ref().map_or_else(String::new, |set| {
            let mut items: Vec<_> = set.item.iter().map(String::as_str).collect();
            items.sort_unstable();
            format!("{{{}}}", items.join(","))
        }),
        Ok(v1::value::Type::Text) => attribute.text.as_ref().map_or_else(String::new, |text| text.value.clone()),
        Err(_) => String::new(),
    }
}

/// A number with at most three decimals.
pub(crate) fn decimal(value: f64) -> String {
    // Rounds the double's exact value, half to even.
    let text = format!("{value:.3}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use v1::value::{Range, Ranges, Scalar, Set, Text, Type};

    fn attribute(kind: Type) -> v1::Attribute {
        v1::Attribute { name: "a".into(), r#type: kind.into(), ..Default::default() }
    }

    #[test]
    fn scalars_have_at_most_three_decimals() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-0.0001, "0"),
            (3.0, "3"),
            (10.0, "10"),
            (100.5, "100.5"),
            (0.25, "0.25"),
            (1.0 / 3.0, "0.333"),
            (-2.0 / 3.0, "-0.667"),
            // The only doubles that lie in the middle end in 0.0625 or the like: half to even.
            (0.0625, "0.062"),
            (0.1875, "0.188"),
            (-0.0625, "-0.062"),
            (0.9999, "1"),
            (999.9996, "1000"),
            (1e15, "1000000000000000"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            let attribute = v1::Attribute { scalar: Some(Scalar { value }), ..attribute(Type::Scalar) };
            assert_eq!(attribute_text(&attribute), text, "{value}");
        }
    }

    #[test]
    fn ranges_and_sets_are_sorted() {
        let range = [(31000, 32000), (5, 9), (1, 2)].map(|(begin, end)| Range { begin, end }).into();
        let ranges = v1::Attribute { ranges: Some(Ranges { range }), ..attribute(Type::Ranges) };
        assert_eq!(attribute_text(&ranges), "[1-2,5-9,31000-32000]");
        let item = ["b", "a", "a-10", "a-2"].map(String::from).into();
        let set = v1::Attribute { set: Some(Set { item }), ..attribute(Type::Set) };
        assert_eq!(attribute_text(&set), "{a,a-10,a-2,b}");
        let empty = v1::Attribute { set: Some(Set { item: vec![] }), ..attribute(Type::Set) };
        assert_eq!(attribute_text(&empty), "{}");
    }

    // The type decides, not which value is there.
    #[test]
    fn text_is_as_it_is() {
        let text = Some(Text { value: " rack {1} ".into() });
        let right = v1::Attribute { text: text.clone(), scalar: Some(Scalar { value: 1.0 }), ..attribute(Type::Text) };
        assert_eq!(attribute_text(&right), " rack {1} ");
        for kind in [Type::Scalar, Type::Ranges, Type::Set] {
            assert_eq!(attribute_text(&v1::Attribute { text: text.clone(), ..attribute(kind) }), "");
        }
        assert_eq!(attribute_text(&v1::Attribute { r#type: 99, text, ..attribute(Type::Text) }), "");
    }
}
