//! What a server says of itself when it is connected to: a Redis that evicts forgets witnesses and escrow.

use redis::{Value, cmd};

use super::servers::Connection;

/// How the servers keep what they are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// The `maxmemory-policy` of a server that evicts.
    pub(super) evicts: Option<String>,
    /// Whether a restart forgets nothing or little; `None` where the server does not tell.
    pub(super) persistent: Option<bool>,
}

impl Findings {
    /// Asks. INFO, since managed services withhold CONFIG; what may not be asked stays unknown.
    pub(super) async fn of(connection: &mut Connection) -> Self {
        let memory = texts(connection.ask_all(cmd("INFO").arg("memory")).await);
        let disk = texts(connection.ask_all(cmd("INFO").arg("persistence")).await);
        let save = texts(connection.ask_all(cmd("CONFIG").arg("GET").arg("save")).await);
        let evicts = values(&memory, "maxmemory_policy").find(|policy| *policy != "noeviction");
        let logs: Vec<_> = values(&disk, "aof_enabled").collect();
        let appends = !logs.is_empty() && logs.iter().all(|enabled| *enabled == "1");
        let schedules: Vec<_> = save.iter().filter(|text| *text != "save" && is_schedule(text)).collect();
        let persistent = match (logs.is_empty(), schedules.is_empty()) {
            _ if appends => Some(true),
            (false, false) => Some(schedules.iter().all(|schedule| !schedule.is_empty())),
            _ => None,
        };
        Self { evicts: evicts.map(ToOwned::to_owned), persistent }
    }

    /// Once per connection.
    pub(super) fn report(&self) {
        if let Some(policy) = &self.evicts {
            tracing::error!(
                %policy,
                "coordination.evicts: Redis may forget witnesses and escrow; set maxmemory-policy noeviction"
            );
        }
        if self.persistent == Some(false) {
            tracing::info!("coordination.volatile: a restart of Redis forgets witnesses and escrow");
        }
    }
}

fn is_schedule(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ')
}

/// Every text in an answer, of however many servers.
fn texts(answer: redis::RedisResult<Value>) -> Vec<String> {
    fn collect(value: Value, found: &mut Vec<String>) {
        match value {
            Value::BulkString(bytes) => found.push(String::from_utf8_lossy(&bytes).into_owned()),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => found.push(text),
            Value::Array(items) => items.into_iter().for_each(|item| collect(item, found)),
            // The keys are servers, or settings.
            Value::Map(entries) => entries.into_iter().for_each(|(_, item)| collect(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = answer {
        collect(value, &mut found);
    }
    found
}

/// The values of a field of INFO.
fn values<'a>(texts: &'a [String], field: &'a str) -> impl Iterator<Item = &'a str> {
    texts.iter().flat_map(|text| text.lines()).filter_map(move |line| {
        let (name, value) = line.trim_end().split_once(':')?;
        (name == field).then_some(value)
    })
}
