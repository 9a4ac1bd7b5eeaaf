//! `keys`: the key-encryption keys in a file.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Failure, Printer, Show};
use crate::seal::KeyEncryptionKeys;

/// Key-encryption keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key, in a new file that only you can read.
    Generate {
        /// The file; never overwritten.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// List the ids of the keys in a file.
    List {
        /// The file.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
}

struct KeyId {
    id: String,
    wraps: bool,
}

pub(super) fn run(command: KeysCommand, printer: &mut Printer<'_>) -> Result<(), Failure> {
    match command {
        KeysCommand::Generate { out } => {
            let keys = KeyEncryptionKeys::generate();
            keys.save_new(&out).map_err(Failure::because)?;
            printer.many("keys", &ids(&keys))
        }
        KeysCommand::List { file } => {
            let keys = KeyEncryptionKeys::load(&file).map_err(Failure::because)?;
            printer.many("keys", &ids(&keys))
        }
    }
}

fn ids(keys: &KeyEncryptionKeys) -> Vec<KeyId> {
    keys.ids().enumerate().map(|(index, id)| KeyId { id: id.to_owned(), wraps: index == 0 }).collect()
}

impl Show for KeyId {
    const COLUMNS: &'static [&'static str] = &["id", "use"];

    fn cells(&self) -> Vec<String> {
        vec![self.id.clone(), if self.wraps { "wraps new keys, unwraps" } else { "unwraps" }.to_owned()]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Self::COLUMNS.iter().copied().zip(self.cells()).collect()
    }

    fn json(&self) -> Value {
        json!({ "id": self.id, "wraps": self.wraps })
    }
}
