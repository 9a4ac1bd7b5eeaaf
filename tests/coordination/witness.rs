//! The witness.

use std::{collections::BTreeMap, sync::Arc};

use redis::cmd;
use token_broker::{
    coordination::{Away, Why},
    model::{Claim, Generation, Verdict, Witness},
};
use tokio::task::JoinSet;

use crate::support::{Redis, connection, entry, fleet};

#[tokio::test]
async fn an_entry_is_replaced_only_where_it_is_the_expected_one() {
    let server = Redis::start().await;
    let [one, other] = fleet::<2>(&server).await;
    let connection = connection();
    assert_eq!(one.witness(connection).await, Ok(None));
    assert_eq!(one.raise(connection, Some(entry(1, 1)), entry(2, 1)).await, Ok(false), "nothing is there");
    assert_eq!(one.raise(connection, None, entry(1, 1)).await, Ok(true));
    assert_eq!(other.witness(connection).await, Ok(Some(entry(1, 1))));
    assert_eq!(other.raise(connection, None, entry(1, 2)).await, Ok(false), "never set blindly");
    assert_eq!(other.raise(connection, Some(entry(1, 2)), entry(2, 2)).await, Ok(false));
    assert_eq!(one.witness(connection).await, Ok(Some(entry(1, 1))), "and nothing was changed");

    let revoked = Witness::revoked(Some(&entry(1, 1)), Generation(1));
    assert_eq!(other.raise(connection, Some(entry(1, 1)), revoked).await, Ok(true));
    assert_eq!(other.raise(connection, Some(entry(1, 1)), revoked).await, Ok(true), "the answer was lost");
    assert_eq!(
        one.raise(connection, Some(entry(1, 1)), entry(2, 3)).await,
        Ok(false),
        "the flag is part of it"
    );
    let begun = Witness { generation: Generation(2), attempt: None, revoked: false };
    assert_eq!(one.raise(connection, Some(revoked), begun).await, Ok(true));
    assert_eq!(one.witness(connection).await, Ok(Some(begun)));
    assert_eq!(one.raise(connection, Some(begun), entry(1, 4)).await, Err(Away(Why::Lowered)));
    assert_eq!(one.witness(connection).await, Ok(Some(begun)), "a generation is never lowered");
    let left: i64 = server.run(cmd("PTTL").arg(format!("token-broker:test:witness:{connection}"))).await;
    assert_eq!(left, -1, "it never expires");

    server.flush().await;
    assert_eq!(one.witness(connection).await, Ok(None));
}

#[tokio::test]
async fn an_attempt_is_cleared_in_one_step_over_what_is_earlier_and_live() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let mine = entry(5, 9);
    let at =
        |generation, attempt, revoked| Some(Witness { generation: Generation(generation), attempt, revoked });
    let somebody = entry(0, 1).attempt;
    let cases = [
        (None, true),
        (at(4, somebody, false), true),
        (at(4, None, false), true),
        (at(4, somebody, true), false),
        (Some(mine), true),
        (at(5, somebody, false), false),
        (at(5, None, false), false),
        (at(5, mine.attempt, true), false),
        (at(6, somebody, false), false),
        (at(10, somebody, false), false),
        (at(u64::MAX, None, false), false),
    ];
    for (before, cleared) in cases {
        let connection = connection();
        if let Some(before) = before {
            assert_eq!(replica.raise(connection, None, before).await, Ok(true));
        }
        let claim = Claim { generation: mine.generation, attempt: mine.attempt.unwrap(), row: None };
        let answer = replica.clear(connection, claim.generation, claim.attempt).await;
        assert_eq!(answer, Ok(cleared), "{before:?}");
        let after = if cleared { Some(mine) } else { before };
        assert_eq!(replica.witness(connection).await, Ok(after), "{before:?}");
        if cleared {
            assert_eq!(Witness::consult(before.as_ref(), claim, None), Verdict::Raise(mine), "{before:?}");
        }
        server.flush().await;
    }
}

#[tokio::test]
async fn of_many_that_raise_at_once_one_wins_each_step() {
    let server = Redis::start().await;
    let replicas = fleet::<2>(&server).await;
    let connection = connection();
    let mut racers = JoinSet::new();
    let start = Arc::new(tokio::sync::Barrier::new(16));
    for racer in 0..16_usize {
        let (replica, start) = (replicas[racer % 2].clone(), start.clone());
        racers.spawn(async move {
            start.wait().await;
            let mut won = Vec::new();
            for _ in 0..40 {
                let seen = replica.witness(connection).await.unwrap();
                let step = seen.map_or(1, |seen| seen.generation.0 + 1);
                if replica.raise(connection, seen, entry(step, racer as u128)).await.unwrap() {
                    won.push(step);
                }
            }
            won
        });
    }
    let mut winners = BTreeMap::<u64, u32>::new();
    racers.join_all().await.into_iter().flatten().for_each(|step| *winners.entry(step).or_default() += 1);
    let last = replicas[0].witness(connection).await.unwrap().unwrap().generation.0;
    assert_eq!(winners, (1..=last).map(|step| (step, 1)).collect());
}

#[tokio::test]
async fn a_damaged_entry_does_not_pass_for_none() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let connection = connection();
    let _: String =
        server.run(cmd("SET").arg(format!("token-broker:test:witness:{connection}")).arg("1 7")).await;
    assert_eq!(replica.witness(connection).await, Err(Away(Why::Unreadable)));
    assert_eq!(replica.raise(connection, None, entry(9, 9)).await, Ok(false));
    let mine = entry(9, 9);
    for damaged in ["1 7", "1 07 - live", "1 7 abc live", "1 7 -- live", "2 7 - live", "1 7 - live "] {
        let key = format!("token-broker:test:witness:{connection}");
        let _: String = server.run(cmd("SET").arg(key).arg(damaged)).await;
        let cleared = replica.clear(connection, mine.generation, mine.attempt.unwrap()).await;
        assert_eq!(cleared, Ok(false), "{damaged:?}");
    }
}
