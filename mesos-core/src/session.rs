//! Where a client stands.

/// The states of a session, with a master or with an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionState {
    /// For the next attempt, or for new credentials.
    Waiting,
    /// SUBSCRIBE is sent.
    Connecting,
    /// A stream has come; its first event decides.
    Subscribing,
    /// Calls are taken.
    Subscribed,
    /// After the terminal event.
    Ended,
}
