//! Damage on real files: every byte flipped, every sector zeroed, every length cut, every file removed. Each case is
//! repaired, or refused by name; what was acknowledged is never lost in silence.
//!
//! Each case is judged by `directory::verify`, which does what a start does, up to the first change of the disk. Of the
//! cases, a few are started for real. Every sector and every file is tried. Of bytes and lengths, all in the small files;
//! in segments, hard states and snapshots one written byte in 11, one unwritten byte in 173, one length in 23 (hard states: in
//! 97).
//! `RAFT_NET_DAMAGE=full` tries every written byte and every length of a segment: two minutes more.

#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod node_support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use node_support::{Cluster, List};
use raft_core::journal::{JournalConfig, OnDamage};
use raft_core::{Entry, HardState, NodeId, RestoreError, SnapshotMeta};
use raft_net::{Consistency, DirectoryError, Node, NodeConfig, StartError, directory};

const SECTOR: usize = 512;

fn journal() -> JournalConfig {
    JournalConfig { segment_bytes: 4_096, ..JournalConfig::default() }
}

/// A directory after a short life, and what must never be lost of it.
struct Subject {
    cluster: Cluster,
    /// The directory that is damaged: a copy.
    path: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    entries: Vec<Entry>,
    snapshot: Option<SnapshotMeta>,
    hard_state: HardState,
    commands: Vec<String>,
}

#[derive(Debug, Default)]
struct Score {
    repaired: u64,
    refused: BTreeMap<&'static str, u64>,
    /// The last batch looked torn: DESIGN admits this where nothing vouches for that batch yet.
    admitted: u64,
    lost: Vec<String>,
    started: u64,
}

impl Subject {
    /// Two boots of a single voter. Sealed: with a snapshot, and shut down in order; else copied right after the last
    /// acknowledgement.
    async fn lived_in(is_sealed: bool) -> Subject {
        let mut cluster = Cluster::initialised(1);
        let mut commands = Vec::new();
        let path = cluster.root.path().join("copy");
        for boot in 0..2 {
            let mut config = config(&cluster, cluster.directory(NodeId(1)));
            if is_sealed {
                config.replica.snapshot_after_bytes = 3_000;
                config.replica.raft.trailing_entries = 2;
            }
            let node = Node::start(config, List::default()).await.unwrap();
            cluster.nodes.insert(NodeId(1), node.clone());
            cluster.settled().await;
            for (number, bytes) in [10, 700, 90, 1_600, 300, 900].into_iter().enumerate() {
                let command = format!("{boot}.{number}.{}", "x".repeat(bytes));
                node.propose(command.clone()).await.unwrap();
                commands.push(command);
            }
            if boot == 1 && !is_sealed {
                copy(&cluster.directory(NodeId(1)), &path);
            }
            cluster.stop_all().await;
        }
        if is_sealed {
            copy(&cluster.directory(NodeId(1)), &path);
        }
        let verified = directory::verify(&path, &journal(), OnDamage::Refuse).unwrap();
        let (entries, hard_state) = (verified.restored.entries().to_vec(), verified.restored.hard_state());
        let snapshot = verified.restored.snapshot().cloned();
        assert_eq!(snapshot.is_some(), is_sealed);
        assert!(is_sealed || entries.len() >= commands.len());
        let files = read(&path);
        Subject { cluster, path, files, entries, snapshot, hard_state, commands }
    }

    /// What a start would make of the directory as it is now.
    fn judge(&self, what: &str, score: &mut Score) {
        match directory::verify(&self.path, &journal(), OnDamage::Refuse) {
            Ok(verified) => {
                let (entries, hard_state) = (verified.restored.entries(), verified.restored.hard_state());
                let has_snapshot = verified.restored.snapshot() == self.snapshot.as_ref();
                if entries == self.entries && hard_state == self.hard_state && has_snapshot {
                    score.repaired += 1;
                } else if entries == &self.entries[..self.entries.len() - 1] && hard_state == self.hard_state
                {
                    score.admitted += 1;
                } else {
                    score.lost.push(what.to_string());
                }
            }
            Err(error) => *score.refused.entry(name(&error)).or_default() += 1,
        }
    }

