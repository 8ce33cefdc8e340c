//! The bytes of the wire: what goes in comes out, and nothing else does.

#[path = "wire/allocation.rs"]
mod allocation;
#[path = "wire/any.rs"]
mod any;
#[path = "wire/canonical.rs"]
mod canonical;
#[path = "wire/damage.rs"]
mod damage;
#[path = "wire/golden.rs"]
mod golden;
#[path = "wire/pieces.rs"]
mod pieces;
#[path = "wire/roundtrip.rs"]
mod roundtrip;

use raft_core::Envelope;
use raft_core::wire::{Encoder, WireConfig};

/// The datagrams of one message from a fresh encoder.
fn datagrams(config: &WireConfig, envelope: &Envelope) -> Vec<Vec<u8>> {
    encode(&mut Encoder::new(config.clone()), envelope)
}

fn encode(encoder: &mut Encoder, envelope: &Envelope) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    encoder.encode(envelope, &mut |datagram| sent.push(datagram.to_vec())).expect("it is small enough");
    sent
}

/// The smallest of everything, so that small messages are split.
fn smallest() -> WireConfig {
    WireConfig { datagram_bytes_max: 128, message_bytes_max: 64 << 10, joining_bytes_max: 64 << 10 }
}
