//! One key as a register of tokens, where that is exact.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use super::{Action, Answer, KvModel, Operation, mutation_version};
use crate::check::interner::{Interner, hash_words};
use crate::check::model::{Access, Call, Register, Seen};

/// No token yet.
const NONE: u32 = u32::MAX;

/// The register view of one key; `None` if some operation isn't an access to a register: an append, an increment
/// of unknown outcome, or one that may have started from "0" as well as from an absent key.
pub(super) fn view(model: &KvModel, calls: &[Call<'_, Operation, Answer>]) -> Option<Register> {
    let numbers = Numbers::of(model, calls)?;
    let mut tokens = Tokens::new(model);
    let accesses = calls.iter().map(|call| tokens.access(model, &numbers, *call)).collect::<Option<_>>()?;
    Some(Register { accesses, kinds: tokens.finish() })
}

/// What increments may find: they read a number, and a number may be written in several ways.
struct Numbers {
    absent_possible: bool,
    zero_possible: bool,
}

impl Numbers {
    fn of(model: &KvModel, calls: &[Call<'_, Operation, Answer>]) -> Option<Numbers> {
        let mut numbers = Numbers { absent_possible: model.initial.is_none(), zero_possible: false };
        let mut increments = false;
        let mut other_forms = false;
        let mut note = |text: &str| {
            numbers.zero_possible |= text == "0";
            other_forms |= text.parse::<i64>().is_ok_and(|n| n.to_string() != text);
        };
        if let Some(initial) = &model.initial {
            note(initial);
        }
        for call in calls {
            match &call.operation.action {
                Action::Get => {}
                Action::Put(value) | Action::CompareAndSet { new: value, .. } => note(value),
                Action::Append(_) => return None,
                Action::Delete => numbers.absent_possible = true,
                Action::Increment(_) => {
                    increments = true;
                    match call.answer {
                        Some(Answer::Sum { value: 0, .. }) => note("0"),
                        Some(Answer::Sum { .. }) => {}
                        Some(
                            Answer::Got { .. }
                            | Answer::Done { .. }
                            | Answer::Mismatch { .. }
                            | Answer::MismatchUnseen,
                        )
                        | None => return None,
                    }
                }
            }
        }
        (!(increments && other_forms)).then_some(numbers)
    }
}

/// Tokens: (value, version) where both are known, and one token for all that left a value without a version.
struct Tokens<'a> {
    /// The value of each kind.
    texts: Vec<Option<Cow<'a, str>>>,
    text_numbers: Interner,
    /// The token of the value without a version, by kind.
    plain: Vec<u32>,
    /// (kind, version) pairs, and the token of each.
    pairs: Vec<(u32, u64)>,
    pair_numbers: Interner,
    pair_tokens: Vec<u32>,
    /// The kind of each token.
    kinds: Vec<u32>,
    /// Whether a kind has a token.
    inhabited: Vec<bool>,
}

impl<'a> Tokens<'a> {
    fn new(model: &'a KvModel) -> Tokens<'a> {
        let mut tokens = Tokens {
            texts: Vec::new(),
            text_numbers: Interner::new(),
            plain: Vec::new(),
            pairs: Vec::new(),
            pair_numbers: Interner::new(),
            pair_tokens: Vec::new(),
            kinds: Vec::new(),
            inhabited: Vec::new(),
        };
        let initial = tokens.kind(model.initial.as_deref());
        tokens.plain_token(initial);
        tokens
    }

    /// A kind is a value, or absence.
    fn kind(&mut self, text: Option<impl Into<Cow<'a, str>>>) -> u32 {
        let text: Option<Cow<'a, str>> = text.map(Into::into);
        let hash = text.as_ref().map_or(0, |text| xxh3_64(text.as_bytes()));
        let texts = &self.texts;
        let (kind, new) = self.text_numbers.intern(hash, |kind| texts[kind as usize] == text);
        if new {
            self.texts.push(text);
            self.plain.push(NONE);
            self.inhabited.push(false);
        }
        kind
    }

    fn plain_token(&mut self, kind: u32) -> u32 {
        if self.plain[kind as usize] == NONE {
            self.plain[kind as usize] = self.new_token(kind);
        }
        self.plain[kind as usize]
    }

    fn versioned_token(&mut self, kind: u32, version: u64) -> u32 {
        let pairs = &self.pairs;
        let (pair, new) = self
            .pair_numbers
            .intern(hash_words(&[u64::from(kind), version]), |pair| pairs[pair as usize] == (kind, version));
        if new {
            self.pairs.push((kind, version));
            let token = self.new_token(kind);
            self.pair_tokens.push(token);
        }
        self.pair_tokens[pair as usize]
    }

    fn new_token(&mut self, kind: u32) -> u32 {
        self.inhabited[kind as usize] = true;
        self.kinds.push(kind);
        self.kinds.len() as u32 - 1
    }

    fn left(&mut self, text: Option<impl Into<Cow<'a, str>>>, version: Option<u64>) -> Option<u32> {
        let kind = self.kind(text);
        Some(match version {
            Some(version) => self.versioned_token(kind, version),
            None => self.plain_token(kind),
        })
    }

    /// What a get saw. A version that no mutation answered belongs to one whose answer was lost.
    fn seen(&mut self, model: &KvModel, call: Call<'a, Operation, Answer>, text: Option<&'a str>) -> Seen {
        let kind = self.kind(text);
        let version = match call.answer {
            Some(Answer::Got { version, .. } | Answer::Mismatch { version, .. }) => *version,
            Some(Answer::Done { .. } | Answer::MismatchUnseen | Answer::Sum { .. }) | None => None,
        };
        match version {
            Some(version) if model.is_claimed(&call.operation.key, version) => {
                Seen::Token(self.versioned_token(kind, version))
            }
            Some(_) => Seen::Token(self.plain_token(kind)),
            None => Seen::Kind(kind),
        }
    }

    /// `None`: not an access to a register.
    fn access(
        &mut self,
        model: &KvModel,
        numbers: &Numbers,
        call: Call<'a, Operation, Answer>,
    ) -> Option<Access> {
        let version = mutation_version(call.answer).unwrap_or(None);
        match (&call.operation.action, call.answer) {
            (Action::Get, Some(Answer::Got { value, .. })) => {
                Some(Access { seen: self.seen(model, call, value.as_deref()), left: None })
            }
            // A lost read says nothing.
            (Action::Get, None) => Some(Access { seen: Seen::Anything, left: None }),
            (Action::Put(value), None | Some(Answer::Done { .. })) => {
                Some(Access { seen: Seen::Anything, left: self.left(Some(value.as_ref()), version) })
            }
            (Action::Delete, None | Some(Answer::Done { .. })) => {
                Some(Access { seen: Seen::Anything, left: self.left(None::<&str>, version) })
            }
            (Action::CompareAndSet { expected, new }, None | Some(Answer::Done { .. })) => {
                let seen = Seen::Kind(self.kind(expected.as_deref()));
                Some(Access { seen, left: self.left(Some(new.as_ref()), version) })
            }
            (Action::CompareAndSet { expected, .. }, Some(Answer::Mismatch { saw, .. })) => {
                // That it saw what it expected is a contradiction that no token expresses.
                (saw != expected).then(|| Access { seen: self.seen(model, call, saw.as_deref()), left: None })
            }
            (Action::CompareAndSet { expected, .. }, Some(Answer::MismatchUnseen)) => {
                Some(Access { seen: Seen::NotKind(self.kind(expected.as_deref())), left: None })
            }
            (Action::Increment(by), Some(Answer::Sum { value, version })) => {
                let from = value.checked_sub(*by)?;
                if from == 0 && numbers.absent_possible && numbers.zero_possible {
                    return None;
                }
                let from = (from != 0 || !numbers.absent_possible).then(|| from.to_string());
                let seen = Seen::Kind(self.kind(from));
                Some(Access { seen, left: self.left(Some(value.to_string()), *version) })
            }
            (
                Action::Get
                | Action::Put(_)
                | Action::Append(_)
                | Action::Delete
                | Action::CompareAndSet { .. }
                | Action::Increment(_),
                None
                | Some(
                    Answer::Got { .. }
                    | Answer::Done { .. }
                    | Answer::Mismatch { .. }
                    | Answer::MismatchUnseen
                    | Answer::Sum { .. },
                ),
            ) => None,
        }
    }

    /// Kinds without a token get one that nobody left, so that each kind has a meaning.
    fn finish(mut self) -> Vec<u32> {
        for kind in 0..self.texts.len() as u32 {
            if !self.inhabited[kind as usize] {
                self.plain_token(kind);
            }
        }
        self.kinds
    }
}
