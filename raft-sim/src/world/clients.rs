//! Clients ask, wait, try again elsewhere, and write down what they were told.
//!
//! | answer | it means | so |
//! |---|---|---|
//! | done, answer, opened | it happened | ok |
//! | refused, lost | this attempt has no effect | again, if others remain |
//! | unknown, none in time | it may happen yet | again under the same number, without a session give up |
//! | expired | this attempt has no effect, an earlier one may have had | give up, open a new session |
//!
//! Giving up is "failed" if no attempt can have had an effect, else "unknown", and then the client's name changes.

use bytes::Bytes;
use raft_core::Refused;
use raft_core::replica::{Outcome, SessionRequest, StateMachine, Ticket};

use super::{Event, World};
use crate::choices::{Draw, Stream};
use crate::client::{Asking, Doing};
use crate::counts::Effect;
use crate::failure::Failure;
use crate::machine::{Machine, Padded};
use crate::marks::Mark;
use crate::workload::{Answer, Ask, AskOf, At, Workload};

/// What a node answers a client.
type OutcomeOf<S> = Outcome<<S as StateMachine>::Response, <S as StateMachine>::Answer>;

/// A client's request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Request<S: Machine> {
    client: u32,
    token: u32,
    node: usize,
    body: Body<S>,
    /// Of a command: what makes it longer.
    padding: Bytes,
}

#[derive(Clone, Debug)]
enum Body<S: Machine> {
    Open,
    Ask(AskOf<S>, Option<SessionRequest>),
}

/// A node's answer on its way.
#[derive(Clone, Debug)]
pub(crate) struct Reply<S: Machine> {
    client: u32,
    token: u32,
    node: usize,
    outcome: OutcomeOf<S>,
    from_leader: bool,
}

/// A client's patience doubles so often at most.
const DOUBLINGS_MAX: u32 = 6;

/// Without a connection, this is what a client's library says.
const NO_CONNECTION: &str = "no connection";

/// A client that asked, and does not wait for the answer.
pub(super) const NOBODY: u32 = u32::MAX;

impl<S: Machine, W: Workload<S>> World<S, W> {
    fn at(&self) -> At {
        At { time: self.now, sequence: self.events }
    }

    /// A client's timer: it has thought enough, rested enough, or waited too long.
    pub(super) fn client_timer(&mut self, client: usize) {
        if self.are_clients_silent() {
            let (later, token) =
                (self.now + self.setup.settings.election_timeout, self.clients[client].token);
            return self.plan(later, Event::Client { client: client as u32, token });
        }
        let doing = std::mem::replace(&mut self.clients[client].doing, Doing::Thinking);
        match doing {
            Doing::Thinking => self.next_operation(client),
            Doing::Opening => {
                self.counts.add(Effect::OpsTimedOut);
                self.think(client);
            }
            Doing::Asking(mut asking) => {
                if asking.resting {
                    asking.resting = false;
                    self.attempt(client, asking);
                } else {
                    self.counts.add(Effect::OpsTimedOut);
                    self.clients[client].vain += 1;
                    asking.maybe = true;
                    self.again_or_give_up(client, asking, false);
                }
            }
        }
    }

    fn next_operation(&mut self, client: usize) {
        if self.is_closing() {
            return self.next_closing(client);
        }
        let one = &self.clients[client];
        if !one.sessionless && one.session.is_none() {
            return self.open_session(client);
        }
        let mut draw = Draw::new(&mut self.choices, one.stream);
        let ask = self.workload.ask(&mut draw, client as u32);
        self.begin(client, ask, false);
    }

    fn next_closing(&mut self, client: usize) {
        let clients = self.clients.len() as u32;
        let one = &self.clients[client];
        let mut draw = Draw::new(&mut self.choices, one.stream);
        match self.workload.closing(&mut draw, client as u32, clients, one.closing) {
            Some(ask) => self.begin(client, ask, true),
            None => self.clients[client].finished = true,
        }
    }

