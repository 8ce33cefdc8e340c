//! What the operations do, on numbered states.

use std::collections::BTreeMap;

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

/// Any model: states are numbered as they appear.
pub(crate) struct GenericMachine<'a, M: Model> {
    model: &'a M,
    calls: &'a [Call<'a, M::Operation, M::Answer>],
    states: Vec<M::State>,
    numbers: BTreeMap<M::State, u32>,
}

impl<'a, M: Model> GenericMachine<'a, M> {
    /// With the states that an earlier machine for the same operations had numbered.
    pub(crate) fn new(
        model: &'a M,
        calls: &'a [Call<'a, M::Operation, M::Answer>],
        (states, numbers): (Vec<M::State>, BTreeMap<M::State, u32>),
    ) -> Self {
        GenericMachine { model, calls, states, numbers }
    }

    pub(crate) fn into_states(self) -> (Vec<M::State>, BTreeMap<M::State, u32>) {
        (self.states, self.numbers)
    }

    fn number(&mut self, state: M::State) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = self.states.len() as u32;
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        number
    }
}

impl<M: Model> Machine for GenericMachine<'_, M> {
    fn initial(&mut self) -> u32 {
        self.number(self.model.initial())
    }

    fn step(&mut self, state: u32, source: u32) -> Option<u32> {
        let mut next = self.states[state as usize].clone();
        if !self.model.step(&mut next, self.calls[source as usize]) {
            return None;
        }
        if next == self.states[state as usize] {
            return Some(state);
        }
        Some(self.number(next))
    }
}
