//! Rules that hold after every event. Linear in the log: tests and fuzzers check them, and the simulator in debug builds;
//! production does not.

use alloc::format;
use alloc::string::String;

use super::Raft;
use super::output::Output;
use super::role::Role;
use crate::entry::Entry;

impl Raft {
    /// Checks everything that must hold between two calls.
    ///
    /// # Errors
    /// The rule that is broken, in words: a defect of this crate.
    pub fn check_invariants(&self) -> Result<(), String> {
        let last = self.log.last();
        let (base, snapshot) = (self.log.base().index, self.snapshot_last().index);
        if base > snapshot
            || (snapshot > self.applied && self.restoring.is_none() && self.unapplied.is_empty())
        {
            return Err(format!(
                "base {base} <= snapshot {snapshot} <= applied {} does not hold",
                self.applied
            ));
        }
        let marks = [self.applied, self.applying, self.commit, last.index];
        if !marks.is_sorted() {
            return Err(format!("applied <= applying <= commit <= last does not hold: {marks:?}"));
        }
        if self.gate.log_durable() > last.index {
            return Err(format!("durable through {}, beyond the last entry {last}", self.gate.log_durable()));
        }
        if self.applying > self.gate.log_durable() {
            return Err(format!("applying {} before it is durable", self.applying));
        }
        if last.term > self.hard_state.term {
            return Err(format!("the last entry {last} is of a later term than {}", self.hard_state.term));
        }
        if self.log.cached_from() > last.index.next() || self.log.cached_from() <= base {
            return Err(format!(
                "entries in memory from {}, in a log {base}..{last}",
                self.log.cached_from()
            ));
        }
        let mut previous: Option<crate::types::LogId> = None;
        for entry in self.log.iter() {
            if previous.is_some_and(|p| p.index.next() != entry.index || p.term > entry.term) {
                return Err(format!("the log is broken at {}", entry.id()));
            }
            if self.log.term_at(entry.index) != Some(entry.term) {
                return Err(format!("the runs of terms do not agree with the entry {}", entry.id()));
            }
            previous = Some(entry.id());
        }
        let is_in_memory =
            |entry: &&Entry| entry.index >= self.log.cached_from() && self.log.holds(entry.id());
        if let Some(entry) = self.log.recent().flatten().find(|entry| !is_in_memory(entry)) {
            return Err(format!("{} is at hand, and not in memory", entry.id()));
        }
        if self.loads.has_twice() {
            return Err("two requests to read back for the same purpose".into());
        }
        self.check_role()
    }

    /// Checks that a node that was polled until there was nothing left has passed over nothing: all outputs are asked
    /// again, on a copy.
    ///
    /// # Errors
    /// What it should have said: a defect of this crate.
    pub fn check_silence(&self) -> Result<(), String> {
        let mut asked_again = self.clone();
        asked_again.next_output = Output::Message;
        asked_again
            .poll_action()
            .map_or(Ok(()), |action| Err(format!("an output was passed over: {action:?}")))
    }

    fn check_role(&self) -> Result<(), String> {
        let last = self.log.last();
        match &self.role {
            Role::Leader(leader) => {
                for (member, peer) in &leader.peers {
                    if peer.matched >= peer.next || peer.next > last.index.next() {
                        return Err(format!(
                            "{member}: match {} < next {} <= last + 1 = {} does not hold",
                            peer.matched,
                            peer.next,
                            last.index.next()
                        ));
                    }
                }
                let own = self.log.term_at(leader.term_start);
                if leader.term_start > self.log.base().index && own != Some(self.hard_state.term) {
                    return Err(format!("the leader has no entry of its own at {}", leader.term_start));
                }
                Ok(())
            }
            Role::Follower(follower) => {
                if follower.confirmed > last.index.max(self.commit) {
                    return Err(format!("confirmed {} beyond the last entry {last}", follower.confirmed));
                }
                if let Some(first) = follower.shelf.first().filter(|first| first.index <= last.index) {
                    return Err(format!("{first} waits on the shelf, and the log reaches to {last}"));
                }
                Ok(())
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {
                if self.hard_state.abstaining {
                    return Err("an abstaining node campaigns".into());
                }
                Ok(())
            }
        }
    }
}
