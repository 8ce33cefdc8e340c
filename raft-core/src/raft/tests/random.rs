//! Random schedules of small clusters: messages lost, doubled and reordered, disks that lag, nodes that crash, links
//! that are cut. After every step the paper's properties (figure 3) are checked against everything ever seen.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::cluster::Cluster;
use crate::action::Action;
use crate::config::Config;
use crate::entry::Entry;
use crate::types::{Index, LogId, ReadId, Span, Term};

/// One step: what, to whom, and how much. All numbers mean something for every cluster, so that cases shrink well.
type Step = (u8, u8, u8);

/// How a proposal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    Applied,
    Lost,
    Unknown,
}

/// A cluster, and what an observer who sees everything remembers of it.
struct World {
    cluster: Cluster,
    size: u64,
    /// Every entry that any node ever knew to be committed.
    committed: BTreeMap<Index, Entry>,
    leaders: BTreeMap<Term, u64>,
    /// What was proposed on a node in its present boot.
    proposals: BTreeMap<(u64, LogId), Ending>,
    /// What must be visible to a read: everything committed when it was asked.
    reads: BTreeMap<(u64, ReadId), Index>,
    /// Per node: its highest marks.
    seen: BTreeMap<u64, Seen>,
    /// How many actions were looked at.
    looked_at: usize,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    applied: Index,
    term: Term,
    commit: Index,
}

impl World {
    fn new(size: u64) -> World {
        let config = Config {
            append_bytes_max: 100,
            window_appends_max: 3,
            shelf_bytes_max: 200,
            uncommitted_bytes_max: 1_000,
            apply_bytes_max: 100,
            cache_bytes_max: 150,
            chunk_bytes_max: 60,
            chunks_in_flight_max: 3,
            trailing_entries: 0,
            pinned_bytes_max: 300,
            proposal_timeout: Span::from_millis(2_000),
            read_timeout: Span::from_millis(1_000),
            ..Config::default()
        };
        let logs: Vec<_> = (0..size).map(|_| (0, Vec::new())).collect();
        let mut cluster = Cluster::with_config(&logs, config);
        cluster.slow_disks = (1..=size).collect();
        for node in cluster.nodes.values_mut() {
            node.disk.recovered_max = Some(3);
        }
        cluster.trace = Some(vec![]);
        World {
            cluster,
            size,
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            proposals: BTreeMap::new(),
            reads: BTreeMap::new(),
            seen: (1..=size).map(|id| (id, Seen::default())).collect(),
            looked_at: 0,
        }
    }

    fn perform(&mut self, (what, whom, amount): Step) {
        let id = u64::from(whom) % self.size + 1;
        let other = u64::from(amount) % self.size + 1;
        let pick = usize::from(amount);
        match what % 32 {
            0..=6 => self.tick(id, u64::from(amount)),
            7..=14 => self.deliver(pick, false),
            15 => {
                let lost = pick % self.cluster.network.len().max(1);
                self.cluster.network.remove(lost);
            }
            16 => self.deliver(pick, true),
            17..=20 => {
                self.cluster.sync(id, 1 + pick % 3);
            }
            21..=24 => self.flow(pick),
            25..=27 => self.propose(id),
            28 => self.read(id),
            29 if pick.is_multiple_of(3) => self.crash(id, pick / 3),
            29 => {
                self.cluster.snapshot(id);
            }
            30 => self.cluster.cut.push((id, other)),
            _ => self.cluster.cut.clear(),
        }
        self.check();
    }

    fn tick(&mut self, id: u64, millis: u64) {
        self.cluster.now = self.cluster.now.plus(Span::from_millis(millis));
        let now = self.cluster.now;
        self.cluster.raft(id).tick(now);
        self.cluster.drain(id);
        if let Some(at) = self.cluster.raft(id).next_tick() {
            assert!(at > now, "{id}: a tick at {at} was due, and the tick at {now} did not do it");
        }
    }

    /// Delivers any message, out of order, perhaps keeping a copy on the way.
    fn deliver(&mut self, pick: usize, twice: bool) {
        let length = self.cluster.network.len();
        if length == 0 {
            return;
        }
        let Some(envelope) = self.cluster.network.remove(pick % length) else { return };
        if twice {
            self.cluster.network.push_back(envelope.clone());
        }
        self.cluster.deliver(envelope);
    }

    /// A stretch of good weather, with working disks.
    fn flow(&mut self, messages: usize) {
        for _ in 0..messages % 32 {
            self.deliver(0, false);
            for id in 1..=self.size {
                self.cluster.sync(id, usize::MAX);
            }
        }
    }

    fn propose(&mut self, id: u64) {
        let now = self.cluster.now;
        let number = self.proposals.len();
        let command = Bytes::from(alloc::format!("{id}:{number}"));
        if let Ok(proposed) = self.cluster.raft(id).propose(now, command) {
            self.proposals.insert((id, proposed), Ending::Open);
        }
        self.cluster.drain(id);
    }

