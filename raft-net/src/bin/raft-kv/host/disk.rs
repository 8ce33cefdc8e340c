//! A data directory on a real disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use raft_core::journal::{DiskOp, Files, read};
use raft_core::{Configuration, Identity};

/// Files of a directory, kept open once used.
pub(super) struct Disk {
    directory: PathBuf,
    open: BTreeMap<String, File>,
    _lock: File,
}

impl Disk {
    /// Locks a directory that is there.
    pub(super) fn lock(directory: &Path) -> Result<Disk, String> {
        let wrong = |error: std::io::Error| {
            format!("{}: {error}; raft-kv init makes data directories", directory.display())
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("lock"))
            .map_err(wrong)?;
        if !fs4::fs_std::FileExt::try_lock_exclusive(&lock).map_err(wrong)? {
            let what = "another process serves this directory; stop that one";
            return Err(format!("{}: {what}", directory.display()));
        }
        Ok(Disk { directory: directory.to_path_buf(), open: BTreeMap::new(), _lock: lock })
    }

    /// Performs operations in order, up to the first error.
    pub(super) fn perform(&mut self, ops: &[DiskOp]) -> std::io::Result<()> {
        for op in ops {
            match op {
                DiskOp::Create { file, bytes } => {
                    let path = self.directory.join(file);
                    let made =
                        File::options().read(true).write(true).create(true).truncate(true).open(path)?;
                    let zeros = vec![0; 1 << 20];
                    let mut at = 0;
                    while at < *bytes {
                        let part = (*bytes - at).min(zeros.len() as u64);
                        made.write_all_at(&zeros[..part as usize], at)?;
                        at += part;
                    }
                    self.open.insert(file.clone(), made);
                }
                DiskOp::Write { file, offset, bytes } => self.file(file)?.write_all_at(bytes, *offset)?,
                DiskOp::Sync { file } => self.file(file)?.sync_data()?,
                DiskOp::Remove { file } => {
                    self.open.remove(file);
                    std::fs::remove_file(self.directory.join(file))?;
                }
                DiskOp::SyncDirectory => File::open(&self.directory)?.sync_all()?,
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> std::io::Result<&File> {
        if !self.open.contains_key(name) {
            let file = File::options().read(true).write(true).open(self.directory.join(name))?;
            self.open.insert(String::from(name), file);
        }
        self.open.get(name).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

/// All files of a directory.
pub(super) fn read_files(directory: &Path) -> Result<Files, String> {
    let wrong = |error: std::io::Error| {
        format!("{}: {error}; raft-kv init makes data directories", directory.display())
    };
    let mut files = Files::new();
    for entry in std::fs::read_dir(directory).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if let Ok(name) = entry.file_name().into_string() {
            files.insert(name, std::fs::read(entry.path()).map_err(wrong)?);
        }
    }
    Ok(files)
}

/// Makes a data directory; one that is there must be empty.
pub(crate) fn initialise(
    directory: &Path,
    identity: Identity,
    founding: &Configuration,
) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}; choose another directory", directory.display());
    std::fs::create_dir_all(directory).map_err(wrong)?;
    if std::fs::read_dir(directory).map_err(wrong)?.next().is_some() {
        return Err(format!(
            "{}: is not empty; name a fresh directory, or serve this one",
            directory.display()
        ));
    }
    let mut disk = Disk::lock(directory)?;
    disk.perform(&raft_core::journal::initialise(identity, founding)).map_err(wrong)
}

/// Whether a process serves a directory now. Makes nothing: a directory without a lock was never served.
pub(crate) fn is_served(directory: &Path) -> bool {
    let lock = File::options().write(true).open(directory.join("lock"));
    lock.is_ok_and(|lock| !fs4::fs_std::FileExt::try_lock_exclusive(&lock).unwrap_or(true))
}

/// Whose directory it is, and who founded its cluster.
pub(crate) fn founding(directory: &Path) -> Result<(Identity, Configuration), String> {
    let files = read_files(directory)?;
    let contents = read::contents(&read::view(&files));
    let contents = contents.map_err(|error| format!("{}: {error}; see raft-kv init", directory.display()))?;
    Ok((contents.identity, contents.founding))
}
