//! Why a subcommand ended early, in one line that says what was met and what to do.

use also_cache::StartError;
use std::path::PathBuf;
use std::process::ExitCode;

/// Shorthand of this command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a subcommand ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// The cache could not be opened.
    #[error("the cache did not open: {0}")]
    Open(#[from] also_cache::OpenError),
    /// The node could not be started.
    #[error("the node did not start: {0}")]
    Start(#[from] StartError),
    /// A system call on a file failed.
    #[error("{}: {doing} failed: {error}", path.display())]
    File { path: PathBuf, doing: &'static str, error: std::io::Error },
    /// A trace could not be read to its end.
    #[error("{}: {problem}", path.display())]
    Trace { path: PathBuf, problem: String },
    /// An option has a value that makes no sense here.
    #[error("--{option} is {met}: {bound}")]
    Option { option: &'static str, met: String, bound: String },
    /// A process started for one measurement or as the demo's victim did not do its part.
    #[error("the process for {what} {problem}")]
    Child { what: String, problem: String },
    /// Standard output or a pipe broke.
    #[error("writing the report failed: {0}")]
    Output(#[from] std::io::Error),
    /// A report could not be written as JSON, or a child's could not be read.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Something that must hold did not; the report above says what.
    #[error("{0}")]
    Wrong(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// 1 where something is wrong, 2 where an option is, 130 after Ctrl-C as shells expect.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Option { .. } => ExitCode::from(2),
            Self::Start(error) if is_of_an_option(error) => ExitCode::from(2),
            Self::Interrupted => ExitCode::from(130),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Whether it is what was asked for that is wrong, not what was met.
fn is_of_an_option(error: &StartError) -> bool {
    matches!(
        error,
        StartError::Name { .. }
            | StartError::ListenAddress { .. }
            | StartError::Advertise { .. }
            | StartError::Seed { .. }
            | StartError::Seeds { .. }
            | StartError::NoSecret { .. }
            | StartError::Secrets { .. }
            | StartError::SecretsAndPlaintext
            | StartError::PlaintextAddress { .. }
    )
}
