//! Memory follows what arrived, not what is claimed.

use allocation_counter::measure;
use proptest::prelude::*;
use raft_core::message::{Append, Message};
use raft_core::wire::{Decoder, JOINING_MESSAGES_MAX, JOINING_PEERS_MAX, WireConfig, from_bytes, to_bytes};
use raft_core::*;

use crate::canonical::framed;
use crate::pieces::piece;
use crate::{any, smallest};

/// Bytes in memory for each byte that arrived, at most: an empty entry is 3 bytes on the wire and about 120 in
/// memory, in a vector that doubles (the old one is there while the new one is filled).
const FACTOR: u64 = 128;
/// A first room for a few entries.
const START: u64 = 4_096;

#[test]
fn a_claimed_length_costs_nothing() {
    let empty = any::append(0, 0);
    let bytes = to_bytes(&empty);
    // ... count of entries, commit (two bytes).
    let count_at = bytes.len() - 3;
    assert_eq!(bytes[count_at], 0);
    for claim in [&[0x7F][..], &[0xFF, 0x7F], &[0xFF, 0xFF, 0xFF, 0xFF, 0x07], &[0xFF; 9]] {
        let mut claiming = bytes.clone();
        claiming.splice(count_at..=count_at, claim.iter().copied());
        if claim.len() == 9 {
            claiming.insert(count_at + 9, 1);
        }
        let used = measure(|| assert!(from_bytes(&claiming).is_err()));
        assert!(used.bytes_max <= START, "{claim:02x?}: {used:?}");
    }
}

#[test]
fn a_claimed_command_text_set_or_map_costs_nothing() {
    for envelope in any::one_of_each() {
        let bytes = to_bytes(&envelope);
        for at in 0..bytes.len() {
            let mut claiming = bytes.clone();
            claiming.splice(at..=at, [0xFF, 0xFF, 0xFF, 0xFF, 0x07]);
            let used = measure(|| drop(from_bytes(&claiming)));
            assert!(used.bytes_max <= START + FACTOR * claiming.len() as u64, "{used:?}");
        }
    }
}

#[test]
fn many_small_entries_cost_in_proportion() {
    let entry = Entry { term: Term(1), index: Index(1), payload: Payload::Noop };
    let envelope = any::around(Message::Append(Append {
        term: Term(1),
        round: Round(1),
        previous: LogId { term: Term(0), index: Index(0) },
        entries: vec![entry; 20_000].into(),
        commit: Index(0),
    }));
    let bytes = to_bytes(&envelope);
    let used = measure(|| drop(from_bytes(&bytes).unwrap()));
    assert!(used.bytes_max <= START + FACTOR * bytes.len() as u64, "{used:?} for {}", bytes.len());
}

proptest! {
    #[test]
    fn any_bytes_cost_in_proportion(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let datagram = framed(1, &bytes);
        let mut decoder = Decoder::new(WireConfig::default());
        let used = measure(|| drop(decoder.handle_datagram(Instant(0), &datagram)));
        prop_assert!(used.bytes_max <= START + FACTOR * bytes.len() as u64, "{:?}", used);
    }
}

#[test]
fn a_piece_costs_what_it_brings() {
    let config = WireConfig::default();
    let claimed = config.message_bytes_max as u32;
    let mut decoder = Decoder::new(config);
    let content = [7; 1_024];
    let datagram = piece(1, 1, 1, 0, claimed / 1_024, claimed, &content);
    let used = measure(|| assert_eq!(decoder.handle_datagram(Instant(0), &datagram), Ok(None)));
    assert!(used.bytes_max < 16 * 1_024, "{used:?}");
    assert_eq!(decoder.joining_bytes(), 1_024);
}

#[test]
fn the_smallest_pieces_cost_a_small_multiple_of_what_is_counted() {
    let config = smallest();
    let mut decoder = Decoder::new(config.clone());
    let used = measure(|| {
        for number in 0..10_000u64 {
            // The first of two pieces of 32 bytes, the least that is taken.
            let datagram = piece(1, 1, number, 0, 2, 64, &[1; 32]);
            assert_eq!(decoder.handle_datagram(Instant(0), &datagram), Ok(None));
        }
    });
    assert_eq!(decoder.joining_messages(), JOINING_MESSAGES_MAX);
    assert!(used.bytes_current <= 256 << 10, "{used:?}");
}

#[test]
fn the_bounds_hold_whatever_arrives() {
    let config = smallest();
    let mut decoder = Decoder::new(config.clone());
    let mut sent = 0;
    for turn in 0..40u64 {
        for id in 0..100 {
            let datagram = piece(id, turn, id ^ turn, 0, 2, 60_000, &[1; 30_000]);
            assert_eq!(decoder.handle_datagram(Instant(turn), &datagram), Ok(None));
            sent += 1;
            assert!(decoder.joining_messages() <= JOINING_PEERS_MAX * JOINING_MESSAGES_MAX);
            assert!(decoder.joining_bytes() <= JOINING_PEERS_MAX * config.joining_bytes_max);
        }
    }
    assert_eq!(decoder.joining_messages() as u64 + decoder.abandoned(), sent);
}
