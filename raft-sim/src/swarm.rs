//! What a seed means: the size of the cluster, every setting from its minimum up, the load, and the faults.
//!
//! Each kind of fault is off half of the time, else its intensity is log-uniform: a run in which everything goes wrong
//! all the time finds less than many runs in which some things go wrong. One run in eight has everything on, one in
//! sixteen nothing but latency, against false alarms.

mod faults;

use raft_core::journal::JournalConfig;
use raft_core::replica::ReplicaConfig;
use raft_core::wire::{DATAGRAM_BYTES_MIN, WireConfig};
use raft_core::{Config, Span};
use serde::{Deserialize, Serialize};

use crate::choices::{Choices, Stream};
use crate::schedule::Fault;

/// Everything that a run starts from. As JSON it can be printed, edited and run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Where the decisions during the run come from.
    pub seed: u64,
    /// How the faults were drawn.
    pub mode: Mode,
    /// Members, all voters.
    pub voters: u8,
    /// The chaos ends after so many events,
    pub events: u64,
    /// or at this time.
    pub horizon: u64,
    /// Bounds and times of every node.
    pub settings: Settings,
    /// The links.
    pub network: NetworkSetup,
    /// The disks.
    pub disk: DiskSetup,
    /// Crashes that are drawn as the run goes.
    pub crash: CrashSetup,
    /// The clients.
    pub load: LoadSetup,
    /// By node, how fast its clock runs beyond a true one, in parts per million.
    pub clock_ppm: Vec<i32>,
    /// The faults, in order of time.
    pub faults: Vec<Fault>,
}

/// How the faults of a run are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each kind is off half of the time.
    Swarm,
    /// Every kind is on.
    Everything,
    /// Nothing but latency: whatever fails here is a false alarm or a plain bug.
    Control,
}

/// The settings of a node, as plain numbers. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are those of the settings of raft-core.
pub struct Settings {
    pub election_timeout: u64,
    pub heartbeat_interval: u64,
    pub retransmit_after: u64,
    pub append_bytes_max: u64,
    pub window_bytes_max: u64,
    pub window_appends_max: u64,
    pub uncommitted_bytes_max: u64,
    pub command_bytes_max: u64,
    pub unsynced_bytes_max: u64,
    pub apply_bytes_max: u64,
    pub shelf_bytes_max: u64,
    pub reads_max: u64,
    pub read_timeout: u64,
    pub proposal_timeout: u64,
    pub proposals_max: u64,
    pub sessions_max: u64,
    pub session_bytes_max: u64,
    pub tickets_max: u64,
    pub forwarding: bool,
    pub forward_retry: u64,
    pub segment_bytes: u64,
    pub batch_bytes_max: u64,
    pub retransmit_min: u64,
    pub cache_bytes_max: u64,
    pub chunk_bytes_max: u64,
    pub chunks_in_flight_max: u64,
    pub trailing_entries: u64,
    pub pinned_bytes_max: u64,
    pub snapshot_after_bytes: u64,
    pub snapshot_after_terms: u64,
    pub recovered_bytes_max: u64,
    pub datagram_bytes_max: u64,
    pub message_bytes_max: u64,
    pub joining_bytes_max: u64,
}

/// The links. Probabilities are in parts per million of datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkSetup {
    /// The shortest way from one node to another.
    pub latency: u64,
    /// Added at random, up to this.
    pub jitter: u64,
    /// Each link multiplies both by up to this.
    pub asymmetry: u64,
    /// Lost.
    pub loss_ppm: u32,
    /// Delivered twice.
    pub duplicate_ppm: u32,
    /// Delayed, so that others overtake it.
    pub reorder_ppm: u32,
    /// Delayed by up to `spike`.
    pub spike_ppm: u32,
    /// See `spike_ppm`.
    pub spike: u64,
    /// Delivered, and once more up to `old` later, perhaps to or from another boot.
    pub old_ppm: u32,
    /// See `old_ppm`.
    pub old: u64,
    /// A bit flips.
    pub corrupt_ppm: u32,
    /// It reaches another node.
    pub misdirect_ppm: u32,
}

/// The disks. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiskSetup {
    /// An operation that is no sync takes up to this.
    pub write_latency: u64,
    /// A sync takes this on average.
    pub sync_latency: u64,
}

/// Crashes that are drawn as the run goes, in parts per million.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CrashSetup {
    /// Before an action is performed.
    pub action_ppm: u32,
    /// Before or inside a disk operation.
    pub disk_ppm: u32,
    /// Before or inside a disk operation of a recovery.
    pub recovery_ppm: u32,
    /// When a piece of a transfer of ten and more comes: one end of the transfer.
    pub transfer_ppm: u32,
    /// In a hot window (a write is under way, an election is going on) so many times as likely.
    pub hot: u32,
    /// Of these crashes, so many are power losses.
    pub power_ppm: u32,
    /// The node stays down for this on average.
    pub down: u64,
}

