//! One independent part of a history: its operations, and how far it is decided.

use std::collections::BTreeMap;

use super::history::{EventKind, History, OperationId, Outcome, Record, Stamp};
use super::model::{Access, Call, Model, Seen};
use super::problem::{NEVER, Op, Problem};
use super::report::{Method, PartReport};
use super::search::{GenericMachine, Machine, Progress, RegisterMachine, Search, States};
use super::zones::{self, Zones};

/// How far a part is decided.
#[derive(Debug)]
pub(crate) enum Decision {
    Open,
    /// The memory is spent.
    Exhausted,
    /// An order of indices into the problem's operations.
    Legal(Vec<u32>),
    Illegal {
        /// Operations that exclude each other, if the algorithm says.
        hint: Vec<u32>,
        /// Up to this position, without it, there is an order.
        at_least: u32,
    },
}

/// One independent part of a history.
pub(crate) struct Part<'a, M: Model> {
    pub(crate) name: String,
    pub(crate) problem: Problem,
    pub(crate) decision: Decision,
    method: Method,
    calls: Vec<Call<'a, M::Operation, M::Answer>>,
    records: Vec<u32>,
    /// The accesses by call, if the part is a register.
    accesses: Vec<Access>,
    search: Option<Search>,
    /// The states of a part that is no register, kept with the search.
    states: Option<States<M::State>>,
}

/// Either machine.
pub(crate) enum AnyMachine<'p, M: Model> {
    Register(RegisterMachine<'p>),
    Generic(GenericMachine<'p, M>),
}

impl<M: Model> Machine for AnyMachine<'_, M> {
    fn initial(&mut self) -> u32 {
        match self {
            AnyMachine::Register(machine) => machine.initial(),
            AnyMachine::Generic(machine) => machine.initial(),
        }
    }

    fn step(&mut self, state: u32, source: u32) -> Option<u32> {
        match self {
            AnyMachine::Register(machine) => machine.step(state, source),
            AnyMachine::Generic(machine) => machine.step(state, source),
        }
    }
}

impl<'a, M: Model> Part<'a, M> {
    fn new(model: &M, name: String, members: Members<'a, M>) -> Part<'a, M> {
        let Members { ops, calls, records } = members;
        let problem = Problem::new(ops, model.register(&calls));
        let nothing = Access { seen: Seen::Anything, left: None };
        let mut accesses = Vec::new();
        if problem.kinds.is_some() {
            accesses.resize(calls.len(), nothing);
            for op in &problem.ops {
                accesses[op.source as usize] = op.access.unwrap_or(nothing);
            }
        }
        Part {
            name,
            problem,
            decision: Decision::Open,
            method: Method::Zones,
            calls,
            records,
            accesses,
            search: None,
            states: None,
        }
    }

    /// The operation of the history behind an operation of the problem.
    pub(crate) fn id(&self, index: u32) -> OperationId {
        self.source_id(self.problem.ops[index as usize].source)
    }

    pub(crate) fn source_id(&self, source: u32) -> OperationId {
        OperationId(self.records[source as usize])
    }

    pub(crate) fn call(&self, source: u32) -> Call<'a, M::Operation, M::Answer> {
        self.calls[source as usize]
    }

    pub(crate) fn try_zones(&mut self) {
        match zones::decide(&self.problem) {
            Zones::NotApplicable => {
                self.method = Method::Search;
                self.assign_classes();
            }
            Zones::Legal(order) => self.decision = Decision::Legal(order),
            Zones::Illegal(hint) => self.decision = Decision::Illegal { hint, at_least: 0 },
        }
    }

    /// Searches on, for at most `quota` configurations; answers how many it took.
    pub(crate) fn search(&mut self, model: &M, quota: u64) -> u64 {
        let (states, search) = (self.states.take(), self.search.take());
        let before = search.as_ref().map_or(0, Search::spent);
        let mut machine = self.machine_with(model, states);
        let mut search = search.unwrap_or_else(|| Search::new(&self.problem, &mut machine));
        let decision = match search.run(&mut machine, quota) {
            Progress::Legal(order) => Decision::Legal(order),
            Progress::Illegal(at_least) => Decision::Illegal { hint: Vec::new(), at_least },
            Progress::Open => Decision::Open,
            Progress::Exhausted => Decision::Exhausted,
        };
        let spent = search.spent() - before;
        self.states = match machine {
            AnyMachine::Register(_) => None,
            AnyMachine::Generic(machine) => Some(machine.into_states()),
        };
        self.search = Some(search);
        self.decision = decision;
        spent
    }

