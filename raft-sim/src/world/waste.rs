//! What is done twice: entries that a follower was sent before, messages beyond what the entries need, bytes that are read
//! again from a disk, snapshots for followers that need none.
//!
//! | what | where | the bound |
//! |---|---|---|
//! | entries sent again | without a fault, in runs of [`LONG_TIMEOUTS`] and more | [`REPEATS_MAX`] times what was sent once: no append is repeated more often before its window is given up, and none is lost |
//! | messages | without a fault | see [`messages_max`] |
//! | bytes that a full link dropped | always, where links take few bytes | [`REPEATS_MAX`] times what it took and one window: a leader that loses more has fewer appends under way |
//! | bytes read again | always | one batch for each read after the first: what the end of a read cut |
//! | snapshots | always | none for a follower that said, to this leader in this term, that it holds what the snapshot covers |

use std::collections::BTreeMap;

use raft_core::{Boot, Envelope, Index, Message, Term};

use super::World;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::measures::Measure;
use crate::workload::Workload;

/// An append is repeated so often at most before a leader takes a follower for one that it knows nothing of.
const REPEATS_MAX: u64 = 3;
/// What is around the entries of an append, in bytes: its datagrams' frames and its own words.
const FRAME: u64 = 200;
/// A run of so many election timeouts is long enough to be judged by what was sent again in it.
const LONG_TIMEOUTS: u64 = 50;

/// What one node was sent by another in a term.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    term: Term,
    /// The boot of the receiver that answered last, and what it said that it holds.
    boot: Boot,
    matched: Index,
    /// The last entry that was sent.
    sent: Index,
}

/// What a cluster was sent so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waste {
    links: BTreeMap<(usize, usize), Link>,
    /// Bytes of entries that were sent for the first time in their term, and those that were sent again.
    fresh: u64,
    again: u64,
    messages: u64,
    requests: u64,
}

impl Waste {
    fn link(&mut self, from: usize, to: usize, term: Term) -> Option<&mut Link> {
        let link = self.links.entry((from, to)).or_default();
        if link.term < term {
            *link = Link { term, ..Link::default() };
        }
        (link.term == term).then_some(link)
    }

    /// A client asked a node.
    pub(super) fn note_request(&mut self) {
        self.requests += 1;
    }

    /// A message leaves.
    fn sent(&mut self, from: usize, to: usize, envelope: &Envelope) -> Result<(), String> {
        match &envelope.message {
            Message::Append(append) => {
                self.messages += 1;
                let Some(link) = self.link(from, to, append.term) else { return Ok(()) };
                let known = link.sent;
                link.sent = append.entries.last().map_or(known, |last| last.index.max(known));
                for entry in append.entries.iter() {
                    let bytes = if entry.index > known { &mut self.fresh } else { &mut self.again };
                    *bytes += entry.size();
                }
            }
            Message::SnapshotChunk(chunk) => {
                let Some(link) = self.link(from, to, chunk.term) else { return Ok(()) };
                if link.matched >= chunk.snapshot.last.index {
                    return Err(format!(
                        "n{} sends n{} a snapshot of {}, and was told that it holds all through {}",
                        from + 1,
                        to + 1,
                        chunk.snapshot.last,
                        link.matched
                    ));
                }
            }
            Message::SnapshotChunkAnswer(_) => {}
            Message::PreVote(_)
            | Message::PreVoteAnswer(_)
            | Message::RequestVote(_)
            | Message::VoteAnswer(_)
            | Message::AppendAcknowledgement(_)
            | Message::AppendRejection(_)
            | Message::Heartbeat(_)
            | Message::HeartbeatAnswer(_)
            | Message::StaleTerm(_)
            | Message::ReadIndex(_)
            | Message::ReadIndexAnswer(_)
            | Message::Abstention(_)
            | Message::AbstentionAnswer(_)
            | Message::Forward(_)
            | Message::ForwardAnswer(_) => self.messages += 1,
        }
        Ok(())
    }

    /// A leader took a follower's answer.
    fn took(&mut self, from: usize, to: usize, envelope: &Envelope) {
        // What another boot held may be gone.
        let Some(link) = self.links.get_mut(&(to, from)) else { return };
        if link.boot < envelope.from_boot {
            (link.boot, link.matched) = (envelope.from_boot, Index(0));
        }
        if let Message::AppendAcknowledgement(answer) = &envelope.message
            && (link.term, link.boot) == (answer.term, envelope.from_boot)
        {
            link.matched = link.matched.max(answer.matched);
        }
    }
}

