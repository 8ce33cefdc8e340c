//! The general search: Wing and Gong's, with Lowe's memory of configurations, in a sliding window.
//!
//! Required operations are sorted by call. A configuration says which of them have taken effect:
//!
//! ```text
//!   all below base | a bit for each in the window above it | a bit for each optional one | the state
//! ```
//!
//! The window is as wide as the most calls that come before the return of one operation, so a configuration's
//! size doesn't grow with the history. Optional operations are outside it: leaving one out costs nothing.
//!
//! Four rules make it quick. Each keeps an order whenever there is one:
//! 1. What is legal here and read-only in every state is taken at once.
//! 2. Of operations that do the same, the one that returns first goes first.
//! 3. In a register, the state is not left while somebody who must see it remains and nobody can restore it.
//! 4. In a register, a write that nobody can see any more is hidden right in front of another plain write. This
//!    is unsound in front of a compare-and-set, and wherever somebody may say only what he did *not* see.

mod configuration;
mod machine;
mod plan;

pub(crate) use machine::{GenericMachine, Machine, RegisterMachine, States};

use configuration::{Configurations, Scratch};
use plan::Plan;

use super::interner::Interner;
use super::model::Seen;
use super::problem::{NEVER, Problem};

/// Where a search stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// An order: indices into the problem's operations.
    Legal(Vec<u32>),
    /// No order. Some order includes every return before this position.
    Illegal(u32),
    /// The quota is spent.
    Open,
    /// The memory is spent; asking again is no use.
    Exhausted,
}

/// No search keeps more words of configurations than this: 1 GiB.
const WORDS_MAX: usize = 1 << 27;

/// No search keeps more moves to try than this: 1.3 GB.
const STACK_MAX: usize = 1 << 26;

/// A state in which nobody remains who could tell it from others like it.
const DEAD: u32 = u32::MAX;

/// A search that can be paused.
pub(crate) struct Search {
    plan: Plan,
    configurations: Configurations,
    table: Interner,
    /// Moves still to try, each from a configuration: the best on top.
    stack: Vec<(u32, Child)>,
    scratch: Scratch,
    children: Vec<Child>,
    furthest: u32,
    done: Option<u32>,
}

/// An operation that could be next.
#[derive(Clone, Copy)]
struct Child {
    ret: u32,
    item: Item,
    state: u32,
}

/// A place in the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Item {
    Required(u32),
    Optional(u32),
}

impl Search {
    pub(crate) fn new(problem: &Problem, machine: &mut impl Machine) -> Search {
        let plan = Plan::new(problem);
        let scratch = Scratch::new(plan.mask_words, plan.optional_words);
        let mut search = Search {
            configurations: Configurations::new(plan.mask_words + plan.optional_words),
            plan,
            table: Interner::new(),
            stack: Vec::new(),
            scratch,
            children: Vec::new(),
            furthest: 0,
            done: None,
        };
        search.scratch.state = machine.initial();
        search.settle(machine);
        search.visit(u32::MAX, machine);
        search
    }

    /// Configurations seen so far.
    pub(crate) fn spent(&self) -> u64 {
        self.configurations.len() as u64
    }

    /// Goes on until decided, or until `quota` more configurations have been seen.
    pub(crate) fn run(&mut self, machine: &mut impl Machine, quota: u64) -> Progress {
        let limit = self.spent() + quota;
        loop {
            if let Some(done) = self.done {
                return Progress::Legal(self.order(done));
            }
            let Some((parent, child)) = self.stack.pop() else { return Progress::Illegal(self.furthest) };
            if self.configurations.words() > WORDS_MAX || self.stack.len() > STACK_MAX {
                self.stack.push((parent, child));
                return Progress::Exhausted;
            }
            if self.spent() >= limit {
                self.stack.push((parent, child));
                return Progress::Open;
            }
            self.configurations.load(parent, &mut self.scratch);
            self.take(&child);
            self.settle(machine);
            self.visit(parent, machine);
        }
    }

    /// Remembers the configuration in `scratch`; if it is new, stacks the moves from it, the earliest return on
    /// top.
    fn visit(&mut self, parent: u32, machine: &mut impl Machine) {
        let Some(current) = self.remember(parent) else { return };
        let mut children = std::mem::take(&mut self.children);
        self.find_children(machine, &mut children);
        children.sort_unstable_by_key(|child| std::cmp::Reverse(child.ret));
        self.stack.extend(children.drain(..).map(|child| (current, child)));
        self.children = children;
    }

