//! Nodes that must not start, and what they say.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use crate::cluster::{Cluster, Directory, eventually, refused, run};

fn serve(config: &std::path::Path) -> (i32, String) {
    refused(&["serve", "--config", config.to_str().unwrap()])
}

#[test]
fn a_wrong_configuration_names_file_line_field_and_cure() {
    let directory = Directory::new();
    let secret = directory.path().join("secret");
    assert!(run(&["init", "secret", secret.to_str().unwrap()]).status.success());
    let good = "id = 1\ndata = \"data\"\nsecret_file = \"secret\"\n[[nodes]]\nid = 1\nraft = \"127.0.0.1:1\"\n\
                http = \"127.0.0.1:2\"\n";
    let cases = [
        (good.replace("id = 1\ndata", "id = 1\nspeed = 3\ndata"), "node.toml:2", "speed"),
        (good.replace("\"data\"", "5"), "node.toml:2", "string"),
        (good.replace("[[nodes]]", "[[nodes"), "node.toml:4", ""),
        (good.replace("id = 1\ndata", "id = 9\ndata"), "node.toml:1", "--node"),
        (good.replace("id = 1\ndata", "heartbeat_ms = 500\nid = 1\ndata"), "node.toml:1", "heartbeat_ms"),
        (good.replace("127.0.0.1:2", "0.0.0.0:2"), "node.toml:7", "token_file"),
        (good.replace("\"secret\"", "\"absent\""), "node.toml:3", "secret_file"),
        (good.replace("secret_file = \"secret\"\n", ""), "node.toml", "--secret-file"),
    ];
    for (text, place, named) in cases {
        let (code, said) = serve(&directory.write("node.toml", &text));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(place) && said.contains(named), "{place} {named}: {said}");
    }
    let json = "{\"id\": 1,\n \"data\": \"data\",\n \"sped\": 1}";
    let (code, said) = serve(&directory.write("node.json", json));
    assert!(code == 2 && said.contains("node.json:3") && said.contains("sped"), "{said}");
    let (code, said) = serve(&directory.path().join("absent.toml"));
    assert!(code == 2 && said.contains("absent.toml"), "{said}");
    let (code, said) = refused(&["serve", "--id", "1"]);
    assert!(code == 2 && said.contains("--node"), "{said}");
    assert_eq!(refused(&["fly"]).0, 2);
}

#[test]
fn json_and_flags_alone_do_as_well_as_toml() {
    let mut cluster = Cluster::init(1);
    let (raft, http, data) = (cluster.raft[0], cluster.http[0], cluster.data(1));
    let node = format!("1=127.0.0.1:{raft},127.0.0.1:{http}");
    let secret = cluster.directory.path().join("cluster-secret");
    let (data, secret) = (data.to_str().unwrap(), secret.to_str().unwrap());
    cluster.launch_with(1, &["--id", "1", "--data", data, "--node", &node, "--secret-file", secret]);
    cluster.wait_ready(1);
    assert_eq!(cluster.command(1, "SET k v").status, 200);
    cluster.kill(1);

    let node = format!("{{\"id\": 1, \"raft\": \"127.0.0.1:{raft}\", \"http\": \"127.0.0.1:{http}\"}}");
    let json = format!(
        "{{\"id\": 1, \"data\": \"node-1\", \"secret_file\": \"cluster-secret\", \"nodes\": [{node}]}}"
    );
    let json = cluster.directory.write("node.json", &json);
    cluster.launch_with(1, &["--config", json.to_str().unwrap()]);
    cluster.wait_ready(1);
    assert_eq!(cluster.command(1, "GET k").json()["value"], "v");
}

#[test]
fn a_directory_is_served_by_its_own_node_only() {
    let mut cluster = Cluster::init(2);
    let other = Cluster::init(1);
    let as_node_2 = |data: &std::path::Path| {
        let config = cluster.config(2);
        refused(&["serve", "--config", config.to_str().unwrap(), "--data", data.to_str().unwrap()])
    };
    let (code, said) = as_node_2(&cluster.data(1));
    assert!(code == 4 && said.contains("node"), "of another node: {said}");
    let (code, said) = as_node_2(&other.data(1));
    assert!(code == 4 && said.contains("of node 1"), "of another cluster, and of another node: {said}");
    let config = cluster.config(1);
    let (code, said) =
        refused(&["serve", "--config", config.to_str().unwrap(), "--data", other.data(1).to_str().unwrap()]);
    assert!(code == 4 && said.contains("of cluster"), "of another cluster: {said}");
    let empty = Directory::new();
    let (code, said) = as_node_2(empty.path());
    assert!(code == 4 && said.contains("init"), "not initialised: {said}");
    let (code, said) = as_node_2(&empty.path().join("absent"));
    assert_eq!(code, 4, "not there: {said}");

    cluster.launch(1);
    cluster.launch(2);
    cluster.wait_ready(1);
    // Other ports, so that the directory is what is in the way.
    let config = cluster.config(1);
    let arguments = [
        "serve",
        "--config",
        config.to_str().unwrap(),
        "--http",
        "127.0.0.1:0",
        "--raft",
        "127.0.0.1:0",
        "--line",
        "127.0.0.1:0",
    ];
    let held = format!("{}: another process", cluster.data(1).display());
    let (code, said) = refused(&arguments);
    assert!(code == 4 && said.contains(&held), "in use: {said}");
    // The same start twice, as by hand: the directory is named, not the ports that its node has.
    let (code, said) = serve(&config);
    assert!(code == 4 && said.contains(&held) && said.contains("stop that one"), "in use: {said}");
}

