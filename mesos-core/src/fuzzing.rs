//! What must hold for any bytes at all: shared by the property tests (which shrink), by the fuzz targets in `fuzz/`
//! (which look for coverage), and by the replay of their corpora.
//!
//! A broken law is a panic.

mod engine;
mod executor;
mod history;
mod messages;
pub(crate) mod texts;

pub use engine::{engine, store};
pub use executor::executor_client;
pub use history::scheduler_client;
pub use messages::{calls, events, json_read, json_write};
pub use texts::{answers, places, records};

/// A law, as a function of any bytes.
pub type Law = fn(&[u8]);

/// The laws, each with the name of its fuzz target and corpus.
pub const LAWS: [(&str, Law); 11] = [
    ("records", records),
    ("answers", answers),
    ("events", events),
    ("json_read", json_read),
    ("json_write", json_write),
    ("calls", calls),
    ("places", places),
    ("client", |bytes| drop(scheduler_client(bytes))),
    ("engine", engine),
    ("store", store),
    ("executor", |bytes| drop(executor_client(bytes))),
];

/// An event such as a master sends, or now and then any other that the schema can say.
#[must_use]
pub fn event(bytes: &[u8]) -> crate::v1::scheduler::Event {
    history::event(&mut Choices::new(bytes))
}

/// Decisions, read from bytes; zeros when there are no more.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    fn slice(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (slice, rest) = self.0.split_at(len);
        self.0 = rest;
        slice
    }

    /// All that is left.
    fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use mesos_proto::{Described, json};
    use proptest::prelude::*;

    use crate::v1::scheduler::{Call, Event};

    /// More than that with `PROPTEST_CASES`.
    fn config() -> ProptestConfig {
        let default = ProptestConfig::default();
        ProptestConfig { cases: default.cases.max(2000), ..default }
    }

    proptest! {
        #![proptest_config(config())]

        // S140, S152, W54, W62: no panic and no exit, whatever comes in whatever order, and the invariants above.
        #[test]
        fn any_history_keeps_the_invariants(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            scheduler_client(&bytes);
        }

        // S195, S196, S197: nothing is lost, nothing overtakes, the end comes in time.
        #[test]
        fn any_history_of_an_executor_keeps_the_invariants(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            executor_client(&bytes);
        }

        #[test]
        fn the_same_history_gives_the_same_outputs(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(scheduler_client(&bytes), scheduler_client(&bytes));
            prop_assert_eq!(executor_client(&bytes), executor_client(&bytes));
        }
    }

    /// A message, made from the first bytes, spoilt at one place or not.
    fn message<M: Described>(bytes: &[u8]) -> Vec<u8> {
        let mut choices = Choices::new(bytes);
        let (at, by) = (usize::from(choices.byte()), choices.byte());
        let mut message = Vec::new();
        messages::random(M::descriptor(), &mut choices, 1 + by % 5, &mut message);
        if let (1.., Some(place)) = (by % 2, message.get_mut(at)) {
            *place ^= by;
        }
        message
    }

    proptest! {
        // S155, S156, S158, S159
        #[test]
        fn messages_keep_the_laws(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (event, call) = (message::<Event>(&bytes), message::<Call>(&bytes));
            events(&event);
            calls(&call);
            json_write(&event);
            json_write(&call);
            if let Ok(mut text) = json::from_protobuf(Call::descriptor(), &call).map(String::into_bytes) {
                json_read(&text);
                if let Some(place) = text.get_mut(usize::from(bytes.len() as u8)) {
                    *place = bytes.first().map_or(b'0', |byte| byte % 128);
                    json_read(&text);
                }
            }
        }

        // S142, S143
        #[test]
        fn texts_keep_the_laws(text in r"[01](https?:)?(//)?[@a-c:0-9\[\].%é]{0,12}[/?#]?[ -~	]{0,6}") {
            places(text.as_bytes());
        }
    }

    // What the fuzz targets start from, and what they found.
    #[test]
    fn the_corpora_keep_the_laws() {
        let corpora = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        for (name, law) in LAWS {
            let mut files = 0;
            for entry in std::fs::read_dir(corpora.join(name)).expect(name) {
                let path = entry.expect(name).path();
                let bytes = std::fs::read(&path).expect(name);
                assert!(std::panic::catch_unwind(|| law(&bytes)).is_ok(), "{}", path.display());
                files += 1;
            }
            assert!(files >= 12, "{name} has a corpus");
        }
    }

    // Waiting for new credentials, woken at the end of time: an endless number of attempts.
    #[test]
    fn a_history_that_never_ended() {
        scheduler_client(&[4, 0, 1, 12, 1, 6, 15, 3]);
    }

    #[test]
    fn histories_of_an_executor_reach_every_kind_of_event() {
        let mut rng = crate::rng::Rng::new(5);
        let mut seen = BTreeSet::new();
        let wanted = [
            "Event(Subscribed",
            "Event(Launch(",
            "Event(LaunchGroup",
            "Event(Kill",
            "Event(Acknowledged",
            "Event(Message(",
            "Event(Heartbeat",
            "Event(Shutdown { cause: Shutdown",
            "Event(Shutdown { cause: NoCheckpoint",
            "Event(Shutdown { cause: RecoveryTimeout",
            "Event(Shutdown { cause: Fatal(Refused",
            "Event(Shutdown { cause: Fatal(Unauthorized",
            "Event(UpdateLost",
            "Event(MessageLost",
            "reason: Rejected",
            "reason: Unacknowledged",
            "reason: CallsFail",
            "reason: CallStatus",
            "reason: NoAnswer",
            "reason: FirstEvent",
            "reason: Error",
            "Event(Malformed",
            "Event(Unknown",
            "Event(Fatal",
            "Event(Stopped { cause: Asked",
            "Err(QueueFull",
            "Err(Killing",
            "Err(TaskEnded",
        ];
        for _ in 0..6000 {
            let bytes: Vec<u8> = (0..200).map(|_| rng.next() as u8).collect();
            for line in executor_client(&bytes) {
                seen.extend(wanted.into_iter().filter(|wanted| line.contains(wanted)));
            }
        }
        let missing: Vec<_> = wanted.into_iter().filter(|wanted| !seen.contains(wanted)).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
    }

    // The generator is worth something only if it gets everywhere.
    #[test]
    fn histories_reach_every_kind_of_event() {
        let mut rng = crate::rng::Rng::new(5);
        let mut seen = BTreeSet::new();
        for _ in 0..6000 {
            let bytes: Vec<u8> = (0..200).map(|_| rng.next() as u8).collect();
            for line in scheduler_client(&bytes) {
                let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric()).take(2).collect();
                seen.insert(words.join(" "));
                for word in
                    ["Accepted", "Rejected", "NotSent", "Unknown }", "Carried", "Suspect", "CallLost", "CallTimeout"]
                {
                    if line.contains(word) {
                        seen.insert(word.to_string());
                    }
                }
                for word in ["TooMany", "FailedOver", "Removed", "Refused", "Unauthorized {", "Stopped { removed: true"]
                {
                    if line.contains(word) {
                        seen.insert(word.to_string());
                    }
                }
            }
        }
        for wanted in [
            "Event Subscribed",
            "Event Offers",
            "Event Update",
            "Event Malformed",
            "Event Unknown",
            "Event Disconnected",
            "Event Fatal",
            "Accepted",
            "Rejected",
            "NotSent",
            "Unknown }",
            "Carried",
            "Suspect",
            "CallLost",
            "CallTimeout",
            "TooMany",
            "FailedOver",
            "Removed",
            "Refused",
            "Unauthorized {",
            "Stopped { removed: true",
        ] {
            assert!(seen.contains(wanted), "never seen: {wanted}, only {seen:?}");
        }
    }
}
