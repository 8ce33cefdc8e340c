//! One node whose peers are played by the test: every message is written out, every sync is the test's.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::cluster::{Disk, identity, log_of, member, steady};
use crate::action::{Action, RoleName};
use crate::config::Config;
use crate::entry::Entry;
use crate::error::{Refused, Violation};
use crate::membership::Configuration;
use crate::message::{
    Append, AppendAcknowledgement, AppendRejection, Envelope, Heartbeat, HeartbeatAnswer, Message, PreVote,
    PreVoteAnswer, RequestVote, VoteAnswer,
};
use crate::raft::Raft;
use crate::snapshot::Chunk;
use crate::types::{Boot, Index, Instant, LogId, Round, Span, Term};
use crate::write::{HardState, Restored};

/// Node 1, alone with the test.
pub(super) struct Solo {
    pub(super) raft: Raft,
    pub(super) now: Instant,
    pub(super) disk: Disk,
    /// Whether writes stay unsynced until [`Solo::sync`].
    pub(super) stalled: bool,
    /// Whether applied entries stay unconfirmed.
    pub(super) lazy: bool,
    /// Pieces of an incoming snapshot that the disk has not got.
    pub(super) pieces: VecDeque<Chunk>,
    pub(super) applied: Vec<Entry>,
    pub(super) notices: Vec<Action>,
    sent: VecDeque<(u64, Message)>,
    /// The boots of the peers, 1 where not named.
    pub(super) boots: BTreeMap<u64, u64>,
    config: Config,
    size: u64,
}

impl Solo {
    /// Node 1 of a cluster of `size`, in a term, with a log of these terms; it has heard of no leader for long.
    pub(super) fn new(size: u64, term: u64, log: &[u64]) -> Solo {
        Solo::with_config(size, term, log, steady())
    }

    pub(super) fn with_config(size: u64, term: u64, log: &[u64], config: Config) -> Solo {
        let hard_state = HardState { term: Term(term), ..HardState::default() };
        Solo::with_disk(size, Disk { hard_state, entries: log_of(log), ..Disk::default() }, config)
    }

    pub(super) fn with_disk(size: u64, mut disk: Disk, config: Config) -> Solo {
        disk.boot += 1;
        let now = Instant(1_000_000);
        let raft = boot(size, &disk, &config, now);
        let mut solo = Solo {
            raft,
            now: now.plus(config.election_timeout),
            disk,
            stalled: false,
            lazy: false,
            pieces: VecDeque::new(),
            applied: Vec::new(),
            notices: Vec::new(),
            sent: VecDeque::new(),
            boots: BTreeMap::new(),
            config,
            size,
        };
        solo.drain();
        solo
    }

    /// Node 1 as the leader, its no-op appended and nothing acknowledged; what it sent so far is forgotten.
    pub(super) fn leader(size: u64, term: u64, log: &[u64]) -> Solo {
        Solo::leader_with_config(size, term, log, steady())
    }

    pub(super) fn leader_with_config(size: u64, term: u64, log: &[u64], config: Config) -> Solo {
        let mut solo = Solo::with_config(size, term - 1, log, config);
        solo.win_election();
        solo.sent.clear();
        solo
    }

    /// Campaigns, and everybody grants everything.
    pub(super) fn win_election(&mut self) {
        self.campaign();
        let term = self.raft.term();
        for peer in 2..=self.size {
            self.hear(peer, vote_answer(term.0, true));
        }
        assert!(self.raft.is_leader(), "everybody voted for it");
    }

    /// Campaigns: the requests for votes are out, unless the disk is stalled.
    pub(super) fn campaign(&mut self) {
        self.pre_campaign();
        let asked = self.sent.iter().find_map(|(_, message)| match message {
            Message::PreVote(m) => Some(m.clone()),
            _ => None,
        });
        if let Some(PreVote { term, round, .. }) = asked {
            for peer in 2..=self.size {
                self.hear(peer, Message::PreVoteAnswer(PreVoteAnswer { term, round, granted: true }));
            }
        }
    }

    /// Waits for the election timeout and asks for pre-votes.
    pub(super) fn pre_campaign(&mut self) {
        self.sent.clear();
        self.wait(Span(2 * self.config.election_timeout.0));
    }

    pub(super) fn wait(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.raft.tick(self.now);
        self.drain();
    }

    /// Power is lost: what was not synced is gone.
    pub(super) fn restart(&mut self) {
        self.disk.boot += 1;
        self.disk.unsynced.clear();
        self.pieces.clear();
        self.raft = boot(self.size, &self.disk, &self.config, self.now);
        self.sent.clear();
        self.applied.clear();
        self.drain();
    }

