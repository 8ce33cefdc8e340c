//! A setup: all that a run starts from, as plain data. Printed as JSON, edited, and read again, it is the same run.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
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
    /// or at this time, in microseconds.
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

/// The links. Times are in microseconds, probabilities in parts per million of datagrams.
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

/// Crashes that are drawn as the run goes: probabilities in parts per million, times in microseconds.
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
