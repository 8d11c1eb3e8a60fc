//! `tracing`'s macros when that feature is on, otherwise nothing, and the arguments aren't evaluated.

macro_rules! debug {
    ($($t:tt)*) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($t)*);
    }};
}

macro_rules! info {
    ($($t:tt)*) => {{
        #[cfg(feature = "tracing")]
        tracing::info!($($t)*);
    }};
}

pub(crate) use {debug, info};

#[cfg(all(test, feature = "tracing"))]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::collections::BTreeSet;
    use std::string::{String, ToString};
    use std::sync::{Arc, Mutex};
    use std::vec::Vec;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use crate::scheduler::{Client, Config, Framework};
    use crate::{Failure, FailureKind, Input, Instant, Machine as _, Output, Sent};

    /// A sink of the user's, with a level of the user's.
    #[derive(Clone)]
    struct Sink(Level, Arc<Mutex<Vec<(Level, String)>>>);

    impl Subscriber for Sink {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= self.0
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            struct Text(String);
            impl Visit for Text {
                fn record_debug(&mut self, field: &Field, value: &dyn core::fmt::Debug) {
                    self.0 += &std::format!("{field}={value:?} ");
                }
            }
            let mut text = Text(event.metadata().target().to_string() + ": ");
            event.record(&mut text);
            self.1.lock().unwrap().push((*event.metadata().level(), text.0));
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// A client whose master can't be reached.
    fn unreachable() {
        let config = Config::new(Framework::new("test"), ["10.0.0.1:5050"]).unwrap();
        let mut client = Client::new(config, 1);
        client.handle_input(Instant::ORIGIN, Input::Timeout);
        loop {
            match client.poll_output() {
                Output::Request(request) => {
                    let failure = Failure::new(FailureKind::Connect, Sent::No, "scripted");
                    client.handle_input(Instant::ORIGIN, Input::Failed { id: request.id(), failure });
                }
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    // S23, W55: what happens goes to the user's sink, by level, and nowhere else.
    #[test]
    fn a_sink_of_ones_own() {
        let heard = |level| {
            let sink = Sink(level, Arc::default());
            tracing::subscriber::with_default(sink.clone(), unreachable);
            sink.1.lock().unwrap().clone()
        };
        let (some, all): (Vec<_>, Vec<_>) = (heard(Level::INFO), heard(Level::TRACE));
        assert!(all.iter().all(|(_, text)| text.starts_with("mesos_core")), "{all:?}");
        let levels = |heard: &[(Level, String)]| heard.iter().map(|(level, _)| *level).collect::<BTreeSet<_>>();
        assert_eq!((levels(&some), levels(&all)), ([Level::INFO].into(), [Level::DEBUG, Level::INFO].into()));
        assert!(some.iter().eq(all.iter().filter(|(level, _)| *level <= Level::INFO)), "{some:?}, not {all:?}");
        assert!(heard(Level::ERROR).is_empty(), "a master that can't be reached is no error of the library");
    }
}
