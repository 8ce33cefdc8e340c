//! Effects, counted where they happen: what was injected and changed nothing does not count.

use std::collections::BTreeMap;

macro_rules! effects {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// Something that happened in a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)] // The names in reports say it.
        pub enum Effect { $($variant),* }

        /// The effects in order, by their names in reports.
        pub const EFFECTS: &[(Effect, &str)] = &[$((Effect::$variant, $name)),*];
    };
}

effects! {
    Elections "elections won",
    Delivered "datagrams delivered",
    Messages "messages joined and handled",
    DuplicateDelivered "duplicates delivered to a live node",
    Reordered "datagrams that overtook another",
    EarlierBoot "datagrams from an earlier boot delivered",
    CorruptRefused "corrupted datagrams refused",
    MisaddressedRefused "misaddressed messages refused",
    Violations "other violations reported",
    BurstAfterClog "datagrams delivered late by a clog",
    BurstAfterHold "datagrams delivered late with their kind",
    LateToLeader "datagrams delivered ever later to a leader",
    AnsweredAgain "answers of an earlier term delivered again to who leads or campaigns once more",
    OtherClusters "messages of another cluster or epoch refused",
    DroppedLoss "datagrams lost",
    DroppedNoise "datagrams lost while the healed core was to settle",
    DroppedIsolate "datagrams dropped: isolate one",
    DroppedHalves "datagrams dropped: halves",
    DroppedOneWay "datagrams dropped: one way",
    DroppedBridge "datagrams dropped: bridge",
    DroppedRing "datagrams dropped: ring",
    DroppedLeader "datagrams dropped: leader cut off",
    DroppedKind "datagrams dropped: by message kind",
    DroppedOvertake "datagrams dropped: leader overtaken",
    BytesQueued "bytes that waited for a link to take those before them",
    DroppedQueue "datagrams dropped: full queue of a link",
    DroppedUnheard "datagrams dropped: leader not heard",
    DroppedForEver "datagrams dropped: outside of the core",
    DroppedDown "datagrams to a node that was down",
    Kill "processes killed",
    KillInWrite "processes killed inside a write",
    PowerLoss "power losses",
    PowerLossAfterKill "power losses while the process was down",
    ClusterPowerLoss "power losses of the whole cluster",
    CrashAtAction "crashes between two actions",
    CrashAtDiskOp "crashes between two disk operations",
    CrashHot "crashes in a hot window",
    CrashInTransfer "crashes at a piece of a long transfer",
    CrashInRecovery "crashes during recovery",
    Restarts "restarts",
    SectorsLost "unsynced sectors lost",
    NamesLost "unsynced creations and removals lost",
    TornRead "torn batches that recovery read",
    Rewritten "batches that recovery rewrote",
    Seals "last batches that a host wanted vouched for when idle",
    HardStateCopyRead "damaged hard-state copies that recovery read",
    Pauses "pauses during which something arrived",
    SlowNodes "slow nodes",
    ClockJumps "clock jumps",
    SlowClocks "clocks that went slow under a leader",
    ClocksSetBack "clocks set back under a running node",
    ClocksSetBackFar "of these, by a hundred election timeouts and more",
    SlowSyncs "syncs on disks that are slow all the time",
    DiskTimeByBytes "microseconds that disk operations took for their bytes",
    SyncErrors "failed syncs that stopped a node",
    WriteErrors "failed writes that stopped a node",
    DiskFull "full disks that stopped a node",
    RoomAgain "nodes that run again on a disk that had been full",
    ReadErrors "failed reads that stopped a node",
    ReadErrorsAtStart "starts that a failed read ended",
    NoRoom "snapshots for which a full disk had no room",
    Stalls "disk operations that a stall held up",
    Rot "sectors rotted",
    RotZeros "of these and those below, to zeros",
    FilesGone "files that a disk lost",
    RotUnnoticed "sectors rotted under a running node",
    RotNoticed "rot that recovery noticed",
    AbstentionsEntered "abstentions entered",
    AbstentionsCleared "abstentions cleared",
    SnapshotsAsked "snapshots that a host asked for",
    SnapshotsFrozen "snapshots begun",
    SnapshotsTaken "snapshots taken over by the core",
    SnapshotsRefused "snapshots overtaken before they were written",
    SnapshotsInterrupted "snapshots whose writing a crash ended",
    SnapshotsDamaged "damaged snapshots that recovery met",
    Orphans "snapshot files that recovery removed",
    SegmentsRemoved "segments removed",
    Installs "snapshots installed",
    RestoredAtStart "states restored at a start",
    RestoredRunning "states restored while running",
    EntriesLoaded "entries read back",
    ChunksLoaded "pieces of snapshots read back",
    LoadsLate "reads for a leader that had lost its office and was elected again",
    LoadsGone "reads of what was let go meanwhile",
    LoadsDamaged "reads that met damage",
    RotRead "rot that stopped a running node",
    TransfersOfTen "transfers of ten and more pieces begun",
    TransfersInterrupted "of these, interrupted by a crash",
    TransfersFinished "of these, installed",
    Syncs "syncs",
    Applied "commands applied",
    OpsOk "operations answered",
    OpsFailed "operations without effect",
    OpsUnknown "operations of unknown outcome",
    OpsExpired "answers: session expired",
    OpsRefused "answers: refused",
    OpsLost "answers: lost",
    OpsAnsweredUnknown "answers: unknown",
    OpsTimedOut "attempts without an answer in time",
    OpsRetried "attempts beyond the first",
    OpsWithoutSession "mutations without a session answered",
    SessionsOpened "sessions opened",
    ReadsOnFollowers "reads answered by a node that does not lead",
    ReadsOfOthers "reads that saw another client's write",
    CalmLooks "looks at clusters in the chaos that nothing had struck for long",
    CoreSmallerThanCluster "liveness with a proper subset",
}

/// How often each effect happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; EFFECTS.len()]);

impl Default for Counts {
    fn default() -> Counts {
        Counts([0; EFFECTS.len()])
    }
}

impl Counts {
    /// Counts one.
    pub fn add(&mut self, effect: Effect) {
        self.0[effect as usize] += 1;
    }

    /// Counts many.
    pub fn add_many(&mut self, effect: Effect, count: u64) {
        self.0[effect as usize] += count;
    }

    /// Adds another run's.
    pub fn add_all(&mut self, other: &Counts) {
        for (own, more) in self.0.iter_mut().zip(other.0) {
            *own += more;
        }
    }

    /// How often.
    #[must_use]
    pub fn get(&self, effect: Effect) -> u64 {
        self.0[effect as usize]
    }

    /// All of them by name, those that never happened too.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<&'static str, u64> {
        EFFECTS.iter().map(|(effect, name)| (*name, self.get(*effect))).collect()
    }
}
