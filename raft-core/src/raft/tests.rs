//! Tests of the core by itself: a small cluster in one thread, with a disk and a network in the test's hands.

// A test that looks for one kind of message says nothing of the others.
#![allow(clippy::wildcard_enum_match_arm)]

mod abstention;
mod clock;
mod cluster;
mod flow;
mod gate;
mod hostile;
mod idle;
mod log_model;
mod loss;
mod paper;
mod random;
mod regressions;
mod script;
mod slow_disks;
mod smoke;
mod snapshot;
mod solo;
