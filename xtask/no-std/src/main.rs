//! A program without std that uses the two `no_std` crates.
//!
//! `#![no_std]` in a library proves little: it, or a crate below it, may still link std on a machine that has one. Here
//! the panic handler and the allocator are this program's own, so that `cargo check` fails with a duplicate language
//! item as soon as anything links std.
#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use mesos_core::engine::Engine;
use mesos_core::{Input, Instant, Machine, Output, executor, scheduler};
use mesos_proto as _;

/// One round of any machine.
fn round<M: Machine>(machine: &mut M) {
    machine.handle_input(Instant::ORIGIN, Input::Timeout);
    while !matches!(machine.poll_output(), Output::Timeout(_)) {}
}

type Round<M> = fn(&mut M);

/// There are three machines, and each runs without std.
pub static ROUNDS: (Round<scheduler::Client>, Round<executor::Client>, Round<Engine>) = (round, round, round);

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

struct Nothing;

// SAFETY: an allocator may always fail; this one does. The program is only ever checked, never run.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Nothing = Nothing;
