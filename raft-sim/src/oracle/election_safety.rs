//! "At most one leader can be elected in a given term" (Raft figure 3), because a candidate needs "votes from a
//! majority of the servers in the full cluster for the same term" and nobody votes twice in it (§5.2).

use raft_core::{HardState, Member, Term};

use super::ghost::Ghost;
use super::quorum::is_quorum;
use super::seat::Seat;
use super::{Failure, fail, holds};

/// A vote is given, or asked for, which gives one's own.
pub(crate) fn voted(ghost: &mut Ghost, term: Term, voter: Member, candidate: Member) -> Result<(), Failure> {
    let earlier = *ghost.term_mut(term).votes.entry(voter).or_insert(candidate);
    holds(earlier == candidate, "vote-once", || {
        format!("{voter} votes for {candidate} in {term}, and voted for {earlier} before")
    })
}

/// A newer hard state is durable: within a term a vote stays.
pub(crate) fn replaced(member: Member, old: &HardState, new: &HardState) -> Result<(), Failure> {
    let kept = old.term != new.term || old.vote.is_none() || old.vote == new.vote;
    holds(kept, "vote-once", || format!("{member} replaces its durable vote: {old:?} by {new:?}"))
}

/// A vote reaches a candidate.
pub(crate) fn heard(seat: &mut Seat, voter: Member, term: Term) {
    // One of an older term can elect nobody any more.
    let newest = seat.votes_heard.last().map_or(term, |(newest, _)| term.max(*newest));
    seat.votes_heard.retain(|(heard, _)| *heard == newest);
    if term == newest {
        seat.votes_heard.insert((term, voter));
    }
}

/// A member speaks as leader. Returns whether for the first time in this term.
pub(crate) fn led(ghost: &mut Ghost, seat: &Seat, term: Term) -> Result<bool, Failure> {
    const NAME: &str = "election-safety";
    let member = seat.member;
    let of_term = ghost.terms.entry(term).or_default();
    match of_term.leader {
        Some(leader) if leader == member => return Ok(false),
        Some(leader) => return fail(NAME, format!("{member} leads in {term}, and so did {leader}")),
        None => {}
    }
    let elected = is_quorum(&ghost.configuration, |voter| {
        let given = of_term.votes.get(&voter) == Some(&member);
        if voter == member {
            return given || seat.image.votes.get(&term) == Some(&member);
        }
        given && seat.votes_heard.contains(&(term, voter))
    });
    if !elected {
        let votes = &of_term.votes;
        return fail(
            NAME,
            format!(
                "{member} leads in {term} without a quorum of votes; given were {votes:?}, heard were {:?}",
                seat.votes_heard
            ),
        );
    }
    of_term.leader = Some(member);
    Ok(true)
}
