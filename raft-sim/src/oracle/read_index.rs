//! "The leader saves its current commit index in a local variable readIndex ... and must ensure that it has not been
//! superseded by a newer leader of which it is unaware" (thesis §6.4).
//!
//! Whatever was known to be committed when the question first left is covered by every answer to it: a leader that
//! committed in its own term and was confirmed after the question knows all of it.

use raft_core::message::{ReadIndex, ReadIndexAnswer};
use raft_core::{Envelope, Index};

use super::ghost::Ghost;
use super::{Failure, holds};

/// A follower asks.
pub(crate) fn asked(ghost: &mut Ghost, envelope: &Envelope, question: &ReadIndex) {
    let end = ghost.committed.end();
    ghost.questions.entry((envelope.from, envelope.from_boot, question.round)).or_insert(end);
}

/// A leader answers.
pub(crate) fn answered(ghost: &Ghost, envelope: &Envelope, answer: &ReadIndexAnswer) -> Result<(), Failure> {
    let question = (envelope.to, envelope.to_boot, answer.round);
    let due = ghost.questions.get(&question).copied().unwrap_or(Index(0));
    holds(answer.index >= due, "read-index", || {
        let from = envelope.from;
        format!(
            "{from} in {} answers a read with {}; {due} was committed when asked",
            answer.term, answer.index
        )
    })
}
