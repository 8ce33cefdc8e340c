//! What the clients saw: the recorder of a history.

use std::collections::BTreeMap;
use std::fmt;

/// When something happened at the client, in any unit.
///
/// Two events with equal stamps are concurrent: a return at a stamp and a call at the same stamp overlap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Stamp {
    /// Virtual time, a line number, or whatever else orders the events.
    pub time: u64,
    /// Orders the events of one time. Leave it 0 where events of one time are concurrent.
    pub sequence: u64,
}

impl Stamp {
    /// A stamp with sequence 0.
    pub fn at(time: u64) -> Stamp {
        Stamp { time, sequence: 0 }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sequence == 0 {
            write!(f, "{}", self.time)
        } else {
            write!(f, "{}.{}", self.time, self.sequence)
        }
    }
}

/// A client that does one operation at a time. After an unknown outcome it must take a new number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProcessId(pub u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One operation of a history: its place in the order of invocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OperationId(pub(crate) u32);

impl OperationId {
    /// The index into [`History::records`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<A> {
    /// Not yet: the history ended first. Checked like `Unknown`.
    Open,
    /// It took effect between its call and `at`, and answered this.
    Ok {
        /// What the client was told.
        answer: A,
        /// When the client was told.
        at: Stamp,
    },
    /// It certainly had no effect, at any time.
    Failed,
    /// It may take effect at any time after its call, or never.
    Unknown,
}

impl<A> Outcome<A> {
    /// What the client was told, if it was told anything.
    pub fn answer(&self) -> Option<&A> {
        match self {
            Outcome::Ok { answer, .. } => Some(answer),
            Outcome::Open | Outcome::Failed | Outcome::Unknown => None,
        }
    }
}

/// One operation with its outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<O, A> {
    /// Who asked.
    pub process: ProcessId,
    /// What was asked.
    pub operation: O,
    /// When it was first sent.
    pub call: Stamp,
    /// How it ended.
    pub outcome: Outcome<A>,
}

/// What kind of line an [`Event`] is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EventKind {
    /// The call.
    Invoke,
    /// The end, whatever it was.
    End,
}

/// A call or an end, in the order in which they were recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The operation.
    pub id: OperationId,
    /// Its call or its end.
    pub kind: EventKind,
}

/// Why an event can't belong to any history. This is a fault of the recorder, never a verdict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HistoryError {
    /// The return is stamped earlier than its call.
    ReturnBeforeCall {
        /// The operation.
        id: OperationId,
        /// When it was called.
        call: Stamp,
        /// When it is said to have returned.
        at: Stamp,
    },
    /// The process called again while its last call was open.
    TwoOpenCalls {
        /// The process.
        process: ProcessId,
        /// The call that is open.
        open: OperationId,
    },
    /// The process called at a stamp earlier than its own last event.
    ClockWentBack {
        /// The process.
        process: ProcessId,
        /// The stamp of its last event.
        last: Stamp,
        /// The earlier stamp.
        at: Stamp,
    },
    /// The operation already has an outcome.
    EndedTwice {
        /// The operation.
        id: OperationId,
    },
    /// No operation of this history has that id.
    NoSuchOperation {
        /// The id.
        id: OperationId,
    },
    /// The process has an operation of unknown outcome, which may still be running.
    ProcessReused {
        /// The process.
        process: ProcessId,
        /// The operation whose outcome is unknown.
        unknown: OperationId,
    },
    /// More than 2^30 operations.
    TooLong,
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryError::ReturnBeforeCall { id, call, at } => {
                write!(
                    f,
                    "operation {id} returns at {at}, before its call at {call}; stamp both at the client"
                )
            }
            HistoryError::TwoOpenCalls { process, open } => write!(
                f,
                "process {process} calls while its operation {open} is open; \
                 give each concurrent call a process of its own"
            ),
            HistoryError::ClockWentBack { process, last, at } => write!(
                f,
                "process {process} calls at {at}, earlier than its own last event at {last}; \
                 use one clock that never goes back"
            ),
            HistoryError::EndedTwice { id } => {
                write!(f, "operation {id} has two outcomes; record only the first")
            }
            HistoryError::NoSuchOperation { id } => {
                write!(f, "operation {id} was never called; record the call first")
            }
            HistoryError::ProcessReused { process, unknown } => write!(
                f,
                "process {process} calls again although the outcome of its operation {unknown} is unknown; \
                 give the client a new process number"
            ),
            HistoryError::TooLong => write!(f, "more than 2^30 operations; split the history by key"),
        }
    }
}

impl std::error::Error for HistoryError {}

/// No checker here can hold more operations: positions of events are 32 bits.
const OPERATIONS_MAX: usize = 1 << 30;

/// What is known of a process while a history is recorded.
#[derive(Clone, Debug, Default)]
struct Process {
    open: Option<OperationId>,
    unknown: Option<OperationId>,
    last: Stamp,
}

