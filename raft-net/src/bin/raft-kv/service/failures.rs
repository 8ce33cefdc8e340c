//! What the errors of a node mean for a client.

use raft_core::{Member, Refused};
use raft_net::{ProposeError, QueryError};

use super::Service;
use crate::failure::{Failure, Kind, LeaderAddress};

impl Service {
    /// A failure, and whether the same request may succeed soon: true only where it is known to have had no effect.
    pub(super) fn propose_failure(&self, error: ProposeError) -> (bool, Failure) {
        match error {
            ProposeError::NotLeader(None) => (true, no_leader()),
            ProposeError::NotLeader(Some(leader)) if self.settings.forwarding => {
                // It was about to be passed on, and the leader changed meanwhile.
                let hint = "nothing happened; try again";
                (true, Failure::new(Kind::Unavailable, format!("node {} leads now", leader.id.0), hint))
            }
            ProposeError::NotLeader(Some(leader)) => (false, self.not_leader(leader)),
            ProposeError::Refused(refused) => self.refusal(refused),
            ProposeError::Lost => {
                let hint = "nothing happened; try again";
                (
                    false,
                    Failure::new(Kind::Unavailable, "the leader was replaced before it could commit", hint),
                )
            }
            ProposeError::UnknownOutcome => {
                let hint = "read the key before trying again, or use a request id: see POST /session";
                (false, Failure::new(Kind::Unknown, "nobody knows whether it was or will be applied", hint))
            }
            ProposeError::Expired => {
                let error = "the session has expired, or this request was answered and forgotten: it was not applied now";
                let hint = "if it was sent before, read the key to see what became of it; then POST /session for a new one";
                (false, Failure::new(Kind::Conflict, error, hint))
            }
            ProposeError::Stopped => (false, stopped()),
        }
    }

    /// Why a read has no answer. Reads have no effect, so all of these may be tried again.
    pub(super) fn query_failure(&self, error: QueryError) -> (bool, Failure) {
        match error {
            QueryError::Refused(Refused::NotLeader(_)) => (true, no_leader()),
            QueryError::Refused(refused) => self.refusal(refused),
            QueryError::Stopped => (false, stopped()),
        }
    }

    fn refusal(&self, refused: Refused) -> (bool, Failure) {
        let text = refused.to_string();
        match refused {
            Refused::NotLeader(None) => (true, no_leader()),
            Refused::NotLeader(Some(leader)) => (false, self.not_leader(leader)),
            Refused::TooLarge { .. } => (
                false,
                Failure::new(Kind::TooLarge, text, "keep a command, key and value together, below 1 MiB"),
            ),
            Refused::Unencodable => {
                (false, Failure::new(Kind::BadRequest, text, "nothing happened; this is a defect of raft-kv"))
            }
            Refused::Busy(_) => {
                (false, Failure::new(Kind::Unavailable, text, "nothing happened; slow down and try again"))
            }
            Refused::TimedOut => {
                let hint =
                    "nothing happened; a majority of the nodes must be up and in touch: see GET /state";
                (false, Failure::new(Kind::Unavailable, "no majority answered in time", hint))
            }
            Refused::LeaderChanged | Refused::Snapshot(_) => {
                (true, Failure::new(Kind::Unavailable, text, "nothing happened; try again"))
            }
            Refused::Stopped => (false, stopped()),
        }
    }

    fn not_leader(&self, leader: Member) -> Failure {
        let addresses = self.settings.nodes.iter().find(|node| node.id == leader.id.0);
        let address = LeaderAddress {
            id: leader.id.0,
            http: addresses.and_then(|node| node.http.clone()),
            line: addresses.and_then(|node| node.line.clone()),
        };
        let at = address.http.clone().unwrap_or_else(|| String::from("an address that is not configured"));
        let error = format!("forwarding is off, and node {} leads", address.id);
        let mut failure =
            Failure::new(Kind::NotLeader, error, format!("ask the leader at {at} (curl -L does)"));
        failure.body.leader = Some(address);
        failure
    }
}

fn no_leader() -> Failure {
    let hint = "nothing happened; a majority of the nodes must be up and in touch: see GET /state";
    Failure::new(Kind::Unavailable, "no leader is known", hint)
}

fn stopped() -> Failure {
    Failure::new(Kind::Unavailable, "this node has stopped", "ask another node; its log says why it stopped")
}