#[test]
fn a_port_in_use_is_told_before_anything_else() {
    let cluster = Cluster::init(1);
    let address = |port: u16| format!("127.0.0.1:{port}");
    for (port, what) in [(cluster.http[0], "HTTP"), (cluster.line[0], "line protocol")] {
        let kept = TcpListener::bind(address(port)).unwrap();
        let (code, said) = serve(&cluster.config(1));
        assert!(code == 5 && said.contains(&address(port)) && said.contains(what), "{said}");
        drop(kept);
    }
    let kept = UdpSocket::bind(address(cluster.raft[0])).unwrap();
    let (code, said) = serve(&cluster.config(1));
    assert!(code == 5 && said.contains(&address(cluster.raft[0])), "{said}");
    drop(kept);
}

#[test]
fn the_log_tells_in_words() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let follows = format!("leader={leader}");
    for id in 1..=3 {
        let log = eventually("every node knows the leader", || {
            let log = cluster.log(id);
            (id == leader || log.contains(&follows)).then_some(log)
        });
        assert!(log.contains("recovered the data directory") && log.contains("torn_batches_cut=0"), "{log}");
    }
    assert_eq!(cluster.ask(leader, "POST", "/shutdown", "").status, 200);
    assert_eq!(cluster.wait_end(leader), Some(0));
    for id in 1..=3 {
        let log = cluster.log(id);
        for debug in ["Some(", "None", " { ", "RecoveryReport", "Candidate"] {
            assert!(!log.contains(debug), "{debug:?} is Rust's: {log}");
        }
    }
}

#[test]
fn a_directory_is_made_once() {
    let cluster = Cluster::init(1);
    let directory = cluster.directory.path().to_str().unwrap().to_owned();
    let (code, said) =
        refused(&["init", "cluster", "--data", &directory, "--node", "1=127.0.0.1:1,127.0.0.1:2"]);
    assert!(code == 4 && said.contains("node-1"), "{said}");
    let twice =
        ["init", "cluster", "--data", "x", "--node", "1=127.0.0.1:1,127.0.0.1:2", "--node", "1=127.0.0.1:3"];
    assert_eq!(refused(&twice).0, 2);
}

#[test]
fn a_failed_disk_ends_the_node_with_a_code_of_its_own_and_loses_nothing() {
    let mut cluster = Cluster::init(1);
    cluster.launch_limitable(1);
    cluster.wait_ready(1);
    assert_eq!(cluster.command(1, "SET before safe").status, 200);
    // From here on, writes beyond the first MiB of a file fail.
    let pid = cluster.pid(1).to_string();
    assert!(Command::new("prlimit").args(["--fsize=1048576", "--pid", &pid]).status().unwrap().success());
    let value = "x".repeat(300_000);
    let mut answered = 0;
    let failed = (0..10).find_map(|n| {
        let answer = cluster.command(1, &format!("SET big-{n} {value}"));
        if answer.status != 200 {
            return Some(answer);
        }
        answered = n + 1;
        None
    });
    let failed = failed.unwrap();
    assert!(matches!(failed.status, 503 | 504), "{}", failed.body);
    assert!((1..5).contains(&answered), "{answered} writes of 300 kB fit in a MiB");
    assert_eq!(cluster.wait_end(1), Some(3), "{}", cluster.log(1));
    assert!(cluster.log(1).contains("disk failed"), "{}", cluster.log(1));

    cluster.launch(1);
    cluster.wait_ready(1);
    assert_eq!(cluster.command(1, "GET before").json()["value"], "safe");
    for n in 0..answered {
        assert_eq!(cluster.command(1, &format!("GET big-{n}")).json()["value"], value, "answer {n}");
    }
}

