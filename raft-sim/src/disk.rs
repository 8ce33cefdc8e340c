//! A virtual disk: files, bytes, sectors and syncs, and what a crash leaves of them.
//!
//! ```text
//!   write -> cache ----- sync(file) ---------> platter     bytes
//!   create, remove -> names -- sync_directory -> names     directory
//! ```
//!
//! A process that is killed leaves the cache as it is. A power loss leaves the platter, on which each unsynced sector
//! is old or new, and each unsynced creation or removal has happened or not; a file that was never synced may be empty.
//! Never garbage: a sector is whole.
//!
//! Architecture Invariant: this file names no Raft type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The unit that is written whole or not at all.
pub const SECTOR: usize = 512;

/// A disk. Cheap to clone: bytes are shared until one side writes.
#[derive(Clone, Debug, Default)]
pub struct VirtualDisk {
    /// The directory as processes see it.
    names: BTreeMap<String, u32>,
    /// The directory as it is on the platter.
    durable_names: BTreeMap<String, u32>,
    files: BTreeMap<u32, File>,
    next: u32,
}

#[derive(Clone, Debug)]
struct File {
    cache: Arc<Vec<u8>>,
    platter: Arc<Vec<u8>>,
    /// Written and not synced. Invariant: a sector that differs between cache and platter is here, unless a sync of
    /// it failed.
    dirty: BTreeSet<u32>,
    /// It was synced once: before, even its length may be lost.
    synced: bool,
}

/// Why an operation can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No file has that name.
    NoSuchFile,
    /// A write beyond the end of the file, or not of whole sectors.
    OutOfBounds,
}

/// What a power loss took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Loss {
    /// Sectors that were written, and are old again.
    pub sectors: u64,
    /// Creations and removals that did not happen after all.
    pub names: u64,
}

impl VirtualDisk {
    /// Creates a file of zeros, replacing one of that name.
    pub fn create(&mut self, name: &str, bytes: u64) {
        let zeros = Arc::new(vec![0; bytes as usize]);
        let file = File { cache: Arc::clone(&zeros), platter: zeros, dirty: BTreeSet::new(), synced: false };
        self.files.insert(self.next, file);
        self.names.insert(name.to_owned(), self.next);
        self.next += 1;
        self.collect();
    }

