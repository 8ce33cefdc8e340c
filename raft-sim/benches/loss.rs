//! What losses cost: writes answered in a virtual second at 0, 1, 5 and 20 % loss of datagrams, with 10 % doubled and
//! 10 % overtaken by others, for a saturating load; and for how long nothing was committed at most. Then what narrow
//! links cost, where what does not fit into a short queue is lost. Virtual time, so the figures are the same on every
//! machine.
//!
//! `cargo bench -p raft-sim --bench loss`. Medians over seeds with their spread; nothing is asserted.

use raft_sim::choices::Choices;
use raft_sim::counts::Effect;
use raft_sim::run::{RunOptions, RunReport, run_seed};
use raft_sim::swarm::{self, CrashSetup, DiskSetup, LoadSetup, Mode, NetworkSetup, Setup};
use raft_sim::trace::TraceOptions;

const SEEDS: u64 = 7;
/// Virtual microseconds of load.
const HORIZON: u64 = 3_000_000;
/// The same for the run that is traced.
const HORIZON_TRACED: u64 = 1_000_000;
/// In parts per million of datagrams.
const LOSSES: [u32; 4] = [0, 10_000, 50_000, 200_000];
/// Bytes a second of each link, whose queue holds [`QUEUE_BYTES`].
const NARROW: [u64; 3] = [16_000_000, 4_000_000, 1_000_000];
const QUEUE_BYTES: u64 = 8_192;

fn main() {
    header("loss");
    for voters in [3, 5] {
        let rows = LOSSES.map(|loss| (format!("{} %", loss / 10_000), setup(0, voters, loss)));
        print(voters, &rows);
    }
    header("link");
    for voters in [3, 5] {
        let rows = NARROW.map(|bytes| (format!("{} kB/s", bytes / 1_000), narrow(voters, bytes)));
        print(voters, &rows);
    }
}

fn header(what: &str) {
    println!(
        "{:<8} {:>10} {:>12} {:>16} {:>9} {:>14} {:>10} {:>15}",
        "nodes", what, "writes/s", "(spread)", "of 1000", "messages/write", "elections", "longest gap, us"
    );
}

/// One line a setup; "of 1000" is relative to the first.
fn print(voters: u8, rows: &[(String, Setup)]) {
    let mut best = None;
    for (name, setup) in rows {
        let mut reports: Vec<RunReport> = (0..SEEDS).map(|seed| run(seed, setup)).collect();
        reports.sort_by_key(rate);
        let middle = &reports[reports.len() / 2];
        let median = rate(middle);
        let writes = middle.counts.get(Effect::OpsOk).max(1);
        let spread = format!("{}-{}", rate(&reports[0]), rate(&reports[reports.len() - 1]));
        println!(
            "{voters:<8} {name:>10} {median:>12} {spread:>16} {:>9} {:>14} {:>10} {:>15}",
            median * 1_000 / *best.get_or_insert(median.max(1)),
            middle.counts.get(Effect::Messages) / writes,
            middle.counts.get(Effect::Elections),
            longest_gap(setup),
        );
    }
}

/// Virtual microseconds of the longest time in which no node applied anything new, from the first entry to the end of
/// the load, in a shorter run: a trace is long.
fn longest_gap(setup: &Setup) -> u64 {
    let setup = Setup { horizon: HORIZON_TRACED, ..setup.clone() };
    let trace = TraceOptions { text: true, json: false };
    let report = run_seed(0, &RunOptions { setup: Some(setup), trace, ..RunOptions::default() });
    let (mut newest, mut at, mut longest) = (0, None, 0);
    for line in &report.trace.text {
        // "event  seconds node what  detail", and what is applied is named by its index: "i17".
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, time, _, "apply", index, ..] = words[..] else { continue };
        let index: u64 = index.trim_start_matches('i').parse().expect("an index follows");
        let time: u64 = time.replace('.', "").parse().expect("times have six decimals");
        if index > newest && time <= HORIZON_TRACED {
            longest = longest.max(time - at.unwrap_or(time));
            (newest, at) = (index, Some(time));
        }
    }
    longest
}

