//! The virtual disk as a journal uses it: the operations that it asks for, and what it reads.

use std::cell::Cell;

use raft_core::journal::{Directory, DiskOp, ReadFailed};

use crate::disk::{DiskError, VirtualDisk};

/// What the names of the log's files begin with.
pub(crate) const SEGMENTS: &str = "segment-";
/// What the names of snapshots begin with.
pub(crate) const SNAPSHOTS: &str = "snapshot-";

impl Directory for VirtualDisk {
    fn names(&self) -> Result<Vec<String>, ReadFailed> {
        Ok(VirtualDisk::names(self).map(str::to_owned).collect())
    }

    fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFailed> {
        let content = VirtualDisk::read(self, file).ok_or(ReadFailed::Missing)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(content.len() - start);
        Ok(content[start..start + length].to_vec())
    }
}

/// A disk whose reads fail: the one of that number, and all after it.
pub(crate) struct Unreadable<'a> {
    disk: &'a VirtualDisk,
    /// How many reads are left that succeed.
    left: Cell<u64>,
    has_failed: Cell<bool>,
}

impl<'a> Unreadable<'a> {
    /// So many reads succeed.
    pub(crate) fn after(disk: &'a VirtualDisk, reads: u64) -> Unreadable<'a> {
        Unreadable { disk, left: Cell::new(reads), has_failed: Cell::new(false) }
    }

    /// Whether a read failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.get()
    }

    fn count(&self) -> Result<(), ReadFailed> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.has_failed.set(true);
                Err(ReadFailed::Failed("I/O error".to_owned()))
            }
        }
    }
}

impl Directory for Unreadable<'_> {
    fn names(&self) -> Result<Vec<String>, ReadFailed> {
        self.count()?;
        Directory::names(self.disk)
    }

    fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFailed> {
        self.count()?;
        Directory::read(self.disk, file, offset, bytes)
    }
}

/// Performs an operation as a healthy disk does.
pub(crate) fn perform(disk: &mut VirtualDisk, op: &DiskOp) -> Result<(), DiskError> {
    match op {
        DiskOp::Create { file, bytes } => {
            disk.create(file, *bytes);
            Ok(())
        }
        DiskOp::Write { file, offset, bytes } => disk.write(file, *offset, bytes),
        DiskOp::Sync { file } => disk.sync(file),
        DiskOp::Remove { file } => disk.remove(file),
        DiskOp::SyncDirectory => {
            disk.sync_directory();
            Ok(())
        }
    }
}

/// Whether an operation makes something durable.
pub(crate) fn is_sync(op: &DiskOp) -> bool {
    match op {
        DiskOp::Sync { .. } | DiskOp::SyncDirectory => true,
        DiskOp::Create { .. } | DiskOp::Write { .. } | DiskOp::Remove { .. } => false,
    }
}

/// How many bytes an operation moves.
pub(crate) fn bytes_of(disk: &VirtualDisk, op: &DiskOp) -> u64 {
    match op {
        DiskOp::Create { bytes, .. } => *bytes,
        DiskOp::Write { bytes, .. } => bytes.len() as u64,
        DiskOp::Sync { file } => disk.unsynced_bytes(file),
        DiskOp::Remove { .. } | DiskOp::SyncDirectory => 0,
    }
}

/// An operation in words.
pub(crate) fn describe(op: &DiskOp) -> String {
    match op {
        DiskOp::Create { file, bytes } => format!("create {file} of {bytes}"),
        DiskOp::Write { file, offset, bytes } => format!("write {file} {offset}+{}", bytes.len()),
        DiskOp::Sync { file } => format!("sync {file}"),
        DiskOp::Remove { file } => format!("remove {file}"),
        DiskOp::SyncDirectory => "sync directory".to_owned(),
    }
}
