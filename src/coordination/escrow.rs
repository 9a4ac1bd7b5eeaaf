//! Escrow: a second copy of what a provider answered, sealed, until the database cannot forget it any more.
//!
//! A record of its own per attempt, and two indexes: by the hour in which it came, and of those that are not settled.
//! The record is written first, so that an entry without a record is one whose record has expired; nothing here
//! spans two keys.

use futures_util::future::try_join_all;
use redis::cmd;
use uuid::Uuid;

use super::{Away, Coordination, lease::millis};
use crate::model::{AttemptId, ConnectionUid, Generation, Timestamp};

const VERSION: u8 = 1;
/// Version, connection, generation.
const HEADER: usize = 1 + 16 + 8;
/// Of an index by time; never a setting, or a changed one would lose sight of what is there.
const HOUR: std::time::Duration = std::time::Duration::from_hours(1);
/// For how long a proof that Redis can be written stays there, under the id of no answer.
const PROBE: std::time::Duration = std::time::Duration::from_secs(10);
/// Records per page.
const PAGE: usize = 64;
/// Pending records that are looked at at once. There are never more than refreshes in flight when a database failed.
const PENDING: usize = 4096;

/// An answer in escrow.
#[derive(Clone, PartialEq, Eq)]
pub struct Escrowed {
    /// Whose answer.
    pub attempt: AttemptId,
    /// Of which connection.
    pub connection: ConnectionUid,
    /// Which generation was presented.
    pub generation: Generation,
    /// What was given, sealed by whoever gave it.
    pub bytes: Vec<u8>,
}

/// How far a reader of the escrow has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    hour: i64,
    last: i64,
    /// The last entry seen of this hour.
    after: Option<String>,
}

impl Coordination {
    /// Keeps an answer. Nothing but `Ok` says that it is kept; keeping it twice is harmless.
    pub async fn escrow(
        &self,
        attempt: AttemptId,
        connection: ConnectionUid,
        generation: Generation,
        bytes: &[u8],
    ) -> Result<(), Away> {
        let keys = &self.0.keys;
        let now = self.0.clock.now();
        let lifetime = millis(self.0.settings.escrow_for);
        let mut record = cmd("SET");
        record.arg(keys.escrow(attempt.0)).arg(encode(connection, generation, bytes)).arg("PX").arg(lifetime);
        self.0.records.call::<()>(&record).await?;

        let hour = keys.escrow_hour(hour(now));
        let mut by_hour = cmd("ZADD");
        by_hour.arg(&hour).arg(0).arg(entry(connection, generation, attempt));
        // One hour for its end, one for clocks that differ. Where it is lost, that of an entry before stands.
        let mut expiry = cmd("PEXPIRE");
        expiry.arg(&hour).arg(millis(self.0.settings.escrow_for.saturating_add(HOUR * 2)));
        let mut pending = cmd("ZADD");
        pending.arg(keys.escrow_pending()).arg(now.as_micros() / 1000).arg(attempt.to_string());
        self.0.records.call_all(vec![by_hour, expiry, pending]).await?;
        self.replicated().await
    }

    /// Where to begin to read everything that is in escrow.
    #[must_use]
    pub fn escrow_start(&self) -> Cursor {
        let now = self.0.clock.now();
        let first = hour(now.minus(self.0.settings.escrow_for)) - 1;
        Cursor { hour: first, last: hour(now) + 1, after: None }
    }

    /// The next page of everything that is in escrow, settled or not, and where the one after it begins: hour by
    /// hour, and in each a connection's oldest generation first. Clocks that differ may put two generations of a
    /// connection around a full hour in the wrong order: read again until nothing more is adopted.
    pub async fn escrowed(&self, mut cursor: Cursor) -> Result<(Vec<Escrowed>, Option<Cursor>), Away> {
        loop {
            let entries = self.entries(&cursor).await?;
            let next = match entries.last().filter(|_| entries.len() == PAGE) {
                Some(last) => Some(Cursor { after: Some(last.clone()), ..cursor }),
                None if cursor.hour < cursor.last => {
                    Some(Cursor { hour: cursor.hour + 1, after: None, ..cursor })
                }
                None => None,
            };
            let attempts = entries.iter().filter_map(|entry| attempt_of(entry));
            let page: Vec<_> =
                self.read(attempts).await?.into_iter().filter_map(|(_, found)| found.ok()).collect();
            match next {
                Some(next) if page.is_empty() => cursor = next,
                next => return Ok((page, next)),
            }
        }
    }

