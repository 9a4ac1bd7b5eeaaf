//! Calls that come close together go in one write, and their answers come in one read. Who comes alone,
//! and not on the heels of others, waits for nobody.

use std::time::Duration;

use redis::{Cmd, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::{sleep, timeout},
};

use super::away::Why;

/// Calls in one write.
const MOST: usize = 256;
/// Calls gather while the ones before them travel, but no longer: those may be held up by something of their own.
const GATHER: Duration = Duration::from_millis(1);
/// Where so many came together, more are on their way.
const CROWD: usize = 4;

/// Commands of one call: they stay one behind the other.
pub(super) struct Asked {
    connection: MultiplexedConnection,
    commands: Vec<Cmd>,
    answer: oneshot::Sender<Result<Vec<Value>, Why>>,
}

impl Asked {
    /// Gives them in. Where the caller is dropped before they are sent, they are not.
    pub(super) async fn send(
        queue: &UnboundedSender<Self>,
        connection: &MultiplexedConnection,
        commands: Vec<Cmd>,
    ) -> Result<Vec<Value>, Why> {
        let (answer, answered) = oneshot::channel();
        let gone = |_| Why::Unreachable("nobody sends any more".into());
        queue.send(Self { connection: connection.clone(), commands, answer }).map_err(gone)?;
        answered.await.unwrap_or(Err(Why::Slow)) // given up with all that travelled with it
    }
}

/// A queue. What is in it is sent for as long as anybody has it: what is held must be given back. An answer that takes
/// longer than `patience` is not waited for.
pub(super) fn together(patience: Duration) -> UnboundedSender<Asked> {
    let (queue, calls) = unbounded_channel();
    tokio::spawn(gather(calls, patience));
    queue
}

async fn gather(mut calls: UnboundedReceiver<Asked>, patience: Duration) {
    let mut waiting = Vec::new();
    while calls.recv_many(&mut waiting, MOST).await > 0 {
        let mut together = std::mem::take(&mut waiting);
        let crowd = together.len() >= CROWD;
        together.retain(|call| !call.answer.is_closed()); // a lease that nobody waits for is not taken
        let travelling = tokio::spawn(timeout(patience, travel(together)));
        let _ = timeout(GATHER, travelling).await;
        if crowd {
            sleep(GATHER).await;
        }
    }
}

/// Over the newest of their connections: what was meant for one that is lost may still arrive.
async fn travel(calls: Vec<Asked>) {
    let Some(Asked { connection, .. }) = calls.last() else { return };
    let mut connection = connection.clone();
    let mut pipe = redis::pipe();
    pipe.ignore_errors(); // an error of one is that one's, not the connection's
    let (mut shares, mut askers) = (Vec::with_capacity(calls.len()), Vec::with_capacity(calls.len()));
    for Asked { commands, answer, .. } in calls {
        shares.push(commands.len());
        askers.push(answer);
        for command in commands {
            pipe.add_command(command);
        }
    }
    let answers: RedisResult<Vec<RedisResult<Value>>> = pipe.query_async(&mut connection).await;
    match answers {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for (asker, share) in askers.into_iter().zip(shares) {
                let share: Vec<_> = answers.by_ref().take(share).collect(); // all of it, also where one is an error
                let answer: RedisResult<Vec<Value>> = share.into_iter().collect();
                let _ = asker.send(answer.map_err(|error| Why::of(&error))); // who left does not want it
            }
        }
        Err(error) => {
            let why = Why::of(&error);
            for asker in askers {
                let _ = asker.send(Err(why.clone()));
            }
        }
    }
}
