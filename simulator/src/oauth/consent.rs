//! The pages a person sees.

use http::StatusCode;

use super::authorize::Request;
use crate::call::Call;
use crate::reply::Reply;

/// Asks to allow or deny, and, unlike Procore, as whom.
pub(super) fn page(request: &Request, (user, company): (u64, u64)) -> Reply {
    let hidden = |name: &str, value: &str| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escape(value))
    };
    let form = [
        hidden("response_type", "code"),
        hidden("client_id", &request.client_id),
        hidden("redirect_uri", &request.redirect_uri),
        hidden("state", request.state.as_deref().unwrap_or_default()),
    ]
    .concat();
    let body = format!(
        "<h1>Allow {} to act for you?</h1>\n<form method=\"post\" action=\"/oauth/authorize\">\n{form}\
         <p><label>User <input name=\"user\" value=\"{user}\"></label>\n\
         <label>Company <input name=\"company\" value=\"{company}\"></label></p>\n\
         <button name=\"decision\" value=\"allow\">Allow</button>\n\
         <button name=\"decision\" value=\"deny\">Deny</button>\n</form>",
        escape(&request.client_name)
    );
    Reply::html(StatusCode::OK, document(&body))
}

/// Shows an out-of-band code.
pub(super) fn native(call: &Call) -> Reply {
    let code = escape(call.query("code").unwrap_or_default());
    Reply::html(StatusCode::OK, document(&format!("<h1>Authorization code</h1>\n<code>{code}</code>")))
}

/// An error that must not be redirected.
pub(super) fn error(status: StatusCode, text: &str) -> Reply {
    Reply::html(status, document(&format!("<h1>An error has occurred</h1>\n<p>{}</p>", escape(text))))
}

fn document(body: &str) -> String {
    format!("<!doctype html>\n<meta charset=\"utf-8\">\n<title>Procore simulator</title>\n{body}\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
