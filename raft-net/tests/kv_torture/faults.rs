//! What happens to processes and their links: at most two of five are down, stopped or cut off at a time.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, try_http};
use crate::dice::Dice;
use crate::relay::{Relay, Weather};

/// Nodes in trouble at once, at most: the others are a majority.
const TROUBLED_MAX: usize = 2;

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct FaultCounts {
    pub(crate) kills: u64,
    pub(crate) leader_kills: u64,
    pub(crate) two_down: u64,
    pub(crate) pauses: u64,
    pub(crate) cuts: u64,
    pub(crate) weathers: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Down,
    Stopped,
    Cut,
}

pub(crate) struct Faults {
    dice: Dice,
    counts: FaultCounts,
    /// Who, what, until when.
    troubles: Vec<(usize, Trouble, Instant)>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        Faults { dice: Dice::of(seed, 1), counts: FaultCounts::default(), troubles: Vec::new() }
    }

    /// Makes trouble, and at the end undoes all of it.
    pub(crate) fn run_until(mut self, end: Instant, cluster: &mut Cluster, relay: &Relay) -> FaultCounts {
        while Instant::now() < end {
            self.undo(Instant::now(), cluster, relay);
            if self.troubles.len() < TROUBLED_MAX {
                self.make(cluster, relay);
            }
            if self.dice.percent(30) {
                self.counts.weathers += 1;
                relay.set_weather(*self.dice.pick(&WEATHERS));
            }
            std::thread::sleep(Duration::from_millis(self.dice.between(100, 900)));
        }
        relay.set_weather(Weather::default());
        self.undo(end + Duration::from_secs(3_600), cluster, relay);
        self.counts
    }

    fn make(&mut self, cluster: &mut Cluster, relay: &Relay) {
        let well: Vec<usize> =
            (1..=cluster.http.len()).filter(|id| self.troubles.iter().all(|(who, ..)| who != id)).collect();
        // Whoever leads is the one to hit, every other time.
        let leader = if self.dice.percent(50) { leader(cluster, &well) } else { None };
        let id = leader.unwrap_or(*self.dice.pick(&well));
        let (trouble, longest) = *self.dice.pick(&[
            (Trouble::Down, 2_000),
            (Trouble::Down, 2_000),
            (Trouble::Stopped, 1_500),
            (Trouble::Cut, 1_500),
        ]);
        match trouble {
            Trouble::Down => {
                self.counts.kills += 1;
                self.counts.leader_kills += u64::from(leader.is_some());
                let others = self.troubles.iter().filter(|(_, trouble, _)| *trouble == Trouble::Down);
                self.counts.two_down += u64::from(others.count() > 0);
                cluster.kill(id);
            }
            Trouble::Stopped => {
                self.counts.pauses += 1;
                signal("STOP", cluster.pid(id));
            }
            Trouble::Cut => {
                self.counts.cuts += 1;
                relay.set_cut(id, true);
            }
        }
        let until = Instant::now() + Duration::from_millis(self.dice.between(200, longest));
        self.troubles.push((id, trouble, until));
    }

    fn undo(&mut self, now: Instant, cluster: &mut Cluster, relay: &Relay) {
        self.troubles.retain(|(id, trouble, until)| {
            if *until > now {
                return true;
            }
            match trouble {
                Trouble::Down => cluster.launch(*id),
                Trouble::Stopped => signal("CONT", cluster.pid(*id)),
                Trouble::Cut => relay.set_cut(*id, false),
            }
            false
        });
    }
}

const WEATHERS: [Weather; 5] = [
    Weather { loss: 0, doubled: 0, delayed: 0, delay_ms: 0 },
    Weather { loss: 2, doubled: 5, delayed: 20, delay_ms: 5 },
    Weather { loss: 10, doubled: 10, delayed: 50, delay_ms: 20 },
    Weather { loss: 1, doubled: 30, delayed: 80, delay_ms: 10 },
    Weather { loss: 25, doubled: 5, delayed: 10, delay_ms: 100 },
];

fn leader(cluster: &Cluster, among: &[usize]) -> Option<usize> {
    let leads = |id: &usize| {
        let state = try_http(cluster.http[id - 1], "GET", "/state", &[], "");
        state.is_ok_and(|state| state.json()["role"] == "leader")
    };
    among.iter().copied().find(leads)
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}
