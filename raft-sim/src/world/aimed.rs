//! Faults that are aimed at whoever leads: what a schedule that knows nothing of the run would hardly ever arrange.

use super::World;
use super::events::Event;
use crate::choices::PPM;
use crate::counts::Effect;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::schedule::{Deception, Shape, kinds};
use crate::workload::Workload;

/// A leader whose old answers are to come again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    fault: u32,
    node: usize,
    /// The process that was answered.
    generation: u32,
    step: Step,
    /// How long a step lasts.
    span: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is cut off with a tail.
    Deposed,
    /// It catches up with its successor.
    Following,
    /// Its successor is cut off, and nobody else may ask for votes.
    Campaigning,
}

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// Whoever leads goes on believing so while the others elect and write.
    pub(super) fn deceive(&mut self, number: u32, how: Deception, duration: u64) -> Result<(), Failure> {
        let Some(leader) = self.leader() else { return Ok(()) };
        let until = self.now + duration;
        match how {
            Deception::LateAnswers => {
                self.network.lull(number, leader, self.now, until);
                self.plan(until + duration, Event::FaultEnds { fault: number });
                self.struck = self.struck.max(until + duration);
            }
            Deception::Pause => self.nodes[leader].condition.paused_until = until,
            Deception::SlowClock(_) if self.slow_clock.is_some() => {}
            Deception::SlowClock(factor) => {
                self.counts.add(Effect::SlowClocks);
                self.slow_clock = Some((number, leader));
                let ppm = PPM / u64::from(factor.max(1));
                self.nodes[leader].clock.slow_down(self.now, ppm as u32);
                self.excuse_office(leader);
                self.network.cut(number, Shape::Leader, self.apart(&[leader]), u32::MAX);
                self.plan(until, Event::FaultEnds { fault: number });
            }
        }
        Ok(())
    }

    /// The clock that a fault made slow goes on at its own rate.
    pub(super) fn end_slow_clock(&mut self, fault: u32) -> Result<(), Failure> {
        let Some((_, node)) = self.slow_clock.filter(|(of, _)| *of == fault) else { return Ok(()) };
        self.slow_clock = None;
        self.nodes[node].clock.recover(self.now);
        self.excuse_office(node);
        // What was planned by the slow clock is late now.
        self.drain(node)
    }

    /// Who shares the tail of a leader that is cut off.
    fn partner(&self, node: usize) -> usize {
        (node + 1) % self.nodes.len()
    }

    /// Whoever leads is cut off with a tail, which one other has too, if both together are no majority.
    pub(super) fn begin_old_answers(&mut self, fault: u32, span: u64) -> Result<(), Failure> {
        let Some(node) = self.leader().filter(|_| self.old_answers.is_none()) else { return Ok(()) };
        let partner = self.partner(node);
        let side = if self.nodes.len() > 3 { vec![node, partner] } else { vec![node] };
        self.network.cut(fault, Shape::Leader, self.apart(&side), u32::MAX);
        let generation = self.nodes[node].generation;
        self.old_answers = Some(Again { fault, node, generation, step: Step::Deposed, span });
        self.plan(self.now + span, Event::FaultGoesOn { fault });
        self.struck = self.struck.max(self.now + 3 * span);
        self.grow_tail(node)
    }

    /// The next step of that.
    pub(super) fn old_answers_go_on(&mut self, fault: u32) -> Result<(), Failure> {
        let Some(again) = self.old_answers.filter(|again| again.fault == fault) else { return Ok(()) };
        if self.is_closing() {
            return Ok(());
        }
        self.network.mend(fault);
        let is_same = self.nodes[again.node].generation == again.generation;
        let next = match again.step {
            Step::Deposed if is_same => {
                self.network.age(again.node);
                Step::Following
            }
            Step::Following if is_same => {
                if let Some(successor) = self.leader().filter(|leader| *leader != again.node) {
                    let mut cut = self.apart(&[successor]);
                    // Who shared the tail hears nothing new, where the others are a majority without it: what it said once is
                    // all that comes from it.
                    if self.nodes.len() > 4 {
                        cut[again.node] |= 1 << self.partner(again.node);
                    }
                    self.network.cut(fault, Shape::Leader, cut, u32::MAX);
                }
                let requests = 1 << kinds::PRE_VOTE | 1 << kinds::REQUEST_VOTE;
                let all = (1u16 << self.nodes.len()) - 1;
                let mute = |node: usize| if node == again.node { 0 } else { all & !(1 << node) };
                let cut = (0..self.nodes.len()).map(mute).collect();
                self.network.cut(fault, Shape::Kinds, cut, requests);
                Step::Campaigning
            }
            Step::Deposed | Step::Following | Step::Campaigning => {
                self.network.forget(again.node);
                self.old_answers = None;
                return Ok(());
            }
        };
        self.old_answers = Some(Again { step: next, ..again });
        self.plan(self.now + again.span, Event::FaultGoesOn { fault });
        Ok(())
    }

    /// A node leads or campaigns: if it led before, in the same process, it hears again what it was answered then.
    pub(super) fn answer_again(&mut self, node: usize, leads: bool) {
        let Some(again) = self.old_answers.filter(|again| again.node == node) else { return };
        if self.is_closing() || again.step == Step::Deposed || self.nodes[node].generation != again.generation
        {
            return;
        }
        let mut packets = Vec::new();
        self.network.answer_again(node, !leads, &mut |packet| packets.push(packet));
        // Votes must come before the candidacy is over.
        let timeout = self.setup.settings.election_timeout;
        let spread = if leads { timeout / 2 } else { self.setup.network.latency };
        for packet in packets {
            let at = self.now + 1 + self.choices.below(self.fault_stream, spread + 1);
            self.plan(at, Event::Deliver { packet });
        }
    }

    /// The cut between a side and the others, both ways.
    fn apart(&self, side: &[usize]) -> Vec<u16> {
        let all = (1u16 << self.nodes.len()) - 1;
        let side = side.iter().fold(0u16, |mask, node| mask | 1 << node);
        (0..self.nodes.len()).map(|node| if side >> node & 1 == 1 { all & !side } else { side }).collect()
    }
}
