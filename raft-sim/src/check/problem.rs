//! One part of a history, reduced to what the algorithms need.

use super::model::{Access, Register, Seen};

/// The return of an operation that needn't take effect.
pub(crate) const NEVER: u32 = u32::MAX;

/// One operation: an interval of positions, and what it does.
///
/// Positions order all calls and returns of the history; at equal stamps calls come first, so that operations
/// which touch are concurrent. A precedes B exactly if `A.ret < B.call`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) call: u32,
    /// `NEVER`: optional, at any time after the call or not at all.
    pub(crate) ret: u32,
    /// The index of the call in its part; the machine knows the operation by it.
    pub(crate) source: u32,
    /// Changes nothing in any state in which it is legal.
    pub(crate) read_only: bool,
    /// Operations of one class do the same and answer the same.
    pub(crate) class: u32,
    /// `None` in a part without a register view.
    pub(crate) access: Option<Access>,
}

impl Op {
    pub(crate) fn optional(&self) -> bool {
        self.ret == NEVER
    }

    /// The token that it saw, if it says exactly which.
    pub(crate) fn seen_token(&self) -> Option<u32> {
        match self.access?.seen {
            Seen::Token(token) => Some(token),
            Seen::Anything | Seen::Kind(_) | Seen::NotKind(_) => None,
        }
    }

    /// The token that it left, if it changed anything.
    pub(crate) fn left_token(&self) -> Option<u32> {
        self.access?.left
    }
}

/// The operations of one part that may have taken effect, sorted by call.
///
/// Optional operations that are read-only are never here: they say nothing.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) ops: Vec<Op>,
    /// The kinds of tokens, if the part is a register.
    pub(crate) kinds: Option<Vec<u32>>,
}

impl Problem {
    /// Takes the register view of the model apart and gives it to the operations, which are still complete.
    pub(crate) fn new(mut ops: Vec<Op>, register: Option<Register>) -> Problem {
        let kinds = register.map(|register| {
            for op in &mut ops {
                let access = register.accesses[op.source as usize];
                op.read_only = access.left.is_none();
                op.access = Some(access);
            }
            register.kinds
        });
        let mut problem = Problem { ops, kinds };
        problem.ops.retain(|op| !(op.optional() && op.read_only));
        problem.resolve_kinds();
        problem
    }

    /// A kind with one token is that token, which is what the fast path asks for.
    fn resolve_kinds(&mut self) {
        let Some(kinds) = &self.kinds else { return };
        let count = kinds.iter().max().map_or(0, |max| *max as usize + 1);
        let mut only = vec![None; count];
        let mut several = vec![false; count];
        for (token, kind) in kinds.iter().enumerate() {
            let kind = *kind as usize;
            several[kind] |= only[kind].is_some();
            only[kind] = Some(token as u32);
        }
        for access in self.ops.iter_mut().filter_map(|op| op.access.as_mut()) {
            if let Seen::Kind(kind) = access.seen
                && let Some(token) = only[kind as usize]
                && !several[kind as usize]
            {
                access.seen = Seen::Token(token);
            }
        }
    }

    /// The history as it was known just after position `last`: later calls are gone, and what was open then may
    /// or may not have happened. If this has no order, neither has the whole.
    pub(crate) fn cut(&self, last: u32) -> Problem {
        let ops = self.ops.iter().filter(|op| op.call <= last).map(|op| {
            let ret = if op.ret > last { NEVER } else { op.ret };
            Op { ret, ..*op }
        });
        let ops = ops.filter(|op| !(op.optional() && op.read_only)).collect();
        let mut cut = Problem { ops, kinds: self.kinds.clone() };
        cut.drop_idle();
        cut
    }

    /// Only the operations for which `bound` says so must happen; all others may. Every order of the whole is
    /// still an order of this, so if this has none, neither has the whole.
    pub(crate) fn weakened(&self, bound: impl Fn(&Op) -> bool) -> Problem {
        let ops = self.ops.iter().map(|op| if bound(op) { *op } else { Op { ret: NEVER, ..*op } });
        let ops = ops.filter(|op| !(op.optional() && op.read_only)).collect();
        let mut weak = Problem { ops, kinds: self.kinds.clone() };
        weak.drop_idle();
        weak
    }

    /// Whether every access says exactly what it saw.
    pub(crate) fn all_seen_exactly(&self) -> bool {
        self.ops.iter().all(|op| {
            op.access.is_some_and(|access| match access.seen {
                Seen::Anything | Seen::Token(_) => true,
                Seen::Kind(_) | Seen::NotKind(_) => false,
            })
        })
    }

    /// Removes optional writes of tokens that nobody saw: an order with one is also an order without it.
    fn drop_idle(&mut self) {
        let Some(kinds) = &self.kinds else { return };
        if !self.all_seen_exactly() {
            return;
        }
        let mut seen = vec![false; kinds.len()];
        for op in &self.ops {
            if let Some(token) = op.seen_token() {
                seen[token as usize] = true;
            }
        }
        self.ops.retain(|op| !op.optional() || op.left_token().is_none_or(|left| seen[left as usize]));
    }
}
