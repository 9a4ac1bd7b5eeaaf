//! Reading the record of who was given which token.

use std::{fs, io::ErrorKind, path::Path};

use super::{
    JournalError, Record, directory,
    frame::{self, Found},
};
use crate::model::Issuance;

/// Who was given which generation, in the order in which it was written. Takes no lock: a broker may be writing. What a
/// power failure took from the end is absent; what a replica could not write, it has counted.
pub fn issuances(folder: &Path) -> Result<Vec<Issuance>, JournalError> {
    let mut issuances = Vec::new();
    for (number, path) in directory::segments(folder)? {
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue, // past the horizon meanwhile
            read => read.map_err(JournalError::io("read", &path))?,
        };
        issuances.extend(frame::scan(number, &bytes).into_iter().filter_map(|found| match found {
            Found::Frame { kind, payload, .. } => match Record::decode(kind, payload) {
                Ok(Some(Record::Issued(issuance))) => Some(issuance),
                _ => None,
            },
            _ => None,
        }));
    }
    Ok(issuances)
}
