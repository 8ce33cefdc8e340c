//! The fast path: registers whose written values are unique, in O(n log n).
//!
//! Gibbons and Korach, "Testing Shared Memories", SIAM Journal on Computing 1997. The operations that leave or
//! see one token stand together in every order; call that a block. A compare-and-set that saw one token and left
//! another glues its block behind the other's: blocks become chains, and a chain too stands together.
//!
//! ```text
//!   f = earliest return in the chain        forward:   f |=====| s    (f < s) the chain holds the register
//!   s = latest call in the chain            backward:  s |-----| f    (s < f) the chain fits at one point
//! ```
//!
//! Chain A must come before chain B exactly if `f_A < s_B`. So A and B exclude each other if also `f_B < s_A`:
//! two forward zones that overlap, or a backward zone strictly inside a forward one. If no two exclude each
//! other, sorting by `min(f, s)` gives an order.

use super::problem::{NEVER, Problem};

/// What the fast path found.
#[derive(Debug)]
pub(crate) enum Zones {
    /// Values repeat, or some operation doesn't say what it saw.
    NotApplicable,
    /// An order: indices into the problem's operations.
    Legal(Vec<u32>),
    /// No order. Already these operations exclude each other (with the writes that they saw).
    Illegal(Vec<u32>),
}

const INITIAL: usize = 0;
const NOBODY: u32 = u32::MAX;

/// The tokens of one register: who left each, and who saw it.
struct Blocks<'a> {
    problem: &'a Problem,
    /// The operation that left the token.
    writer: Vec<u32>,
    /// The operation that saw the token and left another.
    next: Vec<u32>,
    /// Readers of token t: `readers[first[t]..first[t + 1]]`, in the order of their calls.
    readers: Vec<u32>,
    first: Vec<u32>,
}

/// One chain: where its order is, and its zone.
struct Chain {
    start: u32,
    end: u32,
    earliest_return: u32,
    returned_by: u32,
    latest_call: u32,
    called_by: u32,
}

impl Chain {
    fn key(&self) -> u32 {
        self.earliest_return.min(self.latest_call)
    }

    fn forward(&self) -> bool {
        self.earliest_return < self.latest_call
    }
}

/// Decides a register, if its tokens are unique.
pub(crate) fn decide(problem: &Problem) -> Zones {
    let Some(kinds) = &problem.kinds else { return Zones::NotApplicable };
    if !problem.all_seen_exactly() {
        return Zones::NotApplicable;
    }
    let Some(writer) = writers(problem, kinds.len()) else { return Zones::NotApplicable };
    let kept = match kept(problem, &writer) {
        Ok(kept) => kept,
        Err(hint) => return Zones::Illegal(hint),
    };
    let blocks = match Blocks::new(problem, writer, &kept) {
        Ok(blocks) => blocks,
        Err(hint) => return Zones::Illegal(hint),
    };
    match blocks.chains(&kept) {
        Ok((chains, order)) => sweep(chains, &order),
        Err(hint) => Zones::Illegal(hint),
    }
}

/// Who left each token; `None` if two operations left the same, or one left the initial one.
fn writers(problem: &Problem, tokens: usize) -> Option<Vec<u32>> {
    let mut writer = vec![NOBODY; tokens];
    for (index, op) in problem.ops.iter().enumerate() {
        let Some(left) = op.left_token() else { continue };
        let slot = &mut writer[left as usize];
        if left as usize == INITIAL || *slot != NOBODY {
            return None;
        }
        *slot = index as u32;
    }
    Some(writer)
}

/// The operations that took effect: all that returned, and the pending ones whose token somebody saw.
///
/// A pending write that nobody saw is left out: any order with it is an order without it.
fn kept(problem: &Problem, writer: &[u32]) -> Result<Vec<bool>, Vec<u32>> {
    let mut kept: Vec<bool> = problem.ops.iter().map(|op| !op.optional()).collect();
    let mut open: Vec<u32> = (0..problem.ops.len() as u32).filter(|index| kept[*index as usize]).collect();
    while let Some(index) = open.pop() {
        let Some(seen) = seen_token(problem, index) else { continue };
        if seen == INITIAL {
            continue;
        }
        let by = writer[seen];
        if by == NOBODY {
            return Err(vec![index]);
        }
        if !kept[by as usize] {
            kept[by as usize] = true;
            open.push(by);
        }
    }
    Ok(kept)
}

fn seen_token(problem: &Problem, index: u32) -> Option<usize> {
    problem.ops[index as usize].seen_token().map(|token| token as usize)
}