/// The clients. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSetup {
    /// How many.
    pub clients: u32,
    /// Keys; few, so that they are hot.
    pub keys: u32,
    /// Between an answer and the next operation, on average.
    pub think: u64,
    /// An answer is followed by so many operations at once, in parts per million of answers,
    pub burst_ppm: u32,
    /// up to this many.
    pub burst: u32,
    /// A client waits so long for an answer.
    pub timeout: u64,
    /// Then it tries again elsewhere, until it has tried so often.
    pub attempts: u32,
    /// Of the clients, so many have no session.
    pub sessionless_ppm: u32,
    /// Weights of put, delete, compare-and-set, increment, get.
    pub weights: [u32; 5],
    /// A request or an answer takes up to this.
    pub latency: u64,
    /// Commands are longer than they need be by up to so many bytes.
    pub padding: u64,
}

/// What a seed means.
#[must_use]
pub fn draw(seed: u64, choices: &mut Choices) -> Setup {
    let mut d = Draw { stream: choices.stream("swarm", 0, 0), choices };
    let mode = match d.below(16) {
        1 => Mode::Control,
        2 | 3 => Mode::Everything,
        _ => Mode::Swarm,
    };
    let voters = [3, 3, 3, 5, 5, 5, 1, 2, 4, 6, 7, 3][d.below(12) as usize];
    let events = if d.one_in(24) { d.between(80_000, 250_000) } else { d.between(18_000, 36_000) };
    let settings = draw_settings(&mut d);
    let timeout = settings.election_timeout;
    let mut setup = Setup {
        seed,
        mode,
        voters,
        events,
        horizon: timeout * d.between(300, 900),
        network: draw_network(&mut d, mode, timeout),
        disk: DiskSetup { write_latency: d.between(1, 50), sync_latency: d.log(10, timeout / 40) },
        crash: draw_crashes(&mut d, mode, timeout),
        load: draw_load(&mut d, timeout),
        clock_ppm: draw_clocks(&mut d, mode, voters),
        settings,
        faults: Vec::new(),
    };
    draw_transfers(&mut setup, choices);
    setup.faults = faults::draw(&setup, choices);
    setup
}

/// A stream and where its decisions come from.
struct Draw<'a> {
    choices: &'a mut Choices,
    stream: Stream,
}

impl Draw<'_> {
    fn below(&mut self, count: u64) -> u64 {
        self.choices.below(self.stream, count)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.choices.between(self.stream, low, high)
    }

    fn log(&mut self, low: u64, high: u64) -> u64 {
        self.choices.log_uniform(self.stream, low, high.max(low))
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == count - 1
    }

    /// A probability that is zero half of the time, else log-uniform up to a most.
    fn intensity(&mut self, mode: Mode, ppm_max: u32) -> u32 {
        let on = self.below(2) == 1;
        let ppm = self.log(100, u64::from(ppm_max)) as u32;
        match mode {
            Mode::Control => 0,
            Mode::Everything => ppm,
            Mode::Swarm => {
                if on {
                    ppm
                } else {
                    0
                }
            }
        }
    }
}

fn draw_settings(d: &mut Draw<'_>) -> Settings {
    let timeout = d.log(30_000, 1_000_000);
    let heartbeat = timeout / d.between(3, 12);
    let command_bytes_max = d.log(160, 1 << 20);
    let append_bytes_max = d.log(1, 64 << 10);
    // Room for the largest append and the largest piece of a snapshot.
    let message_bytes_max = append_bytes_max + command_bytes_max + (64 << 10) + d.log(1 << 10, 1 << 16);
    let memory = Memory::draw(d.choices, timeout);
    Settings {
        election_timeout: timeout,
        heartbeat_interval: heartbeat,
        retransmit_after: d.between(timeout / 8, timeout),
        append_bytes_max,
        window_bytes_max: d.log(1, 1 << 20),
        window_appends_max: d.log(1, 64),
        uncommitted_bytes_max: d.log(64, 1 << 20),
        command_bytes_max,
        unsynced_bytes_max: d.log(64, 1 << 20),
        apply_bytes_max: d.log(1, 1 << 20),
        shelf_bytes_max: if d.below(3) == 0 { 0 } else { d.log(64, 256 << 10) },
        reads_max: d.log(1, 1 << 10),
        read_timeout: timeout * d.between(1, 10),
        proposal_timeout: timeout * d.between(1, 20),
        proposals_max: d.log(1, 1 << 10),
        sessions_max: d.log(2, 64),
        session_bytes_max: d.log(64, 1 << 16),
        tickets_max: d.log(2, 1 << 10),
        forwarding: d.below(4) != 0,
        forward_retry: d.between(timeout / 8, timeout * 2),
        segment_bytes: 512 * d.log(8, 512),
        batch_bytes_max: d.log(1, 64 << 10),
        retransmit_min: memory.retransmit_min,
        cache_bytes_max: memory.cache_bytes_max,
        chunk_bytes_max: memory.chunk_bytes_max,
        chunks_in_flight_max: memory.chunks_in_flight_max,
        trailing_entries: memory.trailing_entries,
        pinned_bytes_max: memory.pinned_bytes_max,
        snapshot_after_bytes: memory.snapshot_after_bytes,
        snapshot_after_terms: memory.snapshot_after_terms,
        recovered_bytes_max: memory.recovered_bytes_max,
        datagram_bytes_max: d.log(DATAGRAM_BYTES_MIN as u64, 1_400),
        message_bytes_max,
        joining_bytes_max: message_bytes_max * d.between(2, 8),
    }
}

