//! What replicas ask for: each action is performed at once, or the node crashes just before it.

use raft_core::RoleName;
use raft_core::replica::ReplicaAction;

use super::lifecycle::Crash;
use super::{Event, World};
use crate::counts::Effect;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::node::{Job, Node, Reading};
use crate::workload::Workload;

/// Events between two looks at a core's own invariants.
const CORE_CHECK_STRIDE: u64 = 16;
/// A clock that goes back by so many election timeouts would not catch up while a healed core must settle.
const FAR_TIMEOUTS: u64 = 100;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// Performs everything that a replica has to say.
    pub(super) fn drain(&mut self, node: usize) -> Result<(), Failure> {
        loop {
            let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
            let action = running.replica.poll_action();
            self.report_applied(node)?;
            let Some(action) = action else { break };
            if self.crashes_at_action(node)? {
                return Ok(());
            }
            match action {
                ReplicaAction::Send(envelope) => {
                    self.oracles.sent(node, &envelope)?;
                    self.check_sent(node, &envelope)?;
                    self.say(Some(node), "send", || format!("to {}: {:?}", envelope.to, envelope.message));
                    self.nodes[node].headway.note_sent(self.now, &envelope);
                    self.send(node, &envelope);
                }
                ReplicaAction::Disk(batch) => {
                    self.nodes[node].job = Some(Job { ops: batch.ops, next: 0 });
                    self.begin_op(node)?;
                }
                ReplicaAction::Receive(job) => self.start_receiving(node, job),
                ReplicaAction::TakeSnapshot(job) => self.start_writing(node, &job)?,
                ReplicaAction::RestoreSnapshot(job) => self.start_reading(node, Reading::Restore(job)),
                ReplicaAction::Load(job) => self.start_reading(node, Reading::Load(job)),
                ReplicaAction::Reply(ticket, outcome) => self.reply(node, ticket, outcome)?,
                ReplicaAction::RoleChanged(change) => self.role_changed(node, &change)?,
            }
        }
        self.note_repair(node);
        self.arm_tick(node);
        if cfg!(debug_assertions) {
            self.check_core(node)?;
        }
        Ok(())
    }

    /// The core's own invariants, every now and then: that takes as long as its log is.
    fn check_core(&self, node: usize) -> Result<(), Failure> {
        let due = self.events.is_multiple_of(CORE_CHECK_STRIDE);
        let Some(running) = self.nodes[node].running().filter(|_| due) else { return Ok(()) };
        let broken = |what| Failure::new(FailureKind::Invariant, "core", format!("n{}: {what}", node + 1));
        running.replica.raft().check_invariants().map_err(broken)
    }

    fn report_applied(&mut self, node: usize) -> Result<(), Failure> {
        let Some(running) = self.nodes[node].running_mut() else { return Ok(()) };
        let applied = running.replica.state_mut().take_applied();
        self.counts.add_many(Effect::Applied, applied.len() as u64);
        for one in applied {
            self.fingerprint.add(one.command ^ one.index.0);
            self.oracles.applied(node, one.index, one.command)?;
            if let Some(state) = one.state {
                self.oracles.state(node, one.index, state)?;
            }
            self.say(Some(node), "apply", || format!("{} {:016x}", one.index, one.command));
        }
        Ok(())
    }

    fn crashes_at_action(&mut self, node: usize) -> Result<bool, Failure> {
        let ppm = self.setup.crash.action_ppm;
        if ppm == 0 || self.is_closing() {
            return Ok(false);
        }
        let hot = self.nodes[node].is_hot();
        let ppm = if hot { ppm.saturating_mul(self.setup.crash.hot) } else { ppm };
        if !self.choices.chance(self.nodes[node].crash_stream, ppm) {
            return Ok(false);
        }
        self.counts.add(Effect::CrashAtAction);
        if hot {
            self.counts.add(Effect::CrashHot);
        }
        self.crash(node, Crash::Drawn)?;
        Ok(true)
    }

    fn role_changed(&mut self, node: usize, change: &raft_core::RoleChange) -> Result<(), Failure> {
        self.say(Some(node), "role", || {
            format!("{:?} in {}, leader {:?}", change.role, change.term, change.leader)
        });
        let (leads, electing) = match change.role {
            RoleName::Leader => (true, false),
            RoleName::Candidate | RoleName::PreCandidate => (false, true),
            RoleName::Follower => (false, false),
        };
        self.fingerprint.add(change.term.0 << 2 ^ u64::from(leads) << 1 ^ u64::from(electing));
        let is_elected = leads && self.nodes[node].running().is_some_and(|running| !running.leads);
        if is_elected {
            self.counts.add(Effect::Elections);
            let older =
                self.nodes.iter().filter_map(Node::running).any(|other| {
                    other.replica.raft().is_leader() && other.replica.raft().term() < change.term
                });
            if let Some(running) = self.nodes[node].running() {
                self.watch.elected(&running.replica.status(), older);
            }
        }
        if let Some(running) = self.nodes[node].running_mut() {
            running.leads = leads;
            running.electing = electing;
        }
        if leads || change.role == RoleName::Candidate {
            self.answer_again(node, leads);
        }
        if is_elected {
            self.check_elected(node)?;
        }
        if change.role == RoleName::PreCandidate {
            self.check_campaign(node)?;
        }
        self.check_office(node, change)
    }

    /// A node whose damage is repaired, durably, may be damaged again, or another instead of it.
    fn note_repair(&mut self, node: usize) {
        let abstains = self.oracles.abstains(node);
        let one = &mut self.nodes[node];
        if !one.damaged || one.rot_unread || !one.is_at_peace() || abstains {
            return;
        }
        one.damaged = false;
        if std::mem::take(&mut one.abstained) {
            self.counts.add(Effect::AbstentionsCleared);
        }
        self.say(Some(node), "repaired", String::new);
    }

    /// A clock was set back. What was planned by it is void: the host looks at it soon, as one does that can't trust its
    /// clock, and then asks anew.
    pub(super) fn notice_set_back(&mut self, node: usize, by: u64) {
        let (at, generation) = (self.now + 1, self.nodes[node].generation);
        let Some(running) = self.nodes[node].running_mut() else { return };
        running.is_set_back = true;
        running.tick_at = Some(at);
        self.plan(at, Event::Tick { node: node as u8, generation });
        self.counts.add(Effect::ClocksSetBack);
        if by >= FAR_TIMEOUTS * self.setup.settings.election_timeout {
            self.counts.add(Effect::ClocksSetBackFar);
        }
    }

    /// Plans the next tick, unless one that is as early is planned.
    fn arm_tick(&mut self, node: usize) {
        let (clock, generation) = (self.nodes[node].clock, self.nodes[node].generation);
        let Some(running) = self.nodes[node].running_mut() else { return };
        let Some(due) = running.replica.next_tick() else { return };
        let at = clock.when(due).max(self.now + 1);
        if running.tick_at.is_none_or(|planned| at < planned) {
            running.tick_at = Some(at);
            self.plan(at, Event::Tick { node: node as u8, generation });
        }
    }
}
