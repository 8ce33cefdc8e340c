//! Tests of the core by itself: a small cluster in one thread, with a disk and a network in the test's hands.

mod abstention;
mod cluster;
mod flow;
mod gate;
mod hostile;
mod log_model;
mod paper;
mod random;
mod script;
mod smoke;
mod solo;
