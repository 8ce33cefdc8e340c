//! The text files beside the journal: who is who. Lines for people, each file closed by a checksum.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use raft_core::{ClusterId, Epoch, Incarnation, Member, NodeId};
use xxhash_rust::xxh3::xxh3_64;

use crate::secure::{PrivateKey, PublicKey};

/// Members of a founding record at most.
const MEMBERS_MAX: usize = 64;

const KEY_TITLE: &str = "raft-net private key, version 1";
const MEMBERS_TITLE: &str = "raft-net members, version 1";

/// What others need to know of a member: a line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its number and its directory's incarnation.
    pub member: Member,
    /// Its public key.
    pub public: PublicKey,
}

/// Who founds a cluster: what all its first members are told alike. Its text is the file `members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundingRecord {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its members; all vote.
    pub members: Vec<MemberRecord>,
}

impl FoundingRecord {
    /// A record of a new cluster, whose number is drawn.
    ///
    /// # Errors
    /// The system has no random numbers, or the members can't make a cluster.
    pub fn new(members: Vec<MemberRecord>) -> Result<FoundingRecord, String> {
        let cluster = ClusterId(getrandom::u64().map_err(|error| error.to_string())?);
        let record = FoundingRecord { cluster, epoch: Epoch(0), members };
        record.check().map(|()| record)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let distinct = |count: usize| count == self.members.len();
        let ids: BTreeSet<_> = self.members.iter().map(|record| record.member.id).collect();
        let keys: BTreeSet<_> = self.members.iter().map(|record| record.public.to_string()).collect();
        if self.members.is_empty() || self.members.len() > MEMBERS_MAX {
            return Err(format!("it must list 1 to {MEMBERS_MAX} members"));
        }
        if !distinct(ids.len()) {
            return Err(String::from("two members have one number; give each node its own"));
        }
        if !distinct(keys.len()) {
            return Err(String::from("two members have one key; initialise each directory, copy none"));
        }
        Ok(())
    }
}

impl fmt::Display for MemberRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Member { id, incarnation } = self.member;
        write!(f, "member {} incarnation {:016x} key {}", id.0, incarnation.0, self.public)
    }
}

impl FromStr for MemberRecord {
    type Err = String;

    fn from_str(line: &str) -> Result<MemberRecord, String> {
        let wrong = || format!("not \"member NUMBER incarnation HEX key KEY\": {line:?}");
        let words: Vec<&str> = line.split(' ').collect();
        let ["member", id, "incarnation", incarnation, "key", key] = words[..] else { return Err(wrong()) };
        let id = NodeId(id.parse().map_err(|_| wrong())?);
        let incarnation = Incarnation(hex(incarnation).ok_or_else(wrong)?);
        Ok(MemberRecord { member: Member { id, incarnation }, public: key.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for FoundingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{MEMBERS_TITLE}\ncluster {:016x} epoch {}\n", self.cluster.0, self.epoch.0);
        for record in &self.members {
            text.push_str(&format!("{record}\n"));
        }
        f.write_str(&close(text))
    }
}

impl FromStr for FoundingRecord {
    type Err = String;

    fn from_str(text: &str) -> Result<FoundingRecord, String> {
        let mut lines = body(text, MEMBERS_TITLE)?;
        let line = lines.next().unwrap_or_default();
        let wrong = || format!("not \"cluster HEX epoch NUMBER\": {line:?}");
        let words: Vec<&str> = line.split(' ').collect();
        let ["cluster", cluster, "epoch", epoch] = words[..] else { return Err(wrong()) };
        let cluster = ClusterId(hex(cluster).ok_or_else(wrong)?);
        let epoch = Epoch(epoch.parse().map_err(|_| wrong())?);
        let members = lines.map(str::parse).collect::<Result<_, _>>()?;
        let record = FoundingRecord { cluster, epoch, members };
        record.check().map(|()| record)
    }
}

/// A drawn number: 16 digits, as it is written.
fn hex(text: &str) -> Option<u64> {
    let is_plain = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| is_plain)
}

pub(super) fn private_key_text(member: Member, key: &PrivateKey) -> String {
    let Member { id, incarnation } = member;
    let secret = key.to_text();
    close(format!(
        "{KEY_TITLE}\nmember {} incarnation {:016x} private-key {}\n",
        id.0, incarnation.0, *secret
    ))
}

pub(super) fn parse_private_key(text: &str) -> Result<(Member, PrivateKey), String> {
    let mut lines = body(text, KEY_TITLE)?;
    // Nothing of the line may be repeated in an error: it holds the key.
    let wrong = || String::from("not \"member NUMBER incarnation HEX private-key KEY\"");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let ["member", id, "incarnation", incarnation, "private-key", key] = words[..] else {
        return Err(wrong());
    };
    let id = NodeId(id.parse().map_err(|_| wrong())?);
    let incarnation = Incarnation(hex(incarnation).ok_or_else(wrong)?);
    let key = key.parse().map_err(|_| wrong())?;
    Ok((Member { id, incarnation }, key))
}

fn close(text: String) -> String {
    let checksum = xxh3_64(text.as_bytes());
    format!("{text}checksum {checksum:016x}\n")
}

/// The lines between the title and the checksum.
fn body<'a>(text: &'a str, title: &str) -> Result<impl Iterator<Item = &'a str>, String> {
    let found = text.lines().next().unwrap_or_default();
    if found != title {
        return Err(format!("the first line is {found:?}, not {title:?}: damaged, or of another version"));
    }
    let at = text.rfind("checksum ").ok_or("the file is cut short: its last line is no checksum")?;
    let (content, last) = text.split_at(at);
    if last != format!("checksum {:016x}\n", xxh3_64(content.as_bytes())) {
        return Err(String::from("the checksum does not match: the file is damaged, or was edited"));
    }
    Ok(content.lines().skip(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> FoundingRecord {
        let member = |id| MemberRecord {
            member: Member { id: NodeId(id), incarnation: Incarnation(id * 1_000) },
            public: PrivateKey::generate().unwrap().public(),
        };
        FoundingRecord { cluster: ClusterId(7), epoch: Epoch(0), members: vec![member(1), member(2)] }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = record();
        assert_eq!(record.to_string().parse(), Ok(record.clone()));
        let line = record.members[0].to_string();
        assert_eq!(line.parse(), Ok(record.members[0].clone()));
    }

    #[test]
    fn any_change_of_a_byte_and_any_shorter_text_is_an_error() {
        let text = record().to_string();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(changed.parse::<FoundingRecord>().is_err(), "{changed}");
            assert!(text[..at].parse::<FoundingRecord>().is_err(), "{at}");
        }
    }

    #[test]
    fn members_are_distinct_in_number_and_key() {
        let mut one_number = record();
        one_number.members[1].member.id = NodeId(1);
        assert!(one_number.check().unwrap_err().contains("number"));
        let mut one_key = record();
        one_key.members[1].public = one_key.members[0].public;
        assert!(one_key.check().unwrap_err().contains("key"));
    }
}
