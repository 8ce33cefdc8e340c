//! Standard output: tables for people, and no panic when nobody listens.

use std::io::Write as _;

/// Prints a text. A reader that is gone, as in `raft-kv status | head -1`, is no error of ours.
pub(crate) fn say(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    // Nobody is left to tell about a failure here.
    let _ = out.write_all(text.as_ref().as_bytes()).and_then(|()| out.flush());
}

/// Rows under a head, with two spaces between the columns and no trailing ones.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut all: Vec<Vec<String>> = vec![head.iter().map(|name| String::from(*name)).collect()];
    all.extend(rows.iter().cloned());
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["1".into(), "leader".into()], vec!["12".into(), "ü".into()]];
        assert_eq!(table(&["NODE", "ROLE"], &rows), "NODE  ROLE\n1     leader\n12    ü\n");
    }
}
