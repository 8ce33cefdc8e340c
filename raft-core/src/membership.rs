//! Who votes: configurations, single or joint (Raft §6), and the arithmetic of majorities.

mod member_set;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::types::{Member, NodeId};
use crate::wire::canonical;
pub use member_set::MemberSet;

/// The members of a cluster. Joint while `outgoing` is not empty: then every decision needs a majority of
/// `voters` *and* a majority of `outgoing` (Raft §6).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// Who votes; in a joint configuration, the new half.
    pub voters: MemberSet,
    /// The old half of a joint configuration, empty otherwise.
    pub outgoing: MemberSet,
    /// Who receives the log without voting.
    pub learners: MemberSet,
    /// Where each member is reached, in the words of the host's transport ("10.0.0.1:7000"). The core never reads it.
    #[serde(deserialize_with = "canonical::ascending_map")]
    pub addresses: BTreeMap<Member, String>,
}

/// Halves of up to this many voters are counted without allocating.
const INLINE_VOTERS: usize = 9;

impl Configuration {
    /// A single configuration of voters.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = Member>) -> Configuration {
        Configuration { voters: voters.into_iter().collect(), ..Configuration::default() }
    }

    /// Whether two majorities are needed.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether the member votes in either half.
    #[must_use]
    pub fn is_voter(&self, member: Member) -> bool {
        self.voters.contains(member) || self.outgoing.contains(member)
    }

    /// Whether the configuration names the member in whatever role.
    #[must_use]
    pub fn names(&self, member: Member) -> bool {
        self.is_voter(member) || self.learners.contains(member)
    }

    /// Everyone, each once, in order.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        let all: BTreeSet<Member> = self.voters.iter().chain(&self.outgoing).chain(&self.learners).collect();
        all.into_iter()
    }

    /// The current incarnation of a server, if the configuration names it.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<Member> {
        // Called for every message: no allocation.
        let mut all = self.voters.iter().chain(&self.outgoing).chain(&self.learners);
        all.find(|member| member.id == id)
    }

    /// Whether those for whom `holds` is true are a majority of each half.
    #[must_use]
    pub fn is_quorum(&self, mut holds: impl FnMut(Member) -> bool) -> bool {
        let mut majority = |half: &MemberSet| {
            let count = half.iter().filter(|member| holds(*member)).count();
            count * 2 > half.len()
        };
        majority(&self.voters) && (self.outgoing.is_empty() || majority(&self.outgoing))
    }

    /// The highest value that a majority of each half has reached: the commit rule's arithmetic.
    ///
    /// An empty half decides nothing: with no voters the result is the default (lowest) value.
    #[must_use]
    pub fn quorum_value<T: Ord + Copy + Default>(&self, mut value: impl FnMut(Member) -> T) -> T {
        let mut of_half = |half: &MemberSet| {
            let mut inline = [T::default(); INLINE_VOTERS];
            let mut heap = Vec::new();
            let values = match inline.get_mut(..half.len()) {
                Some(values) => values,
                None => {
                    heap.resize(half.len(), T::default());
                    &mut heap[..]
                }
            };
            for (slot, member) in values.iter_mut().zip(half) {
                *slot = value(member);
            }
            values.sort_unstable_by(|a, b| b.cmp(a));
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let incoming = of_half(&self.voters);
        if self.outgoing.is_empty() { incoming } else { incoming.min(of_half(&self.outgoing)) }
    }
}
