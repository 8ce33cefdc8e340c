//! What all messages and platters together have said: the history that the oracles compare each new word with.

use std::collections::BTreeMap;

use raft_core::{Boot, Configuration, Index, LogId, Member, Round, Term};

use super::image::{Held, Log};
use super::quorum::is_quorum;
use super::seat::Seat;

/// What is known of an entry, whoever said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// XXH3-64 of its postcard bytes.
    pub(crate) digest: u64,
    /// The term of the entry before it.
    pub(crate) previous: Term,
}

/// What was said in one term.
#[derive(Clone, Debug, Default)]
pub(crate) struct TermGhost {
    /// Who sent the first append or heartbeat.
    pub(crate) leader: Option<Member>,
    /// Who asked for votes, and with which last entry.
    pub(crate) candidates: BTreeMap<Member, LogId>,
    /// Who voted for whom.
    pub(crate) votes: BTreeMap<Member, Member>,
    /// The leader's log as far as its appends told it.
    pub(crate) told: BTreeMap<Index, Term>,
    /// Through where each member acknowledged that log.
    pub(crate) acknowledged: BTreeMap<Member, Index>,
    /// The commit index that the leader last reported.
    pub(crate) commit: Index,
}

/// The common history.
#[derive(Clone, Debug)]
pub(crate) struct Ghost {
    /// Who votes.
    pub(crate) configuration: Configuration,
    /// Every entry that was ever sent or durable.
    pub(crate) entries: BTreeMap<LogId, Known>,
    /// By term.
    pub(crate) terms: BTreeMap<Term, TermGhost>,
    /// The committed log.
    pub(crate) committed: Log,
    /// Each advance of the committed log: through which index, and the term whose quorum it was.
    pub(crate) advances: Vec<(Index, Term)>,
    /// Read-index questions: the end of the committed log when first asked.
    pub(crate) questions: BTreeMap<(Member, Boot, Round), Index>,
    /// Answers to damaged nodes, by the boot that asked: the lowest last index that a leader named.
    pub(crate) repairs: BTreeMap<(Member, Boot), Index>,
    /// The commands that the state machines applied, in order.
    pub(crate) applied: Vec<(Index, u64)>,
    /// The digests of their states.
    pub(crate) states: BTreeMap<Index, u64>,
    /// The digests of state and sessions in snapshots, by the last index that they cover.
    pub(crate) frozen: BTreeMap<Index, (Option<u64>, u64)>,
}

impl Ghost {
    /// An empty history.
    pub(crate) fn new(configuration: &Configuration) -> Ghost {
        Ghost {
            configuration: configuration.clone(),
            entries: BTreeMap::new(),
            terms: BTreeMap::new(),
            committed: Log::default(),
            advances: Vec::new(),
            questions: BTreeMap::new(),
            repairs: BTreeMap::new(),
            applied: Vec::new(),
            states: BTreeMap::new(),
            frozen: BTreeMap::new(),
        }
    }

    /// What was said in a term.
    pub(crate) fn term_mut(&mut self, term: Term) -> &mut TermGhost {
        self.terms.entry(term).or_default()
    }

    /// The term of the entry that the leader of `term` has at `index`; none if it never told as much.
    ///
    /// By the log matching property one told entry tells all before it, as far as anybody named them.
    pub(crate) fn leader_entry(&self, term: Term, index: Index) -> Told {
        let Some((&at, &of)) = self.terms.get(&term).and_then(|ghost| ghost.told.range(index..).next())
        else {
            return Told::Never;
        };
        let mut id = LogId { term: of, index: at };
        while id.index > index {
            let Some(known) = self.entries.get(&id) else { return Told::Implied };
            id = LogId { term: known.previous, index: id.index.previous() };
        }
        Told::Term(id.term)
    }

    /// Some index with an entry of that term, the lowest that is known.
    pub(crate) fn first_of(&self, term: Term) -> Option<Index> {
        let (id, _) = self.entries.range(LogId { term, index: Index(0) }..).next()?;
        (id.term == term).then_some(id.index)
    }

    /// The term whose quorum committed an entry.
    pub(crate) fn committing_term(&self, index: Index) -> Option<Term> {
        let place = self.advances.partition_point(|(through, _)| *through < index);
        self.advances.get(place).map(|(_, term)| *term)
    }

    /// The highest index that was committed by a quorum of a term below `term`.
    pub(crate) fn committed_before(&self, term: Term) -> Index {
        self.advances.iter().rev().find(|(_, of)| *of < term).map_or(Index(0), |(index, _)| *index)
    }

    /// Whether a quorum holds these entries from `from` on, or held them until damage that is not repaired.
    pub(crate) fn is_held(&self, seats: &[Seat], from: Index, entries: &[Held]) -> bool {
        is_quorum(&self.configuration, |member| {
            seats.iter().any(|seat| seat.member == member && seat.has_held(from, entries))
        })
    }
}

/// What a leader's appends say of one index; see [`Ghost::leader_entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Its log has an entry of that term there.
    Term(Term),
    /// Its log reaches there, but nobody named the entry.
    Implied,
    /// Nothing it sent reaches there.
    Never,
}
