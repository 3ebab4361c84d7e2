//! How a command can end badly: one variant for each exit code, so that scripts can tell them
//! apart. Never prints anything but the one line of an error.

use std::process::ExitCode;

use millrace::RegistryError;
use millrace::admin::AdminError;
use ops::ClientError;
use ops::databases::DatabaseError;
use ops::dead::PlanError;

/// What whoever reaches nobody can do.
const HOW_TO_START: &str = "start everything on this machine with `millrace dev`, or say where it \
                            runs with --endpoints FILE";

/// A command that did not do what was asked. Any other error counts as [`Failure::Failed`].
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Exit code 2: the arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// Exit code 3: there is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Exit code 4: what is there does not allow it.
    #[error("{0}")]
    Refused(String),
    /// Exit code 5: nobody answers.
    #[error("{0}; {HOW_TO_START}")]
    Unreachable(String),
    /// Exit code 10: the command did its work, and found something wrong.
    #[error("{0}")]
    CheckFailed(String),
    /// Exit code 130, as a shell has it: somebody pressed Ctrl-C.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

impl Failure {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Refused(_) => 4,
            Self::Unreachable(_) => 5,
            Self::CheckFailed(_) => 10,
            Self::Interrupted => 130,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::Unreachable { .. } => Self::Unreachable(text),
            ClientError::NotFound { .. } => Self::NotFound(text),
            ClientError::Refused { .. } => Self::Refused(text),
            ClientError::Failed { .. } => Self::Failed(text),
        }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let text = error.to_string();
        match error {
            AdminError::Unreachable { .. } | AdminError::TooSlow { .. } => Self::Unreachable(text),
            AdminError::NoTopic(_) => Self::NotFound(text),
            AdminError::Refused { .. } | AdminError::OtherPartitions { .. } => Self::Refused(text),
            AdminError::Settings(_) => Self::Usage(text),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let text = error.to_string();
        match error {
            RegistryError::Unavailable { .. } => Self::Unreachable(text),
            RegistryError::Missing { .. } => Self::NotFound(text),
            RegistryError::Refused { .. } => Self::Refused(text),
            RegistryError::Unusable { .. } => Self::Failed(text),
        }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        let text = error.to_string();
        match error {
            DatabaseError::Unknown { .. } => Self::Usage(text),
            DatabaseError::Unreachable { .. } => Self::Unreachable(text),
            DatabaseError::NotPrepared { .. } => Self::Refused(text),
            DatabaseError::Failed { .. } => Self::Failed(text),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let text = error.to_string();
        match error {
            PlanError::Database(error) => error.into(),
            PlanError::Registry(error) => error.into(),
            PlanError::Ambiguous { .. } => Self::Usage(text),
            PlanError::Misfit { .. } => Self::Refused(text),
        }
    }
}

/// Says on standard error what went wrong, with its causes, and gives the exit code.
pub(crate) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    ExitCode::from(failure.map_or(1, Failure::code))
}
