//! A live cluster under load, and somebody on its network who sends whatever he likes: noise, altered copies, replays, and
//! handshakes with keys that are almost right.
#![cfg(feature = "kv")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]

#[path = "kv_support/cluster.rs"]
mod cluster;
#[path = "kv_support/dice.rs"]
mod dice;
#[path = "kv_support/relay.rs"]
mod relay;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use raft_core::{Boot, Instant};
use raft_net::directory::{self, FoundingRecord};
use raft_net::secure::{
    ClusterSecret, ClusterSecrets, Peer, PrivateKey, PublicKey, Secure, SecureConfig, SessionLimits,
};

use cluster::{Cluster, Lines, eventually};
use dice::Dice;
use relay::{Captured, Relay};

const NODES: usize = 3;
const RANDOM: u64 = 100_000;
const MUTATED: u64 = 100_000;
/// Datagrams kept at a time.
const CAPTURED: usize = 3_000;
/// Datagrams sent at once, so that a node's socket has room for all of them.
const BURST: u64 = 128;
const PAUSE: Duration = Duration::from_millis(4);
/// What a node's memory may grow by, in KiB, while all of this arrives: its log and its store grow under the load.
const GROWTH_KIB_MAX: u64 = 32 << 10;

#[test]
fn strangers_are_not_heard_and_cost_nothing() {
    let cluster = Cluster::init(NODES);
    let (cluster, relay) = start(cluster, 1);
    let load = Load::start(&cluster);
    let captured = captured(&relay);
    nothing_in_clear(&captured);
    let before = Observed::of(&cluster);

    let sent = attack(&cluster, &relay, &captured);

    let (operations, slowest) = load.stop();
    let after = Observed::of(&cluster);
    println!("sent {sent:?}");
    println!("{operations} operations meanwhile, the slowest after {slowest} ms");
    assert!(operations > 500, "invalid run: {operations} operations under attack");
    for (place, (before, after)) in before.nodes.iter().zip(&after.nodes).enumerate() {
        println!("node {}: {} KiB before, {} KiB after", place + 1, before.memory_kib, after.memory_kib);
        assert_eq!((before.pid, before.boot), (after.pid, after.boot), "no process died");
        assert_eq!((before.leader, before.term), (after.leader, after.term), "the leader is as it was");
        assert!(after.memory_kib < before.memory_kib + GROWTH_KIB_MAX, "memory is flat");
    }
    let dropped: BTreeMap<_, _> =
        after.dropped.iter().map(|(reason, count)| (reason, count - before.dropped[reason])).collect();
    println!("dropped {dropped:?}");
    let all: u64 = dropped.values().sum();
    assert!(all >= sent.all() * 99 / 100, "nearly all were looked at: {all} of {}", sent.all());
    for reason in [
        "too_short",
        "not_ours",
        "malformed",
        "bad_mac",
        "unknown_key",
        "wrong_identity",
        "handshake_replayed",
        "wrong_session",
        "replayed",
        "bad_tag",
    ] {
        assert!(dropped[&reason.to_owned()] > 0, "{reason} is counted: {dropped:?}");
    }
    nothing_was_accepted(&cluster);
}

/// How many of what.
#[derive(Debug, Default)]
struct Sent {
    random: u64,
    mutated: u64,
    replayed: u64,
    other_cluster: u64,
    wrong_key: u64,
    swapped_identity: u64,
    wrong_secret: u64,
}

impl Sent {
    fn all(&self) -> u64 {
        let Sent { random, mutated, replayed, other_cluster, wrong_key, swapped_identity, wrong_secret } =
            self;
        random + mutated + replayed + other_cluster + wrong_key + swapped_identity + wrong_secret
    }
}

fn start(mut cluster: Cluster, seed: u64) -> (Cluster, Relay) {
    let relay = Relay::between(&cluster, seed);
    // Handshakes come first.
    relay.capture(CAPTURED);
    (1..=NODES).for_each(|id| cluster.launch(id));
    (1..=NODES).for_each(|id| cluster.wait_ready(id));
    (cluster, relay)
}

/// As many datagrams as are kept.
fn captured(relay: &Relay) -> Vec<Captured> {
    eventually("traffic", || Some(relay.captured()).filter(|all| all.len() == CAPTURED))
}

