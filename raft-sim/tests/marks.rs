//! A mark shows none in runs without its ingredient, in which its situation can't occur, and others there are hit: a
//! mark that is hit anyway counts something else than its name says.

use raft_sim::choices::Choices;
use raft_sim::marks::{Ingredient, MARKS, Marks};
use raft_sim::run::{RunOptions, run_seed};
use raft_sim::schedule::FaultKind;
use raft_sim::swarm::{self, CrashSetup, NetworkSetup, Setup};

const SEEDS: u64 = 12;
/// Enough for elections, faults and compaction, at a fraction of a run.
const EVENTS: u64 = 6_000;

/// All marks of some seeds, each changed in this way.
fn marks(change: &dyn Fn(&mut Setup)) -> Marks {
    let mut marks = Marks::default();
    for seed in 0..SEEDS {
        let mut setup = swarm::draw(seed, &mut Choices::seeded(seed));
        setup.events = EVENTS;
        change(&mut setup);
        let report = run_seed(seed, &RunOptions { setup: Some(setup), ..RunOptions::default() });
        assert_eq!(report.failure_line(), None);
        marks.add(&report.marks);
    }
    marks
}

/// Without the ingredient its marks are at none, and with it some are not; of the other marks some are hit either way.
fn assert_needed(ingredient: Ingredient, without: &dyn Fn(&mut Setup)) {
    let (with, without) = (marks(&|_| {}), marks(without));
    let of = |marks: &Marks, wanted: bool| -> Vec<(&str, u64)> {
        let chosen = MARKS.iter().filter(|(_, needs, _)| (*needs == ingredient) == wanted);
        chosen.map(|(mark, _, name)| (*name, marks.hits(*mark))).filter(|(_, hits)| *hits > 0).collect()
    };
    assert_eq!(of(&without, true), [], "hit without {ingredient:?}");
    assert!(!of(&with, true).is_empty(), "none is hit with {ingredient:?} either");
    assert!(!of(&without, false).is_empty(), "nothing at all is hit without {ingredient:?}");
}

#[test]
fn marks_of_snapshots_need_snapshots() {
    assert_needed(Ingredient::Snapshots, &|setup| {
        setup.settings.snapshot_after_bytes = u64::MAX;
        setup.settings.snapshot_after_terms = u64::MAX;
        setup.faults.retain(|fault| !matches!(fault.what, FaultKind::Snapshot(_) | FaultKind::Overtake));
    });
}

#[test]
fn marks_of_rot_need_rot() {
    assert_needed(Ingredient::Rot, &|setup| {
        let rots = |what: &FaultKind| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..));
        setup.faults.retain(|fault| !rots(&fault.what));
    });
}

/// Faults after which a process ends.
fn restarts(what: &FaultKind) -> bool {
    matches!(
        what,
        FaultKind::Kill(_)
            | FaultKind::PowerLoss(_)
            | FaultKind::KillThenPowerLoss(_)
            | FaultKind::ClusterPowerLoss
            | FaultKind::SyncError(_)
            | FaultKind::WriteError(_)
            | FaultKind::DiskFull(_)
            | FaultKind::ReadErrors(..)
            | FaultKind::Rot(..)
            | FaultKind::RotUnnoticed(..)
    )
}

#[test]
fn marks_of_crashes_need_crashes() {
    assert_needed(Ingredient::Crashes, &|setup| {
        setup.crash = CrashSetup::default();
        setup.faults.retain(|fault| !restarts(&fault.what));
    });
}

/// Messages of a link arrive in order, each once, and none is lost: neither on the way nor with a process.
#[test]
fn marks_of_the_network_need_a_bad_network() {
    assert_needed(Ingredient::Network, &|setup| {
        setup.crash = CrashSetup::default();
        setup.network = NetworkSetup { latency: setup.network.latency, asymmetry: 1, ..Default::default() };
        setup.faults.retain(|fault| matches!(fault.what, FaultKind::Snapshot(_)));
    });
}

#[test]
fn marks_of_peers_need_peers() {
    assert_needed(Ingredient::Peers, &|setup| {
        setup.voters = 1;
        setup.clock_ppm.truncate(1);
        setup.faults.retain(|fault| matches!(fault.what, FaultKind::Snapshot(_)));
    });
}

#[test]
fn marks_of_a_sole_voter_need_one() {
    assert_needed(Ingredient::Alone, &|setup| {
        if setup.voters == 1 {
            setup.voters = 3;
            setup.clock_ppm.resize(3, 0);
        }
    });
}
