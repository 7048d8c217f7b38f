//! A small file system of its own, which can be full.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// It is unmounted when this is dropped, also by a test that fails.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one of `size` at `place`, which is made; `None` where this process has no right to, which is printed.
    pub(crate) fn at(place: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let size = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(place).output().unwrap();
        if !done.status.success() {
            println!("not run: mounting a file system needs rights that this process does not have");
            return None;
        }
        Some(Self(place.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Until nothing fits any more.
    pub(crate) fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        while std::io::Write::write_all(&mut filler, &[7; 4096]).is_ok() {}
    }

    /// As before.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        // A panic while another unwinds would end the run.
        if !std::thread::panicking() {
            assert!(done.unwrap().success());
        }
    }
}
