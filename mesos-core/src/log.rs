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
