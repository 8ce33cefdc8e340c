//! A state machine of your own under everything that the simulator has. The README shows this file.

use raft_core::Index;
use raft_core::replica::StateMachine;
use raft_core::snapshot::{Sink, Source, SourceError, read_value, write_value};
use raft_sim::{Ask, Check};

/// Adds up what it is told.
#[derive(Clone, Debug, Default)]
struct Sum(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Response = u64;
    type Query = ();
    type Answer = u64;
    type Image = u64;

    fn apply(&mut self, _index: Index, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    // A snapshot in three steps: frozen here, written elsewhere, read back after a restart or by another node.
    fn freeze(&self) -> u64 {
        self.0
    }

    fn write(image: &u64, out: &mut dyn Sink) {
        write_value(image, out);
    }

    fn restore(input: &mut dyn Source) -> Result<Sum, SourceError> {
        read_value(input).map(Sum)
    }

    fn digest(&self) -> Option<u64> {
        Some(self.0)
    }
}

#[test]
fn the_sum_survives_everything() {
    Check::new(Sum::default(), |draw, _client| match draw.below(3) {
        0 => Ask::Query(()),
        _ => Ask::Command(draw.below(10)),
    })
    .seeds(0..20)
    .run();
}
