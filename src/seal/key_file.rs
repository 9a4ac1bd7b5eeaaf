//! Key-encryption keys in a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{CryptoRng, rand_core::UnwrapErr, rngs::SysRng};
use zeroize::Zeroizing;

use super::key::Key;

const HEADER: &str = "\
# The key-encryption keys of a token-broker. Whoever holds this file and the database holds every token;
# without it nothing in the database can be read. Keep a copy apart from the database's backups.
#
# One key per line: its id, a space, 32 random bytes in base64. The first key wraps new data keys; all unwrap.
# To rotate, put a line made by `token-broker keys generate` above the others, and leave the others in place.
";

/// The keys that wrap the data keys. The first wraps; all unwrap.
#[derive(Debug)]
pub struct KeyEncryptionKeys(Vec<Kek>);

#[derive(Debug)]
struct Kek {
    id: String,
    key: Key,
}

/// What is wrong with a key file. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is none.
    #[error("there is no key file `{0}`: run `token-broker keys generate --out {0}`", path.display())]
    Absent {
        /// Which file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("the key file `{}` cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("the key file `{}` cannot be written", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there already.
    #[error("`{}` exists: a key file is never overwritten", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// It is a directory, a pipe, or the like.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// Which file.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error("the key file `{0}` is open to others (mode {mode:04o}): run `chmod 600 {0}`", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user, who may change it.
    #[error("the key file `{0}` belongs to user {owner}: run `chown {user} {0}`", path.display())]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        user: u32,
    },
    /// A line is not a key.
    #[error("line {line} of the key file `{}`: {problem}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no key in it.
    #[error("the key file `{0}` has no key: run `token-broker keys generate --out {0}`", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

impl KeyEncryptionKeys {
    /// One new key, in memory only.
    #[must_use]
    pub fn generate() -> Self {
        Self(vec![Kek::generate(&mut UnwrapErr(SysRng))])
    }

    /// Reads a key file. Refused unless only its owner, who must be this process's user or root, can read it.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let mut file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyFileError::Absent { path: path.into() },
            _ => KeyFileError::Read { path: path.into(), source },
        })?;
        check_access(&file, path)?;
        let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
        file.read_to_string(&mut text).map_err(|source| KeyFileError::Read { path: path.into(), source })?;
        parse(&text, path)
    }

    /// Writes the keys to a new file that only its owner can read, durable when this returns.
    pub fn save_new(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
        text.push_str(HEADER);
        for Kek { id, key } in &self.0 {
            let key = Zeroizing::new(STANDARD.encode(key.expose()));
            text.extend([id.as_str(), " ", key.as_str(), "\n"]);
        }
        write_new(path, text.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.into() },
            _ => KeyFileError::Write { path: path.into(), source },
        })
    }

    /// The ids of the keys; the first wraps.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|kek| kek.id.as_str())
    }

    pub(super) fn primary(&self) -> (&str, &Key) {
        let Kek { id, key } = self.0.first().expect("there is at least one key");
        (id, key)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|kek| kek.id == id).map(|kek| &kek.key)
    }
}

impl Kek {
    fn generate(rng: &mut impl CryptoRng) -> Self {
        Self { id: format!("kek-{:08x}", rng.next_u32()), key: Key::generate(rng) }
    }
}

/// By the open file, not by its path: the path may lead elsewhere a moment later.
fn check_access(file: &File, path: &Path) -> Result<(), KeyFileError> {
    let facts = file.metadata().map_err(|source| KeyFileError::Read { path: path.into(), source })?;
    let (mode, owner) = (facts.mode() & 0o7777, facts.uid());
    let user = rustix::process::geteuid().as_raw();
    if !facts.is_file() {
        return Err(KeyFileError::NotAFile { path: path.into() });
    }
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.into(), mode });
    }
    if owner != user && owner != 0 {
        return Err(KeyFileError::Owner { path: path.into(), owner, user });
    }
    Ok(())
}

fn parse(text: &str, path: &Path) -> Result<KeyEncryptionKeys, KeyFileError> {
    let mut keks: Vec<Kek> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let kek = parse_line(line)
            .and_then(|kek| {
                let taken = keks.iter().any(|other| other.id == kek.id);
                if taken { Err("this id is used twice") } else { Ok(kek) }
            })
            .map_err(|problem| KeyFileError::Line { path: path.into(), line: index + 1, problem })?;
        keks.push(kek);
    }
    if keks.is_empty() {
        return Err(KeyFileError::Empty { path: path.into() });
    }
    Ok(KeyEncryptionKeys(keks))
}

fn parse_line(line: &str) -> Result<Kek, &'static str> {
    let (id, key) = line.split_once(char::is_whitespace).ok_or("expected an id, a space, and a key")?;
    let well_formed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    // An id is printed in errors: a key in its place must not be.
    if !id.starts_with("kek-") || id.len() > 32 || !id.bytes().all(well_formed) {
        return Err("an id is `kek-` and at most 28 lower-case letters, digits and hyphens");
    }
    let bytes = Zeroizing::new(STANDARD.decode(key.trim()).map_err(|_| "the key is not base64")?);
    let key = Key::from_slice(&bytes).ok_or("the key is not 32 bytes long")?;
    Ok(Kek { id: id.to_owned(), key })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent)?.sync_all()
}
