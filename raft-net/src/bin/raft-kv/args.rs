//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::NodeAddresses;

/// A replicated key-value store: HTTP and a line protocol in front of a Raft cluster over UDP.
#[derive(Debug, Parser)]
#[command(name = "raft-kv", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 other, 2 usage or configuration, 3 disk failed, 4 data directory refused (damaged beyond what peers \
can repair, not initialised, another node's, in use), 5 address can't be listened on, 6 key does not exist, 7 unavailable and nothing happened, \
8 outcome unknown, 9 conflict.

Try it: raft-kv demo";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Start a whole cluster on this machine, and say how to talk to it.
    Demo(DemoArguments),
    /// Run one node.
    Serve(ServeArguments),
    /// Make the data directories of a new cluster: identities, keys and founding record.
    #[command(subcommand)]
    Init(InitAction),
    /// Show every node.
    Status(ClientArguments),
    /// Read a key.
    Get(GetArguments),
    /// Write a key.
    Put(PutArguments),
    /// Delete a key.
    Del(DelArguments),
    /// Add to a number.
    Incr(IncrArguments),
    /// Look at a data directory.
    #[command(subcommand)]
    Journal(JournalAction),
    /// Measure durable writes and linearizable reads on 3 nodes, beside the raw disk and network.
    Bench(BenchArguments),
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How many nodes: 1 to 9.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(crate) nodes: Option<u64>,
    /// Keep everything here, for the next time; without it everything is gone at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// HTTP of node 1; the others follow.
    #[arg(long, default_value_t = 8001, value_name = "PORT")]
    pub(crate) http_port: u16,
    /// UDP of node 1; the others follow.
    #[arg(long, default_value_t = 7001, value_name = "PORT")]
    pub(crate) raft_port: u16,
    /// Line protocol of node 1; the others follow.
    #[arg(long, default_value_t = 9001, value_name = "PORT")]
    pub(crate) line_port: u16,
}

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// TOML, or JSON if its name ends so. Flags win over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which node this is.
    #[arg(long)]
    pub(crate) id: Option<u64>,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where HTTP listens.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) http: Option<String>,
    /// Where peers are heard (UDP).
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) raft: Option<String>,
    /// Where the line protocol listens.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) line: Option<String>,
    /// A node of the cluster, this one too; once for each. Replaces the file's nodes.
    #[arg(long = "node", value_name = "ID=RAFT[,HTTP[,LINE]]")]
    pub(crate) nodes: Vec<NodeAddresses>,
    /// Where the log goes; standard error without it.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// A follower that hears nothing for one to two of these campaigns.
    #[arg(long, value_name = "MS")]
    pub(crate) election_timeout_ms: Option<u64>,
    /// A leader is heard at least this often.
    #[arg(long, value_name = "MS")]
    pub(crate) heartbeat_ms: Option<u64>,
    /// A snapshot is taken when the log has grown by so much.
    #[arg(long, value_name = "KIB")]
    pub(crate) snapshot_after_kib: Option<u64>,
    /// Don't pass commands on to the leader: tell clients where it is.
    #[arg(long)]
    pub(crate) no_forwarding: bool,
    /// A file with the token that clients must show.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A file with the secret that all nodes share.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The cluster that the data directory must be of: 16 hex digits.
    #[arg(long, value_name = "HEX")]
    pub(crate) cluster: Option<String>,
    /// Stop when standard input ends: a node that a demo started does not outlive it.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
}

/// `init`.
#[derive(Debug, Subcommand)]
pub(crate) enum InitAction {
    /// All nodes at once: DIR/node-N for the data, DIR/node-N.toml to serve it with, DIR/cluster-secret for all.
    Cluster {
        /// Where.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// A node; once for each.
        #[arg(long = "node", value_name = "ID=RAFT[,HTTP[,LINE]]", required = true)]
        nodes: Vec<NodeAddresses>,
        /// Do nothing if the configurations of all nodes are there.
        #[arg(long)]
        if_needed: bool,
    },
    /// Where nodes are made one by one, first: the secret that all of them share, in a new file.
    Secret {
        /// The new file; copy it to every node.
        file: PathBuf,
    },
    /// Second, on each machine: a data directory with a key of its own. Prints the line that the others know it by.
    Node {
        /// Its number.
        #[arg(long)]
        id: u64,
        /// The data directory; absent or empty.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Third, once: prints the founding record of the nodes whose lines a file holds.
    Record {
        /// The lines that `init node` printed, of every node.
        #[arg(long, value_name = "FILE")]
        members: PathBuf,
    },
    /// Fourth, on each machine: makes the data directory a founding member. It can be served then.
    Found {
        /// The data directory that `init node` made.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The founding record, the same on all machines.
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
    },
}

/// `journal`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalAction {
    /// Read everything, check every checksum, change nothing.
    Verify {
        /// The data directory of a node that does not run.
        directory: PathBuf,
        /// How to print it.
        #[arg(short, long, default_value = "table")]
        output: Output,
    },
}

/// What every client command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClientArguments {
    /// Nodes to ask, in order of preference.
    #[arg(
        long = "node",
        env = "RAFT_KV_NODES",
        value_delimiter = ',',
        default_value = "127.0.0.1:8001",
        value_name = "HOST:PORT"
    )]
    pub(crate) nodes: Vec<String>,
    /// A file with the token, if the nodes want one.
    #[arg(long, env = "RAFT_KV_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How to print it.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// The key.
    pub(crate) key: String,
    /// Answer from this node's state, which may be old.
    #[arg(long)]
    pub(crate) stale: bool,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

/// What every change takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChangeArguments {
    /// Only if the key has this version.
    #[arg(long, value_name = "VERSION", conflicts_with = "if_absent")]
    pub(crate) if_version: Option<u64>,
    /// Only if the key does not exist.
    #[arg(long)]
    pub(crate) if_absent: bool,
    /// Makes it safe to repeat: SESSION.SEQUENCE (see POST /session).
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
}

/// `put`.
#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    /// The key.
    pub(crate) key: String,
    /// Its new value.
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

/// `del`.
#[derive(Debug, Args)]
pub(crate) struct DelArguments {
    /// The key.
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

/// `incr`.
#[derive(Debug, Args)]
pub(crate) struct IncrArguments {
    /// The key.
    pub(crate) key: String,
    /// How much to add.
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    pub(crate) by: i64,
    /// Makes it safe to repeat: SESSION.SEQUENCE (see POST /session).
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArguments,
}

/// `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// How many clients, one run after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    pub(crate) clients: Vec<usize>,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub(crate) nodes: u64,
    /// Operations of each client in a run; a lone client makes three times as many.
    #[arg(long, default_value_t = 250)]
    pub(crate) operations: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 256)]
    pub(crate) value_bytes: usize,
    /// What the clients speak.
    #[arg(long, default_value = "line")]
    pub(crate) via: Via,
    /// Spread the clients over all nodes, instead of the leader alone.
    #[arg(long)]
    pub(crate) spread: bool,
    /// Where the data goes: a directory on the disk to be measured.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// How to print it.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Output,
}

/// A protocol of the benchmark's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// The line protocol, one connection a client.
    Line,
    /// HTTP/1.1, one connection a client.
    Http,
}
