//! Makes a disk fail or dawdle, for tests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use raft_core::journal::DiskOp;

/// For tests: makes the disk of a running node fail or dawdle. Clones share one switch. The default does nothing.
///
/// # Example
/// ```
/// let faults = raft_net::Faults::default();
/// let mut config = raft_net::DiskConfig { faults: faults.clone(), ..Default::default() };
/// // Later, while the node runs:
/// faults.fail_syncs();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    fail_syncs: AtomicBool,
    fail_writes: AtomicBool,
    fail_creations: AtomicBool,
    no_room: AtomicBool,
    refused: AtomicU64,
    sync_delay_us: AtomicU64,
    failed: AtomicU64,
    /// Operations performed, or tried, after the first failure. Must stay 0.
    after_failure: AtomicU64,
}

impl Faults {
    /// The next sync fails.
    pub fn fail_syncs(&self) {
        self.0.fail_syncs.store(true, Ordering::SeqCst);
    }

    /// The next write or removal fails.
    pub fn fail_writes(&self) {
        self.0.fail_writes.store(true, Ordering::SeqCst);
    }

    /// The next creation of a file fails: of a segment, or of a snapshot.
    pub fn fail_creations(&self) {
        self.0.fail_creations.store(true, Ordering::SeqCst);
    }

    /// Whether there is room for snapshots that come in; all else has room.
    pub fn no_room_for_snapshots(&self, is_full: bool) {
        self.0.no_room.store(is_full, Ordering::SeqCst);
    }

    /// How often there was no room for one.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.0.refused.load(Ordering::SeqCst)
    }

    /// Each sync takes longer by this from now on.
    pub fn delay_syncs(&self, span: Duration) {
        self.0.sync_delay_us.store(crate::clock::micros(span), Ordering::SeqCst);
    }

    /// How many operations failed because of this.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.failed.load(Ordering::SeqCst)
    }

    /// How many operations were tried after the first failure: a poisoned node tries none.
    #[must_use]
    pub fn tried_after_failure(&self) -> u64 {
        self.0.after_failure.load(Ordering::SeqCst)
    }

    pub(super) fn before(&self, op: &DiskOp) -> io::Result<()> {
        let switches = &self.0;
        if switches.failed.load(Ordering::SeqCst) > 0 {
            switches.after_failure.fetch_add(1, Ordering::SeqCst);
        }
        // Only a snapshot that comes in is a file that begins empty.
        if let DiskOp::Create { bytes: 0, .. } = op
            && switches.no_room.load(Ordering::SeqCst)
        {
            switches.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fails = match op {
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {
                let delay = switches.sync_delay_us.load(Ordering::SeqCst);
                if delay > 0 {
                    thread::sleep(Duration::from_micros(delay));
                }
                &switches.fail_syncs
            }
            DiskOp::Create { .. } => &switches.fail_creations,
            DiskOp::Write { .. } | DiskOp::Remove { .. } => &switches.fail_writes,
        };
        if fails.load(Ordering::SeqCst) {
            switches.failed.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::other("a fault of a test"));
        }
        Ok(())
    }
}
