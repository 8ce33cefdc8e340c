//! Damage to a directory.

use raft_core::journal::Files;
use xxhash_rust::xxh3::xxh3_64;

use super::super::disk::SECTOR;

/// Bytes of one change: file, kind, place (three bytes), value.
pub(super) const EDIT_BYTES: usize = 6;

/// What was done to a directory.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Changes that changed something.
    pub(super) edits: usize,
    /// Changes of a byte that left its checksum alone.
    flips: usize,
    /// A sealed sector says something else, with the right checksum: no disk does that by accident.
    pub(super) forged: bool,
}

impl Damage {
    /// At most one byte was changed.
    pub(super) fn is_gentle(&self) -> bool {
        self.edits == self.flips && self.edits <= 1
    }

    /// Makes one change.
    pub(super) fn add(&mut self, files: &mut Files, edit: &[u8]) {
        let [file, kind, a, b, c, value] = *edit else { return };
        let Some(name) = files.keys().nth(usize::from(file) % files.len().max(1)).cloned() else { return };
        let Some(bytes) = files.get_mut(&name).filter(|bytes| !bytes.is_empty()) else { return };
        let at = (usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16) % bytes.len();
        let sector = at / SECTOR * SECTOR;
        let end = bytes.len().min(sector + SECTOR);
        let before = bytes.clone();
        match kind % 8 {
            0 | 1 => bytes[at] ^= value,
            2 => {
                bytes[at] ^= value;
                if end - sector == SECTOR {
                    let checksum = xxh3_64(&bytes[sector..sector + SECTOR - 8]);
                    bytes[end - 8..end].copy_from_slice(&checksum.to_le_bytes());
                    self.forged = true;
                }
            }
            3 => bytes[sector..end].fill(0),
            4 => bytes.truncate(at),
            5 => {
                files.remove(&name);
                self.edits += 1;
                return;
            }
            6 => bytes.extend_from_slice(&[value; SECTOR]),
            _ => {
                let copy = bytes[sector..end].to_vec();
                let to = usize::from(value) * SECTOR;
                if to + copy.len() <= bytes.len() {
                    bytes[to..to + copy.len()].copy_from_slice(&copy);
                }
            }
        }
        if *bytes != before {
            self.edits += 1;
            self.flips += usize::from(kind % 8 < 2);
        }
    }
}
