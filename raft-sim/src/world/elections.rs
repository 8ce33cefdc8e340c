//! Elections that need not be: where nothing is wrong, the first leader leads to the end.
//!
//! **The bound.** Who campaigned before it heard of the first leader may win a later term by right: it began within the
//! time that a message takes, and its own election is over within two election timeouts, the longest that it waits. So
//! [`RACE_TIMEOUTS`] after the first leader was elected there is no other, unless the first one is outside of the healed
//! core, or its disk got nothing done for an election timeout: a sync takes up to 32 times its mean, and a batch that
//! begins a segment has six.

use super::World;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::measures::Measure;
use crate::workload::Workload;

/// A race of candidates for the first office is over within so many election timeouts.
const RACE_TIMEOUTS: u64 = 3;

/// The elections of a cluster that nothing strikes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elections {
    /// When the first one was won, since the cluster began or its leader was taken away.
    first: Option<u64>,
}

impl Elections {
    /// The leader is taken away: another one is needed.
    fn begin_anew(&mut self) {
        self.first = None;
    }

    /// An election was won.
    fn note_won(&mut self, now: u64, timeout: u64) -> Result<(), String> {
        self.first.get_or_insert(now);
        self.note_campaign(now, timeout)
    }

    /// Somebody campaigns, or has won.
    fn note_campaign(&self, now: u64, timeout: u64) -> Result<(), String> {
        let since = now - self.first.unwrap_or(now);
        if since <= RACE_TIMEOUTS * timeout {
            return Ok(());
        }
        Err(format!("nothing is wrong, and a leader had been elected {since} us before"))
    }

    /// The run is over.
    fn finish(&self) -> Result<(), String> {
        self.first.map(|_| ()).ok_or_else(|| "nothing is wrong, and no leader was elected".to_owned())
    }
}

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A node was elected.
    pub(super) fn check_elected(&mut self, node: usize) -> Result<(), Failure> {
        if !self.setup.is_faultless() {
            return Ok(());
        }
        let timeout = self.setup.settings.election_timeout;
        if self.elections.first.is_none() && !self.is_closing() {
            self.measures.note(Measure::FirstLeader, self.now * 100 / timeout);
        }
        let won = self.elections.note_won(self.now, timeout);
        won.map_err(|what| needless(format!("n{} was elected: {what}", node + 1)))
    }

    /// A node doubts that there is a leader. Who is outside of the healed core hears of none.
    pub(super) fn check_campaign(&mut self, node: usize) -> Result<(), Failure> {
        if self.reachable() >> node & 1 == 0 || !self.setup.is_faultless() {
            return Ok(());
        }
        let campaign = self.elections.note_campaign(self.now, self.setup.settings.election_timeout);
        campaign.map_err(|what| needless(format!("n{} campaigns: {what}", node + 1)))
    }

    /// A node is outside of the healed core: if it leads, the core needs another leader.
    pub(super) fn note_outside(&mut self, node: usize) {
        if self.nodes[node].running().is_some_and(|running| running.replica.raft().is_leader()) {
            self.elections.begin_anew();
        }
    }

    /// A leader gave way because its disk stood still.
    pub(super) fn note_stalled(&mut self) {
        self.elections.begin_anew();
    }

    /// The core was healed at some time: when all of it first followed one leader.
    pub(super) fn note_leader(&mut self, core: u16, healed: u64) {
        let measure = Measure::LeaderAfterHealing;
        if self.measures.get(measure).is_none() && self.reign(core).is_some() {
            let timeout = self.setup.settings.election_timeout;
            self.measures.note(measure, (self.now - healed) * 100 / timeout);
        }
    }

    /// The run is over.
    pub(super) fn finish_elections(&self) -> Result<(), Failure> {
        if self.setup.is_faultless() { self.elections.finish().map_err(needless) } else { Ok(()) }
    }
}

fn needless(what: String) -> Failure {
    Failure::new(FailureKind::Liveness, "needless-election", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: u64 = 100_000;

    #[test]
    fn one_election_will_do_and_candidates_may_race_for_it() {
        let mut elections = Elections::default();
        assert!(elections.finish().is_err(), "nobody was elected");
        elections.note_won(170_000, TIMEOUT).expect("the first");
        elections.note_won(170_000 + 2 * TIMEOUT, TIMEOUT).expect("one that had campaigned already");
        elections.finish().expect("there was a leader");
        elections.begin_anew();
        elections.note_won(170_000 + 50 * TIMEOUT, TIMEOUT).expect("the first leader was taken away");
    }

    #[test]
    fn a_later_election_is_caught() {
        let mut elections = Elections::default();
        elections.note_won(170_000, TIMEOUT).expect("the first");
        let what = elections.note_won(170_001 + RACE_TIMEOUTS * TIMEOUT, TIMEOUT);
        assert!(what.is_err_and(|what| what.contains("300001 us before")));
        assert!(elections.note_campaign(170_000 + RACE_TIMEOUTS * TIMEOUT, TIMEOUT).is_ok());
        assert!(elections.note_campaign(170_001 + RACE_TIMEOUTS * TIMEOUT, TIMEOUT).is_err());
    }
}
