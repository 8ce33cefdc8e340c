//! How fast worlds run, on one core: events and virtual seconds a second, for 5 nodes with everything on, for 3 nodes
//! with latency alone, and for what `run` runs by default. Then where the time goes in the first of these.
//!
//! `cargo bench -p raft-sim --bench simulator`. Medians of seven rounds over the same seeds; nothing is asserted.
//!
//! The second table is an estimate: how often the run did something, as it counted, times what that costs alone on
//! warm caches. So each share is rather too small, and the rest (cores, replicas, journals, oracles, clients) too
//! large; for what is in it, run the same binary under a profiler: release builds keep their line tables. The time line
//! is measured, as the difference that it makes.

#![allow(clippy::disallowed_types)] // Wall-clock time is what a benchmark is for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use raft_core::message::{Append, Heartbeat};
use raft_core::wire::{Decoder, Encoder, WireConfig};
use raft_core::{
    Boot, ClusterId, Entry, Envelope, Epoch, Incarnation, Index, LogId, Member, Message, NodeId, Payload,
    Term,
};
use raft_sim::check::{Budget, FileModel, check, read_file};
use raft_sim::choices::Choices;
use raft_sim::counts::{Counts, EFFECTS, Effect};
use raft_sim::disk::VirtualDisk;
use raft_sim::run::{RunOptions, run_seed};
use raft_sim::swarm::{self, Mode, Setup};
use raft_sim::trace::{Fingerprint, TraceOptions};

const ROUNDS: usize = 7;
const SEEDS: usize = 12;

fn main() {
    println!(
        "{:<34} {:>12} {:>12} {:>14} {:>16}",
        "world", "events/s", "(spread)", "virtual s/s", "events a seed"
    );
    let everything = |setup: &Setup| setup.voters == 5 && setup.mode == Mode::Everything;
    measure("5 nodes, everything on", everything);
    measure("3 nodes, latency alone", |setup| setup.voters == 3 && setup.mode == Mode::Control);
    measure("as drawn", |_| true);
    println!();
    break_down("5 nodes, everything on", &seeds(everything));
}

fn seeds(wanted: impl Fn(&Setup) -> bool) -> Vec<u64> {
    let is_wanted = |seed: &u64| wanted(&swarm::draw(*seed, &mut Choices::seeded(*seed)));
    (0..).filter(is_wanted).take(SEEDS).collect()
}

fn measure(name: &str, wanted: impl Fn(&Setup) -> bool) {
    let seeds = seeds(wanted);
    let rounds: Vec<Round> = (0..ROUNDS).map(|_| round(&seeds, TraceOptions::default())).collect();
    let events = rounds[0].events;
    let rate = |amount: u64, nanos: u64| (u128::from(amount) * 1_000_000_000 / u128::from(nanos)) as u64;
    let mut nanos: Vec<u64> = rounds.iter().map(|round| round.nanos).collect();
    nanos.sort_unstable();
    let median = nanos[ROUNDS / 2];
    let (low, high) = (rate(events, nanos[ROUNDS - 1]), rate(events, nanos[0]));
    let spread = format!("{}-{}k", low / 1_000, high / 1_000);
    println!(
        "{name:<34} {:>12} {spread:>12} {:>14} {:>16}",
        rate(events, median),
        rate(rounds[0].micros, median) / 1_000_000,
        events / SEEDS as u64
    );
}

/// One round over some seeds.
struct Round {
    nanos: u64,
    events: u64,
    /// Virtual time.
    micros: u64,
    counts: Counts,
}

fn round(seeds: &[u64], trace: TraceOptions) -> Round {
    let started = Instant::now();
    let mut sum = Round { nanos: 0, events: 0, micros: 0, counts: Counts::default() };
    for seed in seeds {
        let report = run_seed(*seed, &RunOptions { trace, ..RunOptions::default() });
        sum.events += report.events;
        sum.micros += report.virtual_time;
        for (effect, _) in EFFECTS {
            sum.counts.add_many(*effect, report.counts.get(*effect));
        }
    }
    sum.nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
    sum
}

/// Something that runs do often, how often, and what it costs alone.
struct Part {
    name: &'static str,
    count: u64,
    picos: u64,
}

fn break_down(name: &str, seeds: &[u64]) {
    let plain = median_round(seeds, TraceOptions::default());
    let traced = median_round(seeds, TraceOptions { text: true, json: false });
    let count = |effect| plain.counts.get(effect);
    let is_lost = |effect: &Effect| (Effect::DroppedLoss..=Effect::DroppedDown).contains(effect);
    let lost: u64 =
        EFFECTS.iter().filter(|(effect, _)| is_lost(effect)).map(|(effect, _)| count(*effect)).sum();
    let datagrams = count(Effect::Delivered) + lost;
    let (encode_heartbeat, decode_heartbeat) = wire(&heartbeat());
    let (encode_append, decode_append) = wire(&append());
    let messages = count(Effect::Messages);
    let part = |name, count, picos| Part { name, count, picos };
    let parts = [
        part("encode, as if all were heartbeats", messages, encode_heartbeat),
        part(
            "  more, if all were appends of 200 B",
            messages,
            encode_append.saturating_sub(encode_heartbeat),
        ),
        part("decode, as if all were heartbeats", messages, decode_heartbeat),
        part(
            "  more, if all were appends of 200 B",
            messages,
            decode_append.saturating_sub(decode_heartbeat),
        ),
        part("decisions, two a datagram and one an event", datagrams * 2 + plain.events, decision()),
        part("queue, a push and a pop an event", plain.events, queue()),
        part("fingerprint, two words an event", plain.events * 2, fingerprint()),
        part("disk, a write of a sector and a sync", count(Effect::Syncs), write_and_sync()),
        part("checker, by operation on one key", count(Effect::OpsOk), checker()),
    ];
    println!(
        "{:<46} {:>12} {:>10} {:>10} {:>8}",
        format!("where the time goes: {name}"),
        "times",
        "ns each",
        "ms",
        "of 1000"
    );
    let mut rest = plain.nanos;
    for Part { name, count, picos } in parts {
        let nanos = (u128::from(count) * u128::from(picos) / 1_000) as u64;
        rest = rest.saturating_sub(nanos);
        line(name, Some((count, picos / 1_000)), nanos, plain.nanos);
    }
    line("the rest", None, rest, plain.nanos);
    line("all", None, plain.nanos, plain.nanos);
    line("beyond that, a time line as text", None, traced.nanos.saturating_sub(plain.nanos), plain.nanos);
}

