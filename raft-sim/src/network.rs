//! The links between nodes: datagrams that are late, lost, doubled, old, damaged, astray or cut off.

use std::collections::VecDeque;

use crate::choices::{Choices, PPM, Stream};
use crate::counts::{Counts, Effect};
use crate::schedule::{Shape, kinds};
use crate::swarm::{NetworkSetup, Noise};

/// A datagram on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packet {
    pub(crate) from: u8,
    pub(crate) to: u8,
    /// The kind of the message that it is of, for partitions by kind.
    pub(crate) kind: u8,
    /// The sender's generation when it sent this.
    pub(crate) generation: u32,
    /// Numbers the datagrams of a link.
    order: u64,
    pub(crate) duplicate: bool,
    pub(crate) corrupted: bool,
    /// It was held back, by a clog or with its kind.
    held: Option<Effect>,
    pub(crate) bytes: Vec<u8>,
}

/// What becomes of a datagram that reaches the end of its link.
pub(crate) enum Arrival {
    /// The node gets it.
    Delivered,
    /// Nobody does.
    Dropped(Effect),
    /// The link is clogged until then.
    Held(u64),
}

/// All links.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    setup: NetworkSetup,
    nodes: usize,
    links: Vec<Link>,
    packets: Vec<Packet>,
    free: Vec<u32>,
    cuts: Vec<Cut>,
    holds: Vec<Hold>,
    stretches: Vec<Stretch>,
    /// By receiver, the last answers that were sent to it; empty unless the schedule has them come again.
    kept: Vec<Kept>,
    /// Links between these nodes do what `quiet` says, and none of the rest.
    healed: u16,
    quiet: NetworkSetup,
}

#[derive(Clone, Debug)]
struct Link {
    stream: Stream,
    factor: u64,
    sent: u64,
    /// The highest order that arrived.
    arrived: u64,
    clogged_until: u64,
    /// It takes bytes until then that were sent before.
    busy_until: u64,
    /// Bytes that it took so far, and those that did not fit into its queue.
    passed: u64,
    overflowed: u64,
    /// For ever.
    severed: bool,
    /// What was sent through here is lost.
    lost_through: u64,
}

#[derive(Clone, Debug)]
struct Cut {
    fault: u32,
    since: u64,
    shape: Shape,
    cut: Vec<u16>,
    messages: u32,
}

/// What some nodes send of some kinds of message stays on its way until a moment, and then arrives at once.
#[derive(Clone, Debug)]
struct Hold {
    from: u16,
    messages: u32,
    until: u64,
}

/// What a node is told arrives ever later, as if time went half as fast; then as late as that for as long again.
#[derive(Clone, Debug)]
struct Stretch {
    to: usize,
    since: u64,
    until: u64,
}

impl Stretch {
    /// When something arrives that would have come now.
    fn late(&self, now: u64) -> u64 {
        let end = self.until + (self.until - self.since);
        (now + (now - self.since)).min(end)
    }
}

/// Answers to one node, of the latest, and of the time when it led before.
#[derive(Clone, Debug, Default)]
struct Kept {
    votes: VecDeque<KeptDatagram>,
    others: VecDeque<KeptDatagram>,
    old_votes: VecDeque<KeptDatagram>,
    old_others: VecDeque<KeptDatagram>,
}

#[derive(Clone, Debug)]
struct KeptDatagram {
    from: usize,
    kind: u8,
    generation: u32,
    bytes: Vec<u8>,
}

/// Answers that are kept for each node.
const VOTES_KEPT: usize = 16;
const OTHERS_KEPT: usize = 64;

impl Kept {
    fn add(&mut self, out: &Outgoing<'_>) {
        let (queue, most) = match out.kind {
            kinds::VOTE_ANSWER => (&mut self.votes, VOTES_KEPT),
            kinds::ACKNOWLEDGEMENT
            | kinds::REJECTION
            | kinds::HEARTBEAT_ANSWER
            | kinds::READ_INDEX_ANSWER
            | kinds::CHUNK_ANSWER => (&mut self.others, OTHERS_KEPT),
            _ => return,
        };
        if queue.len() == most {
            queue.pop_front();
        }
        let Outgoing { from, kind, generation, bytes, .. } = *out;
        queue.push_back(KeptDatagram { from, kind, generation, bytes: bytes.to_vec() });
    }
}

