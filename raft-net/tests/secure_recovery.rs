//! Sessions that one side believes in and the other does not have, and how soon they are replaced.

#![allow(clippy::unwrap_used)] // Tests may, their helpers too.

mod secure_world;

use raft_core::Span;
use raft_net::secure::*;
use secure_world::*;

/// A second session, of which the datagram that would confirm it is lost: the first side sends in it, the second has
/// it only on trial and still sends in the first one.
fn half_open() -> Pair {
    let mut pair = Pair::connected();
    pair.run(6_000);
    // The second side falls silent for so long that the first begins anew.
    pair.seal(0, b"unheard");
    pair.poll(0);
    pair.advance(500);
    for initiation in pair.poll(0) {
        pair.deliver(1, &initiation).unwrap();
    }
    for answer in pair.poll(1) {
        pair.deliver(0, &answer).unwrap();
    }
    let confirmation = pair.poll(0);
    assert_eq!(confirmation.len(), 1, "an empty datagram confirms: {confirmation:?}");
    pair
}

#[test]
fn a_session_whose_confirmation_was_lost_is_repaired_in_silence() {
    let mut pair = half_open();
    pair.run(15_000);
    pair.assert_passes(0, b"at once");
    pair.assert_passes(1, b"at once as well");
}

#[test]
fn a_session_that_the_peer_forgot_is_replaced_although_the_peer_is_heard_in_another() {
    let mut pair = half_open();
    // Long enough for the second side to forget what was never confirmed. It keeps sending in the first session, and
    // its own initiations never get through.
    let hears_the_second = |pair: &mut Pair, round: u64| {
        pair.advance(100);
        pair.seal(1, &round.to_le_bytes());
        for datagram in pair.poll(1).iter().filter(|datagram| !is_initiation(datagram)) {
            let _ = pair.deliver(0, datagram);
        }
    };
    for round in 0..120 {
        hears_the_second(&mut pair, round);
        pair.poll(0);
    }
    assert_eq!(pair.heard.len(), 120);
    for round in 120..=120 + TALKING_AGAIN_MILLIS / 100 {
        pair.seal(0, b"retried");
        for datagram in pair.poll(0) {
            let _ = pair.deliver(1, &datagram);
        }
        hears_the_second(&mut pair, round);
    }
    assert!(pair.heard.contains(&(1, b"retried".to_vec())), "{:?}", pair.members[0].connections());
}

#[test]
fn a_session_that_the_peer_forgot_is_noticed_by_what_stays_unanswered() {
    let mut pair = Pair::connected();
    pair.run(60_000);
    // A new boot that can be reached, but whose own initiations don't get through.
    pair.members[1] = start(config_of_pair(2, 2, 1), pair.now);
    pair.poll(1);
    let began = pair.now;
    while !pair.heard.iter().any(|(side, payload)| *side == 1 && payload == b"retried") {
        pair.seal(0, b"retried");
        for datagram in pair.poll(0) {
            let _ = pair.deliver(1, &datagram);
            for answer in pair.poll(1).iter().filter(|answer| !is_initiation(answer)) {
                pair.deliver(0, answer).unwrap();
            }
        }
        for datagram in pair.poll(0) {
            pair.deliver(1, &datagram).unwrap();
        }
        pair.advance(100);
        assert!(
            pair.now.since(began) <= Span::from_millis(700),
            "not heard: {:?}",
            pair.members[0].connections()
        );
    }
}

#[test]
fn members_that_both_restarted_out_of_reach_of_each_other_talk_again_soon() {
    let mut pair = Pair::connected();
    for side in 0..2 {
        let (id, other) = (1 + side as u64, 2 - side as u64);
        pair.members[side] = start(config_of_pair(id, 2, other), pair.now);
    }
    // A minute in which everything is lost, and each has become as patient as it ever is.
    for _ in 0..600 {
        pair.advance(100);
        for side in 0..2 {
            pair.seal(side, b"lost, or waiting");
            pair.poll(side);
        }
    }
    pair.assert_retried_arrives_within(TALKING_AGAIN_MILLIS);
}

#[test]
fn a_round_trip_of_400_ms_connects_and_causes_no_handshake_without_need() {
    let mut pair = Pair::new();
    let mut under_way = Vec::new();
    let mut connected = 0;
    for step in 0_u64..3_000 {
        for side in 0..2 {
            // Both talk for the first half, then the second only answers.
            if step % 10 == 0 && (side == 0 || step < 1_500) {
                pair.seal(side, &step.to_le_bytes());
            }
            let arrives = pair.now.plus(Span::from_millis(200));
            under_way.extend(pair.poll(side).into_iter().map(|datagram| (arrives, 1 - side, datagram)));
        }
        pair.advance(10);
        let arrived = under_way.iter().take_while(|(arrives, ..)| *arrives <= pair.now).count();
        for (_, side, datagram) in under_way.drain(..arrived) {
            let _ = pair.deliver(side, &datagram);
        }
        if step == 500 {
            pair.assert_connected();
            connected = pair.initiations(0) + pair.initiations(1);
        }
    }
    assert_eq!(pair.initiations(0) + pair.initiations(1), connected);
    for side in 0..2 {
        assert!(pair.heard.iter().any(|heard| heard == &(side, 1_400_u64.to_le_bytes().to_vec())));
    }
}

#[test]
fn members_agree_which_of_two_crossed_sessions_to_send_in_though_one_of_them_is_worn() {
    let limits = SessionLimits { rekey_count: 4, reject_count: 256, ..SessionLimits::default() };
    let mut pair = Pair::with(|config| SecureConfig { limits: limits.clone(), ..config });
    // Both begin at once, and what waits wears the first side's session out as soon as there is one.
    for number in 0..5 {
        pair.seal(0, &[number]);
    }
    pair.settle();
    for round in 0_u8..20 {
        pair.assert_passes(1, &[round, 1]);
        pair.run(100);
        pair.assert_passes(0, &[round, 0]);
    }
}

#[test]
fn a_session_that_the_larger_member_asked_for_is_not_taken_for_a_crossed_one() {
    let mut pair = Pair::connected();
    pair.run(1_000);
    pair.seal(1, b"lost, so that another session is sought");
    pair.poll(1);
    pair.run(1_000);
    let initiations = pair.initiations(0) + pair.initiations(1);
    for round in 0_u8..50 {
        pair.assert_passes(0, &[round, 0]);
        pair.assert_passes(1, &[round, 1]);
        pair.run(100);
    }
    assert_eq!(pair.initiations(0) + pair.initiations(1), initiations, "the two never agree on a session");
}

#[test]
fn a_session_never_heard_in_gives_way_to_one_that_is() {
    let mut pair = Pair::new();
    pair.poll(1);
    // Of the smaller member's session the confirmation is lost, of its next attempt the answer.
    for initiation in pair.poll(0) {
        pair.deliver(1, &initiation).unwrap();
    }
    for answer in pair.poll(1) {
        pair.deliver(0, &answer).unwrap();
    }
    pair.poll(0);
    pair.advance(500);
    for initiation in pair.poll(0).iter().filter(|datagram| is_initiation(datagram)) {
        pair.deliver(1, initiation).unwrap();
    }
    pair.poll(1);
    // Then only the larger one's attempt comes through.
    pair.advance(800);
    pair.poll(0);
    for _ in 0..2 {
        for datagram in pair.poll(1) {
            pair.deliver(0, &datagram).unwrap();
        }
        for datagram in pair.poll(0).iter().filter(|datagram| !is_initiation(datagram)) {
            pair.deliver(1, datagram).unwrap();
        }
    }
    pair.assert_passes(0, b"in the larger one's");
}
