//! What is replicated: keys and values for people, both text.
//!
//! Every key carries a version: the log index of the command that gave it its value. A version is never used twice,
//! not after a deletion either, so an `If-Match` can't be fooled by a key that went and came back; and nothing has to
//! be kept of deleted keys.

use raft_core::Index;
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

/// What must hold of a key for a command to change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Condition {
    /// Nothing.
    Always,
    /// It has exactly this version.
    Version(u64),
    /// It exists.
    Present,
    /// It does not exist.
    Absent,
}

/// A change. Variants are append-only: they are in logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Gives a key a value.
    Set { key: String, value: String, condition: Condition },
    /// Removes a key.
    Delete { key: String, condition: Condition },
    /// Gives a key a value if it has the expected one; `None`: if it does not exist.
    CompareAndSet { key: String, expected: Option<String>, new: String },
    /// Adds to a key whose value is a number; an absent key counts as 0.
    Increment { key: String, by: i64 },
}

/// What a command answers. Variants are append-only: they are in snapshots, as answers kept for retries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Response {
    /// The key has its new value.
    Set { version: u64 },
    /// The key is gone; it had this version.
    Deleted { version: u64 },
    /// The key has this number now.
    Number { value: i64, version: u64 },
    /// There was nothing to delete.
    NotFound,
    /// The condition does not hold, and nothing changed. What the key has.
    Mismatch(Option<Held>),
    /// The value is not a number, and nothing changed.
    NotANumber { version: u64 },
    /// The sum would pass the bounds of 64 bits, and nothing changed.
    Overflow { value: i64, version: u64 },
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// What a key has.
    Get { key: String },
    /// The store as a whole.
    Summary,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Of `Get`.
    Held(Option<Held>),
    /// Of `Summary`: how many keys, and a digest that is equal on equal stores.
    Summary { keys: u64, digest: u64 },
}

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The value.
    pub(crate) value: String,
    /// The log index of the command that set it.
    pub(crate) version: u64,
}

/// All keys. A copy costs nothing: it shares what is not changed afterwards.
type Keys = RedBlackTreeMapSync<String, Held>;

/// The store.
///
/// Invariant: `digest` is the wrapping sum of the digests of all keys in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    keys: Keys,
    digest: u64,
}

impl Store {
    fn set(&mut self, index: Index, key: String, value: String) {
        let held = Held { value, version: index.0 };
        self.digest = self.digest.wrapping_add(digest_of(&key, &held));
        if let Some(before) = self.keys.get(&key) {
            self.digest = self.digest.wrapping_sub(digest_of(&key, before));
        }
        self.keys.insert_mut(key, held);
    }

    fn set_if(&mut self, index: Index, key: String, value: String, condition: &Condition) -> Response {
        if !self.holds(&key, condition) {
            return Response::Mismatch(self.keys.get(&key).cloned());
        }
        self.set(index, key, value);
        Response::Set { version: index.0 }
    }

    fn delete_if(&mut self, key: &str, condition: &Condition) -> Response {
        if !self.holds(key, condition) {
            return Response::Mismatch(self.keys.get(key).cloned());
        }
        let Some(before) = self.keys.get(key).cloned() else { return Response::NotFound };
        self.keys.remove_mut(key);
        self.digest = self.digest.wrapping_sub(digest_of(key, &before));
        Response::Deleted { version: before.version }
    }

    fn compare_and_set(
        &mut self,
        index: Index,
        key: String,
        expected: Option<&str>,
        new: String,
    ) -> Response {
        let held = self.keys.get(&key);
        if held.map(|held| held.value.as_str()) != expected {
            return Response::Mismatch(held.cloned());
        }
        self.set(index, key, new);
        Response::Set { version: index.0 }
    }

    fn increment(&mut self, index: Index, key: String, by: i64) -> Response {
        let (before, version) = match self.keys.get(&key) {
            None => (0, 0),
            Some(held) => match held.value.parse::<i64>() {
                Ok(number) => (number, held.version),
                Err(_) => return Response::NotANumber { version: held.version },
            },
        };
        let Some(value) = before.checked_add(by) else {
            return Response::Overflow { value: before, version };
        };
        self.set(index, key, value.to_string());
        Response::Number { value, version: index.0 }
    }

    fn holds(&self, key: &str, condition: &Condition) -> bool {
        let held = self.keys.get(key);
        match condition {
            Condition::Always => true,
            Condition::Version(version) => held.is_some_and(|held| held.version == *version),
            Condition::Present => held.is_some(),
            Condition::Absent => held.is_none(),
        }
    }
}

impl StateMachine for Store {
    type Command = Command;
    type Response = Response;
    type Query = Query;
    type Answer = Answer;
    type Image = Keys;

    fn apply(&mut self, index: Index, command: Command) -> Response {
        match command {
            Command::Set { key, value, condition } => self.set_if(index, key, value, &condition),
            Command::Delete { key, condition } => self.delete_if(&key, &condition),
            Command::CompareAndSet { key, expected, new } => {
                self.compare_and_set(index, key, expected.as_deref(), new)
            }
            Command::Increment { key, by } => self.increment(index, key, by),
        }
    }

