//! What only grows: the current term ("increases monotonically", Raft figure 2), the commit index that a leader
//! reports, the boot, and the records of hard state on the platter.

use raft_core::{Boot, Index, Message, Term};

use super::ghost::Ghost;
use super::image::HardRecord;
use super::seat::Seat;
use super::{Failure, holds};

const NAME: &str = "monotonic";

/// A message that waited for its term leaves: across restarts, terms do not go back.
pub(crate) fn gated(seat: &mut Seat, message: &Message) -> Result<(), Failure> {
    let (earlier, term) = (seat.promised_term, message.term());
    holds(term >= earlier, NAME, || {
        format!("{} says {} in {term}, and was in {earlier} before", seat.member, message.name())
    })?;
    seat.promised_term = term;
    Ok(())
}

/// A leader reports its commit index, the same to everyone.
pub(crate) fn reported(ghost: &mut Ghost, seat: &Seat, term: Term, commit: Index) -> Result<(), Failure> {
    let last = &mut ghost.term_mut(term).commit;
    let earlier = std::mem::replace(last, commit);
    holds(commit >= earlier, NAME, || {
        format!("{}, leader of {term}, reports commit {commit} after {earlier}", seat.member)
    })
}

/// A recovery ends.
pub(crate) fn booted(seat: &Seat, boot: Boot) -> Result<(), Failure> {
    holds(boot > seat.boot, NAME, || format!("{} recovers as {boot} after {}", seat.member, seat.boot))
}

/// A newer hard state is durable.
pub(crate) fn replaced(seat: &Seat, old: &HardRecord, new: &HardRecord) -> Result<(), Failure> {
    holds(new.state.term >= old.state.term && new.boot >= old.boot, NAME, || {
        format!("{} replaces its durable {old:?} by {new:?}", seat.member)
    })
}
