//! What goes in comes out.

use proptest::prelude::*;
use raft_core::Instant;
use raft_core::config::ConfigError;
use raft_core::wire::{DATAGRAM_BYTES_MIN, Decoder, Encoder, WireConfig, WireError, from_bytes, to_bytes};

use crate::{any, datagrams, smallest};

proptest! {
    #[test]
    fn any_envelope_comes_back(envelope in any::envelope(), datagram_bytes_max in 128..4_000usize) {
        let config = WireConfig { datagram_bytes_max, ..WireConfig::default() };
        let mut decoder = Decoder::new(config.clone());
        let sent = datagrams(&config, &envelope);
        let (last, before) = sent.split_last().unwrap();
        for datagram in before {
            prop_assert_eq!(decoder.handle_datagram(Instant(0), datagram), Ok(None));
        }
        prop_assert_eq!(decoder.handle_datagram(Instant(0), last), Ok(Some(envelope)));
        prop_assert!(sent.iter().all(|datagram| datagram.len() <= datagram_bytes_max));
        prop_assert_eq!((decoder.joining_bytes(), decoder.joining_messages()), (0, 0));
    }

    #[test]
    fn any_envelope_has_exactly_its_own_bytes(envelope in any::envelope()) {
        let bytes = to_bytes(&envelope);
        prop_assert_eq!(from_bytes(&bytes), Ok(envelope));
    }

    #[test]
    fn any_bytes_are_refused_or_are_a_message(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(envelope) = from_bytes(&bytes) {
            prop_assert_eq!(to_bytes(&envelope), bytes);
        }
    }

    #[test]
    fn any_datagram_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), versioned in any::<bool>()) {
        let mut bytes = bytes;
        if versioned && bytes.len() > 1 {
            bytes[..2].copy_from_slice(&[1, 0]);
        }
        // One in 2^64 has the right checksum.
        prop_assert!(Decoder::new(smallest()).handle_datagram(Instant(0), &bytes).is_err());
    }
}

#[test]
fn a_message_that_just_fits_is_one_datagram_and_a_byte_more_makes_two() {
    let config = WireConfig::default();
    let overhead = datagrams(&config, &any::append(1, 1_000))[0].len() - 1_000;
    let fits = any::append(1, config.datagram_bytes_max - overhead);
    assert_eq!(datagrams(&config, &fits).len(), 1);
    assert_eq!(datagrams(&config, &fits)[0].len(), config.datagram_bytes_max);
    let too_long = any::append(1, config.datagram_bytes_max - overhead + 1);
    assert_eq!(datagrams(&config, &too_long).len(), 2);
}

#[test]
fn a_message_above_the_bound_is_not_sent_and_the_encoder_goes_on() {
    let config = smallest();
    let at_bound = |extra: usize| {
        let overhead = to_bytes(&any::append(1, 60_000)).len() - 60_000;
        any::append(1, config.message_bytes_max - overhead + extra)
    };
    let mut encoder = Encoder::new(config.clone());
    let mut sent = 0;
    assert_eq!(encoder.encode(&at_bound(1), &mut |_| sent += 1), Err(WireError::TooLarge));
    assert_eq!(sent, 0);
    assert_eq!(encoder.encode(&at_bound(0), &mut |_| sent += 1), Ok(()));
    assert_eq!(sent, config.message_bytes_max.div_ceil(128 - 63));
}

#[test]
fn a_message_above_the_receivers_bound_is_refused_whole_or_in_pieces() {
    let envelope = any::append(1, 2_000);
    for datagram_bytes_max in [4_000, 1_200] {
        let sent = datagrams(&WireConfig { datagram_bytes_max, ..WireConfig::default() }, &envelope);
        let mut decoder =
            Decoder::new(WireConfig { message_bytes_max: 1_000, joining_bytes_max: 1_000, ..smallest() });
        for datagram in sent {
            assert_eq!(decoder.handle_datagram(Instant(0), &datagram), Err(WireError::TooLarge));
        }
        assert_eq!(decoder.joining_bytes(), 0);
    }
}

#[test]
fn sizes_that_cannot_work_are_refused_by_name() {
    let refused = |config: WireConfig| config.validate().map_err(|ConfigError { setting, .. }| setting);
    assert_eq!(refused(WireConfig::default()), Ok(()));
    assert_eq!(refused(smallest()), Ok(()));
    let datagram_bytes_max = DATAGRAM_BYTES_MIN - 1;
    assert_eq!(refused(WireConfig { datagram_bytes_max, ..smallest() }), Err("datagram_bytes_max"));
    assert_eq!(refused(WireConfig { message_bytes_max: 127, ..smallest() }), Err("message_bytes_max"));
    let endless = WireConfig { message_bytes_max: 1 << 32, joining_bytes_max: 1 << 32, ..smallest() };
    assert_eq!(refused(endless), Err("message_bytes_max"));
    assert_eq!(refused(WireConfig { joining_bytes_max: 65_535, ..smallest() }), Err("joining_bytes_max"));
}