/// Settings of snapshots, memory and repair. Drawn from a stream of their own, so that they changed no older draw.
struct Memory {
    retransmit_min: u64,
    cache_bytes_max: u64,
    chunk_bytes_max: u64,
    chunks_in_flight_max: u64,
    trailing_entries: u64,
    pinned_bytes_max: u64,
    snapshot_after_bytes: u64,
    snapshot_after_terms: u64,
    recovered_bytes_max: u64,
}

impl Memory {
    fn draw(choices: &mut Choices, timeout: u64) -> Memory {
        let mut d = Draw { stream: choices.stream("memory", 0, 0), choices };
        // One run in six takes no snapshots.
        let takes_none = d.below(6) == 0;
        // Small pieces more often: a transfer of many is what is interrupted.
        let chunk_bytes_max = if d.below(2) == 0 { 1 << 10 } else { 64 << 10 };
        Memory {
            retransmit_min: d.log(100, timeout / 4),
            cache_bytes_max: if d.below(4) == 0 { 0 } else { d.log(64, 1 << 20) },
            chunk_bytes_max: d.log(64, chunk_bytes_max),
            chunks_in_flight_max: d.log(1, 16),
            trailing_entries: if d.below(2) == 0 { 0 } else { d.log(1, 2_000) },
            pinned_bytes_max: d.log(1, 1 << 20),
            snapshot_after_bytes: if takes_none { u64::MAX } else { d.log(200, 64 << 10) },
            snapshot_after_terms: if takes_none { u64::MAX } else { d.log(2, 1 << 10) },
            recovered_bytes_max: if d.below(4) == 0 { 0 } else { d.log(64, 1 << 20) },
        }
    }
}

fn draw_network(d: &mut Draw<'_>, mode: Mode, timeout: u64) -> NetworkSetup {
    let latency = d.log(30, timeout / 60);
    NetworkSetup {
        latency,
        jitter: if d.below(4) == 0 { 0 } else { d.log(1, latency * 2) },
        asymmetry: d.between(1, 3),
        loss_ppm: d.intensity(mode, 250_000),
        duplicate_ppm: d.intensity(mode, 200_000),
        reorder_ppm: d.intensity(mode, 250_000),
        spike_ppm: d.intensity(mode, 20_000),
        spike: d.log(timeout / 10, timeout * 3),
        old_ppm: d.intensity(mode, 20_000),
        old: d.log(timeout / 2, timeout * 40),
        corrupt_ppm: d.intensity(mode, 20_000),
        misdirect_ppm: d.intensity(mode, 10_000),
    }
}

fn draw_crashes(d: &mut Draw<'_>, mode: Mode, timeout: u64) -> CrashSetup {
    CrashSetup {
        action_ppm: d.intensity(mode, 600),
        disk_ppm: d.intensity(mode, 1_500),
        recovery_ppm: d.intensity(mode, 60_000),
        transfer_ppm: 0,
        hot: d.between(1, 10) as u32,
        power_ppm: d.between(0, 1_000_000) as u32,
        down: d.log(timeout / 20, timeout * 3),
    }
}

fn draw_load(d: &mut Draw<'_>, timeout: u64) -> LoadSetup {
    let mut weights = [0; 5];
    for weight in &mut weights {
        *weight = if d.below(4) == 0 { 0 } else { d.between(1, 100) as u32 };
    }
    // Something is written and something is read, or the history proves nothing.
    weights[0] += 5;
    weights[4] += 10;
    LoadSetup {
        clients: d.between(2, 12) as u32,
        keys: d.between(1, 6) as u32,
        think: d.log(timeout / 100, timeout / 2),
        burst_ppm: d.log(1_000, 200_000) as u32,
        burst: d.between(2, 30) as u32,
        timeout: timeout * d.between(1, 8),
        attempts: d.between(1, 6) as u32,
        sessionless_ppm: d.between(100_000, 600_000) as u32,
        weights,
        latency: d.log(10, timeout / 40),
        padding: if d.below(3) == 0 { 0 } else { d.log(16, 2_048) },
    }
}

