//! A program without std that uses the two `no_std` crates.
//!
//! `#![no_std]` in a library proves little: it, or a crate below it, may still link std on a machine that has one. Here
//! the panic handler and the allocator are this program's own, so that `cargo check` fails with a duplicate language
//! item as soon as anything links std.
#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use mesos_core as _;
use mesos_proto as _;

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
