//! Who is well gets on: a node that nothing strikes, among others that nothing strikes, is level with its leader, or gets
//! nearer. An election or a transfer that stands still is seen here, whatever goes on elsewhere.
//!
//! It is asked of the healed core, and during the chaos of clusters that nothing has struck for as long as the bound.
//!
//! **The bound.** What a node lacks comes in steps, and the slowest are these. An election takes one to two election
//! timeouts of waiting, and at worst two thirds of one for the disk of either end; with the losses of [`Noise`] and split
//! votes it succeeds at least one time in four, so that [`STILL_TIMEOUTS`] hold ten of them. A leader then
//! finds out where the logs agree, a term a round trip; and one entry, or one piece of a snapshot, takes
//! [`World::entry_span`].
//!
//! [`Noise`]: crate::swarm::Noise

use raft_core::{Envelope, Index, LogId, Message, RoleName, Status};

use super::World;
use crate::counts::Effect;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::schedule::nodes_of;
use crate::workload::Workload;

/// A node that is not level gets on at least once in so many election timeouts, and what entries and terms take.
const STILL_TIMEOUTS: u64 = 30;

/// How far a node got. Each may grow alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Headway {
    commit: Index,
    applied: Index,
    durable: Index,
    /// The snapshot that comes in, and how much of it has come.
    receives: (LogId, u64),
    /// When one of them last grew, or the node was last struck.
    since: u64,
}

impl Headway {
    /// The node was struck, or what it stands on.
    pub(super) fn restart(&mut self, now: u64) {
        self.since = self.since.max(now);
    }

    /// It says how much of a snapshot it has.
    pub(super) fn note_sent(&mut self, now: u64, envelope: &Envelope) {
        if let Message::SnapshotChunkAnswer(answer) = &envelope.message {
            self.grow(now, |headway| {
                let (before, receives) = (headway.receives, (answer.snapshot, answer.received));
                headway.receives = receives.max(before);
                before < receives
            });
        }
    }

    fn note(&mut self, now: u64, status: &Status, applied: Index) {
        self.grow(now, |headway| {
            // A log that was cut back grows from there.
            let is_longer = std::mem::replace(&mut headway.durable, status.durable) < status.durable;
            let before = (headway.commit, headway.applied);
            headway.commit = headway.commit.max(status.commit);
            headway.applied = headway.applied.max(applied);
            is_longer || before != (headway.commit, headway.applied)
        });
    }

    fn grow(&mut self, now: u64, grown: impl FnOnce(&mut Headway) -> bool) {
        if grown(self) {
            self.since = now;
        }
    }
}

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// Looks at a cluster in the chaos, if nothing has struck it for long.
    ///
    /// # Errors
    /// A node stands still.
    pub(crate) fn check_calm(&mut self) -> Result<(), Failure> {
        let all = (1u16 << self.nodes.len()) - 1;
        let bound = self.still_bound();
        if !self.can_elect()
            || !self.setup.network.is_mild(&self.setup.settings, self.setup.load.padding)
            || self.now.saturating_sub(self.struck) < bound
        {
            return Ok(());
        }
        self.counts.add(Effect::CalmLooks);
        self.check_headway(all, self.struck)
    }

    /// Whether all nodes run, or else a majority that does not abstain: those who abstain may wait for one that is down.
    fn can_elect(&self) -> bool {
        let running = self.nodes.iter().filter_map(|node| node.running());
        let abstains: Vec<bool> = running.map(|running| running.replica.status().abstaining).collect();
        let voting = abstains.iter().filter(|abstains| !**abstains).count();
        abstains.len() == self.nodes.len() || 2 * voting > self.nodes.len()
    }

    /// Each of these nodes is level with the others, or gets nearer. Nothing has struck them since then.
    pub(super) fn check_headway(&mut self, nodes: u16, well_since: u64) -> Result<(), Failure> {
        let (now, bound) = (self.now, self.still_bound());
        let statuses: Vec<Option<Status>> =
            self.nodes.iter().map(|node| Some(node.running()?.replica.status())).collect();
        let commit = nodes_of(nodes).filter_map(|node| Some(statuses[node].as_ref()?.commit)).max();
        // A leader waits for those who follow, and who has and knows all that it does waits with it: as long as one gets on,
        // so do they.
        let of_leader =
            |status: &Status| (status.role == RoleName::Leader).then_some((status.last, status.commit));
        let leaders: Vec<(LogId, Index)> =
            nodes_of(nodes).filter_map(|node| statuses[node].as_ref().and_then(of_leader)).collect();
        let newest = nodes_of(nodes).map(|node| self.nodes[node].headway.since).max().unwrap_or(now);
        for node in nodes_of(nodes) {
            let applied = self.nodes[node].running().map_or(Index(0), |running| running.replica.applied());
            let headway = &mut self.nodes[node].headway;
            headway.restart(well_since);
            let Some(status) = &statuses[node] else { continue };
            headway.note(now, status, applied);
            let is_level = Some(status.commit) == commit && status.leader.is_some() && !status.abstaining;
            let has_all =
                leaders.contains(&(status.last, status.commit)) && status.durable >= status.last.index;
            if status.role == RoleName::Leader || has_all {
                headway.restart(newest);
            }
            if is_level {
                headway.restart(now);
            }
            self.longest_still = self.longest_still.max((now - headway.since) * 100 / bound);
            if now - headway.since > bound {
                let what = format!(
                    "n{} is well and has stood still for {} us: {}",
                    node + 1,
                    now - headway.since,
                    self.state_of(nodes)
                );
                return Err(Failure::new(FailureKind::Liveness, "standstill", what));
            }
        }
        Ok(())
    }

    /// For how long a node that is well may stand still.
    fn still_bound(&self) -> u64 {
        let terms = self.nodes.iter().filter_map(|node| Some(node.running()?.replica.raft().term().0)).max();
        STILL_TIMEOUTS * self.setup.settings.election_timeout
            + self.entry_span()
            + terms.unwrap_or(0) * self.round_trip()
    }
}
