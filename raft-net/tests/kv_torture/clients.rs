//! Clients that use the cluster while it is in trouble, and write down what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft_sim::check::ProcessId;
use raft_sim::check::kv::{Action, Answer, KvHistory, Operation, Value};
use serde_json::Value as Json;

use crate::cluster::{Cluster, try_http};
use crate::dice::Dice;

/// Registers that are used at a time, and counters.
const REGISTERS: u64 = 4;
const COUNTERS: u64 = 2;
/// A register is left after so long: operations of unknown outcome make it ever harder to judge.
const GENERATION: Duration = Duration::from_secs(4);
/// What a repeated increment waits before the next try.
const AGAIN: Duration = Duration::from_millis(100);

/// What all clients were told.
#[derive(Default)]
pub(crate) struct Told {
    history: Mutex<KvHistory>,
    processes: AtomicU64,
    /// Of keys that are written once: what was acknowledged.
    ledger: Mutex<BTreeMap<String, String>>,
    registers: Mutex<BTreeSet<String>>,
    /// Acknowledged increments of each counter.
    increments: Mutex<BTreeMap<String, i64>>,
    answered: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    repeated: AtomicU64,
    is_over: AtomicBool,
}

/// What clients ask for when they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Linearizable,
    Stale,
}

/// Clients at work.
pub(crate) struct Clients {
    told: Arc<Told>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(crate) fn start(ports: &[u16], count: u64, seed: u64, reads: Reads) -> Clients {
        let told = Arc::new(Told::default());
        let threads = (0..count).map(|number| {
            let mut client = Client {
                number,
                reads,
                ports: ports.to_vec(),
                dice: Dice::of(seed, 100 + number),
                told: Arc::clone(&told),
                process: told.new_process(),
                writes: 0,
                session: None,
                began: Instant::now(),
            };
            std::thread::spawn(move || client.run())
        });
        Clients { threads: threads.collect(), told }
    }

    /// Lets them finish what they are at.
    pub(crate) fn stop(self) -> Arc<Told> {
        self.told.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.told
    }
}

impl Told {
    fn new_process(&self) -> ProcessId {
        ProcessId(self.processes.fetch_add(1, Ordering::SeqCst))
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    pub(crate) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::SeqCst)
    }

    pub(crate) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::SeqCst)
    }

    pub(crate) fn summary(&self) -> String {
        let (answered, unknown, repeated) = (self.answered(), self.unknown(), self.repeated());
        let refused = self.refused.load(Ordering::SeqCst);
        let written_once = self.ledger.lock().unwrap().len();
        let sums = self.increments.lock().unwrap().clone();
        format!(
            "answered {answered} refused {refused} unknown {unknown}; keys written once {written_once}; \
             increments {sums:?}, repeated {repeated}"
        )
    }

    pub(crate) fn history(&self) -> KvHistory {
        std::mem::take(&mut self.history.lock().unwrap())
    }

    /// Reads every register, by way of one node after the other; part of the history.
    pub(crate) fn read_all_registers(self: &Arc<Told>, ports: &[u16]) {
        let registers = self.registers.lock().unwrap().clone();
        let process = self.new_process();
        for (key, port) in registers.into_iter().zip(ports.iter().cycle()) {
            let operation = Operation::get(key.as_str());
            let id = self.history.lock().unwrap().invoke_next(process, operation.clone()).unwrap();
            match ask(*port, &format!("GET {key}"), &operation.action) {
                Heard::Answer(answer) => self.history.lock().unwrap().ok_next(id, answer).unwrap(),
                Heard::Nothing | Heard::Unknown => panic!("a healed cluster does not answer GET {key}"),
            }
        }
    }

    /// Whether a node has what was acknowledged: each increment once, and of the keys written once one in `step`.
    pub(crate) fn assert_kept(&self, cluster: &Cluster, id: usize, step: usize) {
        let held = |key: &str| {
            let answer = cluster.ask(id, "GET", &format!("/key/{key}?consistency=stale"), "");
            (answer.status == 200).then(|| answer.json()[key].as_str().unwrap().to_owned())
        };
        for (key, value) in self.ledger.lock().unwrap().iter().step_by(step) {
            assert_eq!(held(key).as_ref(), Some(value), "node {id} lost {key}");
        }
        for (key, sum) in self.increments.lock().unwrap().iter() {
            assert_eq!(held(key), Some(sum.to_string()), "node {id}: each increment of {key} counts once");
        }
    }
}

struct Client {
    number: u64,
    reads: Reads,
    ports: Vec<u16>,
    dice: Dice,
    told: Arc<Told>,
    process: ProcessId,
    writes: u64,
    /// A session, and the number of its next command.
    session: Option<(u64, u64)>,
    began: Instant,
}

/// What one request came to.
enum Heard {
    Answer(Answer),
    /// It had no effect.
    Nothing,
    Unknown,
}

impl Client {
    fn run(&mut self) {
        while !self.told.is_over.load(Ordering::SeqCst) {
            match self.dice.below(100) {
                0..35 => self.put(),
                35..65 => self.get(),
                65..80 => self.compare_and_set(),
                80..90 => self.write_once(),
                _ => self.increment(),
            }
        }
    }

    fn register(&mut self) -> String {
        let generation = self.began.elapsed().as_millis() / GENERATION.as_millis();
        let key = format!("r{}.{generation}", self.dice.below(REGISTERS));
        self.told.registers.lock().unwrap().insert(key.clone());
        key
    }

    /// A value that no other operation writes.
    fn value(&mut self) -> String {
        self.writes += 1;
        format!("c{}.{}", self.number, self.writes)
    }

    fn port(&mut self) -> u16 {
        *self.dice.pick(&self.ports)
    }