    /// The disk gets all pieces of an incoming snapshot.
    pub(super) fn receive_all(&mut self) {
        while let Some(chunk) = self.pieces.pop_front() {
            let received = self.disk.receive(&chunk);
            self.raft.handle_received(self.now, received);
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some(action) = self.raft.poll_action() {
            match action {
                Action::Send(envelope) => self.sent.push_back((envelope.to.id.0, envelope.message)),
                Action::Persist(persist) => {
                    self.disk.unsynced.push_back(persist);
                    if !self.stalled {
                        self.sync_all();
                    }
                }
                Action::Receive(chunk) => {
                    self.pieces.push_back(chunk);
                    if !self.stalled {
                        self.receive_all();
                    }
                }
                Action::Apply(entries) => {
                    let last = entries.last().expect("an apply is never empty").index;
                    self.applied.extend(entries.iter().cloned());
                    if !self.lazy {
                        self.raft.handle_applied(last);
                    }
                }
                Action::Restore(_)
                | Action::Load(_)
                | Action::ReadReady(..)
                | Action::ReadFailed(..)
                | Action::Lost(_)
                | Action::Unknown(_)
                | Action::RoleChanged(_) => self.notices.push(action),
            }
        }
        self.raft.check_invariants().expect("the invariants hold");
        self.raft.check_silence().expect("everything was polled");
    }

    fn sync_all(&mut self) {
        let mut last = None;
        while let Some(persist) = self.disk.unsynced.pop_front() {
            self.disk.perform(&persist);
            last = Some(persist.durable());
        }
        if let Some(durable) = last {
            self.raft.handle_durable(self.now, durable);
        }
    }

    /// Everything handed out is synced.
    pub(super) fn sync(&mut self) {
        self.sync_all();
        self.drain();
    }

    /// The oldest write is synced, and no other.
    pub(super) fn sync_one(&mut self) {
        let persist = self.disk.unsynced.pop_front().expect("a write is under way");
        self.disk.perform(&persist);
        self.raft.handle_durable(self.now, persist.durable());
        self.drain();
    }

    /// A peer's message arrives, and is lawful.
    pub(super) fn hear(&mut self, from: u64, message: Message) {
        self.try_hear(from, message).expect("the message is lawful");
    }

    /// A peer's message arrives.
    pub(super) fn try_hear(&mut self, from: u64, message: Message) -> Result<(), Violation> {
        let to_boot = if message.is_answer() { self.raft.boot() } else { Boot(0) };
        let envelope = self.envelope(from, to_boot, message);
        self.receive(envelope)
    }

    pub(super) fn receive(&mut self, envelope: Envelope) -> Result<(), Violation> {
        let result = self.raft.handle_message(self.now, envelope);
        self.drain();
        result
    }

    pub(super) fn envelope(&self, from: u64, to_boot: Boot, message: Message) -> Envelope {
        let us = identity(1);
        Envelope {
            cluster: us.cluster,
            epoch: us.epoch,
            from: member(from),
            from_boot: Boot(self.boots.get(&from).copied().unwrap_or(1)),
            to: us.member,
            to_boot,
            message,
        }
    }

    pub(super) fn propose(&mut self, text: &str) -> Result<LogId, Refused> {
        let proposed = self.raft.propose(self.now, Bytes::copy_from_slice(text.as_bytes()));
        self.drain();
        proposed
    }

    /// What was sent since the last look, with its receivers.
    pub(super) fn sent(&mut self) -> Vec<(u64, Message)> {
        self.sent.drain(..).collect()
    }

    /// What was sent to one peer since the last look; what was sent to others is forgotten.
    pub(super) fn sent_to(&mut self, peer: u64) -> Vec<Message> {
        self.sent().into_iter().filter(|(to, _)| *to == peer).map(|(_, message)| message).collect()
    }

    /// The names of what was sent to one peer since the last look.
    pub(super) fn names_to(&mut self, peer: u64) -> Vec<&'static str> {
        self.sent_to(peer).iter().map(Message::name).collect()
    }

    /// The appends sent to one peer since the last look.
    pub(super) fn appends_to(&mut self, peer: u64) -> Vec<Append> {
        self.sent_to(peer)
            .into_iter()
            .filter_map(|message| match message {
                Message::Append(append) => Some(append),
                _ => None,
            })
            .collect()
    }

    /// The round of the last heartbeat sent to anybody; what was sent is forgotten.
    pub(super) fn latest_round(&mut self) -> u64 {
        let rounds = self.sent().into_iter().filter_map(|(_, message)| match message {
            Message::Heartbeat(m) => Some(m.round.0),
            _ => None,
        });
        rounds.max().expect("a heartbeat was sent")
    }

    /// The last answer to a vote request since the last look, if there was one.
    pub(super) fn vote_given_to(&mut self, peer: u64) -> Option<bool> {
        self.sent_to(peer).into_iter().rev().find_map(|message| match message {
            Message::VoteAnswer(answer) => Some(answer.granted),
            _ => None,
        })
    }

    /// The last acknowledged index since the last look, if there was one.
    pub(super) fn acknowledged_to(&mut self, peer: u64) -> Option<u64> {
        self.sent_to(peer).into_iter().rev().find_map(|message| match message {
            Message::AppendAcknowledgement(m) => Some(m.matched.0),
            _ => None,
        })
    }

    pub(super) fn role(&self) -> RoleName {
        self.raft.status().role
    }

    pub(super) fn term(&self) -> u64 {
        self.raft.term().0
    }

