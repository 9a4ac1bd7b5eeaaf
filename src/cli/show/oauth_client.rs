//! OAuth clients.

use serde_json::{Value, json};
use token_broker_proto::v1::{ClientSecretVersion, OAuthClient, Standing};

use super::{Show, dash, or_dash, time, time_json, words};

impl Show for OAuthClient {
    const COLUMNS: &'static [&'static str] =
        &["name", "provider", "environment", "client id", "secret", "standing"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.provider.clone(),
            self.environment.clone(),
            self.client_id.clone(),
            self.secret_versions.iter().find(|version| version.current).map_or_else(dash, secret),
            self.standing.as_ref().map_or_else(dash, standing),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let secrets: Vec<_> = self.secret_versions.iter().map(secret).collect();
        vec![
            ("name", self.name.clone()),
            ("uid", self.uid.clone()),
            ("display name", or_dash(&self.display_name)),
            ("provider", self.provider.clone()),
            ("environment", self.environment.clone()),
            ("client id", self.client_id.clone()),
            ("secrets", or_dash(&secrets.join(", "))),
            ("standing", self.standing.as_ref().map_or_else(dash, standing)),
            ("client-credentials tenants", or_dash(&self.client_credentials_tenants.join(", "))),
            ("etag", or_dash(&self.etag)),
            ("created", time(self.create_time.as_ref())),
            ("updated", time(self.update_time.as_ref())),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "uid": self.uid,
            "display_name": self.display_name,
            "provider": self.provider,
            "environment": self.environment,
            "client_id": self.client_id,
            "client_credentials_tenants": self.client_credentials_tenants,
            "secret_versions": self.secret_versions.iter().map(|version| json!({
                "version": version.version,
                "current": version.current,
                "create_time": time_json(version.create_time.as_ref()),
            })).collect::<Vec<_>>(),
            "standing": self.standing.as_ref().map(|standing| json!({
                "breaker": standing.breaker().as_str_name(),
                "cause": standing.cause,
                "retry_time": time_json(standing.retry_time.as_ref()),
            })),
            "etag": self.etag,
            "create_time": time_json(self.create_time.as_ref()),
            "update_time": time_json(self.update_time.as_ref()),
        })
    }
}

fn secret(version: &ClientSecretVersion) -> String {
    format!("v{}{}", version.version, if version.current { " (current)" } else { "" })
}

/// `open: invalid_client, next trial 2026-01-31T12:00:00Z`.
fn standing(standing: &Standing) -> String {
    let mut text = words(standing.breaker().as_str_name(), "BREAKER_");
    if !standing.cause.is_empty() {
        text = format!("{text}: {}", standing.cause);
    }
    if standing.retry_time.is_some() {
        text = format!("{text}, next trial {}", time(standing.retry_time.as_ref()));
    }
    text
}
