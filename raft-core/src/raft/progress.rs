//! What a leader knows of one peer (Raft figure 2: nextIndex and matchIndex).

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::Bytes;

use super::budget::{Budget, FLOOR_BYTES};
use super::pace::Pace;
use super::rtt::RoundTrip;
use super::transfer::Transfer;
use crate::config::Config;
use crate::entry::Entries;
use crate::types::{Boot, Index, Instant, Round};

/// An append that is never acknowledged is repeated this often before the window is given up, and one that is lost after so
/// many repeats was not lost by chance: the path carries less than what is under way.
const REPEATS_MAX: u32 = 3;

/// How a peer is brought up to date.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// The peer's log is not known to match at `next`: one append at a time.
    Probe {
        /// The append that is under way.
        sent: Option<Sent>,
    },
    /// The logs match at `next`: appends are sent ahead of their acknowledgements, up to a window.
    Pipeline(Window),
    /// What the peer needs is not in the log any more: it gets a snapshot.
    Snapshot(Box<Transfer>),
}

/// Appends under way, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    appends: VecDeque<Sent>,
    bytes: u64,
    gap: Option<Gap>,
}

/// What the peer named as missing, and was not as old as a round trip then: it may only have been overtaken.
#[derive(Clone, Copy, Debug)]
struct Gap {
    after: Index,
    through: Index,
    /// When the oldest of it is taken for lost.
    due: Instant,
}

/// An append under way: its entries, their bytes, when it left last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    first: Index,
    last: Index,
    bytes: u64,
    at: Instant,
    /// How often it was repeated; a repeated one tells nothing about round trips.
    repeats: u32,
    /// It is taken for lost.
    is_lost: bool,
}

/// Something read back from the disk for a peer.
#[derive(Clone, Debug)]
pub(crate) enum Fetched {
    /// Nothing is there, and nothing is on its way.
    Nothing,
    /// The request of this number is on its way.
    Asked(u64),
    /// Entries, consecutive.
    Entries(Entries),
    /// A piece of the snapshot, from this offset on.
    Chunk(u64, Bytes),
}

/// The entries that a peer should get next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) first: Index,
    pub(crate) through: Index,
    pub(crate) is_repeat: bool,
}

/// One peer. Invariant: matched < next.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The peer's boot, zero before it was first heard.
    pub(crate) boot: Boot,
    /// The next entry to send.
    pub(crate) next: Index,
    /// The peer's log is known to agree, durably, through here.
    pub(crate) matched: Index,
    /// Probing, pipelined, or getting a snapshot.
    pub(crate) mode: Mode,
    /// What was read back from the disk for this peer.
    pub(crate) fetched: Fetched,
    pub(crate) round_trip: RoundTrip,
    /// How much one append may carry.
    pub(crate) budget: Budget,
    /// How many appends may be under way.
    pace: Pace,
    /// The highest round that the peer answered.
    pub(crate) round: Round,
    /// The highest round asked in a heartbeat.
    pub(crate) round_asked: Round,
    /// The highest commit index told.
    pub(crate) commit_told: Index,
    /// When the peer last answered; the start of the term before that.
    pub(crate) heard: Instant,
}

impl Window {
    fn push(&mut self, sent: Sent) {
        self.bytes += sent.bytes;
        self.appends.push_back(sent);
    }

    fn has_room(&self, appends_max: usize, config: &Config) -> bool {
        self.appends.len() < appends_max && self.bytes < config.window_bytes_max
    }

    /// The lost append that is sent again next. The oldest always may be: nothing is acknowledged before it arrives.
    fn next_lost(&self, appends_max: usize) -> Option<&Sent> {
        let place = self.appends.iter().position(|sent| sent.is_lost)?;
        let may = place == 0 || self.appends.iter().filter(|sent| !sent.is_lost).count() < appends_max;
        may.then(|| &self.appends[place])
    }
}

