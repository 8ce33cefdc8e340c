//! Steps of many events each that bring the node into office, and a follower so far behind that it needs a snapshot;
//! and the single events with which a follower helps or hinders from there on.

use raft_core::message::{
    AppendAcknowledgement, AppendRejection, HeartbeatAnswer, Reception, SnapshotChunkAnswer, StaleTerm,
};
use raft_core::{Boot, Index, LogId, Member, Message, NodeId, Raft, Round, Span, Status};

use super::followers::Follower;
use super::forge::{Forge, ME, Step, log_id, near_index};
use super::host::Host;

/// How often everyone reads all that came, in good weather.
const READINGS_MAX: usize = 16;
/// Messages that one member reads then.
const MESSAGES_MAX: usize = 64;

/// A step about what a leader does with snapshots. False: the node can't go on, and must not.
pub(super) fn perform(host: &mut Host, forge: &mut Forge, step: Step) -> bool {
    let Step([kind, who, a, b, c, ..]) = step;
    let peer = forge.peer(who);
    match kind % 16 {
        0 => lead(host, forge),
        1 => commit(host, forge, step),
        2 => compact(host, a),
        3 => fall_behind(host, forge, step),
        4 => {
            for _ in 0..1 + a % 16 {
                if b & 1 == 0 {
                    host.catch_up();
                }
                read(host, forge, peer, usize::from(b >> 4), b & 2 == 2);
            }
        }
        5 => answer_about_pieces(host, forge, step),
        6 => answer_about_log(host, forge, step),
        7 => match b % 8 {
            0 => return host.fail_load(usize::from(a), false),
            1 => return host.fail_load(usize::from(a), true),
            _ => host.load(usize::from(a)),
        },
        // A newer snapshot, while another one is on its way.
        8 => {
            commit(host, forge, step);
            compact(host, c);
        }
        9 => host.mail.lose(peer, usize::from(a)),
        10 => {
            for _ in 0..1 + a % 8 {
                host.tick(Span::from_millis([5, 50, 100, 250][usize::from(b % 4)]));
                if c & 1 == 0 {
                    host.catch_up();
                }
                follow(host, forge, Some(peer), false);
            }
        }
        11 => {
            let term = host.raft.term().next();
            let message = Message::StaleTerm(StaleTerm { term, round: Round(0) });
            host.receive(forge.envelope(&host.raft, peer, 0, message), b);
        }
        12 => bring_up(host, forge, peer),
        13 => follow(host, forge, (a & 1 == 1).then_some(peer), true),
        // A follower that is a little behind, or restarted, says no more than that it is there.
        14 => {
            let round = Round(u64::from(a));
            let term = host.raft.term();
            let message = Message::HeartbeatAnswer(HeartbeatAnswer { term, round });
            if b & 1 == 1 {
                forge.restart_peer(who);
            }
            host.receive(forge.envelope(&host.raft, peer, 0, message), 0);
        }
        _ => {
            host.freeze(a);
            host.write_snapshot(usize::from(b % 8));
        }
    }
    true
}

/// The others, by the configuration in force.
fn others(raft: &Raft) -> Vec<Member> {
    raft.configuration().members().filter(|member| member.id != NodeId(ME)).collect()
}

/// A follower reads one message, and answers. False: there was none.
fn read(host: &mut Host, forge: &mut Forge, who: Member, skips: usize, holds_back: bool) -> bool {
    let Some(message) = host.mail.take(who, skips) else { return false };
    let answer = forge.followers.entry(who).or_default().answer(&message, holds_back);
    if let Some(answer) = answer.filter(|_| message.term() >= host.raft.term()) {
        host.receive(forge.envelope(&host.raft, who, 0, answer), 0);
    }
    true
}

