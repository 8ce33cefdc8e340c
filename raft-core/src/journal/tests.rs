//! Stories about bytes: what survives a crash, and what is refused rather than lost.

mod crash;
mod damage;
mod disk;
mod format;
mod incoming;
mod queue;
mod snapshots;
