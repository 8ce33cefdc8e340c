//! A setup: all that a run starts from, as plain data. Printed as JSON, edited, and read again, it is the same run.

use serde::{Deserialize, Serialize};

use raft_core::ConfigError;

use super::settings::Settings;
use crate::choices::PPM;
use crate::disk::SECTOR;
use crate::schedule::{Fault, FaultKind};

/// The longest span in a setup, in microseconds: about 19 hours. So sums and products of a few of them are numbers.
const SPAN_MAX: u64 = 1 << 36;

/// Everything that a run starts from. As JSON it can be printed, edited and run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Where the decisions during the run come from.
    pub seed: u64,
    /// How the faults were drawn.
    pub mode: Mode,
    /// Members, all voters.
    pub voters: u8,
    /// So many clusters one after the other, each fresh, share the events, the horizon and the faults.
    pub lives: u32,
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

/// The highest rate, in bytes a second.
pub(super) const RATE_MAX: u64 = 1 << 40;

impl Setup {
    /// What one of the lives starts from: its share of the time, and the faults that strike in it.
    pub(crate) fn of_life(&self, life: u32) -> Setup {
        let lives = u64::from(self.lives.max(1));
        let horizon = self.horizon / lives;
        let begin = horizon * u64::from(life);
        let mut own = Setup { lives: 1, events: self.events / lives, horizon, ..self.clone() };
        own.faults.retain(|fault| (begin..begin + horizon).contains(&fault.at));
        for fault in &mut own.faults {
            fault.at -= begin;
        }
        own
    }

    /// Nothing strikes, links only take time, and clocks agree; a message and its answer, what disks do for them and the
    /// next heartbeat take less than an election timeout.
    pub(crate) fn is_faultless(&self) -> bool {
        let Setup { settings, network, disk, crash, clock_ppm, faults, .. } = self;
        let links = NetworkSetup {
            latency: network.latency,
            jitter: network.jitter,
            asymmetry: network.asymmetry,
            spike: network.spike,
            old: network.old,
            ..NetworkSetup::default()
        };
        let crashes = [crash.action_ppm, crash.disk_ppm, crash.recovery_ppm, crash.transfer_ppm];
        let round_trip = 2 * (network.latency + network.jitter) * network.asymmetry.max(1);
        let span = round_trip + 8 * (disk.write_latency + disk.sync_latency) + settings.heartbeat_interval;
        faults.is_empty()
            && *network == links
            && crashes == [0; 4]
            && clock_ppm.iter().all(|ppm| *ppm == 0)
            && (disk.sync_steady, disk.bytes_per_second) == (0, 0)
            && span < settings.election_timeout
    }