impl Progress {
    /// A peer of which nothing is known but where to start probing.
    pub(crate) fn new(next: Index, now: Instant) -> Progress {
        Progress {
            boot: Boot(0),
            next,
            matched: Index(0),
            mode: Mode::Probe { sent: None },
            fetched: Fetched::Nothing,
            round_trip: RoundTrip::default(),
            budget: Budget::default(),
            pace: Pace::default(),
            round: Round(0),
            round_asked: Round(0),
            commit_told: Index(0),
            heard: now,
        }
    }

    /// The peer restarted: what it held may be gone.
    pub(crate) fn handle_new_boot(&mut self, boot: Boot) {
        self.boot = boot;
        self.matched = Index(0);
        self.probe();
        self.commit_told = Index(0);
    }

    /// Keeps no more room than what is here takes.
    pub(crate) fn let_go_of_room(&mut self) {
        if let Mode::Pipeline(window) = &mut self.mode {
            window.appends.shrink_to_fit();
        }
    }

    fn probe(&mut self) {
        self.mode = Mode::Probe { sent: None };
        self.fetched = Fetched::Nothing;
    }

    /// The entries to send now, if any are. Bounded by bytes at the moment of sending.
    pub(crate) fn wants(&self, config: &Config, log_end: Index) -> Option<Want> {
        let fresh = Want { first: self.next, through: log_end, is_repeat: false };
        match &self.mode {
            Mode::Probe { sent } => sent.is_none().then_some(fresh),
            Mode::Pipeline(window) => {
                let appends_max = self.pace.appends(config.window_appends_max);
                let lost = window.next_lost(appends_max);
                // The peer may hold the beginning, and the log may have let go of it: a snapshot would go out instead.
                let first = |sent: &Sent| sent.first.max(self.matched.next());
                let repeat = |sent: &Sent| Want { first: first(sent), through: sent.last, is_repeat: true };
                lost.map(repeat)
                    .or((self.next <= log_end && window.has_room(appends_max, config)).then_some(fresh))
            }
            Mode::Snapshot(_) => None,
        }
    }

    /// Bytes of entries in the next append. A probe asks where the logs agree, and nothing else is sent before its
    /// answer: it should not be lost for what it carries.
    pub(crate) fn append_bytes_max(&self, config: &Config) -> u64 {
        match &self.mode {
            Mode::Probe { .. } => FLOOR_BYTES.min(config.append_bytes_max),
            Mode::Pipeline(_) | Mode::Snapshot(_) => self.budget.bytes(config.append_bytes_max),
        }
    }

    /// Notes an append from `want.first` through `last`.
    pub(crate) fn sent(&mut self, want: Want, last: Index, bytes: u64, at: Instant) {
        let append = Sent { first: want.first, last, bytes, at, repeats: 0, is_lost: false };
        match &mut self.mode {
            Mode::Probe { sent } => *sent = Some(append),
            Mode::Pipeline(window) if want.is_repeat => {
                let lost = window.appends.iter_mut().find(|sent| sent.is_lost);
                let sent = lost.expect("a repeat is wanted only while one is lost");
                sent.repeats += 1;
                sent.at = at;
                // An append of many entries may come back in pieces; the rest is lost still.
                if last < sent.last {
                    let (rest, whole) = (Sent { first: last.next(), ..*sent }, sent.bytes);
                    *sent = Sent { last, bytes, is_lost: false, ..*sent };
                    let rest = Sent { bytes: whole.saturating_sub(bytes), ..rest };
                    let place = window.appends.iter().position(|sent| sent.last == last);
                    window.appends.insert(place.map_or(0, |place| place + 1), rest);
                    window.bytes = window.appends.iter().map(|sent| sent.bytes).sum();
                } else {
                    sent.is_lost = false;
                }
            }
            Mode::Pipeline(window) => {
                window.push(append);
                self.next = last.next();
            }
            Mode::Snapshot(_) => {}
        }
    }

