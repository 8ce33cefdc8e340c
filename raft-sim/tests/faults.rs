//! Each fault alone has its effect, and is counted as what it is: a world with one kind of fault counts that kind, and
//! none of the others. A fault that quietly does nothing would make every run pass.

use raft_sim::choices::Choices;
use raft_sim::counts::Effect;
use raft_sim::run::RunOptions;
use raft_sim::run::{RunReport, run_seed};
use raft_sim::schedule::{Deception, Fault, FaultKind, MESSAGE_KINDS, Shape, Target};
use raft_sim::swarm::{self, Mode, Setup};

/// Faults that are injected, by what they count as.
const INJECTED: [Effect; 54] = [
    Effect::DuplicateDelivered,
    Effect::CorruptRefused,
    Effect::MisaddressedRefused,
    Effect::BurstAfterClog,
    Effect::BurstAfterHold,
    Effect::DroppedLoss,
    Effect::DroppedNoise,
    Effect::DroppedIsolate,
    Effect::DroppedHalves,
    Effect::DroppedOneWay,
    Effect::DroppedBridge,
    Effect::DroppedRing,
    Effect::DroppedLeader,
    Effect::DroppedKind,
    Effect::DroppedOvertake,
    Effect::DroppedUnheard,
    Effect::LateToLeader,
    Effect::AnsweredAgain,
    Effect::OtherClusters,
    Effect::Kill,
    Effect::KillInWrite,
    Effect::PowerLoss,
    Effect::PowerLossAfterKill,
    Effect::ClusterPowerLoss,
    Effect::CrashAtAction,
    Effect::CrashAtDiskOp,
    Effect::CrashHot,
    Effect::CrashInTransfer,
    Effect::CrashInRecovery,
    Effect::SectorsLost,
    Effect::NamesLost,
    Effect::Pauses,
    Effect::SlowNodes,
    Effect::ClockJumps,
    Effect::SlowClocks,
    Effect::ClocksSetBack,
    Effect::ClocksSetBackFar,
    Effect::SyncErrors,
    Effect::WriteErrors,
    Effect::DiskFull,
    Effect::RoomAgain,
    Effect::ReadErrors,
    Effect::ReadErrorsAtStart,
    Effect::Stalls,
    Effect::SlowSyncs,
    Effect::DiskTimeByBytes,
    Effect::BytesQueued,
    Effect::DroppedQueue,
    Effect::Rot,
    Effect::RotZeros,
    Effect::FilesGone,
    Effect::RotUnnoticed,
    Effect::RotNoticed,
    Effect::SnapshotsAsked,
];

/// What may come with any crash.
const OF_CRASHES: [Effect; 7] = [
    Effect::Kill,
    Effect::KillInWrite,
    Effect::PowerLoss,
    Effect::CrashHot,
    Effect::CrashInRecovery,
    Effect::SectorsLost,
    Effect::NamesLost,
];

/// All five nodes, a little latency, clients; no fault.
fn calm() -> Setup {
    let drawn = |seed| swarm::draw(seed, &mut Choices::seeded(seed));
    let calm = (0..).map(drawn).find(|setup| setup.mode == Mode::Control && setup.voters == 5);
    let mut setup = calm.expect("some control has five nodes");
    setup.events = 6_000;
    setup.settings.datagram_bytes_max = 1_400;
    setup
}

/// The same with a fault that strikes again and again.
fn with_fault(what: &FaultKind) -> Setup {
    let mut setup = calm();
    let timeout = setup.settings.election_timeout;
    let strike = |number| Fault { at: timeout * 4 * number, duration: timeout * 2, what: what.clone() };
    setup.faults = (1..setup.horizon / (timeout * 4)).map(strike).collect();
    setup
}

fn run(setup: Setup) -> RunReport {
    let report = run_seed(0, &RunOptions { setup: Some(setup), ..RunOptions::default() });
    assert_eq!(report.failure_line(), None);
    report
}

