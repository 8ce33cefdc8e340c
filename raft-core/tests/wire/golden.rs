//! The bytes of version 1. They never change: a changed line here is another version.

use raft_core::message::Message;
use raft_core::wire::{Decoder, Encoder, WireConfig};
use raft_core::{Envelope, Instant};

use crate::{any, datagrams, encode, smallest};

const GOLDEN: &str = include_str!("snapshots/wire__golden__datagrams_of_version_1.snap");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// One of each kind, whole; then a split one, from an encoder that has split one before.
fn samples() -> Vec<(String, Envelope, Vec<Vec<u8>>)> {
    let name = |envelope: &Envelope| envelope.message.name().to_owned();
    let mut samples: Vec<_> = any::one_of_each()
        .into_iter()
        .map(|envelope| (name(&envelope), envelope.clone(), datagrams(&WireConfig::default(), &envelope)))
        .collect();
    let mut encoder = Encoder::new(smallest());
    let split = any::append(1, 150);
    let _ = encode(&mut encoder, &split);
    samples.push(("Append, in pieces".into(), split.clone(), encode(&mut encoder, &split)));
    samples
}

#[test]
fn every_kind_of_message_is_among_the_samples() {
    // A new kind breaks this match, and then belongs into `one_of_each`.
    let number = |message: &Message| match message {
        Message::PreVote(_) => 0,
        Message::PreVoteAnswer(_) => 1,
        Message::RequestVote(_) => 2,
        Message::VoteAnswer(_) => 3,
        Message::Append(_) => 4,
        Message::AppendAcknowledgement(_) => 5,
        Message::AppendRejection(_) => 6,
        Message::Heartbeat(_) => 7,
        Message::HeartbeatAnswer(_) => 8,
        Message::StaleTerm(_) => 9,
        Message::ReadIndex(_) => 10,
        Message::ReadIndexAnswer(_) => 11,
        Message::Abstention(_) => 12,
        Message::AbstentionAnswer(_) => 13,
        Message::Forward(_) => 14,
        Message::ForwardAnswer(_) => 15,
        Message::SnapshotChunk(_) => 16,
        Message::SnapshotChunkAnswer(_) => 17,
    };
    let kinds: std::collections::BTreeSet<u32> =
        any::one_of_each().iter().map(|envelope| number(&envelope.message)).collect();
    assert_eq!(kinds, (0..18).collect());
}

#[test]
fn datagrams_of_version_1() {
    let lines: Vec<String> = samples()
        .iter()
        .flat_map(|(name, _, sent)| sent.iter().map(move |datagram| format!("{name}: {}", hex(datagram))))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn golden_datagrams_are_understood() {
    let golden = GOLDEN.lines().filter_map(|line| line.split_once(": ").map(|(_, hex)| hex));
    let golden = golden.filter(|hex| hex.starts_with("0100"));
    let mut decoder = Decoder::new(WireConfig::default());
    let read: Vec<Envelope> =
        golden.filter_map(|hex| decoder.handle_datagram(Instant(0), &unhex(hex)).unwrap()).collect();
    let expected: Vec<Envelope> = samples().into_iter().map(|(_, envelope, _)| envelope).collect();
    assert_eq!(read, expected);
}
