//! One file of records, whose room is taken from the disk before anything is written to it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::{JournalError, directory};

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// How much is written.
    pub(super) length: u64,
    capacity: u64,
    path: PathBuf,
    file: File,
}

impl Segment {
    /// Takes the room, durably: an append into it meets no full disk.
    pub(super) fn prepare(directory: &Path, number: u64, capacity: u64) -> Result<Self, JournalError> {
        let path = directory.join(directory::segment_name(number));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(JournalError::io("create", &path))?;
        let taken = allocate(&file, capacity)
            .and_then(|()| file.sync_all())
            .map_err(JournalError::io("reserve room in", &path))
            .and_then(|()| directory::sync(directory));
        if let Err(error) = taken {
            let _ = std::fs::remove_file(&path); // half of it helps nobody
            return Err(error);
        }
        Ok(Self { number, length: 0, capacity, path, file })
    }

    /// How many bytes still fit.
    pub(super) const fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.length)
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.write_all_at(bytes, self.length).map_err(JournalError::io("write", &self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(JournalError::io("sync", &self.path))
    }

    /// Gives back the room that it will not use.
    pub(super) fn finish(self) {
        if let Err(error) = self.file.set_len(self.length) {
            tracing::warn!(%error, segment = %self.path.display(), "journal.room_not_given_back");
        }
    }

    /// Removes a file in which nothing was kept.
    pub(super) fn discard(self) {
        let _ = std::fs::remove_file(&self.path); // the next start looks again
    }
}

/// Blocks of the disk, not only a size. Where the file system cannot, zeros take them.
fn allocate(file: &File, capacity: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, capacity) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = vec![0; 1 << 16];
            let mut left = capacity;
            let mut file = file;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
                file.write_all(&zeros[..part])?;
                left -= part as u64;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