    pub(super) fn commit(&self) -> u64 {
        self.raft.status().commit.0
    }

    /// What the leader knows of a peer: (next, match).
    pub(super) fn progress(&self, peer: u64) -> (u64, u64) {
        let progress = self.raft.status().progress;
        let found = progress.iter().find(|(of, ..)| *of == member(peer)).expect("the peer is a member");
        (found.1.0, found.2.0)
    }

    /// The terms of the log.
    pub(super) fn log(&self) -> Vec<u64> {
        self.raft.entries(Index(1)).map(|entry| entry.term.0).collect()
    }

    /// The indexes applied.
    pub(super) fn applied(&self) -> Vec<u64> {
        self.applied.iter().map(|entry| entry.index.0).collect()
    }
}

fn boot(size: u64, disk: &Disk, config: &Config, now: Instant) -> Raft {
    let founding = Configuration::of_voters((1..=size).map(member));
    let restored =
        Restored::of_log(identity(1), Boot(disk.boot), disk.hard_state, founding, disk.entries.clone());
    Raft::new(config.clone(), restored, now, 42).expect("the settings are valid")
}

pub(super) fn id(term: u64, index: u64) -> LogId {
    LogId { term: Term(term), index: Index(index) }
}

pub(super) fn pre_vote(term: u64, last: LogId) -> Message {
    Message::PreVote(PreVote { term: Term(term), round: Round(1), last })
}

pub(super) fn request_vote(term: u64, last: LogId) -> Message {
    Message::RequestVote(RequestVote { term: Term(term), last, transfer: false })
}

pub(super) fn vote_answer(term: u64, granted: bool) -> Message {
    Message::VoteAnswer(VoteAnswer { term: Term(term), granted })
}

pub(super) fn heartbeat(term: u64, round: u64, commit: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: Term(term), round: Round(round), commit: Index(commit) })
}

pub(super) fn heartbeat_answer(term: u64, round: u64) -> Message {
    Message::HeartbeatAnswer(HeartbeatAnswer { term: Term(term), round: Round(round) })
}

/// Entries of these terms after `previous`.
pub(super) fn append(term: u64, previous: LogId, terms: &[u64], commit: u64) -> Message {
    let at = |offset: usize| previous.index.0.saturating_add(1 + offset as u64);
    let entries = terms.iter().enumerate().map(|(n, term)| super::cluster::command(*term, at(n))).collect();
    Message::Append(Append { term: Term(term), round: Round(1), previous, entries, commit: Index(commit) })
}

pub(super) fn acknowledgement(term: u64, round: u64, matched: u64) -> Message {
    Message::AppendAcknowledgement(AppendAcknowledgement {
        term: Term(term),
        round: Round(round),
        matched: Index(matched),
    })
}

pub(super) fn rejection(term: u64, refused: LogId, hint: LogId) -> Message {
    let (term, round, last) = (Term(term), Round(0), hint.index);
    Message::AppendRejection(AppendRejection { term, round, refused, hint, last })
}

/// A message on one line, for transcripts.
pub(super) fn line(message: &Message) -> String {
    match message {
        Message::PreVote(m) => format!("PreVote in {}, last {}", m.term, m.last),
        Message::PreVoteAnswer(m) => format!("PreVoteAnswer in {}: {}", m.term, granted(m.granted)),
        Message::RequestVote(m) => format!("RequestVote in {}, last {}", m.term, m.last),
        Message::VoteAnswer(m) => format!("VoteAnswer in {}: {}", m.term, granted(m.granted)),
        Message::Append(m) => {
            let terms: Vec<u64> = m.entries.iter().map(|entry| entry.term.0).collect();
            format!("Append in {} after {}: {terms:?}, commit {}", m.term, m.previous, m.commit)
        }
        Message::AppendAcknowledgement(m) => {
            format!("AppendAcknowledgement in {} through {}", m.term, m.matched)
        }
        Message::AppendRejection(m) => {
            format!("AppendRejection in {} of {}, look at {}", m.term, m.refused, m.hint)
        }
        Message::Heartbeat(m) => format!("Heartbeat in {}, round {}, commit {}", m.term, m.round.0, m.commit),
        Message::HeartbeatAnswer(m) => format!("HeartbeatAnswer in {}, round {}", m.term, m.round.0),
        Message::StaleTerm(m) => format!("StaleTerm: it is {}", m.term),
        Message::ReadIndex(m) => format!("ReadIndex in {}, question {}", m.term, m.round.0),
        Message::ReadIndexAnswer(m) => format!("ReadIndexAnswer {} to question {}", m.index, m.round.0),
        Message::Abstention(m) => format!("Abstention in {}, question {}", m.term, m.round.0),
        Message::AbstentionAnswer(m) => format!("AbstentionAnswer {} to question {}", m.last, m.round.0),
        Message::Forward(_)
        | Message::ForwardAnswer(_)
        | Message::SnapshotChunk(_)
        | Message::SnapshotChunkAnswer(_) => String::from(message.name()),
    }
}

fn granted(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}
