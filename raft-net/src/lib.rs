//! Runs raft-core on UDP sockets and files. Not built yet.
