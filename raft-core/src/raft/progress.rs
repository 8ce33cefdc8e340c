//! What a leader knows of one peer (Raft figure 2: nextIndex and matchIndex).

use alloc::collections::VecDeque;

use crate::config::Config;
use crate::types::{Boot, Index, Instant, Round};

/// How appends are sent to a peer.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// The peer's log is not known to match at `next`: one append at a time.
    Probe {
        /// The append that is under way.
        sent: Option<Sent>,
    },
    /// The logs match at `next`: appends are sent ahead of their acknowledgements, up to a window.
    Pipeline(Window),
}

/// Appends under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    appends: VecDeque<Sent>,
    bytes: u64,
}

/// An append under way: its last entry, its bytes, when it left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    last: Index,
    bytes: u64,
    at: Instant,
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
    /// Probing or pipelined.
    pub(crate) mode: Mode,
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

    fn acknowledge(&mut self, through: Index) {
        while self.appends.front().is_some_and(|sent| sent.last <= through) {
            let Some(sent) = self.appends.pop_front() else { break };
            self.bytes -= sent.bytes;
        }
    }

    fn has_room(&self, config: &Config) -> bool {
        self.appends.len() < config.window_appends_max && self.bytes < config.window_bytes_max
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
        self.mode = Mode::Probe { sent: None };
        self.commit_told = Index(0);
    }

    /// Whether an append may be sent now. `log_end` is the leader's last index.
    pub(crate) fn may_append(&self, config: &Config, log_end: Index) -> bool {
        match &self.mode {
            Mode::Probe { sent } => sent.is_none(),
            Mode::Pipeline(window) => self.next <= log_end && window.has_room(config),
        }
    }

    /// Notes an append of entries through `last`.
    pub(crate) fn sent(&mut self, last: Index, bytes: u64, at: Instant) {
        let append = Sent { last, bytes, at };
        match &mut self.mode {
            Mode::Probe { sent } => *sent = Some(append),
            Mode::Pipeline(window) => {
                window.push(append);
                self.next = last.next();
            }
        }
    }

    /// The peer holds everything through `matched`, durably. Says whether that is news.
    pub(crate) fn acknowledge(&mut self, matched: Index) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.next = self.next.max(self.matched.next());
        match &mut self.mode {
            Mode::Probe { sent } => {
                self.next = self.matched.next();
                let mut window = Window::default();
                // What the probe carried may be on its way to the peer's disk still: it is not sent again yet.
                if let Some(sent) = sent.filter(|sent| sent.last > self.matched) {
                    self.next = sent.last.next();
                    window.push(sent);
                }
                self.mode = Mode::Pipeline(window);
            }
            Mode::Pipeline(window) => window.acknowledge(matched),
        }
        news
    }

    /// The peer's log does not match at `refused`; the last place where it may is `hint`.
    ///
    /// An answer that was overtaken changes nothing: what is known to match stays matched.
    pub(crate) fn reject(&mut self, refused: Index, hint: Index) {
        if refused <= self.matched || refused >= self.next {
            return;
        }
        self.next = hint.next().min(refused).max(self.matched.next());
        self.mode = Mode::Probe { sent: None };
    }

    /// When the oldest append under way must be sent again.
    pub(crate) fn retransmit_at(&self, config: &Config) -> Option<Instant> {
        let sent = match &self.mode {
            Mode::Probe { sent } => sent.as_ref(),
            Mode::Pipeline(window) => window.appends.front(),
        };
        sent.map(|sent| sent.at.plus(config.retransmit_after))
    }

    /// Sends again what was not acknowledged in time.
    pub(crate) fn retransmit(&mut self, now: Instant, config: &Config) {
        if self.retransmit_at(config).is_none_or(|at| now < at) {
            return;
        }
        if let Mode::Pipeline(_) = self.mode {
            self.next = self.matched.next();
        }
        self.mode = Mode::Probe { sent: None };
    }
}