    /// The same by a real start, on a copy.
    async fn start(&self, what: &str, score: &mut Score) {
        let copied = tempfile::TempDir::new().unwrap();
        copy(&self.path, copied.path());
        score.started += 1;
        let expected =
            directory::verify(copied.path(), &journal(), OnDamage::Refuse).map_err(|error| name(&error));
        match Node::start(config(&self.cluster, copied.path().to_path_buf()), List::default()).await {
            Ok(node) => {
                assert!(expected.is_ok(), "{what}: {expected:?}");
                let all = loop {
                    if let Ok(all) = node.query((), Consistency::Linearizable).await {
                        break all;
                    }
                    node.watch_status().changed().await.unwrap();
                };
                node.shutdown().await;
                let is_admitted = all == self.commands[..self.commands.len() - 1];
                assert!(all == self.commands || is_admitted, "{what}");
                // Repaired for good: nothing is left to mend.
                let again = directory::verify(copied.path(), &journal(), OnDamage::Refuse).unwrap().report;
                assert_eq!(
                    (again.hard_state_copies_damaged, again.copies_repaired, again.torn),
                    (0, 0, 0),
                    "{what}"
                );
            }
            Err(StartError::Directory(error)) => assert_eq!(expected.err(), Some(name(&error)), "{what}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }

    fn restore(&self, file: &str) {
        fs::write(self.path.join(file), &self.files[file]).unwrap();
    }
}

fn config(cluster: &Cluster, directory: PathBuf) -> NodeConfig {
    let on_damage = OnDamage::Refuse;
    NodeConfig { directory, journal: journal(), on_damage, ..cluster.config(NodeId(1)) }
}

/// Every refusal has a name, and says which file or directory.
fn name(error: &DirectoryError) -> &'static str {
    assert!(error.to_string().contains('/'), "{error}");
    match error {
        DirectoryError::NotInitialised(_) => "NotInitialised",
        DirectoryError::Mixed { .. } => "Mixed",
        DirectoryError::Damaged { .. } => "Damaged (key or members)",
        DirectoryError::Restore { error, .. } => match error {
            RestoreError::NotInitialised => "Restore: NotInitialised",
            RestoreError::WrongIdentity { .. } => "Restore: WrongIdentity",
            RestoreError::Damaged { .. } => "Restore: Damaged",
            RestoreError::HardStateLost { .. } => "Restore: HardStateLost",
            RestoreError::Unsupported { .. } => "Restore: Unsupported",
            RestoreError::SoleVoterDamaged { .. }
            | RestoreError::Unreadable { .. }
            | RestoreError::Config(_) => panic!("{error}"),
        },
        DirectoryError::Io { .. }
        | DirectoryError::Locked(_)
        | DirectoryError::NotEmpty(_)
        | DirectoryError::WrongCluster { .. }
        | DirectoryError::WrongNode { .. }
        | DirectoryError::Founding(_)
        | DirectoryError::Random(_) => panic!("{error}"),
    }
}

fn read(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    let files =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
    files.filter(|(name, _)| name != "lock").collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (name, bytes) in read(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}

/// Whether this case is started for real: about twenty of each kind.
fn is_sample(ordinal: usize, of: usize) -> bool {
    ordinal.is_multiple_of((of / 20).max(1))
}

/// One in how many of a file's bytes or lengths is tried.
fn thinned(name: &str, step: usize) -> usize {
    let is_large = ["segment", "hard-state", "snapshot"].iter().any(|prefix| name.starts_with(prefix));
    let is_full = std::env::var_os("RAFT_NET_DAMAGE").is_some_and(|how| how == "full");
    if is_large && !is_full { step } else { 1 }
}

async fn flips(subject: &Subject, score: &mut Score) {
    let mut cases = Vec::new();
    for (name, bytes) in &subject.files {
        for (ordinal, sector) in bytes.chunks(SECTOR).enumerate() {
            let is_written = sector.iter().any(|byte| *byte != 0);
            let step = if is_written { thinned(name, 11) } else { 173 };
            cases
                .extend((ordinal % step..sector.len()).step_by(step).map(|at| (name, ordinal * SECTOR + at)));
        }
    }
    for (ordinal, (name, at)) in cases.iter().enumerate() {
        let file = File::options().write(true).open(subject.path.join(name)).unwrap();
        let byte = subject.files[*name][*at];
        file.write_all_at(&[byte ^ [0x01, 0x80, 0xFF][ordinal % 3]], *at as u64).unwrap();
        let what = format!("{name}: byte {at} flipped");
        subject.judge(&what, score);
        if is_sample(ordinal, cases.len()) {
            subject.start(&what, score).await;
        }
        file.write_all_at(&[byte], *at as u64).unwrap();
    }
}

async fn zeroed_sectors(subject: &Subject, score: &mut Score) {
    let sectors = |(name, bytes): (&String, &Vec<u8>)| {
        (0..bytes.len()).step_by(SECTOR).map(|at| (name.clone(), at)).collect::<Vec<_>>()
    };
    let cases: Vec<_> = subject.files.iter().flat_map(sectors).collect();
    for (ordinal, (name, at)) in cases.iter().enumerate() {
        let mut bytes = subject.files[name].clone();
        let end = bytes.len().min(at + SECTOR);
        bytes[*at..end].fill(0);
        fs::write(subject.path.join(name), bytes).unwrap();
        let what = format!("{name}: sector at {at} zeroed");
        subject.judge(&what, score);
        if is_sample(ordinal, cases.len()) {
            subject.start(&what, score).await;
        }
        subject.restore(name);
    }
}

async fn shorter_files(subject: &Subject, score: &mut Score) {
    let lengths = |(name, bytes): (&String, &Vec<u8>)| {
        let step = if name.starts_with("hard-state") { 97 } else { thinned(name, 23) };
        (0..bytes.len()).step_by(step).map(|length| (name.clone(), length)).collect::<Vec<_>>()
    };
    let cases: Vec<_> = subject.files.iter().flat_map(lengths).collect();
    for (ordinal, (name, length)) in cases.iter().enumerate() {
        fs::write(subject.path.join(name), &subject.files[name][..*length]).unwrap();
        let what = format!("{name}: cut to {length} bytes");
        subject.judge(&what, score);
        if is_sample(ordinal, cases.len()) {
            subject.start(&what, score).await;
        }
        subject.restore(name);
    }
}

async fn missing_files(subject: &Subject, score: &mut Score) {
    for name in subject.files.keys() {
        fs::remove_file(subject.path.join(name)).unwrap();
        let what = format!("{name}: removed");
        subject.judge(&what, score);
        subject.start(&what, score).await;
        subject.restore(name);
    }
}

fn print(kind: &str, score: &Score) {
    let refused: u64 = score.refused.values().sum();
    println!(
        "{kind:<24} repaired {:>6}  refused {refused:>6}  admitted {:>3}  lost {:>3}  (started {})",
        score.repaired,
        score.admitted,
        score.lost.len(),
        score.started
    );
    for (name, count) in &score.refused {
        println!("{:<24}   {count:>6}  {name}", "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_directory_loses_nothing() {
    let subject = Subject::lived_in(true).await;
    let [mut flipped, mut zeroed, mut cut, mut missing] = std::array::from_fn(|_| Score::default());
    flips(&subject, &mut flipped).await;
    zeroed_sectors(&subject, &mut zeroed).await;
    shorter_files(&subject, &mut cut).await;
    missing_files(&subject, &mut missing).await;
    for (kind, score) in [
        ("bytes flipped", flipped),
        ("sectors zeroed", zeroed),
        ("files cut", cut),
        ("files removed", missing),
    ] {
        print(kind, &score);
        assert_eq!((score.lost.len(), score.admitted), (0, 0), "{kind}: {:?}", score.lost);
        let refused: u64 = score.refused.values().sum();
        assert!(score.repaired > 0 && refused > 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsealed_directory_loses_at_most_the_last_batch_to_a_zeroed_sector() {
    let subject = Subject::lived_in(false).await;
    let (mut zeroed, mut missing) = (Score::default(), Score::default());
    zeroed_sectors(&subject, &mut zeroed).await;
    missing_files(&subject, &mut missing).await;
    print("unsealed: zeroed", &zeroed);
    print("unsealed: removed", &missing);
    assert_eq!(zeroed.lost, Vec::<String>::new());
    // The last command has 900 bytes: its batch is two or three sectors.
    assert!((1..=3).contains(&zeroed.admitted), "{}", zeroed.admitted);
    assert_eq!((missing.lost.len(), missing.admitted), (0, 0));
}
