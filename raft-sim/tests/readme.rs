//! The README's code is code that runs, and the files that documents name are there.

use std::path::Path;

#[test]
fn the_readme_shows_the_test_of_your_own_state_machine() {
    let readme = include_str!("../../README.md");
    let test = include_str!("your_state_machine.rs");
    // Without the file's own first lines, which speak of the README.
    let shown = test.split_once("\n\n").map(|(_, code)| code).expect("a header, then the code");
    assert!(readme.contains(shown.trim()), "copy raft-sim/tests/your_state_machine.rs into the README");
}

/// The files that the documents name are there: links of the README, and the code map.
#[test]
fn the_documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = include_str!("../../README.md");
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let links: Vec<String> = links.filter(|link| !link.contains("://")).map(str::to_owned).collect();
    assert!(!links.is_empty(), "the README has links");

    let map = include_str!("../../ARCHITECTURE.md").split_once("## Code map").expect("a code map").1;
    let rows =
        map.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with("| `"));
    let mut named = Vec::new();
    for row in rows {
        // The first path of a row is whole; the others are beside it.
        let cell = row.split('|').nth(1).expect("a row starts with its paths");
        let mut paths = cell.split('`').skip(1).step_by(2);
        let first = paths.next().expect("a row names a path");
        named.push(first.to_owned());
        let folder = first.trim_end_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder);
        named.extend(paths.map(|path| {
            let is_whole = path.starts_with("raft-") || path.starts_with("fuzz");
            if is_whole { path.to_owned() } else { format!("{folder}/{path}") }
        }));
    }
    assert!(named.len() > 20, "the code map names {named:?}");
    for path in links.iter().chain(&named) {
        assert!(root.join(path).exists(), "{path} is named and is not there");
    }
}
