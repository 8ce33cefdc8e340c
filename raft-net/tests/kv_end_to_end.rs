//! `raft-kv` from the outside: real processes, sockets and files, used as a person would use them.
#![cfg(feature = "kv")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails there")]

#[path = "kv_support/cluster.rs"]
mod cluster;
#[path = "kv_end_to_end/command_line.rs"]
mod command_line;
#[path = "kv_end_to_end/demo.rs"]
mod demo;
#[path = "kv_end_to_end/http_forms.rs"]
mod http_forms;
#[path = "kv_end_to_end/http_refusals.rs"]
mod http_refusals;
#[path = "kv_end_to_end/lines.rs"]
mod lines;
#[path = "kv_end_to_end/page.rs"]
mod page;
#[path = "kv_end_to_end/starting.rs"]
mod starting;
