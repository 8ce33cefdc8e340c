//! A set of members, made for the handful that a cluster has.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::{iter, slice};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::Member;
use crate::wire::canonical;

/// Members in ascending order, each once.
///
/// One block of memory, of 16 bytes for each member and none for none: a tree's smallest node would take more than a
/// cluster of seven, and every message and every commit looks at all of them. A change copies the set.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct MemberSet(Box<[Member]>);

impl MemberSet {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the member is one of them.
    #[must_use]
    pub fn contains(&self, member: Member) -> bool {
        self.0.contains(&member) // Few enough that looking at each is the fastest.
    }

    /// In ascending order.
    pub fn iter(&self) -> iter::Copied<slice::Iter<'_, Member>> {
        self.0.iter().copied()
    }

    /// Adds a member. False: it was there.
    pub fn insert(&mut self, member: Member) -> bool {
        let is_new = !self.contains(member);
        if is_new {
            *self = self.iter().chain([member]).collect();
        }
        is_new
    }

    /// Takes a member out. False: it was not there.
    pub fn remove(&mut self, member: Member) -> bool {
        let was_there = self.contains(member);
        if was_there {
            *self = self.iter().filter(|other| *other != member).collect();
        }
        was_there
    }
}

impl FromIterator<Member> for MemberSet {
    fn from_iter<I: IntoIterator<Item = Member>>(members: I) -> MemberSet {
        let mut members: Vec<Member> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        MemberSet(members.into())
    }
}

impl Extend<Member> for MemberSet {
    fn extend<I: IntoIterator<Item = Member>>(&mut self, members: I) {
        *self = self.iter().chain(members).collect();
    }
}

impl<const N: usize> From<[Member; N]> for MemberSet {
    fn from(members: [Member; N]) -> MemberSet {
        members.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a MemberSet {
    type Item = Member;
    type IntoIter = iter::Copied<slice::Iter<'a, Member>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for MemberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl Serialize for MemberSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for MemberSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MemberSet, D::Error> {
        canonical::ascending_list(deserializer).map(|members| MemberSet(members.into()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::types::{Incarnation, NodeId};

    fn member(number: u8) -> Member {
        Member { id: NodeId(u64::from(number / 2)), incarnation: Incarnation(u64::from(number % 2)) }
    }

    proptest! {
        /// Beside the standard library's set.
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0_u8..12), 0..40)) {
            let (mut ours, mut theirs) = (MemberSet::default(), BTreeSet::new());
            for (adds, number) in steps {
                let one = member(number);
                if adds {
                    prop_assert_eq!(ours.insert(one), theirs.insert(one));
                } else {
                    prop_assert_eq!(ours.remove(one), theirs.remove(&one));
                }
                prop_assert_eq!(ours.contains(one), theirs.contains(&one));
                prop_assert_eq!((ours.len(), ours.is_empty()), (theirs.len(), theirs.is_empty()));
                prop_assert!(ours.iter().eq(theirs.iter().copied()));
                let bytes = postcard::to_allocvec(&ours).expect("a set can be written");
                prop_assert_eq!(&bytes, &postcard::to_allocvec(&theirs).expect("so can the other"));
                prop_assert_eq!(canonical::parse::<MemberSet>(&bytes), Ok(ours.clone()));
            }
        }
    }
}