#[test]
fn damage_is_told_and_not_served() {
    let mut cluster = Cluster::start(1);
    for n in 0..10 {
        assert_eq!(cluster.command(1, &format!("SET k{n} v")).status, 200);
    }
    assert_eq!(cluster.ask(1, "POST", "/shutdown", "").status, 200);
    assert_eq!(cluster.wait_end(1), Some(0));
    let directory = cluster.data(1);
    assert!(run(&["journal", "verify", directory.to_str().unwrap()]).status.success());
    let segments = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.filter(|path| path.to_str().unwrap().contains("segment-")).max().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    // Inside the first batch: long synced.
    bytes[1_024 + 100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (code, said) = refused(&["journal", "verify", directory.to_str().unwrap()]);
    assert!(code == 4 && said.contains("damaged at byte"), "{said}");
    let (code, said) = serve(&cluster.config(1));
    assert!(code == 4 && said.contains("segment-"), "{said}");
}

#[test]
fn nodes_that_are_made_one_by_one_make_a_cluster() {
    let mut cluster = Cluster::init(2);
    let directory = Directory::new();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let said = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    said(&["init", "secret", &at("secret")]);
    assert!(refused(&["init", "secret", &at("secret")]).1.contains("secret"), "a secret is not overwritten");
    let first = said(&["init", "node", "--id", "1", "--data", &at("one")]);
    let second = said(&["init", "node", "--id", "2", "--data", &at("two")]);
    let (code, why) = refused(&["init", "node", "--id", "2", "--data", &at("two")]);
    assert!(code == 4 && why.contains("not empty"), "{why}");
    directory.write("lines", &format!("{first}\n{second}"));
    let record = said(&["init", "record", "--members", &at("lines")]);
    directory.write("record", &record);
    let broken = directory.write("broken", &record.replace("member 2", "member 3"));
    let (code, why) = refused(&["init", "found", "--data", &at("one"), "--record", broken.to_str().unwrap()]);
    assert!(code == 2 && why.contains("broken"), "{why}");
    for (id, data) in [(1, at("one")), (2, at("two"))] {
        let serve = |cluster: &Cluster| {
            let config = cluster.config(id).to_str().unwrap().to_owned();
            let (data, secret) = (data.clone(), at("secret"));
            ["--config".into(), config, "--data".into(), data, "--secret-file".into(), secret]
        };
        let flags = serve(&cluster);
        let mut arguments: Vec<&str> = vec!["serve"];
        arguments.extend(flags.iter().map(String::as_str));
        let (code, why) = refused(&arguments);
        assert!(code == 4 && why.contains("initialise it first"), "minted, not founded: {why}");
        said(&["init", "found", "--data", &data, "--record", &at("record")]);
        // The configuration is of the cluster that was made at once, and says so.
        let (code, why) = refused(&arguments);
        assert!(code == 4 && why.contains("of cluster"), "{why}");
        let text = std::fs::read_to_string(cluster.config(id)).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("cluster")).collect();
        std::fs::write(cluster.config(id), lines.join("\n")).unwrap();
        cluster.launch_with(id, &flags.iter().map(String::as_str).collect::<Vec<_>>());
    }
    cluster.wait_ready(1);
    assert_eq!(cluster.command(2, "SET k v").status, 200);
    assert_eq!(cluster.command(1, "GET k").json()["value"], "v");
}

#[test]
fn a_node_with_another_secret_is_not_heard_until_it_has_the_right_one() {
    let mut cluster = Cluster::init(3);
    let directory = cluster.directory.path().to_path_buf();
    let wrong = directory.join("wrong");
    assert!(run(&["init", "secret", wrong.to_str().unwrap()]).status.success());
    cluster.launch(1);
    cluster.launch(2);
    let config = cluster.config(3).to_str().unwrap().to_owned();
    cluster.launch_with(3, &["--config", &config, "--secret-file", wrong.to_str().unwrap()]);
    cluster.wait_ready(1);
    assert_eq!(cluster.command(1, "SET k v").status, 200);
    let peer = eventually("its datagrams are dropped and counted", || {
        let metrics = cluster.ask(1, "GET", "/metrics", "").body;
        let line =
            metrics.lines().find(|line| line.starts_with("raft_dropped_total") && line.contains("bad_mac"));
        line.map(str::to_owned)
    });
    assert!(!peer.ends_with(" 0"), "{peer}");
    assert_ne!(cluster.ask(3, "GET", "/readyz", "").status, 200);
    let connections = cluster.ask(3, "GET", "/connections", "").json();
    assert!(connections[0]["session"].as_str().unwrap().starts_with("none"), "{connections}");
    cluster.kill(3);

    // Rotation: the nodes accept another secret first; then one that knows only that one is heard.
    let text = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    std::fs::write(directory.join("cluster-secret"), text("cluster-secret") + &text("wrong")).unwrap();
    for id in [1, 2] {
        cluster.kill(id);
        cluster.launch(id);
    }
    cluster.launch_with(3, &["--config", &config, "--secret-file", wrong.to_str().unwrap()]);
    cluster.wait_ready(3);
    assert_eq!(cluster.command(3, "GET k").json()["value"], "v");
}
