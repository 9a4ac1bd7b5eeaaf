//! Secrets come from a file or from the standard input, never from an argument: arguments are in `ps` and in the
//! shell's history.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

use secrecy::SecretString;
use zeroize::Zeroize as _;

use super::Failure;

/// No secret is longer; a wrong file often is.
const LONGEST: usize = 16 * 1024;

/// Reads a secret from `file`, or from the standard input.
pub(super) fn read(file: Option<&Path>, what: &str) -> Result<SecretString, Failure> {
    match file {
        Some(path) => {
            let unreadable = |error| Failure::usage(format!("`{}` cannot be read: {error}", path.display()));
            read_from(File::open(path).map_err(unreadable)?, what)
        }
        None if io::stdin().is_terminal() => {
            Err(Failure::usage(format!("the {what} is read from a file or a pipe, not from a terminal")))
        }
        None => read_from(io::stdin(), what),
    }
}

/// Without the line's end that editors and `echo` add.
pub(super) fn read_from(input: impl Read, what: &str) -> Result<SecretString, Failure> {
    let mut text = String::with_capacity(LONGEST + 1);
    let read = input.take(LONGEST as u64 + 1).read_to_string(&mut text);
    let trimmed = text.trim_end_matches(['\r', '\n']);
    let secret = match read {
        Err(error) => Err(format!("the {what} cannot be read: {error}")),
        Ok(_) if trimmed.is_empty() => Err(format!("the {what} is empty")),
        Ok(_) if text.len() > LONGEST => Err(format!("the {what} is longer than {LONGEST} bytes")),
        Ok(_) if trimmed.contains(['\r', '\n']) => Err(format!("the {what} has more than one line")),
        Ok(_) => Ok(SecretString::from(trimmed)),
    };
    text.zeroize();
    secret.map_err(Failure::usage)
}
