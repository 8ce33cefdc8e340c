//! The status page, in a real browser where there is one.

use std::process::{Command, Stdio};

use crate::cluster::{Cluster, Directory};

/// The browser's switches: no window, no network but ours.
const SWITCHES: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    // Time in the page runs ahead while nothing is under way: several rounds of questions.
    "--virtual-time-budget=5000",
];

#[test]
fn the_status_page_shows_live_roles() {
    let mut cluster = Cluster::start(3);
    assert_eq!(cluster.command(1, "SET k v").status, 200);
    let page = cluster.ask(1, "GET", "/", "");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.body.contains(outside), "the page needs nothing from elsewhere: {outside}");
    }
    let Some(browser) = browser() else {
        eprintln!("no chromium here: the page was fetched, and not rendered");
        return;
    };
    cluster.kill(3);
    let leader = cluster.leader();
    let url = format!("http://127.0.0.1:{}/", cluster.http[0]);
    let dom = dump(browser, &url);
    let card = |id: usize| {
        let start =
            dom.find(&format!("id=\"node-{id}\"")).unwrap_or_else(|| panic!("no card of node {id}: {dom}"));
        let rest = &dom[start..];
        &rest[..rest.find("</article>").unwrap_or(rest.len())]
    };
    assert!(card(leader).contains(">leader<"), "{}", card(leader));
    assert!(card(3 - leader).contains(">follower<"), "{}", card(3 - leader));
    assert!(card(3).contains(">no answer<"), "{}", card(3));
    assert!(dom.contains("2 of 3 nodes answer"), "{dom}");
    assert!(dom.contains(&format!("<title>raft-kv: node {leader} leads</title>")), "{dom}");
}

#[test]
fn with_a_token_the_page_asks_for_it() {
    let secrets = Directory::new();
    let file = secrets.write("token", "0123456789abcdef0123456789abcdef");
    let cluster = Cluster::start_with(1, &["--token-file", file.to_str().unwrap()]);
    let url = format!("http://127.0.0.1:{}/", cluster.http[0]);
    assert_eq!(cluster.ask(1, "GET", "/", "").status, 200, "the page itself is open");
    let Some(browser) = browser() else { return };
    let dom = dump(browser, &url);
    assert!(dom.contains("a token is wanted") && !dom.contains("node-1"), "{dom}");
    let dom = dump(browser, &format!("{url}#token=0123456789abcdef0123456789abcdef"));
    assert!(dom.contains("id=\"node-1\"") && dom.contains(">leader<"), "{dom}");
}

fn browser() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        let version =
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    })
}

/// The page after its scripts have run for a while.
fn dump(browser: &str, url: &str) -> String {
    let profile = Directory::new();
    let output = Command::new(browser)
        .args(SWITCHES)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", url])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
