//! What can happen in a world, and when it is planned to.

/// Something planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Planned {
    /// When, in microseconds of virtual time.
    pub(super) at: u64,
    /// Orders what is planned for one moment: by when it was planned.
    pub(super) sequence: u64,
    pub(super) event: Event,
}

/// What can happen. An event of a process names its generation: when that has changed, the event is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A datagram reaches the end of its link.
    Deliver { packet: u32 },
    /// The disk operation under way ends.
    DiskDone { node: u8, generation: u32 },
    /// An operation of a snapshot's writing ends.
    WritingDone { node: u8, generation: u32 },
    /// An operation on an incoming snapshot ends.
    ReceivingDone { node: u8, generation: u32 },
    /// Something was read back.
    ReadDone { node: u8, generation: u32, read: u32 },
    /// A replica wanted to be told the time.
    Tick { node: u8, generation: u32 },
    /// A process starts.
    Start { node: u8, generation: u32 },
    /// A machine whose process was killed loses power too.
    PowerLoss { node: u8 },
    /// A client's request reaches a node.
    Request { id: u32 },
    /// A node's answer reaches a client.
    Reply { id: u32 },
    /// A client's timer.
    Client { client: u32, token: u32 },
    /// A fault of the schedule begins.
    FaultBegins { fault: u32 },
    /// It ends.
    FaultEnds { fault: u32 },
    /// A fault that has several steps takes the next one.
    FaultGoesOn { fault: u32 },
    /// The nodes that overtake a leader take snapshots.
    Compact { fault: u32 },
}

impl Event {
    /// The node whose disk operation ends.
    pub(super) fn disk(self) -> Option<u8> {
        match self {
            Event::DiskDone { node, .. }
            | Event::WritingDone { node, .. }
            | Event::ReceivingDone { node, .. }
            | Event::ReadDone { node, .. } => Some(node),
            Event::Deliver { .. }
            | Event::Tick { .. }
            | Event::Start { .. }
            | Event::PowerLoss { .. }
            | Event::Request { .. }
            | Event::Reply { .. }
            | Event::Client { .. }
            | Event::FaultBegins { .. }
            | Event::FaultEnds { .. }
            | Event::FaultGoesOn { .. }
            | Event::Compact { .. } => None,
        }
    }

    /// Its kind and its subject, for the fingerprint.
    pub(super) fn number(self) -> (u64, u64) {
        match self {
            Event::Deliver { packet } => (1, packet.into()),
            Event::DiskDone { node, .. } => (2, node.into()),
            Event::Tick { node, .. } => (3, node.into()),
            Event::Start { node, .. } => (4, node.into()),
            Event::PowerLoss { node } => (5, node.into()),
            Event::Request { id } => (6, id.into()),
            Event::Reply { id } => (7, id.into()),
            Event::Client { client, .. } => (8, client.into()),
            Event::FaultBegins { fault } => (9, fault.into()),
            Event::FaultEnds { fault } => (10, fault.into()),
            Event::WritingDone { node, .. } => (11, node.into()),
            Event::ReadDone { node, .. } => (12, node.into()),
            Event::Compact { fault } => (13, fault.into()),
            Event::FaultGoesOn { fault } => (14, fault.into()),
            Event::ReceivingDone { node, .. } => (15, node.into()),
        }
    }
}
