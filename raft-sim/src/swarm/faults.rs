//! Draws the schedule: each kind from a stream of its own, so that a new kind changes no old schedule.

use super::{Mode, Setup};
use crate::choices::{Choices, Draw};
use crate::schedule::{Deception, Fault, FaultKind, MESSAGE_KINDS, Shape, Target};

/// A bound on a schedule's length, whatever the intensities.
const FAULTS_MAX: usize = 600;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kill,
    PowerLoss,
    KillThenPowerLoss,
    ClusterPowerLoss,
    Pause,
    Slow,
    ClockJump,
    ClockBack,
    DiskStall,
    SyncError,
    WriteError,
    DiskFull,
    Rot,
    Isolate,
    Halves,
    OneWay,
    Bridge,
    Ring,
    Leader,
    Kinds,
    Clog,
    Hold,
    RotUnnoticed,
    Snapshot,
    Overtake,
    StaleLeader,
    OldAnswers,
    ReadErrors,
}

/// Each kind with the shortest mean gap and the longest mean duration, both in hundredths of an election timeout.
const KINDS: [(Kind, u64, u64); 28] = [
    (Kind::Kill, 300, 300),
    (Kind::PowerLoss, 300, 300),
    (Kind::KillThenPowerLoss, 500, 300),
    (Kind::ClusterPowerLoss, 1_500, 200),
    (Kind::Pause, 300, 400),
    (Kind::Slow, 500, 1_000),
    (Kind::ClockJump, 500, 1),
    (Kind::DiskStall, 400, 300),
    (Kind::SyncError, 500, 200),
    (Kind::WriteError, 800, 200),
    (Kind::DiskFull, 1_000, 400),
    (Kind::Rot, 800, 100),
    (Kind::Isolate, 500, 600),
    (Kind::Halves, 500, 600),
    (Kind::OneWay, 500, 600),
    (Kind::Bridge, 800, 800),
    (Kind::Ring, 800, 800),
    (Kind::Leader, 500, 500),
    (Kind::Kinds, 500, 600),
    (Kind::Clog, 200, 300),
    (Kind::Hold, 200, 400),
    (Kind::RotUnnoticed, 300, 1),
    (Kind::Snapshot, 200, 1),
    (Kind::Overtake, 300, 800),
    (Kind::ClockBack, 500, 1),
    (Kind::StaleLeader, 500, 400),
    (Kind::OldAnswers, 500, 400),
    (Kind::ReadErrors, 800, 400),
];

/// Kinds that are held, by the numbers of [`message_kind`](crate::schedule::message_kind): each once, and those of
/// elections more often, since elections are rare.
const HELD_KINDS: [u8; 22] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 2, 3, 3, 3];

pub(super) fn draw(setup: &Setup, choices: &mut Choices) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, (kind, gap, duration)) in (0..).zip(KINDS) {
        let stream = choices.stream("schedule", number, 0);
        draw_kind(setup, &mut Draw::new(choices, stream), (kind, gap, duration), &mut faults);
    }
    faults.sort_by_key(|fault| fault.at);
    faults.truncate(FAULTS_MAX);
    faults
}

