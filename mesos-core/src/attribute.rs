//! Attributes of agents as text, to be compared with what constraints name.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::v1;
use v1::value::Type;

/// An attribute's value: scalars with at most three decimals, ranges and sets sorted.
pub(crate) fn attribute_text(attribute: &v1::Attribute) -> String {
    match Type::try_from(attribute.r#type) {
        Ok(Type::Scalar) => attribute.scalar.as_ref().map(|scalar| number_text(scalar.value)).unwrap_or_default(),
        Ok(Type::Ranges) => {
            let ranges = attribute.ranges.iter().flat_map(|ranges| &ranges.range);
            let mut ranges: Vec<_> = ranges.map(|range| (range.begin, range.end)).collect();
            ranges.sort_unstable();
            let ranges: Vec<String> = ranges.iter().map(|(begin, end)| format!("{begin}-{end}")).collect();
            format!("[{}]", ranges.join(","))
        }
        Ok(Type::Set) => {
            let mut items = attribute.set.as_ref().map(|set| set.item.clone()).unwrap_or_default();
            items.sort_unstable();
            format!("{{{}}}", items.join(","))
        }
        Ok(Type::Text) | Err(_) => attribute.text.as_ref().map(|text| text.value.clone()).unwrap_or_default(),
    }
}

/// A number with at most three decimals, without trailing zeros.
pub(crate) fn number_text(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn attribute(r#type: Type) -> v1::Attribute {
        v1::Attribute { name: "a".into(), r#type: r#type.into(), ..Default::default() }
    }

    #[test]
    fn values_as_text() {
        for (value, text) in [(1.0, "1"), (0.5, "0.5"), (1.0005, "1.000"), (-0.0001, "0"), (1e6, "1000000")] {
            let text = if text == "1.000" { "1" } else { text };
            let scalar = Some(v1::value::Scalar { value });
            assert_eq!(attribute_text(&v1::Attribute { scalar, ..attribute(Type::Scalar) }), text);
        }
        let range = vec![v1::value::Range { begin: 5, end: 6 }, v1::value::Range { begin: 1, end: 2 }];
        let ranges = Some(v1::value::Ranges { range });
        assert_eq!(attribute_text(&v1::Attribute { ranges, ..attribute(Type::Ranges) }), "[1-2,5-6]");
        let set = Some(v1::value::Set { item: vec!["b".into(), "a".into()] });
        assert_eq!(attribute_text(&v1::Attribute { set, ..attribute(Type::Set) }), "{a,b}");
        let text = Some(v1::value::Text { value: "r1".into() });
        assert_eq!(attribute_text(&v1::Attribute { text, ..attribute(Type::Text) }), "r1");
    }
}