/// Runs the setup: the effect happened, and of what is injected nothing else but what may come with it.
fn assert_counts(name: &str, setup: Setup, effect: Effect, with: &[Effect]) {
    let report = run(setup);
    assert!(report.counts.get(effect) > 0, "{name} has no effect:\n{report}");
    for other in INJECTED {
        let count = report.counts.get(other);
        let allowed = other == effect || with.contains(&other);
        assert!(allowed || count == 0, "{name} counts {count} as {other:?}:\n{report}");
    }
}

#[test]
fn a_calm_world_counts_no_fault() {
    let report = run(calm());
    for effect in INJECTED {
        assert_eq!(report.counts.get(effect), 0, "{effect:?}:\n{report}");
    }
    assert!(
        report.counts.get(Effect::Delivered) > 1_000 && report.counts.get(Effect::OpsOk) > 50,
        "{report}"
    );
}

#[test]
fn each_partition_drops_datagrams_and_is_counted_by_its_shape() {
    let all = 0b1_1111u16;
    let split =
        |side: u16| (0..5).map(|node| if side >> node & 1 == 1 { all & !side } else { side }).collect();
    let every = u32::MAX;
    let appends = 1 << 4;
    const { assert!(MESSAGE_KINDS > 4) };
    // Nodes 0 and 1 against 3 and 4; node 2 sees both.
    let bridge = vec![0b1_1000, 0b1_1000, 0, 0b0_0011, 0b0_0011];
    let ring =
        (0..5).map(|node| all & !(1 << node | 1 << ((node + 1) % 5) | 1 << ((node + 4) % 5))).collect();
    for (shape, cut, messages, effect) in [
        (Shape::Isolate, split(0b0_0100), every, Effect::DroppedIsolate),
        (Shape::Halves, split(0b0_0011), every, Effect::DroppedHalves),
        (Shape::OneWay, vec![0b1_1110, 0, 0, 0, 0], every, Effect::DroppedOneWay),
        (Shape::Bridge, bridge, every, Effect::DroppedBridge),
        (Shape::Ring, ring, every, Effect::DroppedRing),
        (Shape::Leader, Vec::new(), every, Effect::DroppedLeader),
        (Shape::Kinds, split(0b0_0110), appends, Effect::DroppedKind),
    ] {
        let setup = with_fault(&FaultKind::Partition { shape, cut, messages });
        assert_counts(&format!("{shape:?}"), setup, effect, &[]);
    }
}

#[test]
fn what_holds_datagrams_back_delivers_them_late() {
    let clog = with_fault(&FaultKind::Clog { from: 0, to: 1 });
    assert_counts("clog", clog, Effect::BurstAfterClog, &[]);
    let hold = with_fault(&FaultKind::Hold { from: 0b1_1111, messages: 1 << 7 });
    assert_counts("hold", hold, Effect::BurstAfterHold, &[]);
}

#[test]
fn each_crash_is_counted() {
    let one = Target::Nodes(0b0_0010);
    for (what, effect, with) in [
        (FaultKind::Kill(one), Effect::Kill, &[][..]),
        (FaultKind::Kill(Target::Leader), Effect::Kill, &[]),
        (FaultKind::PowerLoss(one), Effect::PowerLoss, &[]),
        (FaultKind::KillThenPowerLoss(one), Effect::PowerLossAfterKill, &[]),
        (FaultKind::ClusterPowerLoss, Effect::ClusterPowerLoss, &[]),
        (FaultKind::SyncError(one), Effect::SyncErrors, &[]),
        (FaultKind::WriteError(one), Effect::WriteErrors, &[]),
        (FaultKind::DiskFull(Target::Nodes(0b1_1111)), Effect::DiskFull, &[Effect::RoomAgain]),
        (FaultKind::DiskFull(Target::Nodes(0b1_1111)), Effect::RoomAgain, &[Effect::DiskFull]),
        (FaultKind::Rot(one, 1), Effect::Rot, &[Effect::RotNoticed, Effect::RotZeros]),
        (FaultKind::Rot(one, 4), Effect::RotZeros, &[Effect::RotNoticed, Effect::Rot]),
    ] {
        let name = format!("{what:?}");
        assert_counts(&name, with_fault(&what), effect, &[&OF_CRASHES, with].concat());
    }
}

