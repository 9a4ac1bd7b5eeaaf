//! The stable form of what is kept: protobuf, so that a field that a newer version adds does not keep an older one
//! from reading. The Redis escrow holds the same bytes.

use prost::Message;
use uuid::Uuid;

use crate::model::{
    AccessToken, AttemptId, Burn, ConnectionUid, Fingerprint, Generation, Issuance, NonceHash, RawAnswer,
    Receipt, RefreshToken, Sealed, Successor, TenantUid, Timestamp, Tokens,
};

/// Raised when an older version would read the new form wrongly, not when a field is added.
const VERSION: u32 = 1;

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not protobuf, or of another message.
    #[error("the record is garbled")]
    Garbled(#[source] prost::DecodeError),
    /// Written by a newer version of the broker.
    #[error("the record is of version {0}, which is not known here")]
    Version(u32),
    /// Of a kind that only a newer version of the broker knows.
    #[error("the record is of kind {0}, which is not known here")]
    Kind(u8),
    /// A field that must be there is absent or has an impossible value.
    #[error("the record has no valid `{0}`")]
    Field(&'static str),
}

impl Receipt {
    /// The bytes of a receipt.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { tenant, connection, burn, parent, received_at, tokens } = self;
        ReceiptForm {
            version: VERSION,
            tenant: tenant.0.into(),
            connection: connection.0.into(),
            burn: Some(burn.into()),
            parent: parent.0.into(),
            received_at: received_at.as_micros(),
            access: tokens.access.as_ref().map(AccessForm::from),
            successor: Some((&tokens.refresh).into()),
        }
        .encode_to_vec()
    }

    /// Reads [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let form = ReceiptForm::decode(bytes).map_err(Unreadable::Garbled)?;
        known(form.version)?;
        Ok(Self {
            tenant: TenantUid(uid(&form.tenant, "tenant")?),
            connection: ConnectionUid(uid(&form.connection, "connection")?),
            burn: form.burn.ok_or(Unreadable::Field("burn"))?.read()?,
            parent: Fingerprint(hash(&form.parent, "parent")?),
            received_at: Timestamp::from_micros(form.received_at),
            tokens: Tokens {
                access: form.access.map(AccessForm::read),
                // Absent is not `Missing`: what is not understood must not end a grant.
                refresh: form.successor.ok_or(Unreadable::Field("successor"))?.read()?,
            },
        })
    }
}

impl RawAnswer {
    /// The bytes of a raw answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { tenant, connection, burn, received_at, sealed } = self;
        RawForm {
            version: VERSION,
            tenant: tenant.0.into(),
            connection: connection.0.into(),
            burn: Some(burn.into()),
            received_at: received_at.as_micros(),
            sealed: sealed.0.clone(),
        }
        .encode_to_vec()
    }

    /// Reads [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let form = RawForm::decode(bytes).map_err(Unreadable::Garbled)?;
        known(form.version)?;
        Ok(Self {
            tenant: TenantUid(uid(&form.tenant, "tenant")?),
            connection: ConnectionUid(uid(&form.connection, "connection")?),
            burn: form.burn.ok_or(Unreadable::Field("burn"))?.read()?,
            received_at: Timestamp::from_micros(form.received_at),
            sealed: Sealed(form.sealed),
        })
    }
}

impl Issuance {
    /// The bytes of an issuance.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { at, principal, connection, generation } = self;
        IssuanceForm {
            version: VERSION,
            at: at.as_micros(),
            principal: principal.clone(),
            connection: connection.0.into(),
            generation: generation.0,
        }
        .encode_to_vec()
    }

    /// Reads [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let form = IssuanceForm::decode(bytes).map_err(Unreadable::Garbled)?;
        known(form.version)?;
        Ok(Self {
            at: Timestamp::from_micros(form.at),
            principal: form.principal,
            connection: ConnectionUid(uid(&form.connection, "connection")?),
            generation: Generation(form.generation),
        })
    }
}

/// The bytes of a mark: the database has it, or will never want it.
pub(super) fn encode_closed(attempt: AttemptId, at: Timestamp) -> Vec<u8> {
    ClosedForm { version: VERSION, attempt: attempt.0.into(), at: at.as_micros() }.encode_to_vec()
}

/// Reads [`encode_closed`].
pub(super) fn decode_closed(bytes: &[u8]) -> Result<(AttemptId, Timestamp), Unreadable> {
    let form = ClosedForm::decode(bytes).map_err(Unreadable::Garbled)?;
    known(form.version)?;
    Ok((AttemptId(uid(&form.attempt, "attempt")?), Timestamp::from_micros(form.at)))
}

fn known(version: u32) -> Result<(), Unreadable> {
    if (1..=VERSION).contains(&version) { Ok(()) } else { Err(Unreadable::Version(version)) }
}

