//! One whole member; the test speaks for all others.

use bytes::Bytes;
use raft_core::message::{
    Append, Forward, ForwardAnswer, ForwardOutcome, Heartbeat, Message, PreVoteAnswer, ReadIndexAnswer,
    VoteAnswer,
};
use raft_core::replica::command::{Origin, ReplicaCommand};
use raft_core::replica::{Outcome, ReplicaConfig, StopReason};
use raft_core::{Boot, Configuration, Entry, Envelope, Index, LogId, Payload, Refused, Round, Span, Term};

use super::world::{Command, World, identity, is_forward, member};

/// Member 1 of three, alone.
fn alone() -> World {
    World::found(ReplicaConfig::default(), Configuration::of_voters((1..=3).map(member)), 1)
}

/// Member 1 votes alone, and 2 and 3 learn: it leads at once.
fn sole_voter(config: ReplicaConfig) -> World {
    let mut founding = Configuration::of_voters([member(1)]);
    founding.learners.extend([member(2), member(3)]);
    let mut world = World::found(config, founding, 1);
    assert_eq!(world.elect(), 1);
    world
}

fn hear_from(world: &mut World, from: u64, message: Message) {
    let identity = identity(from);
    let to_boot = if message.is_answer() { world.at(1).raft().boot() } else { Boot(0) };
    let (cluster, epoch, from) = (identity.cluster, identity.epoch, identity.member);
    let envelope = Envelope { cluster, epoch, from, from_boot: Boot(1), to: member(1), to_boot, message };
    let now = world.now;
    world.at(1).handle_message(now, envelope).expect("an honest message");
    world.settle();
}

fn id(term: u64, index: u64) -> LogId {
    LogId { term: Term(term), index: Index(index) }
}

fn entry(term: u64, index: u64, payload: Payload) -> Entry {
    Entry { term: Term(term), index: Index(index), payload }
}

fn body(by: u64) -> Vec<u8> {
    postcard::to_allocvec(&Command::Add(by)).unwrap()
}

fn add(by: u64, origin: Option<Origin>) -> Payload {
    let command = ReplicaCommand::Command { session: None, origin, body: &body(by) };
    Payload::Command(Bytes::from(command.encode().unwrap()))
}

fn append(term: u64, previous: LogId, entries: Vec<Entry>, commit: u64) -> Message {
    Message::Append(Append {
        term: Term(term),
        round: Round(1),
        previous,
        entries: entries.into(),
        commit: Index(commit),
    })
}

fn heartbeat(term: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: Term(term), round: Round(1), commit: Index(0) })
}

fn sent_forward(world: &World) -> Forward {
    match &world.forwards().last().expect("a forward was sent").message {
        Message::Forward(forward) => forward.clone(),
        other => panic!("{other:?} is no forward"),
    }
}

fn answer(term: u64, request: u64, outcome: ForwardOutcome) -> Message {
    Message::ForwardAnswer(ForwardAnswer { term: Term(term), request, outcome })
}

/// The last answer of member 1 to a forward.
fn given_answer(world: &World) -> Option<ForwardOutcome> {
    world.sent.iter().rev().find_map(|envelope| match &envelope.message {
        Message::ForwardAnswer(answer) => Some(answer.outcome.clone()),
        _ => None,
    })
}

fn forward(world: &mut World, from: u64, request: u64, by: u64) {
    let origin = Origin { member: member(from), boot: Boot(1), request };
    let Payload::Command(command) = add(by, Some(origin)) else { unreachable!() };
    let term = world.at(1).raft().term();
    hear_from(world, from, Message::Forward(Forward { term, request, command }));
}

