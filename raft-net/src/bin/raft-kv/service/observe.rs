//! What a node tells of itself.

use raft_core::replica::command::ReplicaCommand;
use raft_core::{Index, Member, RoleName};
use raft_net::LogLine;
use raft_net::secure::{Connection, ConnectionState};

use super::{Consistency, Service};
use crate::failure::{Failure, Kind};
use crate::report::{ConnectionReport, DiskReport, LogEntryReport, PeerReport, StateReport};
use crate::store::{Answer, Command, Query};

impl Service {
    /// `GET /state`.
    pub(crate) async fn state(&self) -> StateReport {
        let (keys, digest) = match self.query(Query::Summary, Consistency::Stale).await {
            Ok(Answer::Summary { keys, digest }) => (keys, format!("{digest:016x}")),
            Ok(Answer::Held(_)) | Err(_) => (0, String::from("unknown")),
        };
        let node = self.node.fresh_status().await;
        let raft = &node.raft;
        let ids = |members: &[Member]| members.iter().map(|member| member.id.0).collect();
        let role = match (&node.stopped, raft.role) {
            (Some(_), _) => "stopped",
            (None, RoleName::Follower) => "follower",
            (None, RoleName::PreCandidate) => "pre-candidate",
            (None, RoleName::Candidate) => "candidate",
            (None, RoleName::Leader) => "leader",
        };
        let peers = raft.progress.iter().map(|(member, next, matched)| PeerReport {
            id: member.id.0,
            next_index: next.0,
            match_index: matched.0,
        });
        StateReport {
            id: self.settings.id,
            incarnation: format!("{:016x}", raft.member.incarnation.0),
            boot: node.boot.0,
            cluster: format!("{:016x}", node.cluster.0),
            role: String::from(role),
            term: raft.term.0,
            vote: raft.vote.map(|member| member.id.0),
            votes_for: ids(&node.votes_for),
            votes_against: ids(&node.votes_against),
            leader: raft.leader.map(|member| member.id.0),
            last: raft.last.index.0,
            durable: raft.durable.0,
            commit: raft.commit.0,
            applied: raft.applied.0,
            log_start: raft.log_start.0,
            snapshot: raft.snapshot.index.0,
            abstaining: raft.abstaining,
            peers: peers.collect(),
            elections: self.elections.latest(),
            disk: DiskReport {
                syncs: node.disk.syncs,
                bytes: node.disk.bytes,
                snapshots: node.disk.snapshots,
                sync_us_last: node.disk.sync_us_last,
                sync_us_max: node.disk.sync_us_max,
            },
            keys,
            digest,
            stopped: node.stopped.as_ref().map(ToString::to_string),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            pid: std::process::id(),
            nodes: self.settings.nodes.clone(),
        }
    }

    /// `GET /connections`.
    pub(crate) async fn connections(&self) -> Vec<ConnectionReport> {
        let connections = self.node.connections().await;
        connections.iter().map(connection).collect()
    }

    /// `GET /log`: the newest lines unless told from where.
    pub(crate) async fn log(&self, from: Option<u64>, limit: usize) -> Result<Vec<LogEntryReport>, Failure> {
        let newest = || (self.node.status().raft.last.index.0 + 1).saturating_sub(limit as u64).max(1);
        let lines = self.node.log(Index(from.unwrap_or_else(newest)), limit).await;
        let lines = lines.map_err(|_| {
            Failure::new(
                Kind::Unavailable,
                "this node has stopped",
                "ask another node; its log says why it stopped",
            )
        })?;
        Ok(lines.iter().map(log_entry).collect())
    }

    /// Why the node stopped itself, if it did.
    pub(crate) fn why_stopped(&self) -> Option<String> {
        self.node.status().stopped.as_ref().map(ToString::to_string)
    }

    /// Whether commands can be served here now.
    pub(crate) fn check_ready(&self) -> Result<(), Failure> {
        let node = self.node.status();
        let unready = |error: String| Err(Failure::new(Kind::Unavailable, error, "wait, and look again"));
        if let Some(reason) = &node.stopped {
            return unready(reason.to_string());
        }
        if node.raft.leader.is_none() {
            return unready(String::from("no leader is known"));
        }
        if node.raft.abstaining {
            return unready(String::from("the disk was damaged, and its repair is under way"));
        }
        // At a restart the log is applied again; until then a stale read would see the past.
        if node.raft.applied < node.raft.commit {
            let (applied, commit) = (node.raft.applied.0, node.raft.commit.0);
            return unready(format!("{applied} of {commit} entries are applied"));
        }
        Ok(())
    }

    /// All metrics, in Prometheus' text format.
    pub(crate) fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(|metrics| metrics.render())
    }
}

fn connection(peer: &Connection) -> ConnectionReport {
    let (session, session_age_ms) = match peer.state {
        ConnectionState::Connected { boot, age } => (format!("with boot {}", boot.0), Some(age.0 / 1_000)),
        ConnectionState::Connecting { attempts } => (format!("none: asked {attempts} times"), None),
    };
    let traffic = &peer.traffic;
    let counters = [
        ("handshakes", traffic.handshakes),
        ("initiations_sent", traffic.initiations),
        ("datagrams_sealed", traffic.sealed),
        ("bytes_sealed", traffic.sealed_bytes),
        ("datagrams_opened", traffic.opened),
        ("bytes_opened", traffic.opened_bytes),
        ("dropped_unsent", traffic.unsent),
    ];
    ConnectionReport {
        id: peer.member.id.0,
        address: peer.address.to_string(),
        session,
        session_age_ms,
        counters: counters.into_iter().map(|(name, count)| (String::from(name), count)).collect(),
    }
}

fn log_entry(line: &LogLine) -> LogEntryReport {
    let bytes = line.command.as_ref().map_or(0, |command| command.len() as u64);
    let decoded = line.command.as_ref().map(|command| ReplicaCommand::decode(command));
    let (kind, command) = match decoded {
        None => (line.kind, None),
        Some(Ok(ReplicaCommand::Open { .. })) => ("session", None),
        Some(Ok(ReplicaCommand::Command { body, .. })) => {
            let command = postcard::from_bytes::<Command>(body);
            (line.kind, command.ok().map(|command| crate::command::describe(&command)))
        }
        // A newer version made it.
        Some(Err(_)) => ("unknown", None),
    };
    LogEntryReport { index: line.index.0, term: line.term.0, kind: String::from(kind), bytes, command }
}