fn draw_kind(
    setup: &Setup,
    d: &mut Draw<'_>,
    (kind, gap, duration): (Kind, u64, u64),
    faults: &mut Vec<Fault>,
) {
    let hundredth = setup.settings.election_timeout / 100;
    let on = d.below(2) == 1;
    let gap_mean = hundredth * d.log_uniform(gap, gap * 30);
    let duration_mean = hundredth * d.log_uniform(1, duration);
    let possible = match kind {
        // A damaged node needs others that are not.
        Kind::Rot | Kind::RotUnnoticed | Kind::Overtake | Kind::StaleLeader | Kind::OldAnswers => {
            setup.voters >= 3
        }
        Kind::Bridge | Kind::Ring => setup.voters >= 4,
        Kind::Isolate
        | Kind::Halves
        | Kind::OneWay
        | Kind::Leader
        | Kind::Kinds
        | Kind::Clog
        | Kind::Hold => setup.voters >= 2,
        Kind::Kill
        | Kind::PowerLoss
        | Kind::KillThenPowerLoss
        | Kind::ClusterPowerLoss
        | Kind::Pause
        | Kind::Slow
        | Kind::ClockJump
        | Kind::ClockBack
        | Kind::DiskStall
        | Kind::Snapshot
        | Kind::SyncError
        | Kind::WriteError
        | Kind::DiskFull
        | Kind::ReadErrors => true,
    };
    let on = match setup.mode {
        Mode::Swarm => on,
        Mode::Everything => true,
        Mode::Control => false,
    };
    // With everything on at once, each kind is rarer, or nothing would ever be done.
    let gap_mean = if setup.mode == Mode::Everything { gap_mean * 2 } else { gap_mean };
    if !on || !possible {
        return;
    }
    let before = faults.len();
    let mut at = d.exponential(gap_mean);
    while at < setup.horizon && faults.len() - before < FAULTS_MAX {
        // An aim takes an election and a write: the others wait for up to two timeouts before they campaign.
        let is_aimed = matches!(kind, Kind::StaleLeader | Kind::OldAnswers);
        let duration =
            if is_aimed { hundredth * d.between(200, duration) } else { 1 + d.exponential(duration_mean) };
        let what = draw_what(setup, d, kind);
        faults.push(Fault { at, duration, what });
        at += 1 + d.exponential(gap_mean);
    }
}

fn draw_what(setup: &Setup, d: &mut Draw<'_>, kind: Kind) -> FaultKind {
    let voters = u64::from(setup.voters);
    let all = (1u16 << voters) - 1;
    let leader = d.below(4) == 3;
    let one = 1u16 << d.below(voters);
    let target = if leader { Target::Leader } else { Target::Nodes(one) };
    let several = d.below(u64::from(all) + 1) as u16 | one;
    let number = d.below(1 << 62);
    let every = u32::MAX;
    match kind {
        Kind::Kill => FaultKind::Kill(if leader { target } else { Target::Nodes(several) }),
        Kind::PowerLoss => FaultKind::PowerLoss(if leader { target } else { Target::Nodes(several) }),
        Kind::KillThenPowerLoss => FaultKind::KillThenPowerLoss(target),
        Kind::ClusterPowerLoss => FaultKind::ClusterPowerLoss,
        Kind::Pause => FaultKind::Pause(target),
        Kind::Slow => FaultKind::Slow(target, 2 + (number % 60) as u32),
        Kind::ClockJump => FaultKind::ClockJump(target, number % (setup.settings.election_timeout * 4)),
        Kind::ClockBack => FaultKind::ClockBack(target, set_back(setup, d, number)),
        Kind::DiskStall => FaultKind::DiskStall(target),
        Kind::SyncError => FaultKind::SyncError(target),
        Kind::WriteError => FaultKind::WriteError(target),
        Kind::DiskFull => FaultKind::DiskFull(target),
        // Now and then, or all of them.
        Kind::ReadErrors => FaultKind::ReadErrors(target, if number & 1 == 1 { 1_000_000 } else { 200_000 }),
        Kind::Rot => FaultKind::Rot(target, number),
        // Who leads reads its files back for the others.
        Kind::RotUnnoticed => {
            FaultKind::RotUnnoticed(if number & 1 == 1 { Target::Leader } else { target }, number >> 1)
        }
        Kind::Snapshot => FaultKind::Snapshot(if leader { target } else { Target::Nodes(several) }),
        Kind::Overtake => FaultKind::Overtake,
        Kind::StaleLeader => FaultKind::StaleLeader(match number % 3 {
            0 => Deception::LateAnswers,
            1 => Deception::Pause,
            _ => Deception::SlowClock(2 + (number >> 2) as u32 % 7),
        }),
        Kind::OldAnswers => FaultKind::OldAnswers,
        Kind::Isolate => partition(Shape::Isolate, split(voters, one), every),
        Kind::Halves => partition(Shape::Halves, split(voters, half(voters, number)), every),
        Kind::OneWay => {
            // The links that a side has to the other, and not the other way round; or any links at random.
            let side = several & all;
            let cut = if number & 1 == 1 {
                (0..voters).map(|node| if side >> node & 1 == 1 { all & !side } else { 0 }).collect()
            } else {
                (0..voters).map(|node| (number >> (node * 7)) as u16 & all & !(1 << node)).collect()
            };
            partition(Shape::OneWay, cut, every)
        }
        Kind::Bridge => partition(Shape::Bridge, bridge(voters, number), every),
        Kind::Ring => partition(Shape::Ring, ring(voters), every),
        Kind::Leader => partition(Shape::Leader, Vec::new(), every),
        Kind::Kinds => {
            let cut = (0..voters).map(|node| several & !(1 << node)).collect();
            let first = (number % u64::from(MESSAGE_KINDS)) as u32;
            let second = ((number >> 8) % u64::from(MESSAGE_KINDS)) as u32;
            partition(Shape::Kinds, cut, 1 << first | 1 << second)
        }
        Kind::Clog => {
            let from = one.trailing_zeros() as u8;
            let to = ((u64::from(from) + 1 + number % (voters - 1)) % voters) as u8;
            FaultKind::Clog { from, to }
        }
        Kind::Hold => {
            let from = if number & 1 == 1 { all } else { several };
            let kind = HELD_KINDS[(number >> 1) as usize % HELD_KINDS.len()];
            FaultKind::Hold { from, messages: 1 << kind }
        }
    }
}

