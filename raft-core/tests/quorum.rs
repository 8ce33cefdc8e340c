//! The arithmetic of majorities, against tables and against every way of choosing a majority.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use raft_core::{Configuration, Incarnation, Member, MemberSet, NodeId};

fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(id) }
}

fn members(ids: &BTreeSet<u64>) -> MemberSet {
    ids.iter().map(|id| member(*id)).collect()
}

fn joint(voters: &BTreeSet<u64>, outgoing: &BTreeSet<u64>) -> Configuration {
    Configuration { voters: members(voters), outgoing: members(outgoing), ..Configuration::default() }
}

/// Whether `holds` for all of some choice of more than half of a set: by trying every choice.
fn some_majority(half: &BTreeSet<u64>, holds: impl Fn(u64) -> bool) -> bool {
    let ids: Vec<u64> = half.iter().copied().collect();
    (0_u32..1 << ids.len()).any(|choice| {
        let chosen = |bit: usize| choice >> bit & 1 == 1;
        let enough = (0..ids.len()).filter(|bit| chosen(*bit)).count() * 2 > ids.len();
        enough && ids.iter().enumerate().all(|(bit, id)| !chosen(bit) || holds(*id))
    })
}

/// The highest value that all of some majority have reached.
fn highest_agreed(half: &BTreeSet<u64>, values: &BTreeMap<u64, u64>) -> u64 {
    let reached = |id: u64| values.get(&id).copied().unwrap_or(0);
    (0..=20).rev().find(|mark| some_majority(half, |id| reached(id) >= *mark)).unwrap_or(0)
}

#[test]
fn majorities_by_table() {
    // (values of the voters, value of the quorum)
    let table: [(&[u64], u64); 12] = [
        (&[5], 5),
        (&[5, 7], 5),
        (&[0, 7], 0),
        (&[5, 7, 9], 7),
        (&[0, 7, 9], 7),
        (&[0, 0, 9], 0),
        (&[1, 2, 3, 4], 2),
        (&[1, 1, 4, 4], 1),
        (&[1, 4, 4, 4], 4),
        (&[1, 2, 3, 4, 5], 3),
        (&[0, 0, 3, 4, 5], 3),
        (&[0, 0, 0, 4, 5], 0),
    ];
    for (values, expected) in table {
        let configuration = Configuration::of_voters((0..values.len() as u64).map(member));
        let value = |member: Member| values[usize::try_from(member.id.0).expect("small")];
        assert_eq!(configuration.quorum_value(value), expected, "{values:?}");
    }
}

#[test]
fn nobody_is_no_majority() {
    let empty = Configuration::default();
    assert!(!empty.is_quorum(|_| true));
    assert_eq!(empty.quorum_value(|_| 7_u64), 0);
}

#[test]
fn learners_count_for_nothing() {
    let mut configuration = Configuration::of_voters([1, 2, 3].map(member));
    configuration.learners = [4, 5, 6].map(member).into();
    assert!(!configuration.is_quorum(|member| member.id.0 >= 3));
    assert_eq!(configuration.quorum_value(|member| if member.id.0 >= 3 { 9 } else { 0 }), 0);
}

fn half(least: usize) -> impl Strategy<Value = BTreeSet<u64>> {
    proptest::collection::btree_set(0_u64..9, least..8)
}

proptest! {
    #[test]
    fn a_quorum_is_a_majority_of_each_half(
        voters in half(1),
        outgoing in half(0),
        yes in proptest::collection::btree_set(0_u64..9, 0..9),
        values in proptest::collection::btree_map(0_u64..9, 0_u64..20, 0..9),
    ) {
        let configuration = joint(&voters, &outgoing);
        let holds = |id: u64| yes.contains(&id);
        let both = some_majority(&voters, holds) && (outgoing.is_empty() || some_majority(&outgoing, holds));
        prop_assert_eq!(configuration.is_quorum(|member| holds(member.id.0)), both);

        let value = |member: Member| values.get(&member.id.0).copied().unwrap_or(0);
        let halves = [&voters, &outgoing].into_iter().filter(|half| !half.is_empty());
        let expected = halves.map(|half| highest_agreed(half, &values)).min();
        let agreed = configuration.quorum_value(value);
        prop_assert_eq!(Some(agreed), expected, "the lower of both halves");
        prop_assert!(configuration.is_quorum(|member| value(member) >= agreed));
        prop_assert!(!configuration.is_quorum(|member| value(member) > agreed));
    }

    /// Any two quorums of one configuration share a member: what Raft's safety rests on.
    #[test]
    fn two_quorums_always_meet(voters in half(1), outgoing in half(0), yes in half(0)) {
        let configuration = joint(&voters, &outgoing);
        let one = configuration.is_quorum(|member| yes.contains(&member.id.0));
        let rest = configuration.is_quorum(|member| !yes.contains(&member.id.0));
        prop_assert!(!(one && rest));
    }
}
