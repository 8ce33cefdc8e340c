//! The requests that wait for something, found by whatever they wait for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::Ticket;
use super::forward::FORWARD_WINDOW;
use crate::types::{Index, Instant, LogId, Member, ReadId, Span, Term};

/// A forward without an answer waits twice as long each time, this often.
const DOUBLINGS_MAX: u32 = 6;

/// What a request waits for.
#[derive(Clone, Debug)]
pub(super) enum Waiting<Q> {
    /// It is in this leader's log: the core says how it ends.
    Logged(LogId),
    /// It is on its way to the leader, or in the leader's log.
    Forwarded(Forwarded),
    /// A query waits for the index that it must see.
    Reading {
        /// The core's number for it.
        read: ReadId,
        /// What to ask then.
        query: Q,
        /// It fails at this moment.
        deadline: Instant,
    },
    /// A query waits until the state is applied through its index.
    Ready {
        /// The index.
        index: Index,
        /// What to ask then.
        query: Q,
        /// It fails at this moment.
        deadline: Instant,
    },
}

/// A command that another member is to propose.
#[derive(Clone, Debug)]
pub(super) struct Forwarded {
    /// Its number in this boot.
    pub(super) request: u64,
    /// The leader that it goes to; it never goes to another.
    pub(super) to: Member,
    /// That leader's term; it is never sent in another.
    pub(super) term: Term,
    /// The bytes for the log.
    pub(super) command: Bytes,
    /// How far it has come.
    pub(super) progress: Progress,
    /// How often it left, or was to leave.
    pub(super) tries: u32,
    /// Sent again at this moment, unless answered.
    pub(super) retry_at: Instant,
    /// Given up at this moment.
    pub(super) deadline: Instant,
}

/// How far a forwarded command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has never left this member.
    Queued,
    /// It has left at least once.
    Sent,
    /// It is in the leader's log, there.
    Accepted(LogId),
}

impl<Q> Waiting<Q> {
    fn timer(&self) -> Option<Instant> {
        match self {
            Waiting::Logged(_) | Waiting::Reading { .. } => None,
            Waiting::Ready { deadline, .. } => Some(*deadline),
            Waiting::Forwarded(forwarded) => Some(match forwarded.progress {
                Progress::Queued | Progress::Sent => forwarded.retry_at.min(forwarded.deadline),
                Progress::Accepted(_) => forwarded.deadline,
            }),
        }
    }
}

/// All open requests.
///
/// Invariant: each is in exactly the indexes that fit what it waits for; [`insert`](Tickets::insert) and
/// [`close`](Tickets::close) are the only places that touch them.
#[derive(Clone, Debug)]
pub(super) struct Tickets<Q> {
    tickets_max: usize,
    issued: u64,
    /// Forwards numbered so far.
    requests: u64,
    open: BTreeMap<Ticket, Waiting<Q>>,
    /// By term *and* index: another leader's entry at the same index is another command.
    by_log: BTreeMap<LogId, Ticket>,
    by_read: BTreeMap<ReadId, Ticket>,
    by_request: BTreeMap<u64, Ticket>,
    /// Requests that the leader has not answered.
    unanswered: BTreeSet<u64>,
    /// Requests to be sent, or sent again, at the next poll. May name some that ended meanwhile.
    sending: BTreeSet<u64>,
    /// Accepted forwards, by the index of their entry.
    accepted: BTreeSet<(Index, Ticket)>,
    ready: BTreeSet<(Index, Ticket)>,
    timers: BTreeSet<(Instant, Ticket)>,
}

impl<Q> Tickets<Q> {
    pub(super) fn new(tickets_max: usize) -> Tickets<Q> {
        Tickets {
            tickets_max,
            issued: 0,
            requests: 0,
            open: BTreeMap::new(),
            by_log: BTreeMap::new(),
            by_read: BTreeMap::new(),
            by_request: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            sending: BTreeSet::new(),
            accepted: BTreeSet::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
        }
    }

