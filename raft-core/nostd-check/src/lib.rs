//! Builds only while raft-core and all that it depends on do without std.
//!
//! std brings a panic handler. This crate has its own, and two are an error (E0152, "duplicate lang item
//! `panic_impl`"), whoever pulled std in.
#![no_std]

use core::panic::PanicInfo;

use linked_list_allocator::LockedHeap;
use raft_core::wire::{Decoder, Encoder, WireConfig};

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Keeps raft-core linked.
#[must_use]
pub fn used() -> (Encoder, Decoder) {
    (Encoder::new(WireConfig::default()), Decoder::new(WireConfig::default()))
}