/// Good weather: all disks keep up, and all but one member read what came; pieces of snapshots are read back or not.
fn follow(host: &mut Host, forge: &mut Forge, except: Option<Member>, with_pieces: bool) {
    let members = others(&host.raft);
    for _ in 0..READINGS_MAX {
        host.sync(usize::MAX);
        host.tell(usize::MAX, 0);
        host.confirm_applied(0, 0);
        host.load_entries();
        if with_pieces {
            host.catch_up();
        }
        let mut is_quiet = true;
        for member in members.iter().filter(|member| Some(**member) != except) {
            for _ in 0..MESSAGES_MAX {
                if !read(host, forge, *member, 0, false) {
                    break;
                }
                is_quiet = false;
            }
        }
        if is_quiet {
            return;
        }
    }
}

/// The node is elected, unless it may not be.
fn lead(host: &mut Host, forge: &mut Forge) {
    for _ in 0..4 {
        if host.raft.is_leader() {
            break;
        }
        host.tick(Span(2 * host.config.election_timeout.0));
        follow(host, forge, None, false);
    }
    follow(host, forge, None, false);
}

/// Some entries are committed, mostly without one of the followers.
fn commit(host: &mut Host, forge: &mut Forge, step: Step) {
    let Step([_, who, a, b, c, ..]) = step;
    let except = (c < 192).then_some(forge.peer(who));
    for _ in 0..1 + a % 8 {
        host.propose([0, 1, 40, 90, 150, 700][usize::from(b % 6)], 0);
        follow(host, forge, except, false);
    }
}

/// All that is committed is applied, and a snapshot of it takes the place of the log.
fn compact(host: &mut Host, how: u8) {
    for _ in 0..READINGS_MAX {
        host.sync(usize::MAX);
        host.tell(usize::MAX, 0);
        host.confirm_applied(0, 0);
        host.load_entries();
    }
    host.freeze(how);
    host.write_snapshot(usize::MAX);
}

/// A follower loses entries, or a part of a snapshot, or restarts.
fn fall_behind(host: &mut Host, forge: &mut Forge, step: Step) {
    let Step([_, who, a, b, ..]) = step;
    let follower = forge.followers.entry(forge.peer(who)).or_default();
    follower.cut(if a < 128 { usize::from(a % 8) } else { usize::MAX }, b & 1 == 1);
    if b & 2 == 2 {
        forge.restart_peer(who);
    }
    if b & 4 == 4 {
        host.mail.lose(forge.peer(who), usize::MAX);
    }
}

/// What a follower says about the pieces of a snapshot that it gets: any place in it, or outside; or about another one.
fn answer_about_pieces(host: &mut Host, forge: &Forge, step: Step) {
    let Step([_, who, a, b, c, d, _, flags]) = step;
    let to = forge.peer(who);
    let Some(piece) = host.newest_piece_to(to) else { return };
    let (length, end) = (piece.snapshot.length, piece.offset + piece.bytes.len() as u64);
    let received = match a % 8 {
        0 => piece.offset,
        1 => end,
        2 => 0,
        3 => length,
        4 => length.saturating_add(1 + u64::from(b)),
        5 => u64::MAX - u64::from(b),
        6 => end / 2,
        _ => u64::from(b).min(length),
    };
    let LogId { term, index } = piece.snapshot.last;
    let last = LogId { term, index: Index(index.0.saturating_sub(u64::from(d & 1))) };
    let answer = SnapshotChunkAnswer {
        term: host.raft.term(),
        snapshot: last,
        digest: piece.snapshot.digest ^ u64::from(d >> 7),
        received,
        reception: match c & 3 {
            1 => Reception::LacksBeginning,
            3 if c & 4 == 4 => Reception::NoRoom,
            3 => Reception::LacksBeginning,
            _ => Reception::GoesOn,
        },
    };
    host.receive(forge.envelope(&host.raft, to, flags, Message::SnapshotChunkAnswer(answer)), 0);
}

