//! What is read back from the disk, and for whom: entries to apply, entries and pieces of a snapshot for followers.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Raft;
use super::progress::{Fetched, Mode};
use super::queue::Queue;
use super::role::Role;
use crate::action::Action;
use crate::entry::Entry;
use crate::load::{LoadRequest, Loaded, Wanted};
use crate::types::{Index, Instant, Member};

/// Requests that are on their way to the disk. One to apply, and one for each follower, at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loads {
    last_number: u64,
    under_way: Queue<(u64, Purpose)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Apply,
    Peer(Member),
}

impl Loads {
    fn issue(&mut self, purpose: Purpose, wanted: Wanted) -> LoadRequest {
        self.last_number += 1;
        self.under_way.push_back((self.last_number, purpose));
        LoadRequest { number: self.last_number, wanted }
    }

    /// Why a request was made; none if it was not, or ended already.
    fn end(&mut self, number: u64) -> Option<Purpose> {
        let at = self.under_way.iter().position(|(other, _)| *other == number)?;
        self.under_way.remove(at).map(|(_, purpose)| purpose)
    }

    /// Keeps no more room than what is here takes.
    pub(crate) fn let_go_of_room(&mut self) {
        self.under_way.let_go_of_room();
    }

    /// Whether somebody is waited for twice: a defect of this crate.
    pub(super) fn has_twice(&self) -> bool {
        let mut purposes: Vec<Purpose> = self.under_way.iter().map(|(_, purpose)| *purpose).collect();
        purposes.sort_unstable();
        purposes.windows(2).any(|two| two[0] == two[1])
    }

    /// What was asked for before and is not wanted any more counts too: a slow disk gets no second request.
    fn has(&self, purpose: Purpose) -> bool {
        self.under_way.iter().any(|(_, other)| *other == purpose)
    }
}

impl Raft {
    /// Takes what was read back. Every request must end here once.
    ///
    /// [`Loaded::Damaged`] stops the node, and so does [`Loaded::Gone`] for something that must be there, an answer of the
    /// other kind, and an empty one: see [`is_stopped`](Raft::is_stopped). A restart finds the damage and repairs it.
    pub fn handle_loaded(&mut self, now: Instant, request: LoadRequest, loaded: Loaded) {
        self.advance(now);
        if self.stopped {
            return;
        }
        let Some(purpose) = self.loads.end(request.number) else { return };
        match (&request.wanted, loaded) {
            (_, Loaded::Damaged) => self.handle_disk_failed(),
            // An answer of the wrong kind, or an empty one, is a broken host; asking again would go on for ever.
            (Wanted::Entries { .. }, Loaded::Chunk(_)) | (Wanted::Chunk { .. }, Loaded::Entries(_)) => {
                self.handle_disk_failed();
            }
            (_, Loaded::Entries(entries)) if entries.is_empty() => self.handle_disk_failed(),
            (_, Loaded::Chunk(bytes)) if bytes.is_empty() => self.handle_disk_failed(),
            (Wanted::Entries { from, through, runs, .. }, Loaded::Gone) => {
                let is_there =
                    *from > self.log.base().index && self.log.runs_between(*from, *through) == *runs;
                if is_there { self.handle_disk_failed() } else { self.forget_fetch(purpose, request.number) }
            }
            (Wanted::Entries { from, .. }, Loaded::Entries(entries)) => {
                let entries = self.agreeing(*from, entries);
                self.take_entries(purpose, request.number, *from, entries);
            }
            (Wanted::Chunk { snapshot, .. }, Loaded::Gone) => {
                let is_current = self.snapshot.as_ref().is_some_and(|current| current.same_content(snapshot));
                if is_current {
                    self.handle_disk_failed()
                } else {
                    self.restart_transfer(purpose, request.number)
                }
            }
            (Wanted::Chunk { offset, .. }, Loaded::Chunk(bytes)) => {
                let offset = *offset;
                self.fetched(purpose, request.number, Fetched::Chunk(offset, bytes));
            }
        }
    }

    /// The beginning of what was read that is in the log still: the range may have been overwritten meanwhile.
    fn agreeing(&self, from: Index, mut entries: Vec<Entry>) -> Vec<Entry> {
        let fits = |(offset, entry): &(u64, &Entry)| {
            entry.index.0 == from.0 + offset
                && self.log.holds(entry.id())
                && entry.index > self.log.base().index
        };
        let count = (0..).zip(&entries).take_while(fits).count();
        entries.truncate(count);
        entries
    }

