//! Scenarios of the paper as transcripts, one line for each message that arrives, each write, change of role and
//! apply. A change of behaviour shows as a changed line.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::cluster::{Cluster, log_of};
use super::solo::{Solo, append, heartbeat, id, line};
use crate::action::Action;
use crate::config::Config;
use crate::entry::Entry;
use crate::message::{Envelope, Message};
use crate::types::{Index, Span};
use crate::write::Write;

/// A cluster whose every event is written down.
struct Script {
    cluster: Cluster,
    text: String,
    looked_at: usize,
}

impl Script {
    fn new(logs: &[(u64, Vec<Entry>)], config: Config) -> Script {
        let mut cluster = Cluster::with_config(logs, config);
        cluster.trace = Some(Vec::new());
        Script { cluster, text: String::new(), looked_at: 0 }
    }

    fn heading(&mut self, text: &str) {
        self.text += &format!("-- {text}\n");
    }

    /// Delivers, oldest first, what `chosen` picks until `done`; everything else is lost.
    fn pump(&mut self, chosen: impl Fn(&Envelope) -> bool, done: impl Fn(&mut Cluster) -> bool) {
        while let Some(envelope) = self.cluster.network.pop_front() {
            if !chosen(&envelope) {
                continue;
            }
            let told = !matches!(envelope.message, Message::Heartbeat(_) | Message::HeartbeatAnswer(_));
            if told {
                let (from, to) = (envelope.from.id, envelope.to.id);
                self.text += &format!("{from} -> {to}  {}\n", line(&envelope.message));
            }
            self.cluster.deliver(envelope);
            self.note();
            if done(&mut self.cluster) {
                self.cluster.network.clear();
            }
        }
    }

    fn note(&mut self) {
        let trace = self.cluster.trace.as_ref().expect("actions are recorded");
        for (id, action) in &trace[self.looked_at..] {
            if let Some(said) = event(action) {
                self.text += &format!("{:8}  n{id} {said}\n", "");
            }
        }
        self.looked_at = trace.len();
    }

    fn tick(&mut self, id: u64, millis: u64) {
        self.cluster.now = self.cluster.now.plus(Span::from_millis(millis));
        let now = self.cluster.now;
        self.cluster.raft(id).tick(now);
        self.cluster.drain(id);
        self.note();
    }

    /// A node campaigns until it leads, or four times; only these hear it, and only of the election.
    fn campaign(&mut self, id: u64, voters: &[u64]) -> bool {
        let pair = |one: u64, other: u64| one == id && voters.contains(&other);
        for _ in 0..4 {
            self.tick(id, 600);
            self.pump(
                |envelope| {
                    let election = matches!(
                        envelope.message,
                        Message::PreVote(_)
                            | Message::PreVoteAnswer(_)
                            | Message::RequestVote(_)
                            | Message::VoteAnswer(_)
                    );
                    let (from, to) = (envelope.from.id.0, envelope.to.id.0);
                    election && (pair(from, to) || pair(to, from))
                },
                |_| false,
            );
            if self.cluster.raft(id).is_leader() {
                return true;
            }
        }
        false
    }

    /// A leader and a follower talk, and nobody else, until `done`.
    fn replicate(&mut self, leader: u64, follower: u64, done: impl Fn(&mut Cluster) -> bool) {
        self.tick(leader, 100);
        let pair = [leader, follower];
        self.pump(|envelope| pair.contains(&envelope.from.id.0) && pair.contains(&envelope.to.id.0), done);
    }
}

/// An action on one line; messages are told when they arrive.
fn event(action: &Action) -> Option<String> {
    Some(match action {
        Action::Send(_) => return None,
        Action::Persist(persist) => format!("writes {}", written(&persist.write)),
        Action::Receive(chunk) => format!("receives {} bytes", chunk.bytes.len()),
        Action::Apply(entries) => {
            let indexes: Vec<u64> = entries.iter().map(|entry| entry.index.0).collect();
            format!("applies {indexes:?}")
        }
        Action::Restore(snapshot) => format!("restores {}", snapshot.last),
        Action::Load(_) => String::from("reads back"),
        Action::RoleChanged(change) => format!("is {:?} in {}", change.role, change.term),
        Action::ReadReady(..) | Action::ReadFailed(..) | Action::Lost(_) | Action::Unknown(_) => {
            format!("{action:?}")
        }
    })
}

