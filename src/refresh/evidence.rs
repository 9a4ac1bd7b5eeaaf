//! What an operator decides by: what is remembered of a connection beside its database, and the end of a doubt.

use super::Refresher;
use crate::{
    error::Refusal,
    model::{ConnectionName, ConnectionUid, Generation, Receipt, Witness},
};

/// What is remembered of a connection beside the database.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// By the witness.
    pub witness: Option<Witness>,
    /// Answers that are kept, and where.
    pub kept: Vec<(Medium, Receipt)>,
    /// Who did not answer: there may be more.
    pub silent: Vec<&'static str>,
}

/// Where an answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// This replica's. The others' journals are with them.
    Journal,
    /// The whole fleet's.
    Escrow,
}

impl Medium {
    /// Its name in the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Escrow => "escrow",
        }
    }
}

impl Refresher {
    /// Reads everything within the horizon.
    pub async fn evidence(&self, connection: ConnectionUid) -> Evidence {
        let mut evidence = Evidence::default();
        if let Some(journal) = &self.fleet.journal {
            let mut all = journal.all();
            while let Some(receipt) = all.next().await {
                if receipt.connection == connection {
                    evidence.kept.push((Medium::Journal, receipt));
                }
            }
        }
        let Some(redis) = &self.fleet.redis else { return evidence };
        match redis.witness(connection).await {
            Ok(witness) => evidence.witness = witness,
            Err(_) => evidence.silent.push("witness"),
        }
        let mut cursor = Some(redis.escrow_start());
        while let Some(at) = cursor {
            let Ok((page, next)) = redis.escrowed(at).await else {
                evidence.silent.push("escrow");
                break;
            };
            let ours = page.iter().filter(|escrowed| escrowed.connection == connection);
            let receipts = ours.filter_map(|escrowed| Receipt::decode(&escrowed.bytes).ok());
            evidence.kept.extend(receipts.map(|receipt| (Medium::Escrow, receipt)));
            cursor = next;
        }
        evidence
    }

    /// Ends a doubt or a quarantine, if there is one: an answer that is kept settles, else a person must authorise
    /// anew.
    pub async fn resolve(&self, name: &ConnectionName) -> Result<(), Refusal> {
        let subject = self.directory.subject(name).await?;
        let (tenant, connection) = (subject.connection.tenant_uid, subject.connection.uid);
        let ended = self.store.resolve(tenant, connection, self.clock.now()).await?;
        tracing::warn!(connection = %name, ended, "connection.resolve");
        self.offer_kept(connection).await;
        self.changed(&subject, Generation(u64::MAX));
        Ok(())
    }

    /// Offers the database every answer of a connection that is kept beside it, the oldest first.
    pub(super) async fn offer_kept(&self, connection: ConnectionUid) {
        let mut kept = self.evidence(connection).await.kept;
        kept.sort_by_key(|(_, receipt)| receipt.burn.generation);
        for (_, receipt) in kept {
            self.offer(&receipt).await;
        }
    }
}
