//! `journal verify`: reads a data directory as recovery would, checks every checksum, changes nothing.

use std::path::Path;

use raft_core::journal::{JournalConfig, OnDamage};
use raft_net::directory::{self, Verified};
use serde::Serialize;

use crate::args::Output;
use crate::exit::{Exit, Fatal};
use crate::print::say;

/// What was found.
#[derive(Debug, Serialize)]
struct Verdict {
    ok: bool,
    error: Option<String>,
    #[serde(flatten)]
    found: Option<Found>,
}

/// What a node would start from.
#[derive(Debug, Serialize)]
struct Found {
    cluster: String,
    node: u64,
    incarnation: String,
    /// How often it was started.
    boot: u64,
    term: u64,
    /// The last entry that the snapshot covers; `t0.i0` without one.
    snapshot: String,
    snapshot_bytes: u64,
    /// Entries in the segments.
    entries: u64,
    last: String,
    /// Copies of small records that a start would repair from the other copy.
    copies_damaged: u64,
    /// The last batch was under way at the end: it will be cut, and nothing was promised of it.
    torn: bool,
    /// Files that a start would remove: what a crash left, and what nothing names.
    orphans: u64,
}

/// Prints the verdict; an error if the node could not start from there.
pub(crate) fn run(path: &Path, output: Output) -> Result<(), Fatal> {
    let refused = |what: String| Fatal::new(Exit::Directory, what);
    if directory::is_served(path).map_err(|error| refused(error.to_string()))? {
        let what =
            format!("{}: a process serves this directory, and writes to it; stop that one", path.display());
        return Err(refused(what));
    }
    let result = directory::verify(path, &JournalConfig::default(), OnDamage::Refuse);
    let error = result.as_ref().err().map(ToString::to_string);
    let verdict = Verdict {
        ok: error.is_none(),
        error: error.clone(),
        found: result.ok().map(|found| Found::of(&found)),
    };
    let json = serde_json::to_value(&verdict)
        .map_err(|error| Fatal::new(Exit::Other, format!("the verdict can't be written: {error}")))?;
    match output {
        Output::Table => {
            for (name, value) in json.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
            {
                let value = value.as_str().map_or_else(|| value.to_string(), String::from);
                say(format!("{name:<16} {value}\n"));
            }
        }
        Output::Json => say(format!("{json:#}\n")),
    }
    error.map_or(Ok(()), |error| Err(refused(error)))
}

impl Found {
    fn of(found: &Verified) -> Found {
        let (restored, report) = (&found.restored, &found.report);
        let identity = restored.identity();
        let snapshot = restored.snapshot();
        Found {
            cluster: format!("{:016x}", identity.cluster.0),
            node: identity.member.id.0,
            incarnation: format!("{:016x}", identity.member.incarnation.0),
            boot: restored.boot().0 - 1,
            term: restored.hard_state().term.0,
            snapshot: snapshot.map(|snapshot| snapshot.last).unwrap_or_default().to_string(),
            snapshot_bytes: snapshot.map_or(0, |snapshot| snapshot.length),
            entries: restored.last().index.0 - restored.base().index.0,
            last: restored.last().to_string(),
            copies_damaged: report.hard_state_copies_damaged + report.copies_repaired,
            torn: report.torn > 0,
            orphans: report.orphans,
        }
    }
}
