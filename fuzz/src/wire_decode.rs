//! Any bytes through the decoder: nothing panics, every bound holds, and what is read is written the same.
//!
//! The input is datagrams, each after its length (u16, little-endian). The fuzzer can't guess a checksum, so each is
//! taken twice: as it is, and sealed.

use std::collections::BTreeMap;

use raft_core::wire::{
    Decoder, Encoder, JOINING_MESSAGES_MAX, JOINING_PEERS_MAX, WireConfig, WireError, from_bytes, to_bytes,
};
use raft_core::{Boot, Envelope, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Runs the target on an input.
///
/// # Panics
/// If something that must hold does not.
pub fn run(input: &[u8]) {
    content(input);
    datagrams(input);
}

/// The input as the bytes of a message.
fn content(input: &[u8]) {
    let Ok(envelope) = from_bytes(input) else { return };
    assert_eq!(to_bytes(&envelope), input, "one message, one spelling");
    // Every byte counts: neither less nor more of them is a message.
    assert!(from_bytes(&input[..input.len() - 1]).is_err(), "it can be shorter");
    assert!(from_bytes(&[input, &[0]].concat()).is_err(), "it can be longer");
    // Small datagrams, so that most messages are split; pieces in reverse, and each twice.
    let config = WireConfig { datagram_bytes_max: 128, ..WireConfig::default() };
    let mut sent = Vec::new();
    let encoded =
        Encoder::new(config.clone()).encode(&envelope, &mut |datagram| sent.push(datagram.to_vec()));
    assert_eq!(encoded, Ok(()));
    let mut decoder = Decoder::new(config.clone());
    for datagram in sent.iter().skip(1).rev() {
        assert_eq!(decoder.handle_datagram(Instant(0), datagram), Ok(None));
        assert_eq!(decoder.handle_datagram(Instant(0), datagram), Ok(None));
    }
    assert_eq!(decoder.handle_datagram(Instant(0), &sent[0]), Ok(Some(envelope.clone())));
    assert_eq!((decoder.joining_messages(), decoder.joining_bytes()), (0, 0));
    shuffled(&envelope, &sent, config);
}

/// The pieces of two messages at once, in an order and with losses and a flipped bit that the message's own bytes
/// decide: each arrives whole or not at all, and a damaged piece is as good as lost.
fn shuffled(envelope: &Envelope, sent: &[Vec<u8>], config: WireConfig) {
    let mut other = envelope.clone();
    other.to_boot = Boot(other.to_boot.0 ^ 1);
    let mut encoder = Encoder::new(config.clone());
    let mut sent: Vec<(bool, Vec<u8>)> = sent.iter().map(|datagram| (true, datagram.clone())).collect();
    // Of the same encoder, so that the second message has another name.
    assert_eq!(encoder.encode(envelope, &mut |_| {}), Ok(()));
    assert_eq!(encoder.encode(&other, &mut |datagram| sent.push((false, datagram.to_vec()))), Ok(()));
    let mut state = xxh3_64(&to_bytes(envelope)) | 1;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    };
    let (mut lost, mut arrived) = ([false; 2], [false; 2]);
    let mut decoder = Decoder::new(config);
    while !sent.is_empty() {
        let (is_first, mut datagram) = sent.swap_remove(draw(sent.len()));
        let fate = draw(16);
        lost[usize::from(is_first)] |= fate < 2;
        if fate == 0 {
            continue;
        }
        if fate == 1 {
            let place = draw(datagram.len());
            datagram[place] ^= 1 << draw(8);
            assert!(decoder.handle_datagram(Instant(0), &datagram).is_err(), "a flipped bit is noticed");
            continue;
        }
        if let Some(found) = decoder.handle_datagram(Instant(0), &datagram).expect("an honest datagram") {
            assert_eq!(found, if is_first { envelope.clone() } else { other.clone() });
            arrived[usize::from(is_first)] = true;
        }
    }
    assert_eq!(arrived, lost.map(|lost| !lost), "whole, or not at all");
}

/// The input as datagrams.
fn datagrams(input: &[u8]) {
    let config = WireConfig {
        datagram_bytes_max: usize::from(u16::MAX) + 64,
        message_bytes_max: 4_096,
        joining_bytes_max: 8_192,
    };
    let mut decoder = Decoder::new(config.clone());
    let mut encoder = Encoder::new(config.clone());
    for (turn, sealed) in sealed(input).iter().enumerate() {
        let now = Instant(turn as u64 * 700_000);
        let bare = &sealed[..sealed.len() - 8];
        check(&decoder.clone().handle_datagram(now, bare), bare, &mut encoder);
        let result = decoder.handle_datagram(now, sealed);
        check(&result, sealed, &mut encoder);
        assert!(decoder.joining_bytes() <= JOINING_PEERS_MAX * config.joining_bytes_max);
        assert!(decoder.joining_messages() <= JOINING_PEERS_MAX * JOINING_MESSAGES_MAX);
    }
}

/// The datagrams of the input, each with its checksum; pieces of one message also with the message's, unless the
/// highest bit of the length says to leave it as it is.
fn sealed(input: &[u8]) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let mut messages: BTreeMap<Vec<u8>, BTreeMap<[u8; 4], Vec<u8>>> = BTreeMap::new();
    let mut rest = input;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = u16::from_le_bytes(*length);
        let (datagram, after) = after.split_at(usize::from(length & 0x7FFF).min(after.len()));
        rest = after;
        datagrams.push((length & 0x8000 == 0, datagram.to_vec()));
        if let Some((name, ordinal, content)) = piece(datagram) {
            messages.entry(name).or_default().insert(ordinal, content.to_vec());
        }
    }
    for (whole, datagram) in &mut datagrams {
        let name = piece(datagram).map(|(name, ..)| name);
        if let Some(pieces) = name.filter(|_| *whole).and_then(|name| messages.get(&name)) {
            let message: Vec<u8> = pieces.values().flatten().copied().collect();
            datagram[47..55].copy_from_slice(&xxh3_64(&message).to_le_bytes());
        }
        let checksum = xxh3_64(datagram).to_le_bytes();
        datagram.extend_from_slice(&checksum);
    }
    datagrams.into_iter().map(|(_, datagram)| datagram).collect()
}

/// A piece without its checksum: the message's name, the ordinal (big-endian, to sort by) and the content.
fn piece(datagram: &[u8]) -> Option<(Vec<u8>, [u8; 4], &[u8])> {
    if datagram.len() < 55 || datagram[2] != 2 {
        return None;
    }
    let ordinal = [datagram[38], datagram[37], datagram[36], datagram[35]];
    Some((datagram[3..35].to_vec(), ordinal, &datagram[55..]))
}

/// A whole message that was read is written as the same datagram.
fn check(result: &Result<Option<Envelope>, WireError>, datagram: &[u8], encoder: &mut Encoder) {
    let Ok(Some(envelope)) = result else { return };
    if datagram[2] == 1 {
        let mut sent = Vec::new();
        assert_eq!(encoder.encode(envelope, &mut |bytes| sent.push(bytes.to_vec())), Ok(()));
        assert_eq!(sent, [datagram]);
    }
}
