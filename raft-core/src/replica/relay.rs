//! Commands on their way to the leader: what a follower sends, and what a leader makes of it.

use alloc::string::ToString;

use bytes::Bytes;

use super::command::{Origin, ReplicaCommand, decode_all};
use super::forward::{Decision, Known, Request};
use super::tickets::{Forwarded, Progress, Waiting};
use super::{Outcome, OutcomeOf, Replica, ReplicaAction, StateMachine, Ticket};
use crate::error::Refused;
use crate::message::{Envelope, Forward, ForwardAnswer, ForwardOutcome, Message};
use crate::types::{Boot, Index, Instant, Member};

const NOT_LEADER: &str = "not the leader";
const TOO_LARGE: &str = "too large";
const MALFORMED: &str = "malformed";
const STOPPED: &str = "stopped";
const BUSY: &str = "busy";

/// The follower's side.
impl<S: StateMachine> Replica<S> {
    /// Plans to send a command to the leader. `Err` means that it was not, and never will be.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        ticket: Ticket,
        to: Member,
        command: &ReplicaCommand<'_>,
    ) -> Result<(), Refused> {
        let Some(request) = self.tickets.next_request() else {
            return Err(Refused::Busy("the window of unanswered forwards"));
        };
        let origin = Some(Origin { member: self.raft.identity().member, boot: self.raft.boot(), request });
        let command = match *command {
            ReplicaCommand::Open { .. } => ReplicaCommand::Open { origin },
            ReplicaCommand::Command { session, body, .. } => {
                ReplicaCommand::Command { session, origin, body }
            }
        };
        let command = self.encode(&command)?;
        let forwarded = Forwarded {
            request,
            to,
            term: self.raft.term(),
            command,
            progress: Progress::Queued,
            tries: 0,
            retry_at: now,
            deadline: now.plus(self.config.raft.proposal_timeout),
        };
        self.tickets.insert(ticket, Waiting::Forwarded(forwarded));
        self.tickets.send_again(ticket, now, self.config.forward_retry);
        Ok(())
    }

    /// The next forward to send, built when polled, so that one that ended meanwhile never leaves.
    pub(super) fn poll_forward(&mut self) -> Option<Envelope> {
        let Forwarded { request, to, term, command, .. } = self.tickets.poll_send()?;
        let message = Message::Forward(Forward { term, request, command });
        Some(self.envelope(to, Boot(0), message))
    }

    /// Ends the forwards that the leader of an earlier term has not answered: they are not sent to another leader,
    /// because the first may have them in its log. What was accepted keeps waiting for its entry.
    pub(super) fn notice_term(&mut self) {
        let term = self.raft.term();
        if term == self.term {
            return;
        }
        self.term = term;
        for ticket in self.tickets.unanswered() {
            self.give_up(ticket, Refused::LeaderChanged);
        }
    }

    /// Does what a timer asks for: sends a forward again, or ends what is past its deadline.
    pub(super) fn handle_timer(&mut self, ticket: Ticket, now: Instant) {
        let expired = match self.tickets.get(ticket) {
            None | Some(Waiting::Logged(_) | Waiting::Reading { .. }) => return,
            Some(Waiting::Ready { deadline, .. }) => *deadline <= now,
            Some(Waiting::Forwarded(forwarded)) => forwarded.deadline <= now,
        };
        if expired {
            self.give_up(ticket, Refused::TimedOut);
        } else {
            self.tickets.send_again(ticket, now, self.config.forward_retry);
        }
    }

    /// Ends a request that nothing is known about: refused only if it can't have had an effect.
    pub(super) fn give_up(&mut self, ticket: Ticket, why: Refused) {
        let harmless = match self.tickets.get(ticket) {
            None => return,
            Some(Waiting::Reading { .. } | Waiting::Ready { .. }) => true,
            Some(Waiting::Forwarded(forwarded)) => forwarded.progress == Progress::Queued,
            Some(Waiting::Logged(_)) => false,
        };
        let outcome: OutcomeOf<S> = if harmless { Outcome::Refused(why) } else { Outcome::Unknown };
        self.end(ticket, outcome);
    }

    /// The leader's answer. An acceptance is not an outcome: that comes when the entry is applied here.
    pub(super) fn handle_forward_answer(&mut self, from: Member, answer: &ForwardAnswer) {
        let Some((ticket, forwarded)) = self.tickets.forwarded(answer.request) else { return };
        if forwarded.to != from {
            return;
        }
        match forwarded.progress {
            Progress::Sent => {}
            // A second answer, or an answer to what was never asked.
            Progress::Accepted(_) | Progress::Queued => return,
        }
        match &answer.outcome {
            ForwardOutcome::Accepted(id) => {
                if id.term != forwarded.term || id.index == Index(0) {
                    return;
                }
                if id.index <= self.unseen_through {
                    // It came in a snapshot, where entries have no owners any more.
                    self.end(ticket, Outcome::Unknown);
                } else if id.index <= self.applied {
                    // Our entry would have ended this ticket when it was applied, so the place is another's.
                    self.end(ticket, Outcome::Lost);
                } else {
                    self.tickets.accept(ticket, *id);
                }
            }
            ForwardOutcome::Refused(text) => {
                let bytes = forwarded.command.len() as u64;
                let refused = match text.as_str() {
                    NOT_LEADER => Refused::LeaderChanged,
                    TOO_LARGE => Refused::TooLarge { bytes, bytes_max: self.config.raft.command_bytes_max },
                    _ => Refused::Busy("a bound of the leader's"),
                };
                self.end(ticket, Outcome::Refused(refused));
            }
        }
    }
}

