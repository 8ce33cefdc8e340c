//! A network between processes, on loopback: it loses, delays, reorders, doubles and keeps copies.
//!
//! For each ordered pair of nodes there is a socket. What node `i` means for node `j` it sends to the socket of (i, j);
//! from that of (j, i) it goes on to `j`, so that an answer to where it came from finds its way back.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::dice::Dice;

/// What the network does to a datagram, in a hundred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) doubled: u64,
    /// How many are delayed, by up to how many milliseconds: later ones overtake them.
    pub(crate) delayed: u64,
    pub(crate) delay_ms: u64,
}

/// What happened to datagrams.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) passed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) delayed: AtomicU64,
    pub(crate) cut: AtomicU64,
}

/// A datagram as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) bytes: Vec<u8>,
}

struct Leg {
    from: usize,
    to: usize,
    socket: UdpSocket,
    is_cut: AtomicBool,
}

/// A datagram that waits; the heap gives the earliest first.
struct Waiting {
    due: Instant,
    number: u64,
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.number == other.number
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

struct Shared {
    legs: Vec<Leg>,
    /// Where the nodes listen.
    nodes: Vec<SocketAddr>,
    weather: Mutex<Weather>,
    waiting: Mutex<BinaryHeap<Waiting>>,
    arrived: Condvar,
    counts: Counts,
    captured: Mutex<Vec<Captured>>,
    capture_max: AtomicU64,
    is_over: AtomicBool,
}

/// The network of a cluster, until it is dropped.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Puts itself between the nodes of a cluster that is not started yet: rewrites their configurations.
    pub(crate) fn between(cluster: &Cluster, seed: u64) -> Relay {
        let count = cluster.raft.len();
        let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let pairs = (1..=count).flat_map(|from| (1..=count).map(move |to| (from, to)));
        let legs: Vec<Leg> = pairs
            .filter(|(from, to)| from != to)
            .map(|(from, to)| {
                let socket = UdpSocket::bind(address(0)).unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                Leg { from, to, socket, is_cut: AtomicBool::new(false) }
            })
            .collect();
        for id in 1..=count {
            let mut text = std::fs::read_to_string(cluster.config(id)).unwrap();
            for leg in legs.iter().filter(|leg| leg.from == id) {
                let direct = format!("raft = \"{}\"", address(cluster.raft[leg.to - 1]));
                let through = format!("raft = \"{}\"", leg.socket.local_addr().unwrap());
                assert!(text.contains(&direct), "{text}");
                text = text.replace(&direct, &through);
            }
            std::fs::write(cluster.config(id), text).unwrap();
        }
        let shared = Arc::new(Shared {
            legs,
            nodes: cluster.raft.iter().map(|port| address(*port)).collect(),
            weather: Mutex::new(Weather::default()),
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            counts: Counts::default(),
            captured: Mutex::default(),
            capture_max: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let mut threads: Vec<_> = (0..shared.legs.len())
            .map(|place| {
                let (shared, dice) = (Arc::clone(&shared), Dice::of(seed, 1_000 + place as u64));
                std::thread::spawn(move || shared.receive(place, dice))
            })
            .collect();
        let sender = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || sender.send()));
        Relay { shared, threads }
    }

    /// From now on it does this.
    pub(crate) fn set_weather(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap() = weather;
    }

    /// Cuts a node off from all others, in both directions, or connects it again.
    pub(crate) fn set_cut(&self, id: usize, is_cut: bool) {
        for leg in self.shared.legs.iter().filter(|leg| leg.from == id || leg.to == id) {
            leg.is_cut.store(is_cut, Ordering::SeqCst);
        }
    }

    /// Keeps copies of the next so many datagrams, and of none before.
    pub(crate) fn capture(&self, max: usize) {
        self.shared.captured.lock().unwrap().clear();
        self.shared.capture_max.store(max as u64, Ordering::SeqCst);
    }

    /// The copies so far.
    pub(crate) fn captured(&self) -> Vec<Captured> {
        self.shared.captured.lock().unwrap().clone()
    }

    /// Hands bytes to a node, as if `from` had sent them.
    pub(crate) fn inject(&self, from: usize, to: usize, bytes: &[u8]) {
        self.shared.deliver(from, to, bytes);
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.arrived.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn receive(&self, place: usize, mut dice: Dice) {
        let leg = &self.legs[place];
        let mut buffer = vec![0; 1 << 16];
        let mut number = place as u64;
        while !self.is_over.load(Ordering::SeqCst) {
            // Nothing for a while; or an earlier datagram met a node that is down, which says nothing about this one.
            let Ok((length, _)) = leg.socket.recv_from(&mut buffer) else { continue };
            let bytes = &buffer[..length];
            self.keep(leg, bytes);
            if leg.is_cut.load(Ordering::SeqCst) {
                self.counts.cut.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let weather = *self.weather.lock().unwrap();
            if dice.percent(weather.loss) {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let copies = if dice.percent(weather.doubled) { 2 } else { 1 };
            self.counts.doubled.fetch_add(copies - 1, Ordering::Relaxed);
            for _ in 0..copies {
                if !dice.percent(weather.delayed) {
                    self.deliver(leg.from, leg.to, bytes);
                    continue;
                }
                self.counts.delayed.fetch_add(1, Ordering::Relaxed);
                let due = Instant::now() + Duration::from_millis(dice.below(weather.delay_ms + 1));
                number += self.legs.len() as u64;
                let (from, to, bytes) = (leg.from, leg.to, bytes.to_vec());
                self.waiting.lock().unwrap().push(Waiting { due, number, from, to, bytes });
                self.arrived.notify_one();
            }
        }
    }

    fn keep(&self, leg: &Leg, bytes: &[u8]) {
        let max = self.capture_max.load(Ordering::SeqCst) as usize;
        if max == 0 {
            return;
        }
        let mut captured = self.captured.lock().unwrap();
        if captured.len() < max {
            captured.push(Captured { from: leg.from, to: leg.to, bytes: bytes.to_vec() });
        }
    }

    fn deliver(&self, from: usize, to: usize, bytes: &[u8]) {
        let back = self.legs.iter().find(|leg| (leg.from, leg.to) == (to, from)).unwrap();
        // A node that is down loses it.
        if back.socket.send_to(bytes, self.nodes[to - 1]).is_ok() {
            self.counts.passed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what waits when it is due.
    fn send(&self) {
        let mut waiting = self.waiting.lock().unwrap();
        while !self.is_over.load(Ordering::SeqCst) {
            let now = Instant::now();
            let due = waiting.peek().map_or(Duration::from_millis(50), |first| first.due - now);
            if !due.is_zero() {
                waiting = self.arrived.wait_timeout(waiting, due).unwrap().0;
                continue;
            }
            let Some(first) = waiting.pop() else { continue };
            drop(waiting);
            self.deliver(first.from, first.to, &first.bytes);
            waiting = self.waiting.lock().unwrap();
        }
    }
}