fn attack(cluster: &Cluster, relay: &Relay, captured: &[Captured]) -> Sent {
    let (mut sent, mut dice) = (Sent::default(), Dice::of(1, 2));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut burst = 0;
    let mut pace = || {
        burst += 1;
        if burst % BURST == 0 {
            std::thread::sleep(PAUSE);
        }
    };
    // From an address of its own, and from those of peers.
    let mut send = |dice: &mut Dice, to: usize, bytes: &[u8]| {
        if dice.percent(50) {
            stranger.send_to(bytes, ("127.0.0.1", cluster.raft[to - 1])).unwrap();
        } else {
            relay.inject(to % NODES + 1, to, bytes);
        }
        pace();
    };

    // First, while the limit of handshakes is not used up.
    for (to, bytes) in forged(cluster, Forgery::WrongKey) {
        send(&mut dice, to, &bytes);
        sent.wrong_key += 1;
    }
    for (to, bytes) in forged(cluster, Forgery::SwappedIdentity) {
        send(&mut dice, to, &bytes);
        sent.swapped_identity += 1;
    }
    for (to, bytes) in forged(cluster, Forgery::WrongSecret) {
        send(&mut dice, to, &bytes);
        sent.wrong_secret += 1;
    }
    for one in captured {
        send(&mut dice, one.to, &one.bytes);
        sent.replayed += 1;
    }
    let (elsewhere, other) = start(Cluster::init(NODES), 2);
    for number in 0..100 {
        elsewhere.command(1 + number % NODES, &format!("SET k{number} v"));
    }
    for one in other.captured() {
        send(&mut dice, one.to, &one.bytes);
        sent.other_cluster += 1;
    }
    drop((elsewhere, other));
    for _ in 0..RANDOM {
        let length = dice.below(1_400);
        let mut bytes: Vec<u8> = (0..length).map(|_| dice.below(256) as u8).collect();
        // Half of them look like ours at first sight.
        if bytes.len() > 4 && dice.percent(50) {
            bytes[..4].copy_from_slice(&[1 + dice.below(3) as u8, 1, 0, 0]);
        }
        send(&mut dice, 1 + sent.random as usize % NODES, &bytes);
        sent.random += 1;
    }
    let mut fresh = captured.to_vec();
    for number in 0..MUTATED {
        // Copies of what was just sent, with counters that are not old yet.
        if number % 5_000 == 2_500 {
            relay.capture(CAPTURED);
        } else if number % 5_000 == 0 && number > 0 {
            fresh = relay.captured();
            fresh.extend(captured.iter().take(100).cloned());
        }
        let one = dice.pick(&fresh);
        let mut bytes = one.bytes.clone();
        match dice.below(4) {
            0 => {
                let length = dice.below(bytes.len() as u64) as usize;
                bytes.truncate(length);
            }
            1 => bytes.extend((0..=dice.below(64)).map(|byte| byte as u8)),
            _ => {
                for _ in 0..=dice.below(4) {
                    let at = dice.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << dice.below(8);
                }
            }
        }
        send(&mut dice, one.to, &bytes);
        sent.mutated += 1;
    }
    // What is on its way is looked at.
    std::thread::sleep(Duration::from_secs(1));
    sent
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Forgery {
    /// The cluster's secret, and a key that nobody has.
    WrongKey,
    /// The cluster's secret, node 2's key, and node 3's name.
    SwappedIdentity,
    /// Node 2's key and name, and a secret of its own.
    WrongSecret,
}

/// Handshakes for each node but the one whose key is used.
fn forged(cluster: &Cluster, forgery: Forgery) -> Vec<(usize, Vec<u8>)> {
    let founding: FoundingRecord = directory::founding_record(&cluster.data(1)).unwrap();
    let text = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let secret =
        text(cluster.directory.path().join("cluster-secret")).trim().parse::<ClusterSecret>().unwrap();
    let private = text(cluster.data(2).join("private-key"));
    let private = private.split_whitespace().find_map(|word| word.parse::<PrivateKey>().ok()).unwrap();
    let (as_whom, key, secret) = match forgery {
        Forgery::WrongKey => (2, PrivateKey::generate().unwrap(), secret),
        Forgery::SwappedIdentity => (3, private, secret),
        Forgery::WrongSecret => (2, private, ClusterSecret::generate().unwrap()),
    };
    let member = |id: usize| founding.members.iter().find(|record| record.member.id.0 == id as u64).unwrap();
    let target = member(1);
    let public: PublicKey = target.public;
    let address = ([127, 0, 0, 1], cluster.raft[0]).into();
    let config = SecureConfig {
        own: member(as_whom).member,
        boot: Boot(1 << 40),
        cluster: founding.cluster,
        epoch: founding.epoch,
        key,
        secrets: ClusterSecrets::from(secret),
        peers: vec![Peer { member: target.member, public, address }],
        datagram_bytes_max: 1_200,
        limits: SessionLimits::default(),
    };
    let mut all = Vec::new();
    let mut secure = Secure::new(config, Instant(0)).unwrap();
    for second in 0..5 {
        secure.tick(Instant(second * 10_000_000));
        while let Some(transmit) = secure.poll_transmit() {
            all.push((1, transmit.datagram));
        }
    }
    assert!(all.len() >= 3);
    all
}

/// Keys and values that clients write travel in no datagram as they are.
fn nothing_in_clear(captured: &[Captured]) {
    let bytes: usize = captured.iter().map(|one| one.bytes.len()).sum();
    assert!(bytes > 200_000, "invalid run: {bytes} bytes captured");
    for word in [KEY, VALUE] {
        let finds = |one: &&Captured| one.bytes.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(captured.iter().find(finds).is_none(), "{word} is readable on the network");
    }
}

/// No node opened more datagrams of a peer than the peer sealed for it.
fn nothing_was_accepted(cluster: &Cluster) {
    // Openings are asked for first: sealing goes on.
    let connections = |id: usize| cluster.ask(id, "GET", "/connections", "").json();
    let count = |of: &serde_json::Value, peer: usize, name: &str| {
        let all = of.as_array().unwrap();
        let one = all.iter().find(|one| one["id"] == peer).unwrap();
        one["counters"][name].as_u64().unwrap()
    };
    let opened: Vec<_> = (1..=NODES).map(connections).collect();
    let sealed: Vec<_> = (1..=NODES).map(connections).collect();
    let mut all = 0;
    for at in 1..=NODES {
        for of in (1..=NODES).filter(|of| *of != at) {
            let opened = count(&opened[at - 1], of, "datagrams_opened");
            let sealed = count(&sealed[of - 1], at, "datagrams_sealed");
            assert!(opened <= sealed, "node {at} opened {opened} of node {of}'s {sealed}");
            all += opened;
        }
    }
    assert!(all > 5_000, "invalid run: {all} datagrams opened");
}

/// What is seen of a cluster from outside.
struct Observed {
    nodes: Vec<ObservedNode>,
    dropped: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct ObservedNode {
    pid: u32,
    boot: u64,
    leader: u64,
    term: u64,
    memory_kib: u64,
}

impl Observed {
    fn of(cluster: &Cluster) -> Observed {
        let mut dropped = BTreeMap::new();
        let nodes = (1..=NODES).map(|id| {
            for line in cluster.ask(id, "GET", "/metrics", "").body.lines() {
                let Some(rest) = line.strip_prefix("raft_dropped_total") else { continue };
                let reason = rest.split("reason=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
                let count = rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
                *dropped.entry(reason.to_owned()).or_default() += count;
            }
            let state = cluster.ask(id, "GET", "/state", "").json();
            let pid = cluster.pid(id);
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let memory = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
            let number = |name: &str| state[name].as_u64().unwrap();
            ObservedNode {
                pid,
                boot: number("boot"),
                leader: number("leader"),
                term: number("term"),
                memory_kib: memory.split_whitespace().nth(1).unwrap().parse().unwrap(),
            }
        });
        Observed { nodes: nodes.collect(), dropped }
    }
}

const KEY: &str = "a-key-that-nobody-else-may-read";
const VALUE: &str = "a-value-that-nobody-else-may-read";

/// Clients that write and read all the time.
struct Load {
    is_over: Arc<AtomicBool>,
    operations: Arc<AtomicU64>,
    slowest_ms: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(cluster: &Cluster) -> Load {
        let (is_over, operations, slowest_ms) =
            <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let threads = cluster.line.iter().map(|port| {
            let (is_over, operations, slowest_ms) = (is_over.clone(), operations.clone(), slowest_ms.clone());
            let mut lines = Lines::connect(*port);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let number = operations.fetch_add(1, Ordering::SeqCst);
                    let key = format!("{KEY}-{}", number % 100);
                    let began = std::time::Instant::now();
                    assert_eq!(
                        lines.say(&format!("put {key} {VALUE}-{number}")),
                        format!("Ok: {VALUE}-{number}")
                    );
                    assert!(lines.say(&format!("get {key}")).starts_with("Ok: "));
                    slowest_ms.fetch_max(began.elapsed().as_millis() as u64, Ordering::SeqCst);
                }
            })
        });
        Load { threads: threads.collect(), is_over, operations, slowest_ms }
    }

    fn stop(self) -> (u64, u64) {
        self.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        (self.operations.load(Ordering::SeqCst), self.slowest_ms.load(Ordering::SeqCst))
    }
}
