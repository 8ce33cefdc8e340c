//! Three whole members.

use std::collections::BTreeMap;

use raft_core::replica::{Outcome, ReplicaConfig};
use raft_core::{Configuration, Refused, Span};

use super::world::{Dice, World, is_forward, is_forward_answer, member, request};

const SHORT: Span = Span::from_millis(100);
const LONG: Span = Span::from_millis(20_000);

#[test]
fn anyone_proposes_and_anyone_queries() {
    let mut world = World::new(3);
    let leader = world.elect();
    let ids: Vec<u64> = world.nodes.keys().copied().collect();
    for (id, by) in ids.iter().zip([1, 10, 100]) {
        let ticket = world.propose(*id, None, by);
        assert_eq!(world.at(*id).pending(), [ticket]);
        world.pass(SHORT);
        assert!(matches!(world.reply(*id, ticket), Some(Outcome::Done(_))), "{:?}", world.reply(*id, ticket));
        assert!(world.at(*id).pending().is_empty());
    }
    assert_eq!(world.forwards().len(), 2, "only those that do not lead forward, once each");
    assert!(world.forwards().iter().all(|envelope| envelope.to == member(leader)));
    for id in ids {
        let ticket = world.query(id);
        world.pass(SHORT);
        assert_eq!(world.reply(id, ticket), Some(Outcome::Answer(111)));
    }
    world.assert_equal();
}

#[test]
fn a_sessions_command_is_applied_once_however_often_and_wherever_it_is_proposed() {
    let mut world = World::new(3);
    let leader = world.elect();
    let follower = world.follower(leader);
    let session = world.open_session(follower);
    for id in [leader, follower, leader, follower] {
        let ticket = world.propose(id, request(session, 1), 5);
        world.pass(SHORT);
        assert_eq!(world.reply(id, ticket), Some(Outcome::Done(5)));
    }
    // Without a session each one counts.
    for sum in [6, 7] {
        let ticket = world.propose(follower, None, 1);
        world.pass(SHORT);
        assert_eq!(world.reply(follower, ticket), Some(Outcome::Done(sum)));
    }
    // The answer is that of then, not of now.
    let ticket = world.propose(follower, request(session, 1), 5);
    world.pass(SHORT);
    assert_eq!(world.reply(follower, ticket), Some(Outcome::Done(5)));
    world.assert_equal();
}

#[test]
fn a_restart_replays_the_log_into_state_and_sessions() {
    let mut world = World::new(3);
    let leader = world.elect();
    let session = world.open_session(leader);
    world.propose(leader, request(session, 1), 5);
    world.propose(leader, None, 2);
    world.pass(SHORT);
    let before = (world.at(leader).state().clone(), world.at(leader).sessions().clone());
    for id in 1..=3 {
        world.restart(id);
        assert_eq!(world.at(id).state().sum, 0, "nothing is known to be committed yet");
    }
    let leader = world.elect();
    world.pass(SHORT);
    assert_eq!((world.at(leader).state().clone(), world.at(leader).sessions().clone()), before);
    let follower = world.follower(leader);
    let ticket = world.propose(follower, request(session, 1), 5);
    world.pass(SHORT);
    assert_eq!(world.reply(follower, ticket), Some(Outcome::Done(5)));
    assert_eq!(world.at(leader).state().sum, 7);
    world.assert_equal();
}

#[test]
fn a_forward_that_arrives_twice_is_applied_once() {
    let mut world = World::new(3);
    let leader = world.elect();
    let follower = world.follower(leader);
    world.doubles = is_forward;
    let ticket = world.propose(follower, None, 5);
    world.pass(SHORT);
    assert_eq!(world.reply(follower, ticket), Some(Outcome::Done(5)));
    assert_eq!(world.at(leader).state().sum, 5);
}

#[test]
fn a_lost_forward_is_sent_again_and_a_lost_answer_does_no_harm() {
    let mut world = World::new(3);
    let leader = world.elect();
    let follower = world.follower(leader);
    world.loses = is_forward;
    let ticket = world.propose(follower, None, 5);
    world.pass(SHORT);
    assert_eq!(world.reply(follower, ticket), None);
    world.loses = is_forward_answer;
    world.pass(Span::from_millis(500));
    assert_eq!(world.reply(follower, ticket), Some(Outcome::Done(5)), "its own name in the entry ends it");
    assert!(world.forwards().len() >= 2);
    world.assert_equal();
}

