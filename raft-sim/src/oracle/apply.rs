//! "If a server has applied a log entry at a given index to its state machine, no other server will ever apply a
//! different log entry for the same index" (Raft figure 3); "apply in log order"; what is applied is committed.
//!
//! Which committed commands reach the state machine (not the duplicates of a session, not configurations) is itself a
//! function of the log: all members apply one common sequence, from its start in each boot.

use raft_core::Index;

use super::ghost::Ghost;
use super::seat::Seat;
use super::{Failure, fail, holds};

/// A state machine applied a command; the caller has checked that it is committed.
pub(crate) fn applied(ghost: &mut Ghost, seat: &mut Seat, index: Index, digest: u64) -> Result<(), Failure> {
    const NAME: &str = "apply-order";
    let member = seat.member;
    let last = seat.applied.checked_sub(1).and_then(|place| ghost.applied.get(place)).copied();
    let last = last.map_or(Index(0), |(index, _)| index);
    holds(index > last, NAME, || format!("{member} applies {index} after {last}"))?;
    holds(ghost.committed.get(index).is_some(), NAME, || format!("{member} applies {index}, not committed"))?;
    holds(seat.image.log.get(index) == ghost.committed.get(index), NAME, || {
        format!("{member} applies {index} before the committed entry is durable there")
    })?;
    match ghost.applied.get(seat.applied) {
        None => ghost.applied.push((index, digest)),
        Some((due, _)) if *due != index => {
            return fail(NAME, format!("{member} applies {index} after {last}; others applied {due} there"));
        }
        Some((_, due)) if *due != digest => {
            let what = format!("{member} applies {digest:016x} at {index}; another applied {due:016x}");
            return fail("state-machine-safety", what);
        }
        Some(_) => {}
    }
    seat.applied += 1;
    Ok(())
}

/// A state machine's digest. Equal logs give equal states.
pub(crate) fn state(ghost: &mut Ghost, seat: &Seat, applied: Index, digest: u64) -> Result<(), Failure> {
    let known = *ghost.states.entry(applied).or_insert(digest);
    holds(known == digest, "state-digest", || {
        format!("{} has state {digest:016x} at {applied}; another had {known:016x}", seat.member)
    })
}