#[test]
fn a_crash_of_the_wrong_kind_is_not_counted() {
    let killed = run(with_fault(&FaultKind::Kill(Target::Nodes(1))));
    assert_eq!(killed.counts.get(Effect::SectorsLost), 0, "what was written survives the process:\n{killed}");
    assert_eq!(killed.counts.get(Effect::PowerLoss), 0, "{killed}");
}

#[test]
fn crashes_that_are_drawn_as_the_run_goes_are_counted_where_they_strike() {
    let mut setup = calm();
    (setup.crash.action_ppm, setup.crash.power_ppm) = (2_000, 0);
    assert_counts("before an action", setup, Effect::CrashAtAction, &OF_CRASHES);
    let mut setup = calm();
    (setup.crash.disk_ppm, setup.crash.power_ppm) = (10_000, 500_000);
    assert_counts("at a disk operation", setup, Effect::CrashAtDiskOp, &OF_CRASHES);
    let mut setup = with_fault(&FaultKind::Kill(Target::Nodes(0b0_0010)));
    setup.crash.recovery_ppm = 20_000;
    let with = [&OF_CRASHES[..], &[Effect::CrashAtDiskOp]].concat();
    assert_counts("in recovery", setup, Effect::CrashInRecovery, &with);
}

#[test]
fn each_delay_is_counted() {
    let one = Target::Nodes(0b0_0010);
    for (what, effect) in [
        (FaultKind::Pause(one), Effect::Pauses),
        (FaultKind::Slow(one, 10), Effect::SlowNodes),
        (FaultKind::ClockJump(one, 1_000), Effect::ClockJumps),
        (FaultKind::ClockBack(one, 1_000), Effect::ClocksSetBack),
        (FaultKind::DiskStall(one), Effect::Stalls),
    ] {
        assert_counts(&format!("{what:?}"), with_fault(&what), effect, &[]);
    }
    let hour = with_fault(&FaultKind::ClockBack(one, 3_600_000_000));
    assert_counts("an hour back", hour, Effect::ClocksSetBackFar, &[Effect::ClocksSetBack]);
}

#[test]
fn each_aim_at_the_leader_is_counted() {
    let stale = FaultKind::StaleLeader;
    let cut = [Effect::DroppedLeader];
    let again = [Effect::DroppedLeader, Effect::DroppedKind, Effect::DuplicateDelivered];
    for (what, effect, with) in [
        (stale(Deception::LateAnswers), Effect::LateToLeader, &[Effect::DroppedUnheard][..]),
        (stale(Deception::LateAnswers), Effect::DroppedUnheard, &[Effect::LateToLeader]),
        (stale(Deception::Pause), Effect::Pauses, &[]),
        (stale(Deception::SlowClock(4)), Effect::SlowClocks, &cut),
        (FaultKind::OldAnswers, Effect::AnsweredAgain, &again),
    ] {
        let mut setup = with_fault(&what);
        // The steps of one last longer than the gap to the next.
        setup.faults = setup.faults.into_iter().step_by(3).collect();
        assert_counts(&format!("{what:?}"), setup, effect, with);
    }
}

#[test]
fn each_fault_of_the_links_is_counted() {
    let on = 100_000;
    let with = |change: &dyn Fn(&mut Setup)| {
        let mut setup = calm();
        change(&mut setup);
        setup
    };
    let doubled = Effect::DuplicateDelivered;
    for (name, setup, effect) in [
        ("loss", with(&|setup| setup.network.loss_ppm = on), Effect::DroppedLoss),
        ("loss at the end", with(&|setup| setup.network.noise.loss_ppm = on), Effect::DroppedNoise),
        ("duplicates", with(&|setup| setup.network.duplicate_ppm = on), doubled),
        ("reordering", with(&|setup| setup.network.reorder_ppm = on), Effect::Reordered),
        ("spikes", with(&|setup| setup.network.spike_ppm = on), Effect::Reordered),
        ("old packets", with(&|setup| setup.network.old_ppm = on), doubled),
        ("corruption", with(&|setup| setup.network.corrupt_ppm = on), Effect::CorruptRefused),
        ("another cluster", with(&|setup| setup.network.foreign_ppm = on), Effect::OtherClusters),
        ("misdirection", with(&|setup| setup.network.misdirect_ppm = on), Effect::MisaddressedRefused),
    ] {
        let with = if name == "another cluster" { &[Effect::MisaddressedRefused][..] } else { &[] };
        assert_counts(name, setup, effect, with);
    }
}

