//! What the fuzz targets do with their inputs, as plain functions: cargo-fuzz calls them with new inputs, and
//! `cargo test` with those that once failed (`raft-sim/tests/fuzz_regressions.rs`, on stable).
//!
//! Each takes any bytes, and panics if something that must hold does not.

pub mod checker;
pub mod cluster;
pub mod core_steps;
pub mod disk;
pub mod journal_recover;
pub mod wire_decode;

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 5] = [
    ("checker", checker::run),
    ("cluster", cluster::run),
    ("core_steps", core_steps::run),
    ("journal_recover", journal_recover::run),
    ("wire_decode", wire_decode::run),
];
