//! "Before ... responding to RPCs" state is on stable storage (Raft figure 2), so a restart finds every promise: what
//! was acknowledged, voted and seen is there, or damage is known to have happened and the member abstains.

use raft_core::{Boot, HardState, Index, LogId, Member, RestoreError, SnapshotMeta, Term};

use super::ghost::Ghost;
use super::image::{Image, Log};
use super::seat::Seat;
use super::{Failure, ack_durable, fail, holds, snapshot};

const NAME: &str = "committed-never-lost";

/// The durable log changed from `before` to what the seat has now, by writes or by a recovery. Returns how far the
/// member's last acknowledgement still binds it.
pub(crate) fn changed(ghost: &Ghost, seat: &Seat, before: &Log) -> Result<Index, Failure> {
    let (member, acknowledged) = (seat.member, seat.acknowledged);
    let Some(lost) = before.first_lost_in(&seat.image.log) else {
        return Ok(acknowledged.index);
    };
    // Where the member has not heard of the term whose quorum committed the entry, and is not in that quorum, the word of a
    // leader of an earlier term that comes late is lawful: it may hold the entry by chance, and lets go of it.
    let term = seat.image.hard.map_or(Term(0), |hard| hard.state.term);
    let has_heard = ghost.committing_term(lost).is_some_and(|committing| term >= committing);
    if has_heard && before.get(lost) == ghost.committed.get(lost) {
        return fail(NAME, format!("{member} no longer has the committed entry {lost} on its platter"));
    }
    if seat.image.log.get(lost).is_some_and(|now| ghost.committed.get(lost) == Some(now)) {
        // The committed entry took the place of another one.
        return Ok(acknowledged.index.min(lost.previous()));
    }
    let of = before.get(lost).map(|held| held.term).unwrap_or_default();
    let bound = lost <= acknowledged.index;
    if bound && ack_durable::conflicts(ghost, acknowledged.term, lost, of).is_none() {
        let (term, through) = (acknowledged.term, acknowledged.index);
        return fail(
            NAME,
            format!(
                "{member} no longer has {lost} of {of}; it acknowledged {through} in {term}, and no later leader \
                 sent another entry there"
            ),
        );
    }
    Ok(acknowledged.index.min(lost.previous()))
}

/// What a recovery gave to the core.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    /// Whose disk it is.
    pub(crate) member: Member,
    /// The new boot.
    pub(crate) boot: Boot,
    /// The hard state.
    pub(crate) state: HardState,
    /// What the log starts after.
    pub(crate) base: LogId,
    /// The log, from 1 on all the same.
    pub(crate) log: Log,
    /// What it says that the log ends with.
    pub(crate) last: LogId,
    /// The snapshot to begin with.
    pub(crate) snapshot: Option<SnapshotMeta>,
}

/// A recovery ends with that, and `platter` is what the files say: every vote and term is there, and nothing rests on
/// bytes that a power loss can take.
pub(crate) fn recovered(seat: &Seat, found: &Recovered, platter: &Image) -> Result<(), Failure> {
    let (member, state) = (seat.member, found.state);
    let end = found.log.last();
    holds(end == found.last, NAME, || {
        format!("{member} recovers a log to {}, whose entries end at {end}", found.last)
    })?;
    let term = state.term.max(end.term);
    holds(term >= seat.promised_term, NAME, || {
        format!("{member} recovers in {term}, and was heard in {}", seat.promised_term)
    })?;
    if let Some((voted, candidate)) = seat.granted {
        holds(state.term != voted || state.vote == Some(candidate), NAME, || {
            format!("{member} recovers with vote {:?} in {voted}, which it gave to {candidate}", state.vote)
        })?;
    }
    if seat.rotted {
        return Ok(());
    }
    holds(found.log == platter.log, NAME, || {
        let durable = platter.log.last();
        format!("{member} recovers with a log to {end}; its platter has one to {durable}, or other entries")
    })?;
    let hard = platter.hard;
    holds(hard.is_some_and(|hard| hard.state == state && hard.boot == found.boot), NAME, || {
        format!("{member} recovers as {} with {state:?}; its platter says {hard:?}", found.boot)
    })
}

/// A recovery after damage: either every acknowledged entry is there, or the member abstains.
pub(crate) fn damaged(ghost: &Ghost, seat: &Seat, before: &Log) -> Result<Index, Failure> {
    let bound = seat.acknowledged.index;
    let Some(lost) = before.first_lost_in(&seat.image.log) else {
        return Ok(bound);
    };
    if seat.image.abstaining() {
        return Ok(bound.min(lost.previous()));
    }
    changed(ghost, seat, before)
}

/// At the end: the platter, read afresh, says what it was seen to say sync by sync.
pub(crate) fn finished(seat: &Seat, platter: &Image) -> Result<(), Failure> {
    let Seat { member, image, .. } = seat;
    let same = image.log == platter.log && image.hard == platter.hard && image.snapshot == platter.snapshot;
    holds(same, NAME, || {
        let (seen, found) = (image.log.last(), platter.log.last());
        let (hard, now) = (image.hard, platter.hard);
        let (snapshot, whole) = (snapshot::last_of(&image.snapshot), snapshot::last_of(&platter.snapshot));
        format!(
            "{member} synced a log to {seen}, a snapshot of {snapshot} and {hard:?}; its platter has {found}, \
             {whole} and {now:?}"
        )
    })
}

/// The platter of a running member, never damaged, can't be read.
pub(crate) fn unreadable(seat: &Seat, error: &RestoreError) -> Result<(), Failure> {
    fail(NAME, format!("the platter of {} can't be read: {error}", seat.member))
}

/// Every `stride`-th committed entry, from the last one down, is with a quorum (those included whose damage is not
/// repaired).
pub(crate) fn survey(ghost: &Ghost, seats: &[Seat], stride: u64) -> Result<(), Failure> {
    let end = ghost.committed.end();
    let mut index = end;
    while let Some(held) = ghost.committed.get(index) {
        holds(ghost.is_held(seats, index, &[held]), NAME, || {
            format!("the committed entry {index} is no longer with a quorum (committed: {end})")
        })?;
        index = Index(index.0.saturating_sub(stride));
    }
    Ok(())
}