/// A history of concurrent operations, recorded at the clients.
///
/// # Example
/// ```
/// use raft_sim::check::kv::{Answer, KvHistory, KvModel, Operation};
/// use raft_sim::check::{Budget, ProcessId, check};
///
/// let mut history = KvHistory::new();
/// let put = history.invoke_next(ProcessId(1), Operation::put("color", "red"))?;
/// let get = history.invoke_next(ProcessId(2), Operation::get("color"))?;
/// history.ok_next(put, Answer::done())?;
/// history.ok_next(get, Answer::got(None))?;
/// assert!(check(KvModel::new(), &history, Budget::default()).verdict.is_linearizable());
/// # Ok::<(), raft_sim::check::HistoryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct History<O, A> {
    records: Vec<Record<O, A>>,
    events: Vec<Event>,
    processes: BTreeMap<ProcessId, Process>,
    next: u64,
}

impl<O, A> Default for History<O, A> {
    fn default() -> Self {
        History::new()
    }
}

impl<O, A> History<O, A> {
    /// An empty history.
    pub fn new() -> Self {
        History { records: Vec::new(), events: Vec::new(), processes: BTreeMap::new(), next: 0 }
    }

    /// Records a call.
    ///
    /// # Errors
    /// When the process has an open call, an unknown outcome, or a later event.
    pub fn invoke(
        &mut self,
        process: ProcessId,
        operation: O,
        at: Stamp,
    ) -> Result<OperationId, HistoryError> {
        if self.records.len() >= OPERATIONS_MAX {
            return Err(HistoryError::TooLong);
        }
        let id = OperationId(self.records.len() as u32);
        let known = self.processes.entry(process).or_default();
        if let Some(open) = known.open {
            return Err(HistoryError::TwoOpenCalls { process, open });
        }
        if let Some(unknown) = known.unknown {
            return Err(HistoryError::ProcessReused { process, unknown });
        }
        if at < known.last {
            return Err(HistoryError::ClockWentBack { process, last: known.last, at });
        }
        known.open = Some(id);
        known.last = at;
        self.records.push(Record { process, operation, call: at, outcome: Outcome::Open });
        self.events.push(Event { id, kind: EventKind::Invoke });
        Ok(id)
    }

    /// Records an answer.
    ///
    /// # Errors
    /// When the operation is not open, or was called later than `at`.
    pub fn ok(&mut self, id: OperationId, answer: A, at: Stamp) -> Result<(), HistoryError> {
        let record = self.open_record(id)?;
        if at < record.call {
            return Err(HistoryError::ReturnBeforeCall { id, call: record.call, at });
        }
        let process = record.process;
        record.outcome = Outcome::Ok { answer, at };
        let known = self.end(id, process);
        known.last = at;
        Ok(())
    }

    /// Records that the operation had no effect and never will. Where that is not certain, use
    /// [`History::unknown`].
    ///
    /// # Errors
    /// When the operation is not open.
    pub fn fail(&mut self, id: OperationId) -> Result<(), HistoryError> {
        let record = self.open_record(id)?;
        let process = record.process;
        record.outcome = Outcome::Failed;
        self.end(id, process);
        Ok(())
    }

    /// Records that the client gave up: the operation may take effect at any time after its call, or never.
    /// The process can't call again.
    ///
    /// # Errors
    /// When the operation is not open.
    pub fn unknown(&mut self, id: OperationId) -> Result<(), HistoryError> {
        let record = self.open_record(id)?;
        let process = record.process;
        record.outcome = Outcome::Unknown;
        let known = self.end(id, process);
        known.unknown = Some(id);
        Ok(())
    }

    /// Records a call after everything recorded so far by `_next`: the order of calling is the order in time.
    ///
    /// # Errors
    /// As [`History::invoke`].
    pub fn invoke_next(&mut self, process: ProcessId, operation: O) -> Result<OperationId, HistoryError> {
        let at = self.tick();
        self.invoke(process, operation, at)
    }

    /// Records an answer after everything recorded so far by `_next`.
    ///
    /// # Errors
    /// As [`History::ok`].
    pub fn ok_next(&mut self, id: OperationId, answer: A) -> Result<(), HistoryError> {
        let at = self.tick();
        self.ok(id, answer, at)
    }

    /// The operations, in the order of invocation.
    pub fn records(&self) -> &[Record<O, A>] {
        &self.records
    }

    /// The calls and ends, in the order in which they were recorded.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The number of operations.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn tick(&mut self) -> Stamp {
        self.next += 1;
        Stamp::at(self.next)
    }

    fn open_record(&mut self, id: OperationId) -> Result<&mut Record<O, A>, HistoryError> {
        let record = self.records.get_mut(id.index()).ok_or(HistoryError::NoSuchOperation { id })?;
        match record.outcome {
            Outcome::Open => Ok(record),
            Outcome::Ok { .. } | Outcome::Failed | Outcome::Unknown => Err(HistoryError::EndedTwice { id }),
        }
    }

    fn end(&mut self, id: OperationId, process: ProcessId) -> &mut Process {
        self.events.push(Event { id, kind: EventKind::End });
        let known = self.processes.entry(process).or_default();
        known.open = None;
        known
    }
}