/// The leader's side. Why a refusal is certain is told in [`forward`](super::forward).
impl<S: StateMachine> Replica<S> {
    /// A command that a follower sent here.
    pub(super) fn handle_forward(&mut self, now: Instant, envelope: &Envelope, forward: &Forward) {
        let request = Request {
            term: forward.term,
            from: envelope.from,
            boot: envelope.from_boot,
            number: forward.request,
        };
        if forward.term > self.raft.term() {
            return; // Nobody can know this member as the leader of a term that it has not reached.
        }
        let decision = match self.intake.lookup(request) {
            Known::Forgotten => return,
            Known::Decided(decision) => decision,
            Known::New => {
                let Some(decision) = self.decide(now, request, &forward.command) else { return };
                self.intake.record(request, decision);
                decision
            }
        };
        let outcome = match decision {
            Decision::Accepted(id) => ForwardOutcome::Accepted(id),
            Decision::Refused(text) => ForwardOutcome::Refused(text.to_string()),
        };
        let answer = ForwardAnswer { term: self.raft.term(), request: forward.request, outcome };
        let answer = self.envelope(envelope.from, envelope.from_boot, Message::ForwardAnswer(answer));
        self.out.push_back(ReplicaAction::Send(answer));
    }

    /// Whether the first copy of a request enters the log. None: it is not known that it was not accepted before.
    fn decide(&mut self, now: Instant, request: Request, command: &Bytes) -> Option<Decision> {
        if !self.raft.is_leader() || self.raft.term() != request.term {
            // A member that reached this term in an earlier boot may have led it and accepted the request then.
            let led_before = request.term <= self.boot_term;
            return if led_before { None } else { Some(Decision::Refused(NOT_LEADER)) };
        }
        if !self.is_well_formed(request, command) {
            return Some(Decision::Refused(MALFORMED));
        }
        Some(match self.raft.propose(now, command.clone()) {
            Ok(id) => Decision::Accepted(id),
            Err(refused) => Decision::Refused(match refused {
                Refused::NotLeader(_) | Refused::LeaderChanged => NOT_LEADER,
                Refused::TooLarge { .. } => TOO_LARGE,
                Refused::Busy(_) | Refused::TimedOut => BUSY,
                Refused::Snapshot(_) | Refused::Unencodable => MALFORMED,
                Refused::Stopped => STOPPED,
            }),
        })
    }

    /// Whether the bytes are a command of this request that every member can apply. What is not must never enter a
    /// log: it would stop the whole cluster.
    fn is_well_formed(&self, request: Request, command: &[u8]) -> bool {
        let Ok(command) = ReplicaCommand::decode(command) else { return false };
        let origin = Origin { member: request.from, boot: request.boot, request: request.number };
        command.origin() == Some(origin)
            && match command {
                ReplicaCommand::Open { .. } => true,
                ReplicaCommand::Command { body, .. } => decode_all::<S::Command>(body).is_ok(),
            }
    }

    fn envelope(&self, to: Member, to_boot: Boot, message: Message) -> Envelope {
        let identity = self.raft.identity();
        Envelope {
            cluster: identity.cluster,
            epoch: identity.epoch,
            from: identity.member,
            from_boot: self.raft.boot(),
            to,
            to_boot,
            message,
        }
    }
}
