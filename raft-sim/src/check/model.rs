//! What a model tells the checker.

use std::fmt;

/// One operation as a model sees it; without an answer its outcome is unknown.
#[derive(Debug)]
pub struct Call<'a, O, A> {
    /// What was asked.
    pub operation: &'a O,
    /// What was answered, if anything was.
    pub answer: Option<&'a A>,
}

impl<O, A> Clone for Call<'_, O, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O, A> Copy for Call<'_, O, A> {}

/// A sequential object: what each operation does when nothing else runs.
///
/// Only `parts`, `initial`, `step` and `describe` are needed. `read_only` and `register` make the check faster;
/// the witness is always replayed through `step`, so a wrong hint can't turn a bad history into a good one.
pub trait Model {
    /// What can be asked.
    type Operation: Ord;
    /// What can be answered.
    type Answer: Ord;
    /// The object's state.
    type State: Clone + Ord;
    /// Names one of the independent parts of the object, such as a key.
    type Part: Ord + fmt::Display;

    /// Shows the model the whole history once, before anything else is asked of it.
    fn prepare(&mut self, _calls: &[Call<'_, Self::Operation, Self::Answer>]) {}

    /// The parts that the operation touches. Operations of parts that are never touched together are checked
    /// apart. No parts at all means the whole object.
    fn parts(&self, operation: &Self::Operation) -> Vec<Self::Part>;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// Runs one operation. False: this answer can't be given in this state (which is then spoilt).
    ///
    /// Without an answer the outcome is unknown, and the operation does here whatever it would do if it took
    /// effect now; the checker also tries leaving it out.
    fn step(&self, state: &mut Self::State, call: Call<'_, Self::Operation, Self::Answer>) -> bool;

    /// Whether the operation changes nothing in *every* state in which it is legal.
    fn read_only(&self, _call: Call<'_, Self::Operation, Self::Answer>) -> bool {
        false
    }

    /// The operations of one part as accesses to a register, if each of them is one.
    ///
    /// Contract: the view has one access a call, in the same order, and allows exactly the orders that `step`
    /// allows.
    fn register(&self, _calls: &[Call<'_, Self::Operation, Self::Answer>]) -> Option<Register> {
        None
    }

    /// The operation and its answer in a few words, for people.
    fn describe(&self, call: Call<'_, Self::Operation, Self::Answer>) -> String;
}

/// One part of the object, seen as a register that holds a token.
///
/// A token is one state of the register that can be told from others: a value, or a value with its version.
/// Tokens are numbered from 0, which is the initial one. A *kind* groups the tokens that some operation can't
/// tell apart (one value with different versions).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// One access for each call.
    pub accesses: Vec<Access>,
    /// The kind of each token.
    pub kinds: Vec<u32>,
}

/// What one operation needs the register to hold, and what it leaves there.
///
/// A get is `seen` without `left`, a put `left` alone, a successful compare-and-set has both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Access {
    /// What the register must hold.
    pub seen: Seen,
    /// The token that it holds afterwards; `None` where nothing changes.
    pub left: Option<u32>,
}

/// What an operation needs the register to hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Seen {
    /// Nothing in particular.
    Anything,
    /// This token.
    Token(u32),
    /// Any token of this kind.
    Kind(u32),
    /// Any token but those of this kind: a failed compare-and-set that doesn't say what it saw.
    NotKind(u32),
}