    /// Checks that a world can be made of this, whoever wrote it.
    ///
    /// # Errors
    /// The first number that can't be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Setup {
            voters,
            lives,
            events,
            horizon,
            settings,
            network,
            disk,
            crash,
            load,
            clock_ppm,
            faults,
            ..
        } = self;
        let spans = [
            (*horizon, "horizon"),
            (network.latency, "network.latency"),
            (network.jitter, "network.jitter"),
            (network.spike, "network.spike"),
            (network.old, "network.old"),
            (network.noise.spike, "network.noise.spike"),
            (disk.write_latency, "disk.write_latency"),
            (disk.sync_latency, "disk.sync_latency"),
            (disk.sync_steady, "disk.sync_steady"),
            (disk.read_latency, "disk.read_latency"),
            (crash.down, "crash.down"),
            (load.think, "load.think"),
            (load.timeout, "load.timeout"),
            (load.latency, "load.latency"),
            (settings.election_timeout, "settings.election_timeout"),
            (settings.retransmit_after, "settings.retransmit_after"),
            (settings.retransmit_min, "settings.retransmit_min"),
            (settings.read_timeout, "settings.read_timeout"),
            (settings.proposal_timeout, "settings.proposal_timeout"),
            (settings.forward_retry, "settings.forward_retry"),
        ];
        let shares = [
            (network.loss_ppm, "network.loss_ppm"),
            (network.duplicate_ppm, "network.duplicate_ppm"),
            (network.reorder_ppm, "network.reorder_ppm"),
            (network.spike_ppm, "network.spike_ppm"),
            (network.old_ppm, "network.old_ppm"),
            (network.corrupt_ppm, "network.corrupt_ppm"),
            (network.misdirect_ppm, "network.misdirect_ppm"),
            (network.foreign_ppm, "network.foreign_ppm"),
            (network.noise.loss_ppm, "network.noise.loss_ppm"),
            (network.noise.duplicate_ppm, "network.noise.duplicate_ppm"),
            (network.noise.reorder_ppm, "network.noise.reorder_ppm"),
            (network.noise.spike_ppm, "network.noise.spike_ppm"),
            (crash.action_ppm, "crash.action_ppm"),
            (crash.disk_ppm, "crash.disk_ppm"),
            (crash.recovery_ppm, "crash.recovery_ppm"),
            (crash.transfer_ppm, "crash.transfer_ppm"),
            (crash.power_ppm, "crash.power_ppm"),
            (load.burst_ppm, "load.burst_ppm"),
            (load.sessionless_ppm, "load.sessionless_ppm"),
            (load.sticking_ppm, "load.sticking_ppm"),
        ];
        let is_whole = |bytes: u64| bytes.is_multiple_of(SECTOR as u64) && (4_096..=1 << 30).contains(&bytes);
        let weights = load.weights;
        let is_rate = |rate: u64| rate == 0 || (1_000..=RATE_MAX).contains(&rate);
        let rules = [
            ((1..=15).contains(voters), "voters", "must be from 1 to 15"),
            ((1..=1 << 32).contains(events), "events", "must be from 1 to 2^32"),
            ((1..=100_000).contains(lives), "lives", "must be from 1 to 100,000"),
            ((1..=100).contains(&network.asymmetry), "network.asymmetry", "must be from 1 to 100"),
            (
                is_rate(network.bytes_per_second),
                "network.bytes_per_second",
                "must be 0, or from 1,000 to 2^40",
            ),
            (is_rate(disk.bytes_per_second), "disk.bytes_per_second", "must be 0, or from 1,000 to 2^40"),
            (network.queue_bytes <= RATE_MAX, "network.queue_bytes", "must be at most 2^40"),
            (load.clients <= 10_000, "load.clients", "must be at most 10,000"),
            (load.keys <= 1_000_000, "load.keys", "must be at most 1,000,000"),
            (load.timeout > 0, "load.timeout", "must be above zero"),
            (load.padding <= 1 << 20, "load.padding", "must be at most 2^20"),
            (weights.iter().all(|weight| *weight <= 1 << 20), "load.weights", "must be at most 2^20 each"),
            (weights.iter().any(|weight| *weight > 0), "load.weights", "must not all be zero"),
            (clock_ppm.len() == usize::from(*voters), "clock_ppm", "must have one number for each voter"),
            (
                clock_ppm.iter().all(|ppm| ppm.unsigned_abs() < PPM as u32),
                "clock_ppm",
                "must be between -1,000,000 and 1,000,000",
            ),
            (
                is_whole(settings.segment_bytes),
                "settings.segment_bytes",
                "must be whole sectors, 4,096 to 2^30",
            ),
            (faults.len() <= 100_000, "faults", "must be at most 100,000"),
            (faults.iter().all(Fault::is_possible), "faults", "must have spans of at most 2^36 microseconds"),
        ];
        let spans =
            spans.map(|(span, setting)| (span <= SPAN_MAX, setting, "must be at most 2^36 microseconds"));
        let shares =
            shares.map(|(ppm, setting)| (u64::from(ppm) <= PPM, setting, "must be at most 1,000,000"));
        for (holds, setting, rule) in rules.into_iter().chain(spans).chain(shares) {
            if !holds {
                return Err(ConfigError { setting, rule });
            }
        }
        settings.replica().validate()?;
        settings.wire().validate()
    }
}

