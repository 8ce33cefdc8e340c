//! How many seeds reach what a hunt is for: of those in which it was drawn or possible at all, the share that was measured.
//! A hunt must reach half of that.
//!
//! A new effect or mark does not compile without its line here. Measured over 400 seeds. `run` prints beside each how
//! many of the possible seeds reached it.

use raft_sim::counts::Effect;
use raft_sim::marks::{Ingredient, Mark};
use raft_sim::schedule::{Deception, FaultKind, Shape};
use raft_sim::swarm::Setup;

/// Seeds in which something was possible, and those that reached it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) possible: u64,
    pub(crate) reached: u64,
}

/// With so many expected seeds, chance leaves a half of them out once in three millions (Chernoff: `exp(-expected / 8)`).
const EXPECTED_FOR_HALF: u64 = 120;
/// With so many, it leaves all of them out once in five hundred millions (`exp(-expected)`).
const EXPECTED_FOR_ONE: u64 = 20;

impl Share {
    /// A seed in which it was possible.
    pub(crate) fn add(&mut self, is_reached: bool) {
        self.possible += 1;
        self.reached += u64::from(is_reached);
    }

    /// How many seeds must reach it, where so many of a thousand were measured: none while chance may decide.
    pub(crate) fn floor(self, per_mille: u64) -> u64 {
        let expected = self.possible * per_mille / 1_000;
        match expected {
            EXPECTED_FOR_HALF.. => expected / 2,
            EXPECTED_FOR_ONE.. => 1,
            _ => 0,
        }
    }
}

/// Whether a seed may reach something.
type Needs = fn(&Setup) -> bool;

fn always(_: &Setup) -> bool {
    true
}

fn has_peers(setup: &Setup) -> bool {
    setup.voters > 1
}

fn is_planned(setup: &Setup, is: impl Fn(&FaultKind) -> bool) -> bool {
    setup.faults.iter().any(|fault| is(&fault.what))
}

/// Processes end, for whatever reason.
fn crashes(setup: &Setup) -> bool {
    let crash = &setup.crash;
    let is_crash = |what: &FaultKind| {
        matches!(
            what,
            FaultKind::Kill(_)
                | FaultKind::PowerLoss(_)
                | FaultKind::KillThenPowerLoss(_)
                | FaultKind::ClusterPowerLoss
                | FaultKind::SyncError(_)
                | FaultKind::WriteError(_)
                | FaultKind::Rot(..)
        )
    };
    crash.action_ppm > 0 || crash.disk_ppm > 0 || is_planned(setup, is_crash)
}

fn snapshots(setup: &Setup) -> bool {
    let is_asked = |what: &FaultKind| matches!(what, FaultKind::Snapshot(_));
    setup.settings.snapshot_after_bytes < u64::MAX || is_planned(setup, is_asked)
}

