//! The README's code is code that runs.

#[test]
fn the_readme_shows_the_test_of_your_own_state_machine() {
    let readme = include_str!("../../README.md");
    let test = include_str!("your_state_machine.rs");
    // Without the file's own first lines, which speak of the README.
    let shown = test.split_once("\n\n").map(|(_, code)| code).expect("a header, then the code");
    assert!(readme.contains(shown.trim()), "copy raft-sim/tests/your_state_machine.rs into the README");
}
