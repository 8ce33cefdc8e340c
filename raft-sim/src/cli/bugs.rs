//! `bugs`: plants known bugs one by one into a copy of the source, and measures how soon each is caught by exactly the
//! swarm that `run` uses. A simulator that was never seen to find a bug proves nothing.

// Seconds to detection, for people.
#![allow(clippy::disallowed_types)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant as WallClock;

use clap::Args;
use raft_sim::failure::FailureKind;
use serde_json::Value;

use super::EXIT_OK;

/// Where the three hunts for each bug start: the median of three is reported.
const RANGES: [u64; 3] = [0, 1_000_000, 2_000_000];
/// A bug must be caught within this many seeds at the median.
const SEEDS_MEDIAN_MAX: u64 = 200;
/// A hunt ends without a catch after this many seeds.
const SEEDS_MAX: u64 = 600;
/// What is copied; everything that the build reads.
const SOURCES: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "clippy.toml", "raft-core", "raft-sim", "raft-net", ".cargo"];

/// Which bugs to plant.
#[derive(Args, Clone, Debug)]
pub(crate) struct BugsArguments {
    /// Bugs by name, as in B01 [default: all]
    names: Vec<String>,
    /// List the catalogue, plant nothing
    #[arg(long)]
    list: bool,
}

/// One planted bug: a patch with a header of `key: value` lines.
struct Bug {
    name: String,
    title: String,
    /// Oracles that may be first to see it, decided before it was ever run.
    expected: Vec<String>,
    /// Why the design leaves no place for it, instead of a patch.
    impossible: Option<String>,
    patch: String,
}

pub(crate) fn main(arguments: &BugsArguments) -> Result<u8, String> {
    let root = source_root()?;
    let bugs = read_catalogue(&root.join("raft-sim/bugs"), &arguments.names)?;
    if arguments.list {
        for bug in &bugs {
            println!("{}  {}  [{}]", bug.name, bug.title, bug.expected.join(", "));
        }
        return Ok(EXIT_OK);
    }
    let nursery = Nursery { root, folder: target_folder().join("bugs") };
    nursery.copy_sources()?;
    println!("{:<6} {:<72} {:<22} {:>6} {:>8}  verdict", "bug", "mistake", "caught by", "seeds", "seconds");
    let mut all_good = nursery.control()?;
    for bug in &bugs {
        all_good &= nursery.plant(bug)?;
    }
    Ok(if all_good { EXIT_OK } else { FailureKind::Gate.exit_code() })
}

fn source_root() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().map_err(|error| {
        format!("the source tree at {} is gone ({error}); run this from a checkout", root.display())
    })
}

/// Beside the running binary's profile folder: `target/bugs`.
fn target_folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.ancestors().nth(2).map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

fn read_catalogue(folder: &Path, names: &[String]) -> Result<Vec<Bug>, String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("can't read {}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    let bugs = paths.iter().map(|path| read_bug(path)).collect::<Result<Vec<Bug>, String>>()?;
    if let Some(unknown) = names.iter().find(|name| bugs.iter().all(|bug| bug.name != **name)) {
        let known: Vec<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
        return Err(format!("no bug is called {unknown}; there are {}", known.join(", ")));
    }
    Ok(bugs.into_iter().filter(|bug| names.is_empty() || names.contains(&bug.name)).collect())
}

fn read_bug(path: &Path) -> Result<Bug, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("can't read {}: {error}", path.display()))?;
    let split = text.find("diff --git").unwrap_or(text.len());
    let (header, patch) = text.split_at(split);
    let field = |key: &str| {
        header.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::to_owned)
    };
    let missing = |key: &str| format!("{}: the header has no `{key}: ...` line", path.display());
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let expected = field("expect").unwrap_or_default();
    let bug = Bug {
        name,
        title: field("title").ok_or_else(|| missing("title"))?,
        expected: expected.split(", ").filter(|oracle| !oracle.is_empty()).map(str::to_owned).collect(),
        impossible: field("impossible"),
        patch: patch.to_owned(),
    };
    if bug.impossible.is_none() && (bug.patch.is_empty() || bug.expected.is_empty()) {
        return Err(missing("expect` line and a patch, or an `impossible"));
    }
    Ok(bug)
}

/// The copy of the source in which bugs are planted, and its build.
struct Nursery {
    root: PathBuf,
    folder: PathBuf,
}

/// How one hunt ended.
struct Catch {
    seeds: u64,
    oracle: Option<String>,
    panics: u64,
    seconds: u64,
}

impl Nursery {
    fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    fn copy_sources(&self) -> Result<(), String> {
        let tree = self.tree();
        fs::create_dir_all(&tree).map_err(|error| format!("can't make {}: {error}", tree.display()))?;
        for source in SOURCES {
            copy_changed(&self.root.join(source), &self.tree().join(source))?;
        }
        Ok(())
    }

    /// The same build and hunt without a bug: must be silent, or every catch below means nothing.
    fn control(&self) -> Result<bool, String> {
        self.build("the clean control")?;
        let catch = self.hunt(RANGES[0], SEEDS_MEDIAN_MAX)?;
        let silent = catch.oracle.is_none() && catch.panics == 0;
        let verdict = if silent { "silent, as it must be" } else { "NOT SILENT" };
        let by = catch.oracle.unwrap_or_else(|| "-".into());
        println!(
            "{:<6} {:<72} {by:<22} {:>6} {:>8}  {verdict}",
            "clean", "none: the control", catch.seeds, catch.seconds
        );
        Ok(silent)
    }