/// A datagram to send.
pub(crate) struct Outgoing<'a> {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) kind: u8,
    pub(crate) generation: u32,
    pub(crate) bytes: &'a [u8],
}

impl Network {
    /// `keeps`: answers are kept, to come again.
    pub(crate) fn new(setup: NetworkSetup, nodes: usize, keeps: bool, choices: &mut Choices) -> Network {
        let mut links = Vec::with_capacity(nodes * nodes);
        for from in 0..nodes {
            for to in 0..nodes {
                let stream = choices.stream("net", from as u64, to as u64);
                let factor = choices.between(stream, 1, setup.asymmetry.max(1));
                links.push(Link {
                    stream,
                    factor,
                    sent: 0,
                    arrived: 0,
                    clogged_until: 0,
                    busy_until: 0,
                    passed: 0,
                    overflowed: 0,
                    severed: false,
                    lost_through: 0,
                });
            }
        }
        let kept = if keeps { vec![Kept::default(); nodes] } else { Vec::new() };
        let (packets, free, cuts, holds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (quiet, stretches) = (setup.healed(), Vec::new());
        Network { setup, nodes, links, packets, free, cuts, holds, stretches, kept, healed: 0, quiet }
    }

    /// Sends a datagram: calls `deliver(time, packet)` for each copy that will arrive.
    pub(crate) fn send(
        &mut self,
        choices: &mut Choices,
        counts: &mut Counts,
        now: u64,
        out: &Outgoing<'_>,
        deliver: &mut dyn FnMut(u64, u32),
    ) {
        if let Some(kept) = self.kept.get_mut(out.to) {
            kept.add(out);
        }
        let healed = self.healed >> out.from & self.healed >> out.to & 1 == 1;
        let setup = if healed { &self.quiet } else { &self.setup };
        let link = &mut self.links[out.from * self.nodes + out.to];
        let stream = link.stream;
        link.sent += 1;
        let order = link.sent;
        // Two decisions for each datagram, and more only for what is rare.
        let fate = Fate::of(setup, choices.below(stream, PPM));
        let latency = (setup.latency + choices.below(stream, setup.jitter + 1)) * link.factor;
        let Some(left) = link.leave(setup, counts, now, out.bytes.len() as u64) else {
            return counts.add(Effect::DroppedQueue);
        };
        let mut at = left + latency.max(1);
        let mut packet = Packet {
            from: out.from as u8,
            to: out.to as u8,
            kind: out.kind,
            generation: out.generation,
            order,
            ..Packet::default()
        };
        let mut flipped = None;
        match fate {
            Fate::Plain => {}
            Fate::Lost if healed => return counts.add(Effect::DroppedNoise),
            Fate::Lost => return counts.add(Effect::DroppedLoss),
            Fate::Doubled => {
                let again = at + choices.below(stream, latency * 4 + 2);
                deliver(again, self.store(Packet { duplicate: true, ..packet.clone() }, out.bytes));
            }
            Fate::Old => {
                let later = at + choices.below(stream, setup.old + 1);
                deliver(later, self.store(Packet { duplicate: true, ..packet.clone() }, out.bytes));
            }
            Fate::Delayed => at += choices.below(stream, latency * 6 + 2),
            Fate::Spiked => at += choices.below(stream, setup.spike + 1),
            Fate::Corrupted => {
                packet.corrupted = true;
                flipped = Some(choices.below(stream, (out.bytes.len() as u64 * 8).max(1)) as usize);
            }
            Fate::Astray => packet.to = choices.below(stream, self.nodes as u64) as u8,
        }
        let id = self.store(packet, out.bytes);
        if let Some(bit) = flipped
            && let Some(byte) = self.packets[id as usize].bytes.get_mut(bit / 8)
        {
            *byte ^= 1 << (bit % 8);
        }
        deliver(at, id);
    }

    fn store(&mut self, mut packet: Packet, bytes: &[u8]) -> u32 {
        if let Some(id) = self.free.pop() {
            let slot = &mut self.packets[id as usize];
            packet.bytes = std::mem::take(&mut slot.bytes);
            packet.bytes.clear();
            packet.bytes.extend_from_slice(bytes);
            *slot = packet;
            return id;
        }
        packet.bytes = bytes.to_vec();
        self.packets.push(packet);
        u32::try_from(self.packets.len() - 1).expect("far fewer datagrams are on their way at a time")
    }

    /// A datagram reaches the end of its link. Filters apply here, so a cut catches what is on its way.
    pub(crate) fn arrive(&mut self, now: u64, id: u32, counts: &mut Counts) -> Arrival {
        let packet = &mut self.packets[id as usize];
        let (from, to) = (usize::from(packet.from), usize::from(packet.to));
        let link = &mut self.links[from * self.nodes + to];
        if link.severed || packet.order <= link.lost_through {
            return Arrival::Dropped(Effect::DroppedForEver);
        }
        for cut in &self.cuts {
            let hit = cut.cut.get(from).is_some_and(|row| row >> to & 1 == 1);
            if hit && cut.since <= now && cut.messages >> packet.kind & 1 == 1 {
                return Arrival::Dropped(cut.shape.effect());
            }
        }
        if now < link.clogged_until {
            packet.held = Some(Effect::BurstAfterClog);
            return Arrival::Held(link.clogged_until);
        }
        let holds = |hold: &&Hold| hold.from >> from & 1 == 1 && hold.messages >> packet.kind & 1 == 1;
        if let Some(hold) = self.holds.iter().filter(|hold| now < hold.until).find(holds) {
            packet.held = Some(Effect::BurstAfterHold);
            return Arrival::Held(hold.until);
        }
        let stretches = |stretch: &&Stretch| stretch.to == to && stretch.since < now && packet.held.is_none();
        if let Some(late) = self.stretches.iter().find(stretches).map(|stretch| stretch.late(now))
            && late > now
        {
            packet.held = Some(Effect::LateToLeader);
            return Arrival::Held(late);
        }
        if let Some(effect) = packet.held {
            counts.add(effect);
        }
        if packet.order < link.arrived && !packet.duplicate {
            counts.add(Effect::Reordered);
        }
        link.arrived = link.arrived.max(packet.order);
        Arrival::Delivered
    }

    /// For each link that takes so many bytes only: what it took, and what did not fit into its queue.
    pub(crate) fn overflows(&self) -> impl Iterator<Item = (u64, u64)> {
        self.links.iter().map(|link| (link.passed, link.overflowed))
    }

    pub(crate) fn packet(&self, id: u32) -> &Packet {
        &self.packets[id as usize]
    }

    /// The datagram was delivered or dropped.
    pub(crate) fn release(&mut self, id: u32) {
        self.free.push(id);
    }

    pub(crate) fn clog(&mut self, from: usize, to: usize, until: u64) {
        let link = &mut self.links[from * self.nodes + to];
        link.clogged_until = link.clogged_until.max(until);
    }

    pub(crate) fn hold(&mut self, now: u64, from: u16, messages: u32, until: u64) {
        self.holds.retain(|hold| now < hold.until);
        self.holds.push(Hold { from, messages, until });
    }

    pub(crate) fn cut(&mut self, fault: u32, shape: Shape, cut: Vec<u16>, messages: u32) {
        self.cuts.push(Cut { fault, since: 0, shape, cut, messages });
    }

    /// What a node is told arrives ever later until then, and as late as at last for as long again. From then on nobody
    /// hears it.
    pub(crate) fn lull(&mut self, fault: u32, node: usize, now: u64, until: u64) {
        self.stretches.retain(|stretch| now < stretch.late(stretch.until));
        self.stretches.push(Stretch { to: node, since: now, until });
        let all = (1u16 << self.nodes) - 1;
        let cut = (0..self.nodes).map(|from| if from == node { all & !(1 << node) } else { 0 }).collect();
        self.cuts.push(Cut { fault, since: until, shape: Shape::Unheard, cut, messages: u32::MAX });
    }

    /// What was answered to a node so far becomes old: it can come again.
    pub(crate) fn age(&mut self, node: usize) {
        if let Some(kept) = self.kept.get_mut(node) {
            kept.old_votes = std::mem::take(&mut kept.votes);
            kept.old_others = std::mem::take(&mut kept.others);
        }
    }

    /// What is old will not come again.
    pub(crate) fn forget(&mut self, node: usize) {
        if let Some(kept) = self.kept.get_mut(node) {
            *kept = Kept::default();
        }
    }

    /// Old answers to a node come again: votes, or all others. Calls `deliver(packet)` for each.
    pub(crate) fn answer_again(&mut self, to: usize, votes: bool, deliver: &mut dyn FnMut(u32)) {
        let Some(kept) = self.kept.get_mut(to) else { return };
        let old = std::mem::take(if votes { &mut kept.old_votes } else { &mut kept.old_others });
        for KeptDatagram { from, kind, generation, bytes } in old {
            let order = self.links[from * self.nodes + to].sent;
            let held = Some(Effect::AnsweredAgain);
            let (from, to) = (from as u8, to as u8);
            let packet =
                Packet { from, to, kind, generation, order, duplicate: true, held, ..Packet::default() };
            deliver(self.store(packet, &bytes));
        }
    }

    /// Whether a cut that is still there lets a node reach anybody.
    pub(crate) fn is_one_of_many(&self, fault: u32, node: usize) -> bool {
        let all = (1u16 << self.nodes) - 1;
        self.cuts.iter().any(|cut| {
            let reaches = cut.cut.get(node).map_or(all, |cut| all & !cut & !(1 << node));
            cut.fault == fault && reaches != 0
        })
    }

    pub(crate) fn mend(&mut self, fault: u32) {
        self.cuts.retain(|cut| cut.fault != fault);
    }

    /// All partitions and clogs end, and links inside the core do no more from now on than a cluster must live with.
    pub(crate) fn heal(&mut self, core: u16) {
        self.cuts.clear();
        self.holds.clear();
        self.stretches.clear();
        self.kept.fill(Kept::default());
        for link in &mut self.links {
            link.clogged_until = 0;
        }
        self.healed = core;
    }

    /// From now on links inside the core have latency only.
    pub(crate) fn end_noise(&mut self) {
        self.quiet = NetworkSetup { noise: Noise::default(), ..self.setup.clone() }.healed();
    }

    /// What is on its way from a node outside of the core to one inside, however late, is lost.
    pub(crate) fn lose_strays(&mut self, core: u16) {
        for (place, link) in self.links.iter_mut().enumerate() {
            let (from, to) = (place / self.nodes, place % self.nodes);
            if core >> from & 1 == 0 && core >> to & 1 == 1 {
                link.lost_through = link.sent;
            }
        }
    }

    /// Cuts a link for ever.
    pub(crate) fn sever(&mut self, from: usize, to: usize) {
        self.links[from * self.nodes + to].severed = true;
    }
}

impl Link {
    /// When a datagram that is sent now has left, behind those before it; none if too much waits already.
    fn leave(&mut self, setup: &NetworkSetup, counts: &mut Counts, now: u64, bytes: u64) -> Option<u64> {
        if setup.bytes_per_second == 0 {
            return Some(now);
        }
        let takes = |bytes: u64| bytes * 1_000_000 / setup.bytes_per_second;
        if self.busy_until > now {
            if self.busy_until > now + takes(setup.queue_bytes) {
                self.overflowed += bytes;
                return None;
            }
            counts.add_many(Effect::BytesQueued, bytes);
        }
        self.busy_until = self.busy_until.max(now) + takes(bytes);
        self.passed += bytes;
        Some(self.busy_until)
    }
}

/// What the link does to a datagram. One of them, drawn at once.
enum Fate {
    Plain,
    Lost,
    Doubled,
    Delayed,
    Spiked,
    Old,
    Corrupted,
    Astray,
}

impl Fate {
    fn of(setup: &NetworkSetup, draw: u64) -> Fate {
        // From the top, because 0 is dull.
        let mut left = PPM - 1 - draw;
        let fates = [
            (setup.loss_ppm, Fate::Lost),
            (setup.duplicate_ppm, Fate::Doubled),
            (setup.reorder_ppm, Fate::Delayed),
            (setup.spike_ppm, Fate::Spiked),
            (setup.old_ppm, Fate::Old),
            (setup.corrupt_ppm, Fate::Corrupted),
            (setup.misdirect_ppm, Fate::Astray),
        ];
        for (ppm, fate) in fates {
            let ppm = u64::from(ppm);
            if left < ppm {
                return fate;
            }
            left -= ppm;
        }
        Fate::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(setup: NetworkSetup, datagrams: u64) -> (Network, Vec<(u64, u32)>, Counts) {
        let mut choices = Choices::seeded(5);
        let mut network = Network::new(setup, 3, true, &mut choices);
        let (mut counts, mut due) = (Counts::default(), Vec::new());
        for now in 0..datagrams {
            let out = Outgoing { from: 0, to: 1, kind: 4, generation: 1, bytes: &[7; 40] };
            network.send(&mut choices, &mut counts, now, &out, &mut |at, id| due.push((at, id)));
        }
        due.sort_unstable();
        (network, due, counts)
    }

    #[test]
    fn without_faults_everything_arrives_once_and_after_the_latency() {
        let setup = NetworkSetup { latency: 10, asymmetry: 1, ..NetworkSetup::default() };
        let (mut network, due, mut counts) = sent(setup, 50);
        assert_eq!(due.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (10..60).collect::<Vec<_>>());
        for (at, id) in due {
            assert!(matches!(network.arrive(at, id, &mut counts), Arrival::Delivered));
        }
        assert_eq!(counts, Counts::default());
    }

    #[test]
    fn a_datagram_leaves_behind_those_before_it_and_too_many_are_lost() {
        // 40 bytes take 40 ms; one is sent each microsecond.
        let slow = NetworkSetup { latency: 10, asymmetry: 1, bytes_per_second: 1_000, ..Default::default() };
        let (_, due, counts) = sent(NetworkSetup { queue_bytes: 100, ..slow.clone() }, 50);
        assert_eq!(due.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [40_010, 80_010, 120_010]);
        assert_eq!((counts.get(Effect::DroppedQueue), counts.get(Effect::BytesQueued)), (47, 80));
        let (_, due, counts) = sent(NetworkSetup { queue_bytes: 1 << 20, ..slow }, 50);
        assert_eq!((due.len(), due[49].0, counts.get(Effect::DroppedQueue)), (50, 2_000_010, 0));
    }

    #[test]
    fn each_fate_has_its_share() {
        let setup = NetworkSetup {
            latency: 10,
            asymmetry: 1,
            loss_ppm: 100_000,
            duplicate_ppm: 200_000,
            reorder_ppm: 100_000,
            ..NetworkSetup::default()
        };
        let (mut network, due, mut counts) = sent(setup, 10_000);
        assert!((800..1_200).contains(&counts.get(Effect::DroppedLoss)));
        assert!((10_500..11_500).contains(&due.len()));
        for (at, id) in due {
            network.arrive(at, id, &mut counts);
        }
        assert!(counts.get(Effect::Reordered) > 300);
    }

    #[test]
    fn a_cut_is_one_way_and_by_kind_and_catches_what_is_on_its_way() {
        let setup = NetworkSetup { latency: 10, asymmetry: 1, ..NetworkSetup::default() };
        let (mut network, due, mut counts) = sent(setup, 3);
        network.cut(0, Shape::OneWay, vec![0b010, 0, 0], 1 << 4);
        let dropped = network.arrive(11, due[0].1, &mut counts);
        assert!(matches!(dropped, Arrival::Dropped(Effect::DroppedOneWay)));
        network.mend(0);
        network.cut(1, Shape::Kinds, vec![0b010, 0, 0], 1 << 5);
        assert!(matches!(network.arrive(12, due[1].1, &mut counts), Arrival::Delivered));
        network.clog(0, 1, 100);
        assert!(matches!(network.arrive(13, due[2].1, &mut counts), Arrival::Held(100)));
        assert!(matches!(network.arrive(100, due[2].1, &mut counts), Arrival::Delivered));
        assert_eq!(counts.get(Effect::BurstAfterClog), 1);
    }
}
