//! The files of a data directory: the journal's operations as system calls.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use raft_core::journal::{Directory, DiskOp, ReadFailed};
use rustix::io::Errno;

use super::Faults;

/// Files kept open, but for those that are not synced yet. A batch touches five at most: two hard-state files, and a
/// segment or two.
const OPEN_FILES_MAX: usize = 8;

/// Bytes of zeros written at once.
const ZEROS: usize = 256 << 10;

/// A locked data directory, and those of its files that are in use.
#[derive(Debug)]
pub(crate) struct DataFiles {
    path: PathBuf,
    /// Open, to be synced.
    directory: File,
    open: BTreeMap<String, OpenFile>,
    faults: Faults,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// Written since the last sync. Such a file stays open: what the system can't write back is told to those who had
    /// the file open at that time, so a sync through a later opening could succeed after a loss.
    is_unsynced: bool,
}

/// What those share that write to one directory.
#[derive(Debug)]
struct Shared {
    /// Nothing is written any more: an operation failed, or the node stops.
    closed: AtomicBool,
    /// Held until the last of them is gone.
    _lock: File,
}

impl DataFiles {
    pub(crate) fn new(path: PathBuf, lock: File, faults: Faults) -> io::Result<DataFiles> {
        let directory = File::open(&path)?;
        let shared = Arc::new(Shared { closed: AtomicBool::new(false), _lock: lock });
        Ok(DataFiles { path, directory, open: BTreeMap::new(), faults, shared })
    }

