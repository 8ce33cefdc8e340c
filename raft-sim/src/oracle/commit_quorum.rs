//! "Only log entries from the leader's current term are committed by counting replicas; once an entry from the current
//! term has been committed in this way, then all prior entries are committed indirectly" (Raft §5.4.2).

use raft_core::{Index, Term};

use super::ghost::Ghost;
use super::image::Held;
use super::quorum::{is_quorum, quorum_value};
use super::seat::Seat;
use super::{Failure, fail};

const NAME: &str = "commit-quorum";

/// A member says, by a message of `term` or by applying, that everything through `commit` is committed. It may only
/// have this from what was said before, or from its own count as a leader in this or an earlier term.
pub(crate) fn committed(
    ghost: &mut Ghost,
    seats: &[Seat],
    speaker: &Seat,
    term: Term,
    commit: Index,
) -> Result<(), Failure> {
    if commit <= ghost.committed.end() {
        return Ok(());
    }
    let member = speaker.member;
    let Some(of) = counting_term(ghost, speaker, term, commit) else {
        let known = ghost.committed.end();
        return fail(
            NAME,
            format!(
                "{member} in {term} takes {commit} as committed (known: {known}) without a quorum that acknowledged \
                 an entry of its own term there or above"
            ),
        );
    };
    let from = ghost.committed.end().next();
    let candidates: Vec<&[Held]> = seats
        .iter()
        .flat_map(|seat| std::iter::once(&seat.image.log).chain(&seat.remembered))
        .filter_map(|log| log.slice(from, commit))
        .collect();
    let Some(entries) = candidates.into_iter().find(|entries| ghost.is_held(seats, from, entries)) else {
        return fail(
            NAME,
            format!("{member} in {term} takes {commit} as committed; no quorum of platters has it"),
        );
    };
    for held in entries {
        ghost.committed.push(*held);
    }
    ghost.advances.push((commit, of));
    Ok(())
}

/// The term, led by the speaker, whose acknowledgements commit through `commit`. The commit index outlives a term, so
/// earlier ones count too, but each by its own acknowledgements: an entry of term 2 acknowledged to the leader of
/// term 4 is not committed by that (Raft figure 8).
fn counting_term(ghost: &Ghost, speaker: &Seat, term: Term, commit: Index) -> Option<Term> {
    let member = speaker.member;
    if is_quorum(&ghost.configuration, |voter| voter == member) {
        // A sole voter may lead without ever speaking; its platter is the quorum.
        return (speaker.image.log.end() >= commit).then(|| speaker.image.log.last().term);
    }
    let led = ghost.terms.range(..=term).rev().filter(|(_, of_term)| of_term.leader == Some(member));
    led.map(|(of, of_term)| (*of, of_term)).find_map(|(of, of_term)| {
        let first = ghost.first_of(of)?;
        let quorum = quorum_value(&ghost.configuration, |voter| {
            if voter == member {
                speaker.last_of(of)
            } else {
                of_term.acknowledged.get(&voter).copied().unwrap_or_default()
            }
        });
        (quorum >= first.max(commit)).then_some(of)
    })
}
