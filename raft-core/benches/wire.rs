//! Nanoseconds to encode and to decode a message: `cargo bench -p raft-core --bench wire`.

use bytes::Bytes;
use divan::{Bencher, black_box};
use raft_core::message::{Append, Heartbeat, Message};
use raft_core::wire::{Decoder, Encoder, WireConfig};
use raft_core::*;

fn main() {
    divan::main();
}

const SAMPLES: [&str; 4] = ["heartbeat", "append 1x16", "append 64x256", "append 64x256, 64 KiB datagrams"];

fn sample(name: &str) -> (WireConfig, Envelope) {
    let member = |id| Member { id: NodeId(id), incarnation: Incarnation(0x1234_5678_9ABC_DEF0 + id) };
    let (term, round, commit) = (Term(3), Round(1_000), Index(70_000));
    let append = |entries: u64, bytes: usize| {
        let payload = Payload::Command(Bytes::from(vec![7; bytes]));
        let entry = |index| Entry { term, index: Index(70_000 + index), payload: payload.clone() };
        let previous = LogId { term, index: commit };
        Message::Append(Append { term, round, previous, entries: (1..=entries).map(entry).collect(), commit })
    };
    let mut config = WireConfig::default();
    let message = match name {
        "heartbeat" => Message::Heartbeat(Heartbeat { term, round, commit }),
        "append 1x16" => append(1, 16),
        "append 64x256" => append(64, 256),
        _ => {
            config.datagram_bytes_max = 64 << 10;
            append(64, 256)
        }
    };
    let envelope = Envelope {
        cluster: ClusterId(77),
        epoch: Epoch(0),
        from: member(1),
        from_boot: Boot(3),
        to: member(2),
        to_boot: Boot(0),
        message,
    };
    (config, envelope)
}

#[divan::bench(args = SAMPLES)]
fn encode(bencher: Bencher<'_, '_>, name: &str) {
    let (config, envelope) = sample(name);
    let mut encoder = Encoder::new(config);
    bencher.bench_local(|| {
        encoder.encode(black_box(&envelope), &mut |datagram| {
            black_box(datagram);
        })
    });
}

#[divan::bench(args = SAMPLES)]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let (config, envelope) = sample(name);
    let mut sent = Vec::new();
    let kept = Encoder::new(config.clone()).encode(&envelope, &mut |datagram| sent.push(datagram.to_vec()));
    assert_eq!(kept, Ok(()));
    let mut decoder = Decoder::new(config);
    bencher.bench_local(|| {
        let mut message = None;
        for datagram in &sent {
            message = decoder.handle_datagram(Instant(0), black_box(datagram)).ok().flatten();
        }
        assert!(message.is_some());
        message
    });
}
