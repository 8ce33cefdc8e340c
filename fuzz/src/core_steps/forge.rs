//! Messages from bytes: plausible ones mostly, by members, near the node's term and log; some that no honest peer sends.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::message::{
    Abstention, AbstentionAnswer, Append, AppendAcknowledgement, AppendRejection, Forward, ForwardAnswer,
    ForwardOutcome, Heartbeat, HeartbeatAnswer, PreVote, PreVoteAnswer, ReadIndex, ReadIndexAnswer,
    Reception, RequestVote, SnapshotChunkAnswer, StaleTerm, VoteAnswer,
};
use raft_core::{
    Boot, ClusterId, Config, Configuration, Entry, Envelope, Epoch, Identity, Incarnation, Index, LogId,
    Member, MemberSet, Message, NodeId, Payload, Raft, Round, Span, Term,
};

use super::STEP_BYTES;
use super::followers::Follower;
use super::host::Host;
use super::pieces::Transfer;

/// One step of the input: what, who, and six numbers more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step(pub(super) [u8; STEP_BYTES]);

impl Step {
    /// How long nothing happens: from nothing to two election timeouts.
    pub(super) fn span(self, config: &Config) -> Span {
        let Step([_, who, a, ..]) = self;
        let unit = match who % 4 {
            0 => 100,
            1 => config.heartbeat_interval.0 / 4,
            2 => config.heartbeat_interval.0,
            _ => config.election_timeout.0 / 8,
        };
        Span(unit * u64::from(a % 17))
    }
}

/// The node and its peers.
pub(super) struct Forge {
    voters: u8,
    seat: u8,
    /// By peer, how often it restarted.
    boots: BTreeMap<NodeId, u64>,
    /// Those who follow as they should.
    pub(super) followers: BTreeMap<Member, Follower>,
    /// The snapshot whose pieces are sent.
    pub(super) transfer: Option<Transfer>,
}

pub(super) fn member(id: u64) -> Member {
    Member { id: NodeId(id), incarnation: Incarnation(0x100 + id) }
}

pub(super) const ME: u64 = 1;

impl Forge {
    /// How many members, and which seat the node has.
    pub(super) fn new(voters: u8, seat: u8) -> Forge {
        Forge {
            voters: [3, 5, 3, 1, 2, 4, 7, 3][usize::from(voters % 8)],
            seat,
            boots: BTreeMap::new(),
            followers: BTreeMap::new(),
            transfer: None,
        }
    }

    pub(super) fn identity(&self) -> Identity {
        Identity { cluster: ClusterId(7), epoch: Epoch(1), member: member(ME) }
    }

    /// A voter mostly; sometimes in a joint configuration, a learner, or not named at all.
    pub(super) fn founding(&self) -> Configuration {
        let all = (ME..=u64::from(self.voters)).map(member);
        let mut founding = Configuration::of_voters(all);
        match self.seat {
            0..=199 => {}
            200..=219 => founding.outgoing = [member(ME), member(2), member(9)].into(),
            220..=234 => {
                founding.voters.insert(member(9));
                founding.voters.remove(member(ME));
                founding.learners = [member(ME)].into();
            }
            _ => {
                founding.voters.insert(member(9));
                founding.voters.remove(member(ME));
            }
        }
        founding
    }

    pub(super) fn restart_peer(&mut self, who: u8) {
        *self.boots.entry(self.peer(who).id).or_default() += 1;
    }

    /// The member comes back in a later boot than any that was claimed.
    pub(super) fn restart_beyond(&mut self, member: Member, boot: u64) {
        let restarts = self.boots.entry(member.id).or_default();
        *restarts = (*restarts).max(boot) + 1;
    }

    /// Another member mostly; from 240 on a stranger, another incarnation, or the node itself.
    pub(super) fn peer(&self, who: u8) -> Member {
        let others = u64::from(self.voters.max(2)) - 1;
        match who {
            0..=239 => member(2 + u64::from(who) % others),
            240..=247 => member(9),
            248..=251 => Member { incarnation: Incarnation(1), ..member(2 + u64::from(who) % others) },
            252 | 253 => member(77),
            _ => member(ME),
        }
    }

    pub(super) fn envelope(&self, raft: &Raft, from: Member, flags: u8, message: Message) -> Envelope {
        let boot = 1 + self.boots.get(&from.id).copied().unwrap_or_default();
        let to_boot = if message.is_answer() { raft.boot() } else { Boot(0) };
        let mut envelope = Envelope {
            cluster: ClusterId(7),
            epoch: Epoch(1),
            from,
            from_boot: Boot(boot),
            to: member(ME),
            to_boot,
            message,
        };
        match flags {
            0..=239 => {}
            240..=243 => envelope.to_boot = Boot(to_boot.0.wrapping_sub(1)),
            244..=247 => envelope.from_boot = Boot(boot - 1),
            248..=250 => envelope.from_boot = Boot(boot + 1),
            251 => envelope.cluster = ClusterId(8),
            252 => envelope.epoch = Epoch(0),
            253 => envelope.to = member(2),
            _ => envelope.from_boot = Boot(u64::MAX),
        }
        envelope
    }

