//! "The voter denies its vote if its own log is more up-to-date than that of the candidate" (Raft §5.4.1).
//!
//! The voter's log when it decided is in its memory, which is not to be trusted, and the platter may differ from it.
//! What the platter has when the vote leaves is still good evidence, for these reasons:
//! 1. Writes become durable in order, so a truncation before the decision is durable when the vote is. What the
//!    decision saw and is not synced yet only makes the platter's log older, which asks less of the candidate.
//! 2. After the decision the log changes only at the word of a leader of the vote's own term. Its entries of that term
//!    are left out of the comparison. If it is this candidate, its older entries are no newer than what it asked with.
//!    If it is another, nothing is compared: the vote is moot.
//! 3. A vote that was durable before this boot may have been decided on a log whose truncation did not survive.

use raft_core::message::VoteAnswer;
use raft_core::{LogId, Member, Term};

use super::ghost::Ghost;
use super::seat::Seat;
use super::{Failure, fail, holds};

const NAME: &str = "vote-up-to-date";

/// A candidate asks with its last entry.
pub(crate) fn requested(ghost: &mut Ghost, member: Member, term: Term, last: LogId) -> Result<(), Failure> {
    let earlier = *ghost.term_mut(term).candidates.entry(member).or_insert(last);
    holds(earlier == last, NAME, || {
        format!("{member} asks for votes in {term} with last entry {last}, and asked with {earlier} before")
    })
}

/// A vote is given.
pub(crate) fn granted(
    ghost: &Ghost,
    seat: &Seat,
    candidate: Member,
    answer: &VoteAnswer,
) -> Result<(), Failure> {
    let (member, term) = (seat.member, answer.term);
    let of_term = ghost.terms.get(&term);
    let Some(last) = of_term.and_then(|of_term| of_term.candidates.get(&candidate)) else {
        return fail(NAME, format!("{member} votes for {candidate} in {term}, which never asked"));
    };
    let leader = of_term.and_then(|of_term| of_term.leader);
    let comparable = leader.is_none_or(|leader| leader == candidate)
        && seat.vote_at_boot != Some((term, candidate))
        && seat.image.term() <= term;
    let own = seat.image.log.last_below(term);
    holds(!comparable || *last >= own, NAME, || {
        format!("{member} votes in {term} for {candidate}, whose log ends at {last}; its own has {own}")
    })
}
