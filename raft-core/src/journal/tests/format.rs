//! The bytes themselves, reviewed as a diff: a changed byte is a new format version, or a mistake.

extern crate std;

use core::fmt::Write as _;
use std::string::String;

use super::disk::{Disk, Node, SECTOR, entry, voted};
use crate::entry::{Entry, Payload};
use crate::journal::{Files, read};
use crate::types::Index;
use crate::write::Write;

/// Written lines only.
fn hex(files: &Files) -> String {
    let mut out = String::new();
    for (name, bytes) in files {
        writeln!(out, "{name}: {} bytes", bytes.len()).expect("a string grows");
        for (ordinal, line) in bytes.chunks(16).enumerate() {
            if line.iter().all(|byte| *byte == 0) {
                continue;
            }
            write!(out, "  {:06x} ", ordinal * 16).expect("a string grows");
            for byte in line {
                write!(out, " {byte:02x}").expect("a string grows");
            }
            let text = line.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' });
            writeln!(out, "  {}", text.collect::<String>()).expect("a string grows");
        }
    }
    out
}

fn small() -> Node {
    let mut node = Node::start(Disk::initialised());
    node.submit(Write { hard_state: Some(voted(1)), append: [entry(1, 1, 3)].into(), ..Write::default() });
    node.settle();
    let noop = Entry { payload: Payload::Noop, ..entry(2, 1, 0) };
    node.submit(Write {
        hard_state: Some(voted(2)),
        truncate_from: Some(Index(1)),
        append: [noop, entry(2, 2, SECTOR)].into(),
        ..Write::default()
    });
    node.settle();
    node
}

#[test]
fn golden_bytes() {
    insta::assert_snapshot!(hex(&small().disk.cache));
}

#[test]
fn golden_dump() {
    insta::assert_snapshot!(read::dump(&read::view(&small().disk.cache)));
}
