//! The witness at Redis: what it means is decided in `model/witness.rs`.

use redis::cmd;

use super::{Away, Coordination, Why, script};
use crate::model::{AttemptId, ConnectionUid, Generation, Witness};

const VERSION: &str = "1";

/// Compare and set; it never expires. What is there already counts as set: the answer to an earlier command was lost.
const RAISE: &str = "\
local entry = redis.call('GET', KEYS[1]) or ''
if entry == ARGV[2] then return 1 end
if entry ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1";

/// Over nothing, and over whatever is live and earlier: there nobody need be asked. Numbers that are too long to be exact
/// never look earlier than they are.
const CLEAR: &str = "\
local entry = redis.call('GET', KEYS[1])
if entry and entry ~= ARGV[1] then
  local generation, attempt = string.match(entry, '^1 (%d+) ([%x-]+) live$')
  if not generation or (attempt ~= '-' and #attempt ~= 36) then return 0 end
  if string.find(generation, '^0%d') or tonumber(generation) >= tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1";

impl Coordination {
    /// What the witness remembers of a connection; `None`: nothing. An entry that cannot be read is [`Away`]: it must
    /// not pass for none.
    pub async fn witness(&self, connection: ConnectionUid) -> Result<Option<Witness>, Away> {
        let key = self.0.keys.witness(connection.0);
        let entry: Option<Vec<u8>> = self.0.records.call(cmd("GET").arg(key)).await?;
        entry.map(|entry| decode(&entry).ok_or(Away(Why::Unreadable))).transpose()
    }

    /// Raises an entry to the first attempt at a generation, in one step. `false`: another entry is in the way, and
    /// nothing was done; read, ask and decide. After [`Away`] nobody knows whether it was raised.
    pub async fn clear(
        &self,
        connection: ConnectionUid,
        generation: Generation,
        attempt: AttemptId,
    ) -> Result<bool, Away> {
        let new = Witness { generation, attempt: Some(attempt), revoked: false };
        let mut clear = script(CLEAR, &self.0.keys.witness(connection.0));
        clear.arg(encode(new)).arg(generation.0);
        self.record::<u32>(&clear).await.map(|cleared| cleared == 1)
    }

    /// Replaces `expected` by `new`. `false`: there is another entry; read, ask and decide anew. A generation is
    /// never lowered, whatever is expected: that is [`Away`] too, since to decide anew would not change it. After
    /// [`Away`] nobody knows whether the entry was replaced.
    pub async fn raise(
        &self,
        connection: ConnectionUid,
        expected: Option<Witness>,
        new: Witness,
    ) -> Result<bool, Away> {
        if expected.is_some_and(|expected| expected.generation > new.generation) {
            return Err(Away(Why::Lowered));
        }
        let key = self.0.keys.witness(connection.0);
        let mut raise = script(RAISE, &key);
        raise.arg(expected.map(encode).unwrap_or_default()).arg(encode(new));
        self.record::<u32>(&raise).await.map(|raised| raised == 1)
    }
}

/// One text per entry: entries are compared as they are written.
fn encode(witness: Witness) -> String {
    let attempt = witness.attempt.map_or_else(|| "-".to_owned(), |attempt| attempt.to_string());
    let flag = if witness.revoked { "revoked" } else { "live" };
    format!("{VERSION} {} {attempt} {flag}", witness.generation)
}

fn decode(entry: &[u8]) -> Option<Witness> {
    let words: Vec<_> = std::str::from_utf8(entry).ok()?.split(' ').collect();
    let [VERSION, generation, attempt, flag] = words[..] else { return None };
    let witness = Witness {
        generation: Generation(generation.parse().ok()?),
        attempt: if attempt == "-" { None } else { Some(attempt.parse().ok()?) },
        revoked: match flag {
            "revoked" => true,
            "live" => false,
            _ => return None,
        },
    };
    // Written any other way, it could never be replaced.
    (encode(witness).as_bytes() == entry).then_some(witness)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for attempt in [None, Some(AttemptId(Uuid::from_u128(9)))] {
            for (generation, revoked) in [(0, false), (u64::MAX, true)] {
                let witness = Witness { generation: Generation(generation), attempt, revoked };
                assert_eq!(decode(encode(witness).as_bytes()), Some(witness));
            }
        }
    }

    #[test]
    fn a_damaged_entry_is_none_at_all() {
        let good = encode(Witness { generation: Generation(5), attempt: None, revoked: false });
        for bad in ["", "2 5 - live", "1 05 - live", "1 5 - dead", "1 5 x live", "1 5 - live ", "1 -5 - live"]
        {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
        assert!((0..good.len()).all(|end| decode(&good.as_bytes()[..end]).is_none()));
        assert_eq!(decode(b"\xff"), None);
    }
}
