//! Times of both sides, repetitions interleaved. See the library's page.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use raft_compare::cluster::{Cluster, Node};
use raft_compare::ours::Ours;
use raft_compare::table::{Samples, Unit, json, line};
use raft_compare::theirs::Theirs;
use raft_compare::{ELECTION_TICKS, HEARTBEAT_TICKS, NEVER_TICKS};

const USAGE: &str = "usage: speed [--quick] [--json] [--only raft-core|raft-rs NODES BYTES WINDOW SECONDS]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, side, numbers @ ..] = arguments.as_slice()
        && first == "--only"
    {
        return only(side, numbers);
    }
    let (mut quick, mut as_json) = (false, false);
    for argument in &arguments {
        match argument.as_str() {
            "--quick" => quick = true,
            "--json" => as_json = true,
            other => {
                eprintln!("{other}: not known\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let show = if as_json { json } else { line };
    let repetitions = if quick { 3 } else { 7 };
    if !as_json {
        println!(
            "medians of {repetitions} interleaved repetitions (lowest to highest); x: how many times better ours is"
        );
        println!("{:<34} {:<30} {:<30} {:>6}", "", Ours::NAME, Theirs::NAME, "ratio");
    }
    for nodes in [1, 3, 5] {
        for bytes in [16, 256] {
            for window in [1, 64, 1_024] {
                let commands = commands(nodes, window) / if quick { 4 } else { 1 };
                let payload = Bytes::from(vec![7; bytes]);
                let (ours, theirs) = interleaved(
                    repetitions,
                    || throughput::<Ours>(nodes, &payload, window, commands),
                    || throughput::<Theirs>(nodes, &payload, window, commands),
                );
                let name = format!("k/s {nodes} nodes {bytes:>3} B window {window}");
                println!("{}", show(&name, Unit::ThousandsPerSecond, &ours, &theirs));
            }
        }
    }
    let calls = if quick { 20_000 } else { 200_000 };
    let single: [(&str, fn(u64) -> f64, fn(u64) -> f64); 5] = [
        ("ns tick, idle follower", tick_follower::<Ours>, tick_follower::<Theirs>),
        ("ns tick, idle leader of 3", tick_leader::<Ours>, tick_leader::<Theirs>),
        ("ns heartbeat and answer, follower", heartbeat_follower::<Ours>, heartbeat_follower::<Theirs>),
        ("ns heartbeat answer, leader of 3", heartbeat_leader::<Ours>, heartbeat_leader::<Theirs>),
        ("ns election with pre-vote, 3 nodes", election::<Ours>, election::<Theirs>),
    ];
    for (name, ours, theirs) in single {
        let (ours, theirs) = interleaved(repetitions, || ours(calls), || theirs(calls));
        println!("{}", show(name, Unit::Nanoseconds, &ours, &theirs));
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
    let (start, mut rate) = (Instant::now(), Samples::default());
    while start.elapsed().as_secs() < seconds {
        let commands = commands(nodes as usize, window);
        rate.add(match side {
            Ours::NAME => throughput::<Ours>(nodes as usize, &payload, window, commands),
            Theirs::NAME => throughput::<Theirs>(nodes as usize, &payload, window, commands),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        });
    }
    println!("{side}: {:.1} thousand a second", rate.median());
    ExitCode::SUCCESS
}

/// Enough for about a tenth of a second.
fn commands(nodes: usize, window: u64) -> u64 {
    let at_one = if window == 1 { 60_000 } else { 300_000 };
    at_one / nodes as u64 * 2
}

/// Measures the two in turn; who goes first alternates. The first pair warms up and is not kept.
fn interleaved(
    repetitions: usize,
    mut ours: impl FnMut() -> f64,
    mut theirs: impl FnMut() -> f64,
) -> (Samples, Samples) {
    let (mut a, mut b) = (Samples::default(), Samples::default());
    for repetition in 0..=repetitions {
        let (x, y) = if repetition % 2 == 0 {
            let x = ours();
            (x, theirs())
        } else {
            let y = theirs();
            (ours(), y)
        };
        if repetition > 0 {
            a.add(x);
            b.add(y);
        }
    }
    (a, b)
}

/// Thousands of committed proposals a second.
fn throughput<N: Node>(nodes: usize, payload: &Bytes, window: u64, commands: u64) -> f64 {
    let mut cluster = Cluster::<N>::elected(nodes, HEARTBEAT_TICKS, ELECTION_TICKS);
    cluster.commit(window * 2, payload, window);
    let start = Instant::now();
    cluster.commit(commands, payload, window);
    commands as f64 / start.elapsed().as_secs_f64() / 1_000.0
}

fn nanoseconds(calls: u64, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed().as_secs_f64() * 1e9 / calls as f64
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
    let start = Instant::now();
    clusters.iter_mut().for_each(Cluster::elect);
    start.elapsed().as_secs_f64() * 1e9 / clusters.len() as f64
}
