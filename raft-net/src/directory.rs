//! Data directories: made once, locked and checked at every start.
//!
//! ```text
//! lock           held while the directory is served; empty
//! private-key    this member and its key, mode 0600
//! members        the founding record: cluster, and each member's number, incarnation and public key
//! (the journal's files, see raft_core::journal)
//! ```
//!
//! A set of directories on one machine is founded at once by [`initialise_set`]. On several machines it takes two
//! steps: [`mint`] on each gives a public [`MemberRecord`]; a [`FoundingRecord`] that lists them all is then written
//! by [`found`] on each. Either step that a crash interrupts is repeated: `mint` after wiping, `found` as it is.

mod record;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use raft_core::journal::{
    self, Directory, Journal, JournalConfig, OnDamage, ReadFailed, Recovery, RecoveryReport,
};
use raft_core::{ClusterId, Configuration, Epoch, Identity, Incarnation, Member, NodeId, Restored};

use crate::config::NodeConfig;
use crate::disk::{self, DataFiles, DataReader, Faults};
use crate::error::DirectoryError;
use crate::secure::PrivateKey;

pub use record::{FoundingRecord, MemberRecord};

const LOCK: &str = "lock";
/// Whoever asks whether a directory is served holds its lock for a moment. A server holds it for long.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const PRIVATE_KEY: &str = "private-key";
const MEMBERS: &str = "members";
/// What a crash may leave of a file that was being replaced.
const TEMPORARY: &str = "temporary";
/// Everything else is the journal's.
const OURS: &[&str] = &[LOCK, PRIVATE_KEY, MEMBERS, TEMPORARY];

/// Step one of two: makes a directory that knows who it is, and nobody else. `directory` must be absent or empty.
///
/// # Errors
/// [`DirectoryError`]; a directory that is not empty is left alone.
pub fn mint(directory: &Path, id: NodeId) -> Result<MemberRecord, DirectoryError> {
    make_empty(directory)?;
    let lock = lock(directory)?;
    let key = PrivateKey::generate().map_err(|error| DirectoryError::Random(error.to_string()))?;
    let member = Member { id, incarnation: Incarnation(random()?) };
    write_file(directory, PRIVATE_KEY, record::private_key_text(member, &key).as_bytes())?;
    drop(lock);
    Ok(MemberRecord { member, public: key.public() })
}

/// Step two: writes the founding record into a minted directory, which may then be served.
///
/// # Errors
/// [`DirectoryError`], among them a record that does not list this directory's member under its key, and a directory
/// that was founded before.
pub fn found(directory: &Path, founding: &FoundingRecord) -> Result<(), DirectoryError> {
    founding.check().map_err(DirectoryError::Founding)?;
    let lock = lock(directory)?;
    let (member, key) = read_private_key(directory)?;
    let own = MemberRecord { member, public: key.public() };
    if !founding.members.contains(&own) {
        let what = format!("it does not list this member, which is: {own}");
        return Err(DirectoryError::Founding(what));
    }
    if read::is_initialised(directory)? {
        return Err(DirectoryError::NotEmpty(directory.to_path_buf()));
    }
    write_file(directory, MEMBERS, founding.to_string().as_bytes())?;
    let identity = Identity { cluster: founding.cluster, epoch: founding.epoch, member };
    let voters = Configuration::of_voters(founding.members.iter().map(|record| record.member));
    let mut files = DataFiles::new(directory.to_path_buf(), lock, Faults::default())
        .map_err(|error| failed(directory, "open", error))?;
    disk::perform(&mut files, &journal::initialise(identity, &voters))
        .map(|_| ())
        .map_err(|what| failed(directory, "initialise", io::Error::other(what)))
}

/// Makes the directories of a new cluster, all of them founding members.
///
/// # Errors
/// [`DirectoryError`]; directories before the one that failed are made, and must be wiped before another try.
pub fn initialise_set(directories: &[(NodeId, PathBuf)]) -> Result<FoundingRecord, DirectoryError> {
    let mut founding = FoundingRecord { cluster: ClusterId(random()?), epoch: Epoch(0), members: Vec::new() };
    for (id, directory) in directories {
        founding.members.push(mint(directory, *id)?);
    }
    for (_, directory) in directories {
        found(directory, &founding)?;
    }
    Ok(founding)
}

/// The founding record of a directory that is founded, served or not. Changes nothing.
///
/// # Errors
/// [`DirectoryError`].
pub fn founding_record(directory: &Path) -> Result<FoundingRecord, DirectoryError> {
    read::members(directory)
}

