//! Settings: what is left away, and what is wrong.

use super::*;

use std::io::Write as _;
use std::sync::LazyLock;

/// A file with a good secret.
static SECRET: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{}", *ClusterSecret::generate().unwrap().to_text()).unwrap();
    file
});

/// A source as if read from `node.toml`.
fn toml(text: &str) -> Source {
    let text = &text.replace("/SECRET", SECRET.path().to_str().unwrap());
    let config = toml::from_str(text).expect("the test's text is TOML");
    Source { config, file: Some(PathBuf::from("node.toml")), text: String::from(text) }
}

const GOOD: &str = r#"
id = 2
secret_file = "/SECRET"
data = "data"

[[nodes]]
id = 2
raft = "127.0.0.1:7002"
http = "127.0.0.1:8002"

[[nodes]]
id = 1
raft = "node1:7001"
"#;

#[test]
fn what_is_left_away_has_a_default() {
    let settings = toml(GOOD).resolve().unwrap();
    assert_eq!((settings.id, settings.election_timeout_ms, settings.heartbeat_ms), (2, 300, 50));
    assert_eq!(settings.http, "127.0.0.1:8002".parse().unwrap());
    assert_eq!(settings.raft, "127.0.0.1:7002".parse().unwrap());
    assert!(settings.forwarding && settings.line.is_none() && settings.token.is_none());
    assert_eq!(settings.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn faults_name_file_line_field_and_cure() {
    let cases = [
        ("id = 2", "id = 3"),
        ("id = 2", ""),
        ("data = \"data\"", ""),
        ("data = \"data\"", "data = \"data\"\nheartbeat_ms = 200"),
        ("data = \"data\"", "data = \"data\"\nelection_timeout_ms = 1"),
        ("data = \"data\"", "data = \"data\"\nlog_level = \"loud\""),
        ("data = \"data\"", "data = \"data\"\nsnapshot_after_kib = 15"),
        ("data = \"data\"", "data = \"data\"\ntoken_file = \"/nowhere\""),
        ("secret_file = \"/SECRET\"\n", ""),
        ("/SECRET", "/nowhere"),
        ("/SECRET", "/dev/null"),
        ("id = 2", "id = 2\ncluster = \"12\""),
        ("127.0.0.1:8002", "0.0.0.0:8002"),
        ("127.0.0.1:8002", "elsewhere:8002"),
        ("127.0.0.1:8002", "127.0.0.1"),
        ("node1:7001", "127.0.0.1:7002"),
        ("\nid = 1", "\nid = 2"),
        ("\nid = 1", "\nid = 0"),
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|(from, to)| toml(&GOOD.replacen(from, to, 1)).resolve().unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn nodes_on_the_command_line() {
    let full: NodeAddresses = "1=a:1,b:2,c:3".parse().unwrap();
    assert_eq!((full.id, full.raft.as_str()), (1, "a:1"));
    assert_eq!((full.http.as_deref(), full.line.as_deref()), (Some("b:2"), Some("c:3")));
    for wrong in ["", "1", "x=a:1", "1=", "1=a,b,c,d"] {
        assert!(wrong.parse::<NodeAddresses>().is_err(), "{wrong}");
    }
}

#[test]
fn loopback_has_many_names() {
    for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
        assert!(is_loopback_host(host), "{host}");
    }
    for host in ["localhost.example", "10.0.0.1", "0.0.0.0", ""] {
        assert!(!is_loopback_host(host), "{host}");
    }
}