fn uid(bytes: &[u8], field: &'static str) -> Result<Uuid, Unreadable> {
    Uuid::from_slice(bytes).map_err(|_| Unreadable::Field(field))
}

fn hash(bytes: &[u8], field: &'static str) -> Result<[u8; 32], Unreadable> {
    bytes.try_into().map_err(|_| Unreadable::Field(field))
}

// === the messages; a tag is never used again ===

#[derive(Clone, PartialEq, Message)]
struct ReceiptForm {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    tenant: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    connection: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    burn: Option<BurnForm>,
    #[prost(bytes = "vec", tag = "5")]
    parent: Vec<u8>,
    #[prost(int64, tag = "6")]
    received_at: i64,
    #[prost(message, optional, tag = "7")]
    access: Option<AccessForm>,
    #[prost(oneof = "SuccessorForm", tags = "8, 9, 10")]
    successor: Option<SuccessorForm>,
}

#[derive(Clone, PartialEq, Message)]
struct RawForm {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    tenant: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    connection: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    burn: Option<BurnForm>,
    #[prost(int64, tag = "6")]
    received_at: i64,
    #[prost(bytes = "vec", tag = "7")]
    sealed: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct IssuanceForm {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(int64, tag = "2")]
    at: i64,
    #[prost(string, tag = "3")]
    principal: String,
    #[prost(bytes = "vec", tag = "4")]
    connection: Vec<u8>,
    #[prost(uint64, tag = "5")]
    generation: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ClosedForm {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    attempt: Vec<u8>,
    #[prost(int64, tag = "3")]
    at: i64,
}

#[derive(Clone, PartialEq, Message)]
struct BurnForm {
    #[prost(bytes = "vec", tag = "1")]
    attempt: Vec<u8>,
    #[prost(uint64, tag = "2")]
    generation: u64,
    #[prost(bytes = "vec", tag = "3")]
    nonce: Vec<u8>,
    #[prost(string, tag = "4")]
    replica: String,
    #[prost(string, tag = "5")]
    cause: String,
}

impl From<&Burn> for BurnForm {
    fn from(burn: &Burn) -> Self {
        let Burn { attempt, generation, nonce, replica, cause } = burn;
        Self {
            attempt: attempt.0.into(),
            generation: generation.0,
            nonce: nonce.0.into(),
            replica: replica.clone(),
            cause: cause.clone(),
        }
    }
}

impl BurnForm {
    fn read(self) -> Result<Burn, Unreadable> {
        Ok(Burn {
            attempt: AttemptId(uid(&self.attempt, "burn.attempt")?),
            generation: Generation(self.generation),
            nonce: NonceHash(hash(&self.nonce, "burn.nonce")?),
            replica: self.replica,
            cause: self.cause,
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct AccessForm {
    #[prost(bytes = "vec", tag = "1")]
    sealed: Vec<u8>,
    #[prost(int64, tag = "2")]
    issued_at: i64,
    #[prost(int64, tag = "3")]
    expires_at: i64,
}

impl From<&AccessToken> for AccessForm {
    fn from(token: &AccessToken) -> Self {
        let AccessToken { sealed, issued_at, expires_at } = token;
        Self {
            sealed: sealed.0.clone(),
            issued_at: issued_at.as_micros(),
            expires_at: expires_at.as_micros(),
        }
    }
}

impl AccessForm {
    fn read(self) -> AccessToken {
        AccessToken {
            sealed: Sealed(self.sealed),
            issued_at: Timestamp::from_micros(self.issued_at),
            expires_at: Timestamp::from_micros(self.expires_at),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct RefreshForm {
    #[prost(bytes = "vec", tag = "1")]
    sealed: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    fingerprint: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum SuccessorForm {
    #[prost(message, tag = "8")]
    Rotated(RefreshForm),
    #[prost(bool, tag = "9")]
    Unchanged(bool),
    #[prost(bool, tag = "10")]
    Missing(bool),
}

impl From<&Successor> for SuccessorForm {
    fn from(successor: &Successor) -> Self {
        match successor {
            Successor::Rotated(RefreshToken { sealed, fingerprint }) => {
                Self::Rotated(RefreshForm { sealed: sealed.0.clone(), fingerprint: fingerprint.0.into() })
            }
            Successor::Unchanged => Self::Unchanged(true),
            Successor::Missing => Self::Missing(true),
        }
    }
}

impl SuccessorForm {
    fn read(self) -> Result<Successor, Unreadable> {
        match self {
            Self::Rotated(RefreshForm { sealed, fingerprint }) => Ok(Successor::Rotated(RefreshToken {
                sealed: Sealed(sealed),
                fingerprint: Fingerprint(hash(&fingerprint, "successor.fingerprint")?),
            })),
            Self::Unchanged(true) => Ok(Successor::Unchanged),
            Self::Missing(true) => Ok(Successor::Missing),
            Self::Unchanged(false) | Self::Missing(false) => Err(Unreadable::Field("successor")),
        }
    }
}
