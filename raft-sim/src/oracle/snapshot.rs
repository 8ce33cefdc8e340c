//! "Each server takes snapshots independently, covering just the committed entries in its log" (Raft §7). A snapshot
//! names what is committed, is whole before anything rests on it, and is what the log that it covers leads to.
//!
//! In the oracles' images a snapshot is the committed log through its last entry: so every other property goes on to be
//! checked as if nobody ever forgot anything.

use raft_core::{Index, LogId, Member, Restored, SnapshotMeta};

use super::durability::Recovered;
use super::ghost::Ghost;
use super::image::{Held, Image, Log, LogChange};
use super::platter::Platter;
use super::seat::Seat;
use super::{Failure, fail, holds};

const NAME: &str = "snapshot";

/// A member says that a snapshot covers everything through `last`.
pub(crate) fn named(ghost: &Ghost, member: Member, last: LogId) -> Result<(), Failure> {
    let committed = ghost.committed.get(last.index).map(|held| held.term);
    holds(committed == Some(last.term), NAME, || {
        format!("{member} names a snapshot through {last}; committed there is an entry of {committed:?}")
    })
}

/// The committed log through `last`, which is what a snapshot stands for.
pub(crate) fn covered(ghost: &Ghost, member: Member, last: LogId) -> Result<Log, Failure> {
    if last.index == Index(0) {
        return Ok(Log::default());
    }
    named(ghost, member, last)?;
    Ok(ghost.committed.prefix(last.index).unwrap_or_default())
}

/// A log that starts after `base`, with what was before it.
pub(crate) fn complete(
    ghost: &Ghost,
    member: Member,
    base: LogId,
    entries: Vec<Held>,
) -> Result<Log, Failure> {
    let mut log = covered(ghost, member, base)?;
    entries.into_iter().for_each(|held| log.push(held));
    Ok(log)
}

/// The log that recovery hands to the core: its terms, and the newest entries. The contents of the others are those
/// that were seen under the same index and term, or that the platter has if nobody saw them become durable.
pub(crate) fn log_of(
    ghost: &Ghost,
    member: Member,
    restored: &Restored,
    platter: &Log,
) -> Result<Log, Failure> {
    let mut log = covered(ghost, member, restored.base())?;
    let newest = restored.entries();
    let first = newest.first().map_or(restored.last().index.next(), |entry| entry.index);
    let mut runs = restored.runs().iter().peekable();
    let mut term = restored.base().term;
    for index in restored.base().index.0 + 1..first.0 {
        while let Some(run) = runs.next_if(|run| run.index <= Index(index)) {
            term = run.term;
        }
        let id = LogId { term, index: Index(index) };
        let seen = ghost.entries.get(&id).map(|known| Held { term, digest: known.digest });
        let held = seen.or(platter.get(id.index).filter(|held| held.term == term));
        log.push(held.unwrap_or(Held { term, digest: 0 }));
    }
    newest.iter().for_each(|entry| log.push(Held::of(entry)));
    Ok(log)
}

/// What a snapshot covers; nothing without one.
pub(crate) fn last_of(snapshot: &Option<SnapshotMeta>) -> LogId {
    snapshot.as_ref().map_or(LogId::default(), |snapshot| snapshot.last)
}

/// A recovery ends with that, and `platter` is what the files say: it has the snapshot that was durable, or a newer
/// one. To be judged wherever the log begins: where it has all entries from 1 on, no entry is missing with a snapshot
/// that is lost, and the log alone shows nothing.
pub(crate) fn recovered(
    ghost: &Ghost,
    seat: &Seat,
    found: &Recovered,
    platter: &Image,
) -> Result<(), Failure> {
    let (member, last) = (found.member, last_of(&found.snapshot));
    if found.snapshot.is_some() {
        named(ghost, member, last)?;
    }
    let base = found.base;
    holds(last.index >= base.index, NAME, || {
        format!("{member} recovers a log that starts after {base}, and a snapshot through {last}")
    })?;
    if seat.rotted {
        return Ok(());
    }
    holds(found.snapshot == platter.snapshot, NAME, || {
        let durable = last_of(&platter.snapshot);
        format!(
            "{member} recovers with a snapshot of {last}; its platter has one of {durable}, or another one"
        )
    })?;
    let before = last_of(&seat.image.snapshot);
    holds(last >= before, NAME, || {
        format!("{member} recovers with a snapshot of {last}; one of {before} was durable")
    })
}

/// A record that rests on a snapshot became durable.
pub(crate) fn durable(seat: &Seat, change: &LogChange, platter: &impl Platter) -> Result<(), Failure> {
    let (file, snapshot) = match change {
        LogChange::Install(file, snapshot) => (file, snapshot),
        LogChange::Discard(file, discard) => (file, &discard.snapshot),
        LogChange::Truncate(_) | LogChange::Append(_) => return Ok(()),
    };
    // A file that rotted meanwhile was whole when it was written.
    if seat.rotted {
        return Ok(());
    }
    match seat.follower.check_snapshot(platter, *file, snapshot) {
        Ok(()) => Ok(()),
        Err(what) => fail(
            NAME,
            format!(
                "{} rests on the snapshot of {}, which is not durable: {what}",
                seat.member, snapshot.last
            ),
        ),
    }
}

/// A replica froze its state.
pub(crate) fn froze(
    ghost: &mut Ghost,
    seat: &Seat,
    last: LogId,
    digests: (Option<u64>, u64),
) -> Result<(), Failure> {
    named(ghost, seat.member, last)?;
    agrees(ghost, seat.member, last.index, digests)
}

/// A snapshot became a replica's state.
pub(crate) fn restored(
    ghost: &mut Ghost,
    seat: &mut Seat,
    applied: Index,
    digests: (Option<u64>, u64),
) -> Result<(), Failure> {
    let member = seat.member;
    let last = seat.applied.checked_sub(1).and_then(|place| ghost.applied.get(place)).copied();
    let last = last.map_or(Index(0), |(index, _)| index);
    holds(applied >= last, "apply-order", || format!("{member} goes back from {last} to {applied}"))?;
    holds(seat.image.log.end() >= applied, NAME, || {
        format!("{member} has the state of {applied}; its platter ends at {}", seat.image.log.end())
    })?;
    agrees(ghost, member, applied, digests)?;
    seat.applied = ghost.applied.partition_point(|(index, _)| *index <= applied);
    Ok(())
}

/// One part of the log leads to one state.
fn agrees(
    ghost: &mut Ghost,
    member: Member,
    applied: Index,
    digests: (Option<u64>, u64),
) -> Result<(), Failure> {
    let known = *ghost.frozen.entry(applied).or_insert(digests);
    holds(known == digests, NAME, || {
        format!("{member} has at {applied} the state and sessions {digests:016x?}; another had {known:016x?}")
    })?;
    let replayed = ghost.states.range(..=applied).next_back().map(|(index, state)| (*index, *state));
    match (digests.0, replayed) {
        (Some(state), Some((index, replayed))) => holds(state == replayed, NAME, || {
            format!(
                "{member} has state {state:016x} at {applied}; the log through {index} leads to {replayed:016x}"
            )
        }),
        (None, _) | (_, None) => Ok(()),
    }
}
