//! Ghost oracles: after each event, what Raft forbids has not happened.
//!
//! **They take nobody's word.** They see only the messages that leave, the bytes that are on the platter (what survives
//! a power loss in every case) and what the state machines apply; never what a core says of itself. From these they
//! keep a history of their own, the *ghost*, and for each member an *image* of what it has durably. One file is one
//! property, headed by the sentence of the paper that it checks.
//!
//! They are sound: no lawful execution makes one speak. Where a lawful execution is surprising, the file says how it
//! runs. They are incremental: the cost of a call is that of the message or of the newly synced bytes.

mod abstaining;
mod ack_durable;
mod apply;
mod commit_quorum;
mod durability;
mod election_safety;
mod ghost;
mod image;
mod leader_completeness;
mod log_matching;
mod monotonic;
mod platter;
mod read_index;
mod seat;
mod snapshot;
#[cfg(test)]
mod tests;
mod vote_durable;
mod vote_up_to_date;

use raft_core::journal::RecoveryReport;
use raft_core::message::{Append, Heartbeat};
use raft_core::{Configuration, Envelope, Index, LogId, Member, Message, Restored, Term};

use self::durability::Recovered;
use self::ghost::Ghost;
use self::image::{HardRecord, Held, Image, Log, LogChange};
use self::seat::Seat;

use self::platter::{Follower, Whole};

pub use self::platter::Platter;

/// What an oracle found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which oracle.
    pub oracle: &'static str,
    /// What happened, to whom.
    pub what: String,
}

fn fail<T>(oracle: &'static str, what: String) -> Result<T, Failure> {
    Err(Failure { oracle, what })
}

fn holds(condition: bool, oracle: &'static str, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if condition { Ok(()) } else { fail(oracle, what()) }
}

/// Between two surveys of the committed log at a recovery, this many entries are passed over.
const SURVEY_STRIDE: u64 = 61;

/// All oracles of one cluster.
#[derive(Clone, Debug)]
pub struct Oracles {
    ghost: Ghost,
    /// By member: a node whose disk is wiped gets a new one.
    seats: Vec<Seat>,
    /// By node, the place of its present member in `seats`.
    places: Vec<usize>,
}

impl Oracles {
    /// Oracles for nodes that have not spoken. `members` names the member of each node.
    #[must_use]
    pub fn new(configuration: &Configuration, members: &[Member]) -> Oracles {
        Oracles {
            ghost: Ghost::new(configuration),
            seats: members.iter().map(|member| Seat::new(*member)).collect(),
            places: (0..members.len()).collect(),
        }
    }

    /// How far the log is known to be committed.
    #[must_use]
    pub fn committed(&self) -> Index {
        self.ghost.committed.end()
    }

