//! "Each server will vote for at most one candidate in a given term" (Raft §5.2), and "updated on stable storage
//! before responding to RPCs" (figure 2): a vote is on the platter before it is heard of.

use raft_core::message::{RequestVote, VoteAnswer};
use raft_core::{Member, Term};

use super::seat::Seat;
use super::{Failure, fail, holds};

const NAME: &str = "vote-durable";

/// A vote is given. A vote of an earlier term counts if it was durable once: nothing takes it back.
pub(crate) fn granted(seat: &Seat, candidate: Member, answer: &VoteAnswer) -> Result<(), Failure> {
    vote(seat, answer.term, candidate)
}

/// A candidate asks: its own vote and its whole log are durable (an ungated request can elect a leader that lacks
/// a committed entry: send, crash before the sync, campaign again in the same term with less log).
pub(crate) fn requested(seat: &Seat, request: &RequestVote) -> Result<(), Failure> {
    vote(seat, request.term, seat.member)?;
    if seat.image.term() > request.term {
        return Ok(()); // The log may have changed in the later term.
    }
    let durable = seat.image.log.last();
    holds(durable == request.last, NAME, || {
        let Seat { member, .. } = seat;
        format!("{member} asks for votes with last entry {}, its platter ends at {durable}", request.last)
    })
}

fn vote(seat: &Seat, term: Term, candidate: Member) -> Result<(), Failure> {
    let member = seat.member;
    match seat.image.votes.get(&term) {
        Some(vote) if *vote == candidate => Ok(()),
        Some(vote) => fail(
            NAME,
            format!("{member} says its vote in {term} is {candidate}'s; on its platter it is {vote}'s"),
        ),
        None => {
            let hard = seat.image.hard.map(|hard| hard.state);
            fail(NAME, format!("{member} votes for {candidate} in {term}; its platter says {hard:?}"))
        }
    }
}
