//! Three members in one process: how a host drives the core. Run it with `cargo run -p raft-core --example embed`.
//!
//! A real host replaces three things: the map of files, the queue of messages and the counter that stands for a clock.
//!
//! The contract: **every action may be performed the moment it is seen.** A message that depends on a write comes out
//! only after `handle_durable` was told of that write, so no order of sends and syncs is wrong.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft_core::journal::{DiskOp, Files, Journal, JournalConfig, OnDamage, ReadFailed, Recovery, initialise};
use raft_core::{
    Action, ClusterId, Config, Configuration, Envelope, Epoch, Identity, Incarnation, Instant, Member,
    NodeId, Payload, Raft,
};

struct Host {
    raft: Raft,
    journal: Journal,
    files: Files,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let members: Vec<Member> =
        (1..=3).map(|id| Member { id: NodeId(id), incarnation: Incarnation(id * 1_000) }).collect();
    let founding = Configuration::of_voters(members.iter().copied());
    let mut now = Instant(0);
    let mut hosts = BTreeMap::new();
    for member in members {
        hosts.insert(member.id, start(member, &founding, now)?);
    }

    let mut network: VecDeque<Envelope> = VecDeque::new();
    let mut is_proposed = false;
    while now < Instant(2_000_000) {
        // Time comes in as an argument. A tick may come at any time; `next_tick` says when one will matter.
        now = Instant(now.0 + 1_000);
        for host in hosts.values_mut() {
            host.raft.tick(now);
            if host.raft.is_leader() && !is_proposed {
                let id = host.raft.propose(now, Bytes::from_static(b"hello"))?;
                println!("{} proposed {id}", host.raft.identity().member);
                is_proposed = true;
            }
            drain(host, now, &mut network);
        }
        while let Some(envelope) = network.pop_front() {
            let Some(host) = hosts.get_mut(&envelope.to.id) else { continue };
            // A violation is a peer's fault: the message is dropped, and the node goes on.
            if let Err(violation) = host.raft.handle_message(now, envelope) {
                println!("{}: {violation}", host.raft.identity().member);
            }
            drain(host, now, &mut network);
        }
    }
    Ok(())
}

/// Initialises an empty directory and recovers from it, as after every start.
fn start(member: Member, founding: &Configuration, now: Instant) -> Result<Host, Box<dyn std::error::Error>> {
    let mut files = Files::new();
    let identity = Identity { cluster: ClusterId(1), epoch: Epoch(0), member };
    // Once in the life of a directory; the incarnation is minted with it.
    perform(&mut files, &initialise(identity, founding));
    // At every start: read everything, perform what makes it safe to build on, and only then finish.
    let recovery = Recovery::start(
        JournalConfig { segment_bytes: 65_536, ..JournalConfig::default() },
        &files,
        OnDamage::Refuse,
    )?;
    perform(&mut files, recovery.ops());
    let (journal, restored) = recovery.finish();
    let raft = Raft::new(Config::default(), restored, now, 42)?;
    Ok(Host { raft, journal, files })
}

/// Does what the core asks for, until it asks for nothing more. Each action may be performed the moment it is seen.
fn drain(host: &mut Host, now: Instant, network: &mut VecDeque<Envelope>) {
    while let Some(action) = host.raft.poll_action() {
        match action {
            Action::Send(envelope) => network.push_back(envelope),
            Action::Persist(persist) => host.journal.submit(persist),
            Action::Receive(chunk) => host.journal.receive(&chunk),
            Action::Apply(entries) => {
                for entry in &entries {
                    if let Payload::Command(command) = &entry.payload {
                        println!("{} applies {}: {command:?}", host.raft.identity().member, entry.id());
                    }
                }
                if let Some(last) = entries.last() {
                    host.raft.handle_applied(last.index);
                }
            }
            // Followers that are far behind are sent what memory has let go; so is a state machine after a restart.
            Action::Load(request) => {
                let loaded = host.journal.plan_load(&request).run(&mut |file, offset, bytes| {
                    let file = host.files.get(file).ok_or(ReadFailed::Missing)?;
                    Ok(file.iter().skip(offset as usize).take(bytes as usize).copied().collect())
                });
                host.raft.handle_loaded(now, request, loaded);
            }
            Action::Restore(snapshot) => unreachable!("nobody here took the snapshot of {}", snapshot.last),
            Action::RoleChanged(change) => println!("{} is {change:?}", host.raft.identity().member),
            Action::ReadReady(..) | Action::ReadFailed(..) | Action::Lost(_) | Action::Unknown(_) => {}
        }
        // One sync for everything that was written meanwhile; a real host does this on another thread.
        if let Some(batch) = host.journal.poll_batch() {
            perform(&mut host.files, &batch.ops);
            if let Some(durable) = host.journal.handle_batch_done() {
                host.raft.handle_durable(now, durable);
            }
        }
        // Pieces of a snapshot that comes in; on yet another thread, so that no batch waits for them.
        if let Some(job) = host.journal.poll_receive() {
            perform(&mut host.files, &job.ops);
            if let Some(received) = host.journal.handle_receive_done() {
                host.raft.handle_received(now, received);
            }
        }
    }
}

/// What a real host does with files, `fdatasync` and the directory. The first error there ends the node.
fn perform(files: &mut Files, ops: &[DiskOp]) {
    for op in ops {
        match op {
            DiskOp::Create { file, bytes } => {
                files.insert(file.clone(), vec![0; *bytes as usize]);
            }
            DiskOp::Write { file, offset, bytes } => {
                let start = *offset as usize;
                let file = files.get_mut(file).expect("the journal writes to files that it created");
                file.resize(file.len().max(start + bytes.len()), 0);
                file[start..start + bytes.len()].copy_from_slice(bytes);
            }
            DiskOp::Remove { file } => {
                files.remove(file);
            }
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {}
        }
    }
}
