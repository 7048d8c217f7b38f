//! The data directory: who may read it, whether there is room, whether its log holds.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tidegate_audit::verify::verify;

use super::Look;
use crate::directory::Directory;

/// Less room than this is too little to go on, in bytes.
const TOO_LITTLE: u64 = 256 << 20;
/// Less room than this should be known, in bytes.
const LITTLE: u64 = 2 << 30;

/// Who may read and write the data directory.
pub(super) fn directory(directory: &Directory) -> Vec<Look> {
    let what = "data directory";
    let root = directory.root();
    let keys = directory.keys();
    let Ok(metadata) = fs::metadata(root) else {
        return vec![Look::ok(what, format!("{} is not there yet: the first start makes it", root.display()))];
    };
    let mut looks = Vec::new();
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me && me != 0 {
        let fix = format!("start the gateway as its owner, or: chown -R $(id -u) {}", root.display());
        looks.push(Look::fail(what, format!("{} belongs to somebody else", root.display()), fix));
    }
    for (path, most) in secrets(&keys) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & !most != 0 {
            let said = format!("{} has mode {mode:o}: others can reach its secrets", path.display());
            looks.push(Look::fail(what, said, format!("chmod {most:o} {}", path.display())));
        }
    }
    if looks.is_empty() {
        looks.push(Look::ok(what, format!("{}: secrets are readable by their owner only", root.display())));
    }
    looks
}

/// What holds secrets, and the most that others may have of it.
fn secrets(keys: &Path) -> Vec<(PathBuf, u32)> {
    let inside = fs::read_dir(keys).into_iter().flatten().flatten().map(|entry| (entry.path(), 0o600));
    std::iter::once((keys.to_path_buf(), 0o700)).chain(inside).collect()
}

/// Whether there is room for the log to grow.
pub(super) fn space(directory: &Directory) -> Look {
    let root = directory.root();
    // Where the directory will be, there is the room that it will have.
    let there = root.ancestors().find(|path| path.is_dir()).unwrap_or_else(|| Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    match rustix::fs::statvfs(there) {
        Ok(stat) => room(stat.f_bavail.saturating_mul(stat.f_frsize)),
        Err(error) => {
            Look::warn("disk", format!("the room cannot be told: {error}"), format!("df -h {}", there.display()))
        }
    }
}

fn room(free: u64) -> Look {
    let said = format!("{} MiB are free", free >> 20);
    let fix = "make room, or move the data directory: without room no call can be recorded, and none is made";
    match free {
        ..TOO_LITTLE => Look::fail("disk", said, fix),
        TOO_LITTLE..LITTLE => Look::warn("disk", said, fix),
        _ => Look::ok("disk", said),
    }
}

/// Whether the audit log holds.
pub(super) fn log(directory: &Directory) -> Look {
    let dir = directory.audit();
    if !dir.is_dir() {
        return Look::ok("audit log", "not there yet: the first start makes it");
    }
    match verify(&dir, None) {
        Ok(report) => {
            Look::ok("audit log", format!("holds: {} entries, every hash and the signature agree", report.size))
        }
        Err(error) => Look::fail(
            "audit log",
            error.to_string(),
            format!("keep {} as it is and find out who changed it: tidegate audit verify {0}", dir.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::State;

    #[test]
    fn secrets_that_others_can_read_fail_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = Directory::at(folder.path());
        data.create().unwrap();
        data.admin_token().unwrap();
        assert!(directory(&data).iter().all(|look| look.state == State::Ok));
        let token = data.keys().join("admin-token");
        fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
        let looks = directory(&data);
        assert_eq!(looks[0].state, State::Fail);
        assert_eq!(looks[0].fix.as_deref(), Some(format!("chmod 600 {}", token.display()).as_str()));
        assert!(Directory::at(folder.path().join("none")).root().parent().is_some());
    }

    #[test]
    fn room_is_judged_by_what_is_left() {
        assert_eq!(room(0).state, State::Fail);
        assert_eq!(room(1 << 30).state, State::Warn);
        assert_eq!(room(1 << 40).state, State::Ok);
        let folder = tempfile::tempdir().unwrap();
        assert!(space(&Directory::at(folder.path().join("not/yet"))).said.ends_with("are free"));
    }
}
