//! What one member has on its platter and what it promised.

use std::collections::BTreeSet;

use raft_core::{Boot, Index, LogId, Member, Term};

use super::image::{Held, Image, Log};
use super::platter::Follower;
use super::reads::Reads;

/// One member: a data directory with the node that runs on it.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// Who.
    pub(crate) member: Member,
    /// Whether it runs; between a crash and the end of recovery it does not.
    pub(crate) up: bool,
    /// Rot was injected since the last recovery.
    pub(crate) rotted: bool,
    /// Its boot.
    pub(crate) boot: Boot,
    /// What it has durably.
    pub(crate) image: Image,
    /// The serial of its newest snapshot that a durable record of this boot named.
    pub(crate) snapshot_serial: u64,
    /// Where the reader of its files stands.
    pub(crate) follower: Follower,
    /// Its longest durable log in this boot.
    pub(crate) longest: Index,
    /// Logs that it had before damage cut them: what it acknowledged then may still be counted on.
    pub(crate) remembered: Vec<Log>,
    /// The highest term in a message that had to wait for its term.
    pub(crate) promised_term: Term,
    /// Who granted it a vote in which term, as the messages say that reached it in this boot.
    pub(crate) votes_heard: BTreeSet<(Term, Member)>,
    /// The last vote that it sent.
    pub(crate) granted: Option<(Term, Member)>,
    /// The vote that was on its platter when this boot began.
    pub(crate) vote_at_boot: Option<(Term, Member)>,
    /// Its last acknowledgement: in the term of that leader, through that index. Raft lets go of it only if a later
    /// leader's log differs.
    pub(crate) acknowledged: LogId,
    /// How many commands it applied in this boot.
    pub(crate) applied: usize,
    /// What reads rest on, in this boot.
    pub(crate) reads: Reads,
}

impl Seat {
    /// A member that has not spoken.
    pub(crate) fn new(member: Member) -> Seat {
        Seat {
            member,
            up: false,
            rotted: false,
            boot: Boot(0),
            image: Image::default(),
            snapshot_serial: 0,
            follower: Follower::default(),
            longest: Index(0),
            remembered: Vec::new(),
            promised_term: Term(0),
            votes_heard: BTreeSet::new(),
            granted: None,
            vote_at_boot: None,
            acknowledged: LogId::default(),
            applied: 0,
            reads: Reads::default(),
        }
    }

    /// Whether it holds these entries from `from` on, or held them until damage that is not repaired.
    pub(crate) fn has_held(&self, from: Index, entries: &[Held]) -> bool {
        let through = Index((from.0 + entries.len() as u64).saturating_sub(1));
        std::iter::once(&self.image.log)
            .chain(&self.remembered)
            .any(|log| log.slice(from, through).is_some_and(|slice| slice == entries))
    }

    /// The last index of that term which it holds, or held until damage.
    pub(crate) fn last_of(&self, term: Term) -> Index {
        std::iter::once(&self.image.log)
            .chain(&self.remembered)
            .map(|log| log.last_of(term))
            .max()
            .unwrap_or_default()
    }
}