/// How far a clock is set back. One in four goes back for so long that whoever waits for the clock to catch up waits for
/// the rest of the run.
fn set_back(setup: &Setup, d: &mut Draw<'_>, number: u64) -> u64 {
    const HOUR: u64 = 3_600_000_000;
    let timeout = setup.settings.election_timeout;
    if number >> 60 == 3 { d.log_uniform(timeout, HOUR.max(1_000 * timeout)) } else { number % (timeout * 4) }
}

fn partition(shape: Shape, cut: Vec<u16>, messages: u32) -> FaultKind {
    FaultKind::Partition { shape, cut, messages }
}

/// Both directions between a side and the rest.
fn split(voters: u64, side: u16) -> Vec<u16> {
    let all = (1u16 << voters) - 1;
    (0..voters).map(|node| if side >> node & 1 == 1 { all & !side } else { side }).collect()
}

/// Half of the nodes, by the bits of a number.
fn half(voters: u64, number: u64) -> u16 {
    let first = number % voters;
    (0..voters / 2).fold(0, |side, step| side | 1 << ((first + step) % voters))
}

/// One node sees both halves, which don't see each other.
fn bridge(voters: u64, number: u64) -> Vec<u16> {
    let middle = number % voters;
    let mut cut = split(voters, half(voters, number) & !(1 << middle));
    cut[middle as usize] = 0;
    for row in &mut cut {
        *row &= !(1 << middle);
    }
    cut
}

/// Node i sees the nearest ones around it, a majority with itself.
fn ring(voters: u64) -> Vec<u16> {
    let reach = voters / 4 + u64::from(voters % 4 >= 2);
    let near = |a: u64, b: u64| {
        let step = (a + voters - b) % voters;
        step.min(voters - step) <= reach
    };
    (0..voters)
        .map(|from| (0..voters).filter(|to| !near(from, *to)).fold(0, |cut, to| cut | 1 << to))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_each_sees_a_majority_and_not_everybody() {
        for voters in [4, 5, 6, 7] {
            for (node, cut) in (0..).zip(ring(voters)) {
                let seen = voters - u64::from(cut.count_ones());
                assert!(seen * 2 > voters, "{voters} nodes: {node} sees {seen}");
                assert!(cut >> node & 1 == 0);
            }
            assert!(voters < 5 || ring(voters).iter().all(|cut| *cut != 0));
        }
    }

    #[test]
    fn a_bridge_sees_both_halves() {
        let cut = bridge(5, 3);
        assert_eq!(cut[3], 0);
        assert!(cut.iter().all(|row| row >> 3 & 1 == 0));
        assert_eq!(cut.iter().filter(|row| **row != 0).count(), 4);
    }
}
