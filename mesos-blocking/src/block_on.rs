//! A future run to its end on this thread.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// The same, given up with `None` when that is so; whoever makes it so unparks this thread.
pub(crate) fn block_on_unless<F: Future>(future: F, over: impl Fn() -> bool) -> Option<F::Output> {
    let mut future = pin!(future);
    block_on(std::future::poll_fn(
        move |context| {
            if over() { Poll::Ready(None) } else { future.as_mut().poll(context).map(Some) }
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::block_on;

    #[test]
    fn woken_from_another_thread() {
        let (mut asked, (sender, waker)) = (0, std::sync::mpsc::channel::<std::task::Waker>());
        let other = std::thread::spawn(move || waker.iter().for_each(|waker| waker.wake()));
        let future = std::future::poll_fn(|context| {
            asked += 1;
            sender.send(context.waker().clone()).unwrap();
            if asked < 3 { std::task::Poll::Pending } else { std::task::Poll::Ready(asked) }
        });
        assert_eq!(block_on(future), 3);
        drop(sender);
        other.join().unwrap();
    }
}