    fn begin(&mut self, client: usize, ask: AskOf<S>, closing: bool) {
        let at = self.at();
        let one = &mut self.clients[client];
        let operation = self.workload.invoked(one.process, &ask, at);
        let request = match (&ask, one.session) {
            (Ask::Command(_), Some(session)) if !closing => {
                one.sequence += 1;
                Some(SessionRequest { session, sequence: one.sequence, unanswered: one.sequence })
            }
            (Ask::Command(_) | Ask::Query(_), _) => None,
        };
        let asking = Asking { ask, operation, request, attempts: 0, maybe: false, resting: false, closing };
        self.attempt(client, Box::new(asking));
    }

    fn attempt(&mut self, client: usize, mut asking: Box<Asking<S>>) {
        asking.attempts += 1;
        if asking.attempts > 1 {
            self.counts.add(Effect::OpsRetried);
        }
        let body = Body::Ask(asking.ask.clone(), asking.request);
        self.clients[client].doing = Doing::Asking(asking);
        self.ask_node(client, body);
    }

    fn open_session(&mut self, client: usize) {
        self.clients[client].doing = Doing::Opening;
        self.ask_node(client, Body::Open);
    }

    fn ask_node(&mut self, client: usize, body: Body<S>) {
        let stream = self.clients[client].stream;
        let stay = self.choices.below(stream, 4) != 3 || self.clients[client].sticks;
        let nodes = self.reachable();
        let node = if stay && nodes >> self.clients[client].node & 1 == 1 {
            self.clients[client].node
        } else {
            let all: Vec<usize> = crate::schedule::nodes_of(nodes).collect();
            self.choices.pick(stream, &all)
        };
        let token = self.clients[client].next_token();
        self.clients[client].node = node;
        let padding = self.padding(stream);
        let id = self.requests.insert(Request { client: client as u32, token, node, body, padding });
        let latency = 1 + self.choices.below(stream, self.setup.load.latency + 1);
        self.plan(self.now + latency, Event::Request { id });
        // Whoever is not answered in time waits longer, once the run is closing: clients that ask anew as soon as before ask a slow
        // cluster for more than it can do, for ever.
        let doublings = if self.is_closing() { self.clients[client].vain.min(DOUBLINGS_MAX) } else { 0 };
        let timeout = self.now + (self.setup.load.timeout << doublings);
        self.plan(timeout, Event::Client { client: client as u32, token });
    }

    /// Half of the requests are as short as can be, the others up to what the run allows.
    fn padding(&mut self, stream: Stream) -> Bytes {
        let length = self.choices.below(stream, 2 * self.setup.load.padding + 1);
        // Zeros look like a sector that was never written; a journal must tell them apart.
        let byte = if length.is_multiple_of(2) { 0 } else { 0xa5 };
        Bytes::from(vec![byte; length.saturating_sub(self.setup.load.padding) as usize])
    }

    pub(super) fn request_arrives(&mut self, id: u32, event: Event) -> Result<(), Failure> {
        let Some(node) = self.requests.get(id).map(|request| request.node) else { return Ok(()) };
        if !self.nodes[node].is_down() && self.put_off(node, event).is_some() {
            return Ok(());
        }
        let Some(request) = self.requests.remove(id) else { return Ok(()) };
        self.count_event(event, u64::from(request.client) << 32 | u64::from(request.token));
        let now = self.nodes[node].clock.at(self.now);
        self.say(Some(node), "request", || format!("client {}: {:?}", request.client, request.body));
        let Some(running) = self.nodes[node].running_mut() else {
            // Half of the time the machine is there and says that nobody listens.
            if self.choices.below(self.client_stream, 2) == 1 {
                let outcome = Outcome::Refused(Refused::Busy(NO_CONNECTION));
                self.answer(node, (request.client, request.token), outcome);
            }
            return Ok(());
        };
        let replica = &mut running.replica;
        let ticket = match request.body {
            Body::Open => replica.open_session(now),
            Body::Ask(Ask::Command(command), session) => {
                replica.propose(now, session, Padded { command, padding: request.padding })
            }
            Body::Ask(Ask::Query(query), _) => {
                let ticket = replica.query(now, query);
                let (leads, term) = (replica.raft().is_leader(), replica.raft().term());
                self.oracles.read_asked(node, ticket);
                if leads {
                    self.watch.marks.see(Mark::ReadAtOldLeader, self.oracles.committing_term() > term);
                }
                ticket
            }
        };
        running.tickets.insert(ticket, (request.client, request.token));
        self.waste.note_request();
        self.note_taken(node, ticket);
        self.drain(node)
    }

