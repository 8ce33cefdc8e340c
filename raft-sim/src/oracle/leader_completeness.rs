//! "If a log entry is committed in a given term, then that entry will be present in the logs of the leaders for all
//! higher-numbered terms" (Raft figure 3).
//!
//! A leader asked for votes only once its log was durable, so its platter is its log when it was elected. An entry
//! committed by a *later* term may be missing: the votes may have been long on their way.

use raft_core::{Index, Term};

use super::ghost::Ghost;
use super::seat::Seat;
use super::{Failure, fail, holds};

const NAME: &str = "leader-completeness";

/// A member speaks as leader for the first time in this term.
pub(crate) fn elected(ghost: &Ghost, seat: &Seat, term: Term) -> Result<(), Failure> {
    let through = ghost.committed_before(term);
    if through == Index(0) {
        return Ok(());
    }
    let (member, log) = (seat.member, &seat.image.log);
    let (Some(own), Some(committed)) =
        (log.slice(Index(1), through), ghost.committed.slice(Index(1), through))
    else {
        return fail(
            NAME,
            format!("{member} leads in {term} with a log to {}; {through} is committed", log.last()),
        );
    };
    let same = own.iter().zip(committed).take_while(|(own, committed)| own == committed).count();
    holds(same == own.len(), NAME, || {
        format!("{member} leads in {term} and lacks the committed entry i{}", same + 1)
    })
}
