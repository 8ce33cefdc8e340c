//! A member whose disk lost what it promised elects nobody until its log is whole again: otherwise a leader could be
//! elected by votes that forgot a committed entry (protocol-aware recovery, FAST '18).

use raft_core::journal::RecoveryReport;
use raft_core::message::AbstentionAnswer;
use raft_core::{Envelope, HardState, Message};

use super::durability::Recovered;
use super::ghost::Ghost;
use super::seat::Seat;
use super::{Failure, holds};

const NAME: &str = "abstaining";

/// A vote or a campaign leaves. Votes wait for the end of the abstention to be durable. What belongs to a pre-vote
/// waits for less, so it may leave once a leader answered this boot, which can have ended it in memory.
pub(crate) fn spoke(ghost: &Ghost, seat: &Seat, message: &Message) -> Result<(), Failure> {
    let waits = match message {
        Message::VoteAnswer(answer) => answer.granted,
        Message::RequestVote(_) => true,
        Message::PreVoteAnswer(answer) => answer.granted && !is_answered(ghost, seat),
        Message::PreVote(_) => !is_answered(ghost, seat),
        Message::Append(_)
        | Message::AppendAcknowledgement(_)
        | Message::AppendRejection(_)
        | Message::Heartbeat(_)
        | Message::HeartbeatAnswer(_)
        | Message::StaleTerm(_)
        | Message::ReadIndex(_)
        | Message::ReadIndexAnswer(_)
        | Message::Abstention(_)
        | Message::AbstentionAnswer(_)
        | Message::Forward(_)
        | Message::ForwardAnswer(_)
        | Message::SnapshotChunk(_)
        | Message::SnapshotChunkAnswer(_) => false,
    };
    holds(!waits || !seat.image.abstaining(), NAME, || {
        format!("{} abstains, and says {} in {}", seat.member, message.name(), message.term())
    })
}

/// A leader tells a damaged member how long its log is.
pub(crate) fn answered(ghost: &mut Ghost, envelope: &Envelope, answer: &AbstentionAnswer) {
    let target = ghost.repairs.entry((envelope.to, envelope.to_boot)).or_insert(answer.last);
    *target = answer.last.min(*target);
}

/// A newer hard state is durable: abstention ends only when a leader answered this boot and the log got that far.
pub(crate) fn replaced(ghost: &Ghost, seat: &Seat, old: &HardState, new: &HardState) -> Result<(), Failure> {
    if !old.abstaining || new.abstaining {
        return Ok(());
    }
    let target = ghost.repairs.get(&(seat.member, seat.boot));
    holds(target.is_some_and(|target| *target <= seat.longest), NAME, || {
        let (member, longest) = (seat.member, seat.longest);
        format!("{member} ends its abstention with a log to {longest}; the leader's end: {target:?}")
    })
}

/// A recovery found damage: its member abstains before anything is repaired.
pub(crate) fn recovered(found: &Recovered, report: &RecoveryReport) -> Result<(), Failure> {
    holds(report.damaged_at.is_none() || found.state.abstaining, NAME, || {
        format!("{} recovers from damage at {:?} and does not abstain", found.member, report.damaged_at)
    })
}

fn is_answered(ghost: &Ghost, seat: &Seat) -> bool {
    ghost.repairs.contains_key(&(seat.member, seat.boot))
}