    /// An answer to what the node sent: as an honest peer would, if the step is zero.
    pub(super) fn answer(&self, host: &Host, back: usize, step: Step) -> Option<Envelope> {
        let Step([_, _, _, _, change, term, index, flags]) = step;
        let sent = host.sent(back)?;
        let raft = &host.raft;
        let term = near_term(sent.message.term(), term);
        // Refused instead of granted, a rejection instead of an acknowledgement.
        let yes = change < 192;
        let message = match &sent.message {
            Message::PreVote(m) => {
                Message::PreVoteAnswer(PreVoteAnswer { term, round: m.round, granted: yes })
            }
            Message::RequestVote(_) => Message::VoteAnswer(VoteAnswer { term, granted: yes }),
            Message::Append(m) if yes => {
                let last = m.entries.last().map_or(m.previous.index, |entry| entry.index);
                let matched = near_index(raft, last, index);
                Message::AppendAcknowledgement(AppendAcknowledgement { term, round: m.round, matched })
            }
            Message::Append(m) => {
                let hint = log_id(raft, near_index(raft, m.previous.index.previous(), index), change);
                let last = near_index(raft, hint.index, flags & 15);
                Message::AppendRejection(AppendRejection {
                    term,
                    round: m.round,
                    refused: m.previous,
                    hint,
                    last,
                })
            }
            Message::Heartbeat(m) if yes => {
                Message::HeartbeatAnswer(HeartbeatAnswer { term, round: m.round })
            }
            Message::Heartbeat(m) => Message::StaleTerm(StaleTerm { term, round: m.round }),
            Message::SnapshotChunk(m) => {
                let received = m.offset + m.bytes.len() as u64;
                let matched = near_index(raft, m.snapshot.last.index, index);
                if yes && received == m.snapshot.length {
                    Message::AppendAcknowledgement(AppendAcknowledgement { term, round: m.round, matched })
                } else {
                    Message::SnapshotChunkAnswer(SnapshotChunkAnswer {
                        term,
                        snapshot: m.snapshot.last,
                        digest: m.snapshot.digest,
                        received: if index < 240 { received } else { u64::from(flags) << (index & 7) },
                        reception: if yes { Reception::GoesOn } else { Reception::LacksBeginning },
                    })
                }
            }
            Message::ReadIndex(m) => {
                let index = near_index(raft, raft.status().commit, index);
                Message::ReadIndexAnswer(ReadIndexAnswer { term, round: m.round, index })
            }
            Message::Abstention(m) => {
                let last = near_index(raft, raft.status().last.index, index);
                Message::AbstentionAnswer(AbstentionAnswer { term, round: m.round, last })
            }
            Message::PreVoteAnswer(_)
            | Message::VoteAnswer(_)
            | Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndexAnswer(_)
            | Message::AbstentionAnswer(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_)
            | Message::SnapshotChunkAnswer(_) => return None,
        };
        Some(self.envelope(raft, sent.to, flags, message))
    }

    /// A message of any kind.
    pub(super) fn message(&self, host: &Host, step: Step) -> Envelope {
        let Step([kind, who, a, b, c, d, e, flags]) = step;
        let raft = &host.raft;
        let status = raft.status();
        let from =
            raft.leader().filter(|leader| who < 64 && leader.id != NodeId(ME)).unwrap_or(self.peer(who));
        let term = near_term(status.term, a);
        let round = Round(if e == 255 { u64::MAX } else { u64::from(e) });
        let index = near_index(raft, status.last.index, b);
        let id = log_id(raft, index, d);
        let message = match kind % 32 {
            10..=12 => {
                let entries = entries(raft, id, term, d, e);
                let commit = near_index(raft, entries.last().map_or(id.index, |last| last.index), c);
                Message::Append(Append { term, round, previous: id, entries: entries.into(), commit })
            }
            13 => Message::Heartbeat(Heartbeat { term, round, commit: near_index(raft, status.commit, b) }),
            14 if c & 1 == 0 => Message::PreVote(PreVote { term, round, last: id }),
            14 | 15 => Message::RequestVote(RequestVote { term, last: id, transfer: c & 2 == 2 }),
            _ => match c % 14 {
                0 => Message::ReadIndex(ReadIndex { term, round }),
                1 => Message::Abstention(Abstention { term, round }),
                2 => Message::StaleTerm(StaleTerm { term, round }),
                3 => Message::PreVoteAnswer(PreVoteAnswer { term, round, granted: d & 1 == 0 }),
                4 | 5 => Message::VoteAnswer(VoteAnswer { term, granted: d & 1 == 0 }),
                6 | 7 => {
                    Message::AppendAcknowledgement(AppendAcknowledgement { term, round, matched: index })
                }
                8 => Message::AppendRejection(AppendRejection {
                    term,
                    round,
                    refused: id,
                    hint: log_id(raft, near_index(raft, index.previous(), e), d / 2),
                    last: index,
                }),
                9 => Message::HeartbeatAnswer(HeartbeatAnswer { term, round }),
                10 => Message::ReadIndexAnswer(ReadIndexAnswer { term, round, index }),
                11 => Message::AbstentionAnswer(AbstentionAnswer { term, round, last: index }),
                12 => Message::Forward(Forward { term, request: round.0, command: Bytes::new() }),
                _ => Message::ForwardAnswer(ForwardAnswer {
                    term,
                    request: round.0,
                    outcome: ForwardOutcome::Accepted(id),
                }),
            },
        };
        self.envelope(raft, from, flags, message)
    }
}