/// Whether a process serves a directory now. Makes nothing: a directory without a lock was never served.
///
/// # Errors
/// [`DirectoryError::Io`].
pub fn is_served(directory: &Path) -> Result<bool, DirectoryError> {
    let path = directory.join(LOCK);
    match File::options().write(true).open(&path) {
        Ok(file) => {
            let is_free = try_lock(&file);
            is_free.map(|free| !free).map_err(|error| failed(&path, "try its lock", error))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(&path, "open", error)),
    }
}

/// The journal's files of a directory, as [`journal::read`] and [`Recovery`] read them. Changes nothing.
///
/// # Errors
/// [`DirectoryError::NotInitialised`] if there is no such directory; [`DirectoryError::Io`].
pub fn journal_files(directory: &Path) -> Result<impl Directory + use<>, DirectoryError> {
    read::journal(directory).map(|(reader, _)| reader)
}

/// A directory that is ready to be served.
pub(crate) struct Opened {
    pub(crate) files: DataFiles,
    pub(crate) reader: DataReader,
    pub(crate) journal: Journal,
    pub(crate) restored: Restored,
    pub(crate) report: RecoveryReport,
    pub(crate) key: PrivateKey,
    pub(crate) founding: FoundingRecord,
}

/// Locks a directory, checks whose it is, and recovers its journal.
pub(crate) fn open(config: &NodeConfig) -> Result<Opened, DirectoryError> {
    let directory = config.directory.as_path();
    if !directory.join(PRIVATE_KEY).exists() && !directory.join(MEMBERS).exists() {
        // Not ours to lock: a lock file would be left in it.
        return Err(DirectoryError::NotInitialised(directory.to_path_buf()));
    }
    let lock = lock(directory)?;
    let Inspected { reader, key, founding, recovery } =
        inspect(directory, &config.journal, config.on_damage, |member, founding| {
            check(config, member, founding)
        })?;
    let mut files = DataFiles::new(directory.to_path_buf(), lock, config.disk.faults.clone())
        .map_err(|error| failed(directory, "open", error))?;
    disk::perform(&mut files, recovery.ops())
        .map_err(|what| failed(directory, "recover", io::Error::other(what)))?;
    let report = recovery.report().clone();
    let (journal, restored) = recovery.finish();
    Ok(Opened { files, reader, journal, restored, report, key, founding })
}

/// What a directory holds, as a start would find it.
#[derive(Debug)]
pub struct Verified {
    /// Who founded its cluster.
    pub founding: FoundingRecord,
    /// What recovery would mend or cut.
    pub report: RecoveryReport,
    /// What a node would start from.
    pub restored: Restored,
}

/// Checks everything that a start would check, and changes nothing: for people, on a directory that is not served.
///
/// # Errors
/// What a start would refuse with.
pub fn verify(
    directory: &Path,
    config: &JournalConfig,
    on_damage: OnDamage,
) -> Result<Verified, DirectoryError> {
    let Inspected { founding, recovery, .. } = inspect(directory, config, on_damage, |_, _| Ok(()))?;
    let report = recovery.report().clone();
    Ok(Verified { founding, report, restored: recovery.finish().1 })
}

struct Inspected {
    reader: DataReader,
    key: PrivateKey,
    founding: FoundingRecord,
    /// Not performed.
    recovery: Recovery,
}

/// Reads a directory and compares what its files say of whose it is.
fn inspect(
    directory: &Path,
    config: &JournalConfig,
    on_damage: OnDamage,
    check: impl FnOnce(Member, &FoundingRecord) -> Result<(), DirectoryError>,
) -> Result<Inspected, DirectoryError> {
    let (reader, names) = read::journal(directory)?;
    if names.is_empty() {
        return Err(DirectoryError::NotInitialised(directory.to_path_buf()));
    }
    let (member, key) = read_private_key(directory)?;
    let founding = read::members(directory)?;
    check(member, &founding)?;
    let own = MemberRecord { member, public: key.public() };
    if !founding.members.contains(&own) {
        let what = format!("it does not list this directory's own member, which is: {own}");
        return Err(DirectoryError::Mixed { path: directory.join(MEMBERS), what });
    }
    let restore = |error| DirectoryError::Restore { directory: directory.to_path_buf(), error };
    let recovery = Recovery::start(config.clone(), &reader, on_damage).map_err(restore)?;
    check_journal(directory, member, &founding, recovery.identity())?;
    Ok(Inspected { reader, key, founding, recovery })
}

fn check(config: &NodeConfig, member: Member, founding: &FoundingRecord) -> Result<(), DirectoryError> {
    let directory = config.directory.clone();
    if member.id != config.id {
        return Err(DirectoryError::WrongNode { directory, expected: config.id, found: member.id });
    }
    match config.cluster {
        Some(expected) if expected != founding.cluster => {
            Err(DirectoryError::WrongCluster { directory, expected, found: founding.cluster })
        }
        Some(_) | None => Ok(()),
    }
}

