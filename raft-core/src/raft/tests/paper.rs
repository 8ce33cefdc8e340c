//! The Raft paper ("In Search of an Understandable Consensus Algorithm", extended version) and Ongaro's thesis,
//! sentence by sentence: each test quotes the one that it proves.

mod client;
mod commit;
mod election;
mod replication;
mod terms;