/// What a follower says about its log, at odds with what it said before: it is below the log, in it, or beyond.
fn answer_about_log(host: &mut Host, forge: &Forge, step: Step) {
    let Step([_, who, a, b, c, d, e, flags]) = step;
    let from = forge.peer(who);
    let raft = &host.raft;
    let (term, status) = (raft.term(), raft.status());
    let round = Round(u64::from(e));
    let next =
        status.progress.iter().find(|(member, ..)| *member == from).map_or(Index(1), |(_, next, _)| *next);
    let before_log = status.log_start.previous();
    let acknowledges =
        |matched: Index| Message::AppendAcknowledgement(AppendAcknowledgement { term, round, matched });
    let rejects = |refused: Index, hint: Index| {
        let (refused, hint) = (log_id(raft, refused, d), log_id(raft, hint, d));
        let last = near_index(raft, hint.index, c);
        Message::AppendRejection(AppendRejection { term, round, refused, hint, last })
    };
    let message = match a % 8 {
        0 | 1 => rejects(next.previous(), near_index(raft, Index(0), b)),
        2 => rejects(near_index(raft, next.previous(), c), near_index(raft, before_log, b)),
        3 => rejects(near_index(raft, status.snapshot.index, c), near_index(raft, status.snapshot.index, b)),
        4 => acknowledges(near_index(raft, status.snapshot.index, b)),
        5 => acknowledges(near_index(raft, before_log, b)),
        6 => acknowledges(Index(status.last.index.0.saturating_add(1 + u64::from(b)))),
        _ => acknowledges(near_index(raft, Index(before_log.0.saturating_add(1)), b)),
    };
    host.receive(forge.envelope(&host.raft, from, flags, message), 0);
}

/// Everyone restarts and follows well from then on, one of them with nothing at all: it is brought up to date, whatever
/// was said and done before, in a bounded number of heartbeats.
fn bring_up(host: &mut Host, forge: &mut Forge, who: Member) {
    if !host.raft.is_leader() || who.id == NodeId(ME) || !host.raft.configuration().names(who) {
        return;
    }
    if !host.sending.may_bring_up() {
        return;
    }
    let status = host.raft.status();
    let pieces = host.sending.pieces_to(who);
    for member in others(&host.raft) {
        // A boot that can't be followed by another was a lie; nobody gets over that.
        let Boot(seen) = host.highest_boot(member);
        if seen == u64::MAX {
            return;
        }
        forge.restart_beyond(member, seen);
        let follower = forge.followers.entry(member).or_default();
        // What it has is not from here, if the node itself was thrown back by damage.
        let base = follower.base();
        let is_foreign =
            base.index > status.last.index || host.raft.id_at(base.index).is_some_and(|id| id != base);
        if member == who || is_foreign {
            *follower = Follower::default();
        }
        // Whatever was lost before: the leader knows that they are there, and in which boot.
        let answer = HeartbeatAnswer { term: host.raft.term(), round: Round(0) };
        host.receive(forge.envelope(&host.raft, member, 0, Message::HeartbeatAnswer(answer)), 0);
    }
    follow(host, forge, None, true);
    if !host.raft.is_leader() {
        return;
    }
    let entries = status.last.index.0 - status.log_start.0.saturating_sub(1);
    let length = host.journal.snapshot().map_or(0, |snapshot| snapshot.length);
    for _ in 0..128 + entries + length / host.config.chunk_bytes_max {
        host.tick(host.config.heartbeat_interval);
        follow(host, forge, None, true);
        assert!(host.raft.is_leader(), "everyone follows, and yet it leads no more");
        let Status { last, progress, .. } = host.raft.status();
        if progress.iter().any(|(of, _, matched)| *of == who && *matched == last.index) {
            let follower = forge.followers.get(&who);
            assert!(follower.is_some_and(|follower| follower.has(last.index)), "{who} has not {last}");
            return host.sending.note_brought_up(host.sending.pieces_to(who) > pieces);
        }
    }
    panic!("{who} is never brought up to date: {:?}", host.raft.status());
}
