//! The command line, as its users meet it: what it prints, what it writes, how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a command left behind.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn raft_sim(arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_raft-sim"))
        .args(arguments)
        .output()
        .expect("the simulator was built with this test");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the simulator prints text");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ended {
    fn assert_refused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{}{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in: {}", self.err);
        }
    }
}

fn history(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/histories").join(name);
    path.to_str().expect("the path is text").to_owned()
}

/// A file of this test alone, with this content.
fn scratch(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{name}", std::process::id()));
    fs::write(&path, content).expect("the folder for tests can be written");
    path
}

fn words(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

#[test]
fn replay_shows_what_happened_and_always_the_same() {
    let file = scratch("replay.jsonl", "");
    let plain = raft_sim(&["replay", "2"]);
    let traced = raft_sim(&["replay", "2", "--text", "--jsonl", words(&file)]);
    assert_eq!((plain.code, traced.code), (Some(0), Some(0)));
    assert_eq!(plain.out.lines().filter(|line| line.starts_with("fingerprint ")).count(), 1);
    // The report is the same, after a time line.
    let time_line = traced.out.strip_suffix(&plain.out).expect("both end with the same report");
    assert!(time_line.lines().count() > 1_000 && time_line.contains("from n"), "{time_line:.400}");

    let json = fs::read_to_string(&file).expect("replay wrote the file");
    assert_eq!(json.lines().count(), time_line.lines().count());
    let (mut event, mut time) = (0, 0);
    for line in json.lines() {
        let object: Value = serde_json::from_str(line).expect("each line is JSON");
        let number = |key: &str| object[key].as_u64().unwrap_or_else(|| panic!("no {key} in {line}"));
        assert_eq!(number("v"), 1);
        assert!(object["kind"].is_string() && object["message"].is_string(), "{line}");
        assert!(number("i") >= event && number("t") >= time, "went back: {line}");
        (event, time) = (number("i"), number("t"));
    }
    fs::remove_file(&file).expect("the file can be removed");
}

#[test]
fn a_setup_is_printed_edited_and_run_again() {
    let printed = raft_sim(&["setup", "2"]);
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let file = scratch("setup.json", &printed.out);
    let of_the_seed = raft_sim(&["replay", "2"]);
    let unchanged = raft_sim(&["replay", words(&file)]);
    assert_eq!((unchanged.code, &unchanged.out), (Some(0), &of_the_seed.out));

    let mut edited: Value = serde_json::from_str(&printed.out).expect("what was printed is JSON");
    assert!(edited["faults"].as_array().is_some_and(|faults| !faults.is_empty()));
    edited["faults"] = Value::Array(Vec::new());
    fs::write(&file, edited.to_string()).expect("the file can be written");
    let changed = raft_sim(&["replay", words(&file)]);
    assert_eq!(changed.code, Some(0), "{}", changed.err);
    assert!(changed.out.contains(" 0 faults planned") && changed.out != of_the_seed.out, "{}", changed.out);
    fs::remove_file(&file).expect("the file can be removed");
}

#[test]
fn a_setup_that_cant_be_is_refused_with_its_place() {
    let good = raft_sim(&["setup", "2"]).out;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut setup: Value = serde_json::from_str(&good).expect("what was printed is JSON");
        change(&mut setup);
        setup.to_string()
    };
    let second_line = good.replacen("\n", "\n  \"sed\": 1,\n", 1);
    let cases = [
        (String::new(), ":1:0: this is no setup"),
        ("{\"v\": 1}".to_owned(), "unknown field `v`"),
        (second_line, ":2:7: this is no setup: unknown field `sed`"),
        (good[..good.len() / 2].to_owned(), "EOF"),
        (with(&|setup| setup["voters"] = 0.into()), "voters must be from 1 to 15"),
        (with(&|setup| setup["voters"] = 300.into()), "expected u8"),
        (with(&|setup| setup["voters"] = 7.into()), "clock_ppm must have one number for each voter"),
        (
            with(&|setup| setup["settings"]["heartbeat_interval"] = 0.into()),
            "heartbeat_interval must be above",
        ),
        (
            with(&|setup| setup["settings"]["datagram_bytes_max"] = 1.into()),
            "datagram_bytes_max must be at least",
        ),
        (
            with(&|setup| setup["settings"]["segment_bytes"] = 5_000.into()),
            "segment_bytes must be whole sectors",
        ),
        (with(&|setup| setup["network"]["loss_ppm"] = 1_000_001.into()), "network.loss_ppm must be at most"),
        (
            with(&|setup| setup["network"]["latency"] = u64::MAX.into()),
            "network.latency must be at most 2^36",
        ),
        (with(&|setup| setup["load"]["weights"] = vec![0; 5].into()), "load.weights must not all be zero"),
        (with(&|setup| setup["faults"][0]["at"] = u64::MAX.into()), "faults must have spans"),
        (with(&|setup| setup["faults"][0]["what"] = "flood".into()), "unknown variant `flood`"),
    ];
    let file = scratch("impossible.json", "");
    for (content, words_of_it) in cases {
        fs::write(&file, content).expect("the file can be written");
        let ended = raft_sim(&["replay", words(&file)]);
        ended.assert_refused(&[words(&file), words_of_it]);
        assert!(ended.out.is_empty(), "it ran: {}", ended.out);
    }
    fs::remove_file(&file).expect("the file can be removed");
}

