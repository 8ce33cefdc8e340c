//! Datagrams leave a node and reach another.

use std::cmp::Reverse;

use raft_core::{Envelope, Instant, Violation};
use xxhash_rust::xxh3::xxh3_64;

use super::lifecycle::Crash;
use super::office::Answer;
use super::{Event, Planned, World};
use crate::counts::Effect;
use crate::failure::{Failure, FailureKind};
use crate::machine::Machine;
use crate::marks::Heard;
use crate::network::{Arrival, Outgoing};
use crate::schedule::message_kind;
use crate::workload::Workload;

impl<S: Machine, W: Workload<S>> World<S, W> {
    /// A message leaves.
    pub(super) fn send(&mut self, node: usize, envelope: &Envelope) {
        self.send_datagrams(node, envelope);
        self.send_foreign(node, envelope);
    }

    /// A message is sent, in as many datagrams as it needs.
    pub(super) fn send_datagrams(&mut self, node: usize, envelope: &Envelope) {
        let World { nodes, network, choices, counts, queue, planned, now, members, .. } = self;
        let Some(to) = members.iter().position(|member| *member == envelope.to) else { return };
        let kind = message_kind(&envelope.message);
        let generation = nodes[node].generation;
        let slow = nodes[node].slowness(*now) * self.setup.network.latency / 8;
        let now = *now + slow;
        let Some(running) = nodes[node].running_mut() else { return };
        let sent = running.encoder.encode(envelope, &mut |bytes| {
            let out = Outgoing { from: node, to, kind, generation, bytes };
            network.send(choices, counts, now, &out, &mut |at, packet| {
                *planned += 1;
                let event = Event::Deliver { packet };
                queue.push(Reverse(Planned { at, sequence: *planned, event }));
            });
        });
        // A message that is too large is never sent; its sender's bounds are drawn so that none is.
        if let Err(error) = sent {
            self.violation.get_or_insert_with(|| {
                format!("n{}: {} can't be encoded: {error:?}", node + 1, envelope.message.name())
            });
        }
    }

    /// A datagram reaches the end of its link.
    pub(super) fn deliver(&mut self, id: u32) -> Result<(), Failure> {
        let event = Event::Deliver { packet: id };
        let to = usize::from(self.network.packet(id).to);
        if !self.nodes[to].is_down() && self.put_off(to, event).is_some() {
            return Ok(());
        }
        match self.network.arrive(self.now, id, &mut self.counts) {
            Arrival::Held(until) => {
                self.plan(until, event);
                return Ok(());
            }
            Arrival::Dropped(effect) => {
                self.counts.add(effect);
                self.network.release(id);
                return Ok(());
            }
            Arrival::Delivered => {}
        }
        let digest = xxh3_64(&self.network.packet(id).bytes);
        self.count_event(event, digest);
        let piece_from = self.hand_over(to, id)?;
        self.network.release(id);
        self.drain(to)?;
        match piece_from {
            Some(from) => self.crash_in_transfer(from, to),
            None => Ok(()),
        }
    }

    /// A datagram reaches a process. The sender, if it was a piece of a long transfer.
    fn hand_over(&mut self, to: usize, id: u32) -> Result<Option<usize>, Failure> {
        let World { network, nodes, counts, .. } = self;
        let packet = network.packet(id);
        let from = usize::from(packet.from);
        let generation_now = nodes[from].generation;
        let node = &mut nodes[to];
        let now = node.clock.at(self.now);
        let Some(running) = node.running_mut() else {
            counts.add(Effect::DroppedDown);
            return Ok(None);
        };
        counts.add(Effect::Delivered);
        if packet.duplicate {
            counts.add(Effect::DuplicateDelivered);
        }
        if packet.generation != generation_now {
            counts.add(Effect::EarlierBoot);
        }
        let envelope = match running.decoder.handle_datagram(now, &packet.bytes) {
            Err(_) if packet.corrupted => {
                counts.add(Effect::CorruptRefused);
                return Ok(None);
            }
            Ok(_) if packet.corrupted => {
                let what = format!("n{} took a datagram with a flipped bit", to + 1);
                return Err(Failure::new(FailureKind::Invariant, "wire-checksum", what));
            }
            // Pieces of two boots may contradict each other.
            Err(_) => {
                counts.add(Effect::Violations);
                return Ok(None);
            }
            Ok(None) => return Ok(None),
            Ok(Some(envelope)) => envelope,
        };
        let is_piece = self.take((from, to), now, envelope);
        Ok(is_piece.then_some(from))
    }

    /// A node takes a message. Whether it was a piece of a long transfer.
    fn take(&mut self, (from, to): (usize, usize), now: Instant, envelope: Envelope) -> bool {
        self.counts.add(Effect::Messages);
        // To the oracles it was never said, so whatever it brings about is a fault of who took it.
        if self.is_foreign(&envelope) {
            self.counts.add(Effect::OtherClusters);
        } else {
            self.oracles.delivered(to, &envelope);
            self.note_took(from, to, &envelope);
        }
        self.say(Some(to), "receive", || format!("from {}: {:?}", envelope.from, envelope.message));
        let World { nodes, counts, watch, .. } = self;
        let Some(running) = nodes[to].running_mut() else { return false };
        let raft = running.replica.raft();
        watch.took_envelope(to, &envelope, raft.boot(), raft.is_leader());
        let (heard, before) = (Heard::of(&envelope), raft.status());
        let answer = Answer::of(&envelope, raft.boot());
        let result = running.replica.handle_message(now, envelope);
        let raft = running.replica.raft();
        watch.took(to, &heard, &before, raft);
        if raft.snapshot_last().index > before.snapshot.index {
            counts.add(Effect::Installs);
        }
        if let (Ok(()), Some(office)) = (&result, &mut running.office) {
            office.note_answer(from, self.now, &answer);
        }
        if let Err(violation) = result {
            self.reported(to, &violation);
        }
        matches!(heard, Heard::Chunk { .. }) && self.watch.is_in_long_transfer(to)
    }

    /// A core says that a peer did what no peer does. No fault here makes one do so, but for old messages.
    fn reported(&mut self, node: usize, violation: &Violation) {
        match violation {
            Violation::Misaddressed => self.counts.add(Effect::MisaddressedRefused),
            Violation::BootWentBack { .. } => self.counts.add(Effect::Violations),
            Violation::Stranger(_)
            | Violation::MalformedSnapshot(_)
            | Violation::SnapshotDigest(_)
            | Violation::SnapshotTooLarge { .. }
            | Violation::ImpossibleBoot { .. }
            | Violation::ImpossibleTerm(_)
            | Violation::MalformedEntries(_)
            | Violation::TwoLeaders { .. }
            | Violation::CommittedConflict { .. }
            | Violation::LeaderRewrote { .. }
            | Violation::AcknowledgedBeyondLog(_)
            | Violation::NotForTheCore => {
                self.violation.get_or_insert_with(|| format!("n{}: {violation}", node + 1));
            }
        }
    }

    /// A piece of a long transfer came: the middle of a transfer is a hot window for both its ends.
    fn crash_in_transfer(&mut self, from: usize, to: usize) -> Result<(), Failure> {
        let stream = self.nodes[to].crash_stream;
        if self.is_closing() || !self.choices.chance(stream, self.setup.crash.transfer_ppm) {
            return Ok(());
        }
        self.counts.add(Effect::CrashInTransfer);
        let node = if self.choices.below(stream, 3) == 2 { from } else { to };
        self.crash(node, Crash::Drawn)
    }
}
