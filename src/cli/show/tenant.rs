//! Tenants.

use serde_json::{Value, json};
use token_broker_proto::v1::Tenant;

use super::{Show, or_dash, time, time_json};

impl Show for Tenant {
    const COLUMNS: &'static [&'static str] = &["name", "display name", "created"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), or_dash(&self.display_name), time(self.create_time.as_ref())]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("name", self.name.clone()),
            ("uid", self.uid.clone()),
            ("display name", or_dash(&self.display_name)),
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
            "etag": self.etag,
            "create_time": time_json(self.create_time.as_ref()),
            "update_time": time_json(self.update_time.as_ref()),
        })
    }
}
