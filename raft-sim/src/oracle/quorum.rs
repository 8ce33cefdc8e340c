//! Majorities, counted here and not by the core's arithmetic, which is part of what is under test (Raft §5, §6).

use std::collections::BTreeSet;

use raft_core::{Configuration, Member};

/// Whether more than half of the voters hold, and more than half of the outgoing ones if there are any.
pub(crate) fn is_quorum(configuration: &Configuration, holds: impl Fn(Member) -> bool) -> bool {
    let halves = [&configuration.voters, &configuration.outgoing];
    halves.into_iter().enumerate().all(|(place, half)| {
        let (mut with, mut without) = (0, 0);
        for member in half {
            if holds(member) { with += 1 } else { without += 1 }
        }
        with > without || (place == 1 && half.is_empty())
    })
}

/// The highest value that a quorum has reached.
pub(crate) fn quorum_value<T: Ord + Copy + Default>(
    configuration: &Configuration,
    value: impl Fn(Member) -> T,
) -> T {
    let voters = configuration.voters.iter().chain(&configuration.outgoing);
    let values: BTreeSet<T> = voters.map(&value).collect();
    let reached = |least: &T| is_quorum(configuration, |member| value(member) >= *least);
    values.into_iter().rev().find(reached).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use raft_core::{Incarnation, NodeId};

    use super::*;

    fn member(id: u64) -> Member {
        Member { id: NodeId(id), incarnation: Incarnation(1) }
    }

    fn of(voters: u64, outgoing: &[u64]) -> Configuration {
        let outgoing = outgoing.iter().map(|id| member(*id)).collect();
        Configuration { outgoing, ..Configuration::of_voters((1..=voters).map(member)) }
    }

    #[test]
    fn half_is_no_majority() {
        for (voters, least) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            let configuration = of(voters, &[]);
            assert!(is_quorum(&configuration, |voter| voter.id.0 <= least));
            assert!(!is_quorum(&configuration, |voter| voter.id.0 < least));
        }
        assert!(!is_quorum(&of(0, &[]), |_| true), "nobody is no quorum");
    }

    #[test]
    fn a_joint_configuration_needs_both_halves() {
        let joint = of(3, &[3, 4, 5]);
        assert!(is_quorum(&joint, |voter| [2, 3, 4].contains(&voter.id.0)));
        assert!(!is_quorum(&joint, |voter| voter.id.0 <= 3));
        assert_eq!(quorum_value(&joint, |voter| voter.id.0), 2);
        assert_eq!(quorum_value(&of(4, &[]), |voter| voter.id.0), 2);
        assert_eq!(quorum_value(&of(0, &[]), |voter| voter.id.0), 0);
    }
}
