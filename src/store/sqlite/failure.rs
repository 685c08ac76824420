//! What a failed statement says to the rest of the service.

use rusqlite::ErrorCode;

use crate::store::StoreError;

pub(super) fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

/// Says what SQLite said, without the statement and its values.
pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(code, _) = error else {
        return StoreError::Corrupt("a row of the database has another shape".to_owned());
    };
    match code.code {
        ErrorCode::DiskFull => StoreError::Full,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(code.to_string()),
        _ => StoreError::Unavailable(code.to_string()),
    }
}
