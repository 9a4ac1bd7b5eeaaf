//! System calls, as `strace -f -tt -yy -o` writes them.

use std::collections::HashMap;

/// A system call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The file descriptor that it is about, with what it refers to: `9</data/x.db-wal>`.
    pub on: String,
    /// Everything between the parentheses.
    pub arguments: String,
    /// What it returned, e.g. `0` or `-1 EINPROGRESS (…)`.
    pub returned: String,
    /// The line on which it began.
    pub began: usize,
    /// The line on which it had returned.
    pub ended: usize,
}

/// Every call that returned, in the order in which they returned.
pub fn read(trace: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        // 4711  12:34:56.123456 write(3<…>, "…", 12) = 12
        let Some((thread, rest)) = line.trim_start().split_once(char::is_whitespace) else { continue };
        let Some((_, text)) = rest.trim_start().split_once(' ') else { continue };
        let (began, whole) = if let Some(resumed) = text.strip_prefix("<... ") {
            let Some((began, head)) = unfinished.remove(thread) else { continue };
            let tail = resumed.split_once("resumed>").map_or("", |(_, tail)| tail);
            (began, format!("{head}{tail}"))
        } else if let Some(head) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, (number, head.trim_end().to_owned()));
            continue;
        } else {
            (number, text.to_owned())
        };
        calls.extend(call(&whole, began, number));
    }
    calls
}

fn call(text: &str, began: usize, ended: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    // What a call carries may look like anything: its own end is the last of them.
    let (arguments, returned) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let on = descriptor(arguments)?;
    let [name, on, arguments, returned] = [name, on, arguments, returned].map(str::to_owned);
    Some(Call { name, on, arguments, returned, began, ended })
}

/// `12<TCP:[127.0.0.1:1->127.0.0.1:2]>` has an arrow inside its brackets.
fn descriptor(arguments: &str) -> Option<&str> {
    let open = arguments.find('<')?;
    let end = match arguments[open..].find("]>") {
        Some(end) if arguments[open..].starts_with("<TCP") => open + end + 2,
        _ => open + arguments[open..].find('>')? + 1,
    };
    arguments[..open].bytes().all(|byte| byte.is_ascii_digit()).then(|| &arguments[..end])
}

impl Call {
    /// Whether it sent these bytes.
    pub fn sends(&self, bytes: &str) -> bool {
        ["sendto", "write", "writev", "sendmsg"].contains(&self.name.as_str())
            && self.arguments.contains(bytes)
    }

    /// Whether it received something.
    pub fn receives(&self) -> bool {
        let reads = ["recvfrom", "read", "recvmsg", "readv"].contains(&self.name.as_str());
        reads && self.returned.parse::<usize>().is_ok_and(|bytes| bytes > 0)
    }

    /// Whether it made a file's data durable.
    pub fn syncs(&self) -> bool {
        ["fsync", "fdatasync"].contains(&self.name.as_str()) && self.returned.starts_with('0')
    }
}