/// Messages in a run of so many nodes without a fault, but for those of snapshots.
///
/// - A heartbeat and its answer for each peer and interval.
/// - For an entry and a peer: append, acknowledgement, the news of the commit; as much again for what is late, and twice
///   for a gap that is named.
/// - For a request at a follower: the question, the answer and the round that it starts; as much again for what is late.
/// - An election: a vote and a pre-vote with their answers, of every node, a few times.
fn messages_max(nodes: u64, rounds: u64, entries: u64, requests: u64) -> u64 {
    let peers = nodes - 1;
    peers * (2 * rounds + 8 * entries + 4 * requests) + 4 * requests + 16 * nodes * nodes
}

/// What a load reads of a file, and how much of it twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// By file and offset, the end.
    ranges: BTreeMap<(String, u64), u64>,
    count: u64,
    bytes: u64,
}

impl Reads {
    /// So many bytes of a file were read.
    pub(super) fn note(&mut self, file: &str, offset: u64, bytes: u64) {
        let end = self.ranges.entry((file.to_owned(), offset)).or_default();
        *end = (*end).max(offset + bytes);
        self.count += 1;
        self.bytes += bytes;
    }

    /// Bytes that were read beyond once.
    fn again(&self) -> u64 {
        let (mut distinct, mut last): (u64, Option<(&str, u64)>) = (0, None);
        for ((file, start), end) in &self.ranges {
            let from = last.filter(|(other, _)| other == file).map_or(*start, |(_, end)| end.max(*start));
            distinct += end.saturating_sub(from);
            last = Some((file, from.max(*end)));
        }
        self.bytes - distinct
    }
}

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A message leaves.
    pub(super) fn check_sent(&mut self, node: usize, envelope: &Envelope) -> Result<(), Failure> {
        let Some(to) = self.members.iter().position(|member| *member == envelope.to) else { return Ok(()) };
        self.waste.sent(node, to, envelope).map_err(wasted)
    }

    /// A node took a message.
    pub(super) fn note_took(&mut self, from: usize, to: usize, envelope: &Envelope) {
        self.waste.took(from, to, envelope);
    }

    /// A load is done.
    pub(super) fn check_reads(&mut self, node: usize, reads: &Reads) -> Result<(), Failure> {
        // A batch is as long as its bound, and one append or entry and what that brings in from the shelf more, in sectors of
        // which each has a mark.
        let settings = &self.setup.settings;
        let batch = settings.batch_bytes_max
            + settings.append_bytes_max
            + settings.shelf_bytes_max
            + 2 * self.setup.load.padding
            + 4_096;
        let batch = batch * 512 / 508 + 1_024;
        let allowed = reads.count.saturating_sub(1) * batch;
        let again = reads.again();
        if reads.count > 1 {
            self.measures.note(Measure::ReadAgain, again * 100 / allowed.max(1));
        }
        if again <= allowed {
            return Ok(());
        }
        let what = format!("n{} read {again} bytes twice in {} reads of one load", node + 1, reads.count);
        Err(wasted(what))
    }

    /// What did not fit into a link. A leader that takes office knows nothing of it, and sends a window at once.
    fn check_overflows(&mut self) -> Result<(), Failure> {
        let settings = &self.setup.settings;
        let burst = settings.window_bytes_max + settings.window_appends_max * FRAME;
        for (passed, overflowed) in self.network.overflows().filter(|(_, overflowed)| *overflowed > 0) {
            let allowed = REPEATS_MAX * (passed + burst);
            self.measures.note(Measure::Overflow, overflowed * 100 / allowed);
            if overflowed > allowed {
                let what =
                    format!("{overflowed} bytes did not fit into a link that took {passed}; {allowed} may");
                return Err(wasted(what));
            }
        }
        Ok(())
    }

    /// The run is over.
    pub(super) fn finish_waste(&mut self) -> Result<(), Failure> {
        self.check_overflows()?;
        if !self.setup.is_faultless() {
            return Ok(());
        }
        let Waste { fresh, again, messages, requests, .. } = self.waste;
        let rounds = self.now / self.setup.settings.heartbeat_interval + 1;
        let entries = self.oracles.committed().0;
        let allowed = messages_max(self.nodes.len() as u64, rounds, entries, requests);
        self.measures.note(Measure::EntriesAgain, again * 100 / (REPEATS_MAX * fresh).max(1));
        self.measures.note(Measure::Messages, messages * 100 / allowed);
        // In a short life one sync that takes thirty times its mean outweighs everything else.
        let is_long = self.now >= LONG_TIMEOUTS * self.setup.settings.election_timeout;
        if is_long && again > REPEATS_MAX * fresh {
            return Err(wasted(format!("{again} bytes of entries were sent again, and {fresh} once")));
        }
        if messages > allowed {
            let what = format!(
                "{messages} messages for {entries} entries, {requests} requests and {rounds} rounds; {allowed} will do"
            );
            return Err(wasted(what));
        }
        Ok(())
    }
}

