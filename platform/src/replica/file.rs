//! Opens the file of a store: under a lock, and only if every page of it is as it was written.

use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, StorageError};

use super::store::StoreError;

/// Why a file could not be opened.
pub(super) enum Unopened {
    /// Another process has it.
    Taken,
    /// The file may be well; the system does not let us at it.
    Barred(std::io::Error),
    /// It is no store, or none that is whole.
    Unusable(String),
}

impl Unopened {
    pub(super) fn at(self, path: PathBuf) -> StoreError {
        match self {
            Self::Taken => StoreError::Taken(path),
            Self::Barred(source) => StoreError::Folder { path, source },
            Self::Unusable(wrong) => {
                StoreError::Folder { path, source: std::io::Error::other(wrong) }
            }
        }
    }
}

fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

/// Opens the file and checks every page of it. A damaged one may also panic.
pub(super) fn database(path: &Path, cache_bytes: usize) -> Result<Database, Unopened> {
    let open = || {
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true).create(path)
    };
    match std::panic::catch_unwind(open) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch)) => {
            Err(Unopened::Taken)
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) if !is_damage(&error) => {
            Err(Unopened::Barred(error))
        }
        Ok(Err(error)) => Err(Unopened::Unusable(error.to_string())),
        Err(_) => Err(Unopened::Unusable("it is damaged".to_owned())),
    }
}
