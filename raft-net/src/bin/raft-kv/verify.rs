//! `journal verify`: reads a data directory as recovery would, checks every checksum, changes nothing.

use std::io::ErrorKind;
use std::path::Path;

use raft_core::journal::{Files, read};
use serde::Serialize;

use crate::args::Output;
use crate::exit::{Exit, Fatal};
use crate::host;
use crate::print::say;

/// Bytes of a directory that are read at most: they are held in memory.
const DIRECTORY_BYTES_MAX: u64 = 8 << 30;

/// What was found.
#[derive(Debug, Serialize)]
struct Verdict {
    ok: bool,
    cluster: Option<String>,
    node: Option<u64>,
    incarnation: Option<String>,
    boot: Option<u64>,
    term: Option<u64>,
    entries: Option<usize>,
    last: Option<String>,
    batches: Option<u64>,
    synced_to: Option<u64>,
    /// The last batch was under way at the end: it will be cut, and nothing was promised of it.
    torn: Option<bool>,
    error: Option<String>,
}

/// Prints the verdict; an error if the node could not start from there.
pub(crate) fn run(directory: &Path, output: Output) -> Result<(), Fatal> {
    if host::is_served(directory) {
        let what = format!(
            "{}: a process serves this directory, and writes to it; stop that one",
            directory.display()
        );
        return Err(Fatal::new(Exit::Directory, what));
    }
    let files = read_files(directory)?;
    let view = read::view(&files);
    let (verdict, error) = match read::contents(&view) {
        Err(error) => {
            (Verdict { error: Some(error.to_string()), ..Verdict::unknown() }, Some(error.to_string()))
        }
        Ok(found) => {
            let error = found.damage.as_ref().map(ToString::to_string);
            let verdict = Verdict {
                ok: error.is_none(),
                cluster: Some(format!("{:016x}", found.identity.cluster.0)),
                node: Some(found.identity.member.id.0),
                incarnation: Some(format!("{:016x}", found.identity.member.incarnation.0)),
                boot: Some(found.hard_state.boot.0),
                term: Some(found.hard_state.hard_state.term.0),
                entries: Some(found.entries.len()),
                last: found.entries.last().map(|entry| entry.id().to_string()),
                batches: Some(found.last_batch),
                synced_to: Some(found.synced_to),
                torn: Some(found.is_torn),
                error: error.clone(),
            };
            (verdict, error)
        }
    };
    match output {
        Output::Table => say(read::dump(&view)),
        Output::Json => {
            let text = serde_json::to_string_pretty(&verdict)
                .map_err(|error| Fatal::new(Exit::Other, format!("the verdict can't be written: {error}")))?;
            say(format!("{text}\n"));
        }
    }
    match error {
        None => Ok(()),
        Some(error) => Err(Fatal::new(Exit::Directory, format!("{}: {error}", directory.display()))),
    }
}

impl Verdict {
    fn unknown() -> Verdict {
        Verdict {
            ok: false,
            cluster: None,
            node: None,
            incarnation: None,
            boot: None,
            term: None,
            entries: None,
            last: None,
            batches: None,
            synced_to: None,
            torn: None,
            error: None,
        }
    }
}

fn read_files(directory: &Path) -> Result<Files, Fatal> {
    let refused = |error: &std::io::Error| {
        let is_elsewhere = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        let cure = if is_elsewhere { "name the data directory of a node" } else { "check its permissions" };
        Fatal::new(Exit::Directory, format!("{}: {error}; {cure}", directory.display()))
    };
    let mut files = Files::new();
    let mut total = 0;
    for entry in std::fs::read_dir(directory).map_err(|error| refused(&error))? {
        let entry = entry.map_err(|error| refused(&error))?;
        let metadata = entry.metadata().map_err(|error| refused(&error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !metadata.is_file() {
            continue;
        }
        total += metadata.len();
        if total > DIRECTORY_BYTES_MAX {
            let what = format!("{} holds more than 8 GiB; too much to read into memory", directory.display());
            return Err(Fatal::new(Exit::Other, what));
        }
        files.insert(name, std::fs::read(entry.path()).map_err(|error| refused(&error))?);
    }
    Ok(files)
}
