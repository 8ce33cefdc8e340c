//! What a search knows before it starts: the operations in order, who sees and who leaves each token.

use super::configuration::Scratch;
use crate::check::model::{Access, Seen};
use crate::check::problem::{NEVER, Op, Problem};

/// The operations of one search.
pub(super) struct Plan {
    pub(super) required: Vec<Op>,
    pub(super) optional: Vec<Op>,
    pub(super) mask_words: usize,
    pub(super) optional_words: usize,
    pub(super) is_register: bool,
    /// Every seer names one token, so a token without seers can't be told from another such.
    pub(super) may_hide: bool,
    /// For each token, the required operations that see it, in order.
    required_seers: Vec<Vec<u32>>,
    optional_seers: Vec<Vec<u32>>,
    required_writers: Vec<Vec<u32>>,
    optional_writers: Vec<Vec<u32>>,
    /// For each place in `required` and then in `optional`, its index in the problem.
    places: Vec<u32>,
    /// Work space: the operations that may be next.
    pub(super) open: Vec<u32>,
    /// Work space: for each class the earliest return among those, valid if stamped with this epoch.
    pub(super) epoch: u64,
    classes: Vec<(u64, u32)>,
}

impl Plan {
    pub(super) fn new(problem: &Problem) -> Plan {
        let indices = 0..problem.ops.len() as u32;
        let is_optional = |index: &u32| problem.ops[*index as usize].optional();
        let (late, soon): (Vec<u32>, Vec<u32>) = indices.partition(is_optional);
        let pick = |places: &[u32]| places.iter().map(|index| problem.ops[*index as usize]).collect();
        let required: Vec<Op> = pick(&soon);
        let optional: Vec<Op> = pick(&late);
        let classes = problem.ops.iter().map(|op| op.class as usize + 1).max().unwrap_or(0);
        let tokens = problem.kinds.as_ref().map_or(0, Vec::len);
        Plan {
            mask_words: window(&required).div_ceil(64).max(1),
            optional_words: optional.len().div_ceil(64),
            is_register: problem.kinds.is_some(),
            may_hide: problem.kinds.is_some() && problem.all_seen_exactly(),
            required_seers: by_token(&required, tokens, Op::seen_token),
            optional_seers: by_token(&optional, tokens, Op::seen_token),
            required_writers: by_token(&required, tokens, Op::left_token),
            optional_writers: by_token(&optional, tokens, Op::left_token),
            required,
            optional,
            places: soon.into_iter().chain(late).collect(),
            open: Vec::new(),
            epoch: 0,
            classes: vec![(0, NEVER); classes],
        }
    }

    /// Visits the required operations that could be next, in the order of their calls, and answers the earliest
    /// return among all that have not taken effect.
    pub(super) fn for_each_open(&mut self, here: &Scratch, mut visit: impl FnMut(&mut Plan, u32)) -> u32 {
        let mut first_return = NEVER;
        let end = here.base.saturating_add(here.width()).min(self.required.len() as u32);
        for index in here.base..end {
            let op = &self.required[index as usize];
            if op.call > first_return {
                break;
            }
            if !here.has(index) {
                first_return = first_return.min(op.ret);
                visit(self, index);
            }
        }
        first_return
    }

    pub(super) fn note_class(&mut self, class: u32, ret: u32) {
        let slot = &mut self.classes[class as usize];
        if slot.0 != self.epoch || ret < slot.1 {
            *slot = (self.epoch, ret);
        }
    }

    pub(super) fn class_seen(&self, class: u32) -> bool {
        self.classes[class as usize].0 == self.epoch
    }

    pub(super) fn first_of_class(&self, class: u32) -> Option<u32> {
        let slot = self.classes[class as usize];
        (slot.0 == self.epoch).then_some(slot.1)
    }

    /// Whether somebody (but for `except`) must still see the token.
    pub(super) fn required_seer_remains(&self, here: &Scratch, token: u32, except: Option<u32>) -> bool {
        remains(&self.required_seers[token as usize], here, except)
    }