#[test]
fn a_query_waits_until_its_index_is_applied() {
    let mut world = alone();
    hear_from(&mut world, 2, append(1, LogId::default(), vec![entry(1, 1, Payload::Noop)], 1));
    let ticket = world.query(1);
    world.settle();
    let question = world.sent.iter().rev().find_map(|envelope| match &envelope.message {
        Message::ReadIndex(question) => Some(question.round),
        _ => None,
    });
    let confirmed = ReadIndexAnswer { term: Term(1), round: question.unwrap(), index: Index(3) };
    hear_from(&mut world, 2, Message::ReadIndexAnswer(confirmed));
    assert_eq!(world.reply(1, ticket), None, "only 1 is applied");
    let entries = vec![entry(1, 2, add(5, None)), entry(1, 3, add(6, None))];
    hear_from(&mut world, 2, append(1, id(1, 1), entries, 2));
    assert_eq!((world.at(1).applied(), world.reply(1, ticket)), (Index(2), None));
    hear_from(&mut world, 2, append(1, id(1, 3), Vec::new(), 3));
    assert_eq!(world.reply(1, ticket), Some(Outcome::Answer(11)));
}

#[test]
fn a_query_whose_index_never_comes_fails_in_time() {
    let mut world = alone();
    hear_from(&mut world, 2, append(1, LogId::default(), vec![entry(1, 1, Payload::Noop)], 1));
    let ticket = world.query(1);
    world.settle();
    let round = Round(u64::MAX);
    let confirmed = ReadIndexAnswer { term: Term(1), round, index: Index(3) };
    hear_from(&mut world, 2, Message::ReadIndexAnswer(confirmed));
    world.pass(Span(world.config.raft.read_timeout.0 - 1));
    assert_eq!(world.reply(1, ticket), None);
    world.pass(Span(1));
    assert_eq!(world.reply(1, ticket), Some(Outcome::Refused(Refused::TimedOut)));
}

/// B88: two leaders propose at one index. The first one's client must not be told of the second one's entry.
#[test]
fn a_proposal_is_lost_when_another_terms_entry_takes_its_place() {
    let mut world = alone();
    world.pass(Span::from_millis(600));
    let asked = world.sent.iter().rev().find_map(|envelope| match &envelope.message {
        Message::PreVote(question) => Some(question.round),
        _ => None,
    });
    let granted = PreVoteAnswer { term: Term(0), round: asked.unwrap(), granted: true };
    hear_from(&mut world, 3, Message::PreVoteAnswer(granted));
    hear_from(&mut world, 3, Message::VoteAnswer(VoteAnswer { term: Term(1), granted: true }));
    assert!(world.at(1).raft().is_leader());
    let ticket = world.propose(1, None, 5);
    world.settle();
    let entries = vec![entry(2, 1, Payload::Noop), entry(2, 2, add(7, None))];
    hear_from(&mut world, 2, append(2, LogId::default(), entries, 1));
    assert_eq!(world.reply(1, ticket), None, "deposition alone decides nothing");
    hear_from(&mut world, 2, append(2, id(2, 2), Vec::new(), 2));
    assert_eq!(world.reply(1, ticket), Some(Outcome::Lost));
    assert_eq!(world.at(1).state().sum, 7);
}

#[test]
fn an_accepted_forward_is_lost_when_another_entry_takes_its_place() {
    let mut world = alone();
    hear_from(&mut world, 2, heartbeat(1));
    let ticket = world.propose(1, None, 5);
    world.settle();
    let request = sent_forward(&world).request;
    hear_from(&mut world, 2, answer(1, request, ForwardOutcome::Accepted(id(1, 1))));
    hear_from(&mut world, 3, heartbeat(2));
    world.pass(Span::from_millis(10));
    assert_eq!(world.reply(1, ticket), None, "the next leader may have it in its log");
    assert_eq!(world.forwards().len(), 1, "and it is not sent again");
    hear_from(&mut world, 3, append(2, LogId::default(), vec![entry(2, 1, Payload::Noop)], 1));
    assert_eq!(world.reply(1, ticket), Some(Outcome::Lost));
}

#[test]
fn an_accepted_forward_is_done_when_the_next_leader_commits_it() {
    let mut world = alone();
    hear_from(&mut world, 2, heartbeat(1));
    let ticket = world.propose(1, None, 5);
    world.settle();
    let Forward { request, command, .. } = sent_forward(&world);
    hear_from(&mut world, 2, answer(1, request, ForwardOutcome::Accepted(id(1, 1))));
    let entries = vec![entry(1, 1, Payload::Command(command)), entry(2, 2, Payload::Noop)];
    hear_from(&mut world, 3, append(2, LogId::default(), entries, 0));
    assert_eq!(world.reply(1, ticket), None);
    hear_from(&mut world, 3, append(2, id(2, 2), Vec::new(), 2));
    assert_eq!(world.reply(1, ticket), Some(Outcome::Done(5)));
}

