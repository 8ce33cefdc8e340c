//! The state machine that the simulator replicates: keys, numbers, and the version of everything.
//!
//! Answers carry versions, a failed compare-and-set says what it saw, and "absent" is not 0: so a checker of the
//! clients' history can tell two writes of one value apart, and knows the state in which each answer was given.

use std::collections::BTreeMap;

use raft_core::Index;
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(pub u32);

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a key.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: i64,
    },
    /// Removes a key. A mutation also when the key is absent.
    Delete {
        /// The key.
        key: Key,
    },
    /// Sets a key if it has the expected value.
    CompareAndSet {
        /// The key.
        key: Key,
        /// The value that it must have; none: it must be absent.
        expected: Option<i64>,
        /// Its new value.
        new: i64,
    },
    /// Adds to a key, wrapping; an absent key counts as 0.
    Increment {
        /// The key.
        key: Key,
        /// What is added.
        by: i64,
    },
}

/// What a key holds, and which mutation made it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Versioned {
    /// The value; none when absent.
    pub value: Option<i64>,
    /// The index of the last mutation, a deletion too; 0 if there never was one.
    pub version: Index,
}

/// What a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The mutation was made: what the key holds now, and the version that is this mutation's.
    Changed(Versioned),
    /// The compare-and-set found this instead, and changed nothing.
    Mismatch(Versioned),
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// What a key holds.
    Get {
        /// The key.
        key: Key,
    },
}

/// The state. Deleted keys stay as tombstones, because their version is part of the answer.
///
/// Invariant: `digest` is the wrapping sum of the digests of all keys ever written.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kv {
    keys: BTreeMap<Key, Versioned>,
    digest: u64,
}

impl Kv {
    /// What a key holds.
    #[must_use]
    pub fn get(&self, key: Key) -> Versioned {
        self.keys.get(&key).copied().unwrap_or_default()
    }

    fn set(&mut self, index: Index, key: Key, value: Option<i64>) -> Response {
        let held = Versioned { value, version: index };
        self.digest = self.digest.wrapping_add(digest_of(key, held));
        if let Some(before) = self.keys.insert(key, held) {
            self.digest = self.digest.wrapping_sub(digest_of(key, before));
        }
        Response::Changed(held)
    }
}

impl StateMachine for Kv {
    type Command = Command;
    type Response = Response;
    type Query = Query;
    type Answer = Versioned;
    type Image = Kv;

    fn apply(&mut self, index: Index, command: Command) -> Response {
        match command {
            Command::Put { key, value } => self.set(index, key, Some(value)),
            Command::Delete { key } => self.set(index, key, None),
            Command::CompareAndSet { key, expected, new } => {
                let seen = self.get(key);
                if seen.value == expected {
                    self.set(index, key, Some(new))
                } else {
                    Response::Mismatch(seen)
                }
            }
            Command::Increment { key, by } => {
                let value = self.get(key).value.unwrap_or(0).wrapping_add(by);
                self.set(index, key, Some(value))
            }
        }
    }

    fn query(&self, query: Query) -> Versioned {
        match query {
            Query::Get { key } => self.get(key),
        }
    }

    fn freeze(&self) -> Kv {
        self.clone()
    }

    fn write(image: &Kv, out: &mut dyn Sink) {
        write_value(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<Kv, SourceError> {
        read_value(input)
    }

    fn digest(&self) -> Option<u64> {
        Some(self.digest)
    }
}

/// Of one key; a sum of these does not depend on the order of the mutations that led there.
fn digest_of(key: Key, held: Versioned) -> u64 {
    let words =
        [u64::from(key.0), u64::from(held.value.is_some()), held.value.unwrap_or(0) as u64, held.version.0];
    xxh3_64(words.map(u64::to_le_bytes).as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: Key = Key(7);

    fn changed(value: Option<i64>, version: u64) -> Response {
        Response::Changed(Versioned { value, version: Index(version) })
    }

    /// Worlds are cloned, and printed when they fail.
    #[test]
    fn a_replica_of_it_is_cloneable_and_printable() {
        fn holds<T: Clone + std::fmt::Debug>() {}
        holds::<raft_core::replica::Replica<Kv>>();
    }

    #[test]
    fn absent_is_not_zero_and_a_deletion_has_a_version() {
        let mut kv = Kv::default();
        assert_eq!(kv.query(Query::Get { key: K }), Versioned { value: None, version: Index(0) });
        assert_eq!(kv.apply(Index(1), Command::Put { key: K, value: 0 }), changed(Some(0), 1));
        assert_eq!(kv.apply(Index(2), Command::Delete { key: K }), changed(None, 2));
        assert_eq!(kv.query(Query::Get { key: K }), Versioned { value: None, version: Index(2) });
        assert_eq!(kv.apply(Index(3), Command::Increment { key: K, by: 5 }), changed(Some(5), 3));
        let max = Command::Increment { key: K, by: i64::MAX };
        assert_eq!(kv.apply(Index(4), max), changed(Some(i64::MIN + 4), 4));
    }

    #[test]
    fn a_failed_compare_and_set_says_what_it_saw_and_changes_nothing() {
        let mut kv = Kv::default();
        kv.apply(Index(1), Command::Put { key: K, value: 3 });
        let before = kv.clone();
        let wrong = Command::CompareAndSet { key: K, expected: None, new: 9 };
        let saw = Versioned { value: Some(3), version: Index(1) };
        assert_eq!(kv.apply(Index(2), wrong), Response::Mismatch(saw));
        assert_eq!(kv, before);
        let right = Command::CompareAndSet { key: K, expected: Some(3), new: 9 };
        assert_eq!(kv.apply(Index(3), right), changed(Some(9), 3));
    }

    #[test]
    fn the_digest_is_of_the_state_and_not_of_the_way_there() {
        let mut a = Kv::default();
        a.apply(Index(1), Command::Put { key: Key(1), value: 1 });
        a.apply(Index(2), Command::Put { key: Key(2), value: 2 });
        let mut b = Kv::default();
        b.apply(Index(2), Command::Put { key: Key(2), value: 2 });
        b.apply(Index(1), Command::Put { key: Key(1), value: 1 });
        assert_eq!(a.digest(), b.digest());
        b.apply(Index(3), Command::Put { key: Key(1), value: 1 });
        assert_ne!(a.digest(), b.digest(), "the version counts");
        let sum = b.keys.iter().fold(0u64, |sum, (key, held)| sum.wrapping_add(digest_of(*key, *held)));
        assert_eq!(b.digest(), Some(sum));
    }
}
