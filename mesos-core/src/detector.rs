//! Finding the leading master by other means than asking the masters themselves.

use core::future::Future;

use crate::Endpoint;

/// Finds the leading master, and follows it. Drivers take one, and feed what it says as
/// [`Input::Leader`](crate::Input::Leader).
pub trait Detector: Send {
    /// The next news: who leads from now on, `None` if nobody is known to. It waits until there is some, for ever if
    /// need be; a failure is no news, but a reason to try again. Nothing is lost when the future is dropped.
    fn next(&mut self) -> impl Future<Output = Option<Endpoint>> + Send;
}
