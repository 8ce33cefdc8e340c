//! Reading a data directory piece by piece: no more than a segment of it is in memory at a time.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Files, View};
use crate::error::RestoreError;

/// The files of a data directory, for reading.
pub trait Directory {
    /// The names of all files.
    ///
    /// # Errors
    /// The directory can't be read.
    fn names(&self) -> Result<Vec<String>, ReadFailed>;
    /// Up to `bytes` bytes of a file from `offset` on; fewer only where it ends.
    ///
    /// # Errors
    /// The file is missing, or can't be read.
    fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFailed>;
}

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFailed {
    /// There is no such file.
    Missing,
    /// The disk refused, in its words.
    Failed(String),
}

/// Reads bytes of files for a plan: (file, offset, bytes), as [`Directory::read`] does.
pub type ReadBytes<'a> = dyn FnMut(&str, u64, u64) -> Result<Vec<u8>, ReadFailed> + 'a;

/// A slice of bytes by numbers that come from a disk.
pub(super) fn slice(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len() - start);
    &bytes[start..start + length]
}

impl Directory for Files {
    fn names(&self) -> Result<Vec<String>, ReadFailed> {
        Ok(self.keys().cloned().collect())
    }

    fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFailed> {
        let content = self.get(file).ok_or(ReadFailed::Missing)?;
        Ok(slice(content, offset, bytes).to_vec())
    }
}

impl Directory for View<'_> {
    fn names(&self) -> Result<Vec<String>, ReadFailed> {
        Ok(self.keys().map(ToString::to_string).collect())
    }

    fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFailed> {
        let content = self.get(file).ok_or(ReadFailed::Missing)?;
        Ok(slice(content, offset, bytes).to_vec())
    }
}

/// Reads a file, a part of it, of which the directory said that it is there.
pub(super) fn read(
    directory: &dyn Directory,
    file: &str,
    offset: u64,
    bytes: u64,
) -> Result<Vec<u8>, RestoreError> {
    directory.read(file, offset, bytes).map_err(|failed| unreadable(file, &failed))
}

pub(super) fn unreadable(file: &str, failed: &ReadFailed) -> RestoreError {
    let what = match failed {
        ReadFailed::Missing => "it vanished while it was read".to_owned(),
        ReadFailed::Failed(what) => what.clone(),
    };
    RestoreError::Unreadable { file: file.to_owned(), what }
}