fn check_journal(
    directory: &Path,
    member: Member,
    founding: &FoundingRecord,
    journal: Identity,
) -> Result<(), DirectoryError> {
    let expected = Identity { cluster: founding.cluster, epoch: founding.epoch, member };
    if journal == expected {
        return Ok(());
    }
    let words = |identity: Identity| {
        let Identity { cluster, epoch, member } = identity;
        format!("{member} of cluster {:016x}, epoch {}", cluster.0, epoch.0)
    };
    let what =
        format!("the journal is of {}, the keys and members are of {}", words(journal), words(expected));
    Err(DirectoryError::Mixed { path: directory.to_path_buf(), what })
}

fn read_private_key(directory: &Path) -> Result<(Member, PrivateKey), DirectoryError> {
    let path = directory.join(PRIVATE_KEY);
    let text = read::text(directory, &path)?;
    record::parse_private_key(&text).map_err(|what| DirectoryError::Damaged { path, what })
}

fn make_empty(directory: &Path) -> Result<(), DirectoryError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| failed(directory, "create", error))?;
    let mut entries = fs::read_dir(directory).map_err(|error| failed(directory, "list", error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(DirectoryError::NotEmpty(directory.to_path_buf())),
    }
}

fn lock(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            DirectoryError::NotInitialised(directory.to_path_buf())
        } else {
            failed(&path, "open", error)
        }
    })?;
    match try_lock(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(DirectoryError::Locked(directory.to_path_buf())),
        Err(error) => Err(failed(&path, "lock", error)),
    }
}

/// Whether the lock could be had. It goes when the file is closed.
fn try_lock(file: &File) -> io::Result<bool> {
    for _ in 1..LOCK_TRIES {
        if fs4::fs_std::FileExt::try_lock_exclusive(file)? {
            return Ok(true);
        }
        thread::sleep(LOCK_PAUSE);
    }
    fs4::fs_std::FileExt::try_lock_exclusive(file)
}

/// Whole or not at all: written beside, synced, renamed.
fn write_file(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), DirectoryError> {
    let (temporary, path) = (directory.join(TEMPORARY), directory.join(name));
    let write = || {
        let mut file =
            File::options().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| failed(&path, "write", error))
}

fn failed(path: &Path, doing: &'static str, error: io::Error) -> DirectoryError {
    DirectoryError::Io { path: path.to_path_buf(), doing, error }
}

fn random() -> Result<u64, DirectoryError> {
    getrandom::u64().map_err(|error| DirectoryError::Random(error.to_string()))
}

/// Reading, without a change.
mod read {
    use super::*;

    /// The journal's files, and their names.
    pub(super) fn journal(directory: &Path) -> Result<(DataReader, Vec<String>), DirectoryError> {
        let reader = DataReader::new(directory.to_path_buf(), OURS);
        match reader.names() {
            Ok(names) => Ok((reader, names)),
            Err(ReadFailed::Missing) => Err(DirectoryError::NotInitialised(directory.to_path_buf())),
            Err(ReadFailed::Failed(what)) => Err(failed(directory, "list", io::Error::other(what))),
        }
    }

    /// Whether the journal's identity was written. What else is there, an interrupted founding may have left.
    pub(super) fn is_initialised(directory: &Path) -> Result<bool, DirectoryError> {
        let (reader, _) = journal(directory)?;
        match Recovery::start(JournalConfig::default(), &reader, OnDamage::Refuse) {
            Err(raft_core::RestoreError::NotInitialised) => Ok(false),
            Ok(_) | Err(_) => Ok(true),
        }
    }

    pub(super) fn members(directory: &Path) -> Result<FoundingRecord, DirectoryError> {
        let path = directory.join(MEMBERS);
        let text = text(directory, &path)?;
        text.parse().map_err(|what| DirectoryError::Damaged { path, what })
    }

    pub(super) fn text(directory: &Path, path: &Path) -> Result<String, DirectoryError> {
        let bytes = fs::read(path).map_err(|error| {
            let is_missing = error.kind() == ErrorKind::NotFound;
            if is_missing && is_unused(directory) {
                DirectoryError::NotInitialised(directory.to_path_buf())
            } else if is_missing {
                DirectoryError::Damaged {
                    path: path.to_path_buf(),
                    what: String::from("the file is missing"),
                }
            } else {
                failed(path, "read", error)
            }
        })?;
        String::from_utf8(bytes).map_err(|_| DirectoryError::Damaged {
            path: path.to_path_buf(),
            what: String::from("the file is not text"),
        })
    }

    fn is_unused(directory: &Path) -> bool {
        journal(directory).is_ok_and(|(_, names)| names.is_empty())
    }
}
