//! Messages larger than a datagram: split, and joined again.

use proptest::prelude::*;
use raft_core::wire::{
    Decoder, Encoder, JOINING_MESSAGES_MAX, JOINING_PEERS_MAX, JOINING_SPAN, WireConfig, WireError, to_bytes,
};
use raft_core::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::canonical::framed;
use crate::{any, datagrams, encode, smallest};

/// A piece with any header, under a correct checksum. The message's own checksum is 0.
pub(crate) fn piece(
    id: u64,
    boot: u64,
    number: u64,
    ordinal: u32,
    count: u32,
    total: u32,
    content: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in [id, 7, boot, number] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    for value in [ordinal, count, total] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(&0u64.to_le_bytes());
    bytes.extend_from_slice(content);
    framed(2, &bytes)
}

proptest! {
    #[test]
    fn pieces_may_come_in_any_order_and_more_than_once(
        bytes in 100..2_000usize,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
    ) {
        let envelope = any::append(1, bytes);
        let sent = datagrams(&smallest(), &envelope);
        let mut decoder = Decoder::new(smallest());
        let mut missing: std::collections::BTreeSet<usize> = (0..sent.len()).collect();
        // Some at random, then whatever is still missing, backwards.
        let random: Vec<usize> = order.iter().map(|index| index.index(sent.len())).collect();
        for at in random.into_iter().chain((0..sent.len()).rev()) {
            if missing.is_empty() {
                break;
            }
            missing.remove(&at);
            let expected = missing.is_empty().then(|| envelope.clone());
            prop_assert_eq!(decoder.handle_datagram(Instant(0), &sent[at]), Ok(expected));
        }
        prop_assert!(missing.is_empty());
        prop_assert_eq!((decoder.joining_bytes(), decoder.joining_messages()), (0, 0));
    }

    #[test]
    fn messages_may_be_interleaved_and_lose_pieces(
        steps in prop::collection::vec((0..6usize, any::<prop::sample::Index>()), 1..300),
    ) {
        let mut encoder = Encoder::new(smallest());
        let envelopes: Vec<Envelope> = (0..6).map(|n| any::append(n + 1, 90)).collect();
        let sent: Vec<Vec<Vec<u8>>> = envelopes.iter().map(|envelope| encode(&mut encoder, envelope)).collect();
        let mut decoder = Decoder::new(smallest());
        let mut here = vec![std::collections::BTreeSet::new(); 6];
        for (message, index) in steps {
            let at = index.index(sent[message].len());
            here[message].insert(at);
            let complete = here[message].len() == sent[message].len();
            let expected = complete.then(|| envelopes[message].clone());
            if complete {
                here[message].clear();
            }
            prop_assert_eq!(decoder.handle_datagram(Instant(0), &sent[message][at]), Ok(expected));
        }
    }

    #[test]
    fn any_pieces_are_survived(
        pieces in prop::collection::vec((0..3u64, 0..3u64, 0..4u32, 0..5u32, 0..300u32, 0..80usize), 0..100),
    ) {
        let mut decoder = Decoder::new(smallest());
        for (id, number, ordinal, count, total, bytes) in pieces {
            let datagram = piece(id, 1, number, ordinal, count, total, &vec![3; bytes]);
            let result = decoder.handle_datagram(Instant(0), &datagram);
            prop_assert!(!matches!(result, Ok(Some(_))), "its checksum is not 0");
        }
    }
}

#[test]
fn pieces_of_one_message_that_contradict_each_other_are_refused() {
    let first = |total, count, content: &[u8]| piece(1, 1, 1, 0, count, total, content);
    let mut decoder = Decoder::new(smallest());
    let mut decode = |datagram: Vec<u8>| decoder.handle_datagram(Instant(0), &datagram);
    assert_eq!(decode(first(100, 2, &[5; 50])), Ok(None));
    assert_eq!(decode(first(100, 2, &[5; 50])), Ok(None), "the same again");
    assert_eq!(decode(first(100, 2, &[6; 50])), Err(WireError::Inconsistent), "another content");
    assert_eq!(decode(first(102, 2, &[5; 51])), Err(WireError::Inconsistent), "another total");
    assert_eq!(decode(first(100, 3, &[5; 34])), Err(WireError::Inconsistent), "another count");
    assert_eq!(decode(piece(1, 2, 1, 0, 2, 102, &[5; 51])), Ok(None), "another boot is another message");
    assert_eq!(decode(piece(2, 1, 1, 0, 2, 102, &[5; 51])), Ok(None), "so is another sender's");
    assert_eq!(decode(piece(1, 1, 2, 0, 2, 102, &[5; 51])), Ok(None), "and another number");
}