    fn query(&self, query: Query) -> Answer {
        match query {
            Query::Get { key } => Answer::Held(self.keys.get(&key).cloned()),
            Query::Summary => Answer::Summary { keys: self.keys.size() as u64, digest: self.digest },
        }
    }

    fn freeze(&self) -> Keys {
        self.keys.clone()
    }

    fn write(image: &Keys, out: &mut dyn Sink) {
        write_value(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<Store, SourceError> {
        let keys: Keys = read_value(input)?;
        let digest = keys.iter().map(|(key, held)| digest_of(key, held)).fold(0, u64::wrapping_add);
        Ok(Store { keys, digest })
    }

    fn digest(&self) -> Option<u64> {
        Some(self.digest)
    }
}

/// Of one key; the sum of these does not depend on the way that led to the state.
fn digest_of(key: &str, held: &Held) -> u64 {
    let mut digest = Xxh3Default::new();
    // Lengths first, so that no two different pairs have the same bytes.
    digest.update(&(key.len() as u64).to_le_bytes());
    digest.update(key.as_bytes());
    digest.update(&held.version.to_le_bytes());
    digest.update(held.value.as_bytes());
    digest.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> Command {
        Command::Set { key: key.into(), value: value.into(), condition: Condition::Always }
    }

    fn held(store: &Store, key: &str) -> Option<(String, u64)> {
        store.keys.get(key).map(|held| (held.value.clone(), held.version))
    }

    #[test]
    fn a_version_is_never_used_twice_even_after_a_deletion() {
        let mut store = Store::default();
        assert_eq!(store.apply(Index(3), set("k", "a")), Response::Set { version: 3 });
        let delete = Command::Delete { key: "k".into(), condition: Condition::Version(3) };
        assert_eq!(store.apply(Index(4), delete.clone()), Response::Deleted { version: 3 });
        assert_eq!(store.apply(Index(5), set("k", "a")), Response::Set { version: 5 });
        let seen = Held { value: "a".into(), version: 5 };
        assert_eq!(store.apply(Index(6), delete), Response::Mismatch(Some(seen)));
    }

    #[test]
    fn conditions_guard_and_change_nothing_when_they_fail() {
        let mut store = Store::default();
        let put = |condition| Command::Set { key: "k".into(), value: "v".into(), condition };
        assert_eq!(store.apply(Index(1), put(Condition::Present)), Response::Mismatch(None));
        assert_eq!(store.apply(Index(2), put(Condition::Version(0))), Response::Mismatch(None));
        assert_eq!(held(&store, "k"), None);
        assert_eq!(store.apply(Index(3), put(Condition::Absent)), Response::Set { version: 3 });
        let before = store.clone();
        assert!(matches!(store.apply(Index(4), put(Condition::Absent)), Response::Mismatch(Some(_))));
        assert_eq!(store, before);
    }

    #[test]
    fn compare_and_set_tells_absent_from_empty() {
        let mut store = Store::default();
        let swap = |expected: Option<&str>, new: &str| Command::CompareAndSet {
            key: "k".into(),
            expected: expected.map(String::from),
            new: new.into(),
        };
        assert_eq!(store.apply(Index(1), swap(Some(""), "x")), Response::Mismatch(None));
        assert_eq!(store.apply(Index(2), swap(None, "")), Response::Set { version: 2 });
        assert!(matches!(store.apply(Index(3), swap(None, "x")), Response::Mismatch(Some(_))));
        assert_eq!(store.apply(Index(4), swap(Some(""), "x")), Response::Set { version: 4 });
    }

    #[test]
    fn numbers_add_up_and_never_wrap() {
        let mut store = Store::default();
        let add = |by| Command::Increment { key: "n".into(), by };
        assert_eq!(store.apply(Index(1), add(i64::MAX)), Response::Number { value: i64::MAX, version: 1 });
        assert_eq!(store.apply(Index(2), add(1)), Response::Overflow { value: i64::MAX, version: 1 });
        assert_eq!(store.apply(Index(3), add(-2)), Response::Number { value: i64::MAX - 2, version: 3 });
        store.apply(Index(4), set("n", "ten"));
        assert_eq!(store.apply(Index(5), add(1)), Response::NotANumber { version: 4 });
        assert_eq!(held(&store, "n"), Some(("ten".into(), 4)));
    }

    #[test]
    fn the_digest_is_of_the_state_and_not_of_the_way_there() {
        let (mut a, mut b) = (Store::default(), Store::default());
        a.apply(Index(1), set("x", "1"));
        a.apply(Index(2), set("y", "2"));
        b.apply(Index(1), set("z", "gone"));
        b.apply(Index(2), set("y", "2"));
        b.apply(Index(3), Command::Delete { key: "z".into(), condition: Condition::Always });
        b.apply(Index(1), set("x", "1"));
        assert_eq!(a.digest(), b.digest());
        b.apply(Index(4), set("x", "1"));
        assert_ne!(a.digest(), b.digest(), "the version counts");
        let sum = b.keys.iter().fold(0u64, |sum, (key, held)| sum.wrapping_add(digest_of(key, held)));
        assert_eq!(b.digest(), Some(sum));
    }
}
