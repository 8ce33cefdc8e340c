//! Each message has one spelling. These change the bytes under a correct checksum.

use raft_core::message::{Append, Message};
use raft_core::wire::{Decoder, WireError, from_bytes, to_bytes};
use raft_core::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::{any, smallest};

/// A datagram around any content, with the checksum that belongs to it.
pub(crate) fn framed(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut datagram = vec![1, 0, kind];
    datagram.extend_from_slice(content);
    let checksum = xxh3_64(&datagram);
    datagram.extend_from_slice(&checksum.to_le_bytes());
    datagram
}

fn decode(content: &[u8]) -> Result<Option<Envelope>, WireError> {
    let result = Decoder::new(smallest()).handle_datagram(Instant(0), &framed(1, content));
    assert_eq!(result, from_bytes(content).map(Some));
    result
}

fn of_configuration(configuration: Configuration) -> Vec<u8> {
    let payload = Payload::Configuration(Box::new(configuration));
    let entry = Entry { term: Term(3), index: Index(7), payload };
    to_bytes(&any::around(Message::Append(Append {
        term: Term(3),
        round: Round(9),
        previous: LogId { term: Term(2), index: Index(6) },
        entries: [entry].into(),
        commit: Index(5),
    })))
}

#[test]
fn an_overlong_varint_is_refused_wherever_it_is() {
    let mut lengthened = 0;
    for envelope in any::one_of_each() {
        let bytes = to_bytes(&envelope);
        assert_eq!(decode(&bytes), Ok(Some(envelope)));
        for at in 0..bytes.len() {
            // Where a varint ends here, one more byte says the same: `07` is also `87 00`, and `87 80 00`.
            for tail in [&[0x00][..], &[0x80, 0x00], &[0x80, 0x80, 0x80, 0x00]] {
                let mut overlong = bytes.clone();
                overlong[at] |= 0x80;
                overlong.splice(at + 1..at + 1, tail.iter().copied());
                if let Ok((loose, [])) = postcard::take_from_bytes::<Envelope>(&overlong) {
                    lengthened += u32::from(to_bytes(&loose) == bytes);
                }
                if bytes[at] < 0x80 {
                    // Inside a command or a text this is another message, of another length: refused as well.
                    assert_eq!(decode(&overlong), Err(WireError::Malformed), "byte {at}");
                }
            }
        }
    }
    assert!(lengthened > 500, "postcard alone takes {lengthened} of these for the message");
}

#[test]
fn a_number_that_does_not_fit_is_refused() {
    // The cluster, of 64 bits: nine continued bytes, and a tenth above 1.
    let mut bytes = to_bytes(&any::around(any::one_of_each()[8].message.clone()));
    assert_eq!(bytes[0], 77);
    bytes.splice(..1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]);
    assert!(decode(&bytes).is_ok());
    bytes[9] = 0x02;
    assert_eq!(decode(&bytes), Err(WireError::Malformed));
}

#[test]
fn bytes_left_over_or_missing_are_refused() {
    for envelope in any::one_of_each() {
        let bytes = to_bytes(&envelope);
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Err(WireError::Malformed));
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode(&longer), Err(WireError::Malformed));
    }
}

#[test]
fn a_kind_of_message_payload_or_datagram_that_is_unknown_is_refused() {
    let heartbeat = to_bytes(&any::one_of_each()[7]);
    let message_at = 11;
    assert_eq!(heartbeat[message_at], 7);
    let mut unknown = heartbeat.clone();
    unknown[message_at] = 100;
    assert_eq!(decode(&unknown), Err(WireError::Malformed));

    let configuration = of_configuration(Configuration::default());
    let payload_at = configuration.len() - 6;
    assert_eq!(configuration[payload_at], 2);
    let mut unknown = configuration.clone();
    unknown[payload_at] = 5;
    assert_eq!(decode(&unknown), Err(WireError::Malformed));

    for kind in [0, 3, 255] {
        let datagram = framed(kind, &heartbeat);
        assert_eq!(
            Decoder::new(smallest()).handle_datagram(Instant(0), &datagram),
            Err(WireError::Malformed)
        );
    }
}

#[test]
fn a_boolean_is_zero_or_one() {
    let mut bytes = to_bytes(&any::one_of_each()[3]);
    assert_eq!(bytes.last(), Some(&1));
    for value in 2..=u8::MAX {
        *bytes.last_mut().unwrap() = value;
        assert_eq!(decode(&bytes), Err(WireError::Malformed));
    }
}

#[test]
fn a_text_is_utf_8() {
    let samples = any::one_of_each();
    let mut bytes = samples.iter().map(to_bytes).find(|bytes| bytes.ends_with(b"busy")).unwrap();
    *bytes.last_mut().unwrap() = 0xFF;
    assert_eq!(decode(&bytes), Err(WireError::Malformed));
}

#[test]
fn sets_and_maps_are_strictly_ascending() {
    let member = |id| Member { id: NodeId(id), incarnation: Incarnation(0x55) };
    let two = || [member(0x21), member(0x22)].into();
    let addresses = [(member(0x21), "a".into()), (member(0x22), "b".into())].into();
    let configurations = [
        Configuration { voters: two(), ..Configuration::default() },
        Configuration { outgoing: two(), ..Configuration::default() },
        Configuration { learners: two(), ..Configuration::default() },
        Configuration { addresses, ..Configuration::default() },
    ];
    for configuration in configurations {
        let bytes = of_configuration(configuration);
        let at = |id| bytes.windows(2).position(|two| *two == [id, 0x55]).unwrap();
        let (first, second) = (at(0x21), at(0x22));
        for (a, b) in [(0x22, 0x21), (0x21, 0x21), (0x22, 0x22)] {
            let mut changed = bytes.clone();
            (changed[first], changed[second]) = (a, b);
            assert_eq!(decode(&changed), Err(WireError::Malformed), "{a:x} before {b:x}");
        }
        let mut changed = bytes.clone();
        (changed[first], changed[second]) = (0x21, 0x23);
        assert!(decode(&changed).is_ok(), "other members in order are another message");
    }
}
