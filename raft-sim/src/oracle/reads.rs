//! A read sees everything that was committed before it was asked. Its leader has this from a quorum: after the question
//! came, a majority, the leader included, answered something that the leader said later still (thesis §6.4, step 3: "it
//! issues a new round of heartbeats and waits for their acknowledgments from a majority of the cluster").
//!
//! Two rules, each without the core's word:
//! - `stale-read`: what answers has applied every command that was committed when the question came;
//! - `read-round`: rounds are numbers in messages, and grow. Between question and answer a quorum answered a round that had
//!   not left the leader when the question came. A follower's read rests on an answer of its leader instead, to a question
//!   that had not left when the read came.
//!
//! The second speaks in every run in which a leader answers by itself, whether or not another one leads meanwhile.

use std::collections::BTreeMap;

use raft_core::message::{ReadIndex, ReadIndexAnswer};
use raft_core::replica::Ticket;
use raft_core::{Boot, Envelope, Index, Member, Message, Round, Term};

use super::ghost::Ghost;
use super::quorum::is_quorum;
use super::seat::Seat;
use super::{Failure, fail, holds};

/// What a member said and heard in this boot that reads rest on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// The newest round that left it as a leader, with its term.
    sent: (Term, Round),
    /// The newest round that each peer answered.
    answered: BTreeMap<Member, (Term, Round)>,
    /// The number of its newest question to a leader.
    question: Round,
    /// Questions that reached it: the newest round that had left it when each first came.
    questions: BTreeMap<(Member, Boot, Round), (Term, Round)>,
    /// Reads that were asked of this member itself.
    open: BTreeMap<Ticket, Read>,
}

/// A read between its question and its answer.
#[derive(Clone, Debug)]
struct Read {
    /// What was committed when it came.
    due: Index,
    /// The newest round that had left this member then.
    sent: (Term, Round),
    /// The newest question that had left this member then.
    question: Round,
    /// A quorum, or a leader's answer, has confirmed it.
    is_confirmed: bool,
}

/// A message leaves.
pub(crate) fn spoke(ghost: &Ghost, seat: &mut Seat, envelope: &Envelope) -> Result<(), Failure> {
    let reads = &mut seat.reads;
    match &envelope.message {
        Message::Append(m) => reads.sent = reads.sent.max((m.term, m.round)),
        Message::Heartbeat(m) => reads.sent = reads.sent.max((m.term, m.round)),
        Message::SnapshotChunk(m) => reads.sent = reads.sent.max((m.term, m.round)),
        Message::ReadIndex(m) => reads.question = reads.question.max(m.round),
        Message::ReadIndexAnswer(m) => return forwarded_answered(ghost, seat, envelope, m),
        Message::PreVote(_)
        | Message::PreVoteAnswer(_)
        | Message::RequestVote(_)
        | Message::VoteAnswer(_)
        | Message::AppendAcknowledgement(_)
        | Message::AppendRejection(_)
        | Message::HeartbeatAnswer(_)
        | Message::StaleTerm(_)
        | Message::Abstention(_)
        | Message::AbstentionAnswer(_)
        | Message::Forward(_)
        | Message::ForwardAnswer(_)
        | Message::SnapshotChunkAnswer(_) => {}
    }
    Ok(())
}

/// A message arrives.
pub(crate) fn heard(ghost: &Ghost, seat: &mut Seat, envelope: &Envelope) {
    if envelope.to != seat.member || (envelope.message.is_answer() && envelope.to_boot != seat.boot) {
        return;
    }
    let (term, round) = match &envelope.message {
        Message::HeartbeatAnswer(m) => (m.term, m.round),
        Message::AppendAcknowledgement(m) => (m.term, m.round),
        Message::AppendRejection(m) => (m.term, m.round),
        Message::ReadIndex(m) => return asked_from_afar(seat, envelope, m),
        Message::ReadIndexAnswer(m) => {
            for read in seat.reads.open.values_mut() {
                read.is_confirmed |= read.question < m.round;
            }
            return;
        }
        Message::PreVote(_)
        | Message::PreVoteAnswer(_)
        | Message::RequestVote(_)
        | Message::VoteAnswer(_)
        | Message::Append(_)
        | Message::Heartbeat(_)
        | Message::StaleTerm(_)
        | Message::Abstention(_)
        | Message::AbstentionAnswer(_)
        | Message::Forward(_)
        | Message::ForwardAnswer(_)
        | Message::SnapshotChunk(_)
        | Message::SnapshotChunkAnswer(_) => return,
    };
    let newest = seat.reads.answered.entry(envelope.from).or_default();
    *newest = (*newest).max((term, round));
    let mut open = std::mem::take(&mut seat.reads.open);
    for read in open.values_mut().filter(|read| !read.is_confirmed) {
        read.is_confirmed = is_confirmed(ghost, seat, read.sent, term);
    }
    seat.reads.open = open;
}

/// Whether a quorum answered, in a term that this member leads, a round that had not left it when `sent` was its newest.
fn is_confirmed(ghost: &Ghost, seat: &Seat, sent: (Term, Round), term: Term) -> bool {
    let is_later = |answered: &(Term, Round)| answered.0 == term && *answered > sent;
    is_quorum(&ghost.configuration, |voter| {
        voter == seat.member || seat.reads.answered.get(&voter).is_some_and(is_later)
    })
}

fn asked_from_afar(seat: &mut Seat, envelope: &Envelope, question: &ReadIndex) {
    let key = (envelope.from, envelope.from_boot, question.round);
    let sent = seat.reads.sent;
    seat.reads.questions.entry(key).or_insert(sent);
}

/// A leader answers another member's question.
fn forwarded_answered(
    ghost: &Ghost,
    seat: &Seat,
    envelope: &Envelope,
    answer: &ReadIndexAnswer,
) -> Result<(), Failure> {
    let key = (envelope.to, envelope.to_boot, answer.round);
    let (member, to) = (seat.member, envelope.to);
    let Some(sent) = seat.reads.questions.get(&key) else {
        return fail("read-round", format!("{member} answers {to}, which asked nothing"));
    };
    holds(is_confirmed(ghost, seat, *sent, answer.term), "read-round", || {
        format!("{member} in {} answers {to} without a quorum that answered after the question", answer.term)
    })
}

/// A client's read reached this member.
pub(crate) fn asked(ghost: &Ghost, seat: &mut Seat, ticket: Ticket) {
    let (sent, question) = (seat.reads.sent, seat.reads.question);
    let read = Read { due: ghost.committed.end(), sent, question, is_confirmed: false };
    seat.reads.open.insert(ticket, read);
}

/// This member answered a client's read.
pub(crate) fn answered(ghost: &Ghost, seat: &mut Seat, ticket: Ticket) -> Result<(), Failure> {
    let member = seat.member;
    let Some(read) = seat.reads.open.remove(&ticket) else {
        return fail("read-round", format!("{member} answers a read that nobody asked"));
    };
    let due = ghost.applied.partition_point(|(index, _)| *index <= read.due);
    holds(seat.applied >= due, "stale-read", || {
        format!(
            "{member} answers a read from a state of {} commands; {due} were committed when it was asked, through {}",
            seat.applied, read.due
        )
    })?;
    let is_alone = is_quorum(&ghost.configuration, |voter| voter == member);
    holds(is_alone || read.is_confirmed, "read-round", || {
        format!("{member} answers a read without a quorum that answered after the question")
    })
}

/// A read ended otherwise.
pub(crate) fn ended(seat: &mut Seat, ticket: Ticket) {
    seat.reads.open.remove(&ticket);
}