fn rate(report: &RunReport) -> u64 {
    report.counts.get(Effect::OpsOk) * 1_000_000 / report.virtual_time.max(1)
}

fn run(seed: u64, setup: &Setup) -> RunReport {
    let setup = Setup { seed, ..setup.clone() };
    let report = run_seed(seed, &RunOptions { setup: Some(setup), ..RunOptions::default() });
    if let Some(line) = report.failure_line() {
        eprintln!("{line}");
    }
    report
}

/// Long commands, narrow links without random losses, and no room for what came early: what is lost is what does not
/// fit, and a follower keeps nothing of what follows it.
fn narrow(voters: u8, bytes_per_second: u64) -> Setup {
    let mut setup = setup(0, voters, 0);
    setup.settings.shelf_bytes_max = 0;
    setup.load.padding = 4_096;
    let network = NetworkSetup {
        bytes_per_second,
        queue_bytes: QUEUE_BYTES,
        duplicate_ppm: 0,
        reorder_ppm: 0,
        latency: 25,
        jitter: 5,
        ..setup.network.clone()
    };
    Setup { network, ..setup }
}

/// A local network, fast disks, the settings that a host gets by default, and more clients than it can serve at once.
fn setup(seed: u64, voters: u8, loss: u32) -> Setup {
    let drawn = swarm::draw(seed, &mut Choices::seeded(seed));
    let mut settings = drawn.settings.clone();
    settings.election_timeout = 300_000;
    settings.heartbeat_interval = 50_000;
    settings.retransmit_after = 100_000;
    settings.retransmit_min = 5_000;
    settings.append_bytes_max = 64 << 10;
    settings.window_bytes_max = 1 << 20;
    settings.window_appends_max = 64;
    settings.uncommitted_bytes_max = 16 << 20;
    settings.command_bytes_max = 1 << 20;
    settings.unsynced_bytes_max = 16 << 20;
    settings.apply_bytes_max = 4 << 20;
    settings.shelf_bytes_max = 256 << 10;
    settings.proposal_timeout = 10_000_000;
    settings.proposals_max = 65_536;
    settings.sessions_max = 65_536;
    settings.session_bytes_max = 64 << 20;
    settings.tickets_max = 65_536;
    settings.forwarding = true;
    // A command that is lost on its way to the leader is not what is measured.
    settings.forward_retry = 5_000;
    settings.segment_bytes = 1 << 20;
    settings.batch_bytes_max = 1 << 20;
    settings.datagram_bytes_max = 1_200;
    settings.message_bytes_max = 4 << 20;
    settings.joining_bytes_max = 16 << 20;
    settings.cache_bytes_max = 16 << 20;
    settings.snapshot_after_bytes = 16 << 20;
    settings.snapshot_after_terms = 1_024;
    Setup {
        mode: Mode::Control,
        voters,
        lives: 1,
        events: u64::MAX,
        horizon: HORIZON,
        settings,
        network: NetworkSetup {
            latency: 250,
            jitter: 250,
            asymmetry: 1,
            loss_ppm: loss,
            duplicate_ppm: 100_000,
            reorder_ppm: 100_000,
            ..NetworkSetup::default()
        },
        disk: DiskSetup { write_latency: 20, sync_latency: 150, ..Default::default() },
        crash: CrashSetup::default(),
        load: LoadSetup {
            clients: 64,
            keys: 64,
            think: 1,
            burst_ppm: 0,
            burst: 1,
            timeout: 2_000_000,
            attempts: 5,
            sessionless_ppm: 1_000_000,
            sticking_ppm: 0,
            weights: [1, 0, 0, 0, 0],
            latency: 10,
            padding: 256,
        },
        clock_ppm: vec![0; usize::from(voters)],
        faults: Vec::new(),
        ..drawn
    }
}
