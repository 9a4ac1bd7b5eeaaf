//! What needs a person while the fleet is at work.

use super::{Fleet, checker::Case};

/// A connection that is lost.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Which.
    pub name: String,
    /// When what it is about was begun; microseconds.
    pub at: i64,
    /// Why, if there is a reason.
    pub why: Option<String>,
    /// What is known of it.
    pub evidence: String,
}

impl Fleet {
    /// The connections that only a person can help now.
    pub async fn losses(&self) -> Vec<Loss> {
        let rows = self.rows().await.remembering(self.remembered.as_ref());
        let all = self.presentations();
        let mut losses = Vec::new();
        for known in self.known() {
            let grant = &rows.grants[&known.name];
            if !["reauth_required", "quarantined"].contains(&grant.state.as_str()) {
                continue;
            }
            let seen: Vec<_> = all
                .iter()
                .filter(|seen| known.grants.iter().any(|(grant, _)| seen.grant_id.as_ref() == Some(grant)))
                .cloned()
                .collect();
            let case = Case {
                known: &known,
                grant,
                seen: &seen,
                live: None,
                heard: 0,
                mishaps: &self.mishaps,
                forgetful: self.remembered.is_some(),
            };
            let at = case.about().map_or(0, |about| about.dispatched_at);
            let newest: Vec<_> = grant.attempts.iter().rev().take(3).collect();
            let seen: Vec<_> = seen.iter().rev().take(3).collect();
            let evidence =
                format!("{} {:?} {newest:?} {seen:?} {:?}", grant.state, grant.attempt, self.mishaps);
            losses.push(Loss { name: known.name.clone(), at, why: case.explanation(), evidence });
        }
        losses
    }
}