#[test]
fn a_run_tells_of_every_seed_in_json_and_of_all_in_words() {
    let file = scratch("run.jsonl", "");
    let ended = raft_sim(&["run", "--seeds", "3..5", "--json", words(&file)]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("no violation in 2 seeds"), "{}", ended.out);
    let json = fs::read_to_string(&file).expect("run wrote the file");
    let reports = json.lines().map(|line| serde_json::from_str(line).expect("each line is JSON"));
    let reports: Vec<Value> = reports.collect();
    assert_eq!(reports.iter().map(|report| report["seed"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(4)]);
    for report in &reports {
        assert!(report["failure"].is_null() && report["counts"]["datagrams delivered"].as_u64() > Some(0));
        let replayed = raft_sim(&["replay", &report["seed"].to_string()]);
        let line = format!(
            "fingerprint {}, configuration {}",
            report["fingerprint"].as_str().expect("a fingerprint is text"),
            report["configuration"].as_str().expect("a configuration is text")
        );
        assert!(replayed.out.contains(&line), "replay shows another run: {}", replayed.out);
    }
    fs::remove_file(&file).expect("the file can be removed");
}

#[test]
fn check_tells_a_good_history_from_a_bad_one() {
    for (file, model, code, verdict) in [
        ("kv/c01-ok.txt", "kv", 0, "\nlinearizable"),
        ("kv/c01-ok.txt", "kv-nopart", 0, "\nlinearizable"),
        ("kv/c01-bad.txt", "kv", 4, "\nNOT linearizable"),
        ("synthetic/a-c10-k10-10k-ok.txt.gz", "kv", 0, "\nlinearizable"),
        ("jepsen/etcd_002.log", "etcd", 0, "\nlinearizable"),
        ("jepsen/etcd_000.log", "etcd", 4, "\nNOT linearizable"),
    ] {
        let ended = raft_sim(&["check", &history(file), "--model", model]);
        assert_eq!(ended.code, Some(code), "{file}: {}{}", ended.out, ended.err);
        assert!(ended.out.contains(verdict) && ended.out.contains(" operations: "), "{file}: {}", ended.out);
    }
}

#[test]
fn check_says_where_a_file_is_malformed() {
    let good = fs::read_to_string(history("kv/c01-ok.txt")).expect("the history can be read");
    let malformed = scratch("malformed.txt", &format!("{good}{{:process 0, :type :sideways}}\n"));
    let line = format!(":{}: ", good.lines().count() + 1);
    raft_sim(&["check", words(&malformed), "--model", "kv"]).assert_refused(&[words(&malformed), &line]);
    let unzipped = scratch("not-compressed.txt.gz", "plain text");
    raft_sim(&["check", words(&unzipped), "--model", "kv"]).assert_refused(&["can't be read"]);
    let ours = scratch("malformed.jsonl", "{}\n");
    raft_sim(&["check", words(&ours), "--model", "kv"]).assert_refused(&[":1: "]);
    for path in [malformed, unzipped, ours] {
        fs::remove_file(path).expect("the file can be removed");
    }
}

#[test]
fn check_says_that_a_file_is_missing() {
    let ended = raft_sim(&["check", "no/such/history.txt", "--model", "kv"]);
    ended.assert_refused(&["no/such/history.txt", "can't be read", "check the path"]);
}

#[test]
fn wrong_words_are_refused_with_what_to_do() {
    let good = history("kv/c01-ok.txt");
    let wrong: [(&[&str], &[&str]); 15] = [
        (&["run", "--seeds", "5..5"], &["holds no seed", "above the start"]),
        (&["run", "--seeds", "x"], &["a range like 0..1000"]),
        (&["run", "--seeds", "0..y"], &["`y` is not a number", "0..1000"]),
        (&["run", "--for", "10"], &["needs a unit", "10m"]),
        (&["run", "--for", "soon"], &["not a duration like 90s"]),
        (&["run", "--jobs", "0"], &["1..=1024"]),
        (&["run", "--sedes", "0..3"], &["--sedes", "--seeds"]),
        (&["replay"], &["<SEED|FILE>", "Usage"]),
        (&["replay", "-1"], &["-1"]),
        (&["replay", "no/such.json"], &["can't read no/such.json", "give a seed", "raft-sim setup SEED"]),
        (&["setup", "seven"], &["seven", "<SEED>"]),
        (&["check", &good], &["--model", "Usage"]),
        (&["check", &good, "--model", "queue"], &["queue", "kv", "kv-nopart", "etcd"]),
        (&["atack"], &["atack", "--help"]),
        (&["bugs", "NOPE"], &["no bug is called NOPE", "B01"]),
    ];
    for (arguments, words) in wrong {
        raft_sim(arguments).assert_refused(words);
    }
}

/// A hunt of hours must not end with "no such folder".
#[test]
fn a_file_that_cant_be_written_is_refused_before_the_run() {
    let nowhere = "/nonexistent/folder/x.jsonl";
    let words = [nowhere, "a folder that exists"];
    // If the seeds ran first, this test would not end today.
    raft_sim(&["run", "--seeds", "0..10000000", "--json", nowhere]).assert_refused(&words);
    let replay = raft_sim(&["replay", "2", "--text", "--jsonl", nowhere]);
    replay.assert_refused(&words);
    assert!(replay.out.is_empty(), "it ran first");
}

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let ended = raft_sim(&["--help"]);
    assert_eq!(ended.code, Some(0));
    let words =
        ["run", "replay", "setup", "check", "bugs", "Exit codes", "0 ok", "4 linearizability", "9 undecided"];
    let flat = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(flat.contains(word), "no `{word}` in: {flat}");
    }
}

#[test]
fn bugs_lists_the_catalogue_and_plants_nothing() {
    let ended = raft_sim(&["bugs", "--list"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bugs");
    let files = fs::read_dir(folder).expect("the catalogue is part of the source");
    let paths = files.map(|file| file.expect("the folder can be read").path());
    let patches: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    assert_eq!(ended.out.lines().count(), patches.len());
    for path in patches {
        let name = path.file_stem().expect("a patch has a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("the patch can be read");
        let title = text.lines().find_map(|line| line.strip_prefix("title: ")).expect("a patch has a title");
        assert!(ended.out.contains(&format!("{name}  {title}  [")), "{name} is not in: {}", ended.out);
    }
    let one = raft_sim(&["bugs", "--list", "B01"]);
    assert_eq!((one.code, one.out.lines().count()), (Some(0), 1));
}