impl Fault {
    /// Whether its numbers are in their ranges.
    fn is_possible(&self) -> bool {
        let more = match self.what {
            FaultKind::Slow(_, factor) => u64::from(factor) << 20,
            FaultKind::ClockJump(_, by) | FaultKind::ClockBack(_, by) => by,
            FaultKind::StaleLeader(_) | FaultKind::OldAnswers => self.duration.saturating_mul(4),
            FaultKind::Kill(_)
            | FaultKind::PowerLoss(_)
            | FaultKind::KillThenPowerLoss(_)
            | FaultKind::ClusterPowerLoss
            | FaultKind::Pause(_)
            | FaultKind::DiskStall(_)
            | FaultKind::SyncError(_)
            | FaultKind::WriteError(_)
            | FaultKind::DiskFull(_)
            | FaultKind::ReadErrors(..)
            | FaultKind::Rot(..)
            | FaultKind::RotUnnoticed(..)
            | FaultKind::Snapshot(_)
            | FaultKind::Overtake
            | FaultKind::Partition { .. }
            | FaultKind::Hold { .. }
            | FaultKind::Clog { .. } => 0,
        };
        self.at.max(self.duration).max(more) <= SPAN_MAX
    }
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
#[serde(deny_unknown_fields)]
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
    /// How many bytes a link takes in a second; 0: any number. What comes faster waits at the sender,
    pub bytes_per_second: u64,
    /// until so many bytes wait: what comes then is lost.
    pub queue_bytes: u64,
    /// It is followed by one of another cluster whose members have the same numbers.
    pub foreign_ppm: u32,
    /// What the links of the healed core still do, while it must settle.
    pub noise: Noise,
}

/// What a cluster must live with. Probabilities are in parts per million of datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Lost.
    pub loss_ppm: u32,
    /// Delivered twice.
    pub duplicate_ppm: u32,
    /// Delayed, so that others overtake it.
    pub reorder_ppm: u32,
    /// Delayed by up to `spike` microseconds.
    pub spike_ppm: u32,
    /// See `spike_ppm`.
    pub spike: u64,
}

impl NetworkSetup {
    /// What the links of the healed core do.
    #[must_use]
    pub(crate) fn healed(&self) -> NetworkSetup {
        let Noise { loss_ppm, duplicate_ppm, reorder_ppm, spike_ppm, spike } = self.noise;
        let (old_ppm, corrupt_ppm, misdirect_ppm) = (0, 0, 0);
        NetworkSetup {
            loss_ppm,
            duplicate_ppm,
            reorder_ppm,
            spike_ppm,
            spike,
            old_ppm,
            corrupt_ppm,
            misdirect_ppm,
            ..self.clone()
        }
    }

    /// Whether the links do no more than what a cluster must live with, all the time.
    #[must_use]
    pub(crate) fn is_mild(&self, settings: &Settings, padding: u64) -> bool {
        let late = self.loss_ppm + self.spike_ppm + self.corrupt_ppm + self.misdirect_ppm;
        u64::from(late) <= mild_ppm_max(settings, padding)
    }
}

/// How many datagrams may be lost, in parts per million, where a cluster must still live. What must arrive is an append
/// with one entry, or a piece of a snapshot of a kilobyte, the least that either shrinks to: of the datagrams that it goes
/// out in at most one is lost on average, and one message in three arrives whole.
pub(super) fn mild_ppm_max(settings: &Settings, padding: u64) -> u64 {
    let message = (padding + 128).max(1_024) + 256;
    let content = settings.datagram_bytes_max.saturating_sub(63).max(1);
    (PPM / (message / content + 1)).min(100_000)
}

/// The disks. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSetup {
    /// An operation that is no sync takes up to this.
    pub write_latency: u64,
    /// A sync takes this on average,
    pub sync_latency: u64,
    /// and this in every case.
    pub sync_steady: u64,
    /// Reading something back takes this on average, and one time in 64 up to eight election timeouts; 0: as long as a sync.
    pub read_latency: u64,
    /// A write, a creation and a sync take so much longer as their bytes need at this rate; 0: bytes take no time.
    pub bytes_per_second: u64,
}

/// Crashes that are drawn as the run goes: probabilities in parts per million, times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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
    /// So many stay with one node, whatever it answers.
    pub sticking_ppm: u32,
    /// Weights of put, delete, compare-and-set, increment, get.
    pub weights: [u32; 5],
    /// A request or an answer takes up to this.
    pub latency: u64,
    /// Commands are longer than they need be by up to so many bytes.
    pub padding: u64,
}
