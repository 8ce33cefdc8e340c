//! Any envelope, for proptest, and one of each kind.

use bytes::Bytes;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use raft_core::message::*;
use raft_core::*;

/// Numbers of all lengths as varints: plain `any` is nearly always ten bytes long.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(bits, shift)| bits >> shift)
}

fn member() -> impl Strategy<Value = Member> {
    (number(), number()).prop_map(|(id, x)| Member { id: NodeId(id), incarnation: Incarnation(x) })
}

fn log_id() -> impl Strategy<Value = LogId> {
    (number(), number()).prop_map(|(term, index)| LogId { term: Term(term), index: Index(index) })
}

fn bytes(bytes_max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=bytes_max).prop_map(Bytes::from)
}

fn configuration() -> impl Strategy<Value = Configuration> {
    let set = || btree_set(member(), 0..4).prop_map(MemberSet::from_iter);
    (set(), set(), set(), btree_map(member(), ".{0,12}", 0..4)).prop_map(
        |(voters, outgoing, learners, addresses)| Configuration { voters, outgoing, learners, addresses },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(Payload::Noop),
        bytes(200).prop_map(Payload::Command),
        configuration().prop_map(|configuration| Payload::Configuration(Box::new(configuration))),
        (0..=u32::MAX).prop_map(Payload::FeatureLevel),
        (number(), number()).prop_map(|(i, digest)| Payload::Digest { applied: Index(i), digest }),
    ];
    (log_id(), payload).prop_map(|(id, payload)| Entry { term: id.term, index: id.index, payload })
}

fn message() -> impl Strategy<Value = Message> {
    let outcome = prop_oneof![
        log_id().prop_map(ForwardOutcome::Accepted),
        ".{0,20}".prop_map(ForwardOutcome::Refused),
    ];
    let numbers = (number(), number(), number(), any::<bool>());
    (0..18, numbers, configuration(), log_id(), log_id(), vec(entry(), 0..20), bytes(3_000), outcome)
        .prop_map(|(kind, (a, b, c, yes), configuration, id, other, entries, command, outcome)| {
            let (term, round, index) = (Term(a), Round(b), Index(c));
            match kind {
                0 => Message::PreVote(PreVote { term, round, last: id }),
                1 => Message::PreVoteAnswer(PreVoteAnswer { term, round, granted: yes }),
                2 => Message::RequestVote(RequestVote { term, last: id, transfer: yes }),
                3 => Message::VoteAnswer(VoteAnswer { term, granted: yes }),
                4 => Message::Append(Append {
                    term,
                    round,
                    previous: id,
                    entries: entries.into(),
                    commit: index,
                }),
                5 => Message::AppendAcknowledgement(AppendAcknowledgement { term, round, matched: index }),
                6 => Message::AppendRejection(AppendRejection {
                    term,
                    round,
                    refused: id,
                    hint: other,
                    last: index,
                }),
                7 => Message::Heartbeat(Heartbeat { term, round, commit: index }),
                8 => Message::HeartbeatAnswer(HeartbeatAnswer { term, round }),
                9 => Message::StaleTerm(StaleTerm { term, round }),
                10 => Message::ReadIndex(ReadIndex { term, round }),
                11 => Message::ReadIndexAnswer(ReadIndexAnswer { term, round, index }),
                12 => Message::Abstention(Abstention { term, round }),
                13 => Message::AbstentionAnswer(AbstentionAnswer { term, round, last: index }),
                14 => Message::Forward(Forward { term, request: b, command }),
                15 => Message::ForwardAnswer(ForwardAnswer { term, request: b, outcome }),
                16 => {
                    let snapshot = Box::new(SnapshotMeta { last: id, configuration, length: c, digest: b });
                    Message::SnapshotChunk(SnapshotChunk { term, round, snapshot, offset: a, bytes: command })
                }
                _ => Message::SnapshotChunkAnswer(SnapshotChunkAnswer {
                    term,
                    snapshot: id,
                    digest: b,
                    received: c,
                    reception: if yes { Reception::LacksBeginning } else { Reception::NoRoom },
                }),
            }
        })
}

pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    (number(), any::<u32>(), member(), number(), member(), number(), message()).prop_map(
        |(cluster, epoch, from, from_boot, to, to_boot, message)| Envelope {
            cluster: ClusterId(cluster),
            epoch: Epoch(epoch),
            from,
            from_boot: Boot(from_boot),
            to,
            to_boot: Boot(to_boot),
            message,
        },
    )
}