#[test]
fn a_joined_message_that_is_not_what_was_split_is_refused_and_gone() {
    let mut decoder = Decoder::new(smallest());
    let mut decode = |ordinal, content: &[u8]| {
        decoder.handle_datagram(Instant(0), &piece(1, 1, 1, ordinal, 2, 100, content))
    };
    assert_eq!(decode(0, &[5; 50]), Ok(None));
    assert_eq!(decode(1, &[5; 50]), Err(WireError::Inconsistent), "the message's checksum is not 0");
    assert_eq!(decode(0, &[9; 50]), Ok(None), "it starts anew");
    assert_eq!((decoder.joining_messages(), decoder.abandoned()), (1, 0));
}

#[test]
fn a_message_of_another_sender_than_its_pieces_say_is_refused() {
    let envelope = any::append(1, 100);
    let message = to_bytes(&envelope);
    let half = message.len().div_ceil(2);
    let send = |boot: u64, decoder: &mut Decoder| {
        let mut last = Ok(None);
        for (ordinal, content) in message.chunks(half).enumerate() {
            let mut bytes = Vec::new();
            for value in [1, 0x1234, boot, 1] {
                bytes.extend_from_slice(&u64::to_le_bytes(value));
            }
            for value in [ordinal, 2, message.len()] {
                bytes.extend_from_slice(&(value as u32).to_le_bytes());
            }
            bytes.extend_from_slice(&xxh3_64(&message).to_le_bytes());
            bytes.extend_from_slice(content);
            last = decoder.handle_datagram(Instant(0), &framed(2, &bytes));
        }
        last
    };
    let mut decoder = Decoder::new(WireConfig::default());
    assert_eq!(send(300, &mut decoder), Ok(Some(envelope.clone())));
    assert_eq!(send(301, &mut decoder), Err(WireError::Inconsistent));
}

#[test]
fn a_header_that_no_split_makes_is_refused() {
    let mut decoder = Decoder::new(smallest());
    let mut decode = |ordinal, count, total, bytes| {
        decoder.handle_datagram(Instant(0), &piece(1, 1, 1, ordinal, count, total, &vec![1; bytes]))
    };
    assert_eq!(decode(0, 0, 100, 100), Err(WireError::Malformed), "no pieces");
    assert_eq!(decode(0, 1, 100, 100), Err(WireError::Malformed), "one piece");
    assert_eq!(decode(2, 2, 100, 50), Err(WireError::Malformed), "an ordinal beyond the last");
    assert_eq!(decode(0, 2, 0, 0), Err(WireError::Malformed), "an empty message");
    assert_eq!(decode(0, 2, 62, 31), Err(WireError::Malformed), "pieces that are too small");
    assert_eq!(decode(0, 60, 2_000, 34), Err(WireError::Malformed), "a count that leaves the last one empty");
    assert_eq!(decode(0, 2, 100, 49), Err(WireError::Length), "shorter than equal pieces are");
    assert_eq!(decode(0, 2, 100, 51), Err(WireError::Length), "longer");
    assert_eq!(decode(1, 2, 99, 50), Err(WireError::Length), "a last one that is longer than the rest");
    assert_eq!(decode(0, 2, 65_537, 32_769), Err(WireError::TooLarge));
    assert_eq!(decode(0, u32::MAX, u32::MAX, 1), Err(WireError::TooLarge));
    for length in 0..52 {
        let result = decoder.handle_datagram(Instant(0), &framed(2, &vec![0; length]));
        assert_eq!(result, Err(WireError::Length), "a header cut at {length}");
    }
    assert_eq!((decoder.joining_messages(), decoder.joining_bytes()), (0, 0));
}