fn written(write: &Write) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(hard_state) = write.hard_state {
        let vote = hard_state.vote.map_or(String::from("nobody"), |vote| format!("{}", vote.id));
        parts.push(format!("term {} with a vote for {vote}", hard_state.term));
    }
    parts.extend(write.truncate_from.map(|from| format!("no more from {from}")));
    if let Some(first) = write.append.first() {
        let terms: Vec<u64> = write.append.iter().map(|entry| entry.term.0).collect();
        parts.push(format!("{terms:?} at {}", first.index));
    }
    parts.join(", ")
}

/// Figure 7: "When the leader at the top comes to power, it is possible that any of scenarios (a-f) could occur in
/// follower logs." Backtracking costs one probe for each divergent term, not for each entry.
#[test]
fn figure_7_every_follower_ends_with_the_leaders_log() {
    // (log, rejections at most: the divergent terms of leader and follower that must be skipped)
    let followers: [(&str, &[u64], usize); 6] = [
        ("a", &[1, 1, 1, 4, 4, 5, 5, 6, 6], 1),
        ("b", &[1, 1, 1, 4], 1),
        ("c", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], 0),
        ("d", &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], 0),
        ("e", &[1, 1, 1, 4, 4, 4, 4], 1),
        ("f", &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3], 2),
    ];
    let mut logs = Vec::from([(7, log_of(&[1, 1, 1, 4, 4, 5, 5, 6, 6, 6]))]);
    logs.extend(followers.iter().map(|(_, log, _)| (7, log_of(log))));
    let mut script = Script::new(&logs, Config::default());
    assert!(script.campaign(1, &[2, 3, 6, 7]), "a, b, e and f vote for it");
    script.tick(1, 100); // The first probes were lost with the noise of the election; here are the second ones.
    let probes = core::mem::take(&mut script.cluster.network);
    for (number, (name, _, rejections_max)) in (2..).zip(followers) {
        script.heading(&format!("({name}) is n{number}"));
        let before = script.text.len();
        let its = |probe: &&Envelope| probe.to.id.0 == number;
        script.cluster.network = probes.iter().filter(its).cloned().collect();
        let pair = [1, number];
        script.pump(|it| pair.contains(&it.from.id.0) && pair.contains(&it.to.id.0), |_| false);
        let rejections = script.text[before..].matches("AppendRejection").count();
        assert!(rejections <= rejections_max, "({name}): {rejections} rejections");
        assert_eq!(script.cluster.terms(number), [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8], "({name})");
        let disks = [1, number].map(|id| script.cluster.nodes[&id].disk.entries.clone());
        assert_eq!(disks[0], disks[1], "({name})");
    }
    insta::assert_snapshot!(script.text);
}

/// Figure 8 through state (c): an entry of term 2 is on a majority, under a leader of term 4, and not committed.
fn figure_8_to_c() -> Script {
    let logs: Vec<_> = (0..5).map(|_| (1, log_of(&[1]))).collect();
    // One entry an append and no shelf, so that (c) can stop between entries 2 and 3.
    let mut script =
        Script::new(&logs, Config { append_bytes_max: 1, shelf_bytes_max: 0, ..Config::default() });
    script.heading("(a) S1 leads term 2 and replicates index 2 partially");
    assert!(script.campaign(1, &[2, 3, 4, 5]));
    script.replicate(1, 2, |_| false);
    script.heading("(b) S1 crashes; S5 leads term 3 and takes another entry at index 2");
    assert!(script.campaign(5, &[3, 4]));
    script.heading("(c) S5 crashes; S1 restarts, leads term 4 and replicates index 2 to S3");
    script.cluster.restart(1);
    assert!(script.campaign(1, &[2, 3, 4]));
    script.replicate(1, 3, |cluster| cluster.raft(1).status().progress[1].2 >= Index(2));
    // S2 confirms index 2 as well, but loses power before index 3 is on its disk.
    script.cluster.slow_disks.push(2);
    script.replicate(1, 2, |_| false);
    script.cluster.slow_disks.clear();
    script.cluster.restart(2);
    let matched: Vec<Index> = script.cluster.raft(1).status().progress.iter().map(|peer| peer.2).collect();
    assert_eq!(matched, [2, 2, 0, 0].map(Index));
    let logs = [2, 3, 5].map(|id| script.cluster.terms(id));
    assert_eq!(logs, [[1, 2], [1, 2], [1, 3]].map(Vec::from));
    assert_eq!(script.cluster.raft(1).status().commit, Index(0), "on a majority, of an old term");
    script
}