    fn read(&mut self, id: u64) {
        let now = self.cluster.now;
        let visible = self.committed.keys().next_back().copied().unwrap_or_default();
        if let Ok(read) = self.cluster.raft(id).read(now) {
            self.reads.insert((id, read), visible);
        }
        self.cluster.drain(id);
    }

    /// Power is lost; some of the writes under way made it to the disk.
    fn crash(&mut self, id: u64, pick: usize) {
        let disk = &mut self.cluster.nodes.get_mut(&id).expect("it exists").disk;
        for _ in 0..pick % (disk.unsynced.len() + 1) {
            let persist = disk.unsynced.pop_front().expect("it is under way");
            disk.perform(&persist);
        }
        self.cluster.restart(id);
        self.proposals.retain(|(of, _), _| *of != id);
        self.reads.retain(|(of, _), _| *of != id);
        let seen = self.seen.entry(id).or_default();
        *seen = Seen { term: self.cluster.nodes[&id].disk.hard_state.term, ..Seen::default() };
        self.cluster.drain(id);
    }

    fn check(&mut self) {
        for id in 1..=self.size {
            self.check_marks(id);
            self.check_committed(id);
            self.check_leader(id);
        }
        self.check_actions();
        self.check_logs();
    }

    /// Terms and commit indexes never go back within a boot, terms not even across.
    fn check_marks(&mut self, id: u64) {
        let status = self.cluster.raft(id).status();
        let seen = self.seen.get_mut(&id).expect("it exists");
        assert!(status.term >= seen.term && status.commit >= seen.commit, "{id} went back: {status:?}");
        seen.term = status.term;
    }

    /// State Machine Safety, for commit indexes: all nodes agree, and a majority of disks holds it.
    fn check_committed(&mut self, id: u64) {
        let seen = self.seen.get_mut(&id).expect("it exists");
        let commit = self.cluster.raft(id).status().commit;
        let first = seen.commit.next();
        let node = &self.cluster.nodes[&id];
        // In memory, on disk, or applied and let go; a snapshot may cover it too, and then another node had it.
        let known = node.raft.entries(first).chain(&node.disk.entries).chain(&node.applied);
        let is_fresh = |entry: &&Entry| {
            entry.index >= first && entry.index <= commit && node.raft.id_at(entry.index) == Some(entry.id())
        };
        let fresh: Vec<Entry> = known.filter(is_fresh).cloned().collect();
        seen.commit = commit;
        for entry in fresh {
            if let Some(known) = self.committed.get(&entry.index) {
                assert_eq!(known, &entry, "{id} commits another entry");
                continue;
            }
            let covers = |node: &super::cluster::Node| {
                let last = node.disk.snapshot.as_ref().map(|(meta, _)| meta.last.index);
                last.is_some_and(|last| last >= entry.index) && node.applied.contains(&entry)
            };
            let holds = |node: &super::cluster::Node| node.disk.entries.contains(&entry) || covers(node);
            let copies = self.cluster.nodes.values().filter(|node| holds(node)).count() as u64;
            assert!(copies * 2 > self.size, "{} is committed with {copies} durable copies", entry.id());
            self.committed.insert(entry.index, entry);
        }
    }

    /// What the nodes said since the last look, in the order in which they said it.
    fn check_actions(&mut self) {
        let trace = self.cluster.trace.as_ref().expect("actions are recorded");
        let fresh = trace[self.looked_at..].to_vec();
        self.looked_at = trace.len();
        for (id, action) in fresh {
            match action {
                Action::Apply(entries) => self.check_applied(id, &entries),
                Action::Lost(proposed) => {
                    self.end(id, proposed, Ending::Lost);
                    let other = self.committed.get(&proposed.index);
                    assert!(other.is_some_and(|entry| entry.term != proposed.term), "{proposed} is not lost");
                }
                Action::Unknown(proposed) => self.end(id, proposed, Ending::Unknown),
                Action::ReadReady(read, index) => {
                    let visible = self.reads.remove(&(id, read)).expect("a read ends once");
                    assert!(index >= visible, "{id}: {read} at {index} misses what {visible} covers");
                }
                Action::ReadFailed(read, _) => {
                    self.reads.remove(&(id, read)).expect("a read ends once");
                }
                Action::Restore(meta) => {
                    let seen = self.seen.get_mut(&id).expect("it exists");
                    assert!(meta.last.index > seen.applied, "{id} goes back to {}", meta.last);
                    seen.applied = meta.last.index;
                    let same =
                        self.committed.get(&meta.last.index).is_some_and(|entry| entry.id() == meta.last);
                    assert!(same, "{id} has a snapshot of {}, which is not committed", meta.last);
                }
                Action::Send(_)
                | Action::Persist(_)
                | Action::Receive(_)
                | Action::Load(_)
                | Action::RoleChanged(_) => {}
            }
        }
    }

    fn end(&mut self, id: u64, proposed: LogId, ending: Ending) {
        let before = self.proposals.insert((id, proposed), ending);
        assert_eq!(before, Some(Ending::Open), "{proposed} ended twice, now as {ending:?}");
    }