    /// A replica ended a request.
    pub(super) fn reply(
        &mut self,
        node: usize,
        ticket: Ticket,
        outcome: OutcomeOf<S>,
    ) -> Result<(), Failure> {
        match outcome {
            Outcome::Answer(_) => self.oracles.read_answered(node, ticket)?,
            Outcome::Done(_)
            | Outcome::Opened(_)
            | Outcome::Lost
            | Outcome::Unknown
            | Outcome::Refused(_)
            | Outcome::Expired => self.oracles.read_ended(node, ticket),
        }
        self.note_answered(node, ticket);
        let running = self.nodes[node].running_mut();
        match running.and_then(|running| running.tickets.remove(&ticket)) {
            Some((NOBODY, _)) => {}
            Some(asker) => self.answer(node, asker, outcome),
            None => {
                self.violation.get_or_insert_with(|| format!("n{} ended {ticket:?} twice", node + 1));
            }
        }
        Ok(())
    }

    fn answer(&mut self, node: usize, (client, token): (u32, u32), outcome: OutcomeOf<S>) {
        let from_leader = self.nodes[node].running().is_some_and(|running| running.leads);
        let id = self.replies.insert(Reply { client, token, node, outcome, from_leader });
        let latency = 1 + self.choices.below(self.client_stream, self.setup.load.latency + 1);
        self.plan(self.now + latency, Event::Reply { id });
    }

    pub(super) fn reply_arrives(&mut self, id: u32) {
        let Some(reply) = self.replies.remove(id) else { return };
        let client = reply.client as usize;
        if self.clients[client].token != reply.token {
            return;
        }
        self.say(Some(reply.node), "reply", || format!("client {client}: {:?}", reply.outcome));
        // What it waited for has come, so its timer is void.
        self.clients[client].next_token();
        let doing = std::mem::replace(&mut self.clients[client].doing, Doing::Thinking);
        match doing {
            Doing::Thinking => {}
            Doing::Opening => self.opened(client, &reply.outcome),
            Doing::Asking(asking) => self.answered(client, asking, reply),
        }
    }

    fn opened(&mut self, client: usize, outcome: &OutcomeOf<S>) {
        if let Outcome::Opened(session) = outcome {
            self.counts.add(Effect::SessionsOpened);
            self.clients[client].session = Some(*session);
            self.clients[client].sequence = 0;
        } else {
            self.leave(client);
        }
        self.think(client);
    }

    fn answered(&mut self, client: usize, mut asking: Box<Asking<S>>, reply: Reply<S>) {
        match reply.outcome {
            Outcome::Done(response) => self.succeeded(client, &asking, &Answer::Response(response)),
            Outcome::Answer(answer) => {
                if !reply.from_leader {
                    self.counts.add(Effect::ReadsOnFollowers);
                }
                self.succeeded(client, &asking, &Answer::Answer(answer));
            }
            Outcome::Lost => {
                self.counts.add(Effect::OpsLost);
                self.again_or_give_up(client, asking, true);
            }
            Outcome::Refused(_) => {
                self.counts.add(Effect::OpsRefused);
                self.leave(client);
                self.again_or_give_up(client, asking, true);
            }
            Outcome::Unknown => {
                self.counts.add(Effect::OpsAnsweredUnknown);
                asking.maybe = true;
                self.again_or_give_up(client, asking, true);
            }
            Outcome::Expired => {
                self.counts.add(Effect::OpsExpired);
                self.clients[client].session = None;
                self.give_up(client, &asking);
            }
            Outcome::Opened(_) => {
                let what =
                    format!("a session was opened for client {client}, which asked for something else");
                self.violation.get_or_insert(what);
            }
        }
    }