    /// Whether somebody may still see the token.
    pub(super) fn seer_remains(&self, here: &Scratch, token: u32) -> bool {
        self.required_seer_remains(here, token, None)
            || self.optional_seers[token as usize].iter().any(|index| !here.optional(*index))
    }

    /// Whether somebody could still leave the token.
    pub(super) fn writer_remains(&self, here: &Scratch, token: u32) -> bool {
        remains(&self.required_writers[token as usize], here, None)
            || self.optional_writers[token as usize].iter().any(|index| !here.optional(*index))
    }

    /// Whether this is a plain write that nobody can see any more.
    pub(super) fn hidden(&self, here: &Scratch, access: Option<Access>) -> bool {
        let Some(Access { seen: Seen::Anything, left: Some(token) }) = access else { return false };
        self.may_hide && !self.seer_remains(here, token)
    }

    /// Whether some operation could see, directly after it, the token that optional operation `index` leaves.
    /// If the next one is a plain write, leaving the optional one out is as good.
    pub(super) fn seen_next(
        &self,
        here: &Scratch,
        open: &[u32],
        first_return: u32,
        index: u32,
        token: u32,
    ) -> bool {
        if !self.may_hide {
            return true;
        }
        let sees = |op: &Op| op.seen_token() == Some(token);
        open.iter().any(|other| sees(&self.required[*other as usize]))
            || self.optional_seers[token as usize].iter().any(|other| {
                *other != index
                    && !here.optional(*other)
                    && self.optional[*other as usize].call < first_return
            })
    }

    /// Appends what happened between a configuration and one that follows it.
    pub(super) fn difference(
        &self,
        before: &Scratch,
        after: &Scratch,
        taken: &mut [bool],
        order: &mut Vec<u32>,
    ) {
        let end = after.base.saturating_add(after.width()).min(self.required.len() as u32);
        let mut new = Vec::new();
        for index in before.base..end {
            if after.has(index) && !taken[index as usize] {
                taken[index as usize] = true;
                new.push(index);
            }
        }
        let optional = (0..self.optional.len() as u32).find(|i| after.optional(*i) && !before.optional(*i));
        let is_read = |index: &u32| self.required[*index as usize].read_only;
        // The mutation that gave the state comes after the writes that it hides: it is the one whose effect the
        // reads saw, and any of them would do if nobody sees it.
        let mut mutations: Vec<u32> = new.iter().copied().filter(|index| !is_read(index)).collect();
        if optional.is_none() {
            mutations.sort_by_key(|index| !self.hidden(before, self.required[*index as usize].access));
        }
        let place = |index: u32| self.places[index as usize];
        order.extend(mutations.into_iter().map(place));
        order.extend(optional.map(|index| self.places[self.required.len() + index as usize]));
        order.extend(new.into_iter().filter(is_read).map(place));
    }
}

/// The most operations, from one that has not taken effect on, that are called before it returns.
fn window(required: &[Op]) -> usize {
    let widths = required
        .iter()
        .enumerate()
        .map(|(index, op)| required.partition_point(|other| other.call < op.ret).saturating_sub(index));
    widths.max().unwrap_or(0)
}

fn by_token(ops: &[Op], tokens: usize, token: fn(&Op) -> Option<u32>) -> Vec<Vec<u32>> {
    let mut lists = vec![Vec::new(); tokens];
    for (index, op) in ops.iter().enumerate() {
        if let Some(token) = token(op) {
            lists[token as usize].push(index as u32);
        }
    }
    lists
}

/// Whether one of these has not taken effect. The latest come first: most are far above the window.
fn remains(indices: &[u32], here: &Scratch, except: Option<u32>) -> bool {
    let above = indices.iter().rev().take_while(|index| **index >= here.base);
    above.into_iter().any(|index| Some(*index) != except && !here.has(*index))
}
