//! A datagram that is not exactly what was sent is refused.

use raft_core::wire::{Decoder, WireConfig, WireError};
use raft_core::{Envelope, Instant};

use crate::{any, datagrams, smallest};

/// A whole message, and a piece of each kind: a first one and a shorter last one.
fn samples() -> Vec<Vec<u8>> {
    let mut samples: Vec<Vec<u8>> =
        any::one_of_each().iter().flat_map(|envelope| datagrams(&WireConfig::default(), envelope)).collect();
    let pieces = datagrams(&smallest(), &any::append(2, 70));
    assert!(pieces.len() > 2);
    samples.extend([pieces[0].clone(), pieces[pieces.len() - 1].clone()]);
    samples
}

fn decode(datagram: &[u8]) -> Result<Option<Envelope>, WireError> {
    Decoder::new(smallest()).handle_datagram(Instant(0), datagram)
}

#[test]
fn every_flipped_bit_is_noticed() {
    for datagram in samples() {
        assert!(decode(&datagram).is_ok());
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 16 {
                WireError::Version(u16::from_le_bytes([damaged[0], damaged[1]]))
            } else {
                WireError::Checksum
            };
            assert_eq!(decode(&damaged), Err(expected), "bit {bit} of {datagram:02x?}");
        }
    }
}

#[test]
fn every_other_value_of_every_byte_is_noticed() {
    let samples = samples();
    for datagram in [&samples[7], &samples[samples.len() - 1]] {
        for at in 0..datagram.len() {
            for change in 1..=u8::MAX {
                let mut damaged = datagram.clone();
                damaged[at] ^= change;
                assert!(decode(&damaged).is_err(), "byte {at} ^ {change}");
            }
        }
    }
}

#[test]
fn every_truncation_and_extension_is_noticed() {
    for datagram in samples() {
        for length in 0..datagram.len() {
            let expected = if length < 11 { WireError::Length } else { WireError::Checksum };
            assert_eq!(decode(&datagram[..length]), Err(expected), "{length} of {datagram:02x?}");
        }
        for added in [0, 1, 0xFF] {
            let mut longer = datagram.clone();
            longer.push(added);
            assert_eq!(decode(&longer), Err(WireError::Checksum));
        }
        let mut doubled = datagram.clone();
        doubled.extend_from_slice(&datagram);
        assert_eq!(decode(&doubled), Err(WireError::Checksum));
    }
}

#[test]
fn another_version_is_named_whatever_follows() {
    for version in [0u16, 2, 0x0100, u16::MAX] {
        assert_eq!(decode(&version.to_le_bytes()), Err(WireError::Version(version)));
        let mut datagram = version.to_le_bytes().to_vec();
        datagram.extend_from_slice(&[0xAB; 50]);
        assert_eq!(decode(&datagram), Err(WireError::Version(version)));
    }
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let errors = [
        WireError::Checksum,
        WireError::Length,
        WireError::Version(2),
        WireError::Malformed,
        WireError::TooLarge,
        WireError::Inconsistent,
    ];
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    a datagram's checksum does not match: it is damaged, or not ours; drop and count it
    a datagram is shorter or longer than its header says; drop and count it
    a datagram of format version 2, and this node understands only 1; drop and count it, and upgrade this node if the sender is a newer one
    a datagram's content is not the canonical encoding of a message; drop and count it
    a message above message_bytes_max; drop and count it, and compare both nodes' settings
    a piece contradicts other pieces of its message; drop and count it
    ");
}
