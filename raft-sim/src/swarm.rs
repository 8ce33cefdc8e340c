//! What a seed means: the size of the cluster, every setting from its minimum up, the load, and the faults.
//!
//! Each kind of fault is off half of the time, else its intensity is log-uniform: a run in which everything goes wrong
//! all the time finds less than many runs in which some things go wrong. One run in eight has everything on, one in
//! sixteen nothing but latency, against false alarms.

mod faults;
mod settings;
mod setup;

use crate::choices::{Choices, Draw};

pub use settings::Settings;
use setup::RATE_MAX;

pub use setup::{CrashSetup, DiskSetup, LoadSetup, Mode, NetworkSetup, Noise, Setup};

/// What a seed means.
#[must_use]
pub fn draw(seed: u64, choices: &mut Choices) -> Setup {
    let stream = choices.stream("swarm", 0, 0);
    let mut d = Draw::new(choices, stream);
    let mode = match d.below(16) {
        1 => Mode::Control,
        2 | 3 => Mode::Everything,
        _ => Mode::Swarm,
    };
    let voters = [3, 3, 3, 5, 5, 5, 1, 2, 4, 6, 7, 3][d.below(12) as usize];
    let events = if one_in(&mut d, 24) { d.between(80_000, 250_000) } else { d.between(18_000, 36_000) };
    let settings = settings::draw(&mut d);
    let timeout = settings.election_timeout;
    let mut setup = Setup {
        seed,
        mode,
        voters,
        lives: 1,
        events,
        horizon: timeout * d.between(300, 900),
        network: draw_network(&mut d, mode, timeout),
        disk: DiskSetup {
            write_latency: d.between(1, 50),
            sync_latency: d.log_uniform(10, timeout / 40),
            sync_steady: 0,
            read_latency: 0,
            bytes_per_second: 0,
        },
        crash: draw_crashes(&mut d, mode, timeout),
        load: draw_load(&mut d, timeout),
        clock_ppm: draw_clocks(&mut d, mode, voters),
        settings,
        faults: Vec::new(),
    };
    draw_transfers(&mut setup, choices);
    draw_noise(&mut setup, choices);
    draw_speed(&mut setup, choices);
    draw_neighbours(&mut setup, choices);
    draw_youth(&mut setup, choices);
    setup.faults = faults::draw(&setup, choices);
    setup
}

/// A probability in parts per million that is zero half of the time, else log-uniform up to a most.
fn intensity(d: &mut Draw<'_>, mode: Mode, ppm_max: u32) -> u32 {
    let on = d.below(2) == 1;
    let ppm = d.log_uniform(100, u64::from(ppm_max)) as u32;
    match mode {
        Mode::Control => 0,
        Mode::Everything => ppm,
        Mode::Swarm if on => ppm,
        Mode::Swarm => 0,
    }
}

/// Yes, one time in `count`.
fn one_in(d: &mut Draw<'_>, count: u64) -> bool {
    d.below(count) == count - 1
}

fn draw_network(d: &mut Draw<'_>, mode: Mode, timeout: u64) -> NetworkSetup {
    let latency = d.log_uniform(30, timeout / 60);
    NetworkSetup {
        latency,
        jitter: if d.below(4) == 0 { 0 } else { d.log_uniform(1, latency * 2) },
        asymmetry: d.between(1, 3),
        loss_ppm: intensity(d, mode, 250_000),
        duplicate_ppm: intensity(d, mode, 200_000),
        reorder_ppm: intensity(d, mode, 250_000),
        spike_ppm: intensity(d, mode, 20_000),
        spike: d.log_uniform(timeout / 10, timeout * 3),
        old_ppm: intensity(d, mode, 20_000),
        old: d.log_uniform(timeout / 2, timeout * 40),
        corrupt_ppm: intensity(d, mode, 20_000),
        misdirect_ppm: intensity(d, mode, 10_000),
        bytes_per_second: 0,
        queue_bytes: 0,
        foreign_ppm: 0,
        noise: Noise::default(),
    }
}

