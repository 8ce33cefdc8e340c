//! The files of a data directory: the journal's operations as system calls.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use raft_core::journal::DiskOp;

use super::Faults;

/// Files kept open. A batch touches five at most: two hard-state files, and a segment or two.
const OPEN_FILES_MAX: usize = 8;

/// Bytes of zeros written at once.
const ZEROS: usize = 256 << 10;

/// A locked data directory, and those of its files that are in use.
#[derive(Debug)]
pub(crate) struct DataFiles {
    path: PathBuf,
    /// Open, to be synced.
    directory: File,
    open: BTreeMap<String, File>,
    faults: Faults,
    /// Held as long as this lives.
    _lock: File,
}

impl DataFiles {
    pub(crate) fn new(path: PathBuf, lock: File, faults: Faults) -> io::Result<DataFiles> {
        let directory = File::open(&path)?;
        Ok(DataFiles { path, directory, open: BTreeMap::new(), faults, _lock: lock })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.path
    }

    /// Performs one operation.
    pub(crate) fn perform(&mut self, op: &DiskOp) -> io::Result<()> {
        self.faults.before(op)?;
        match op {
            DiskOp::Create { file, bytes } => {
                let made = create_zeroed(&self.path.join(file), *bytes)?;
                self.keep(file, made);
                Ok(())
            }
            DiskOp::Write { file, offset, bytes } => self.file(file)?.write_all_at(bytes, *offset),
            DiskOp::Sync { file } => self.file(file)?.sync_data(),
            DiskOp::Remove { file } => {
                self.open.remove(file);
                fs::remove_file(self.path.join(file))
            }
            DiskOp::SyncDirectory => self.directory.sync_all(),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&File> {
        if !self.open.contains_key(name) {
            let file = File::options().read(true).write(true).open(self.path.join(name))?;
            self.keep(name, file);
        }
        self.open.get(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn keep(&mut self, name: &str, file: File) {
        // The names sort so that the last is the newest segment: what goes is the hard state's or an old segment's,
        // and comes back when it is needed.
        while self.open.len() >= OPEN_FILES_MAX {
            self.open.pop_first();
        }
        self.open.insert(String::from(name), file);
    }
}

/// A file of that many zero bytes, really written: on blocks that are allocated but unwritten, each later fdatasync
/// would also have to write the metadata that says that they are written now.
fn create_zeroed(path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    // In one piece where the file system can, and "no space" before anything is written.
    match fs4::fs_std::FileExt::allocate(&file, bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::Unsupported => file.set_len(bytes)?,
        Err(error) => return Err(error),
    }
    let zeros = vec![0; ZEROS.min(usize::try_from(bytes).unwrap_or(ZEROS))];
    let mut at = 0;
    while at < bytes {
        let part = (bytes - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..part as usize], at)?;
        at += part;
    }
    Ok(file)
}
