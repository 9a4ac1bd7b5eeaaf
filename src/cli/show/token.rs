//! Access tokens: everything about them but the token.

use serde_json::{Value, json};
use token_broker_proto::v1::{Advice, GetAccessTokenResponse};

use super::{Show, or_dash, period, period_json, time, time_json, words};

impl Show for GetAccessTokenResponse {
    const COLUMNS: &'static [&'static str] = &["generation", "expires", "renew"];

    fn cells(&self) -> Vec<String> {
        vec![self.generation.to_string(), time(self.expire_time.as_ref()), time(self.renew_time.as_ref())]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut headers: Vec<_> =
            self.request_headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        headers.sort_unstable();
        let mut facts = vec![
            ("access token", "withheld: `--reveal` prints it".to_owned()),
            ("token type", or_dash(&self.token_type)),
            ("generation", self.generation.to_string()),
            ("expires", time(self.expire_time.as_ref())),
            ("ask again by", time(self.renew_time.as_ref())),
            ("scopes", or_dash(&self.scopes.join(" "))),
            ("api", or_dash(&self.api_base_uri)),
            ("request headers", or_dash(&headers.join(", "))),
        ];
        facts.extend(self.advice.as_ref().map(|advice| ("advice", text(advice))));
        facts
    }

    fn json(&self) -> Value {
        json!({
            "token_type": self.token_type,
            "expire_time": time_json(self.expire_time.as_ref()),
            "renew_time": time_json(self.renew_time.as_ref()),
            "generation": self.generation,
            "scopes": self.scopes,
            "api_base_uri": self.api_base_uri,
            "request_headers": self.request_headers,
            "advice": self.advice.as_ref().map(|advice| json!({
                "cause": advice.cause().as_str_name(),
                "short_lived": advice.short_lived,
                "hint": advice.hint,
                "retry_after": period_json(advice.retry_after.as_ref()),
            })),
        })
    }
}

/// `renewal unavailable, short-lived: the provider is down; try again in 5s`.
fn text(advice: &Advice) -> String {
    let mut text = words(advice.cause().as_str_name(), "CAUSE_");
    if advice.short_lived {
        text.push_str(", short-lived");
    }
    if !advice.hint.is_empty() {
        text = format!("{text}: {}", advice.hint);
    }
    if advice.retry_after.is_some() {
        text = format!("{text}; try again in {}", period(advice.retry_after.as_ref()));
    }
    text
}
