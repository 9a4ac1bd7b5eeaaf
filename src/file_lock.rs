//! A lock that other processes meet, on a file.

use std::{
    fs::{File, TryLockError},
    ops::Deref,
};

/// A file that is locked until this is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct FileLock(File);

impl FileLock {
    /// Does not wait for who holds it.
    pub(crate) fn try_take(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Deref for FileLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for FileLock {
    /// To close the file is not enough: between its `fork` and its `exec` a child has a copy of the descriptor, and the
    /// lock lives as long as any copy does.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let held = FileLock::try_take(open()).unwrap();
        let as_a_child_has_it = held.try_clone().unwrap();
        assert!(matches!(FileLock::try_take(open()), Err(TryLockError::WouldBlock)));
        drop(held);
        FileLock::try_take(open()).unwrap();
        drop(as_a_child_has_it);
    }
}
