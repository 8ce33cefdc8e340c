//! What becomes durable: sync by sync while a node runs, whole at a recovery, and once more at the end.

use std::collections::BTreeSet;

use raft_core::Restored;
use raft_core::journal::RecoveryReport;

use super::durability::{self, Recovered};
use super::ghost::Ghost;
use super::image::{HardRecord, Held, Image, Log, LogChange};
use super::platter::{Follower, Platter, Whole};
use super::reads::Reads;
use super::seat::Seat;
use super::{Failure, Oracles, abstaining, election_safety, log_matching, monotonic, orphans, snapshot};

/// Between two surveys of the committed log at a recovery, this many entries are passed over.
const SURVEY_STRIDE: u64 = 61;

impl Oracles {
    /// A file's sync succeeded.
    ///
    /// # Errors
    /// What became durable breaks a promise or contradicts another log.
    pub fn synced(&mut self, node: usize, file: &str, platter: &impl Platter) -> Result<(), Failure> {
        let place = self.places[node];
        // Between a crash and the end of a recovery files are rewritten; then they are read afresh.
        let Some(bytes) = platter.bytes(file).filter(|_| self.seats[place].up) else { return Ok(()) };
        let (record, changes) = self.seats[place].follower.follow(file, bytes);
        for change in &changes {
            snapshot::durable(&self.seats[place], change, platter)?;
        }
        self.log_changed(place, &changes)?;
        match record {
            Some(record) => self.hard_state_became(place, record),
            None => Ok(()),
        }
    }

    /// The directory's sync succeeded: files that were synced before may have got durable names.
    ///
    /// # Errors
    /// Those of [`Oracles::synced`].
    pub fn directory_synced(&mut self, node: usize, platter: &impl Platter) -> Result<(), Failure> {
        for file in platter.files() {
            self.synced(node, file, platter)?;
        }
        Ok(())
    }

    /// A batch synced the directory: what it made needless is gone. `writing` is the file of a snapshot that the node writes,
    /// `incoming` those of snapshots that came in.
    ///
    /// # Errors
    /// Files that nothing will ever name.
    pub fn files_removed(
        &mut self,
        node: usize,
        platter: &impl Platter,
        writing: Option<&str>,
        incoming: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let seat = &self.seats[self.places[node]];
        if seat.up { orphans::files_removed(seat, platter, writing, incoming) } else { Ok(()) }
    }

    /// A node was killed or lost power. What it had durably stays on its platter.
    pub fn crashed(&mut self, node: usize) {
        let seat = &mut self.seats[self.places[node]];
        (seat.up, seat.reads) = (false, Reads::default());
    }

    /// Rot was injected on a node's platter: until its next recovery, it can't know.
    pub fn rotted(&mut self, node: usize) {
        self.seats[self.places[node]].rotted = true;
    }

    /// Whether the newest durable hard state of a node says that it abstains.
    #[must_use]
    pub fn abstains(&self, node: usize) -> bool {
        self.seats[self.places[node]].image.abstaining()
    }

    /// A recovery is complete and the node runs with this.
    ///
    /// # Errors
    /// A promise that was not found, or something found that is not on the platter.
    pub fn recovered(
        &mut self,
        node: usize,
        restored: &Restored,
        report: &RecoveryReport,
        platter: &impl Platter,
    ) -> Result<(), Failure> {
        let seat = &self.seats[self.places[node]];
        let whole = match Follower::whole(platter) {
            Ok(whole) => whole,
            // Rot that this recovery did not meet; the image is then what was recovered.
            Err(_) if seat.rotted => Whole::default(),
            Err(error) => return durability::unreadable(seat, &error),
        };
        let member = restored.identity().member;
        let platter = snapshot::complete(&self.ghost, member, whole.base, whole.entries)?;
        let found = Recovered {
            member,
            boot: restored.boot(),
            state: restored.hard_state(),
            base: restored.base(),
            log: snapshot::log_of(&self.ghost, member, restored, &platter)?,
            last: restored.last(),
            snapshot: restored.snapshot().cloned(),
        };
        let image = Image { hard: whole.hard, log: platter, snapshot: whole.snapshot, ..Image::default() };
        abstaining::recovered(&found, report)?;
        self.recovered_as(node, found, image)?;
        let seat = &mut self.seats[self.places[node]];
        // Where damage took the snapshots, serials begin anew.
        (seat.follower, seat.snapshot_serial) = (whole.follower, 0);
        Ok(())
    }

    /// The run is over. `platters` are those of all nodes, in order.
    ///
    /// # Errors
    /// What a look over everything finds.
    pub fn finish<P: Platter>(&self, platters: &[&P]) -> Result<(), Failure> {
        self.survey()?;
        for (place, platter) in self.places.iter().zip(platters) {
            let seat = &self.seats[*place];
            if seat.up && !seat.rotted {
                match Follower::whole(*platter) {
                    Ok(Whole { hard, base, entries, snapshot, .. }) => {
                        let log = snapshot::complete(&self.ghost, seat.member, base, entries)?;
                        durability::finished(seat, &Image { hard, log, snapshot, ..Image::default() })?;
                    }
                    Err(error) => durability::unreadable(seat, &error)?,
                }
            }
        }
        Ok(())
    }

