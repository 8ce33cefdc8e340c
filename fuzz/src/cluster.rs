//! A whole simulated cluster whose every decision is a byte of the input: a search over schedules that coverage guides.
//!
//! ```text
//! 0        1          2         3        4         5        6        7       8            48
//! | voters | settings | network | crashes | clients | clocks | length | zero | five faults | decisions ...
//!                                                                              8 bytes each  one byte each
//! ```
//!
//! Nothing moves: a byte of the head changes one property of the world, and a byte of the decisions one decision, while
//! all that was decided before it stays. Zeros are dull, and so is what lies past the end: no fault, a short delay.

use raft_sim::choices::Choices;
use raft_sim::run::{RunOptions, RunReport, run_seed};
use raft_sim::schedule::{Fault, FaultKind, Shape, Target};
use raft_sim::swarm::{self, Mode, Setup};
use raft_sim::trace::TraceOptions;

/// Bytes before the decisions.
pub const HEAD_BYTES: usize = 48;

const FAULTS_AT: usize = 8;
const FAULT_BYTES: usize = 8;

/// What is on is likely: a decision is one of 256, so this is 8 of them.
const PPM: u32 = 32_000;
/// One of 256.
const PPM_RARE: u32 = 4_000;

/// Runs the cluster that the input describes.
///
/// # Panics
/// If an oracle, the checker, the liveness phase or an assertion objects: with a line that says what, and how to run
/// and keep the input.
pub fn run(input: &[u8]) {
    let report = simulate(input, TraceOptions::default());
    if let Some(line) = failure_line(&report) {
        panic!("{line}");
    }
}

/// Runs the cluster that the input describes, and reports.
#[must_use]
pub fn simulate(input: &[u8], trace: TraceOptions) -> RunReport {
    let decisions = Choices::bytes(input.get(HEAD_BYTES..).unwrap_or_default().to_vec());
    let options = RunOptions { trace, events: None, setup: Some(setup(input)), decisions: Some(decisions) };
    run_seed(0, &options)
}

/// What failed, and how to see it again. The simulator's own line names a seed, and here there is none.
fn failure_line(report: &RunReport) -> Option<String> {
    let failure = report.failure.as_ref()?;
    Some(format!(
        "FAILED [{}] {}: {} | event {} at {}us, fingerprint {:016x}, configuration {:016x} | \
         cargo +nightly fuzz run -s none cluster FILE, where FILE is the input that is written below; to keep it as a \
         test: cp FILE fuzz/regressions/cluster/",
        failure.kind.name(),
        failure.oracle,
        failure.what,
        failure.event,
        failure.time,
        report.fingerprint,
        report.configuration_hash,
    ))
}