#[test]
fn an_unanswered_forward_is_unknown_when_the_term_changes_and_never_goes_to_a_second_leader() {
    let mut world = World::new(3);
    let leader = world.elect();
    let follower = world.follower(leader);
    world.loses = is_forward;
    let ticket = world.propose(follower, None, 5);
    world.settle();
    world.nodes.remove(&leader);
    let second = world.elect();
    assert_ne!(second, leader);
    assert_eq!(world.reply(follower, ticket), Some(Outcome::Unknown), "at once, not at the deadline");
    world.loses = |_| false;
    world.pass(LONG);
    assert!(world.forwards().iter().all(|envelope| envelope.to == member(leader)));
    assert!(world.at(follower).pending().is_empty());
}

#[test]
fn a_forward_without_an_answer_is_unknown_at_its_deadline() {
    let mut world = World::new(3);
    let leader = world.elect();
    let follower = world.follower(leader);
    world.loses = is_forward;
    let ticket = world.propose(follower, None, 5);
    world.pass(Span(world.config.raft.proposal_timeout.0 - 1));
    assert_eq!(world.reply(follower, ticket), None);
    world.pass(SHORT);
    assert_eq!(world.reply(follower, ticket), Some(Outcome::Unknown));
}

#[test]
fn without_a_leader_or_without_forwarding_a_proposal_is_refused() {
    let mut world = World::new(3);
    let ticket = world.propose(1, None, 5);
    world.settle();
    assert_eq!(world.reply(1, ticket), Some(Outcome::Refused(Refused::NotLeader(None))));
    let founding = Configuration::of_voters((1..=3).map(member));
    let config = ReplicaConfig { forwarding: false, ..ReplicaConfig::default() };
    let mut world = World::found(config, founding, 3);
    let leader = world.elect();
    let follower = world.follower(leader);
    let ticket = world.propose(follower, None, 5);
    world.settle();
    let refused = Outcome::Refused(Refused::NotLeader(Some(member(leader))));
    assert_eq!(world.reply(follower, ticket), Some(refused));
}

#[test]
fn an_expired_session_stays_expired() {
    let config = ReplicaConfig { sessions_max: 2, ..ReplicaConfig::default() };
    let mut world = World::found(config, Configuration::of_voters((1..=3).map(member)), 3);
    let leader = world.elect();
    let old = world.open_session(leader);
    let applied = world.propose(leader, request(old, 1), 5);
    for _ in 0..2 {
        world.open_session(leader);
    }
    assert_eq!(world.reply(leader, applied), Some(Outcome::Done(5)));
    for _ in 0..2 {
        let retry = world.propose(leader, request(old, 1), 5);
        world.pass(SHORT);
        assert_eq!(world.reply(leader, retry), Some(Outcome::Expired));
    }
    assert_eq!(world.at(leader).state().sum, 5);
    world.assert_equal();
}

#[test]
fn tickets_are_bounded() {
    let config = ReplicaConfig { tickets_max: 2, ..ReplicaConfig::default() };
    let mut world = World::found(config, Configuration::of_voters((1..=3).map(member)), 3);
    let leader = world.elect();
    let tickets: Vec<_> = (0..3).map(|_| world.propose(leader, None, 1)).collect();
    world.pass(SHORT);
    let busy = Outcome::Refused(Refused::Busy("tickets_max"));
    assert_eq!(world.reply(leader, tickets[2]), Some(busy));
    assert_eq!(world.reply(leader, tickets[1]), Some(Outcome::Done(2)));
}

