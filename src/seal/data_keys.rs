//! The data keys of one scope: the newest seals, all open.

use rand::CryptoRng;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    context::{self, Place},
    envelope::{self, Failure, OVERHEAD},
    key::Key,
};
use crate::model::Sealed;

pub(super) const VERSION: u8 = 1;
const HEADER: usize = 1 + 16;

/// The unwrapped data keys of one scope.
#[derive(Debug)]
pub struct DataKeySet {
    environment: String,
    /// Oldest first, never empty.
    keys: Vec<DataKey>,
}

/// A data key in memory.
#[derive(Debug)]
pub(super) struct DataKey {
    pub(super) id: Uuid,
    pub(super) key: Key,
}

/// Why a sealed value did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was sealed under a data key that is not in this set.
    #[error("sealed under the data key {0}, which is not known here")]
    UnknownKey(Uuid),
    /// It was altered, or sealed for another place or environment.
    #[error("the sealed value was altered, or belongs elsewhere")]
    BadTag,
    /// It is not a sealed value.
    #[error("not a sealed value")]
    Malformed,
}

impl DataKeySet {
    /// `None`: a set has at least one key.
    pub(super) fn new(environment: String, keys: Vec<DataKey>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self { environment, keys })
    }

    /// Seals `plaintext` for `place` under the newest key.
    pub fn seal(&self, place: &Place, plaintext: &[u8], rng: &mut (impl CryptoRng + ?Sized)) -> Sealed {
        let DataKey { id, key } = self.newest();
        let context = context::value(&self.environment, *id, place);
        let mut blob = Vec::with_capacity(HEADER + OVERHEAD + plaintext.len());
        blob.push(VERSION);
        blob.extend_from_slice(id.as_bytes());
        blob.extend(envelope::seal(key, &context, plaintext, rng));
        Sealed(blob)
    }

    /// Opens a value sealed for `place`. The key is selected by the id in the blob, never by trial.
    pub fn open(&self, place: &Place, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (id, record) = parse(&sealed.0).ok_or(OpenError::Malformed)?;
        let DataKey { key, .. } =
            self.keys.iter().find(|key| key.id == id).ok_or(OpenError::UnknownKey(id))?;
        let context = context::value(&self.environment, id, place);
        envelope::open(key, &context, record).map_err(|failure| match failure {
            Failure::Malformed => OpenError::Malformed,
            Failure::OtherKey | Failure::Altered => OpenError::BadTag,
        })
    }

    /// The ids of the keys, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.keys.iter().map(|key| key.id)
    }

    fn newest(&self) -> &DataKey {
        self.keys.last().expect("a set has at least one key")
    }

    /// The key that was there from the start: what must never change hangs on it.
    pub(super) fn oldest(&self) -> &Key {
        &self.keys.first().expect("a set has at least one key").key
    }
}

/// The id of the data key that sealed a value; `None` where it is not a sealed value.
#[must_use]
pub fn data_key_id(sealed: &Sealed) -> Option<Uuid> {
    parse(&sealed.0).map(|(id, _)| id)
}

fn parse(blob: &[u8]) -> Option<(Uuid, &[u8])> {
    let (&[version], rest) = blob.split_first_chunk::<1>()?;
    let (id, record) = rest.split_first_chunk::<16>()?;
    (version == VERSION && record.len() >= OVERHEAD).then(|| (Uuid::from_bytes(*id), record))
}