/// When an effect is possible, and in how many of 1,000 such seeds it was measured.
pub(crate) fn of_effect(effect: Effect) -> (Needs, u64) {
    match effect {
        Effect::Elections => (always, 1000),
        Effect::Delivered => (has_peers, 1_000),
        Effect::Messages => (has_peers, 1_000),
        Effect::DuplicateDelivered => {
            (|setup| has_peers(setup) && (setup.network.duplicate_ppm > 0 || setup.network.old_ppm > 0), 981)
        }
        Effect::Reordered => (has_peers, 973),
        Effect::EarlierBoot => (crashes, 890),
        Effect::CorruptRefused => (|setup| has_peers(setup) && setup.network.corrupt_ppm > 0, 925),
        Effect::MisaddressedRefused => (|setup| has_peers(setup) && setup.network.misdirect_ppm > 0, 934),
        Effect::Violations => (crashes, 472),
        Effect::BurstAfterClog => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::Clog { .. })), 721)
        }
        Effect::BurstAfterHold => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::Hold { .. })), 583)
        }
        Effect::LateToLeader => (
            |setup| is_planned(setup, |what| matches!(what, FaultKind::StaleLeader(Deception::LateAnswers))),
            631,
        ),
        Effect::AnsweredAgain => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::OldAnswers)), 544)
        }
        Effect::OtherClusters => (|setup| has_peers(setup) && setup.network.foreign_ppm > 0, 910),
        Effect::DroppedLoss => (|setup| has_peers(setup) && setup.network.loss_ppm > 0, 963),
        Effect::DroppedNoise => (|setup| has_peers(setup) && setup.network.noise.loss_ppm > 0, 988),
        Effect::DroppedIsolate => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Partition { shape: Shape::Isolate, .. }))
            },
            778,
        ),
        Effect::DroppedHalves => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Partition { shape: Shape::Halves, .. }))
            },
            775,
        ),
        Effect::DroppedOneWay => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Partition { shape: Shape::OneWay, .. }))
            },
            771,
        ),
        Effect::DroppedBridge => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Partition { shape: Shape::Bridge, .. }))
            },
            670,
        ),
        Effect::DroppedRing => (
            |setup| is_planned(setup, |what| matches!(what, FaultKind::Partition { shape: Shape::Ring, .. })),
            635,
        ),
        Effect::DroppedLeader => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Partition { shape: Shape::Leader, .. }))
            },
            907,
        ),
        Effect::DroppedKind => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Partition { shape: Shape::Kinds, .. }))
            },
            647,
        ),
        Effect::DroppedOvertake => (
            |setup| is_planned(setup, |what| matches!(what, FaultKind::Overtake | FaultKind::OldAnswers)),
            585,
        ),
        Effect::BytesQueued => (|setup| has_peers(setup) && setup.network.bytes_per_second > 0, 962),
        Effect::DroppedQueue => (|setup| has_peers(setup) && setup.network.bytes_per_second > 0, 74),
        Effect::DroppedUnheard => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::StaleLeader(_))), 554)
        }
        Effect::DroppedForEver => (|setup| setup.voters >= 3, 678),
        Effect::DroppedDown => (crashes, 921),
        Effect::Kill => (crashes, 960),
        Effect::KillInWrite => (crashes, 394),
        Effect::PowerLoss => (crashes, 942),
        Effect::PowerLossAfterKill => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::KillThenPowerLoss(_))), 922)
        }
        Effect::ClusterPowerLoss => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::ClusterPowerLoss)), 781)
        }
        Effect::CrashAtAction => (|setup| setup.crash.action_ppm > 0, 969),
        Effect::CrashAtDiskOp => (|setup| setup.crash.disk_ppm > 0, 925),
        Effect::CrashHot => (|setup| setup.crash.action_ppm > 0, 849),
        Effect::CrashInTransfer => (|setup| has_peers(setup) && setup.crash.transfer_ppm > 0, 68),
        Effect::CrashInRecovery => (|setup| setup.crash.recovery_ppm > 0, 844),
        Effect::Restarts => (crashes, 981),
        Effect::SectorsLost => (crashes, 678),
        Effect::NamesLost => (crashes, 527),
        Effect::TornRead => (crashes, 206),
        Effect::Rewritten => (crashes, 971),
        Effect::HardStateCopyRead => (crashes, 177),
        Effect::Pauses => (
            |setup| {
                is_planned(setup, |what| {
                    matches!(what, FaultKind::Pause(_) | FaultKind::StaleLeader(Deception::Pause))
                })
            },
            795,
        ),
        Effect::SlowNodes => (|setup| is_planned(setup, |what| matches!(what, FaultKind::Slow(..))), 956),
        Effect::ClockJumps => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::ClockJump(..))), 910)
        }
        Effect::SlowClocks => (
            |setup| is_planned(setup, |what| matches!(what, FaultKind::StaleLeader(Deception::SlowClock(_)))),
            650,
        ),
        Effect::ClocksSetBack => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::ClockBack(..))), 902)
        }
        Effect::ClocksSetBackFar => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::ClockBack(..))), 555)
        }
        Effect::SlowSyncs => (|setup| setup.disk.sync_steady > 0, 1000),
        Effect::DiskTimeByBytes => (|setup| setup.disk.bytes_per_second > 0, 1000),
        Effect::SyncErrors => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::SyncError(_))), 877)
        }
        Effect::WriteErrors => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::WriteError(_))), 792)
        }
        Effect::DiskFull => (|setup| is_planned(setup, |what| matches!(what, FaultKind::DiskFull(_))), 348),
        Effect::RoomAgain => (|setup| is_planned(setup, |what| matches!(what, FaultKind::DiskFull(_))), 343),
        Effect::ReadErrors => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::ReadErrors(..))), 153)
        }
        Effect::ReadErrorsAtStart => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::ReadErrors(..))), 176)
        }
        Effect::NoRoom => (|setup| is_planned(setup, |what| matches!(what, FaultKind::DiskFull(_))), 24),
        Effect::Stalls => (|setup| is_planned(setup, |what| matches!(what, FaultKind::DiskStall(_))), 816),
        Effect::Rot => (|setup| is_planned(setup, |what| matches!(what, FaultKind::Rot(..))), 822),
        Effect::RotZeros => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..)))
            },
            388,
        ),
        Effect::FilesGone => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..)))
            },
            129,
        ),
        Effect::RotUnnoticed => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::RotUnnoticed(..))), 813)
        }
        Effect::RotNoticed => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..)))
            },
            784,
        ),
        Effect::AbstentionsEntered => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..)))
            },
            760,
        ),
        Effect::AbstentionsCleared => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..)))
            },
            749,
        ),
        Effect::SnapshotsAsked => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::Snapshot(_))), 936)
        }
        Effect::SnapshotsFrozen => (snapshots, 959),
        Effect::SnapshotsTaken => (snapshots, 959),
        Effect::SnapshotsRefused => (snapshots, 101),
        Effect::SnapshotsInterrupted => (snapshots, 446),
        Effect::SnapshotsDamaged => (
            |setup| {
                is_planned(setup, |what| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..)))
            },
            529,
        ),
        Effect::Orphans => (snapshots, 676),
        Effect::SegmentsRemoved => (snapshots, 745),
        Effect::Installs => (|setup| has_peers(setup) && snapshots(setup), 643),
        Effect::RestoredAtStart => (snapshots, 890),
        Effect::RestoredRunning => (|setup| has_peers(setup) && snapshots(setup), 569),
        Effect::EntriesLoaded => (|setup| has_peers(setup) && snapshots(setup), 763),
        Effect::ChunksLoaded => (|setup| has_peers(setup) && snapshots(setup), 649),
        Effect::LoadsLate => (has_peers, 10),
        Effect::LoadsGone => (|setup| has_peers(setup) && snapshots(setup), 313),
        Effect::LoadsDamaged => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::RotUnnoticed(..))), 164)
        }
        Effect::RotRead => {
            (|setup| is_planned(setup, |what| matches!(what, FaultKind::RotUnnoticed(..))), 95)
        }
        Effect::TransfersOfTen => (|setup| has_peers(setup) && snapshots(setup), 188),
        Effect::TransfersInterrupted => (|setup| has_peers(setup) && snapshots(setup), 116),
        Effect::TransfersFinished => (|setup| has_peers(setup) && snapshots(setup), 170),
        Effect::Syncs => (always, 1_000),
        Effect::Seals => (always, 990),
        Effect::Applied => (always, 1_000),
        Effect::OpsOk => (always, 1_000),
        Effect::OpsFailed => (always, 982),
        Effect::OpsUnknown => (always, 955),
        Effect::OpsExpired => (always, 360),
        Effect::OpsRefused => (always, 990),
        Effect::OpsLost => (always, 305),
        Effect::OpsAnsweredUnknown => (always, 842),
        Effect::OpsTimedOut => (always, 972),
        Effect::OpsRetried => (always, 967),
        Effect::OpsWithoutSession => (always, 1000),
        Effect::SessionsOpened => (always, 950),
        Effect::ReadsOnFollowers => (has_peers, 1000),
        Effect::ReadsOfOthers => (always, 997),
        Effect::CalmLooks => (always, 30),
        Effect::CoreSmallerThanCluster => (|setup| setup.voters >= 3, 678),
    }
}