    /// Writes whole sectors inside a file, or right at its end, which grows it.
    ///
    /// # Errors
    /// No such file, or not whole sectors inside of it or at its end.
    pub fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.write_prefix(name, offset, bytes, u64::MAX)
    }

    /// Writes the first so many sectors of what was to be written: what a process does that is killed meanwhile.
    ///
    /// # Errors
    /// As [`VirtualDisk::write`].
    pub fn write_prefix(
        &mut self,
        name: &str,
        offset: u64,
        bytes: &[u8],
        sectors: u64,
    ) -> Result<(), DiskError> {
        let file = self.file_mut(name)?;
        let start = usize::try_from(offset).map_err(|_| DiskError::OutOfBounds)?;
        let end = start.checked_add(bytes.len()).ok_or(DiskError::OutOfBounds)?;
        let whole = start.is_multiple_of(SECTOR) && bytes.len().is_multiple_of(SECTOR);
        if !whole || start > file.cache.len() || (start < file.cache.len() && end > file.cache.len()) {
            return Err(DiskError::OutOfBounds);
        }
        let sectors = (bytes.len() / SECTOR).min(usize::try_from(sectors).unwrap_or(usize::MAX));
        let length = sectors * SECTOR;
        let cache = Arc::make_mut(&mut file.cache);
        if start == cache.len() {
            cache.extend_from_slice(&bytes[..length]);
        } else {
            cache[start..start + length].copy_from_slice(&bytes[..length]);
        }
        let first = (start / SECTOR) as u32;
        file.dirty.extend(first..first + sectors as u32);
        Ok(())
    }

    /// Makes a file's bytes durable (fdatasync).
    ///
    /// # Errors
    /// No such file.
    pub fn sync(&mut self, name: &str) -> Result<(), DiskError> {
        let file = self.file_mut(name)?;
        file.synced = true;
        let dirty = std::mem::take(&mut file.dirty);
        for sector in dirty {
            file.settle(sector);
        }
        Ok(())
    }

    /// A sync that fails: the sectors count as clean from now on, and those for which `written` says no are not on
    /// the platter. Reads see the new bytes, and no later sync writes them.
    ///
    /// # Errors
    /// No such file.
    pub fn fail_sync(&mut self, name: &str, written: &mut dyn FnMut() -> bool) -> Result<u64, DiskError> {
        let file = self.file_mut(name)?;
        let mut lost = 0;
        for sector in std::mem::take(&mut file.dirty) {
            if written() {
                file.settle(sector);
            } else {
                lost += 1;
            }
        }
        Ok(lost)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// No such file.
    pub fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.names.remove(name).ok_or(DiskError::NoSuchFile)?;
        self.collect();
        Ok(())
    }

    /// Makes creations and removals durable (fsync of the directory).
    pub fn sync_directory(&mut self) {
        self.durable_names.clone_from(&self.names);
        self.collect();
    }

    /// The power fails. `survives` is asked, in a fixed order, for each unsynced name and sector whether it reached
    /// the platter.
    pub fn power_loss(&mut self, survives: &mut dyn FnMut() -> bool) -> Loss {
        let mut loss = Loss::default();
        let all: BTreeSet<String> = self.names.keys().chain(self.durable_names.keys()).cloned().collect();
        for name in all {
            let new = self.names.get(&name).copied();
            if new != self.durable_names.get(&name).copied() {
                if !survives() {
                    loss.names += 1;
                } else if let Some(new) = new {
                    self.durable_names.insert(name, new);
                } else {
                    self.durable_names.remove(&name);
                }
            }
        }
        self.names.clone_from(&self.durable_names);
        self.collect();
        for file in self.files.values_mut() {
            if !std::mem::replace(&mut file.synced, true) && !survives() {
                // A name without anything behind it: the allocation did not reach the platter.
                loss.sectors += file.dirty.len() as u64;
                file.dirty.clear();
                file.platter = Arc::default();
            }
            for sector in std::mem::take(&mut file.dirty) {
                if survives() {
                    file.settle(sector);
                } else {
                    loss.sectors += 1;
                }
            }
            file.cache = Arc::clone(&file.platter);
        }
        loss
    }

    /// The medium decays: bytes of a sector change, on the platter and in the cache. Says whether there was such a
    /// sector, synced and not overwritten since.
    pub fn rot(&mut self, name: &str, sector: u64, damage: &mut dyn FnMut(&mut [u8])) -> bool {
        let Ok(file) = self.file_mut(name) else { return false };
        let Ok(number) = u32::try_from(sector) else { return false };
        let start = number as usize * SECTOR;
        if start + SECTOR > file.platter.len() || file.dirty.contains(&number) {
            return false;
        }
        let platter = &mut Arc::make_mut(&mut file.platter)[start..start + SECTOR];
        damage(platter);
        let damaged: [u8; SECTOR] = platter.try_into().expect("a slice of one sector");
        Arc::make_mut(&mut file.cache)[start..start + SECTOR].copy_from_slice(&damaged);
        true
    }

    /// Whether a write at this place of a file makes it longer.
    #[must_use]
    pub fn is_end(&self, name: &str, offset: u64) -> bool {
        self.read(name).is_some_and(|bytes| bytes.len() as u64 == offset)
    }

    /// How many bytes of a file a sync would write.
    #[must_use]
    pub fn unsynced_bytes(&self, name: &str) -> u64 {
        let file = self.names.get(name).and_then(|number| self.files.get(number));
        file.map_or(0, |file| (file.dirty.len() * SECTOR) as u64)
    }

    /// The medium loses a file. Says whether there was one.
    pub fn lose(&mut self, name: &str) -> bool {
        let known = self.names.remove(name).is_some() | self.durable_names.remove(name).is_some();
        self.collect();
        known
    }

    /// A file as processes see it.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<&[u8]> {
        let file = self.files.get(self.names.get(name)?)?;
        Some(&file.cache)
    }

    /// A file as it is on the platter, if its name is durable.
    #[must_use]
    pub fn durable(&self, name: &str) -> Option<&[u8]> {
        let file = self.files.get(self.durable_names.get(name)?)?;
        Some(&file.platter)
    }

    /// The names that processes see.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// The names on the platter.
    pub fn durable_names(&self) -> impl Iterator<Item = &str> {
        self.durable_names.keys().map(String::as_str)
    }

    fn file_mut(&mut self, name: &str) -> Result<&mut File, DiskError> {
        let number = self.names.get(name).ok_or(DiskError::NoSuchFile)?;
        self.files.get_mut(number).ok_or(DiskError::NoSuchFile)
    }

    /// Forgets files that have no name any more, neither in the cache nor on the platter.
    fn collect(&mut self) {
        let VirtualDisk { names, durable_names, files, .. } = self;
        if files.len() > names.len() {
            let used: BTreeSet<u32> = names.values().chain(durable_names.values()).copied().collect();
            files.retain(|number, _| used.contains(number));
        }
    }
}

impl File {
    fn settle(&mut self, sector: u32) {
        let start = sector as usize * SECTOR;
        let range = start..start + SECTOR;
        let platter = Arc::make_mut(&mut self.platter);
        // A sector before it that was lost reads as zeros.
        platter.resize(platter.len().max(range.end), 0);
        platter[range.clone()].copy_from_slice(&self.cache[range]);
    }
}

#[cfg(test)]
mod tests;