fn wasted(what: String) -> Failure {
    Failure::new(FailureKind::Liveness, "waste", what)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft_core::message::{Append, AppendAcknowledgement, HeartbeatAnswer, SnapshotChunk};
    use raft_core::snapshot::SnapshotMeta;
    use raft_core::{
        ClusterId, Configuration, Entry, Epoch, Incarnation, LogId, Member, NodeId, Payload, Round,
    };

    use super::*;

    #[test]
    fn what_is_read_twice_is_counted_once() {
        let mut reads = Reads::default();
        reads.note("a", 0, 100);
        reads.note("a", 90, 100);
        reads.note("b", 0, 50);
        assert_eq!(reads.again(), 10);
        reads.note("b", 0, 50);
        assert_eq!(reads.again(), 60);
        reads.note("a", 20, 30);
        assert_eq!(reads.again(), 90, "inside of what was read");
    }

    fn envelope(message: Message) -> Envelope {
        let member = |id| Member { id: NodeId(id), incarnation: Incarnation(1) };
        Envelope {
            cluster: ClusterId(1),
            epoch: Epoch(0),
            from: member(1),
            to: member(2),
            from_boot: Boot(1),
            to_boot: Boot(1),
            message,
        }
    }

    fn append(through: u64) -> Message {
        let entry = |index| Entry { term: Term(3), index: Index(index), payload: Payload::Noop };
        let entries: Vec<Entry> = (1..=through).map(entry).collect();
        let (term, round, previous, commit) = (Term(3), Round(1), LogId::default(), Index(0));
        Message::Append(Append { term, round, previous, entries: entries.into(), commit })
    }

    fn piece(last: u64) -> Message {
        let last = LogId { term: Term(2), index: Index(last) };
        let configuration = Configuration::default();
        let snapshot = Box::new(SnapshotMeta { last, configuration, length: 0, digest: 0 });
        let (term, round, offset, bytes) = (Term(3), Round(1), 0, Bytes::new());
        Message::SnapshotChunk(SnapshotChunk { term, round, snapshot, offset, bytes })
    }

    #[test]
    fn entries_that_were_sent_before_are_told_apart() {
        let mut waste = Waste::default();
        waste.sent(0, 1, &envelope(append(2))).unwrap();
        assert_eq!(waste.again, 0);
        let once = waste.fresh / 2;
        waste.sent(0, 1, &envelope(append(3))).unwrap();
        waste.sent(0, 2, &envelope(append(1))).unwrap();
        assert_eq!((waste.fresh, waste.again), (4 * once, 2 * once));
    }

    #[test]
    fn a_snapshot_for_a_follower_that_holds_its_entries_is_caught() {
        let mut waste = Waste::default();
        let holds = AppendAcknowledgement { term: Term(3), round: Round(1), matched: Index(7) };
        let holds = envelope(Message::AppendAcknowledgement(holds));
        waste.sent(0, 1, &envelope(piece(7))).expect("nothing is known of the follower");
        waste.took(1, 0, &holds);
        waste.sent(0, 1, &envelope(piece(8))).expect("it lacks an entry");
        assert!(waste.sent(0, 1, &envelope(piece(7))).is_err());
        waste.took(1, 0, &Envelope { from_boot: Boot(2), ..holds });
        waste.sent(0, 2, &envelope(piece(7))).expect("another follower");
        let young = Envelope {
            from_boot: Boot(3),
            ..envelope(Message::HeartbeatAnswer(HeartbeatAnswer { term: Term(3), round: Round(1) }))
        };
        waste.took(1, 0, &young);
        waste.sent(0, 1, &envelope(piece(7))).expect("what another boot held may be gone");
    }

    #[test]
    fn a_run_has_a_bound_on_its_messages() {
        assert_eq!(messages_max(1, 100, 100, 100), 416, "a sole voter sends none");
        assert_eq!(messages_max(3, 10, 5, 2), 2 * (20 + 40 + 8) + 8 + 144);
    }
}
