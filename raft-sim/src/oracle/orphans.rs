//! A data directory holds no file that nothing will ever name.

use std::collections::BTreeSet;

use super::platter::Platter;
use super::seat::Seat;
use super::{Failure, holds};

const NAME: &str = "orphans";

/// The names that a directory may hold, or what they begin with.
const NAMES: [&str; 6] = ["identity", "founding", "hard-state-a", "hard-state-b", "segment-", SNAPSHOTS];
const SNAPSHOTS: &str = "snapshot-";

/// Older snapshots that came in and may be there: one that comes in, one that is whole and waits for its installation, and one
/// that such a one has overtaken.
const INCOMING_MAX: usize = 3;

/// A batch of a node that runs has removed what it made needless, and synced the directory; nothing else is to be removed.
/// From before the current snapshot there is at most what is being written, and what came in.
pub(super) fn files_removed(
    seat: &Seat,
    platter: &impl Platter,
    writing: Option<&str>,
    incoming: &BTreeSet<String>,
) -> Result<(), Failure> {
    let mut came_in = 0;
    for file in platter.files() {
        let is_known = NAMES.iter().any(|known| file.starts_with(known));
        holds(is_known, NAME, || format!("{} keeps {file}, which no rule knows", seat.member))?;
        let serial = file.strip_prefix(SNAPSHOTS).and_then(|serial| serial.parse::<u64>().ok());
        if serial.is_none_or(|serial| serial >= seat.snapshot_serial) || writing == Some(file) {
            continue;
        }
        came_in += 1;
        holds(incoming.contains(file), NAME, || {
            format!("{} keeps {file}, from before its current snapshot, and writes no such file", seat.member)
        })?;
    }
    holds(came_in <= INCOMING_MAX, NAME, || {
        format!("{} keeps {came_in} snapshots that came in before the current one", seat.member)
    })
}
