//! A leader's side of a snapshot's way to a follower (Raft §7, InstallSnapshot): pieces, ahead of their answers.

use alloc::collections::VecDeque;

use crate::config::Config;
use crate::snapshot::SnapshotMeta;
use crate::types::{Instant, Span};

/// A snapshot on its way to one peer. Invariant: received <= next <= length.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) snapshot: SnapshotMeta,
    /// The peer holds the content through here, as far as it said.
    received: u64,
    /// Where the next new piece starts.
    next: u64,
    /// Pieces under way, in order.
    pieces: VecDeque<Piece>,
    /// The last piece, which an empty snapshot has too, was sent at least once.
    is_all_sent: bool,
    /// When the peer was last told, or last answered, if all pieces are there and only the installation is waited for.
    waiting_since: Option<Instant>,
    /// The peer has no room for it: until then nothing is sent.
    paused_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u64,
    end: u64,
    at: Instant,
    is_lost: bool,
}

impl Transfer {
    pub(crate) fn new(snapshot: SnapshotMeta) -> Transfer {
        Transfer {
            snapshot,
            received: 0,
            next: 0,
            pieces: VecDeque::new(),
            is_all_sent: false,
            waiting_since: None,
            paused_until: None,
        }
    }

    /// Where the piece to send now starts, and its length, `bytes_max` at most; none while the window is full or all is
    /// under way.
    pub(crate) fn wants(&self, config: &Config, bytes_max: u64) -> Option<(u64, u64)> {
        if self.paused_until.is_some() {
            return None;
        }
        if let Some(lost) = self.pieces.iter().find(|piece| piece.is_lost) {
            return Some((lost.start, bytes_max.min(lost.end - lost.start)));
        }
        let is_done = self.next == self.snapshot.length && self.is_all_sent;
        if is_done || self.pieces.len() >= config.chunks_in_flight_max {
            return None;
        }
        Some((self.next, bytes_max.min(self.snapshot.length - self.next)))
    }

    /// Notes that a piece left.
    pub(crate) fn sent(&mut self, start: u64, bytes: u64, at: Instant) {
        let piece = Piece { start, end: start + bytes, at, is_lost: false };
        match self.pieces.iter().position(|piece| piece.start == start) {
            Some(at) => {
                let known = core::mem::replace(&mut self.pieces[at], piece);
                // A lost piece may come back in several; the rest is lost still.
                if piece.end < known.end {
                    self.pieces.insert(at + 1, Piece { start: piece.end, ..known });
                }
            }
            None => {
                self.pieces.push_back(piece);
                self.next = piece.end;
                self.is_all_sent |= piece.end == self.snapshot.length;
            }
        }
    }

    /// The peer holds everything before `received`. An answer that was overtaken changes nothing; one that goes back
    /// (`is_restart`) means that the peer began anew. Gives the time that the newest answered piece took, and its bytes.
    pub(crate) fn handle_answer(
        &mut self,
        received: u64,
        is_restart: bool,
        now: Instant,
    ) -> Option<(Span, u64)> {
        if received > self.snapshot.length || self.paused_until.is_some() {
            return None;
        }
        if received < self.received {
            if is_restart {
                *self = Transfer::new(self.snapshot.clone());
            }
            return None;
        }
        let mut took = None;
        while self.pieces.front().is_some_and(|piece| piece.end <= received) {
            took = self.pieces.pop_front().map(|piece| (now.since(piece.at), piece.end - piece.start));
        }
        self.received = received;
        if received > self.next {
            // A follower that had part of it already, from another leader.
            self.next = received;
            self.pieces.clear();
        }
        if received == self.snapshot.length {
            self.is_all_sent = true;
            self.pieces.clear();
            self.waiting_since = Some(now);
        }
        took
    }

    /// The peer has no room for it. It is tried again from the beginning, but not before.
    pub(crate) fn pause(&mut self, until: Instant) {
        *self = Transfer { paused_until: Some(until), ..Transfer::new(self.snapshot.clone()) };
    }

    /// When the oldest piece counts as lost, or the follower is asked whether it installed all. A lost piece goes out as
    /// soon as the disk has read it: no time is waited for then.
    pub(crate) fn retransmit_at(&self, timeout: Span) -> Option<Instant> {
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        let since = match self.pieces.front() {
            Some(piece) => (!piece.is_lost).then_some(piece.at),
            None => self.waiting_since,
        };
        since.map(|at| at.plus(timeout))
    }

    /// The oldest piece is lost; or all are there, and the word that it is installed is. Gives the bytes that were lost.
    pub(crate) fn retransmit(&mut self, now: Instant) -> u64 {
        self.paused_until = self.paused_until.filter(|until| *until > now);
        if let Some(piece) = self.pieces.front_mut() {
            piece.is_lost = true;
            return piece.end - piece.start;
        }
        if let Some(since) = &mut self.waiting_since {
            *since = now;
            let end = self.snapshot.length;
            self.pieces.push_back(Piece { start: end, end, at: now, is_lost: true });
        }
        0
    }
}
