//! What the servers and the broker do for a refresh, by their own counters.

use std::time::Duration;

use crate::{
    report::say,
    world::{Machine, World},
};

/// Counters, or the difference between two looks at them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Statements in the broker's database: each is a transaction of its own.
    statements: i64,
    /// Bytes of `PostgreSQL`'s log.
    log: i64,
    /// Times it was brought to the disk.
    syncs: i64,
    /// Redis commands, those inside scripts included.
    commands: i64,
    /// Microseconds of processor time: callers and provider, broker, `PostgreSQL`, Redis.
    ran: [i64; 4],
}

/// `PostgreSQL` tells of a statement this much later at most.
const LATE: Duration = Duration::from_millis(1_100);

impl Cost {
    pub(crate) async fn so_far(machine: &Machine, world: &World) -> anyhow::Result<Self> {
        tokio::time::sleep(LATE).await;
        let mut admin = machine.admin("postgres").await;
        let (statements, log, syncs) = sqlx::query_as(
            "SELECT xact_commit, (wal_bytes)::bigint, wal_sync FROM pg_stat_database, pg_stat_wal WHERE datname = $1",
        )
        .bind(&world.database.name)
        .fetch_one(&mut admin)
        .await?;
        let commands = i64::try_from(machine.commands().await?)?;
        Ok(Self { statements, log, syncs, commands, ran: machine.processor_times(world)? })
    }

    pub(crate) fn add(&mut self, before: Self, after: Self) {
        self.statements += after.statements - before.statements;
        self.log += after.log - before.log;
        self.syncs += after.syncs - before.syncs;
        self.commands += after.commands - before.commands;
        for (ran, (after, before)) in self.ran.iter_mut().zip(after.ran.iter().zip(before.ran)) {
            *ran += after - before;
        }
    }

    /// Says what one refresh, or one pair of bare commits, costs. Processor time tells also on a busy machine.
    #[expect(clippy::cast_precision_loss, reason = "millions")]
    pub(crate) fn tell(&self, what: &str, count: f64) {
        let each = |sum: i64| sum as f64 / count;
        let [callers, broker, postgres, redis] = self.ran.map(each);
        say(&format!(
            "{what}: {:.2} statements, {:.0} bytes of log, {:.2} syncs, {:.2} commands of Redis; processor time \
             {:.0} us: callers {callers:.0}, broker {broker:.0}, PostgreSQL {postgres:.0}, Redis {redis:.0}",
            each(self.statements),
            each(self.log),
            each(self.syncs),
            each(self.commands),
            callers + broker + postgres + redis
        ));
    }
}
