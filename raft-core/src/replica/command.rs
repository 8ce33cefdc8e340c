//! The bytes inside [`Payload::Command`](crate::Payload::Command): who asked for what.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::SessionRequest;
use crate::types::{Boot, Member};

/// Where a forwarded command came from. The replica that forwarded it recognises its own entry by this when it
/// applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The member that forwarded it.
    pub member: Member,
    /// Its boot: a request of an earlier boot has nobody waiting for it.
    pub boot: Boot,
    /// Its number in that boot.
    pub request: u64,
}

/// A command of the replica. Append-only: the position of a variant is its number on disk and on the wire, so a
/// new meaning is a new variant, and a variant that a node does not know stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaCommand<'a> {
    /// Opens a session, whose number is the index of this entry.
    Open {
        /// Who forwarded it, if anyone did.
        origin: Option<Origin>,
    },
    /// A command for the state machine.
    Command {
        /// Which of a session's requests it is. Without one, it is applied each time that it is committed.
        session: Option<SessionRequest>,
        /// Who forwarded it, if anyone did.
        origin: Option<Origin>,
        /// The state machine's command, in postcard.
        body: &'a [u8],
    },
}

impl<'a> ReplicaCommand<'a> {
    /// Who forwarded it.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        match self {
            ReplicaCommand::Open { origin } | ReplicaCommand::Command { origin, .. } => *origin,
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// None that can happen: the types here have no failing encoding. Kept, so that nothing here can panic.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }

    /// Reads the bytes of one command, all of them.
    ///
    /// # Errors
    /// An unknown variant, bytes that end too early, or bytes left over.
    pub fn decode(bytes: &'a [u8]) -> Result<ReplicaCommand<'a>, postcard::Error> {
        decode_all(bytes)
    }
}

/// Reads one value that takes up all of the bytes: what is left over would be a part that this version can't see.
pub(super) fn decode_all<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, postcard::Error> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(postcard::Error::DeserializeBadEncoding) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::SessionId;
    use crate::types::{Incarnation, NodeId};

    fn origin() -> Origin {
        Origin { member: Member { id: NodeId(2), incarnation: Incarnation(7) }, boot: Boot(3), request: 300 }
    }

    #[test]
    fn the_bytes_of_a_command_do_not_change() {
        let session = SessionRequest { session: SessionId(5), sequence: 9, unanswered: 8 };
        let command =
            ReplicaCommand::Command { session: Some(session), origin: Some(origin()), body: &[0xAA, 0xBB] };
        let golden = [1, 1, 5, 9, 8, 1, 2, 7, 3, 0xAC, 2, 2, 0xAA, 0xBB];
        assert_eq!(command.encode().expect("it can be written"), golden);
        assert_eq!(ReplicaCommand::decode(&golden), Ok(command));
        let open = ReplicaCommand::Open { origin: None };
        assert_eq!(open.encode().expect("it can be written"), [0, 0]);
        assert_eq!(ReplicaCommand::decode(&[0, 0]), Ok(open));
    }

    #[test]
    fn what_is_unknown_short_or_long_is_an_error() {
        assert!(ReplicaCommand::decode(&[2, 0]).is_err(), "a variant of the future");
        assert!(ReplicaCommand::decode(&[1, 0]).is_err(), "cut short");
        assert!(ReplicaCommand::decode(&[0, 0, 0]).is_err(), "a byte left over");
        assert!(ReplicaCommand::decode(&[]).is_err());
    }
}