#[test]
fn an_acceptance_that_comes_after_its_place_was_taken_is_a_loss() {
    let mut world = alone();
    hear_from(&mut world, 2, append(1, LogId::default(), vec![entry(1, 1, Payload::Noop)], 1));
    let ticket = world.propose(1, None, 5);
    world.settle();
    let request = sent_forward(&world).request;
    // From the wrong member, of the wrong term, of the wrong request: not for us.
    hear_from(&mut world, 3, answer(1, request, ForwardOutcome::Refused("busy".into())));
    hear_from(&mut world, 2, answer(1, request, ForwardOutcome::Accepted(id(9, 9))));
    hear_from(&mut world, 2, answer(1, request + 1, ForwardOutcome::Refused("busy".into())));
    assert_eq!(world.reply(1, ticket), None);
    hear_from(&mut world, 2, answer(1, request, ForwardOutcome::Accepted(id(1, 1))));
    assert_eq!(world.reply(1, ticket), Some(Outcome::Lost));
}

#[test]
fn an_entry_of_an_earlier_boot_answers_nobody() {
    let mut world = alone();
    hear_from(&mut world, 2, heartbeat(1));
    world.propose(1, None, 5);
    world.settle();
    let old = sent_forward(&world);
    world.restart(1);
    hear_from(&mut world, 2, heartbeat(1));
    let ticket = world.propose(1, None, 6);
    world.settle();
    assert_eq!(sent_forward(&world).request, old.request, "the numbers start over with each boot");
    let entries = vec![entry(1, 1, Payload::Command(old.command))];
    hear_from(&mut world, 2, append(1, LogId::default(), entries, 1));
    assert_eq!(world.at(1).state().sum, 5);
    assert_eq!(world.reply(1, ticket), None);
}

#[test]
fn a_forward_that_never_left_is_refused() {
    let mut world = alone();
    hear_from(&mut world, 2, heartbeat(1));
    let ticket = world.propose(1, None, 5);
    // Not polled in between.
    hear_from(&mut world, 3, heartbeat(2));
    assert_eq!(world.reply(1, ticket), Some(Outcome::Refused(Refused::LeaderChanged)));
    assert!(world.forwards().is_empty());
}

#[test]
fn a_leader_takes_a_request_once_and_answers_every_copy() {
    let mut world = sole_voter(ReplicaConfig::default());
    forward(&mut world, 2, 1, 5);
    let first = given_answer(&world);
    assert!(matches!(first, Some(ForwardOutcome::Accepted(_))));
    let last = world.at(1).raft().status().last;
    world.sent.clear();
    forward(&mut world, 2, 1, 5);
    assert_eq!(given_answer(&world), first);
    assert_eq!(world.at(1).raft().status().last, last);
    // The same number of another member is another request.
    forward(&mut world, 3, 1, 6);
    assert_eq!(world.at(1).state().sum, 11);
    let answer = world.sent.iter().rfind(|envelope| !is_forward(envelope)).unwrap();
    assert_eq!(answer.to_boot, Boot(1), "an answer names the boot that asked");
}

#[test]
fn what_was_refused_once_stays_refused() {
    let mut config = ReplicaConfig::default();
    config.raft.proposals_max = 1;
    let mut world = sole_voter(config);
    world.slow_disks = vec![1];
    world.propose(1, None, 1);
    forward(&mut world, 2, 1, 5);
    let busy = Some(ForwardOutcome::Refused("busy".into()));
    assert_eq!(given_answer(&world), busy);
    world.slow_disks.clear();
    world.settle();
    world.sent.clear();
    // There is room now, but the client was told that nothing happened.
    forward(&mut world, 2, 1, 5);
    assert_eq!(given_answer(&world), busy);
    forward(&mut world, 2, 2, 6);
    assert_eq!(world.at(1).state().sum, 7);
}

