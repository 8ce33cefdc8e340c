//! raft-rs 0.7, in its best mode.

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use slog::{Discard, Logger, o};

use crate::cluster::Node;
use crate::{APPEND_BYTES_MAX, COMPACT_EVERY, WINDOW_APPENDS_MAX};

pub struct Theirs {
    pub raw: RawNode<MemStorage>,
    applied: u64,
    /// Applied when the log was last compacted.
    compacted: u64,
}

impl Node for Theirs {
    type Message = Message;

    const NAME: &'static str = "raft-rs";

    fn group(size: usize, heartbeat_ticks: u64, election_ticks: u64) -> Vec<Theirs> {
        let voters: Vec<u64> = (1..=size as u64).collect();
        let logger = Logger::root(Discard, o!());
        let start = |id| {
            let config = Config {
                id,
                heartbeat_tick: heartbeat_ticks as usize,
                election_tick: election_ticks as usize,
                max_size_per_msg: APPEND_BYTES_MAX,
                max_inflight_msgs: WINDOW_APPENDS_MAX,
                check_quorum: true,
                pre_vote: true,
                skip_bcast_commit: true,
                batch_append: true,
                ..Config::default()
            };
            let storage = MemStorage::new_with_conf_state((voters.clone(), vec![]));
            let raw = RawNode::new(&config, storage, &logger).expect("the settings are valid");
            Theirs { raw, applied: 0, compacted: 0 }
        };
        voters.iter().copied().map(start).collect()
    }

    fn campaign(group: &mut [Theirs]) {
        group[0].raw.campaign().expect("a follower may campaign");
    }

    fn tick(&mut self) {
        self.raw.tick();
    }

    fn propose(&mut self, command: &Bytes) {
        let entry = Entry { data: command.clone(), ..Entry::default() };
        let mut message =
            Message { msg_type: MessageType::MsgPropose, from: self.raw.raft.id, ..Message::default() };
        message.entries.push(entry);
        self.raw.step(message).expect("the leader accepts");
    }

    fn handle(&mut self, message: Message) {
        self.raw.step(message).expect("peers are honest");
    }

    fn drain(&mut self, send: &mut impl FnMut(usize, Message)) {
        let mut send_all = |messages: Vec<Message>| {
            for message in messages {
                send(message.to as usize - 1, message);
            }
        };
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            send_all(ready.take_messages());
            self.apply(&ready.take_committed_entries());
            let store = self.raw.store();
            if !ready.entries().is_empty() {
                store.wl().append(ready.entries()).expect("entries are consecutive");
            }
            if let Some(hard_state) = ready.hs() {
                store.wl().set_hardstate(hard_state.clone());
            }
            send_all(ready.take_persisted_messages());
            let mut light = self.raw.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.raw.store().wl().mut_hard_state().set_commit(commit);
            }
            send_all(light.take_messages());
            self.apply(&light.take_committed_entries());
            self.raw.advance_apply();
            self.compact();
        }
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }
}

impl Theirs {
    fn apply(&mut self, entries: &[Entry]) {
        // A leader's first entry is a normal one without data.
        let is_command = |e: &&Entry| e.entry_type == EntryType::EntryNormal && !e.data.is_empty();
        self.applied += entries.iter().filter(is_command).count() as u64;
    }

    /// Every [`COMPACT_EVERY`] entries, all but the last as many go.
    fn compact(&mut self) {
        let applied = self.raw.raft.raft_log.applied;
        if applied < self.compacted + COMPACT_EVERY {
            return;
        }
        self.compacted = applied;
        let keep_from = applied.saturating_sub(COMPACT_EVERY);
        if keep_from > 1 {
            self.raw.store().wl().compact(keep_from).expect("what goes is applied");
        }
    }
}