    fn put(&mut self) {
        let (key, value) = (self.register(), self.value());
        self.perform(&format!("SET {key} {value}"), Operation::put(key.as_str(), value.as_str()));
    }

    fn get(&mut self) {
        let key = self.register();
        if self.reads == Reads::Stale {
            self.get_stale(&key);
            return;
        }
        self.perform(&format!("GET {key}"), Operation::get(key.as_str()));
    }

    /// Reads what some node has, and writes it down as if it had been linearizable.
    fn get_stale(&mut self, key: &str) {
        let path = format!("/key/{key}?consistency=stale");
        let id = self.told.history.lock().unwrap().invoke_next(self.process, Operation::get(key)).unwrap();
        let answer = try_http(self.port(), "GET", &path, &[], "");
        let mut history = self.told.history.lock().unwrap();
        match answer {
            Ok(answer) if answer.status == 200 => {
                history.ok_next(id, Answer::got(answer.json()[key].as_str())).unwrap();
            }
            Ok(answer) if answer.status == 404 => history.ok_next(id, Answer::got(None)).unwrap(),
            Ok(_) | Err(_) => history.fail(id).unwrap(),
        }
    }

    /// Reads, and replaces what was read.
    fn compare_and_set(&mut self) {
        let (key, new) = (self.register(), self.value());
        let read = self.perform(&format!("GET {key}"), Operation::get(key.as_str()));
        let Some(Answer::Got { value: expected, .. }) = read else { return };
        let text = format!("CAS {key} {} {new}", expected.as_deref().unwrap_or("nil"));
        self.perform(&text, Operation::compare_and_set(key.as_str(), expected, new.as_str()));
    }

    fn write_once(&mut self) {
        let value = self.value();
        let key = format!("once.{value}");
        let done = self.perform(&format!("SET {key} {value}"), Operation::put(key.as_str(), value.as_str()));
        if done.is_some() {
            self.told.ledger.lock().unwrap().insert(key, value);
        }
    }

    /// Adds one, in a session: repeated until it is known to have happened, at whatever node.
    fn increment(&mut self) {
        let Some((session, sequence)) = self.session.or_else(|| self.open_session().map(|id| (id, 1))) else {
            return;
        };
        let key = format!("total.{}", self.dice.below(COUNTERS));
        let operation = Operation::increment(key.as_str(), 1);
        let id = self.told.history.lock().unwrap().invoke_next(self.process, operation.clone()).unwrap();
        let text = format!("{session}.{sequence} INCR {key}");
        for attempt in 0.. {
            assert!(attempt < 3_000, "never answered: {text}");
            let port = self.port();
            match ask(port, &text, &operation.action) {
                Heard::Answer(answer) => {
                    self.told.history.lock().unwrap().ok_next(id, answer).unwrap();
                    break;
                }
                Heard::Nothing | Heard::Unknown => {
                    self.told.repeated.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(AGAIN);
                }
            }
        }
        self.session = Some((session, sequence + 1));
        *self.told.increments.lock().unwrap().entry(key).or_default() += 1;
        self.told.answered.fetch_add(1, Ordering::SeqCst);
    }

    fn open_session(&mut self) -> Option<u64> {
        let answer = try_http(self.port(), "POST", "/session", &[], "").ok()?;
        (answer.status == 200).then(|| answer.json()["session"].as_u64())?
    }

    /// One operation, once. Its answer, if there was one.
    fn perform(&mut self, text: &str, operation: Operation) -> Option<Answer> {
        let action = operation.action.clone();
        let id = self.told.history.lock().unwrap().invoke_next(self.process, operation).unwrap();
        let port = self.port();
        let told = ask(port, text, &action);
        let mut history = self.told.history.lock().unwrap();
        match told {
            Heard::Answer(answer) => {
                history.ok_next(id, answer.clone()).unwrap();
                self.told.answered.fetch_add(1, Ordering::SeqCst);
                Some(answer)
            }
            Heard::Nothing => {
                history.fail(id).unwrap();
                self.told.refused.fetch_add(1, Ordering::SeqCst);
                drop(history);
                // Most likely the node is down, or nobody leads.
                std::thread::sleep(Duration::from_millis(self.dice.between(5, 50)));
                None
            }
            Heard::Unknown => {
                history.unknown(id).unwrap();
                self.told.unknown.fetch_add(1, Ordering::SeqCst);
                self.process = self.told.new_process();
                None
            }
        }
    }
}

/// One request, and what it means.
fn ask(port: u16, text: &str, action: &Action) -> Heard {
    let answer = match try_http(port, "POST", "/command", &[], text) {
        Ok(answer) => answer,
        // Nobody was there to hear it.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Heard::Nothing,
        Err(_) if *action == Action::Get => return Heard::Nothing,
        Err(_) => return Heard::Unknown,
    };
    let Ok(json) = serde_json::from_str::<Json>(&answer.body) else { return Heard::Unknown };
    let version = json["version"].as_u64();
    let value = json["value"].as_str().map(Value::from);
    match (answer.status, action) {
        (200, Action::Get) => Heard::Answer(Answer::Got { value, version }),
        (404, Action::Get) => Heard::Answer(Answer::Got { value: None, version: None }),
        (200, Action::Put(_) | Action::CompareAndSet { .. }) => Heard::Answer(Answer::Done { version }),
        (409, Action::CompareAndSet { .. }) => Heard::Answer(Answer::Mismatch { saw: value, version }),
        (200, Action::Increment(_)) => {
            let sum = value.and_then(|value| value.parse().ok()).unwrap();
            Heard::Answer(Answer::Sum { value: sum, version })
        }
        (503, _) => Heard::Nothing,
        (504, _) => Heard::Unknown,
        (status, _) => panic!("{text}: {status} {}", answer.body),
    }
}