    /// The peer holds everything through `matched`, durably. Says whether that is news.
    pub(crate) fn acknowledge(&mut self, matched: Index, now: Instant) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        let next = self.next.max(self.matched.next());
        match &mut self.mode {
            Mode::Probe { sent } => {
                let mut window = Window::default();
                self.next = self.matched.next();
                // What the probe carried may be on its way to the peer's disk still: it is not sent again yet.
                match sent.filter(|sent| sent.last > self.matched) {
                    Some(sent) if sent.first <= self.next => {
                        self.next = sent.last.next();
                        window.push(sent);
                    }
                    Some(_) | None => {}
                }
                if let Some(sent) = sent.filter(|sent| sent.last <= matched) {
                    self.round_trip.measure(now.since(sent.at));
                }
                self.mode = Mode::Pipeline(window);
                self.fetched = Fetched::Nothing;
            }
            Mode::Pipeline(window) => {
                self.next = next;
                // An append that came early was acknowledged late, with the one that filled the gap: only an answer to
                // appends none of which was repeated tells how long an answer takes (Karn's rule, and then the newest).
                let mut newest = None;
                let mut is_clean = true;
                while window.appends.front().is_some_and(|sent| sent.last <= matched) {
                    self.pace.handle_arrival(window.appends.len());
                    let Some(sent) = window.appends.pop_front() else { break };
                    window.bytes -= sent.bytes;
                    is_clean &= sent.repeats == 0 && !sent.is_lost;
                    self.budget.handle_arrival(sent.bytes);
                    newest = Some(sent.at);
                }
                window.gap = window.gap.filter(|gap| gap.through > matched);
                if let Some(at) = newest.filter(|_| is_clean) {
                    self.round_trip.measure(now.since(at));
                }
                if news {
                    self.round_trip.handle_progress();
                }
            }
            // Every acknowledgement at or above the log's base ends the transfer; the leader sees to that.
            Mode::Snapshot(_) => self.next = next,
        }
        news
    }

    /// The snapshot, or more, has arrived: the log goes on from there.
    pub(crate) fn finish_snapshot(&mut self) {
        self.mode = Mode::Pipeline(Window::default());
        self.fetched = Fetched::Nothing;
        self.next = self.matched.next();
    }

    /// The peer refused an append after `refused`, and its log ends at `peer_last`; the last place where the logs may
    /// agree is `hint`, none if it is not in the log any more.
    ///
    /// An answer that was overtaken changes nothing: what is known to match stays matched.
    pub(crate) fn reject(
        &mut self,
        refused: Index,
        hint: Option<Index>,
        peer_last: Index,
        now: Instant,
        config: &Config,
    ) {
        if refused <= self.matched || refused >= self.next {
            return;
        }
        if refused > peer_last && self.note_gap(peer_last, refused, now, config) {
            return;
        }
        let after = hint.map_or(Index(1), Index::next);
        self.next = after.min(refused).max(self.matched.next());
        self.probe();
    }

    /// The peer has appends beyond `through`, and nothing from after `after` to there: that is late, or lost. True if it
    /// is among what is under way.
    fn note_gap(&mut self, after: Index, through: Index, now: Instant, config: &Config) -> bool {
        let age = self.round_trip.gap_age(config);
        let Mode::Pipeline(window) = &mut self.mode else { return false };
        let mut is_under_way = false;
        let under_way = window.appends.len();
        window.gap = None;
        for sent in window.appends.iter_mut().filter(|sent| sent.last > after && sent.first <= through) {
            is_under_way = true;
            // As old as a round trip, it is not merely overtaken.
            let due = sent.at.plus(age);
            if due > now {
                let due = window.gap.map_or(due, |gap| gap.due.min(due));
                window.gap = Some(Gap { after, through, due });
            } else if !sent.is_lost {
                sent.is_lost = true;
                note_loss(&mut self.budget, &mut self.pace, sent, under_way, now);
            }
        }
        is_under_way
    }

    /// When the oldest append under way must be sent again.
    pub(crate) fn retransmit_at(&self, config: &Config) -> Option<Instant> {
        let timeout = self.round_trip.timeout(config);
        match &self.mode {
            Mode::Probe { sent } => sent.as_ref().map(|sent| sent.at.plus(timeout)),
            Mode::Pipeline(window) => {
                let waiting = window.appends.front().filter(|sent| !sent.is_lost);
                let overdue = waiting.map(|sent| sent.at.plus(timeout));
                overdue.into_iter().chain(window.gap.map(|gap| gap.due)).min()
            }
            Mode::Snapshot(transfer) => transfer.retransmit_at(timeout),
        }
    }

    /// Sends again what was not acknowledged in time: the oldest append only, since what came after it may be on the
    /// peer's shelf.
    pub(crate) fn retransmit(&mut self, now: Instant, config: &Config) {
        if let Mode::Pipeline(Window { gap: Some(gap), .. }) = &self.mode
            && gap.due <= now
        {
            let Gap { after, through, .. } = *gap;
            self.note_gap(after, through, now, config);
        }
        if self.retransmit_at(config).is_none_or(|at| now < at) {
            return;
        }
        self.round_trip.handle_timeout();
        match &mut self.mode {
            Mode::Probe { .. } => self.probe(),
            Mode::Pipeline(window) => {
                let under_way = window.appends.len();
                if let Some(sent) = window.appends.front() {
                    note_loss(&mut self.budget, &mut self.pace, sent, under_way, now);
                }
                let oldest = window.appends.front_mut().filter(|sent| sent.repeats < REPEATS_MAX);
                match oldest {
                    Some(sent) => sent.is_lost = true,
                    None => {
                        self.next = self.matched.next();
                        self.probe();
                    }
                }
            }
            Mode::Snapshot(transfer) => self.budget.handle_loss(transfer.retransmit(now)),
        }
    }
}