    /// A new ticket, which is not open before [`insert`](Tickets::insert).
    pub(super) fn issue(&mut self) -> Ticket {
        self.issued += 1;
        Ticket(self.issued)
    }

    pub(super) fn has_room(&self) -> bool {
        self.open.len() < self.tickets_max
    }

    /// The next forward's number; none while the oldest unanswered one would fall out of the leader's window,
    /// where a copy of it would never be answered.
    pub(super) fn next_request(&mut self) -> Option<u64> {
        let next = self.requests + 1;
        if self.unanswered.first().is_some_and(|oldest| next - oldest >= FORWARD_WINDOW) {
            return None;
        }
        self.requests = next;
        Some(next)
    }

    pub(super) fn insert(&mut self, ticket: Ticket, waiting: Waiting<Q>) {
        if let Some(at) = waiting.timer() {
            self.timers.insert((at, ticket));
        }
        match &waiting {
            Waiting::Logged(id) => {
                let before = self.by_log.insert(*id, ticket);
                assert!(before.is_none(), "the core never gives two proposals one entry");
            }
            Waiting::Reading { read, .. } => {
                let before = self.by_read.insert(*read, ticket);
                assert!(before.is_none(), "the core never gives two reads one number");
            }
            Waiting::Ready { index, .. } => {
                self.ready.insert((*index, ticket));
            }
            Waiting::Forwarded(forwarded) => {
                self.by_request.insert(forwarded.request, ticket);
                match forwarded.progress {
                    Progress::Queued | Progress::Sent => {
                        self.unanswered.insert(forwarded.request);
                    }
                    Progress::Accepted(id) => {
                        self.accepted.insert((id.index, ticket));
                    }
                }
            }
        }
        self.open.insert(ticket, waiting);
    }

    /// Takes an open request out of everything. Each ticket ends here, so each ends once.
    pub(super) fn close(&mut self, ticket: Ticket) -> Option<Waiting<Q>> {
        let waiting = self.open.remove(&ticket)?;
        if let Some(at) = waiting.timer() {
            self.timers.remove(&(at, ticket));
        }
        match &waiting {
            Waiting::Logged(id) => {
                self.by_log.remove(id);
            }
            Waiting::Reading { read, .. } => {
                self.by_read.remove(read);
            }
            Waiting::Ready { index, .. } => {
                self.ready.remove(&(*index, ticket));
            }
            Waiting::Forwarded(forwarded) => {
                self.by_request.remove(&forwarded.request);
                self.unanswered.remove(&forwarded.request);
                self.sending.remove(&forwarded.request);
                if let Progress::Accepted(id) = forwarded.progress {
                    self.accepted.remove(&(id.index, ticket));
                }
            }
        }
        Some(waiting)
    }

    /// Changes a forward in place; nothing happens to a ticket that is no open forward.
    fn update(&mut self, ticket: Ticket, change: impl FnOnce(&mut Forwarded)) {
        match self.close(ticket) {
            Some(Waiting::Forwarded(mut forwarded)) => {
                change(&mut forwarded);
                self.insert(ticket, Waiting::Forwarded(forwarded));
            }
            Some(other @ (Waiting::Logged(_) | Waiting::Reading { .. } | Waiting::Ready { .. })) => {
                self.insert(ticket, other);
            }
            None => {}
        }
    }

    pub(super) fn by_log(&self, id: LogId) -> Option<Ticket> {
        self.by_log.get(&id).copied()
    }

    pub(super) fn by_read(&self, read: ReadId) -> Option<Ticket> {
        self.by_read.get(&read).copied()
    }

    /// An open forward, by its request.
    pub(super) fn forwarded(&self, request: u64) -> Option<(Ticket, &Forwarded)> {
        let ticket = *self.by_request.get(&request)?;
        match self.open.get(&ticket)? {
            Waiting::Forwarded(forwarded) => Some((ticket, forwarded)),
            Waiting::Logged(_) | Waiting::Reading { .. } | Waiting::Ready { .. } => None,
        }
    }