#[test]
fn after_a_disk_failure_only_replies_come_out() {
    let mut world = World::new(3);
    let leader = world.elect();
    let follower = world.follower(leader);
    world.loses = is_forward_answer;
    world.slow_disks = vec![1, 2, 3];
    let logged = world.propose(leader, None, 1);
    let sent = world.propose(follower, None, 2);
    world.settle();
    let queued = world.propose(follower, None, 4);
    let reading = world.query(follower);
    let now = world.now;
    let before = world.sent.len();
    for id in [leader, follower] {
        world.at(id).handle_disk_failed(now);
    }
    let late = world.propose(leader, None, 8);
    world.nodes.retain(|id, _| [leader, follower].contains(id));
    world.pass(LONG);
    let stopped = Some(Outcome::Refused(Refused::Stopped));
    assert_eq!(world.reply(leader, logged), Some(Outcome::Unknown));
    assert_eq!(world.reply(follower, sent), Some(Outcome::Unknown));
    assert_eq!(world.reply(follower, queued), stopped);
    assert_eq!(world.reply(follower, reading), stopped);
    assert_eq!(world.reply(leader, late), stopped);
    assert_eq!(world.sent.len(), before);
    for id in [leader, follower] {
        assert!(world.at(id).pending().is_empty());
        assert!(world.at(id).stopped().is_some());
        assert_eq!(world.at(id).next_tick(), None);
    }
}

/// Whatever the network does and whoever restarts: what is done is applied once, what is refused or lost never, and
/// each request ends, once.
#[test]
fn outcomes_tell_the_truth_under_loss_copies_delays_and_restarts() {
    let (mut done, mut unknown, mut unknown_applied, mut refused, mut restarts) = (0, 0, 0, 0, 0);
    for seed in 0..100 {
        let mut config = ReplicaConfig::default();
        config.raft.proposals_max = 8;
        let mut world = World::found(config, Configuration::of_voters((1..=3).map(member)), 3);
        world.dice = Some(Dice(seed));
        let mut dice = Dice(!seed);
        let mut open = BTreeMap::new();
        let mut ended = Vec::new();
        for value in 1..=150 {
            let id = 1 + dice.roll(3);
            open.insert((id, world.propose(id, None, value)), value);
            if dice.roll(3) == 0 {
                world.pass(Span(dice.roll(60_000)));
            }
            if dice.roll(8) == 0 {
                world.slow_disks = (1..=3).filter(|_| dice.roll(2) == 0).collect();
            }
            if dice.roll(30) == 0 {
                world.restart(id);
                restarts += 1;
                // Who asked there will never know.
                open.retain(|(node, _), _| *node != id);
            }
            for id in 1..=3 {
                for (ticket, outcome) in core::mem::take(&mut world.nodes.get_mut(&id).unwrap().replies) {
                    let value = open.remove(&(id, ticket)).expect("each ticket ends once");
                    ended.push((value, outcome));
                }
            }
        }
        world.dice = None;
        world.slow_disks.clear();
        let leader = world.elect();
        let last = world.propose(leader, None, 1_000);
        world.pass(LONG);
        assert!(matches!(world.reply(leader, last), Some(Outcome::Done(_))));
        for ((id, ticket), value) in open {
            ended.push((value, world.reply(id, ticket).expect("each ticket ends")));
            assert!(world.at(id).pending().is_empty());
        }
        world.assert_equal();
        let history = world.at(leader).state().history.clone();
        for (value, outcome) in ended {
            let applied = history.iter().filter(|(_, by)| *by == value).count();
            match outcome {
                Outcome::Done(_) => assert_eq!(applied, 1, "seed {seed}: {value} is done"),
                Outcome::Unknown => assert!(applied <= 1, "seed {seed}: {value} is applied twice"),
                Outcome::Lost | Outcome::Refused(_) => {
                    assert_eq!(applied, 0, "seed {seed}: {value} ended in {outcome:?}");
                }
                Outcome::Opened(_) | Outcome::Answer(_) | Outcome::Expired => panic!("{outcome:?}"),
            }
            done += u64::from(matches!(outcome, Outcome::Done(_)));
            unknown += u64::from(outcome == Outcome::Unknown);
            unknown_applied += u64::from(outcome == Outcome::Unknown && applied == 1);
            refused += u64::from(matches!(outcome, Outcome::Refused(Refused::Busy(_))));
        }
    }
    println!(
        "{done} done, {unknown} unknown ({unknown_applied} applied), {refused} busy, {restarts} restarts"
    );
    assert!(done > 500 && unknown > 50 && unknown_applied > 0 && refused > 50 && restarts > 50);
}
