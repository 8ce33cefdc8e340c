//! A deterministic Raft without I/O.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
