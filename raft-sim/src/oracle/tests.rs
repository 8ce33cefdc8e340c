//! Each oracle sees a bad history and speaks, and a lawful history that looks much like it and is silent.

use raft_core::message::{
    Abstention, AbstentionAnswer, Append, AppendAcknowledgement, AppendRejection, Heartbeat, HeartbeatAnswer,
    PreVote, PreVoteAnswer, ReadIndex, ReadIndexAnswer, RequestVote, StaleTerm, VoteAnswer,
};
use raft_core::{
    Boot, ClusterId, Configuration, Entry, Envelope, Epoch, HardState, Incarnation, Index, LogId, Member,
    Message, NodeId, Payload, Round, Term,
};

use super::durability::Recovered;
use super::image::{HardRecord, Held, Image, Log, LogChange};
use super::{Failure, Oracles};

mod applying;
mod bytes;
mod elections;
mod reads;
mod recovery;
mod replication;
mod snapshots;

type Outcome = Result<(), Failure>;

/// A hand-driven cluster: what the tests write down is what is on the platters.
#[derive(Clone)]
struct Cluster {
    oracles: Oracles,
    sequence: u64,
}

fn member(node: usize) -> Member {
    Member { id: NodeId(node as u64 + 1), incarnation: Incarnation(7) }
}

fn id(term: u64, index: u64) -> LogId {
    LogId { term: Term(term), index: Index(index) }
}

/// The one entry that this index and term can have.
fn entry(term: u64, index: u64) -> Entry {
    let command = term.to_le_bytes().to_vec();
    Entry { term: Term(term), index: Index(index), payload: Payload::Command(command.into()) }
}

fn state(term: u64, vote: Option<usize>) -> HardState {
    HardState { term: Term(term), vote: vote.map(member), abstaining: false }
}

fn request(term: u64, last: LogId) -> Message {
    Message::RequestVote(RequestVote { term: Term(term), last, transfer: false })
}

fn grant(term: u64) -> Message {
    Message::VoteAnswer(VoteAnswer { term: Term(term), granted: true })
}

fn heartbeat(term: u64, commit: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: Term(term), round: Round(1), commit: Index(commit) })
}

fn append(term: u64, previous: LogId, entries: &[Entry], commit: u64) -> Message {
    let (term, commit) = (Term(term), Index(commit));
    Message::Append(Append { term, round: Round(1), previous, entries: entries.to_vec().into(), commit })
}

fn acknowledgement(term: u64, matched: u64) -> Message {
    let matched = Index(matched);
    Message::AppendAcknowledgement(AppendAcknowledgement { term: Term(term), round: Round(1), matched })
}

/// What a recovery hands to a core: a log from 1 on, and no snapshot.
fn found(node: usize, boot: Boot, state: HardState, entries: &[Entry]) -> Recovered {
    let log: Log = entries.iter().map(Held::of).collect();
    let (base, last) = (LogId::default(), log.last());
    Recovered { member: member(node), boot, state, base, log, last, snapshot: None }
}

impl Cluster {
    /// Nodes in their first boot, with empty disks.
    fn of(nodes: usize) -> Cluster {
        let members: Vec<Member> = (0..nodes).map(member).collect();
        let configuration = Configuration::of_voters(members.iter().copied());
        let mut cluster = Cluster { oracles: Oracles::new(&configuration, &members), sequence: 0 };
        for node in 0..nodes {
            cluster.recover(node, state(0, None), &[]).expect("an empty disk breaks no promise");
        }
        cluster
    }

    /// A hard state becomes durable.
    fn hard(&mut self, node: usize, state: HardState) -> Outcome {
        self.sequence += 1;
        let boot = self.oracles.seats[node].boot;
        self.oracles.hard_state_became(node, HardRecord { sequence: self.sequence, boot, state })
    }

    /// Entries become durable, after everything from the first of them on was removed.
    fn write(&mut self, node: usize, entries: &[Entry]) -> Outcome {
        let end = self.oracles.seats[node].image.log.end();
        let first = entries[0].index;
        let truncate = (first <= end).then_some(LogChange::Truncate(first));
        let appends = entries.iter().cloned().map(LogChange::Append);
        let changes: Vec<LogChange> = truncate.into_iter().chain(appends).collect();
        self.oracles.log_changed(node, &changes)
    }