/// "an entry that is stored on a majority of servers, yet can still be overwritten by a future leader" (§5.4.2)
#[test]
fn figure_8_d_the_entry_on_a_majority_is_overwritten() {
    let mut script = figure_8_to_c();
    script.heading("(d) S1 crashes; S5 restarts, leads term 5 and overwrites index 2 everywhere");
    script.cluster.restart(1);
    script.cluster.restart(5);
    assert!(script.campaign(5, &[2, 3, 4]));
    for follower in 1..=4 {
        script.replicate(5, follower, |_| false);
    }
    for node in 1..=5 {
        assert_eq!(script.cluster.terms(node), [1, 3, 5], "S{node}");
    }
    insta::assert_snapshot!(script.text);
}

/// "if S1 replicates an entry from its current term on a majority of the servers before crashing, as in (e), then this
/// entry is committed (S5 cannot win an election)" (figure 8)
#[test]
fn figure_8_e_an_entry_of_its_own_term_commits_both() {
    let mut script = figure_8_to_c();
    script.heading("(e) S1 replicates index 3, of its own term, to S2 and S3");
    script.replicate(1, 3, |_| false);
    script.replicate(1, 2, |_| false);
    assert_eq!(script.cluster.raft(1).status().commit, Index(3));
    script.heading("S1 crashes; S5 restarts and cannot win");
    script.cluster.restart(1);
    script.cluster.restart(5);
    assert!(!script.campaign(5, &[2, 3, 4]));
    insta::assert_snapshot!(script.text);
    script.cluster.run(Span::from_millis(3_000));
    for node in 1..=5 {
        assert_eq!(script.cluster.terms(node)[..3], [1, 2, 4], "S{node}");
    }
}

/// Three leaders overwrite the same indexes while the first write is still under way: its end must not pass for the
/// end of the third (a race of kind ABA: same indexes, other entries).
#[test]
fn three_leaders_overwrite_what_is_being_written() {
    let mut node = Solo::new(7, 1, &[1]);
    let mut text = String::new();
    let note = |node: &mut Solo, event: &str, text: &mut String| {
        *text += &format!("-- {event}\n");
        for (to, message) in node.sent() {
            *text += &format!("n1 -> n{to}  {}\n", line(&message));
        }
        let status = node.raft.status();
        let under_way: Vec<String> =
            node.disk.unsynced.iter().map(|persist| written(&persist.write)).collect();
        *text +=
            &format!("{:8}  durable {} of {}, under way: {under_way:?}\n", "", status.durable, status.last);
    };
    node.stalled = true;
    // Each leader's term comes before its entries, so that it is durable before they are.
    for (leader, term) in [(2, 2), (3, 3), (4, 4)] {
        node.hear(leader, heartbeat(term, 1, 0));
        node.hear(leader, append(term, id(1, 1), &[term; 3], 0));
        note(&mut node, &format!("n{leader} leads t{term} and sends entries 2 to 4"), &mut text);
    }
    for (number, durable) in [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 4)] {
        node.sync_one();
        note(&mut node, &format!("write {number} is synced"), &mut text);
        assert_eq!(node.raft.status().durable, Index(durable));
    }
    assert_eq!(node.log(), [1, 4, 4, 4]);
    assert_eq!(node.disk.entries, log_of(&[1, 4, 4, 4]));
    insta::assert_snapshot!(text);
}