#[test]
fn the_oldest_messages_of_a_peer_make_room_for_the_newest() {
    let mut decoder = Decoder::new(smallest());
    let mut decode = |number, ordinal| {
        decoder.handle_datagram(Instant(0), &piece(1, 1, number, ordinal, 3, 60_000, &[0; 20_000]))
    };
    // Three pieces fit. The fourth pushes out message 1, and the fifth message 2.
    for (number, ordinal) in [(1, 0), (2, 0), (3, 0), (4, 0), (3, 1)] {
        assert_eq!(decode(number, ordinal), Ok(None));
    }
    assert_eq!(decode(3, 2), Err(WireError::Inconsistent), "complete, so it was there all along");
    assert_eq!((decoder.joining_messages(), decoder.abandoned()), (1, 2));
    assert_eq!(decoder.joining_bytes(), 20_000);
}

#[test]
fn a_message_as_large_as_the_bound_is_joined_beside_others() {
    let config = smallest();
    let overhead = to_bytes(&any::append(1, 60_000)).len() - 60_000;
    let envelope = any::append(1, config.message_bytes_max - overhead);
    let mut encoder = Encoder::new(config.clone());
    let mut decoder = Decoder::new(config);
    let other = encode(&mut encoder, &any::append(1, 500));
    assert_eq!(decoder.handle_datagram(Instant(0), &other[0]), Ok(None));
    let mut joined = None;
    for datagram in encode(&mut encoder, &envelope) {
        joined = decoder.handle_datagram(Instant(0), &datagram).unwrap();
    }
    assert_eq!(joined, Some(envelope));
}

#[test]
fn too_many_messages_push_out_the_oldest_and_too_many_peers_the_most_silent() {
    let mut decoder = Decoder::new(smallest());
    let mut decode = |id, number, ordinal| {
        let datagram = piece(id, 1, number, ordinal, 2, 64, &[0; 32]);
        decoder.handle_datagram(Instant(0), &datagram)
    };
    for number in 0..=JOINING_MESSAGES_MAX as u64 {
        assert_eq!(decode(1, number, 0), Ok(None));
    }
    assert_eq!(decode(1, 0, 1), Ok(None), "the first was pushed out, and starts anew");
    assert_eq!(decode(1, 2, 1), Err(WireError::Inconsistent), "the third is complete");
    for id in 2..=JOINING_PEERS_MAX as u64 {
        assert_eq!(decode(id, 1, 0), Ok(None));
    }
    assert_eq!(decode(1, 3, 0), Ok(None), "the first peer is heard again");
    assert_eq!(decode(1_000, 1, 0), Ok(None), "one peer too many");
    assert_eq!(decode(2, 1, 1), Ok(None), "the second peer was pushed out, and starts anew");
    assert_eq!(decode(1, 4, 1), Err(WireError::Inconsistent), "the first peer was not");
}

#[test]
fn what_is_missing_for_long_is_given_up() {
    let mut decoder = Decoder::new(smallest());
    let one = piece(1, 1, 1, 0, 2, 100, &[0; 50]);
    let other = |number| piece(2, 1, number, 0, 2, 100, &[0; 50]);
    let start = Instant(5_000_000);
    assert_eq!(decoder.handle_datagram(start, &one), Ok(None));
    assert_eq!(decoder.handle_datagram(Instant(start.0 + JOINING_SPAN.0 - 1), &other(1)), Ok(None));
    assert_eq!(decoder.joining_messages(), 2);
    let later = start.plus(JOINING_SPAN).plus(Span::from_millis(1_000));
    assert_eq!(decoder.handle_datagram(later, &other(2)), Ok(None));
    assert_eq!((decoder.joining_messages(), decoder.abandoned()), (2, 1));
    // A clock that runs backwards keeps what is there, and ages it from then on.
    assert_eq!(decoder.handle_datagram(Instant(0), &other(3)), Ok(None));
    assert_eq!((decoder.joining_messages(), decoder.abandoned()), (3, 1));
    let end = later.plus(JOINING_SPAN);
    assert_eq!(decoder.handle_datagram(end, &other(4)), Ok(None));
    assert_eq!((decoder.joining_messages(), decoder.abandoned()), (1, 4));
}