/// The world that the head of the input describes.
fn setup(input: &[u8]) -> Setup {
    let mut head = [0; HEAD_BYTES];
    let length = input.len().min(HEAD_BYTES);
    head[..length].copy_from_slice(&input[..length]);
    let [voters, settings, network, crashes, clients, clocks, length, ..] = head;

    // Settings from the swarm, so that each of its bounds is small in some of them.
    let mut setup = swarm::draw(u64::from(settings), &mut Choices::seeded(u64::from(settings)));
    let timeout = setup.settings.election_timeout;
    setup.seed = 0;
    setup.mode = Mode::Swarm;
    setup.voters = [3, 5, 3, 2, 4, 1, 3, 5][usize::from(voters % 8)];
    setup.lives = 1;
    setup.events = 400 + u64::from(length) * 16;
    setup.horizon = timeout * 200;

    let on = |flags: u8, bit: u8, ppm: u32| if flags >> bit & 1 == 1 { ppm } else { 0 };
    setup.network.loss_ppm = on(network, 0, PPM * 4);
    setup.network.duplicate_ppm = on(network, 1, PPM * 2);
    setup.network.reorder_ppm = on(network, 2, PPM * 2);
    setup.network.spike_ppm = on(network, 3, PPM);
    setup.network.old_ppm = on(network, 4, PPM);
    setup.network.corrupt_ppm = on(network, 5, PPM_RARE * 2);
    setup.network.misdirect_ppm = on(network, 6, PPM_RARE * 2);
    setup.network.jitter = if network >> 7 == 1 { setup.network.latency * 2 } else { 0 };
    setup.network.spike = timeout / 2;
    setup.network.old = timeout * 8;

    setup.crash.action_ppm = on(crashes, 0, PPM_RARE);
    setup.crash.disk_ppm = on(crashes, 1, PPM_RARE);
    setup.crash.recovery_ppm = on(crashes, 2, PPM);
    setup.crash.power_ppm = on(crashes, 3, 500_000);
    setup.crash.hot = 1 + u32::from(crashes >> 4 & 3);
    setup.crash.down = (timeout / 2) << (crashes >> 6);

    setup.load.clients = 1 + u32::from(clients & 3);
    setup.load.keys = 1 + u32::from(clients >> 2 & 1);
    setup.load.think = (timeout / 64) << (clients >> 3 & 3);
    setup.load.sessionless_ppm = on(clients, 5, 500_000);
    setup.load.padding = if clients >> 6 & 1 == 1 { 256 } else { 0 };
    setup.load.attempts = 1 + u32::from(clients >> 7) * 3;
    setup.clock_ppm =
        (0..setup.voters).map(|node| i32::from(clocks.rotate_left(node.into()) as i8) * 400).collect();

    setup.faults =
        head[FAULTS_AT..].chunks_exact(FAULT_BYTES).filter_map(|bytes| fault(bytes, &setup)).collect();
    setup.faults.sort_by_key(|fault| fault.at);
    setup
}

/// A fault: what, when, how long, to whom, and three bytes more.
fn fault(bytes: &[u8], setup: &Setup) -> Option<Fault> {
    let [what, at, duration, whom, a, b, c, _] = *bytes else { return None };
    let timeout = setup.settings.election_timeout;
    let voters = setup.voters;
    let all = (1u16 << voters) - 1;
    let one = 1u16 << (whom % voters);
    let target = match whom >> 4 {
        0..=3 => Target::Leader,
        4..=11 => Target::Nodes(one),
        _ => Target::Nodes(u16::from(a) & all | one),
    };
    let number = u64::from(a) << 24 | u64::from(b) << 8 | u64::from(c);
    let messages = match a >> 6 {
        0 => u32::MAX,
        1 => 1 << (b % 32),
        _ => 1 << (b % 32) | 1 << (c % 32),
    };
    let cut = |shape: Shape, side: u16, both: bool| {
        let row = |node: u8| match (side >> node & 1 == 1, both) {
            (true, _) => all & !side,
            (false, true) => side,
            (false, false) => 0,
        };
        FaultKind::Partition { shape, cut: (0..voters).map(row).collect(), messages }
    };
    let what = match what % 24 {
        1 => FaultKind::Kill(target),
        2 => FaultKind::PowerLoss(target),
        3 => FaultKind::KillThenPowerLoss(target),
        4 => FaultKind::ClusterPowerLoss,
        5 => FaultKind::Pause(target),
        6 => FaultKind::Slow(target, 2 + u32::from(a % 60)),
        7 => FaultKind::ClockJump(target, timeout / 32 * u64::from(a)),
        8 => FaultKind::DiskStall(target),
        9 => FaultKind::SyncError(target),
        10 => FaultKind::WriteError(target),
        11 => FaultKind::DiskFull(target),
        12 | 13 => FaultKind::Rot(target, number),
        14 | 15 => cut(Shape::Isolate, one, true),
        16 => cut(Shape::Halves, u16::from(c) & all, true),
        17 => cut(Shape::OneWay, u16::from(c) & all, false),
        18 | 19 => FaultKind::Partition { shape: Shape::Leader, cut: Vec::new(), messages },
        20 => cut(Shape::Kinds, all & !one, true),
        21 | 22 => FaultKind::Hold { from: u16::from(c) & all | one, messages },
        23 => FaultKind::Clog { from: whom % voters, to: a % voters },
        _ => return None,
    };
    let at = timeout / 16 * u64::from(at);
    Some(Fault { at, duration: 1 + timeout / 32 * u64::from(duration), what })
}