    /// A machine for the problem or one made from it.
    pub(crate) fn machine<'p>(&'p self, model: &'p M) -> AnyMachine<'p, M> {
        self.machine_with(model, None)
    }

    fn machine_with<'p>(&'p self, model: &'p M, states: Option<States<M::State>>) -> AnyMachine<'p, M> {
        match &self.problem.kinds {
            Some(kinds) => AnyMachine::Register(RegisterMachine { accesses: &self.accesses, kinds }),
            None => AnyMachine::Generic(GenericMachine::new(model, &self.calls, states.unwrap_or_default())),
        }
    }

    /// Numbers the operations so that those that do the same have the same number.
    pub(crate) fn assign_classes(&mut self) {
        let calls = &self.calls;
        let mut order: Vec<usize> = (0..self.problem.ops.len()).collect();
        let ops = &self.problem.ops;
        let compare = |a: &usize, b: &usize| {
            let (a, b) = (&ops[*a], &ops[*b]);
            if a.access.is_some() {
                return a.access.cmp(&b.access);
            }
            let (a, b) = (calls[a.source as usize], calls[b.source as usize]);
            a.operation.cmp(b.operation).then_with(|| a.answer.cmp(&b.answer))
        };
        order.sort_by(compare);
        let mut class = 0;
        let mut classes = vec![0; order.len()];
        for pair in order.windows(2) {
            if compare(&pair[0], &pair[1]).is_ne() {
                class += 1;
            }
            classes[pair[1]] = class;
        }
        for (op, class) in self.problem.ops.iter_mut().zip(classes) {
            op.class = class;
        }
    }

    /// Replays a witness: the proof that the verdict doesn't rest on the algorithms.
    pub(crate) fn certify(&self, model: &M, order: &[u32]) {
        let mut taken = vec![false; self.problem.ops.len()];
        let mut state = model.initial();
        let mut latest_call = 0;
        for index in order {
            let op = &self.problem.ops[*index as usize];
            assert!(
                !std::mem::replace(&mut taken[*index as usize], true),
                "a witness has no operation twice"
            );
            assert!(latest_call < op.ret, "a witness respects the clock");
            latest_call = latest_call.max(op.call);
            assert!(model.step(&mut state, self.calls[op.source as usize]), "a witness respects the model");
        }
        let complete = self.problem.ops.iter().zip(taken).all(|(op, taken)| taken || op.optional());
        assert!(complete, "a witness has every operation that returned");
    }

    pub(crate) fn report(&self) -> PartReport {
        PartReport {
            name: self.name.clone(),
            operations: self.records.len() as u64,
            method: self.method,
            spent: self.spent(),
        }
    }

    /// The configurations that the search saw.
    pub(crate) fn spent(&self) -> u64 {
        self.search.as_ref().map_or(0, Search::spent)
    }
}

/// The calls of a history that may have taken effect.
pub(crate) fn possible_calls<O, A>(history: &History<O, A>) -> impl Iterator<Item = Call<'_, O, A>> {
    history.records().iter().filter_map(|record| possible(record).map(|(call, _)| call))
}

/// The call, and the stamp of its return; `None` if it certainly had no effect.
fn possible<O, A>(record: &Record<O, A>) -> Option<(Call<'_, O, A>, Option<Stamp>)> {
    let operation = &record.operation;
    match &record.outcome {
        Outcome::Ok { answer, at } => Some((Call { operation, answer: Some(answer) }, Some(*at))),
        Outcome::Open | Outcome::Unknown => Some((Call { operation, answer: None }, None)),
        Outcome::Failed => None,
    }
}

/// The operations of one part while they are collected.
struct Members<'a, M: Model> {
    ops: Vec<Op>,
    calls: Vec<Call<'a, M::Operation, M::Answer>>,
    records: Vec<u32>,
}