#[test]
fn a_malformed_command_never_enters_the_log() {
    let mut world = sole_voter(ReplicaConfig::default());
    let last = world.at(1).raft().status().last;
    let term = world.at(1).raft().term();
    let origin = |request| Some(Origin { member: member(2), boot: Boot(1), request });
    let bad_body = ReplicaCommand::Command { session: None, origin: origin(1), body: &[200, 1] };
    let forged = ReplicaCommand::Command { session: None, origin: origin(99), body: &body(5) };
    let none = ReplicaCommand::Open { origin: None };
    let texts = [bad_body.encode(), forged.encode(), none.encode(), Ok(vec![250, 1, 2])];
    for (request, text) in (1..).zip(texts) {
        world.sent.clear();
        let command = Bytes::from(text.unwrap());
        hear_from(&mut world, 2, Message::Forward(Forward { term, request, command }));
        assert_eq!(given_answer(&world), Some(ForwardOutcome::Refused("malformed".into())));
    }
    assert_eq!(world.at(1).raft().status().last, last);
}

/// A node that led the term in an earlier boot may have accepted the first copy then.
#[test]
fn a_restarted_leader_does_not_answer_for_the_term_that_it_led() {
    let mut world = sole_voter(ReplicaConfig::default());
    let led = world.at(1).raft().term();
    let origin = Origin { member: member(2), boot: Boot(1), request: 1 };
    let Payload::Command(command) = add(5, Some(origin)) else { unreachable!() };
    let copy = Message::Forward(Forward { term: led, request: 1, command });
    hear_from(&mut world, 2, copy.clone());
    world.restart(1);
    world.sent.clear();
    hear_from(&mut world, 2, copy.clone());
    assert_eq!(given_answer(&world), None);
    world.elect();
    hear_from(&mut world, 2, copy);
    assert_eq!(given_answer(&world), None);
    assert_eq!(world.at(1).state().sum, 5, "applied once");
}

#[test]
fn a_deposed_leader_refuses_what_it_surely_never_took() {
    let mut world = alone();
    hear_from(&mut world, 2, heartbeat(3));
    world.sent.clear();
    let origin = Origin { member: member(2), boot: Boot(1), request: 1 };
    let Payload::Command(command) = add(5, Some(origin)) else { unreachable!() };
    let of_term = |term| Message::Forward(Forward { term, request: 1, command: command.clone() });
    hear_from(&mut world, 2, of_term(Term(4)));
    assert_eq!(given_answer(&world), None, "a term that it has not reached");
    hear_from(&mut world, 2, of_term(Term(2)));
    assert_eq!(given_answer(&world), Some(ForwardOutcome::Refused("not the leader".into())));
}

#[test]
fn a_committed_entry_that_can_not_be_read_stops_the_node_and_is_never_skipped() {
    let bad = |bytes: &'static [u8]| Payload::Command(Bytes::from_static(bytes));
    let bad_body = ReplicaCommand::Command { session: None, origin: None, body: &[200, 1] };
    let payloads = [
        bad(&[250, 1]),
        bad(&[]),
        Payload::Command(Bytes::from(bad_body.encode().unwrap())),
        Payload::FeatureLevel(1),
        Payload::Digest { applied: Index(1), digest: 0 },
    ];
    for payload in payloads {
        let mut world = alone();
        let entries =
            vec![entry(1, 1, add(5, None)), entry(1, 2, payload.clone()), entry(1, 3, add(6, None))];
        hear_from(&mut world, 2, append(1, LogId::default(), entries, 3));
        let stopped = world.at(1).stopped().cloned();
        assert!(
            matches!(
                stopped,
                Some(StopReason::Undecodable { at, .. } | StopReason::UnknownEntry { at, .. }) if at == id(1, 2)
            ),
            "{payload:?} gave {stopped:?}"
        );
        assert_eq!((world.at(1).state().sum, world.at(1).applied()), (5, Index(1)));
        let silent_after = world.sent.len();
        hear_from(&mut world, 2, heartbeat(1));
        world.pass(Span::from_millis(5_000));
        assert_eq!(world.sent.len(), silent_after);
    }
}
