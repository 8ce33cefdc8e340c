//! What clients ask, and what becomes of their answers.

pub mod kv;

use raft_core::replica::StateMachine;

use crate::choices::Draw;
use crate::failure::Failure;

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask<C, Q> {
    /// Changes the state.
    Command(C),
    /// Reads it, linearizably.
    Query(Q),
}

/// The operation of a state machine's client.
pub type AskOf<S> = Ask<<S as StateMachine>::Command, <S as StateMachine>::Query>;

/// What an operation was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<R, A> {
    /// To a command.
    Response(R),
    /// To a query.
    Answer(A),
}

/// The answer that a state machine's client gets.
pub type AnswerOf<S> = Answer<<S as StateMachine>::Response, <S as StateMachine>::Answer>;

/// Names an operation in the history.
pub type OperationHandle = u64;

/// When something happened at a client: virtual time, and the number of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Microseconds of virtual time.
    pub time: u64,
    /// Orders the events of one time.
    pub sequence: u64,
}

/// What a history shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// Reads that saw what another client wrote.
    pub reads_of_others: u64,
}

/// The clients' side of a run.
pub trait Workload<S: StateMachine>: Clone {
    /// A client's next operation.
    fn ask(&mut self, draw: &mut Draw<'_>, client: u32) -> AskOf<S>;

    /// After the healing, a client's closing operations by number, from 0; none after the last. They are repeated
    /// until they are answered, so they should include a read of everything.
    fn closing(&mut self, draw: &mut Draw<'_>, client: u32, clients: u32, step: u32) -> Option<AskOf<S>>;

    /// A process sends an operation for the first time.
    fn invoked(&mut self, process: u64, ask: &AskOf<S>, at: At) -> OperationHandle;

    /// It was answered.
    fn answered(&mut self, operation: OperationHandle, answer: &AnswerOf<S>, at: At);

    /// It had no effect and never will.
    fn failed(&mut self, operation: OperationHandle);

    /// It may take effect at any time, or never. The process calls no more.
    fn unknown(&mut self, operation: OperationHandle);

    /// The run is over: whether the history is as it must be.
    ///
    /// # Errors
    /// It is not.
    fn verdict(&self) -> Result<Witnessed, Failure>;
}