    /// What nobody has called settled yet, a connection's oldest generation first. Entries whose record has expired
    /// or was lost are cleared away.
    pub async fn escrow_pending(&self) -> Result<Vec<Escrowed>, Away> {
        let index = self.0.keys.escrow_pending();
        let attempts: Vec<String> =
            self.0.records.call(cmd("ZRANGE").arg(&index).arg(0).arg(PENDING - 1)).await?;
        let attempts = attempts.iter().filter_map(|attempt| attempt.parse().ok());
        let mut pending = Vec::new();
        for (attempt, found) in self.read(attempts).await? {
            match found {
                Ok(escrowed) => pending.push(escrowed),
                Err(Missing::Absent) => self.mark_settled(attempt).await?,
                Err(Missing::Unreadable) => tracing::error!(%attempt, "coordination.escrow.unreadable"),
            }
        }
        pending.sort_by_key(|escrowed| (escrowed.connection, escrowed.generation));
        Ok(pending)
    }

    /// The database has this answer, or will never take it. The record stays until it expires: the database may
    /// forget.
    pub async fn mark_settled(&self, attempt: AttemptId) -> Result<(), Away> {
        let mut settled = cmd("ZREM");
        settled.arg(self.0.keys.escrow_pending()).arg(attempt.to_string());
        self.0.records.call::<u32>(&settled).await.map(drop)
    }

    /// The database lacks this answer, perhaps again.
    pub async fn mark_pending(&self, attempt: AttemptId) -> Result<(), Away> {
        let mut pending = cmd("ZADD");
        let now = self.0.clock.now().as_micros() / 1000;
        pending.arg(self.0.keys.escrow_pending()).arg("NX").arg(now).arg(attempt.to_string());
        self.0.records.call::<u32>(&pending).await.map(drop)
    }

    /// Whether an answer would be kept now: a server that is there may lack memory, permissions or replicas.
    pub async fn writable(&self) -> Result<(), Away> {
        let mut probe = cmd("SET");
        probe.arg(self.0.keys.escrow(Uuid::nil())).arg(b"probe").arg("PX").arg(millis(PROBE));
        self.record(&probe).await
    }

    async fn entries(&self, cursor: &Cursor) -> Result<Vec<String>, Away> {
        let after = cursor.after.as_ref().map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut page = cmd("ZRANGEBYLEX");
        page.arg(self.0.keys.escrow_hour(cursor.hour)).arg(after).arg("+").arg("LIMIT").arg(0).arg(PAGE);
        self.0.records.call(&page).await
    }

    /// One by one, and all at once: in a cluster each may be elsewhere.
    async fn read(
        &self,
        attempts: impl Iterator<Item = AttemptId>,
    ) -> Result<Vec<(AttemptId, Result<Escrowed, Missing>)>, Away> {
        let attempts: Vec<_> = attempts.collect();
        let mut found = Vec::with_capacity(attempts.len());
        for page in attempts.chunks(PAGE) {
            let reads = page.iter().map(async |attempt| {
                let key = self.0.keys.escrow(attempt.0);
                let record: Option<Vec<u8>> = self.0.records.call(cmd("GET").arg(key)).await?;
                let found = match record {
                    None => Err(Missing::Absent),
                    Some(record) => decode(*attempt, &record).ok_or(Missing::Unreadable),
                };
                Ok((*attempt, found))
            });
            found.extend(try_join_all(reads).await?);
        }
        Ok(found)
    }
}

/// Why an index names something that is not to be had.
#[derive(Debug)]
enum Missing {
    Absent,
    /// Of another version, perhaps: it is left alone.
    Unreadable,
}

impl std::fmt::Debug for Escrowed {
    /// Without the bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempt, connection, generation, bytes: _ } = self;
        f.debug_struct("Escrowed")
            .field("attempt", attempt)
            .field("connection", connection)
            .field("generation", generation)
            .finish_non_exhaustive()
    }
}

fn hour(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(i64::try_from(HOUR.as_micros()).unwrap_or(i64::MAX))
}

/// Sorts by connection, then generation.
fn entry(connection: ConnectionUid, generation: Generation, attempt: AttemptId) -> String {
    format!("{connection}:{:020}:{attempt}", generation.0)
}

fn attempt_of(entry: &str) -> Option<AttemptId> {
    entry.rsplit(':').next()?.parse().ok()
}

fn encode(connection: ConnectionUid, generation: Generation, bytes: &[u8]) -> Vec<u8> {
    [&[VERSION][..], connection.0.as_bytes(), &generation.0.to_be_bytes(), bytes].concat()
}

fn decode(attempt: AttemptId, record: &[u8]) -> Option<Escrowed> {
    let (header, bytes) = record.split_at_checked(HEADER)?;
    let (version, header) = header.split_first()?;
    let (connection, generation) = header.split_first_chunk::<16>()?;
    (*version == VERSION).then_some(Escrowed {
        attempt,
        connection: ConnectionUid(Uuid::from_bytes(*connection)),
        generation: Generation(u64::from_be_bytes(generation.try_into().ok()?)),
        bytes: bytes.to_vec(),
    })
}