    /// The mutations that may be next in the configuration in `scratch`.
    fn find_children(&mut self, machine: &mut impl Machine, children: &mut Vec<Child>) {
        let plan = &mut self.plan;
        let here = &self.scratch;
        plan.epoch += 1;
        plan.open.clear();
        let first_return = plan.for_each_open(here, |plan, index| {
            let op = plan.required[index as usize];
            plan.note_class(op.class, op.ret);
            plan.open.push(index);
        });
        let leaving_is_lost = here.state != DEAD
            && plan.is_register
            && plan.required_seer_remains(here, here.state, None)
            && !plan.writer_remains(here, here.state);
        let open = std::mem::take(&mut plan.open);
        let mut unseen_taken = false;
        for index in &open {
            let op = plan.required[*index as usize];
            if op.read_only || plan.first_of_class(op.class) != Some(op.ret) {
                continue;
            }
            let Some(state) = machine.step(here.state, op.source) else { continue };
            if leaving_is_lost
                && state != here.state
                && plan.required_seer_remains(here, here.state, Some(*index))
            {
                continue;
            }
            if plan.hidden(here, op.access) {
                if unseen_taken {
                    continue;
                }
                unseen_taken = true;
            }
            children.push(Child { ret: op.ret, item: Item::Required(*index), state });
        }
        for index in 0..plan.optional.len() as u32 {
            let op = plan.optional[index as usize];
            if here.optional(index) || op.call >= first_return || plan.class_seen(op.class) {
                continue;
            }
            plan.note_class(op.class, NEVER);
            let Some(state) = machine.step(here.state, op.source) else { continue };
            if state == here.state
                || (plan.is_register
                    && (leaving_is_lost || !plan.seen_next(here, &open, first_return, index, state)))
            {
                continue;
            }
            children.push(Child { ret: NEVER, item: Item::Optional(index), state });
        }
        plan.open = open;
    }

    /// Takes one mutation, with the writes that it may hide.
    fn take(&mut self, child: &Child) {
        let plan = &mut self.plan;
        let here = &mut self.scratch;
        let access = match child.item {
            Item::Required(index) => plan.required[index as usize].access,
            Item::Optional(index) => plan.optional[index as usize].access,
        };
        let plain = access.is_some_and(|access| access.seen == Seen::Anything);
        if plain && plan.may_hide {
            plan.open.clear();
            plan.for_each_open(here, |plan, index| plan.open.push(index));
            let open = std::mem::take(&mut plan.open);
            for index in &open {
                if plan.hidden(here, plan.required[*index as usize].access) {
                    here.set(*index);
                }
            }
            plan.open = open;
        }
        match child.item {
            Item::Required(index) => here.set(index),
            Item::Optional(index) => here.set_optional(index),
        }
        here.state = child.state;
    }

    /// Takes every read that is legal now, moves the base up, and forgets a state that nobody can see.
    fn settle(&mut self, machine: &mut impl Machine) {
        let plan = &mut self.plan;
        let here = &mut self.scratch;
        loop {
            here.advance();
            plan.open.clear();
            let first_return = plan.for_each_open(here, |plan, index| {
                if plan.required[index as usize].read_only {
                    plan.open.push(index);
                }
            });
            let open = std::mem::take(&mut plan.open);
            let mut taken = false;
            for index in &open {
                let op = plan.required[*index as usize];
                if machine.step(here.state, op.source) == Some(here.state) {
                    here.set(*index);
                    taken = true;
                }
            }
            plan.open = open;
            if !taken {
                self.furthest = self.furthest.max(first_return);
                break;
            }
        }
        if plan.is_register && plan.may_hide && here.state != DEAD && !plan.seer_remains(here, here.state) {
            here.state = DEAD;
        }
    }

    /// Adds the configuration in `scratch`; answers its number if it is new.
    fn remember(&mut self, parent: u32) -> Option<u32> {
        let hash = self.scratch.hash();
        let configurations = &self.configurations;
        let (number, new) = self.table.intern(hash, |number| configurations.is(number, &self.scratch));
        if !new {
            return None;
        }
        self.configurations.push(&self.scratch, parent);
        if self.scratch.base as usize >= self.plan.required.len() {
            self.done = Some(number);
        }
        Some(number)
    }

    /// The order that led to a configuration: between a configuration and its parent lie hidden writes, then
    /// one mutation, then reads.
    fn order(&self, last: u32) -> Vec<u32> {
        let mut path = vec![last];
        let mut current = last;
        while let Some(parent) = self.configurations.parent(current) {
            path.push(parent);
            current = parent;
        }
        path.reverse();
        let mut order = Vec::with_capacity(self.plan.required.len());
        let mut taken = vec![false; self.plan.required.len()];
        let mut before = self.scratch.cleared();
        let mut after = self.scratch.cleared();
        for configuration in path {
            self.configurations.load(configuration, &mut after);
            self.plan.difference(&before, &after, &mut taken, &mut order);
            std::mem::swap(&mut before, &mut after);
        }
        order
    }
}