    /// Entries are applied in order, once, and only committed ones. A proposal that was given up as unknown may be
    /// applied all the same; one that was lost may not.
    fn check_applied(&mut self, id: u64, entries: &[Entry]) {
        for entry in entries {
            let seen = self.seen.get_mut(&id).expect("it exists");
            assert_eq!(entry.index, seen.applied.next(), "{id} applies out of order");
            seen.applied = entry.index;
            assert_eq!(self.committed.get(&entry.index), Some(entry), "{id} applies what is not committed");
            match self.proposals.get(&(id, entry.id())) {
                None | Some(Ending::Unknown) => {}
                Some(Ending::Open | Ending::Applied | Ending::Lost) => {
                    self.end(id, entry.id(), Ending::Applied)
                }
            }
        }
    }

    /// Election Safety, and Leader Completeness when a leader is first seen.
    fn check_leader(&mut self, id: u64) {
        let raft = &self.cluster.nodes[&id].raft;
        if !raft.is_leader() {
            return;
        }
        let term = raft.term();
        if let Some(other) = self.leaders.insert(term, id) {
            assert_eq!(other, id, "two leaders in {term}");
            return;
        }
        let is_covered = |entry: &Entry| entry.index <= raft.status().snapshot.index;
        for entry in self.committed.values().filter(|entry| entry.term < term && !is_covered(entry)) {
            assert_eq!(
                raft.id_at(entry.index),
                Some(entry.id()),
                "the leader of {term} lacks {}",
                entry.id()
            );
        }
    }

    /// Log Matching: logs that share an entry share everything before it, as far as both still have it.
    fn check_logs(&self) {
        let rafts: Vec<_> = self.cluster.nodes.values().map(|node| &node.raft).collect();
        for (number, one) in rafts.iter().enumerate() {
            for two in &rafts[number + 1..] {
                let end = one.status().last.index.min(two.status().last.index).0;
                let agree = |index: &u64| {
                    let ids = [one, two].map(|raft| raft.id_at(Index(*index)));
                    ids[0].is_some() && ids[0] == ids[1]
                };
                let Some(shared) = (1..=end).rev().find(agree) else { continue };
                for index in 1..shared {
                    let ids = [one, two].map(|raft| raft.id_at(Index(index)));
                    assert!(ids.contains(&None) || ids[0] == ids[1], "{index} differs below {shared}");
                }
                let both = one.entries(Index(1)).flat_map(|a| two.entries(a.index).next().map(|b| (a, b)));
                for (a, b) in both.filter(|(a, b)| a.id() == b.id()) {
                    assert_eq!(a, b);
                }
            }
        }
    }

    /// All faults end: one leader, equal logs, and every proposal and read has ended.
    fn heal(&mut self) {
        self.cluster.cut.clear();
        self.cluster.slow_disks.clear();
        for id in 1..=self.size {
            self.cluster.sync(id, usize::MAX);
        }
        for _ in 0..40 {
            self.cluster.run(Span::from_millis(100));
            self.check();
        }
        let leader = self.cluster.elect();
        self.propose(leader);
        self.cluster.run(Span::from_millis(300));
        self.check();
        let leaders = self.cluster.nodes.values().filter(|node| node.raft.is_leader()).count();
        assert_eq!(leaders, 1);
        let end = self.cluster.raft(leader).status().last;
        for id in 1..=self.size {
            let applied = &self.cluster.nodes[&id].applied;
            assert!(applied.iter().eq(self.committed.values()), "{id} applied something else");
            let status = self.cluster.raft(id).status();
            assert_eq!((status.last, status.commit, status.applied), (end, end.index, end.index), "{id}");
        }
        let open: Vec<_> = self.proposals.iter().filter(|(_, ending)| **ending == Ending::Open).collect();
        assert!(open.is_empty(), "{open:?} never ended");
        assert!(self.reads.is_empty(), "{:?} never ended", self.reads);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(any::<Step>(), 1..400)
}

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings(150))]

    /// "Raft guarantees that each of these properties is true at all times." (figure 3)
    #[test]
    fn three_nodes_keep_every_promise(steps in steps()) {
        run(3, &steps);
    }

    #[test]
    fn five_nodes_keep_every_promise(steps in steps()) {
        run(5, &steps);
    }

    #[test]
    fn one_and_two_nodes_keep_every_promise(steps in steps(), size in 1_u64..=2) {
        run(size, &steps);
    }
}

proptest! {
    #![proptest_config(settings(30))]

    /// The same calls give the same actions.
    #[test]
    fn the_same_calls_give_the_same_actions(steps in steps()) {
        let trace = |steps: &[Step]| {
            let mut world = World::new(3);
            for step in steps {
                world.perform(*step);
            }
            world.cluster.trace.take().expect("it was recorded")
        };
        prop_assert_eq!(trace(&steps), trace(&steps));
    }
}

fn run(size: u64, steps: &[Step]) {
    let mut world = World::new(size);
    for step in steps {
        world.perform(*step);
    }
    world.heal();
}
