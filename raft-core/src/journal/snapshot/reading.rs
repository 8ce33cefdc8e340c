//! Reading a snapshot's file back: pieces of it, all of it, or whether it is whole.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xxhash_rust::xxh3::Xxh3;

use super::{BLOCK, BLOCKS_AT_ONCE, BODY, Home, file_name};
use crate::journal::directory::{Directory, ReadBytes, ReadFailed};
use crate::snapshot::{SnapshotMeta, Source, SourceError};

/// Why content could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::journal) enum Unread {
    /// There is no such file.
    Missing,
    /// It is not what was written: where, and what.
    Damaged(u64, String),
    /// The disk refused to give it, in its words. That may pass, and says nothing of what is there.
    Refused(String),
}

/// Content from `offset` on, `length` bytes of it. The caller knows that there are so many.
pub(in crate::journal) fn read_content(
    home: Home,
    offset: u64,
    length: u64,
    read: &mut ReadBytes<'_>,
) -> Result<Vec<u8>, Unread> {
    if length == 0 {
        return Ok(Vec::new());
    }
    let first = offset / BODY as u64;
    let last = (offset + length - 1) / BODY as u64;
    let file = file_name(home.serial);
    let start = (1 + first) * BLOCK as u64;
    let bytes = match read(&file, start, (last - first + 1) * BLOCK as u64) {
        Ok(bytes) => bytes,
        Err(ReadFailed::Missing) => return Err(Unread::Missing),
        Err(ReadFailed::Failed(what)) => return Err(Unread::Refused(what)),
    };
    let mut content = Vec::with_capacity(bytes.len());
    for block in first..=last {
        let at = (block - first) as usize * BLOCK;
        let body = bytes.get(at..at + BLOCK).and_then(|bytes| home.open(1 + block, bytes));
        let damaged = || Unread::Damaged((1 + block) * BLOCK as u64, NOT_WRITTEN.to_string());
        content.extend_from_slice(body.ok_or_else(damaged)?);
    }
    let skipped = (offset - first * BODY as u64) as usize;
    content.drain(..skipped);
    content.truncate(length as usize);
    Ok(content)
}

const NOT_WRITTEN: &str = "a block of the snapshot is not what was written";

/// Reads a whole file against its digest, a few blocks at a time.
pub(in crate::journal) fn verify(home: Home, directory: &dyn Directory) -> Result<SnapshotMeta, Unread> {
    let mut read = |file: &str, offset, bytes| directory.read(file, offset, bytes);
    let head = match read(&file_name(home.serial), 0, BLOCK as u64) {
        Ok(bytes) => bytes,
        Err(ReadFailed::Missing) => return Err(Unread::Missing),
        Err(ReadFailed::Failed(what)) => return Err(Unread::Refused(what)),
    };
    let snapshot = home.read_head(&head).ok_or_else(|| Unread::Damaged(0, NOT_WRITTEN.to_string()))?;
    let mut digest = Xxh3::new();
    let mut offset = 0;
    while offset < snapshot.length {
        let length = (snapshot.length - offset).min((BLOCKS_AT_ONCE * BODY) as u64);
        digest.update(&read_content(home, offset, length, &mut read)?);
        offset += length;
    }
    if digest.digest() == snapshot.digest {
        Ok(snapshot)
    } else {
        Err(Unread::Damaged(0, "the content is not what its digest says".to_string()))
    }
}

/// How to read the current snapshot back, on whatever thread.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    pub(in crate::journal) home: Home,
    pub(in crate::journal) snapshot: SnapshotMeta,
}

impl RestorePlan {
    /// What it reads.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotMeta {
        &self.snapshot
    }

    /// Begins to read. `read` gives that many bytes of a file of the data directory from an offset on.
    pub fn open<'a>(&self, read: &'a mut ReadBytes<'a>) -> SnapshotSource<'a> {
        SnapshotSource {
            plan: self.clone(),
            read,
            next: 0,
            digest: Xxh3::new(),
            buffer: Vec::new(),
            taken: 0,
        }
    }
}

/// A snapshot's content, checked as it is read.
pub struct SnapshotSource<'a> {
    plan: RestorePlan,
    read: &'a mut ReadBytes<'a>,
    /// The content before this is in the buffer, or was.
    next: u64,
    digest: Xxh3,
    buffer: Vec<u8>,
    taken: usize,
}

impl SnapshotSource<'_> {
    fn fill(&mut self) -> Result<(), SourceError> {
        let length = (self.plan.snapshot.length - self.next).min((BLOCKS_AT_ONCE * BODY) as u64);
        let content = read_content(self.plan.home, self.next, length, self.read);
        self.buffer = content.map_err(|unread| match unread {
            Unread::Missing => {
                SourceError { what: format!("{} is missing", file_name(self.plan.home.serial)) }
            }
            Unread::Damaged(at, what) => {
                SourceError { what: format!("{} at byte {at}: {what}", file_name(self.plan.home.serial)) }
            }
            Unread::Refused(what) => {
                SourceError { what: format!("{} can't be read: {what}", file_name(self.plan.home.serial)) }
            }
        })?;
        self.digest.update(&self.buffer);
        self.taken = 0;
        self.next += length;
        Ok(())
    }

    /// Reads what is left, and checks all of it against the digest.
    ///
    /// # Errors
    /// The bytes can't be read, or are not what was written.
    pub fn finish(mut self) -> Result<(), SourceError> {
        while self.next < self.plan.snapshot.length {
            self.fill()?;
        }
        if self.digest.digest() == self.plan.snapshot.digest {
            return Ok(());
        }
        let file = file_name(self.plan.home.serial);
        Err(SourceError { what: format!("{file}: the content is not what its digest says") })
    }
}

impl Source for SnapshotSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.taken == self.buffer.len() {
                if self.next == self.plan.snapshot.length {
                    break;
                }
                self.fill()?;
            }
            let count = (buffer.len() - filled).min(self.buffer.len() - self.taken);
            buffer[filled..filled + count].copy_from_slice(&self.buffer[self.taken..self.taken + count]);
            self.taken += count;
            filled += count;
        }
        Ok(filled)
    }
}