impl<'a> Blocks<'a> {
    fn new(problem: &'a Problem, writer: Vec<u32>, kept: &[bool]) -> Result<Blocks<'a>, Vec<u32>> {
        let mut next = vec![NOBODY; writer.len()];
        let mut first = vec![0u32; writer.len() + 1];
        let takes_part = |index: usize| kept[index].then(|| seen_token(problem, index as u32)).flatten();
        for (index, op) in problem.ops.iter().enumerate() {
            let Some(seen) = takes_part(index) else { continue };
            if op.read_only {
                first[seen + 1] += 1;
            } else if next[seen] == NOBODY {
                next[seen] = index as u32;
            } else {
                // Two compare-and-sets succeeded from one token.
                return Err(vec![next[seen], index as u32]);
            }
        }
        for token in 0..writer.len() {
            first[token + 1] += first[token];
        }
        let mut fill = first.clone();
        let mut readers = vec![0; first[writer.len()] as usize];
        for (index, op) in problem.ops.iter().enumerate() {
            if op.read_only
                && let Some(seen) = takes_part(index)
            {
                readers[fill[seen] as usize] = index as u32;
                fill[seen] += 1;
            }
        }
        Ok(Blocks { problem, writer, next, readers, first })
    }

    /// All chains, each in order inside, or operations that exclude each other.
    fn chains(&self, kept: &[bool]) -> Result<(Vec<Chain>, Vec<u32>), Vec<u32>> {
        let mut order = Vec::with_capacity(self.problem.ops.len());
        let mut chains = Vec::new();
        let mut placed = 0;
        let expected = kept.iter().filter(|kept| **kept).count();
        for head in 0..self.writer.len() {
            let writer = self.writer[head];
            let starts = head == INITIAL
                || (writer != NOBODY && kept[writer as usize] && seen_token(self.problem, writer).is_none());
            if !starts {
                continue;
            }
            let chain = self.walk(head, &mut order)?;
            placed += (chain.end - chain.start) as usize;
            if chain.end > chain.start {
                chains.push(chain);
            }
        }
        if placed == expected { Ok((chains, order)) } else { Err(self.cycle(kept, &order)) }
    }

    /// Follows one chain from its head. Inside it the order is fixed, so nobody may return before somebody
    /// earlier in it is called.
    fn walk(&self, head: usize, order: &mut Vec<u32>) -> Result<Chain, Vec<u32>> {
        let start = order.len() as u32;
        let mut chain = Chain {
            start,
            end: start,
            // The initial write is over before anything begins.
            earliest_return: if head == INITIAL { 0 } else { NEVER },
            returned_by: NOBODY,
            latest_call: 0,
            called_by: NOBODY,
        };
        let mut token = head;
        let mut leaves = self.writer[head];
        loop {
            if leaves != NOBODY {
                self.place(leaves, &mut chain, (0, NOBODY), order)?;
            }
            // Readers of one token are concurrent or in the order of their calls, which is how they are sorted.
            let before = (chain.latest_call, chain.called_by);
            for reader in self.first[token]..self.first[token + 1] {
                self.place(self.readers[reader as usize], &mut chain, before, order)?;
            }
            leaves = self.next[token];
            if leaves == NOBODY {
                break;
            }
            let before = (chain.latest_call, chain.called_by);
            if self.problem.ops[leaves as usize].ret < before.0 {
                return Err(vec![leaves, before.1]);
            }
            // The order has no repeats: each token has one writer, and that one's token was not walked yet,
            // since a chain that starts with a plain write or the initial token can't come back to its head.
            token = self.left(leaves);
        }
        chain.end = order.len() as u32;
        Ok(chain)
    }

    fn place(
        &self,
        index: u32,
        chain: &mut Chain,
        before: (u32, u32),
        order: &mut Vec<u32>,
    ) -> Result<(), Vec<u32>> {
        let op = &self.problem.ops[index as usize];
        if op.ret < before.0 {
            return Err(vec![index, before.1]);
        }
        if op.ret < chain.earliest_return {
            chain.earliest_return = op.ret;
            chain.returned_by = index;
        }
        if op.call > chain.latest_call {
            chain.latest_call = op.call;
            chain.called_by = index;
        }
        order.push(index);
        Ok(())
    }

    fn left(&self, index: u32) -> usize {
        self.problem.ops[index as usize].left_token().map_or(INITIAL, |left| left as usize)
    }

    /// Compare-and-sets that saw each other's tokens in a ring.
    fn cycle(&self, kept: &[bool], order: &[u32]) -> Vec<u32> {
        let mut placed = vec![false; kept.len()];
        for index in order {
            placed[*index as usize] = true;
        }
        (0..kept.len() as u32).filter(|index| kept[*index as usize] && !placed[*index as usize]).collect()
    }
}

/// Sorts the chains and looks for two that exclude each other.
fn sweep(mut chains: Vec<Chain>, order: &[u32]) -> Zones {
    chains.sort_unstable_by_key(Chain::key);
    let mut forward: Option<&Chain> = None;
    for chain in &chains {
        if let Some(holder) = forward
            && holder.earliest_return < chain.latest_call
            && chain.earliest_return < holder.latest_call
        {
            let hint = [holder.returned_by, holder.called_by, chain.returned_by, chain.called_by];
            return Zones::Illegal(hint.into_iter().filter(|index| *index != NOBODY).collect());
        }
        if chain.forward() {
            forward = Some(chain);
        }
    }
    let mut sorted = Vec::with_capacity(order.len());
    for chain in &chains {
        sorted.extend_from_slice(&order[chain.start as usize..chain.end as usize]);
    }
    Zones::Legal(sorted)
}
