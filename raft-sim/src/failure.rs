//! What can be wrong with a run.

use serde::Serialize;

use crate::oracle;

/// The kinds of failure, by exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// An oracle saw something that Raft forbids.
    Invariant,
    /// What the clients saw fits no order.
    Linearizability,
    /// A healed quorum did not make progress.
    Liveness,
    /// The same seed gave another run.
    Nondeterminism,
    /// An assertion of the code under test.
    Panic,
    /// Something that must happen did not: the run proves nothing.
    Gate,
    /// The checker's budget was spent before it knew.
    Undecided,
}

impl FailureKind {
    /// The exit code of a program that ends with this.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            FailureKind::Invariant => 3,
            FailureKind::Linearizability => 4,
            FailureKind::Liveness => 5,
            FailureKind::Nondeterminism => 6,
            FailureKind::Panic => 7,
            FailureKind::Gate => 8,
            FailureKind::Undecided => 9,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Invariant => "invariant",
            FailureKind::Linearizability => "linearizability",
            FailureKind::Liveness => "liveness",
            FailureKind::Nondeterminism => "nondeterminism",
            FailureKind::Panic => "panic",
            FailureKind::Gate => "gate",
            FailureKind::Undecided => "undecided",
        }
    }
}

/// One failure: who saw it, and what it is in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// The oracle, or what else noticed.
    pub oracle: String,
    /// What happened, to whom.
    pub what: String,
}

impl Failure {
    /// A failure of a kind.
    #[must_use]
    pub fn new(kind: FailureKind, oracle: &str, what: String) -> Failure {
        Failure { kind, oracle: oracle.to_owned(), what }
    }
}

impl From<oracle::Failure> for Failure {
    fn from(failure: oracle::Failure) -> Failure {
        Failure::new(FailureKind::Invariant, failure.oracle, failure.what)
    }
}