fn median_round(seeds: &[u64], trace: TraceOptions) -> Round {
    let mut rounds: Vec<Round> = (0..ROUNDS).map(|_| round(seeds, trace)).collect();
    rounds.sort_unstable_by_key(|round| round.nanos);
    rounds.swap_remove(ROUNDS / 2)
}

fn line(name: &str, unit: Option<(u64, u64)>, nanos: u64, all: u64) {
    let (times, each) =
        unit.map_or_else(Default::default, |(times, each)| (times.to_string(), each.to_string()));
    println!("{name:<46} {times:>12} {each:>10} {:>10} {:>8}", nanos / 1_000_000, nanos * 1_000 / all);
}

/// Picoseconds that one of `count` takes: the median of some rounds.
fn unit(count: u64, mut work: impl FnMut()) -> u64 {
    let mut nanos: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    (nanos[ROUNDS / 2] * 1_000 / u128::from(count)) as u64
}

/// So many in a round, where one takes less than a microsecond.
const MANY: u64 = 20_000;

fn heartbeat() -> Message {
    Message::Heartbeat(Heartbeat { term: Term(3), round: raft_core::Round(1_000), commit: Index(700) })
}

fn append() -> Message {
    let payload = Payload::Command(vec![7; 200].into());
    let entries = [Entry { term: Term(3), index: Index(701), payload }].into();
    let previous = LogId { term: Term(3), index: Index(700) };
    Message::Append(Append {
        term: Term(3),
        round: raft_core::Round(1_000),
        previous,
        entries,
        commit: Index(700),
    })
}

/// What it costs to encode a message and to decode it.
fn wire(message: &Message) -> (u64, u64) {
    let member = |id| Member { id: NodeId(id), incarnation: Incarnation(0x100 + id) };
    let envelope = Envelope {
        cluster: ClusterId(77),
        epoch: Epoch(0),
        from: member(1),
        from_boot: Boot(3),
        to: member(2),
        to_boot: Boot(0),
        message: message.clone(),
    };
    let mut encoder = Encoder::new(WireConfig::default());
    let mut decoder = Decoder::new(WireConfig::default());
    let mut datagrams = Vec::new();
    let fits = encoder.encode(&envelope, &mut |datagram| datagrams.push(datagram.to_vec()));
    assert_eq!((fits, datagrams.len()), (Ok(()), 1), "the message is one datagram");
    let encoding = unit(MANY, || {
        for _ in 0..MANY {
            let _ = encoder.encode(black_box(&envelope), &mut |datagram| {
                black_box(datagram);
            });
        }
    });
    let decoding = unit(MANY, || {
        for _ in 0..MANY {
            let _ = black_box(decoder.handle_datagram(raft_core::Instant(0), black_box(&datagrams[0])));
        }
    });
    (encoding, decoding)
}

fn decision() -> u64 {
    let mut choices = Choices::seeded(1);
    let stream = choices.stream("bench", 0, 0);
    unit(MANY, || {
        for _ in 0..MANY {
            black_box(choices.below(stream, black_box(1_000)));
        }
    })
}

/// With as many events planned as a busy world has.
fn queue() -> u64 {
    const PLANNED: u64 = 200;
    let mut choices = Choices::seeded(1);
    let stream = choices.stream("bench", 0, 0);
    let gaps: Vec<u64> = (0..MANY).map(|_| choices.below(stream, 10_000)).collect();
    let mut heap: BinaryHeap<Reverse<(u64, u64, [u32; 3])>> = BinaryHeap::new();
    heap.extend((0..PLANNED).map(|number| Reverse((number * 50, number, [0; 3]))));
    unit(MANY, || {
        for (number, gap) in (PLANNED..).zip(&gaps) {
            if let Some(Reverse((now, _, event))) = heap.pop() {
                heap.push(Reverse((now + gap, number, event)));
            }
        }
    })
}

fn fingerprint() -> u64 {
    let mut fingerprint = Fingerprint::default();
    let picos = unit(MANY, || (0..MANY).for_each(|word| fingerprint.add(black_box(word))));
    black_box(fingerprint);
    picos
}

fn write_and_sync() -> u64 {
    const SECTOR: u64 = 512;
    let mut disk = VirtualDisk::default();
    disk.create("file", 64 * SECTOR);
    let bytes = [7; SECTOR as usize];
    unit(MANY, || {
        for number in 0..MANY {
            disk.write("file", number % 64 * SECTOR, black_box(&bytes))
                .expect("the sector is inside the file");
            disk.sync("file").expect("the file exists");
        }
    })
}

fn checker() -> u64 {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/histories/synthetic/b-c10-k1-1k-ok.txt");
    let (history, model) = read_file(path, FileModel::Kv).expect("the history is part of the source");
    unit(history.len() as u64, || {
        assert!(check(model.clone(), &history, Budget::default()).verdict.is_linearizable());
    })
}
