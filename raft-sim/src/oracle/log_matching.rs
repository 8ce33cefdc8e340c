//! "If two logs contain an entry with the same index and term, then the logs are identical in all entries up through
//! the given index" (Raft figure 3). Entry by entry: an index and a term name one content and one predecessor.

use std::collections::btree_map::Entry as Slot;

use raft_core::message::Append;
use raft_core::{LogId, Member, Term};

use super::Failure;
use super::ghost::{Ghost, Known};
use super::image::Held;

const NAME: &str = "log-matching";

/// A leader tells of entries.
pub(crate) fn told(ghost: &mut Ghost, leader: Member, append: &Append) -> Result<(), Failure> {
    let mut previous = append.previous;
    record_told(ghost, leader, append.term, previous)?;
    for entry in &append.entries {
        seen(ghost, leader, entry.id(), Held::of(entry), previous)?;
        previous = entry.id();
        record_told(ghost, leader, append.term, previous)?;
    }
    Ok(())
}

/// "A leader never overwrites or deletes entries in its log" (Leader Append-Only): it never tells two terms of one
/// index.
pub(crate) fn record_told(ghost: &mut Ghost, leader: Member, term: Term, id: LogId) -> Result<(), Failure> {
    let earlier = *ghost.term_mut(term).told.entry(id.index).or_insert(id.term);
    super::holds(earlier == id.term, NAME, || {
        format!("{leader}, leader of {term}, tells of {id}, and told that this entry is of {earlier}")
    })
}

/// An entry was sent or became durable.
pub(crate) fn seen(
    ghost: &mut Ghost,
    member: Member,
    id: LogId,
    held: Held,
    previous: LogId,
) -> Result<(), Failure> {
    let known = Known { digest: held.digest, previous: previous.term };
    super::holds(previous.index.next() == id.index && previous.term <= id.term, NAME, || {
        format!("{member} has {id} after {previous}")
    })?;
    match ghost.entries.entry(id) {
        Slot::Vacant(slot) => {
            slot.insert(known);
            Ok(())
        }
        Slot::Occupied(slot) => super::holds(*slot.get() == known, NAME, || {
            format!(
                "{member} has at {id}, after an entry of {}, other content than was seen before",
                previous.term
            )
        }),
    }
}
