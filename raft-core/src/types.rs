//! The words of Raft as types: nobody can pass a term where an index belongs.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A server's number, unique in its cluster, chosen by the operator and never reused for another machine's data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

/// Which data directory of a server this is: minted with the directory, so a wiped disk is a new member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// A member of a cluster. Votes, tallies and progress are kept by member, never by [`NodeId`] alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The server.
    pub id: NodeId,
    /// Its data directory.
    pub incarnation: Incarnation,
}

/// How often a data directory was recovered; incremented and synced by the journal before the node speaks.
///
/// Zero means "unknown" in an envelope's `to`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Boot(pub u64);

/// The cluster that a message or a file belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u64);

/// Changes when a cluster is rebuilt from a minority, so that the old majority can't speak to the new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Epoch(pub u32);

/// Raft's logical clock (Raft §5.1). Zero is before the first election.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Term(pub u64);

/// A position in the log. The first entry is at 1; 0 is "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Index(pub u64);

/// An entry's identity: no two different entries ever share both (Raft §5.3, Log Matching).
///
/// Ordered as Raft §5.4.1 compares logs: by term first, then by index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LogId {
    /// The term of the leader that created the entry.
    pub term: Term,
    /// Its position.
    pub index: Index,
}

/// A leader's numbering of its questions within a term. What answers a round started after an event proves that
/// the leader was still leader after that event (thesis §6.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Round(pub u64);

/// A reading of the host's monotonic clock, in microseconds since a moment of the host's choosing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Instant(pub u64);

/// A span of time in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span(pub u64);

/// A read's number at the node where it was asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReadId(pub u64);

impl Index {
    /// The next position.
    ///
    /// # Panics
    /// At 2^64 - 1, which no log reaches: at a million entries a second that takes half a million years.
    #[must_use]
    pub fn next(self) -> Index {
        Index(self.0.checked_add(1).expect("a log never has 2^64 entries"))
    }

    /// The position before, 0 staying 0.
    #[must_use]
    pub fn previous(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

impl Boot {
    /// A boot may be so many above the last one that was heard: a restart a second for twelve days.
    pub const AHEAD_MAX: u64 = 1 << 20;
    /// The highest boot that is believed of a member that was not heard before: a restart a second for a century.
    pub const FIRST_HEARD_MAX: Boot = Boot(1 << 32);
}

impl Term {
    /// The next term.
    ///
    /// # Panics
    /// At 2^64 - 1. A peer can't push a node there: a message whose term is above [`Term::MAX`] is a violation.
    #[must_use]
    pub fn next(self) -> Term {
        Term(self.0.checked_add(1).expect("terms from peers are at most Term::MAX"))
    }

    /// The highest term that a message may carry: far out of reach of honest elections, and far enough from the
    /// end of the integers that nothing overflows after it.
    pub const MAX: Term = Term(1 << 62);

    /// A message may be so many terms ahead of its receiver: a hundred elections a second for a year. What is let in is
    /// so always a term that peers answer, and no single message brings anyone near [`Term::MAX`].
    pub const AHEAD_MAX: u64 = 1 << 32;
}

impl Instant {
    /// This moment plus a span; the end of time stays the end of time.
    #[must_use]
    pub fn plus(self, span: Span) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }

    /// The span since an earlier moment; zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// A span of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Span {
        Span(millis * 1_000)
    }
}

macro_rules! short_debug {
    ($($name:ident $letter:literal),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )*};
}

// A transcript of ten thousand lines is read by people: `t3 i17` says as much as `Term(3), Index(17)`.
short_debug!(NodeId "n", Incarnation "x", Boot "b", ClusterId "c", Epoch "e", Term "t", Index "i", Round "r", Instant "@", Span "us", ReadId "read");

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, self.incarnation)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
