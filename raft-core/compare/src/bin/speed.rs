//! Times of both sides, repetitions interleaved. See the library's page.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use raft_compare::cluster::{Cluster, Node};
use raft_compare::ours::Ours;
use raft_compare::table::{Pairs, Samples, Unit, heading, json, line};
use raft_compare::theirs::Theirs;
use raft_compare::{ELECTION_TICKS, HEARTBEAT_TICKS, NEVER_TICKS};
use rustix::time::{ClockId, clock_gettime};

const USAGE: &str = "usage: speed [--quick] [--json] [TEXT]   only the lines whose name contains TEXT
       speed --only raft-core|raft-rs NODES BYTES WINDOW SECONDS   one side, for a profiler";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, side, numbers @ ..] = arguments.as_slice()
        && first == "--only"
    {
        return only(side, numbers);
    }
    let (mut quick, mut as_json, mut filter) = (false, false, "");
    for argument in &arguments {
        match argument.as_str() {
            "--quick" => quick = true,
            "--json" => as_json = true,
            other if other.starts_with('-') => {
                eprintln!("{other}: not known\n{USAGE}");
                return ExitCode::from(2);
            }
            text => filter = text,
        }
    }
    let show = if as_json { json } else { line };
    let repetitions = if quick { 3 } else { 15 };
    if !as_json {
        println!(
            "CPU time; medians of {repetitions} pairs, one side right after the other (lowest to highest)"
        );
        println!("{}", heading());
    }
    for nodes in [1, 3, 5] {
        for bytes in [16, 256] {
            for window in [1, 64, 1_024] {
                let name = format!("k/s {nodes} nodes {bytes:>3} B window {window}");
                if !name.contains(filter) {
                    continue;
                }
                let commands = commands(nodes, window) / if quick { 4 } else { 1 };
                let payload = Bytes::from(vec![7; bytes]);
                let pairs = interleaved(
                    repetitions,
                    || throughput::<Ours>(nodes, &payload, window, commands),
                    || throughput::<Theirs>(nodes, &payload, window, commands),
                );
                println!("{}", show(&name, Unit::ThousandsPerSecond, &pairs));
            }
        }
    }
    let calls = if quick { 20_000 } else { 200_000 };
    let single: [(&str, Single, Single); 5] = [
        ("ns tick, idle follower", tick_follower::<Ours>, tick_follower::<Theirs>),
        ("ns tick, idle leader of 3", tick_leader::<Ours>, tick_leader::<Theirs>),
        ("ns heartbeat and answer, follower", heartbeat_follower::<Ours>, heartbeat_follower::<Theirs>),
        ("ns heartbeat answer, leader of 3", heartbeat_leader::<Ours>, heartbeat_leader::<Theirs>),
        ("ns election with pre-vote, 3 nodes", election::<Ours>, election::<Theirs>),
    ];
    for (name, ours, theirs) in single.into_iter().filter(|(name, ..)| name.contains(filter)) {
        let pairs = interleaved(repetitions, || ours(calls), || theirs(calls));
        println!("{}", show(name, Unit::Nanoseconds, &pairs));
    }
    ExitCode::SUCCESS
}