    /// Plans to send a forward at the next poll, and once more unless it is answered before: after `retry`, then after
    /// twice that, and so on. What a full link to the leader dropped would fill it for ever otherwise, and keep the
    /// acknowledgements out too.
    pub(super) fn send_again(&mut self, ticket: Ticket, now: Instant, retry: Span) {
        let mut request = None;
        self.update(ticket, |forwarded| {
            forwarded.retry_at =
                now.plus(Span(retry.0.saturating_mul(1 << forwarded.tries.min(DOUBLINGS_MAX))));
            forwarded.tries += 1;
            request = Some(forwarded.request);
        });
        self.sending.extend(request);
    }

    /// The next forward to send; from then on it counts as sent.
    pub(super) fn poll_send(&mut self) -> Option<Forwarded> {
        while let Some(request) = self.sending.pop_first() {
            let Some((ticket, forwarded)) = self.forwarded(request) else { continue };
            match forwarded.progress {
                Progress::Queued | Progress::Sent => {}
                Progress::Accepted(_) => continue,
            }
            let mut forwarded = forwarded.clone();
            forwarded.progress = Progress::Sent;
            self.update(ticket, |open| open.progress = Progress::Sent);
            return Some(forwarded);
        }
        None
    }

    /// The leader has it in its log.
    pub(super) fn accept(&mut self, ticket: Ticket, id: LogId) {
        self.update(ticket, |forwarded| forwarded.progress = Progress::Accepted(id));
    }

    /// Forwards that the leader has not answered, oldest first.
    pub(super) fn unanswered(&self) -> Vec<Ticket> {
        self.unanswered.iter().filter_map(|request| self.by_request.get(request).copied()).collect()
    }

    /// Accepted forwards whose entry was to be at this index.
    pub(super) fn accepted_at(&self, index: Index) -> Vec<Ticket> {
        let range = (index, Ticket(0))..=(index, Ticket(u64::MAX));
        self.accepted.range(range).map(|(_, ticket)| *ticket).collect()
    }

    /// Forwards that were accepted at or below an index: a snapshot covers their places.
    pub(super) fn accepted_through(&self, index: Index) -> Vec<Ticket> {
        let range = ..=(index, Ticket(u64::MAX));
        self.accepted.range(range).map(|(_, ticket)| *ticket).collect()
    }

    /// The read's index is known: what remains is to wait until the state has it.
    pub(super) fn make_ready(&mut self, read: ReadId, index: Index) {
        let Some(ticket) = self.by_read(read) else { return };
        if let Some(Waiting::Reading { query, deadline, .. }) = self.close(ticket) {
            self.insert(ticket, Waiting::Ready { index, query, deadline });
        }
    }

    /// Takes out a query whose index is at most `applied`.
    pub(super) fn take_ready(&mut self, applied: Index) -> Option<(Ticket, Q)> {
        let (index, ticket) = *self.ready.first()?;
        if index > applied {
            return None;
        }
        match self.close(ticket)? {
            Waiting::Ready { query, .. } => Some((ticket, query)),
            Waiting::Logged(_) | Waiting::Forwarded(_) | Waiting::Reading { .. } => None,
        }
    }

    /// When something here is due.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What is due.
    pub(super) fn due(&self, now: Instant) -> Vec<Ticket> {
        self.timers.range(..=(now, Ticket(u64::MAX))).map(|(_, ticket)| *ticket).collect()
    }

    pub(super) fn get(&self, ticket: Ticket) -> Option<&Waiting<Q>> {
        self.open.get(&ticket)
    }

    /// All open tickets, in order.
    pub(super) fn open(&self) -> Vec<Ticket> {
        self.open.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Incarnation, NodeId};

    fn id(term: u64, index: u64) -> LogId {
        LogId { term: Term(term), index: Index(index) }
    }

