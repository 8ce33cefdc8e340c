//! The README's code is code that runs.

#[test]
fn the_readme_shows_the_heart_of_the_embedding_example() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../examples/embed.rs");
    let start = example.find("/// Does what the core asks for").expect("the example has its heart");
    let end = example.find("/// What a real host does with files").expect("and what follows it");
    assert!(
        readme.contains(example[start..end].trim()),
        "copy drain() of raft-core/examples/embed.rs into the README"
    );
}