/// Cuts a history into its independent parts, in the order of their names.
pub(crate) fn parts<'a, M: Model>(
    model: &M,
    history: &'a History<M::Operation, M::Answer>,
) -> Vec<Part<'a, M>> {
    let positions = positions(history);
    let (names, part_of) = components(model, history);
    let mut members: Vec<Members<'a, M>> =
        names.iter().map(|_| Members { ops: Vec::new(), calls: Vec::new(), records: Vec::new() }).collect();
    let mut by_call: Vec<u32> = (0..history.len() as u32).collect();
    if !by_call.is_sorted_by_key(|index| positions[*index as usize].0) {
        by_call.sort_unstable_by_key(|index| positions[*index as usize].0);
    }
    for index in by_call {
        let Some((call, _)) = possible(&history.records()[index as usize]) else { continue };
        let (called, ret) = positions[index as usize];
        let part = &mut members[part_of[index as usize] as usize];
        let source = part.calls.len() as u32;
        part.ops.push(Op {
            call: called,
            ret,
            source,
            read_only: model.read_only(call),
            class: 0,
            access: None,
        });
        part.calls.push(call);
        part.records.push(index);
    }
    let made = names.into_iter().zip(members).filter(|(_, members)| !members.calls.is_empty());
    made.map(|(name, members)| Part::new(model, name, members)).collect()
}

/// The positions of call and return of each operation, from 1 on: the order of the stamps, and at equal stamps
/// all calls before all returns, which makes operations that touch concurrent.
fn positions<O, A>(history: &History<O, A>) -> Vec<(u32, u32)> {
    let mut events: Vec<(Stamp, EventKind, u32)> = Vec::with_capacity(history.len() * 2);
    for event in history.events() {
        let record = &history.records()[event.id.index()];
        match event.kind {
            EventKind::Invoke => events.push((record.call, EventKind::Invoke, event.id.0)),
            EventKind::End => {
                if let Outcome::Ok { at, .. } = &record.outcome {
                    events.push((*at, EventKind::End, event.id.0));
                }
            }
        }
    }
    if !events.is_sorted() {
        events.sort_unstable();
    }
    let mut positions = vec![(0, NEVER); history.len()];
    for (position, (_, kind, index)) in (1u32..).zip(events) {
        match kind {
            EventKind::Invoke => positions[index as usize].0 = position,
            EventKind::End => positions[index as usize].1 = position,
        }
    }
    positions
}

/// The names of the connected components of parts, and the component of each operation.
fn components<M: Model>(model: &M, history: &History<M::Operation, M::Answer>) -> (Vec<String>, Vec<u32>) {
    let mut known: BTreeMap<M::Part, u32> = BTreeMap::new();
    let mut joined: Vec<u32> = Vec::new();
    let mut first_of = vec![u32::MAX; history.len()];
    let mut whole = false;
    for (index, record) in history.records().iter().enumerate() {
        let touched = model.parts(&record.operation);
        whole |= touched.is_empty();
        for part in touched {
            let count = joined.len() as u32;
            let part = match known.get(&part) {
                Some(part) => *part,
                None => {
                    joined.push(count);
                    known.insert(part, count);
                    count
                }
            };
            if first_of[index] == u32::MAX {
                first_of[index] = part;
            } else {
                let (a, b) = (root(&joined, first_of[index]), root(&joined, part));
                joined[a.max(b) as usize] = a.min(b);
            }
        }
    }
    if whole {
        return (vec!["all".to_owned()], vec![0; history.len()]);
    }
    let mut number = vec![u32::MAX; joined.len()];
    let mut names: Vec<String> = Vec::new();
    for (part, index) in &known {
        let root = root(&joined, *index) as usize;
        if number[root] == u32::MAX {
            number[root] = names.len() as u32;
            names.push(part.to_string());
        } else {
            let name = &mut names[number[root] as usize];
            name.push_str(", ");
            name.push_str(&part.to_string());
        }
    }
    let part_of = first_of.into_iter().map(|part| number[root(&joined, part) as usize]).collect();
    (names, part_of)
}

fn root(joined: &[u32], mut part: u32) -> u32 {
    while joined[part as usize] != part {
        part = joined[part as usize];
    }
    part
}
