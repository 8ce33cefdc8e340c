//! What the operations do, on numbered states.

use std::collections::BTreeMap;

use crate::check::interner::{Interner, hash_words};
use crate::check::model::{Access, Call, Model, Seen};

/// Runs operations on numbered states.
pub(crate) trait Machine {
    fn initial(&mut self) -> u32;

    /// The state after the operation, or `None` if it is illegal in this one.
    fn step(&mut self, state: u32, source: u32) -> Option<u32>;
}

/// A register: the states are its tokens.
pub(crate) struct RegisterMachine<'a> {
    pub(crate) accesses: &'a [Access],
    pub(crate) kinds: &'a [u32],
}

impl Machine for RegisterMachine<'_> {
    fn initial(&mut self) -> u32 {
        0
    }

    fn step(&mut self, state: u32, source: u32) -> Option<u32> {
        let access = self.accesses[source as usize];
        let legal = match access.seen {
            Seen::Anything => true,
            Seen::Token(token) => token == state,
            // A state that nobody can see any more has no kind: a search forgets it only then.
            Seen::Kind(kind) => self.kinds.get(state as usize) == Some(&kind),
            Seen::NotKind(kind) => self.kinds.get(state as usize) != Some(&kind),
        };
        legal.then(|| access.left.unwrap_or(state))
    }
}

/// The states that a generic machine has met, and what it has learnt about them.
pub(crate) struct States<S> {
    states: Vec<S>,
    numbers: BTreeMap<S, u32>,
    /// (state, operation) pairs that have been run, and what came of each.
    runs: Interner,
    pairs: Vec<(u32, u32)>,
    results: Vec<Option<u32>>,
}

impl<S> Default for States<S> {
    fn default() -> States<S> {
        States {
            states: Vec::new(),
            numbers: BTreeMap::new(),
            runs: Interner::new(),
            pairs: Vec::new(),
            results: Vec::new(),
        }
    }
}

impl<S: Clone + Ord> States<S> {
    fn number(&mut self, state: S) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = self.states.len() as u32;
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }
}

/// Any model: states are numbered as they appear.
pub(crate) struct GenericMachine<'a, M: Model> {
    model: &'a M,
    calls: &'a [Call<'a, M::Operation, M::Answer>],
    known: States<M::State>,
}

impl<'a, M: Model> GenericMachine<'a, M> {
    /// With what an earlier machine for the same operations had learnt.
    pub(crate) fn new(
        model: &'a M,
        calls: &'a [Call<'a, M::Operation, M::Answer>],
        known: States<M::State>,
    ) -> Self {
        GenericMachine { model, calls, known }
    }

    pub(crate) fn into_states(self) -> States<M::State> {
        self.known
    }

    fn run(&mut self, state: u32, source: u32) -> Option<u32> {
        let mut next = self.known.states[state as usize].clone();
        if !self.model.step(&mut next, self.calls[source as usize]) {
            return None;
        }
        if next == self.known.states[state as usize] {
            return Some(state);
        }
        Some(self.known.number(next))
    }
}

impl<M: Model> Machine for GenericMachine<'_, M> {
    fn initial(&mut self) -> u32 {
        self.known.number(self.model.initial())
    }

    fn step(&mut self, state: u32, source: u32) -> Option<u32> {
        let pairs = &self.known.pairs;
        let hash = hash_words(&[u64::from(state) << 32 | u64::from(source)]);
        let (run, new) = self.known.runs.intern(hash, |run| pairs[run as usize] == (state, source));
        if new {
            self.known.pairs.push((state, source));
            let result = self.run(state, source);
            self.known.results.push(result);
        }
        self.known.results[run as usize]
    }
}
