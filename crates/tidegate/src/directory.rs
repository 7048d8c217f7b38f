//! The data directory: its layout, and the secrets that the first start puts there.
//!
//! `state.db`, `audit/`, `blobs/`, `files/`, `answers/`, and `keys/` (mode 0700) with the pepper, the admin token and the
//! log's signing key. `gateway.json` says where the gateway listens. No caller's key stands here but as its HMAC.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use tidegate_core::secret::Secret;

/// The data directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory at `root`, without touching it.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates what is missing, and removes what must not be there any more.
    pub(crate) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.root).with_context(|| format!("cannot create {}", self.root.display()))?;
        let keys = self.keys();
        fs::create_dir_all(&keys).with_context(|| format!("cannot create {}", keys.display()))?;
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot set the mode of {}", keys.display()))?;
        self.forget_quick_start_key()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state.db")
    }

    pub(crate) fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Where answers are stored that are given again.
    pub(crate) fn answers(&self) -> PathBuf {
        self.root.join("answers")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// The gateway's own files, and the lines of its batches.
    pub(crate) fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Where the gateway over this directory listens.
    pub(crate) fn place(&self) -> PathBuf {
        self.root.join("gateway.json")
    }

    /// Up to which leaf of the log the state has everything.
    pub(crate) fn applied(&self) -> PathBuf {
        self.root.join("state.applied")
    }

    /// The pepper under which keys are stored: 32 random bytes, made at the first start.
    pub(crate) fn pepper(&self) -> Result<Vec<u8>> {
        let text = self.secret("pepper")?;
        let bytes = hex::decode(text.expose()).context("keys/pepper is damaged: it must hold hexadecimal digits")?;
        ensure!(bytes.len() == 32, "keys/pepper is damaged: it must hold 64 hexadecimal digits");
        Ok(bytes)
    }

    /// The admin token, made at the first start.
    pub(crate) fn admin_token(&self) -> Result<Secret> {
        self.secret("admin-token")
    }

    /// The admin token of a gateway that has started here before.
    pub(crate) fn existing_admin_token(&self) -> Option<Secret> {
        read(&self.keys().join("admin-token")).ok().flatten()
    }

    /// Removes the file in which earlier versions kept the key of their quick start in the clear.
    fn forget_quick_start_key(&self) -> Result<()> {
        let path = self.keys().join("quick-start");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} holds a key in the clear and cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        let path = self.keys().join(name);
        if let Some(secret) = read(&path)? {
            return Ok(secret);
        }
        let mut bytes = [0_u8; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system has no randomness to give"))?;
        let text = hex::encode(bytes);
        self.write(name, &text)?;
        Ok(Secret::new(text))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        // Written beside and renamed, so that a crash never leaves half a secret.
        let beside = self.keys().join(format!("{name}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, self.keys().join(name))?;
        fs::File::open(self.keys())?.sync_all()?;
        Ok(())
    }
}

/// Where a user's own key is kept.
pub(crate) fn stored_key_place() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(config.join("tidegate/key"))
}

/// The key that the user kept.
pub(crate) fn stored_key() -> Result<Option<Secret>> {
    stored_key_place().map_or(Ok(None), |path| read(&path))
}

fn read(path: &Path) -> Result<Option<Secret>> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(Secret::new(text.trim().to_owned()))),
        Ok(_) => anyhow::bail!("{} is empty: remove it to have it made anew", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
