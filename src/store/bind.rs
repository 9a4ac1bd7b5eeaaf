//! How the model's values are written: times as microseconds, hashes as bytes, names as text; identities as bytes in
//! `SQLite`, as uuids in Postgres. A [`Timestamp`] has no way into Postgres but through `postgres::Skew`.

use std::time::Duration;

use sqlx::{
    Database, Encode, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo, Postgres},
    sqlite::{Sqlite, SqliteTypeInfo},
};
use uuid::Uuid;

use crate::model::{
    AttemptId, ConnectionName, ConnectionUid, Epoch, EventKind, Fingerprint, Generation, NonceHash,
    OauthClientName, OauthClientUid, Outcome, Sealed, TenantName, TenantUid, Timestamp,
};

macro_rules! binds {
    ($database:ty, $info:ty: $($name:ty as $sql:ty: $convert:expr;)*) => {$(
        impl Type<$database> for $name {
            fn type_info() -> $info {
                <$sql as Type<$database>>::type_info()
            }
        }

        impl Encode<'_, $database> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut <$database as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                let convert: fn(&Self) -> Result<$sql, BoxDynError> = $convert;
                <$sql as Encode<'_, $database>>::encode(convert(self)?, buffer)
            }
        }
    )*};
}

macro_rules! binds_alike {
    ($($database:ty, $info:ty;)*) => {$(
        binds! { $database, $info:
            NonceHash as Vec<u8>: |hash| Ok(hash.0.to_vec());
            Fingerprint as Vec<u8>: |hash| Ok(hash.0.to_vec());
            Sealed as Vec<u8>: |sealed| Ok(sealed.0.clone());
            Generation as i64: |generation| Ok(generation.0.try_into()?);
            Epoch as i64: |epoch| Ok(epoch.0.try_into()?);
            TenantName as String: |name| Ok(name.to_string());
            OauthClientName as String: |name| Ok(name.to_string());
            ConnectionName as String: |name| Ok(name.to_string());
            Outcome as String: |outcome| Ok(outcome.as_str().to_owned());
            EventKind as String: |kind| Ok(kind.as_str().to_owned());
        }
    )*};
}

binds_alike! {
    Sqlite, SqliteTypeInfo;
    Postgres, PgTypeInfo;
}

binds! { Sqlite, SqliteTypeInfo:
    TenantUid as Vec<u8>: |uid| Ok(uid.0.as_bytes().to_vec());
    OauthClientUid as Vec<u8>: |uid| Ok(uid.0.as_bytes().to_vec());
    ConnectionUid as Vec<u8>: |uid| Ok(uid.0.as_bytes().to_vec());
    AttemptId as Vec<u8>: |uid| Ok(uid.0.as_bytes().to_vec());
    Timestamp as i64: |at| Ok(at.as_micros());
}

binds! { Postgres, PgTypeInfo:
    TenantUid as Uuid: |uid| Ok(uid.0);
    OauthClientUid as Uuid: |uid| Ok(uid.0);
    ConnectionUid as Uuid: |uid| Ok(uid.0);
    AttemptId as Uuid: |uid| Ok(uid.0);
}

macro_rules! in_arrays {
    ($($name:ty as $sql:ty;)*) => {$(
        impl PgHasArrayType for $name {
            fn array_type_info() -> PgTypeInfo {
                <$sql as PgHasArrayType>::array_type_info()
            }
        }
    )*};
}

in_arrays! {
    TenantUid as Uuid;
    ConnectionUid as Uuid;
    AttemptId as Uuid;
    NonceHash as Vec<u8>;
    Fingerprint as Vec<u8>;
    Sealed as Vec<u8>;
    Generation as i64;
    OauthClientName as String;
    ConnectionName as String;
}

/// A revision; those beyond the column's range match nothing.
pub(super) fn revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// Whole microseconds.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The newest moment of which `now.since(moment) >= patience` holds.
pub(super) fn silent_since(now: Timestamp, patience: Duration) -> Timestamp {
    if patience.is_zero() {
        return Timestamp::from_micros(i64::MAX);
    }
    let whole = Duration::from_micros(patience.as_nanos().div_ceil(1000).try_into().unwrap_or(u64::MAX));
    now.minus(whole)
}