fn draw_crashes(d: &mut Draw<'_>, mode: Mode, timeout: u64) -> CrashSetup {
    CrashSetup {
        action_ppm: intensity(d, mode, 600),
        disk_ppm: intensity(d, mode, 1_500),
        recovery_ppm: intensity(d, mode, 60_000),
        transfer_ppm: 0,
        hot: d.between(1, 10) as u32,
        power_ppm: d.between(0, 1_000_000) as u32,
        down: d.log_uniform(timeout / 20, timeout * 3),
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
        think: d.log_uniform(timeout / 100, timeout / 2),
        burst_ppm: d.log_uniform(1_000, 200_000) as u32,
        burst: d.between(2, 30) as u32,
        timeout: timeout * d.between(1, 8),
        attempts: d.between(1, 6) as u32,
        sessionless_ppm: d.between(100_000, 600_000) as u32,
        sticking_ppm: 0,
        weights,
        latency: d.log_uniform(10, timeout / 40),
        padding: if d.below(3) == 0 { 0 } else { d.log_uniform(16, 2_048) },
    }
}

/// In one run of four snapshots are large and go in many small pieces; and transfers are interrupted. Drawn from a
/// stream of its own, so that it changes no older draw.
fn draw_transfers(setup: &mut Setup, choices: &mut Choices) {
    let stream = choices.stream("transfers", 0, 0);
    let mut d = Draw::new(choices, stream);
    setup.crash.transfer_ppm = intensity(&mut d, setup.mode, 100_000);
    let (padding, piece) = (d.between(512, 2_048), d.between(16, 64));
    if one_in(&mut d, 4) {
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

/// Disks that are slow all the time, and links that take few bytes: each in some runs, and as slow as a cluster can live
/// with. From a stream of its own, and of what the run is by then.
fn draw_speed(setup: &mut Setup, choices: &mut Choices) {
    let stream = choices.stream("speed", 0, 0);
    let mut d = Draw::new(choices, stream);
    let (settings, padding) = (&setup.settings, setup.load.padding);
    let timeout = settings.election_timeout;
    let second = |bytes: u64| (bytes.saturating_mul(1_000_000) / timeout).clamp(1_000, RATE_MAX);
    // A command with what is around it.
    let command = 2 * padding + 512;
    // A batch that begins a segment has six syncs, and a leader gives way if they take an election timeout. Where segments
    // are small and begun all the time, they take less.
    let share = if settings.segment_bytes >= 64 << 10 { 3 } else { 10 };
    let syncs = (one_in(&mut d, 3), d.log_uniform(timeout / 100, timeout / share));
    // What the longest batch writes and creates takes a quarter of an election timeout at most.
    let batch = 2 * settings.segment_bytes + settings.batch_bytes_max.max(command) + (16 << 10);
    let disk = (one_in(&mut d, 4), second(d.log_uniform(4 * batch, 400 * batch)));
    // The largest message passes in an eighth of an election timeout, and what waits in a quarter: a heartbeat that waits
    // behind it is in time. In datagrams of the smallest size half is frame.
    let message = 2 * settings.append_bytes_max.max(settings.chunk_bytes_max).max(command) + (1 << 10);
    let in_a_timeout = d.log_uniform(8 * message, 200 * message);
    let link = (one_in(&mut d, 3), second(in_a_timeout), d.log_uniform(message, in_a_timeout / 4));
    // What is read may come so late that its reader has lost its office, and has it again.
    let reads = (one_in(&mut d, 4), d.log_uniform(timeout / 100, timeout / 8));
    // Half of these links hold few messages, where a leader has many under way and nobody keeps what comes early: what
    // does not fit is lost, and must not come again as fast as it went.
    let jam =
        (one_in(&mut d, 2), second(d.log_uniform(16 * command, 64 * command)), command * d.between(1, 3));
    if setup.mode == Mode::Control {
        return;
    }
    if let (true, read_latency) = reads {
        setup.disk.read_latency = read_latency;
    }
    if let (true, steady) = syncs {
        setup.disk.sync_steady = steady;
        // A proposal lives for as long as a queue of them takes: else none ends but as unknown, whatever the cluster does.
        setup.settings.proposal_timeout = setup.settings.proposal_timeout.max(10 * timeout);
    }
    if let (true, bytes_per_second) = disk {
        setup.disk.bytes_per_second = bytes_per_second;
    }
    if let (true, bytes_per_second, queue_bytes) = link {
        (setup.network.bytes_per_second, setup.network.queue_bytes) = (bytes_per_second, queue_bytes);
        if let (true, bytes_per_second, queue_bytes) = jam {
            let network = &mut setup.network;
            (network.bytes_per_second, network.queue_bytes) = (bytes_per_second, queue_bytes);
            // The answer to the first message comes long before a full queue has left.
            (network.latency, network.jitter) = (network.latency.min(60), network.jitter.min(20));
            let settings = &mut setup.settings;
            settings.shelf_bytes_max = 0;
            settings.append_bytes_max = settings.append_bytes_max.min(padding + 256);
            settings.chunk_bytes_max = settings.chunk_bytes_max.min(padding + 256);
            settings.window_appends_max = settings.window_appends_max.max(32);
            settings.window_bytes_max = 32 * command;
            setup.load.clients = setup.load.clients.max(8);
            setup.load.think = setup.load.think.min(timeout / 20);
        }
    }
}

/// Another cluster on the same network, and clients that stay with one node: from a stream of its own, so that it changes
/// no older draw.
fn draw_neighbours(setup: &mut Setup, choices: &mut Choices) {
    let stream = choices.stream("neighbours", 0, 0);
    let mut d = Draw::new(choices, stream);
    setup.network.foreign_ppm = intensity(&mut d, setup.mode, 50_000);
    setup.load.sticking_ppm = if d.below(2) == 0 { 0 } else { d.between(100_000, 600_000) as u32 };
}

/// How long a life lasts at most, in election timeouts, where there are many.
const YOUTH: u64 = 12;

/// One run in twelve is many short lives: what can only go wrong with the first entries, the first snapshot and the first
/// restart is met once a life. Everything that is once a life comes early and often.
fn draw_youth(setup: &mut Setup, choices: &mut Choices) {
    let stream = choices.stream("youth", 0, 0);
    let mut d = Draw::new(choices, stream);
    if !one_in(&mut d, 12) {
        return;
    }
    setup.lives = (setup.horizon / (setup.settings.election_timeout * YOUTH)) as u32;
    setup.events = u64::from(setup.lives) * d.between(300, 1_000);
    if setup.settings.snapshot_after_bytes < u64::MAX {
        setup.settings.snapshot_after_bytes = d.log_uniform(100, 2_000);
    }
    let crash = &mut setup.crash;
    for ppm in [&mut crash.action_ppm, &mut crash.disk_ppm, &mut crash.recovery_ppm] {
        *ppm = ppm.saturating_mul(8).min(200_000);
    }
}

/// In half of the runs the links of the healed core are not clean, either. From a stream of its own.
fn draw_noise(setup: &mut Setup, choices: &mut Choices) {
    let stream = choices.stream("noise", 0, 0);
    let mut d = Draw::new(choices, stream);
    let (mode, timeout) = (setup.mode, setup.settings.election_timeout);
    let is_noisy = d.below(2) == 1 && mode != Mode::Control;
    // In some of these runs what must arrive goes out in many datagrams, unless it shrinks.
    let (is_long, bytes, datagram) = (one_in(&mut d, 2), d.between(16 << 10, 64 << 10), d.between(128, 256));
    if is_noisy && is_long {
        let settings = &mut setup.settings;
        let more = bytes.saturating_sub(settings.append_bytes_max.min(settings.chunk_bytes_max));
        for bound in
            [&mut settings.append_bytes_max, &mut settings.chunk_bytes_max, &mut settings.window_bytes_max]
        {
            *bound = (*bound).max(bytes);
        }
        settings.datagram_bytes_max = datagram;
        settings.message_bytes_max += more;
        settings.joining_bytes_max += 8 * more;
    }
    let loss_max = setup::mild_ppm_max(&setup.settings, setup.load.padding);
    let noise = Noise {
        loss_ppm: d.between(loss_max / 8, loss_max) as u32,
        duplicate_ppm: intensity(&mut d, mode, 200_000),
        reorder_ppm: intensity(&mut d, mode, 250_000),
        spike_ppm: intensity(&mut d, mode, loss_max as u32 / 4),
        spike: d.log_uniform(timeout / 100, timeout / 2),
    };
    if is_noisy {
        setup.network.noise = noise;
    }
}

fn draw_clocks(d: &mut Draw<'_>, mode: Mode, voters: u8) -> Vec<i32> {
    let most = if mode == Mode::Control || d.below(2) == 0 { 0 } else { d.log_uniform(10, 100_000) };
    (0..voters).map(|_| d.between(0, 2 * most) as i32 - most as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_settings_that_work_and_survive_json() {
        for seed in 0..300 {
            let setup = draw(seed, &mut Choices::seeded(seed));
            setup.validate().expect("the setup of a seed is valid");
            let json = serde_json::to_string(&setup).unwrap();
            assert_eq!(serde_json::from_str::<Setup>(&json).unwrap(), setup);
            assert!(setup.faults.is_sorted_by_key(|fault| fault.at));
            assert_eq!(setup.is_faultless(), setup.mode == Mode::Control, "seed {seed}");
        }
    }
}