/// An append is taken for lost, while so many were under way: the next ones are shorter, and fewer if its repeats were lost too.
fn note_loss(budget: &mut Budget, pace: &mut Pace, sent: &Sent, under_way: usize, now: Instant) {
    budget.handle_loss(sent.bytes);
    if sent.repeats >= REPEATS_MAX {
        pace.handle_repeats_lost(sent.at, under_way, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link that drops everything, and a peer that names the gap again and again: fewer are under way each time, down to
    /// the oldest alone, and that one is always sent again.
    #[test]
    fn what_a_full_link_drops_goes_out_ever_slower() {
        let config = Config::default();
        let mut peer = Progress::new(Index(1), Instant(0));
        peer.acknowledge(Index(0), Instant(0));
        let last = Index(17);
        for index in 1..last.0 {
            let want = peer.wants(&config, last).expect("there is room");
            peer.sent(want, Index(index), 100, Instant(1));
        }
        let mut sent = alloc::vec::Vec::new();
        let mut now = Instant(1);
        for _ in 0..12 {
            now = now.plus(config.retransmit_min);
            peer.reject(Index(16), Some(Index(0)), Index(0), now, &config);
            let mut count = 0;
            while let Some(want) = peer.wants(&config, Index(16)).filter(|want| want.is_repeat) {
                peer.sent(want, want.through, 100, now);
                count += 1;
            }
            sent.push(count);
        }
        assert_eq!(sent[..3], [16, 16, 16], "a loss may be chance");
        assert_eq!(sent.last(), Some(&1), "{sent:?}");
        assert!(sent.is_sorted_by(|before, after| before >= after), "{sent:?}");
    }

    /// A peer that took entries from elsewhere than the append that is repeated gets only what it lacks: what it holds may
    /// be gone from the log.
    #[test]
    fn what_is_repeated_begins_after_what_the_peer_holds() {
        let config = Config::default();
        let mut peer = Progress::new(Index(1), Instant(0));
        peer.acknowledge(Index(0), Instant(0));
        let want = peer.wants(&config, Index(2)).expect("entries are there");
        peer.sent(want, Index(2), 100, Instant(1));
        peer.retransmit(Instant(10_000_000), &config);
        peer.acknowledge(Index(1), Instant(10_000_001));
        let repeat = Want { first: Index(2), through: Index(2), is_repeat: true };
        assert_eq!(peer.wants(&config, Index(2)), Some(repeat));
    }
}
