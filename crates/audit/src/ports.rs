//! The port to the disk: the few operations whose failure the log must survive.
//!
//! Owns the trait and its implementation by the operating system. Tests put a disk that fills up or fails behind it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// What the log asks of a disk.
pub trait Disk: Send + Sync + 'static {
    /// Creates a file that does not exist yet, readable and writable by its owner only.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path) -> io::Result<File>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the system says; some of the bytes may have been written.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written to `file`, which may be a directory, is on stable storage.
    ///
    /// # Errors
    /// What the system says. After an error nothing is known of what was written before it.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Gives a file another name, replacing what has that name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
}

/// The operating system's own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    disk.sync(&File::open(dir)?)
}