    /// Looks over the whole committed log; to be called rarely, and at the end.
    ///
    /// # Errors
    /// A committed entry is no longer with a quorum.
    pub fn survey(&self) -> Result<(), Failure> {
        durability::survey(&self.ghost, &self.seats, 1)
    }

    /// What a recovery found, and what its platter says.
    pub(super) fn recovered_as(
        &mut self,
        node: usize,
        found: Recovered,
        platter: Image,
    ) -> Result<(), Failure> {
        if self.seats[self.places[node]].member != found.member {
            // A wiped disk is a new member; what the old one promised stays in its seat, which is empty now.
            self.places[node] = self.seats.len();
            self.seats.push(Seat::new(found.member));
        }
        let place = self.places[node];
        let (ghost, seat) = (&mut self.ghost, &mut self.seats[place]);
        monotonic::booted(seat, found.boot)?;
        durability::recovered(seat, &found, &platter)?;
        snapshot::recovered(ghost, seat, &found, &platter)?;
        for (id, held, previous) in found.log.ids() {
            log_matching::seen(ghost, seat.member, id, held, previous)?;
        }
        // After rot the platter may still hold damage that this recovery did not meet.
        let rotted = std::mem::replace(&mut seat.rotted, false);
        let hard = platter.hard.filter(|_| !rotted || platter.log == found.log);
        let before = std::mem::replace(&mut seat.image.log, found.log);
        seat.rotted = rotted && hard.is_none();
        let sequence = seat.image.hard.map_or(0, |hard| hard.sequence);
        let hard = hard.unwrap_or(HardRecord { sequence, boot: found.boot, state: found.state });
        if let Some(vote) = hard.state.vote {
            seat.image.votes.insert(hard.state.term, vote);
        }
        if let Some(old) = seat.image.hard.filter(|_| !rotted) {
            replaced(ghost, seat, &old, &hard)?;
        }
        seat.image.hard = Some(hard);
        seat.image.snapshot = found.snapshot;
        seat.acknowledged.index = if rotted {
            durability::damaged(ghost, seat, &before)?
        } else {
            durability::changed(ghost, seat, &before)?
        };
        if rotted && before.first_lost_in(&seat.image.log).is_some() {
            seat.remembered.push(before);
        }
        let log = &seat.image.log;
        seat.remembered.retain(|old| old.first_lost_in(log).is_some());
        seat.up = true;
        seat.boot = found.boot;
        seat.longest = seat.image.log.end();
        seat.votes_heard.clear();
        seat.vote_at_boot = found.state.vote.map(|vote| (found.state.term, vote));
        seat.applied = 0;
        durability::survey(&self.ghost, &self.seats, SURVEY_STRIDE)
    }

    /// A record of hard state is durable; an older one says nothing new.
    pub(super) fn hard_state_became(&mut self, place: usize, new: HardRecord) -> Result<(), Failure> {
        let (ghost, seat) = (&mut self.ghost, &mut self.seats[place]);
        if let Some(old) = seat.image.hard {
            if new.sequence <= old.sequence {
                return Ok(());
            }
            replaced(ghost, seat, &old, &new)?;
        }
        if let Some(vote) = new.state.vote {
            seat.image.votes.insert(new.state.term, vote);
        }
        seat.image.hard = Some(new);
        Ok(())
    }

    /// Records of the log are durable.
    pub(super) fn log_changed(&mut self, place: usize, changes: &[LogChange]) -> Result<(), Failure> {
        let (ghost, seat) = (&mut self.ghost, &mut self.seats[place]);
        let bound = seat.acknowledged.index.max(ghost.committed.end());
        let mut before: Option<Log> = None;
        for change in changes {
            match change {
                LogChange::Truncate(from) => {
                    if *from <= bound && before.is_none() {
                        before = Some(seat.image.log.clone());
                    }
                    seat.image.log.truncate(*from);
                }
                LogChange::Append(entry) => {
                    let held = Held::of(entry);
                    log_matching::seen(ghost, seat.member, entry.id(), held, seat.image.log.last())?;
                    seat.image.log.push(held);
                }
                LogChange::Install(file, meta) => {
                    seat.snapshot_serial = *file;
                    let log = snapshot::covered(ghost, seat.member, meta.last)?;
                    let old = std::mem::replace(&mut seat.image.log, log);
                    before.get_or_insert(old);
                    seat.image.snapshot = Some(meta.clone());
                }
                LogChange::Discard(file, discard) => {
                    seat.snapshot_serial = *file;
                    snapshot::named(ghost, seat.member, discard.snapshot.last)?;
                    seat.image.snapshot = Some(discard.snapshot.clone());
                }
            }
        }
        seat.longest = seat.longest.max(seat.image.log.end());
        if let Some(before) = before {
            seat.acknowledged.index = durability::changed(ghost, seat, &before)?;
        }
        Ok(())
    }
}

/// One durable hard state follows another.
fn replaced(ghost: &Ghost, seat: &Seat, old: &HardRecord, new: &HardRecord) -> Result<(), Failure> {
    monotonic::replaced(seat, old, new)?;
    election_safety::replaced(seat.member, &old.state, &new.state)?;
    abstaining::replaced(ghost, seat, &old.state, &new.state)
}