/// One side and one shape for a while: something for a profiler to look at.
fn only(side: &str, numbers: &[String]) -> ExitCode {
    let numbers: Vec<u64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    let [nodes, bytes, window, seconds] = numbers[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let payload = Bytes::from(vec![7; bytes as usize]);
    let (start, mut rates) = (cpu_time(), Vec::new());
    while (cpu_time() - start).as_secs() < seconds {
        let commands = commands(nodes as usize, window);
        rates.push(match side {
            Ours::NAME => throughput::<Ours>(nodes as usize, &payload, window, commands),
            Theirs::NAME => throughput::<Theirs>(nodes as usize, &payload, window, commands),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        });
    }
    println!("{side}: {:.1} thousand a second", Samples::new(rates).median());
    ExitCode::SUCCESS
}

/// Nanoseconds a call, over that many calls.
type Single = fn(u64) -> f64;

/// Enough for about a tenth of a second.
fn commands(nodes: usize, window: u64) -> u64 {
    let at_one = if window == 1 { 60_000 } else { 300_000 };
    at_one / nodes as u64 * 2
}

/// Measures the two in turn; who goes first alternates. The first pair warms up and is not kept.
fn interleaved(repetitions: usize, mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) -> Pairs {
    let mut pairs = Pairs::default();
    for repetition in 0..=repetitions {
        let pair = if repetition % 2 == 0 {
            let x = ours();
            (x, theirs())
        } else {
            let y = theirs();
            (ours(), y)
        };
        if repetition > 0 {
            pairs.0.push(pair);
        }
    }
    pairs
}

/// The CPU time of this thread: what others run on the machine takes none of it.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Thousands of committed proposals a second.
fn throughput<N: Node>(nodes: usize, payload: &Bytes, window: u64, commands: u64) -> f64 {
    let mut cluster = Cluster::<N>::elected(nodes, HEARTBEAT_TICKS, ELECTION_TICKS);
    cluster.commit(window * 2, payload, window);
    let start = cpu_time();
    cluster.commit(commands, payload, window);
    commands as f64 / (cpu_time() - start).as_secs_f64() / 1_000.0
}

fn nanoseconds(calls: u64, mut call: impl FnMut()) -> f64 {
    let start = cpu_time();
    for _ in 0..calls {
        call();
    }
    (cpu_time() - start).as_secs_f64() * 1e9 / calls as f64
}

/// Ticks that bring nothing, each with the poll that shows it.
fn idle_ticks<N: Node>(calls: u64, node: &mut N) -> f64 {
    nanoseconds(calls, || {
        black_box(&mut *node).tick();
        node.drain(&mut |_, _| panic!("an idle node is silent"));
    })
}

fn tick_follower<N: Node>(calls: u64) -> f64 {
    let mut cluster = Cluster::<N>::elected(3, NEVER_TICKS / 3, NEVER_TICKS);
    let at = cluster.follower();
    idle_ticks(calls, &mut cluster.nodes[at])
}

fn tick_leader<N: Node>(calls: u64) -> f64 {
    let mut cluster = Cluster::<N>::elected(3, NEVER_TICKS / 3, NEVER_TICKS);
    let at = cluster.leader();
    idle_ticks(calls, &mut cluster.nodes[at])
}

/// `count` rounds of heartbeats, as the leader sends them, for one follower, and that follower's time to answer them;
/// then the leader's time to take all the answers.
fn heartbeats<N: Node>(calls: u64) -> (f64, f64) {
    let mut cluster = Cluster::<N>::elected(3, 1, NEVER_TICKS);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let (mut questions, mut answers) = (Vec::new(), Vec::with_capacity(calls as usize));
    for _ in 0..calls {
        cluster.nodes[leader].tick();
        cluster.nodes[leader].drain(&mut |to, message| {
            if to == follower {
                questions.push(message);
            }
        });
    }
    let mut questions = questions.into_iter();
    let node = &mut cluster.nodes[follower];
    let at_follower = nanoseconds(calls, || {
        node.handle(questions.next().expect("each tick brings a heartbeat"));
        node.drain(&mut |_, message| answers.push(message));
    });
    assert_eq!(answers.len() as u64, calls, "each heartbeat is answered");
    let mut answers = answers.into_iter();
    let node = &mut cluster.nodes[leader];
    let at_leader = nanoseconds(calls, || {
        node.handle(answers.next().expect("one for each heartbeat"));
        node.drain(&mut |_, _| panic!("nothing follows from an answer"));
    });
    (at_follower, at_leader)
}

fn heartbeat_follower<N: Node>(calls: u64) -> f64 {
    heartbeats::<N>(calls).0
}

fn heartbeat_leader<N: Node>(calls: u64) -> f64 {
    heartbeats::<N>(calls).1
}

/// From the campaign to a committed first entry and silence, all three nodes together.
fn election<N: Node>(calls: u64) -> f64 {
    let mut clusters: Vec<Cluster<N>> =
        (0..calls / 100).map(|_| Cluster::new(3, HEARTBEAT_TICKS, ELECTION_TICKS)).collect();
    let start = cpu_time();
    clusters.iter_mut().for_each(Cluster::elect);
    (cpu_time() - start).as_secs_f64() * 1e9 / clusters.len() as f64
}