    fn truncate(&mut self, node: usize, from: u64) -> Outcome {
        self.oracles.log_changed(node, &[LogChange::Truncate(Index(from))])
    }

    /// A message leaves and arrives at once.
    fn say(&mut self, node: usize, to: usize, message: Message) -> Outcome {
        let envelope = self.send(node, to, message)?;
        self.oracles.delivered(to, &envelope);
        Ok(())
    }

    /// A message leaves.
    fn send(&mut self, node: usize, to: usize, message: Message) -> Result<Envelope, Failure> {
        let to_boot = if message.is_answer() { self.oracles.seats[to].boot } else { Boot(0) };
        let envelope = Envelope {
            cluster: ClusterId(1),
            epoch: Epoch(0),
            from: member(node),
            from_boot: self.oracles.seats[node].boot,
            to: member(to),
            to_boot,
            message,
        };
        self.oracles.sent(node, &envelope)?;
        Ok(envelope)
    }

    /// The node crashes and recovers with this, all of it on the platter.
    fn recover(&mut self, node: usize, state: HardState, entries: &[Entry]) -> Outcome {
        let platter: Log = entries.iter().map(Held::of).collect();
        self.recover_from(node, state, entries, platter)
    }

    fn recover_from(&mut self, node: usize, state: HardState, entries: &[Entry], platter: Log) -> Outcome {
        self.oracles.crashed(node);
        self.sequence += 1;
        let boot = Boot(self.oracles.seats[node].boot.0 + 1);
        let hard = HardRecord { sequence: self.sequence, boot, state };
        let image = Image { hard: Some(hard), log: platter, ..Image::default() };
        self.oracles.recovered_as(node, found(node, boot, state, entries), image)
    }

    /// The node asks for votes; the voters give theirs.
    fn campaign(&mut self, node: usize, term: u64, voters: &[usize]) -> Outcome {
        self.hard(node, state(term, Some(node)))?;
        let last = self.oracles.seats[node].image.log.last();
        for voter in voters {
            self.say(node, *voter, request(term, last))?;
        }
        for voter in voters {
            self.hard(*voter, state(term, Some(node)))?;
            self.say(*voter, node, grant(term))?;
        }
        Ok(())
    }

    /// The node is elected, and says so.
    fn elect(&mut self, node: usize, term: u64, voters: &[usize]) -> Outcome {
        self.campaign(node, term, voters)?;
        self.say(node, voters[0], heartbeat(term, 0))
    }

    /// The leader sends these to a follower, which writes and acknowledges them.
    fn replicate(&mut self, leader: usize, to: usize, term: u64, after: LogId, entries: &[Entry]) -> Outcome {
        let commit = self.oracles.ghost.term_mut(Term(term)).commit;
        self.say(leader, to, append(term, after, entries, commit.0))?;
        self.write(to, entries)?;
        self.say(to, leader, acknowledgement(term, entries.last().expect("some").index.0))
    }
}

/// Node 0 leads three nodes in term 1 with entry 1 written by itself and acknowledged by node 1, hence committed, and
/// has not reported that.
fn committed_unreported() -> Cluster {
    let mut cluster = Cluster::of(3);
    cluster.elect(0, 1, &[1, 2]).expect("a lawful election");
    cluster.write(0, &[entry(1, 1)]).expect("a leader writes its own entry");
    cluster.replicate(0, 1, 1, id(0, 0), &[entry(1, 1)]).expect("lawful replication");
    cluster
}

/// The same, reported.
fn committed() -> Cluster {
    let mut cluster = committed_unreported();
    cluster.say(0, 1, heartbeat(1, 1)).expect("a lawful commit");
    assert_eq!(cluster.oracles.committed(), Index(1));
    cluster
}

#[track_caller]
fn caught(oracle: &str, outcome: Outcome) {
    match outcome {
        Ok(()) => panic!("{oracle} is silent"),
        Err(failure) => assert_eq!(failure.oracle, oracle, "{}", failure.what),
    }
}

#[track_caller]
fn silent(outcome: Outcome) {
    assert_eq!(outcome, Ok(()));
}
