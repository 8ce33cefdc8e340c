//! Ghost oracles: after each event, what Raft forbids has not happened.
//!
//! **They take nobody's word.** They see only the messages that leave, the bytes that are on the platter (what survives
//! a power loss in every case) and what the state machines apply; never what a core says of itself. From these they
//! keep a history of their own, the *ghost*, and for each member an *image* of what it has durably. One file is one
//! property, headed by the sentence of the paper that it checks.
//!
//! Here is what they are told of messages and of state machines; in `syncs.rs`, of disks.
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
mod orphans;
mod platter;
mod quorum;
mod read_index;
mod reads;
mod seat;
mod snapshot;
mod syncs;
#[cfg(test)]
mod tests;
mod vote_durable;
mod vote_up_to_date;

use raft_core::message::{Append, Heartbeat};
use raft_core::replica::Ticket;
use raft_core::{Configuration, Envelope, Index, LogId, Member, Message, Term};

use self::ghost::Ghost;
use self::seat::Seat;

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
        reads::spoke(&self.ghost, &mut self.seats[place], envelope)?;
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

    fn append(&mut self, place: usize, append: &Append) -> Result<(), Failure> {
        self.led(place, append.term, append.commit)?;
        log_matching::told(&mut self.ghost, self.seats[place].member, append)
    }

    fn led(&mut self, place: usize, term: Term, commit: Index) -> Result<(), Failure> {
        self.spoke_as_leader(place, term)?;
        let (ghost, seat) = (&mut self.ghost, &self.seats[place]);
        monotonic::reported(ghost, seat, term, commit)?;
        commit_quorum::committed(ghost, &self.seats, seat, term, commit)
    }

    fn spoke_as_leader(&mut self, place: usize, term: Term) -> Result<(), Failure> {
        let (ghost, seat) = (&mut self.ghost, &self.seats[place]);
        let is_first_word = election_safety::led(ghost, seat, term)?;
        if is_first_word { leader_completeness::elected(ghost, seat, term) } else { Ok(()) }
    }

    fn chunk(&mut self, place: usize, term: Term, last: LogId) -> Result<(), Failure> {
        self.spoke_as_leader(place, term)?;
        let (ghost, member) = (&mut self.ghost, self.seats[place].member);
        snapshot::named(ghost, member, last)?;
        log_matching::record_told(ghost, member, term, last)
    }

    /// A message reaches a running node, before the node is told.
    pub fn delivered(&mut self, node: usize, envelope: &Envelope) {
        let seat = &mut self.seats[self.places[node]];
        reads::heard(&self.ghost, seat, envelope);
        if let Message::VoteAnswer(answer) = &envelope.message
            && answer.granted
            && (envelope.to, envelope.to_boot) == (seat.member, seat.boot)
        {
            election_safety::heard(seat, envelope.from, answer.term);
        }
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

    /// A client's read reaches a node, before the node can say anything about it.
    pub fn read_asked(&mut self, node: usize, ticket: Ticket) {
        reads::asked(&self.ghost, &mut self.seats[self.places[node]], ticket);
    }

    /// A node answers a client's read.
    ///
    /// # Errors
    /// The answer may be older than the question.
    pub fn read_answered(&mut self, node: usize, ticket: Ticket) -> Result<(), Failure> {
        reads::answered(&self.ghost, &mut self.seats[self.places[node]], ticket)
    }

    /// A request of a client ended without an answer to a read.
    pub fn read_ended(&mut self, node: usize, ticket: Ticket) {
        reads::ended(&mut self.seats[self.places[node]], ticket);
    }

    /// The newest term in which something was committed.
    #[must_use]
    pub fn committing_term(&self) -> Term {
        self.ghost.advances.last().map_or(Term(0), |(_, term)| *term)
    }

    /// A state machine's digest when it had applied everything through an index.
    ///
    /// # Errors
    /// Another digest was seen at this index.
    pub fn state(&mut self, node: usize, applied: Index, digest: u64) -> Result<(), Failure> {
        apply::state(&mut self.ghost, &self.seats[self.places[node]], applied, digest)
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
}