/// A term: this one mostly, or one near it; from 250 on what honest terms never are.
pub(super) fn near_term(term: Term, byte: u8) -> Term {
    let Term(term) = term;
    Term(match byte {
        0..=159 => term,
        160..=199 => term.saturating_add(1),
        200..=219 => term.saturating_sub(1),
        220..=239 => term.saturating_add(u64::from(byte & 7)),
        240..=249 => term.saturating_sub(u64::from(byte & 7)),
        250 | 251 => 0,
        252 => Term::MAX.0,
        253 => Term::MAX.0 + 1,
        254 => u64::MAX,
        255 => 1,
    })
}

/// An index: this one mostly, or one near it, or near one of the node's marks; from 250 on what no log has.
pub(super) fn near_index(raft: &Raft, index: Index, byte: u8) -> Index {
    let status = raft.status();
    let (Index(index), small) = (index, u64::from(byte & 7));
    Index(match byte {
        0..=111 => index,
        112..=143 => index.saturating_sub(small),
        144..=159 => index.saturating_add(small),
        160..=175 => status.commit.0.saturating_add(small),
        176..=191 => status.commit.0.saturating_sub(small),
        192..=207 => status.durable.0.saturating_sub(small),
        208..=223 => status.last.index.0.saturating_add(small),
        224..=249 => small,
        250 | 251 => 1 << 62,
        252 => u64::MAX - 1,
        253 | 254 => u64::MAX,
        255 => 1_000_000,
    })
}

/// An index with its term in the node's log mostly; else with a term that is wrong or made up.
pub(super) fn log_id(raft: &Raft, index: Index, byte: u8) -> LogId {
    let known = raft.id_at(index).map(|id| id.term);
    let last = raft.status().last.term;
    let honest = known.unwrap_or(if index == Index(0) { Term(0) } else { last });
    let term = match byte {
        0..=199 => honest,
        200..=219 => Term(honest.0.saturating_sub(1)),
        220..=239 => Term(honest.0.saturating_add(1)),
        240..=254 => raft.term(),
        255 => Term(u64::MAX),
    };
    LogId { term, index }
}

/// Up to five entries after another one: new ones, or those that are there, or a mixture; from 240 on impossible ones.
fn entries(raft: &Raft, previous: LogId, term: Term, how: u8, what: u8) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut index = previous.index;
    for number in 0..how % 6 {
        index = Index(index.0.wrapping_add(1));
        let ours = raft.entries(index).next().filter(|entry| entry.index == index);
        let copies = what >> number & 1 == 1;
        let floor = entries.last().map_or(previous.term, |last| last.term).max(Term(1));
        // Entries of the leader's predecessors, and then its own.
        let own = if number + 2 < how % 6 { floor } else { term };
        let entry = match ours.filter(|_| copies) {
            Some(ours) => ours.clone(),
            None => Entry { term: own, index, payload: payload(raft, what.wrapping_add(number)) },
        };
        entries.push(entry);
    }
    match (how, entries.last_mut()) {
        (240..=246, Some(last)) => last.index = Index(last.index.0.wrapping_add(1)),
        (247..=250, Some(last)) => last.term = Term(last.term.0.wrapping_add(1)),
        (251..=255, Some(last)) => last.term = Term(last.term.0.wrapping_sub(1)),
        _ => {}
    }
    entries
}

/// Commands mostly, of several lengths; sometimes another configuration.
fn payload(raft: &Raft, what: u8) -> Payload {
    match what % 64 {
        0..=9 => Payload::Noop,
        10..=52 => Payload::Command(Bytes::from(vec![what; [0, 1, 40, 90, 150, 700][usize::from(what % 6)]])),
        53 => Payload::FeatureLevel(1),
        54 => Payload::Digest { applied: Index(1), digest: 2 },
        _ => {
            let mut next = raft.configuration().clone();
            let whom = member(2 + u64::from(what >> 6));
            match what % 4 {
                0 => {
                    next.learners.remove(whom);
                    next.voters.insert(whom);
                }
                1 => {
                    next.voters.remove(whom);
                }
                2 => next.outgoing = next.voters.clone(),
                _ => next.outgoing = MemberSet::default(),
            }
            Payload::Configuration(Box::new(next))
        }
    }
}
