//! A run of entries that several may hold at once.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::slice;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Entry;
use crate::wire::canonical;

/// Entries that share one block of memory with whoever else holds them: what goes to the disk, to each follower and to
/// the state machine is the same run, and a clone copies none of it.
///
/// A view of a part keeps the whole block in memory.
#[derive(Clone, Default)]
pub struct Entries {
    /// None if there are none: an empty run costs nothing.
    block: Option<Arc<[Entry]>>,
    start: usize,
    end: usize,
}

impl Entries {
    /// `count` of them, from the one at a place on.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn part(&self, from: usize, count: usize) -> Entries {
        let rest = self.len().checked_sub(from);
        assert!(rest.is_some_and(|rest| count <= rest), "a part lies within its run");
        let start = self.start + from;
        Entries { block: self.block.clone().filter(|_| count > 0), start, end: start + count }
    }
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        self.block.as_ref().map_or(&[], |block| &block[self.start..self.end])
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Entries {
        entries.into_iter().collect()
    }
}

impl<const N: usize> From<[Entry; N]> for Entries {
    fn from(entries: [Entry; N]) -> Entries {
        entries.into_iter().collect()
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Entries {
        let block: Arc<[Entry]> = entries.into_iter().collect();
        let end = block.len();
        Entries { block: (end > 0).then_some(block), start: 0, end }
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Entries) -> bool {
        **self == **other
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries, D::Error> {
        canonical::growing_vec::<D, Entry>(deserializer).map(Entries::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Payload;
    use crate::types::{Index, Term};

    fn run(count: u64) -> Entries {
        (1..=count)
            .map(|index| Entry { term: Term(1), index: Index(index), payload: Payload::Noop })
            .collect()
    }

    #[test]
    fn a_part_shares_the_block_and_counts_from_its_run() {
        let whole = run(10);
        let part = whole.part(2, 5).part(1, 3);
        assert_eq!(part.iter().map(|entry| entry.index.0).collect::<Vec<_>>(), [4, 5, 6]);
        assert!(core::ptr::eq(&whole[3], &part[0]), "nothing was copied");
        assert_eq!(part, part.to_vec().into());
    }

    #[test]
    #[should_panic(expected = "a part lies within its run")]
    fn a_part_of_a_part_does_not_reach_beyond_it() {
        let _ = run(10).part(0, 3).part(1, 3);
    }

    #[test]
    #[should_panic(expected = "a part lies within its run")]
    fn a_part_does_not_begin_before_its_run() {
        let _ = run(10).part(2, 3).part(usize::MAX, 2);
    }

    #[test]
    fn an_empty_run_has_no_block() {
        assert!(run(0).block.is_none() && run(3).part(3, 0).block.is_none() && Entries::default().is_empty());
        assert_eq!(run(0), Entries::from([]));
    }

    /// The bytes are those of a list.
    #[test]
    fn it_is_written_and_read_as_a_list() {
        let bytes = postcard::to_allocvec(&run(3)).expect("a run can be written");
        assert_eq!(bytes, postcard::to_allocvec(&run(3).to_vec()).expect("so can a list"));
        assert_eq!(canonical::parse::<Entries>(&bytes), Ok(run(3)));
    }
}
