//! Calls that travel together are as far apart as ever: each has its own answer, and its own error.

use futures_util::future::{join, join_all};
use redis::cmd;
use token_broker::{
    coordination::{Away, Why},
    model::{ConnectionUid, Generation},
};

use crate::support::{Redis, attempt, connected, connection, entry, patient};

/// More than go in one write.
const MANY: u64 = 600;
/// One of so many meets something that nobody expects there.
const SPOILT: usize = 7;
/// Calls of each, one after the other.
const READS: usize = 8;

#[tokio::test]
async fn each_call_has_its_own_answer() {
    let server = Redis::start().await;
    let replica = connected(&server, patient()).await;
    let known: Vec<(u64, ConnectionUid)> = (1..=MANY).map(|number| (number, connection())).collect();
    let raises = known.iter().map(|(number, uid)| replica.raise(*uid, None, entry(*number, 1)));
    assert!(join_all(raises).await.iter().all(|raised| *raised == Ok(true)));
    replica.escrow(attempt(), connection(), Generation(1), b"sealed").await.unwrap();

    let mut spoilt: Vec<String> = server.run(cmd("KEYS").arg("*escrow-hour*")).await;
    let (key, hour) = spoilt[0].rsplit_once(':').unwrap();
    spoilt.push(format!("{key}:{}", hour.parse::<u32>().unwrap() + 1)); // it may begin any moment
    spoilt.extend(known.iter().step_by(SPOILT).map(|(_, uid)| format!("token-broker:test:witness:{uid}")));
    for key in spoilt {
        server.run::<u32>(cmd("DEL").arg(&key)).await;
        server.run::<u32>(cmd("LPUSH").arg(&key).arg("something else")).await;
    }
    let refused = Away(Why::Refused("WRONGTYPE".into()));
    let calls = known.iter().map(|(number, uid)| {
        // The record, then two commands of which the first one fails, among others that do not.
        let escrowed = replica.escrow(attempt(), *uid, Generation(*number), b"sealed");
        let reads = async {
            let mut read = Vec::new();
            for _ in 0..READS {
                read.push(replica.witness(*uid).await);
            }
            read
        };
        join(escrowed, reads)
    });
    for (place, ((number, _), (escrowed, read))) in known.iter().zip(join_all(calls).await).enumerate() {
        let expected = if place % SPOILT == 0 { Err(refused.clone()) } else { Ok(Some(entry(*number, 1))) };
        assert_eq!((escrowed, read), (Err(refused.clone()), vec![expected; READS]));
    }
}
