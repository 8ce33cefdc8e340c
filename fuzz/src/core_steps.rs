//! One node against everything that may happen to it: messages of every kind from honest peers, confused ones and
//! liars; ticks, proposals, reads, disks that lag, crashes, damage. After each step the core's own invariants hold, and
//! so does what it promised to the outside (`contract.rs`).
//!
//! The input is a head of eight bytes and then steps of eight bytes each, so that a mutation changes one step and moves
//! none. Numbers in a step are relative to where the node is (its term, its last entry, what it sent last): most bytes
//! mean something plausible, and the highest ones something hostile.

mod contract;
mod followers;
mod forge;
mod host;
mod leading;
mod pieces;
mod sending;
mod situations;
mod snapshots;

use std::collections::BTreeSet;

use raft_core::{Config, Span};

use forge::{Forge, Step};
use host::Host;
pub use situations::Situation;

/// Bytes of the head, and of a step.
pub const STEP_BYTES: usize = 8;
/// From this kind of step on, it is about snapshots.
const SNAPSHOT_STEPS: u8 = 192;
/// From here on, it is about a leader that sends one.
const LEADER_STEPS: u8 = 224;
/// Steps of one input at most.
const STEPS_MAX: usize = 400;

/// Runs the steps of an input.
///
/// # Panics
/// If an invariant of the core or its contract is broken.
pub fn run(input: &[u8]) {
    situations(input);
}

/// Runs the steps of an input, and says what the node met on its way.
///
/// # Panics
/// As [`run`] does.
pub fn situations(input: &[u8]) -> BTreeSet<Situation> {
    let mut chunks = input.chunks_exact(STEP_BYTES);
    let mut head = [0; STEP_BYTES];
    head.copy_from_slice(chunks.next().unwrap_or(&[0; STEP_BYTES]));
    let mut forge = Forge::new(head[0], head[1]);
    let mut host =
        Host::new(config(head[2], head[4]), forge.identity(), &forge.founding(), u64::from(head[3]));
    for bytes in chunks.take(STEPS_MAX) {
        let mut step = [0; STEP_BYTES];
        step.copy_from_slice(bytes);
        if !perform(&mut host, &mut forge, Step(step)) {
            break;
        }
    }
    host.sending.reached
}

/// Bounds that are met often, the usual ones, or the smallest that are valid.
fn config(kind: u8, sending: u8) -> Config {
    let base = Config {
        cache_bytes_max: [16 << 20, 0, 200, 16 << 20][usize::from(kind / 4 % 4)],
        chunk_bytes_max: [64, 300, 1, 5_000][usize::from(kind / 16 % 4)],
        trailing_entries: [0, 2, 0, 1_024][usize::from(kind / 64 % 4)],
        chunks_in_flight_max: [8, 1, 2, 3][usize::from(sending % 4)],
        pinned_bytes_max: [64 << 20, 0, 200, 2_000][usize::from(sending / 4 % 4)],
        proposal_timeout: Span::from_millis(2_000),
        read_timeout: Span::from_millis(1_000),
        ..Config::default()
    };
    match kind % 4 {
        0 | 1 => Config {
            append_bytes_max: 100,
            window_appends_max: 3,
            shelf_bytes_max: 200,
            uncommitted_bytes_max: 1_000,
            unsynced_bytes_max: 1_000,
            apply_bytes_max: 100,
            reads_max: 4,
            proposals_max: 8,
            ..base
        },
        2 => base,
        _ => Config {
            append_bytes_max: 1,
            window_bytes_max: 1,
            window_appends_max: 1,
            uncommitted_bytes_max: 1,
            unsynced_bytes_max: 1,
            apply_bytes_max: 1,
            shelf_bytes_max: 0,
            reads_max: 1,
            proposals_max: 1,
            ..base
        },
    }
}

/// One step. False: the node can't go on, and must not.
fn perform(host: &mut Host, forge: &mut Forge, step: Step) -> bool {
    let Step([kind, who, a, b, c, ..]) = step;
    if kind >= LEADER_STEPS {
        return leading::perform(host, forge, step);
    }
    if kind >= SNAPSHOT_STEPS {
        return perform_snapshot(host, forge, step);
    }
    match kind % 32 {
        0..=3 => host.tick(step.span(&host.config)),
        // Good weather: what was sent is answered well, and the disk keeps up.
        4 | 5 => {
            for back in 0..=usize::from(a % 8) {
                host.sync(usize::MAX);
                host.tell(usize::MAX, b);
                host.catch_up();
                if let Some(answer) = forge.answer(host, back, Step::default()) {
                    host.receive(answer, 0);
                }
            }
        }
        6..=9 => {
            if let Some(answer) = forge.answer(host, usize::from(a % 32), step) {
                host.receive(answer, b);
            }
        }
        10..=17 => {
            let envelope = forge.message(host, step);
            host.receive(envelope, 0);
        }
        18 => {
            let Some(again) = host.received(usize::from(a)) else { return true };
            host.receive(again, b);
        }
        19 | 20 => host.sync(1 + usize::from(a % 4)),
        21 | 22 => host.tell(1 + usize::from(a % 4), b),
        23 => {
            host.sync(usize::MAX);
            host.tell(usize::MAX, a);
        }
        24 | 25 => host.propose(usize::from(a) * (1 + usize::from(b & 1)), c),
        26 => host.read(a),
        27 => host.confirm_applied(a, b),
        28 => return host.crash(usize::from(a % 12), usize::from(b % 24), None),
        29 => {
            let flip = (usize::from(who) << 16 | usize::from(a) << 8 | usize::from(b), 1 << (c % 8));
            return host.crash(0, usize::from(step.0[5] % 24), Some(flip));
        }
        30 => {
            forge.restart_peer(who);
            host.poll(usize::from(a));
        }
        _ => match a % 8 {
            0 => return host.fail_disk(),
            1 => host.clock_back(u64::from(b) * 10_000),
            2 => host.seal(),
            _ => host.poll(usize::from(b)),
        },
    }
    true
}

/// One step about snapshots: pieces that come, pieces that go, those of its own, and what is read back.
fn perform_snapshot(host: &mut Host, forge: &mut Forge, step: Step) -> bool {
    let Step([kind, who, a, b, c, ..]) = step;
    match kind % 16 {
        0..=5 => {
            if let Some(piece) = forge.piece(host, step) {
                host.receive(piece, 0);
            }
        }
        // Good weather: all that is left of a snapshot comes.
        6 => {
            for _ in 0..1 + who % 16 {
                if let Some(piece) = forge.next_piece(host, step) {
                    host.receive(piece, 0);
                }
                host.sync(usize::MAX);
                host.tell(usize::MAX, 0);
            }
        }
        7 => host.load(usize::from(a)),
        8 => return host.fail_load(usize::from(a), b & 1 == 1),
        9 => host.freeze(a),
        10 => host.write_snapshot(usize::from(a)),
        11 => {
            host.confirm_applied(0, 0);
            host.freeze(a);
            host.write_snapshot(usize::MAX);
        }
        12 => host.confirm_applied(0, 0),
        13 | 14 => {
            if let Some(answer) = forge.answer_from_behind(host, usize::from(a % 16), step) {
                host.receive(answer, c);
            }
        }
        _ => host.catch_up(),
    }
    true
}