/// In one run of four snapshots are large and go in many small pieces; and transfers are interrupted. Drawn from a
/// stream of its own, so that it changes no older draw.
fn draw_transfers(setup: &mut Setup, choices: &mut Choices) {
    let mut d = Draw { stream: choices.stream("transfers", 0, 0), choices };
    setup.crash.transfer_ppm = d.intensity(setup.mode, 100_000);
    let (padding, piece) = (d.between(512, 2_048), d.between(16, 64));
    if d.one_in(4) {
        let settings = &mut setup.settings;
        setup.load.padding = padding;
        settings.chunk_bytes_max = piece;
        // Several such commands are under way at a time, and a snapshot covers several: else clients that repeat what was
        // not answered in time ask for more than a cluster can do, for ever.
        for bound in [
            &mut settings.window_bytes_max,
            &mut settings.unsynced_bytes_max,
            &mut settings.batch_bytes_max,
            &mut settings.snapshot_after_bytes,
        ] {
            *bound = (*bound).max(8 * padding);
        }
        // Such a command fits in everything that a command must fit in.
        let more = 4_096u64.saturating_sub(settings.command_bytes_max);
        settings.command_bytes_max += more;
        settings.message_bytes_max += more;
        settings.joining_bytes_max += 8 * more;
    }
}

fn draw_clocks(d: &mut Draw<'_>, mode: Mode, voters: u8) -> Vec<i32> {
    let most = if mode == Mode::Control || d.below(2) == 0 { 0 } else { d.log(10, 100_000) };
    (0..voters).map(|_| d.between(0, 2 * most) as i32 - most as i32).collect()
}

impl Settings {
    /// The settings of the core and the replica.
    #[must_use]
    pub fn replica(&self) -> ReplicaConfig {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let raft = Config {
            election_timeout: Span(self.election_timeout),
            heartbeat_interval: Span(self.heartbeat_interval),
            retransmit_after: Span(self.retransmit_after),
            retransmit_min: Span(self.retransmit_min),
            cache_bytes_max: self.cache_bytes_max,
            chunk_bytes_max: self.chunk_bytes_max,
            chunks_in_flight_max: count(self.chunks_in_flight_max),
            trailing_entries: self.trailing_entries,
            pinned_bytes_max: self.pinned_bytes_max,
            append_bytes_max: self.append_bytes_max,
            window_bytes_max: self.window_bytes_max,
            window_appends_max: count(self.window_appends_max),
            uncommitted_bytes_max: self.uncommitted_bytes_max,
            command_bytes_max: self.command_bytes_max,
            unsynced_bytes_max: self.unsynced_bytes_max,
            apply_bytes_max: self.apply_bytes_max,
            shelf_bytes_max: self.shelf_bytes_max,
            reads_max: count(self.reads_max),
            read_timeout: Span(self.read_timeout),
            proposal_timeout: Span(self.proposal_timeout),
            proposals_max: count(self.proposals_max),
        };
        ReplicaConfig {
            raft,
            sessions_max: count(self.sessions_max),
            session_bytes_max: self.session_bytes_max,
            tickets_max: count(self.tickets_max),
            forwarding: self.forwarding,
            forward_retry: Span(self.forward_retry),
            snapshot_after_bytes: self.snapshot_after_bytes,
            snapshot_after_terms: count(self.snapshot_after_terms),
        }
    }

    /// The settings of the journal.
    #[must_use]
    pub fn journal(&self) -> JournalConfig {
        JournalConfig {
            segment_bytes: self.segment_bytes,
            batch_bytes_max: self.batch_bytes_max,
            recovered_bytes_max: self.recovered_bytes_max,
        }
    }

    /// The settings of the codec.
    #[must_use]
    pub fn wire(&self) -> WireConfig {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        WireConfig {
            datagram_bytes_max: count(self.datagram_bytes_max),
            message_bytes_max: count(self.message_bytes_max),
            joining_bytes_max: count(self.joining_bytes_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_settings_that_work_and_survive_json() {
        for seed in 0..300 {
            let setup = draw(seed, &mut Choices::seeded(seed));
            setup.settings.replica().validate().expect("the settings of a seed are valid");
            let json = serde_json::to_string(&setup).unwrap();
            assert_eq!(serde_json::from_str::<Setup>(&json).unwrap(), setup);
            assert!(setup.faults.is_sorted_by_key(|fault| fault.at));
            if setup.mode == Mode::Control {
                assert!(setup.faults.is_empty() && setup.network.loss_ppm == 0);
            }
        }
    }
}
