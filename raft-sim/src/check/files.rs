//! Histories in files: two foreign formats, and our own.

mod edn;
mod etcd;
mod jsonl;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use jsonl::export;

use super::history::HistoryError;
use super::kv::{KvHistory, KvModel, stats};
use super::report::Report;
use super::{Budget, check};

/// How to read a file, and what to check it against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileModel {
    /// Strings by key, checked key by key.
    Kv,
    /// The same, checked as one object.
    KvNopart,
    /// A log of Jepsen's etcd test: one register.
    Etcd,
}

impl std::str::FromStr for FileModel {
    type Err = String;

    fn from_str(name: &str) -> Result<FileModel, String> {
        match name {
            "kv" => Ok(FileModel::Kv),
            "kv-nopart" => Ok(FileModel::KvNopart),
            "etcd" => Ok(FileModel::Etcd),
            other => Err(format!("no model is called {other:?}; use kv, kv-nopart or etcd")),
        }
    }
}

/// Why a file can't be checked.
#[derive(Debug)]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1 on; `None` if the file can't be read at all.
    pub line: Option<u64>,
    /// What is wrong, and what to do.
    pub problem: InputProblem,
}

/// What is wrong with a line or a file.
#[derive(Debug)]
pub enum InputProblem {
    /// The file can't be read.
    Unreadable(std::io::Error),
    /// The line is not in the format; the words say what was expected.
    Malformed(String),
    /// The line is well-formed, but can't follow the lines before it.
    Impossible(HistoryError),
}

impl fmt::Display for InputProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputProblem::Unreadable(error) => {
                write!(f, "can't be read: {error}; check the path and the format")
            }
            InputProblem::Malformed(what) => write!(f, "{what}"),
            InputProblem::Impossible(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.problem),
            None => write!(f, "{}: {}", self.path.display(), self.problem),
        }
    }
}

impl std::error::Error for InputError {}

impl From<HistoryError> for InputProblem {
    fn from(error: HistoryError) -> InputProblem {
        InputProblem::Impossible(error)
    }
}

/// What the readers of lines answer: the line that is wrong, and how.
type LineResult<T> = Result<T, (u64, InputProblem)>;

/// A decompressed file can't be larger: 4 GiB.
const FILE_BYTES_MAX: u64 = 1 << 32;

/// Reads and checks a file, with the default budget.
///
/// # Errors
/// When the file can't be read or is no history.
pub fn check_file(path: impl AsRef<Path>, model: FileModel) -> Result<Report, InputError> {
    let (history, kv_model) = read_file(path, model)?;
    let report = check(kv_model, &history, Budget::default());
    Ok(Report { stats: stats(&history), ..report })
}

/// Reads a file. A name that ends in `.gz` is decompressed; one that then ends in `.jsonl` is in our own format
/// (see [`export`]), whatever the model; all others are in the format of the model.
///
/// # Errors
/// When the file can't be read or is no history.
pub fn read_file(path: impl AsRef<Path>, model: FileModel) -> Result<(KvHistory, KvModel), InputError> {
    let path = path.as_ref();
    let text = read_text(path).map_err(|error| InputError {
        path: path.to_owned(),
        line: None,
        problem: InputProblem::Unreadable(error),
    })?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let jsonl = name.trim_end_matches(".gz").ends_with(".jsonl");
    let read = if jsonl { jsonl::read(&text) } else { read_lines(&text, model) };
    let (history, kv_model) =
        read.map_err(|(line, problem)| InputError { path: path.to_owned(), line: Some(line), problem })?;
    let whole = model == FileModel::KvNopart;
    Ok((history, if whole { kv_model.without_parts() } else { kv_model }))
}

/// Reads a history in our own format from memory.
///
/// # Errors
/// When the text is no history.
pub fn read_history(text: &str) -> Result<(KvHistory, KvModel), InputError> {
    jsonl::read(text).map_err(|(line, problem)| InputError {
        path: PathBuf::from("(memory)"),
        line: Some(line),
        problem,
    })
}

fn read_lines(text: &str, model: FileModel) -> LineResult<(KvHistory, KvModel)> {
    match model {
        FileModel::Kv | FileModel::KvNopart => Ok((edn::read(text)?, KvModel::starting_with(""))),
        FileModel::Etcd => Ok((etcd::read(text)?, KvModel::new())),
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(file).take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}