    /// A node sends. To be called when the message leaves, before anything can happen to it.
    ///
    /// # Errors
    /// What the message betrays.
    pub fn sent(&mut self, node: usize, envelope: &Envelope) -> Result<(), Failure> {
        let place = self.places[node];
        abstaining::spoke(&self.ghost, &self.seats[place], &envelope.message)?;
        self.waited(place, envelope)?;
        let (ghost, seat) = (&mut self.ghost, &mut self.seats[place]);
        match &envelope.message {
            Message::RequestVote(request) => {
                let member = seat.member;
                vote_up_to_date::requested(ghost, member, request.term, request.last)?;
                election_safety::voted(ghost, request.term, member, member)
            }
            Message::VoteAnswer(answer) if answer.granted => {
                let (member, candidate) = (seat.member, envelope.to);
                seat.granted = Some((answer.term, candidate)).max(seat.granted);
                election_safety::voted(ghost, answer.term, member, candidate)?;
                vote_up_to_date::granted(ghost, seat, candidate, answer)
            }
            Message::Append(append) => self.append(place, append),
            Message::Heartbeat(Heartbeat { term, commit, .. }) => self.led(place, *term, *commit),
            Message::SnapshotChunk(chunk) => self.chunk(place, chunk.term, chunk.snapshot.last),
            Message::AppendAcknowledgement(answer) => {
                ack_durable::acknowledged(ghost, seat, answer)?;
                ack_durable::remember(ghost, seat, answer.term, answer.matched);
                Ok(())
            }
            Message::ReadIndex(question) => {
                read_index::asked(ghost, envelope, question);
                Ok(())
            }
            Message::ReadIndexAnswer(answer) => read_index::answered(ghost, envelope, answer),
            Message::AbstentionAnswer(answer) => {
                abstaining::answered(ghost, envelope, answer);
                Ok(())
            }
            Message::VoteAnswer(_)
            | Message::PreVote(_)
            | Message::PreVoteAnswer(_)
            | Message::AppendRejection(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::Abstention(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunkAnswer(_) => Ok(()),
        }
    }

    /// A message leaves only when what it depends on is durable.
    fn waited(&mut self, place: usize, envelope: &Envelope) -> Result<(), Failure> {
        let seat = &mut self.seats[place];
        match &envelope.message {
            Message::RequestVote(request) => vote_durable::requested(seat, request)?,
            Message::VoteAnswer(answer) if answer.granted => {
                vote_durable::granted(seat, envelope.to, answer)?;
            }
            Message::VoteAnswer(_)
            | Message::PreVoteAnswer(_)
            | Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::HeartbeatAnswer(_)
            | Message::ReadIndexAnswer(_)
            | Message::AbstentionAnswer(_) => ack_durable::gated(seat, &envelope.message)?,
            // What a leader or a pre-candidate sends promises nothing that is not durable by its own rules; being
            // behind (StaleTerm) promises nothing at all.
            Message::PreVote(_)
            | Message::Append(_)
            | Message::Heartbeat(_)
            | Message::StaleTerm(_)
            | Message::ReadIndex(_)
            | Message::Abstention(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunk(_)
            | Message::SnapshotChunkAnswer(_) => return Ok(()),
        }
        monotonic::gated(seat, &envelope.message)
    }

    /// A message reaches a running node, before the node is told.
    pub fn delivered(&mut self, node: usize, envelope: &Envelope) {
        let seat = &mut self.seats[self.places[node]];
        if let Message::VoteAnswer(answer) = &envelope.message
            && answer.granted
            && (envelope.to, envelope.to_boot) == (seat.member, seat.boot)
        {
            election_safety::heard(seat, envelope.from, answer.term);
        }
    }

    fn chunk(&mut self, place: usize, term: Term, last: LogId) -> Result<(), Failure> {
        let (ghost, seat) = (&mut self.ghost, &self.seats[place]);
        if election_safety::led(ghost, seat, term)? {
            leader_completeness::elected(ghost, seat, term)?;
        }
        snapshot::named(ghost, seat.member, last)?;
        log_matching::record_told(ghost, seat.member, term, last)
    }

    /// A replica froze its state for a snapshot through `last`. `digests` are of the state and of the sessions.
    ///
    /// # Errors
    /// It is not what that part of the log leads to.
    pub fn froze(&mut self, node: usize, last: LogId, digests: (Option<u64>, u64)) -> Result<(), Failure> {
        let place = self.places[node];
        commit_quorum::committed(&mut self.ghost, &self.seats, &self.seats[place], Term::MAX, last.index)?;
        snapshot::froze(&mut self.ghost, &self.seats[place], last, digests)
    }

    /// A snapshot became a replica's state: everything through `applied`.
    ///
    /// # Errors
    /// It is not what that part of the log leads to, or it takes the replica back.
    pub fn restored(
        &mut self,
        node: usize,
        applied: Index,
        digests: (Option<u64>, u64),
    ) -> Result<(), Failure> {
        snapshot::restored(&mut self.ghost, &mut self.seats[self.places[node]], applied, digests)
    }

    fn append(&mut self, place: usize, append: &Append) -> Result<(), Failure> {
        let member = self.seats[place].member;
        self.led(place, append.term, append.commit)?;
        log_matching::told(&mut self.ghost, member, append)
    }

    fn led(&mut self, place: usize, term: Term, commit: Index) -> Result<(), Failure> {
        let (ghost, seat) = (&mut self.ghost, &self.seats[place]);
        if election_safety::led(ghost, seat, term)? {
            leader_completeness::elected(ghost, seat, term)?;
        }
        monotonic::reported(ghost, seat, term, commit)?;
        commit_quorum::committed(ghost, &self.seats, seat, term, commit)
    }

    /// A state machine applied a command. `digest` is of the command.
    ///
    /// # Errors
    /// A command that is not committed, not durable, out of order, or other than elsewhere.
    pub fn applied(&mut self, node: usize, index: Index, digest: u64) -> Result<(), Failure> {
        let place = self.places[node];
        commit_quorum::committed(&mut self.ghost, &self.seats, &self.seats[place], Term::MAX, index)?;
        apply::applied(&mut self.ghost, &mut self.seats[place], index, digest)
    }

    /// A state machine's digest when it had applied everything through an index.
    ///
    /// # Errors
    /// Another digest was seen at this index.
    pub fn state(&mut self, node: usize, applied: Index, digest: u64) -> Result<(), Failure> {
        apply::state(&mut self.ghost, &self.seats[self.places[node]], applied, digest)
    }

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
        self.seats[self.places[node]].follower = whole.follower;
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

    /// A node was killed or lost power. What it had durably stays on its platter.
    pub fn crashed(&mut self, node: usize) {
        self.seats[self.places[node]].up = false;
    }

    /// Rot was injected on a node's platter: until its next recovery, it can't know.
    pub fn rotted(&mut self, node: usize) {
        self.seats[self.places[node]].rotted = true;
    }

    /// Looks over the whole committed log; to be called rarely, and at the end.
    ///
    /// # Errors
    /// A committed entry is no longer with a quorum.
    pub fn survey(&self) -> Result<(), Failure> {
        durability::survey(&self.ghost, &self.seats, 1)
    }

    fn recovered_as(&mut self, node: usize, found: Recovered, platter: Image) -> Result<(), Failure> {
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
        let before = std::mem::replace(&mut seat.image.log, found.log.clone());
        let hard = platter.hard.filter(|_| !rotted || platter.log == found.log);
        seat.rotted = rotted && hard.is_none();
        let sequence = seat.image.hard.map_or(0, |hard| hard.sequence);
        let hard = hard.unwrap_or(HardRecord { sequence, boot: found.boot, state: found.state });
        if let Some(vote) = hard.state.vote {
            seat.image.votes.insert(hard.state.term, vote);
        }
        if let Some(old) = seat.image.hard.filter(|_| !rotted) {
            monotonic::replaced(seat, &old, &hard)?;
            election_safety::replaced(seat.member, &old.state, &hard.state)?;
            abstaining::replaced(ghost, seat, &old.state, &hard.state)?;
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

    fn hard_state_became(&mut self, place: usize, new: HardRecord) -> Result<(), Failure> {
        let (ghost, seat) = (&mut self.ghost, &mut self.seats[place]);
        if let Some(old) = seat.image.hard {
            if new.sequence <= old.sequence {
                return Ok(());
            }
            monotonic::replaced(seat, &old, &new)?;
            election_safety::replaced(seat.member, &old.state, &new.state)?;
            abstaining::replaced(ghost, seat, &old.state, &new.state)?;
        }
        if let Some(vote) = new.state.vote {
            seat.image.votes.insert(new.state.term, vote);
        }
        seat.image.hard = Some(new);
        Ok(())
    }

    fn log_changed(&mut self, place: usize, changes: &[LogChange]) -> Result<(), Failure> {
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
                LogChange::Install(_, meta) => {
                    let log = snapshot::covered(ghost, seat.member, meta.last)?;
                    let old = std::mem::replace(&mut seat.image.log, log);
                    before.get_or_insert(old);
                    seat.image.snapshot = Some(meta.clone());
                }
                LogChange::Discard(_, discard) => {
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
