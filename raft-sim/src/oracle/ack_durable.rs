//! "If successful, the follower's log is identical to the leader's own log up through the new entries" (Raft §5.3),
//! and on stable storage "before responding" (figure 2).

use raft_core::message::AppendAcknowledgement;
use raft_core::{Index, Member, Message, Term};

use super::ghost::{Ghost, Told};
use super::seat::Seat;
use super::{Failure, fail, holds};

const NAME: &str = "ack-durable";

/// A message whose sender's term must be durable leaves.
pub(crate) fn gated(seat: &Seat, message: &Message) -> Result<(), Failure> {
    let durable = seat.image.term();
    holds(message.term() <= durable, NAME, || {
        format!("{} says {} in {}; its platter is in {durable}", seat.member, message.name(), message.term())
    })
}

/// A follower acknowledges. What it acknowledged in a term that is over on its platter was checked by the sender's
/// own rule when it was true, and may be truncated by now.
pub(crate) fn acknowledged(
    ghost: &Ghost,
    seat: &Seat,
    answer: &AppendAcknowledgement,
) -> Result<(), Failure> {
    let AppendAcknowledgement { term, matched, .. } = *answer;
    if matched == Index(0) {
        return Ok(());
    }
    let member = seat.member;
    let told = ghost.leader_entry(term, matched);
    if told == Told::Never {
        return fail(
            NAME,
            format!("{member} acknowledges {matched} in {term}; its leader sent nothing so far"),
        );
    }
    if seat.image.term() > term {
        return Ok(());
    }
    let Some(held) = seat.image.log.get(matched) else {
        let end = seat.image.log.end();
        return fail(NAME, format!("{member} acknowledges {matched} in {term}; its platter ends at {end}"));
    };
    holds(told == Told::Implied || told == Told::Term(held.term), NAME, || {
        let theirs = held.term;
        format!(
            "{member} acknowledges {matched} in {term}: on its platter it is of {theirs}, sent was {told:?}"
        )
    })
}

/// Remembers an acknowledgement as a promise of the member and as a match in the term of its leader.
pub(crate) fn remember(ghost: &mut Ghost, seat: &mut Seat, term: Term, matched: Index) {
    let of_term = ghost.term_mut(term).acknowledged.entry(seat.member).or_default();
    *of_term = matched.max(*of_term);
    if term > seat.acknowledged.term {
        seat.acknowledged = raft_core::LogId { term, index: matched };
    } else if term == seat.acknowledged.term {
        seat.acknowledged.index = matched.max(seat.acknowledged.index);
    }
}

/// Whether some leader after `term` told of an entry at `index` that is not of term `of`: the only lawful reason to
/// let go of an acknowledged entry (Raft §5.3).
pub(crate) fn conflicts(ghost: &Ghost, term: Term, index: Index, of: Term) -> Option<Member> {
    ghost
        .terms
        .range(term.next()..)
        .filter(|(_, later)| later.told.get(&index).is_some_and(|told| *told != of))
        .find_map(|(_, later)| later.leader)
}