    fn plant(&self, bug: &Bug) -> Result<bool, String> {
        if let Some(reason) = &bug.impossible {
            println!(
                "{:<6} {:<72} {:<22} {:>6} {:>8}  impossible: {reason}",
                bug.name, bug.title, "-", "-", "-"
            );
            return Ok(true);
        }
        let result = self.apply(bug).and_then(|()| self.build(&bug.name)).and_then(|()| self.hunts());
        // The tree is put right whatever happened.
        self.copy_sources()?;
        let catches = result?;
        Ok(report(bug, catches))
    }

    fn hunts(&self) -> Result<Vec<Catch>, String> {
        RANGES.iter().map(|start| self.hunt(*start, SEEDS_MAX)).collect()
    }

    fn apply(&self, bug: &Bug) -> Result<(), String> {
        for file_patch in bug.patch.split("diff --git ").skip(1) {
            let start = file_patch.find("--- ").ok_or_else(|| format!("{}: a diff without ---", bug.name))?;
            let patch = diffy::Patch::from_str(&file_patch[start..])
                .map_err(|error| format!("{}: the patch can't be read: {error}", bug.name))?;
            let name = patch.modified().and_then(|name| name.strip_prefix("b/"));
            let name = name.ok_or_else(|| format!("{}: a diff without +++ b/...", bug.name))?;
            let path = self.tree().join(name);
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {name}: {error}", bug.name))?;
            let patched = diffy::apply(&text, &patch).map_err(|error| {
                format!(
                    "{}: {name} has changed and the patch no longer fits ({error}); make it anew",
                    bug.name
                )
            })?;
            fs::write(&path, patched).map_err(|error| format!("can't write {}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn build(&self, what: &str) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(self.tree())
            .args(["build", "--locked", "--quiet", "--profile", "fast", "-p", "raft-sim", "--target-dir"])
            .arg(self.folder.join("build"))
            .env("RUSTFLAGS", "-Awarnings")
            .output()
            .map_err(|error| format!("can't run cargo: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{what} does not compile:\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn hunt(&self, start: u64, seeds_max: u64) -> Result<Catch, String> {
        let json = self.folder.join("hunt.jsonl");
        let started = WallClock::now();
        let output = Command::new(self.folder.join("build/fast/raft-sim"))
            .args(["run", "--until-caught", "--seeds", &format!("{start}..{}", start + seeds_max), "--json"])
            .arg(&json)
            .output()
            .map_err(|error| format!("can't run the planted simulator: {error}"))?;
        let text = fs::read_to_string(&json).map_err(|error| {
            format!(
                "the planted simulator left no results ({error}): {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
        let seconds = started.elapsed().as_secs();
        let mut catch = Catch { seeds: 0, oracle: None, panics: 0, seconds };
        for line in text.lines() {
            let report: Value =
                serde_json::from_str(line).map_err(|error| format!("the results can't be read: {error}"))?;
            catch.seeds += 1;
            match (report["failure"]["kind"].as_str(), report["failure"]["oracle"].as_str()) {
                (Some("panic"), _) => catch.panics += 1,
                (Some(_), Some(oracle)) => catch.oracle = Some(oracle.to_owned()),
                (Some(_) | None, _) => {}
            }
        }
        Ok(catch)
    }
}

/// Prints a row, and says whether the bug was caught as it must be.
fn report(bug: &Bug, mut catches: Vec<Catch>) -> bool {
    catches.sort_by_key(|catch| (catch.oracle.is_none(), catch.seeds));
    let median = &catches[catches.len() / 2];
    let panics: u64 = catches.iter().map(|catch| catch.panics).sum();
    let by = median.oracle.as_deref().unwrap_or("-");
    let caught = median.oracle.is_some() && median.seeds <= SEEDS_MEDIAN_MAX;
    let expected = bug.expected.iter().any(|oracle| oracle == by);
    let verdict = match (caught, expected) {
        (true, true) => "caught".to_owned(),
        (true, false) => format!("caught, but {} was expected", bug.expected.join(" or ")),
        (false, _) => "NOT CAUGHT".to_owned(),
    };
    let panics =
        if panics > 0 { format!(" ({panics} panics of the core, not counted)") } else { String::new() };
    println!(
        "{:<6} {:<72} {by:<22} {:>6} {:>8}  {verdict}{panics}",
        bug.name, bug.title, median.seeds, median.seconds
    );
    caught
}

/// Copies a file or a folder, leaving alone what is equal already, so that the build sees only what changed.
fn copy_changed(from: &Path, to: &Path) -> Result<(), String> {
    let failed =
        |error: std::io::Error| format!("can't copy {} to {}: {error}", from.display(), to.display());
    if from.is_dir() {
        fs::create_dir_all(to).map_err(failed)?;
        for entry in fs::read_dir(from).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if name != "target" {
                copy_changed(&from.join(&name), &to.join(&name))?;
            }
        }
        return Ok(());
    }
    let bytes = fs::read(from).map_err(failed)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).map_err(failed)
}
