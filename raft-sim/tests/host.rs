//! The simulated host calls what a real one calls: a verb of the replica that only raft-net uses was never attacked.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What raft-net calls and the simulated host need not, with the reason.
const EXCEPTIONS: [&str; 1] = [
    // The state machine's `write` gives different bytes for one image: no state machine here does.
    "handle_snapshot_failed",
];

/// All source text below a folder.
fn source(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).expect("the folder is part of the source") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            text += &source(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).expect("the source can be read");
        }
    }
    text
}

/// The public methods of the replica that change it.
fn verbs(text: &str) -> BTreeSet<&str> {
    let public = text.split("pub fn ").skip(1);
    let named = public.filter_map(|rest| {
        let (name, arguments) = rest.split_once('(')?;
        arguments.trim_start().starts_with("&mut self").then_some(name)
    });
    named.collect()
}

#[test]
fn every_verb_of_the_replica_that_raft_net_calls_is_called_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut replica = source(&root.join("raft-core/src/replica"));
    replica += &fs::read_to_string(root.join("raft-core/src/replica.rs")).expect("the source can be read");
    let (net, sim) =
        (source(&root.join("raft-net/src/event_loop")), source(&root.join("raft-sim/src/world")));
    let sim = sim + &fs::read_to_string(root.join("raft-sim/src/world.rs")).expect("the source can be read");
    let calls = |text: &str, verb: &str| text.contains(&format!("replica.{verb}("));
    let verbs = verbs(&replica);
    let called: Vec<&str> = verbs.into_iter().filter(|verb| calls(&net, verb)).collect();
    for expected in ["handle_message", "tick", "handle_batch_done", "seal", "poll_action", "propose"] {
        assert!(called.contains(&expected), "raft-net calls {called:?}");
    }
    for verb in &called {
        let is_excused = EXCEPTIONS.contains(verb);
        assert!(calls(&sim, verb) != is_excused, "{verb}: called by raft-net; an exception: {is_excused}");
    }
}