#[test]
fn steady_slowness_is_counted_and_takes_time() {
    let calm_time = run(calm()).virtual_time;
    let mut setup = calm();
    setup.disk.sync_steady = setup.settings.election_timeout / 8;
    assert!(run(setup.clone()).virtual_time > calm_time, "6,000 events take no longer");
    assert_counts("slow syncs", setup, Effect::SlowSyncs, &[]);
    let mut setup = calm();
    setup.disk.bytes_per_second =
        20 * (setup.settings.segment_bytes * 1_000_000 / setup.settings.election_timeout);
    assert_counts("bytes on the disk", setup, Effect::DiskTimeByBytes, &[]);
    let mut setup = calm();
    (setup.network.bytes_per_second, setup.network.queue_bytes) = (50_000, 1 << 30);
    assert_counts("bytes on links", setup.clone(), Effect::BytesQueued, &[]);
    setup.network.queue_bytes = 400;
    assert_counts("full queues", setup, Effect::DroppedQueue, &[Effect::BytesQueued]);
}

#[test]
fn a_host_may_ask_for_snapshots_and_overtake_a_leader_with_them() {
    let mut setup = with_fault(&FaultKind::Snapshot(Target::Nodes(0b1_1111)));
    // The policy asks for none.
    (setup.settings.snapshot_after_bytes, setup.settings.snapshot_after_terms) = (u64::MAX, u64::MAX);
    let report = run(setup.clone());
    let (asked, frozen) =
        (report.counts.get(Effect::SnapshotsAsked), report.counts.get(Effect::SnapshotsFrozen));
    assert!(asked > 0 && frozen > 0, "nobody took a snapshot:\n{report}");
    setup.faults.clear();
    assert_eq!(run(setup).counts.get(Effect::SnapshotsFrozen), 0, "nobody asked, and the policy wants none");
    let with = [Effect::SnapshotsAsked, Effect::Stalls];
    assert_counts("overtake", with_fault(&FaultKind::Overtake), Effect::DroppedOvertake, &with);
}

#[test]
fn reads_that_fail_stop_a_node_and_end_its_starts() {
    let mut setup = with_fault(&FaultKind::ReadErrors(Target::Nodes(0b1_1111), 1_000_000));
    // Followers are sent what was read back.
    (setup.settings.cache_bytes_max, setup.settings.snapshot_after_bytes) = (0, 500);
    for (effect, other) in
        [(Effect::ReadErrors, Effect::ReadErrorsAtStart), (Effect::ReadErrorsAtStart, Effect::ReadErrors)]
    {
        assert_counts("failed reads", setup.clone(), effect, &[&OF_CRASHES[..], &[other]].concat());
    }
}

#[test]
fn rot_under_a_running_node_is_counted_and_stays_until_it_is_read() {
    let mut setup = with_fault(&FaultKind::RotUnnoticed(Target::Nodes(0b0_0010), 4));
    setup.events = 30_000;
    setup.settings.snapshot_after_bytes = 500;
    assert_counts(
        "rot under a running node",
        setup.clone(),
        Effect::RotUnnoticed,
        &[&OF_CRASHES[..], &[Effect::RotNoticed, Effect::RotZeros]].concat(),
    );
    // Nothing restarts a node, so that damage is met by reading back or never; it strikes once.
    let report = run(setup);
    let reads = report.counts.get(Effect::RotRead);
    assert!(report.counts.get(Effect::RotUnnoticed) <= 1 + reads, "{report}");
}