    fn forward(tickets: &mut Tickets<()>, request: u64) -> Ticket {
        let ticket = tickets.issue();
        let to = Member { id: NodeId(1), incarnation: Incarnation(1) };
        let forwarded = Forwarded {
            request,
            to,
            term: Term(1),
            command: Bytes::new(),
            progress: Progress::Queued,
            tries: 0,
            retry_at: Instant(0),
            deadline: Instant(100),
        };
        tickets.insert(ticket, Waiting::Forwarded(forwarded));
        tickets.send_again(ticket, Instant(0), Span(10));
        ticket
    }

    #[test]
    fn a_waiter_is_found_by_term_and_index_never_by_index_alone() {
        let mut tickets: Tickets<()> = Tickets::new(10);
        let (old, new) = (tickets.issue(), tickets.issue());
        tickets.insert(old, Waiting::Logged(id(1, 5)));
        tickets.insert(new, Waiting::Logged(id(2, 5)));
        assert_eq!(tickets.by_log(id(2, 5)), Some(new));
        assert_eq!(tickets.by_log(id(1, 5)), Some(old));
        assert_eq!(tickets.by_log(id(3, 5)), None);
        assert!(tickets.close(new).is_some());
        assert!(tickets.close(new).is_none(), "each ticket ends once");
        assert_eq!(tickets.open(), [old]);
    }

    #[test]
    fn an_accepted_forward_is_not_sent_again() {
        let mut tickets = Tickets::new(10);
        let request = tickets.next_request().expect("the window is empty");
        let ticket = forward(&mut tickets, request);
        assert_eq!(tickets.poll_send().map(|sent| sent.request), Some(request));
        assert!(tickets.poll_send().is_none());
        assert_eq!(tickets.due(Instant(10)), [ticket]);
        tickets.send_again(ticket, Instant(10), Span(10));
        tickets.accept(ticket, id(1, 4));
        assert!(tickets.poll_send().is_none());
        assert_eq!(tickets.next_timer(), Some(Instant(100)));
        assert_eq!(tickets.accepted_at(Index(4)), [ticket]);
        assert!(tickets.unanswered().is_empty());
        tickets.close(ticket);
        assert!(tickets.accepted_at(Index(4)).is_empty());
        assert_eq!(tickets.next_timer(), None);
    }

    #[test]
    fn a_forward_waits_twice_as_long_each_time() {
        let mut tickets = Tickets::new(10);
        let request = tickets.next_request().expect("the window is empty");
        let ticket = forward(&mut tickets, request);
        tickets.update(ticket, |forwarded| forwarded.deadline = Instant(u64::MAX));
        let mut now = Instant(0);
        let waits: Vec<u64> = (0..9)
            .map(|_| {
                let at = tickets.next_timer().expect("it waits for an answer");
                let waited = at.since(now).0;
                now = at;
                tickets.send_again(ticket, now, Span(10));
                waited
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
    }

    #[test]
    fn no_unanswered_forward_falls_out_of_the_leaders_window() {
        let mut tickets = Tickets::new(10);
        let request = tickets.next_request().expect("the window is empty");
        let oldest = forward(&mut tickets, request);
        let mut last = request;
        while let Some(next) = tickets.next_request() {
            last = next;
        }
        assert_eq!(last - request, FORWARD_WINDOW - 1);
        tickets.close(oldest);
        assert!(tickets.next_request().is_some());
    }

    #[test]
    fn a_query_waits_for_its_index() {
        let mut tickets: Tickets<&str> = Tickets::new(10);
        let ticket = tickets.issue();
        let reading = Waiting::Reading { read: ReadId(1), query: "q", deadline: Instant(50) };
        tickets.insert(ticket, reading);
        assert_eq!(tickets.next_timer(), None, "the core times it until the index is known");
        tickets.make_ready(ReadId(1), Index(7));
        assert_eq!(tickets.take_ready(Index(6)), None);
        assert_eq!(tickets.next_timer(), Some(Instant(50)));
        assert_eq!(tickets.take_ready(Index(7)), Some((ticket, "q")));
        assert_eq!(tickets.take_ready(Index(7)), None);
    }
}