    fn succeeded(&mut self, client: usize, asking: &Asking<S>, answer: &crate::workload::AnswerOf<S>) {
        self.counts.add(Effect::OpsOk);
        self.clients[client].vain = 0;
        if asking.request.is_none() && matches!(asking.ask, Ask::Command(_)) {
            self.counts.add(Effect::OpsWithoutSession);
        }
        self.workload.answered(asking.operation, answer, self.at());
        if asking.closing {
            self.clients[client].closing += 1;
        }
        self.think(client);
    }

    /// Tries again now, or after a rest, or not at all.
    fn again_or_give_up(&mut self, client: usize, mut asking: Box<Asking<S>>, rest: bool) {
        let most = if self.is_closing() { u32::MAX } else { self.setup.load.attempts };
        let is_query = matches!(asking.ask, Ask::Query(_));
        // Without a session, a second attempt could be a second effect.
        let may_repeat = is_query || asking.request.is_some() || !asking.maybe;
        if !may_repeat || asking.attempts >= most {
            return self.give_up(client, &asking);
        }
        if !rest {
            self.leave(client);
            return self.attempt(client, asking);
        }
        asking.resting = true;
        self.clients[client].doing = Doing::Asking(asking);
        let token = self.clients[client].next_token();
        let stream = self.clients[client].stream;
        let timeout = self.setup.settings.election_timeout;
        let span = 1 + timeout / 64 + self.choices.exponential(stream, timeout / 8);
        self.plan(self.now + span, Event::Client { client: client as u32, token });
    }

    fn give_up(&mut self, client: usize, asking: &Asking<S>) {
        if asking.maybe && matches!(asking.ask, Ask::Command(_)) {
            self.counts.add(Effect::OpsUnknown);
            self.workload.unknown(asking.operation);
            self.clients[client].process = self.processes;
            self.processes += 1;
        } else {
            self.counts.add(Effect::OpsFailed);
            self.workload.failed(asking.operation);
        }
        self.think(client);
    }

    /// Next time it asks another node.
    fn leave(&mut self, client: usize) {
        if self.clients[client].sticks && !self.is_closing() {
            return;
        }
        let stream = self.clients[client].stream;
        let others: Vec<usize> = crate::schedule::nodes_of(self.reachable())
            .filter(|node| *node != self.clients[client].node)
            .collect();
        // The dull choice is the next one, so that even a client without a mind of its own asks everybody.
        let next = others.iter().position(|node| *node > self.clients[client].node).unwrap_or(0);
        if !others.is_empty() {
            let step = self.choices.below(stream, others.len() as u64) as usize;
            self.clients[client].node = others[(next + step) % others.len()];
        }
    }

    fn think(&mut self, client: usize) {
        let one = &mut self.clients[client];
        one.doing = Doing::Thinking;
        let token = one.next_token();
        let stream = one.stream;
        let load = &self.setup.load;
        let mut span = 1;
        if one.burst > 0 {
            one.burst -= 1;
        } else {
            span += self.choices.exponential(stream, load.think);
            if self.choices.chance(stream, load.burst_ppm) {
                one.burst = self.choices.below(stream, u64::from(load.burst) + 1) as u32;
            }
        }
        self.plan(self.now + span, Event::Client { client: client as u32, token });
    }

    /// Clients that were thinking go on at once.
    pub(super) fn wake_clients(&mut self) {
        for client in 0..self.clients.len() {
            self.clients[client].burst = u32::MAX;
            if matches!(self.clients[client].doing, Doing::Thinking) {
                self.think(client);
            }
        }
    }

    pub(super) fn all_clients_finished(&self) -> bool {
        self.clients.iter().all(|client| client.finished)
    }

    /// Clients that wait, in words.
    pub(super) fn unfinished_clients(&self) -> String {
        let waiting = self.clients.iter().enumerate().filter(|(_, client)| !client.finished);
        let one = |(number, client): (usize, &crate::client::Client<S>)| {
            format!("client {number} at n{}: {:?}", client.node + 1, client.doing)
        };
        waiting.map(one).collect::<Vec<_>>().join("; ")
    }
}
