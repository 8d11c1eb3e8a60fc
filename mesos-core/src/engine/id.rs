//! Task ids: never used twice, taken by Mesos, and telling what they belong to.

use alloc::format;
use alloc::string::String;
use core::str::FromStr;

use crate::rng::Rng;

/// What Mesos takes.
const ID_BYTES: usize = 255;
/// The longest name of a spec; with it there is always room for some of the framework's.
pub(crate) const SPEC_BYTES: usize = 128;
/// Of five bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const RANDOM_CHARS: usize = 8;

/// What a task id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParsedId<'a> {
    /// As [`spec_part`] writes it.
    pub(crate) spec: &'a str,
    pub(crate) index: u32,
    pub(crate) generation: u64,
    pub(crate) incarnation: u64,
}

/// `<framework>.<spec>-<index>.<generation>.<incarnation>-<8 random characters>`, as [`parse`] reads it. Of names that
/// are too long, the framework's above all, only the beginnings are in it. The random part tells apart what a lost
/// store would repeat.
pub(crate) fn task_id(
    framework: &str,
    spec: &str,
    index: u32,
    generation: u64,
    incarnation: u64,
    rng: &mut Rng,
) -> String {
    let random = random(rng.next());
    let tail = format!("{}-{index}.{generation}.{incarnation}-{random}", spec_part(spec));
    let framework: String = framework.chars().map(|c| if is_legal(c) { c } else { '_' }).collect();
    // The numbers have at most 61 bytes, so there is room for at least 65.
    let framework = cut(&framework, ID_BYTES.saturating_sub(tail.len() + 1));
    format!("{}.{tail}", if framework.is_empty() { "_" } else { framework })
}

/// The name of a spec as task ids have it: also without the dots, which separate their parts.
pub(crate) fn spec_part(name: &str) -> String {
    let name: String = cut(name, SPEC_BYTES).chars().map(|c| if is_legal(c) && c != '.' { c } else { '_' }).collect();
    if name.is_empty() { "_".into() } else { name }
}

/// Reads an id that [`task_id`] made; `None` for any other.
pub(crate) fn parse(id: &str) -> Option<ParsedId<'_>> {
    let (rest, random) = id.rsplit_once('-')?;
    let (rest, incarnation) = rest.rsplit_once('.')?;
    let (rest, generation) = rest.rsplit_once('.')?;
    let (rest, index) = rest.rsplit_once('-')?;
    let (framework, spec) = rest.rsplit_once('.')?;
    let ours = random.len() == RANDOM_CHARS
        && random.bytes().all(|byte| ALPHABET.contains(&byte))
        && !framework.is_empty()
        && !spec.is_empty();
    let parsed =
        ParsedId { spec, index: number(index)?, generation: number(generation)?, incarnation: number(incarnation)? };
    ours.then_some(parsed)
}

/// The one way in which a number is written.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// What Mesos takes in an id.
fn is_legal(c: char) -> bool {
    !c.is_control() && !matches!(c, '/' | '\\')
}

/// No more of a text's beginning than so many bytes.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn random(mut bits: u64) -> String {
    let mut chars = || {
        let index = (bits % ALPHABET.len() as u64) as usize;
        bits /= ALPHABET.len() as u64;
        ALPHABET.get(index).copied().map_or('a', char::from)
    };
    (0..RANDOM_CHARS).map(|_| chars()).collect()
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::checks;
    use crate::rng::Rng;

    // S71
    #[test]
    fn an_id_reads_like_this() {
        let id = task_id("mesos-framework.1f", "web", 2, 3, 4, &mut Rng::new(1));
        let (front, random) = id.split_at(id.len() - 8);
        assert_eq!(front, "mesos-framework.1f.web-2.3.4-");
        assert!(random.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{random}");
        assert_eq!(parse(&id), Some(ParsedId { spec: "web", index: 2, generation: 3, incarnation: 4 }));
    }

    // S71: distinct by the random part alone; the rest is what a lost store would repeat.
    #[test]
    fn ten_thousand_are_distinct() {
        let mut rng = Rng::new(7);
        let ids: BTreeSet<_> = (0..10_000).map(|_| task_id("f", "web", 0, 1, 1, &mut rng)).collect();
        assert_eq!(ids.len(), 10_000);
    }

    // S73, W35: every slash, not only the first.
    #[test]
    fn what_mesos_refuses_becomes_an_underscore() {
        let id = task_id("my/fw\\x\u{7f}", "a/b/c.d\n", 0, 1, 1, &mut Rng::new(1));
        assert!(id.starts_with("my_fw_x_.a_b_c_d_-0.1.1-"), "{id}");
        assert_eq!(checks::id(&id), Ok(()));
        assert_eq!(parse(&id).unwrap().spec, spec_part("a/b/c.d\n"));
    }

    #[test]
    fn other_peoples_ids_are_not_ours() {
        let id = task_id("f", "web", 2, 3, 4, &mut Rng::new(1));
        let (front, random) = id.rsplit_once('-').unwrap();
        for other in [
            "",
            "web",
            "web.2f6c1b5e-4b1c-4b7a-9a53-0d8f3f0f8a11",
            "f.web-2.3.4",
            "f.web-2.3.4-",
            "f.web-2.3.4-ABCDEFGH",
            "f.web-2.3.4-aaaaaaa",
            "f.web-+2.3.4-aaaaaaaa",
            "f.web-02.3.4-aaaaaaaa",
            "f.web-2..4-aaaaaaaa",
            "f.web-4294967296.3.4-aaaaaaaa",
            "f.-2.3.4-aaaaaaaa",
            ".web-2.3.4-aaaaaaaa",
            "web-2.3.4-aaaaaaaa",
            &format!("{front}{random}"),
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert_eq!(parse("f.web-0.0.0-aaaaaaaa").unwrap().index, 0);
    }

    proptest! {
        // W35
        #[test]
        fn any_names_give_an_id_that_mesos_takes_and_that_reads_back(
            (framework, spec) in (any::<String>(), any::<String>()),
            times in 0..40usize,
            (index, generation, incarnation, seed) in any::<(u32, u64, u64, u64)>(),
        ) {
            let framework = framework.repeat(times);
            let id = task_id(&framework, &spec, index, generation, incarnation, &mut Rng::new(seed));
            prop_assert_eq!(checks::id(&id), Ok(()));
            let part = spec_part(&spec);
            prop_assert_eq!(parse(&id), Some(ParsedId { spec: &part, index, generation, incarnation }));
        }

        #[test]
        fn any_text_can_be_read(text in any::<String>()) {
            if let Some(parsed) = parse(&text) {
                prop_assert!(text.contains(parsed.spec));
            }
        }
    }
}