    /// The same directory for another thread, which writes to other files.
    pub(crate) fn for_another_thread(&self) -> io::Result<DataFiles> {
        Ok(DataFiles {
            path: self.path.clone(),
            directory: self.directory.try_clone()?,
            open: BTreeMap::new(),
            faults: self.faults.clone(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Stops all writing to this directory, whichever thread does it, between two operations.
    pub(crate) fn closer(&self) -> Closer {
        Closer(Arc::downgrade(&self.shared))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.path
    }

    /// Performs one operation. The first failure is the last operation of all.
    pub(crate) fn perform(&mut self, op: &DiskOp) -> io::Result<()> {
        if self.shared.closed.load(Ordering::SeqCst) {
            return Err(io::Error::other("an operation on this directory failed before, or the node stops"));
        }
        let performed = self.try_perform(op);
        if performed.is_err() {
            self.shared.closed.store(true, Ordering::SeqCst);
        }
        performed
    }

    /// The same for files that can be done without: that there is no room for it is no failure. Says whether there was. Whoever
    /// is told no lets go of the file: nothing of what was written to it counts, synced or not.
    pub(crate) fn perform_if_room(&mut self, op: &DiskOp) -> io::Result<bool> {
        if self.shared.closed.load(Ordering::SeqCst) {
            return self.perform(op).map(|()| true);
        }
        let grows = match op {
            DiskOp::Create { file, .. } | DiskOp::Write { file, .. } | DiskOp::Sync { file } => Some(file),
            DiskOp::Remove { .. } | DiskOp::SyncDirectory => None,
        };
        match (self.try_perform(op), grows) {
            (Ok(()), _) => Ok(true),
            (Err(error), Some(file)) if is_no_room(&error) => {
                self.open.remove(file);
                Ok(false)
            }
            (Err(error), _) => {
                self.shared.closed.store(true, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    fn try_perform(&mut self, op: &DiskOp) -> io::Result<()> {
        self.faults.before(op)?;
        match op {
            DiskOp::Create { file, bytes } => {
                let made = create_zeroed(&self.path.join(file), *bytes)?;
                self.keep(file, OpenFile { file: made, is_unsynced: true });
                Ok(())
            }
            DiskOp::Write { file, offset, bytes } => {
                let opened = self.file(file)?;
                opened.is_unsynced = true;
                opened.file.write_all_at(bytes, *offset)
            }
            DiskOp::Sync { file } => {
                let opened = self.file(file)?;
                opened.file.sync_data()?;
                opened.is_unsynced = false;
                Ok(())
            }
            DiskOp::Remove { file } => {
                self.open.remove(file);
                fs::remove_file(self.path.join(file))
            }
            DiskOp::SyncDirectory => self.directory.sync_all(),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut OpenFile> {
        if !self.open.contains_key(name) {
            let file = File::options().read(true).write(true).open(self.path.join(name))?;
            self.keep(name, OpenFile { file, is_unsynced: false });
        }
        self.open.get_mut(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn keep(&mut self, name: &str, file: OpenFile) {
        // The names sort so that the last is the newest segment: what goes is the hard state's or an old segment's,
        // and comes back when it is needed.
        while self.open.len() >= OPEN_FILES_MAX {
            let synced = self.open.iter().find(|(_, open)| !open.is_unsynced).map(|(name, _)| name.clone());
            let Some(synced) = synced else { break };
            self.open.remove(&synced);
        }
        self.open.insert(String::from(name), file);
    }
}

/// Ends the writing to a directory.
#[derive(Debug)]
pub(crate) struct Closer(Weak<Shared>);

impl Closer {
    /// From now on every operation fails. One that is under way is finished.
    pub(crate) fn close(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.closed.store(true, Ordering::SeqCst);
        }
    }
}

/// Reads a data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataReader {
    path: PathBuf,
    /// Files that are not the journal's.
    hidden: &'static [&'static str],
}

impl DataReader {
    pub(crate) fn new(path: PathBuf, hidden: &'static [&'static str]) -> DataReader {
        DataReader { path, hidden }
    }

    /// Up to `count` bytes of a file from `offset` on; fewer only where it ends.
    pub(crate) fn bytes(&self, file: &str, offset: u64, count: u64) -> Result<Vec<u8>, ReadFailed> {
        let read = || {
            let mut opened = File::open(self.path.join(file))?;
            let mut bytes = Vec::new();
            opened.seek(SeekFrom::Start(offset))?;
            opened.take(count).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(read_failed)
    }
}

impl Directory for DataReader {
    fn names(&self) -> Result<Vec<String>, ReadFailed> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(read_failed)? {
            let entry = entry.map_err(read_failed)?;
            // A name that is not text is not the journal's.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if entry.file_type().map_err(read_failed)?.is_file() && !self.hidden.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, file: &str, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadFailed> {
        self.bytes(file, offset, bytes)
    }
}

fn read_failed(error: io::Error) -> ReadFailed {
    if error.kind() == ErrorKind::NotFound {
        ReadFailed::Missing
    } else {
        ReadFailed::Failed(error.to_string())
    }
}

/// Whether a device, a quota or a limit of the file system has no room for more.
fn is_no_room(error: &io::Error) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    full.contains(&error.kind())
}

/// A file of that many zero bytes, really written: on blocks that are allocated but unwritten, each later fdatasync
/// would also have to write the metadata that says that they are written now.
fn create_zeroed(path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if bytes == 0 {
        return Ok(file);
    }
    // In one piece where the file system can, and "no space" before anything is written.
    match fs4::fs_std::FileExt::allocate(&file, bytes) {
        Ok(()) => {}
        Err(error) if is_unsupported(&error) => file.set_len(bytes)?,
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

/// Whether the system or the file system can't preallocate. By number: not every standard library that this is built with
/// calls all of these [`ErrorKind::Unsupported`].
fn is_unsupported(error: &io::Error) -> bool {
    // Two names of one number on Linux, and of two elsewhere.
    let unsupported = [Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS];
    error.kind() == ErrorKind::Unsupported
        || Errno::from_io_error(error).is_some_and(|errno| unsupported.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, DataFiles) {
        let directory = tempfile::tempdir().unwrap();
        let lock = File::create(directory.path().join("lock")).unwrap();
        let files = DataFiles::new(directory.path().to_path_buf(), lock, Faults::default()).unwrap();
        (directory, files)
    }

    fn name(number: usize) -> String {
        format!("file-{number:02}")
    }

    fn create(number: usize) -> DiskOp {
        DiskOp::Create { file: name(number), bytes: 512 }
    }

    fn sync(number: usize) -> DiskOp {
        DiskOp::Sync { file: name(number) }
    }

    fn write(number: usize) -> DiskOp {
        DiskOp::Write { file: name(number), offset: 0, bytes: vec![1; 512] }
    }

    fn perform(files: &mut DataFiles, ops: impl IntoIterator<Item = DiskOp>) {
        for op in ops {
            files.perform(&op).unwrap();
        }
    }

    fn open(files: &DataFiles) -> Vec<&str> {
        files.open.keys().map(String::as_str).collect()
    }

    #[test]
    fn only_synced_files_make_room() {
        let (_directory, mut files) = files();
        perform(&mut files, (0..12).map(create));
        assert_eq!(files.open.len(), 12, "a created file is not synced");
        perform(&mut files, [0, 3, 7].map(sync));
        perform(&mut files, [write(3), create(12)]);
        let expected: Vec<String> = (0..13).filter(|number| ![0, 7].contains(number)).map(name).collect();
        assert_eq!(open(&files), expected, "written again, 3 stays");
        perform(&mut files, (1..13).filter(|number| *number != 7).map(sync));
        perform(&mut files, [create(13)]);
        assert_eq!(open(&files), [5, 6, 8, 9, 10, 11, 12, 13].map(name), "the first by name went");
        perform(&mut files, [write(0), sync(0)]);
        assert_eq!(
            fs::read(files.directory().join(name(0))).unwrap(),
            [1; 512],
            "what was closed is opened again"
        );
        assert_eq!(files.open.len(), OPEN_FILES_MAX);
    }
    #[test]
    fn a_file_system_that_cant_preallocate_is_told_by_its_number() {
        for errno in [Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS] {
            assert!(is_unsupported(&io::Error::from_raw_os_error(errno.raw_os_error())), "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::IO, Errno::INVAL, Errno::FBIG] {
            assert!(!is_unsupported(&io::Error::from_raw_os_error(errno.raw_os_error())), "{errno}");
        }
    }
}
