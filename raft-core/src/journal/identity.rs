//! Whose directory it is, and who founded the cluster: written once, two copies each.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64;

use super::hard_state::{self, HardStateRecord, LogMark};
use super::sector::{self, SECTOR, Sealed, Writer, identity_digest, is_zero};
use super::{DiskOp, View};
use crate::error::RestoreError;
use crate::membership::Configuration;
use crate::types::Boot;
use crate::write::{HardState, Identity};

pub(super) const IDENTITY: &str = "identity";
pub(super) const FOUNDING: &str = "founding";
const MAGIC: &[u8; 8] = b"RAFTiden";
const COPIES: usize = 2;

/// What the identity file says.
#[derive(Clone, Copy)]
pub(super) struct IdentityRecord {
    pub(super) identity: Identity,
    /// The founding configuration's bytes, 0 for a member that joins.
    founding_bytes: u64,
    /// Their XXH3-64.
    founding_digest: u64,
}

impl IdentityRecord {
    fn encode(&self) -> [u8; SECTOR] {
        let mut writer = Writer::new(MAGIC);
        writer.identity(self.identity);
        writer.u64(self.founding_bytes);
        writer.u64(self.founding_digest);
        writer.finish()
    }
}

/// The operations that initialise an empty directory: identity and, for a founding member, the founding set. An
/// empty configuration makes a member that joins.
///
/// The identity comes last: a directory without one is not initialised, whatever else a crash left there, and
/// these operations may be performed on it again.
#[must_use]
pub fn initialise(identity: Identity, founding: &Configuration) -> Vec<DiskOp> {
    let mut ops = Vec::new();
    for file in hard_state::FILES {
        ops.push(DiskOp::Create { file: file.to_owned(), bytes: hard_state::FILE_BYTES });
    }
    let first = HardStateRecord {
        identity_digest: identity_digest(identity),
        sequence: 0,
        boot: Boot(0),
        hard_state: HardState::default(),
        mark: LogMark::default(),
    };
    first.ops(&mut ops);

    let founding =
        if *founding == Configuration::default() { Vec::new() } else { encode_configuration(founding) };
    let record = IdentityRecord {
        identity,
        founding_bytes: founding.len() as u64,
        founding_digest: xxh3_64(&founding),
    };
    if !founding.is_empty() {
        let copy = founding.len().next_multiple_of(SECTOR);
        let mut bytes = vec![0; copy * COPIES];
        for start in [0, copy] {
            bytes[start..start + founding.len()].copy_from_slice(&founding);
        }
        write_new(FOUNDING, bytes, &mut ops);
    }
    ops.push(DiskOp::SyncDirectory);
    write_new(IDENTITY, record.encode().repeat(COPIES), &mut ops);
    ops.push(DiskOp::SyncDirectory);
    ops
}

fn encode_configuration(configuration: &Configuration) -> Vec<u8> {
    postcard::to_allocvec(configuration)
        .expect("a vector grows, and the type has only shapes that postcard knows")
}

fn write_new(file: &str, bytes: Vec<u8>, ops: &mut Vec<DiskOp>) {
    ops.push(DiskOp::Create { file: file.to_owned(), bytes: bytes.len() as u64 });
    ops.push(DiskOp::Write { file: file.to_owned(), offset: 0, bytes });
    ops.push(DiskOp::Sync { file: file.to_owned() });
}

/// Reads the identity file; `repairs` gets what makes a damaged copy whole.
pub(super) fn read_identity(
    files: &View<'_>,
    repairs: &mut Vec<DiskOp>,
) -> Result<IdentityRecord, RestoreError> {
    let Some(file) = files.get(IDENTITY).copied() else {
        return Err(not_initialised(files, "the file is missing, and the directory is in use"));
    };
    let mut found = None;
    let mut bad = Vec::new();
    for copy in 0..COPIES {
        let Some(bytes) = sector::sector(file, copy * SECTOR) else { continue };
        match sector::open(bytes, MAGIC) {
            Sealed::Zero | Sealed::Damaged => bad.push(copy),
            Sealed::Unsupported(version) => {
                let what = format!("format version {version} is not known to this version");
                return Err(RestoreError::Unsupported { file: IDENTITY.to_owned(), what });
            }
            Sealed::Good(mut fields) => {
                let record = IdentityRecord {
                    identity: fields.identity(),
                    founding_bytes: fields.u64(),
                    founding_digest: fields.u64(),
                };
                found = Some(record);
            }
        }
    }
    let Some(record) = found else {
        if is_zero(file) {
            return Err(not_initialised(files, "the file is empty, and the directory is in use"));
        }
        return Err(lost(IDENTITY, "both copies of the identity are damaged"));
    };
    for copy in bad {
        let bytes = record.encode().to_vec();
        repairs.push(DiskOp::Write { file: IDENTITY.to_owned(), offset: (copy * SECTOR) as u64, bytes });
        repairs.push(DiskOp::Sync { file: IDENTITY.to_owned() });
    }
    Ok(record)
}

fn not_initialised(files: &View<'_>, what: &str) -> RestoreError {
    let has_segment = files.keys().any(|name| name.starts_with(super::segment::PREFIX));
    if has_segment || hard_state::is_in_use(files) {
        return lost(IDENTITY, what);
    }
    RestoreError::NotInitialised
}

fn lost(file: &str, what: &str) -> RestoreError {
    let what = format!("{what}; abstaining can't repair this: wipe the directory and rejoin as a new member");
    RestoreError::Damaged { file: file.to_owned(), offset: 0, what }
}

/// Reads the founding configuration; `repairs` gets what makes a damaged copy whole.
pub(super) fn read_founding(
    files: &View<'_>,
    record: &IdentityRecord,
    repairs: &mut Vec<DiskOp>,
) -> Result<Configuration, RestoreError> {
    if record.founding_bytes == 0 {
        return Ok(Configuration::default());
    }
    let file = files.get(FOUNDING).copied().unwrap_or_default();
    let Some(bytes) = usize::try_from(record.founding_bytes).ok().filter(|bytes| *bytes <= file.len()) else {
        return Err(lost(FOUNDING, "the file is missing or cut short"));
    };
    let copy_bytes = bytes.next_multiple_of(SECTOR);
    let whole = |start: usize| {
        let copy = file.get(start..start + copy_bytes)?;
        let is_good = xxh3_64(&copy[..bytes]) == record.founding_digest && is_zero(&copy[bytes..]);
        is_good.then_some(copy)
    };
    let copies = [0, copy_bytes].map(whole);
    let Some(good) = copies.into_iter().flatten().next() else {
        return Err(lost(FOUNDING, "both copies of the founding configuration are damaged"));
    };
    for (copy, state) in copies.iter().enumerate() {
        // A file that is cut short keeps its one copy: making the file anew would risk it.
        if state.is_none() && file.len() >= copy_bytes * COPIES {
            let offset = (copy * copy_bytes) as u64;
            repairs.push(DiskOp::Write { file: FOUNDING.to_owned(), offset, bytes: good.to_vec() });
            repairs.push(DiskOp::Sync { file: FOUNDING.to_owned() });
        }
    }
    match postcard::take_from_bytes(&good[..bytes]) {
        Ok((configuration, [])) => Ok(configuration),
        Ok(_) | Err(_) => Err(RestoreError::Unsupported {
            file: FOUNDING.to_owned(),
            what: "not a configuration that this version knows".to_string(),
        }),
    }
}
