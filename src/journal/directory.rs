//! The folder: one process, only its owner, and what was in it at the start.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    JournalError, Record,
    frame::{self, Found},
    index::{Index, Place},
};
use crate::file_lock::FileLock;

/// Bytes that are no record. They are never given up silently: a copy of them is kept beside the segments until a
/// person removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where they stood.
    pub segment: PathBuf,
    /// From which byte on.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// What is wrong with them.
    pub why: Flaw,
    /// The copy; absent where it could not be written, and then they are left where they are.
    pub kept_in: Option<PathBuf>,
}

/// What is wrong with bytes that were set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The end of a segment: a write that a crash cut off, and that nobody was told of; or damage to what was last.
    Torn,
    /// Damage, with records after it.
    Damaged,
    /// A sound record that this version does not understand.
    Unreadable,
    /// The segment itself cannot be read.
    Segment,
}

impl Flaw {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::Segment => "segment",
        }
    }
}

/// What a scan found.
pub(super) struct Scan {
    pub(super) index: Index,
    pub(super) aside: Vec<SetAside>,
    /// The first number that no segment with anything in it has.
    pub(super) next: u64,
}

pub(super) fn segment_name(number: u64) -> String {
    format!("journal-{number:012}.log")
}

/// The folder, with the lock that keeps every other process out of it as long as it lives.
pub(super) fn open(path: &Path, replica: &str) -> Result<FileLock, JournalError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(JournalError::io("create the folder", path))?;
    let mode = fs::metadata(path).map_err(JournalError::io("look at", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(JournalError::io("keep others out of", path))?;
    }
    let name = path.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .or_else(|_| File::open(&name)) // a disk that is read-only now is no reason not to start
        .map_err(JournalError::io("open", &name))?;
    let lock = FileLock::try_take(file).map_err(|refused| match refused {
        // Whose it is, is only for show.
        TryLockError::WouldBlock => JournalError::Held {
            path: path.to_owned(),
            holder: fs::read_to_string(&name).unwrap_or_default(),
        },
        TryLockError::Error(error) => JournalError::io("lock", &name)(error),
    })?;
    // For whoever is refused; the lock holds without it.
    let _ = lock.set_len(0).and_then(|()| write!(&*lock, "{replica}, process {}", std::process::id()));
    Ok(lock)
}

/// Reads every segment. Nothing that it finds keeps the broker from starting.
pub(super) fn scan(directory: &Path) -> Result<Scan, JournalError> {
    let mut scan = Scan { index: Index::default(), aside: Vec::new(), next: 1 };
    let mut empty = Vec::new();
    for (number, path) in segments(directory)? {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, segment = %path.display(), "journal.segment_unreadable");
                scan.aside.push(SetAside {
                    segment: path,
                    offset: 0,
                    bytes: 0,
                    why: Flaw::Segment,
                    kept_in: None,
                });
                scan.next = number + 1;
                continue;
            }
        };
        let found = frame::scan(number, &bytes);
        if found.is_empty() {
            empty.push((number, path)); // room that was reserved
            continue;
        }
        scan.next = number + 1;
        scan.take(directory, number, &path, &found);
    }
    for (_, path) in empty.iter().filter(|(number, _)| *number < scan.next) {
        let _ = fs::remove_file(path); // the next start looks again
    }
    Ok(scan)
}

impl Scan {
    fn take(&mut self, directory: &Path, number: u64, path: &Path, found: &[Found<'_>]) {
        let (mut end, mut saved, mut records) = (0, true, 0);
        for part in found {
            let (offset, bytes, why) = match *part {
                Found::Frame { offset, kind, payload } => {
                    let length = (frame::OVERHEAD + payload.len()) as u64;
                    end = offset + length;
                    match Record::decode(kind, payload) {
                        Ok(None) => continue,
                        Ok(Some(record)) => {
                            records += 1;
                            self.index.insert(Place { segment: number, offset, length }, &record);
                            continue;
                        }
                        Err(error) => {
                            tracing::error!(%error, segment = %path.display(), offset, "journal.record_unreadable");
                            (offset, payload, Flaw::Unreadable)
                        }
                    }
                }
                Found::Damaged { offset, bytes } => (offset, bytes, Flaw::Damaged),
                Found::Torn { offset, bytes } => (offset, bytes, Flaw::Torn),
            };
            let kept_in = keep(directory, number, offset, why, bytes);
            saved &= kept_in.is_some();
            let aside =
                SetAside { segment: path.to_owned(), offset, bytes: bytes.len() as u64, why, kept_in };
            tracing::error!(?aside, "journal.set_aside");
            self.aside.push(aside);
        }
        if !saved {
            return self.index.never_delete(number);
        }
        // What follows the last record is reserved room, or has a copy by now.
        let cut = if records == 0 { fs::remove_file(path) } else { truncate(path, end) };
        if let Err(error) = cut {
            tracing::warn!(%error, segment = %path.display(), "journal.tail_not_cut");
        }
    }
}

/// A copy of bytes that are no record. The same bytes get the same name: a second start makes no second copy.
fn keep(directory: &Path, segment: u64, offset: u64, why: Flaw, bytes: &[u8]) -> Option<PathBuf> {
    let path = directory.join(format!("{}-{segment:012}-{offset}", why.as_str()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false) // an earlier copy of the same bytes is not lost to a disk that is full now
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(JournalError::io("write", &path))
        .and_then(|()| sync(directory));
    match written {
        Ok(()) => Some(path),
        Err(error) => {
            tracing::error!(error = %crate::error::Chain(&error), "journal.not_set_aside");
            None
        }
    }
}

fn truncate(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

/// The segments there are, by number.
pub(super) fn segments(directory: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory).map_err(JournalError::io("list", directory))? {
        let path = entry.map_err(JournalError::io("list", directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("journal-").and_then(|name| name.strip_suffix(".log"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            segments.push((number, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// The bytes of all files, and how many of these are copies of what was set aside.
pub(super) fn usage(directory: &Path) -> (u64, usize) {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    names.fold((0, 0), |(bytes, aside), entry| {
        let name = entry.file_name();
        let own = name == "lock" || name.to_str().is_some_and(|name| name.starts_with("journal-"));
        (bytes + entry.metadata().map_or(0, |file| file.len()), aside + usize::from(!own))
    })
}

/// Names are durable only when their folder is.
pub(super) fn sync(directory: &Path) -> Result<(), JournalError> {
    File::open(directory)
        .and_then(|folder| folder.sync_all())
        .map_err(JournalError::io("sync the folder", directory))
}