/// An envelope between fixed members.
pub(crate) fn around(message: Message) -> Envelope {
    let member = |id| Member { id: NodeId(id), incarnation: Incarnation(0x1234) };
    Envelope {
        cluster: ClusterId(77),
        epoch: Epoch(1),
        from: member(1),
        from_boot: Boot(300),
        to: member(2),
        to_boot: Boot(5),
        message,
    }
}

/// An append of so many commands of so many bytes, each byte different from its neighbours.
pub(crate) fn append(entries: u64, command_bytes: usize) -> Envelope {
    let entry = |index| Entry {
        term: Term(3),
        index: Index(index),
        payload: Payload::Command((0..command_bytes).map(|i| (i as u64 * 7 + index) as u8).collect()),
    };
    around(Message::Append(Append {
        term: Term(3),
        round: Round(9),
        previous: LogId { term: Term(2), index: Index(1_000) },
        entries: (1_001..=1_000 + entries).map(entry).collect(),
        commit: Index(999),
    }))
}

/// One of each kind of message, payload and outcome.
pub(crate) fn one_of_each() -> Vec<Envelope> {
    let (term, round, index) = (Term(3), Round(1_000), Index(70_000));
    let id = |term, index| LogId { term: Term(term), index: Index(index) };
    let member = |id| Member { id: NodeId(id), incarnation: Incarnation(0x1234) };
    let configuration = Configuration {
        voters: [member(1), member(2)].into(),
        outgoing: [member(1), member(3)].into(),
        learners: [member(4)].into(),
        addresses: [(member(1), "a:1".into()), (member(4), "d:4".into())].into(),
    };
    let snapshot = SnapshotMeta {
        last: id(2, 69_999),
        configuration: configuration.clone(),
        length: 300,
        digest: u64::MAX,
    };
    let payloads = [
        Payload::Noop,
        Payload::Command(Bytes::from_static(b"hello")),
        Payload::Configuration(Box::new(configuration)),
        Payload::FeatureLevel(2),
        Payload::Digest { applied: Index(500), digest: u64::MAX },
    ];
    let entries = (1u64..).zip(payloads);
    let entries = entries.map(|(i, payload)| Entry { term: Term(3), index: Index(i), payload }).collect();
    let messages = [
        Message::PreVote(PreVote { term, round, last: id(2, 69_999) }),
        Message::PreVoteAnswer(PreVoteAnswer { term, round, granted: true }),
        Message::RequestVote(RequestVote { term, last: id(2, 69_999), transfer: false }),
        Message::VoteAnswer(VoteAnswer { term, granted: true }),
        Message::Append(Append { term, round, previous: id(2, 0), entries, commit: Index(1) }),
        Message::AppendAcknowledgement(AppendAcknowledgement { term, round, matched: index }),
        Message::AppendRejection(AppendRejection {
            term,
            round,
            refused: id(2, 50),
            hint: id(1, 40),
            last: index,
        }),
        Message::Heartbeat(Heartbeat { term, round, commit: index }),
        Message::HeartbeatAnswer(HeartbeatAnswer { term, round }),
        Message::StaleTerm(StaleTerm { term, round }),
        Message::ReadIndex(ReadIndex { term, round }),
        Message::ReadIndexAnswer(ReadIndexAnswer { term, round, index }),
        Message::Abstention(Abstention { term, round }),
        Message::AbstentionAnswer(AbstentionAnswer { term, round, last: index }),
        Message::Forward(Forward { term, request: 128, command: Bytes::from_static(b"hello") }),
        Message::ForwardAnswer(ForwardAnswer {
            term,
            request: 128,
            outcome: ForwardOutcome::Accepted(id(3, 70_000)),
        }),
        Message::ForwardAnswer(ForwardAnswer {
            term,
            request: 128,
            outcome: ForwardOutcome::Refused("busy".into()),
        }),
        Message::SnapshotChunk(SnapshotChunk {
            term,
            round,
            snapshot: Box::new(snapshot),
            offset: 200,
            bytes: Bytes::from_static(b"hello"),
        }),
        Message::SnapshotChunkAnswer(SnapshotChunkAnswer {
            term,
            snapshot: id(2, 69_999),
            digest: u64::MAX,
            received: 205,
            reception: Reception::LacksBeginning,
        }),
    ];
    messages.into_iter().map(around).collect()
}
