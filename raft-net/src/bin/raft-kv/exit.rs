//! What the process ends with.

use std::process::ExitCode;

/// Exit codes; the README lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok,
    /// Something without a code of its own: the error text says what.
    Other,
    /// Wrong arguments or configuration.
    Usage,
    /// The disk failed while the node ran. Start it again: it recovers from what is durable.
    DiskFailed,
    /// The data directory is damaged beyond what peers can repair, not initialised, of another node or cluster, or in use.
    Directory,
    /// An address can't be listened on.
    Address,
    /// The key does not exist.
    NotFound,
    /// No node could do it now, and nothing happened: it can be tried again.
    Unavailable,
    /// Nobody knows whether the command was or will be applied.
    Unknown,
    /// The state is not as the command needs it: compare-and-set, `If-Match`, not a number.
    Conflict,
}

impl Exit {
    /// The number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Other => 1,
            Exit::Usage => 2,
            Exit::DiskFailed => 3,
            Exit::Directory => 4,
            Exit::Address => 5,
            Exit::NotFound => 6,
            Exit::Unavailable => 7,
            Exit::Unknown => 8,
            Exit::Conflict => 9,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}

/// An error that ends the process: what it prints, and its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fatal {
    /// The code.
    pub(crate) exit: Exit,
    /// What happened, to what, what to do.
    pub(crate) what: String,
}

impl Fatal {
    /// With a code and a text.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Fatal {
        Fatal { exit, what: what.into() }
    }

    /// An error of the system with what was being done.
    pub(crate) fn io(doing: impl std::fmt::Display, error: &std::io::Error) -> Fatal {
        Fatal::new(Exit::Other, format!("{doing}: {error}"))
    }
}
