//! Datagrams from those who mean no good: nothing is accepted, nobody is answered, each is counted by its reason.

mod secure_world;

use proptest::prelude::*;
use raft_core::{ClusterId, Epoch};
use raft_net::secure::*;
use secure_world::*;

/// Hands a datagram to side 1 of a pair, which must drop it for this reason and answer nothing.
fn assert_dropped(pair: &mut Pair, datagram: &[u8], reason: Dropped) {
    let before = dropped(&pair.members[1], reason);
    assert_eq!(pair.deliver(1, datagram), Err(reason));
    assert_eq!(dropped(&pair.members[1], reason), before + 1);
    assert_eq!(pair.members[1].poll_transmit(), None, "nobody is answered");
}

/// The first initiation of a member with these settings.
fn initiation(config: SecureConfig) -> Vec<u8> {
    start(config, raft_core::Instant(0)).poll_transmit().expect("a start begins with an initiation").datagram
}

#[test]
fn others_are_dropped_by_their_reason() {
    let mut pair = Pair::connected();
    let honest = config_of_pair(1, 2, 2);
    let stranger = SecureConfig { secrets: secret(1).into(), ..honest.clone() };
    assert_dropped(&mut pair, &initiation(stranger), Dropped::BadMac);
    let other_cluster = SecureConfig { cluster: ClusterId(6), ..honest.clone() };
    assert_dropped(&mut pair, &initiation(other_cluster), Dropped::BadMac);
    let other_epoch = SecureConfig { epoch: Epoch(1), ..honest.clone() };
    assert_dropped(&mut pair, &initiation(other_epoch), Dropped::BadMac);
    let wrong_key = SecureConfig { key: key(9), ..honest.clone() };
    assert_dropped(&mut pair, &initiation(wrong_key), Dropped::UnknownKey);
    let swapped = SecureConfig { own: member(3), ..honest.clone() };
    assert_dropped(&mut pair, &initiation(swapped), Dropped::WrongIdentity);
    let wiped =
        Peer { member: raft_core::Member { incarnation: raft_core::Incarnation(1), ..member(2) }, ..peer(2) };
    let to_wiped = SecureConfig { peers: vec![wiped], ..honest.clone() };
    assert_dropped(&mut pair, &initiation(to_wiped), Dropped::WrongIdentity);
    let restored = SecureConfig { boot: raft_core::Boot(0), ..honest };
    assert_dropped(&mut pair, &initiation(restored), Dropped::OldBoot);
    pair.assert_passes(0, b"still connected");
}

#[test]
fn each_captured_datagram_is_dropped_when_it_comes_again() {
    let mut pair = Pair::connected();
    for round in 0_u32..50 {
        pair.assert_passes(0, &round.to_le_bytes());
    }
    let captured = pair.captured.clone();
    let heard = pair.heard.len();
    for (side, datagram) in &captured {
        let before = dropped_in_all(&pair.members[*side]);
        assert!(pair.deliver(*side, datagram).is_err());
        assert_eq!(dropped_in_all(&pair.members[*side]), before + 1);
        assert_eq!(pair.members[*side].poll_transmit(), None);
    }
    assert!(dropped(&pair.members[1], Dropped::Replayed) >= 50);
    assert!(dropped(&pair.members[1], Dropped::HandshakeReplayed) >= 1);
    assert_eq!(pair.heard.len(), heard);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut pair = Pair::connected();
    pair.seal(0, b"a payload with a key and a value");
    let datagram = pair.poll(0).remove(0);
    assert!(!datagram.windows(7).any(|part| part == b"payload"), "in clear");
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(pair.deliver(1, &flipped).is_err(), "bit {bit}");
    }
    assert_eq!(pair.deliver(1, &datagram), Ok(()));
}

#[test]
fn a_flood_of_initiations_is_limited() {
    let mut pair = Pair::connected();
    let flood = initiation(SecureConfig { key: key(9), ..config_of_pair(1, 2, 2) });
    for _ in 0..1_000 {
        assert!(pair.deliver(1, &flood).is_err());
    }
    assert!(dropped(&pair.members[1], Dropped::RateLimited) >= 900);
    pair.assert_passes(0, b"sessions don't care");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_and_mutated_datagrams_change_nothing(
        random in prop::collection::vec(any::<u8>(), 0..300),
        kind in 0_u8..4,
        which in any::<usize>(),
        places in prop::collection::vec((any::<usize>(), 1_u8..), 1..4),
        cut in prop::option::of(any::<usize>()),
    ) {
        let mut pair = Pair::connected();
        pair.assert_passes(0, b"first");
        let connections = pair.members[1].connections();
        let mut framed = vec![kind, 1, 0, 0];
        framed.extend_from_slice(&random);
        let mut mutated = pair.captured[which % pair.captured.len()].1.clone();
        for (place, change) in places {
            let place = place % mutated.len();
            mutated[place] ^= change;
        }
        if let Some(cut) = cut {
            mutated.truncate(cut % mutated.len());
        }
        for datagram in [random, framed, mutated] {
            prop_assert!(pair.deliver(1, &datagram).is_err());
            prop_assert_eq!(pair.members[1].poll_transmit(), None);
        }
        prop_assert_eq!(pair.members[1].connections(), connections);
        pair.assert_passes(0, b"second");
    }
}
