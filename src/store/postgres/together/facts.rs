//! What may be read of grants.

use super::{Kind, Statement, column};
use crate::{
    model::{ConnectionUid, GrantFacts, TenantUid},
    store::{StoreError, rows::GrantRow},
};

/// `grant_facts`; times are the database's.
#[derive(Debug)]
pub(in super::super) struct Facts;

impl Kind for Facts {
    type Request = (TenantUid, ConnectionUid);
    type Row = NumberedRow;
    type Answer = Result<Option<GrantFacts>, StoreError>;
    const READS: bool = true;

    fn statement(requests: &[Self::Request]) -> Statement {
        Statement::new(
            "SELECT number, encode(uuid_send(($2::uuid[])[number::integer]), 'hex') AS row, generation, revoke_epoch, state, uuid_send(attempt_id) AS attempt_id,
                since, not_before, spend_before, access, access_issued_at, access_expires_at, fingerprint, endpoint
            FROM token_broker.grant_facts_all($1, $2)",
        )
        .bind(column(requests, |(tenant, _)| *tenant))
        .bind(column(requests, |(_, connection)| *connection))
    }

    fn answers(requests: &[Self::Request], rows: Vec<NumberedRow>) -> Option<Vec<Self::Answer>> {
        let mut answers: Vec<Self::Answer> = requests.iter().map(|_| Ok(None)).collect();
        for row in rows {
            let number = usize::try_from(row.number).ok()?.checked_sub(1)?;
            *answers.get_mut(number)? = GrantFacts::try_from(row.grant).map(Some);
        }
        Some(answers)
    }
}

/// The grant that was asked for, by its place in the question, from 1.
#[derive(sqlx::FromRow)]
pub(in super::super) struct NumberedRow {
    number: i64,
    #[sqlx(flatten)]
    grant: GrantRow,
}