    fn take_entries(&mut self, purpose: Purpose, number: u64, from: Index, entries: Vec<Entry>) {
        if entries.is_empty() {
            return self.forget_fetch(purpose, number);
        }
        match purpose {
            Purpose::Apply if from == self.applying.next() && self.restoring.is_none() => {
                self.loaded_to_apply = Some(Box::new(entries.into()));
            }
            Purpose::Apply => {}
            Purpose::Peer(_) => self.fetched(purpose, number, Fetched::Entries(entries.into())),
        }
    }

    /// Keeps what was read for a follower that waits for exactly this.
    fn fetched(&mut self, purpose: Purpose, number: u64, found: Fetched) {
        let Purpose::Peer(member) = purpose else { return };
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(peer) = leader.peer_mut(member)
            && matches!(peer.fetched, Fetched::Asked(asked) if asked == number)
        {
            peer.fetched = found;
        }
    }

    fn forget_fetch(&mut self, purpose: Purpose, number: u64) {
        self.fetched(purpose, number, Fetched::Nothing);
    }

    /// The snapshot that a follower was getting was replaced: it gets the new one.
    fn restart_transfer(&mut self, purpose: Purpose, number: u64) {
        let Purpose::Peer(member) = purpose else { return };
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(peer) = leader.peer_mut(member)
            && matches!(peer.mode, Mode::Snapshot(_))
            && matches!(peer.fetched, Fetched::Asked(asked) if asked == number)
        {
            peer.fetched = Fetched::Nothing;
            peer.mode = Mode::Probe { sent: None };
            self.transfers_restarted += 1;
        }
    }

    /// The next thing to read back.
    pub(super) fn poll_load(&mut self) -> Option<Action> {
        self.poll_apply_load().or_else(|| self.poll_peer_load()).map(Action::Load)
    }

    fn poll_apply_load(&mut self) -> Option<LoadRequest> {
        let (from, through) = (self.applying.next(), self.applicable());
        let is_wanted = from <= through && from < self.log.cached_from() && self.loaded_to_apply.is_none();
        let room = self.apply_room()?;
        if !is_wanted || self.loads.has(Purpose::Apply) {
            return None;
        }
        let through = through.min(self.log.cached_from().previous());
        let runs = self.log.runs_between(from, through);
        let wanted = Wanted::Entries { from, through, runs, bytes_max: room };
        Some(self.loads.issue(Purpose::Apply, wanted))
    }

    fn poll_peer_load(&mut self) -> Option<LoadRequest> {
        let end = self.log.last().index;
        let Role::Leader(leader) = &mut self.role else { return None };
        for (member, peer) in &mut leader.peers {
            if !matches!(peer.fetched, Fetched::Nothing) || self.loads.has(Purpose::Peer(*member)) {
                continue;
            }
            let wanted = match &peer.mode {
                Mode::Snapshot(transfer) => {
                    let bytes_max = peer.budget.bytes(self.config.chunk_bytes_max);
                    match transfer.wants(&self.config, bytes_max) {
                        Some((offset, bytes_max)) if bytes_max > 0 => {
                            Wanted::Chunk { snapshot: transfer.snapshot.clone(), offset, bytes_max }
                        }
                        Some(_) | None => continue,
                    }
                }
                Mode::Probe { .. } | Mode::Pipeline(_) => match peer.wants(&self.config, end) {
                    Some(want)
                        if want.first < self.log.cached_from() && want.first > self.log.base().index =>
                    {
                        let through = want.through.min(self.log.cached_from().previous());
                        let runs = self.log.runs_between(want.first, through);
                        let bytes_max = peer.append_bytes_max(&self.config);
                        Wanted::Entries { from: want.first, through, runs, bytes_max }
                    }
                    Some(_) | None => continue,
                },
            };
            let request = self.loads.issue(Purpose::Peer(*member), wanted);
            peer.fetched = Fetched::Asked(request.number);
            return Some(request);
        }
        None
    }

    /// How many transfers began anew because a newer snapshot took the place of theirs.
    #[must_use]
    pub fn transfers_restarted(&self) -> u64 {
        self.transfers_restarted
    }
}