/// When a mark is possible, and in how many of 1,000 such seeds it was measured.
pub(crate) fn of_mark(mark: Mark, ingredient: Ingredient) -> (Needs, u64) {
    let needs: Needs = match ingredient {
        Ingredient::Alone => |setup| setup.voters == 1,
        Ingredient::Peers => |setup| has_peers(setup),
        Ingredient::Crashes => |setup| has_peers(setup) && crashes(setup),
        Ingredient::Snapshots => |setup| has_peers(setup) && snapshots(setup),
        Ingredient::Rot => |setup| {
            has_peers(setup)
                && is_planned(setup, |what| matches!(what, FaultKind::Rot(..) | FaultKind::RotUnnoticed(..)))
        },
        Ingredient::Network => |setup| has_peers(setup),
    };
    let per_mille = match mark {
        Mark::ConflictTruncated => 792,
        Mark::ConflictTruncatedTerms => 18,
        Mark::ShelfJoined => 605,
        Mark::AppendKnown => 989,
        Mark::AppendOfOldTerm => 336,
        Mark::RejectionSkipsTerm => 0,
        Mark::RejectionOfGap => 968,
        Mark::CommitClamped => 978,
        Mark::CommitBeforeOwnDisk => 773,
        Mark::CommitBeforeFollowerDisk => 912,
        Mark::CommitOfEarlierTerm => 944,
        Mark::LeaderHeardOfHigherTerm => 253,
        Mark::LeaderLostQuorum => 864,
        Mark::CandidateFollows => 221,
        Mark::PreVoteInVain => 216,
        Mark::SplitVote => 648,
        Mark::VoteRefusedShortLog => 512,
        Mark::VoteRefusedOlderTerm => 10,
        Mark::VoteRefusedGiven => 573,
        Mark::VoteRefusedSticky => 800,
        Mark::VoteGivenAgain => 250,
        Mark::VoteAnswerDoubled => 469,
        Mark::VoteAnswerLate => 914,
        Mark::ElectedByOwnDisk => 1000,
        Mark::ElectedWithUncommitted => 944,
        Mark::TwoLeaders => 290,
        Mark::TermJumped => 730,
        Mark::ReadBeforeOwnCommit => 997,
        Mark::ReadAtOldLeader => 72,
        Mark::PeerRestarted => 935,
        Mark::AnswerToEarlierBoot => 818,
        Mark::InstalledOverTail => 492,
        Mark::InstalledUnderTail => 76,
        Mark::InstalledOnNothing => 401,
        Mark::InstalledOverSnapshot => 549,
        Mark::SnapshotUseless => 467,
        Mark::ChunkOutOfOrder => 435,
        Mark::ChunkDoubled => 304,
        Mark::TransferAnew => 139,
        Mark::AppendAtBoundary => 695,
        Mark::AbstainerAskedForVote => 729,
        Mark::AbstainerHadTarget => 760,
    };
    (needs, per_mille)
}

#[cfg(test)]
mod tests {
    use raft_sim::counts::EFFECTS;
    use raft_sim::marks::MARKS;

    use super::*;

    #[test]
    fn chance_closes_no_gate() {
        let of = |possible| Share { possible, reached: 0 };
        assert_eq!(of(1_000).floor(900), 450);
        assert_eq!(of(1_000).floor(119), 1, "too few for a half");
        assert_eq!(of(1_000).floor(19), 0, "too few for any");
        assert_eq!(of(0).floor(1_000), 0);
    }

    #[test]
    fn every_share_is_a_share_and_most_are_gated_in_a_thousand_seeds() {
        let effects = EFFECTS.iter().map(|(effect, _)| of_effect(*effect).1);
        let marks = MARKS.iter().map(|(mark, ingredient, _)| of_mark(*mark, *ingredient).1);
        let shares: Vec<u64> = effects.chain(marks).collect();
        assert!(shares.iter().all(|share| *share <= 1_000));
        let gated = shares.iter().filter(|share| Share { possible: 500, reached: 0 }.floor(**share) > 0);
        assert!(gated.count() * 10 > shares.len() * 8);
    }
}
