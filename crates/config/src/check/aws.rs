//! Checks of what providers of type `bedrock` say of AWS, and what the machine says where they say nothing.
//!
//! Owns the order in which keys are looked for, which is that of AWS's own SDKs as far as it goes: a bearer key, keys in
//! variables, a web identity, a profile, the container's endpoint; else the machine is asked when a call needs it. What
//! was found is kept beside the other secrets, for the snapshot.

use std::path::PathBuf;

use tidegate_core::secret::Secret;

use super::{Checker, implied_key_path};
use crate::{
    codes,
    document::{Aws, Provider},
    node::join,
    problem::quote,
    reference::Reference,
    vendor::{Scheme, Vendor},
};

/// The largest file of profiles that is read.
const LARGEST_FILE: usize = 256 * 1024;

/// The variables that hold keys, and under which names they are kept.
const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "secret_access_key"),
    ("AWS_SESSION_TOKEN", "session_token"),
];

/// The variables of a web identity.
const WEB_IDENTITY: [(&str, &str); 3] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file"),
    ("AWS_ROLE_ARN", "web_identity_role"),
    ("AWS_ROLE_SESSION_NAME", "session_name"),
];

/// The variables by which containers say where their keys are.
const CONTAINER: [(&str, &str); 4] = [
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "container_uri"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "container_uri"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container_token"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "container_token_file"),
];

impl Checker<'_> {
    pub(super) fn aws(&mut self, path: &str, name: &str, provider: &Provider, vendor: &Vendor) {
        let at = join(path, "aws");
        if vendor.scheme != Scheme::Aws {
            if provider.aws.is_some() {
                let message = format!("`aws` means nothing to a provider of type `{}`", vendor.name);
                self.error(codes::SCHEMA_NAME, &at, message, "remove it, or give the provider `type: bedrock`");
            }
            return;
        }
        self.aws_region(path, provider);
        match (&provider.aws, &provider.key) {
            (Some(_), Some(_)) => self.error(
                codes::SCHEMA_NAME,
                &at,
                "a provider has either a `key`, which is sent as it is, or keys of `aws`, which sign",
                "remove one of the two",
            ),
            (_, Some(_)) => {}
            // What the machine's variables hold is for AWS's own addresses: it must not go elsewhere unasked.
            (None, None) if provider.base_url.is_some() => {}
            (None, None) => {
                let bearer = vendor.env.iter().find(|variable| self.has_variable(variable)).cloned();
                match bearer {
                    Some(variable) => drop(self.resolve(&implied_key_path(name), &Reference::Variable(variable))),
                    None => self.aws_keys(&at, &Aws::default()),
                }
            }
            (Some(aws), None) => self.aws_keys(&at, aws),
        }
    }

    fn aws_region(&mut self, path: &str, provider: &Provider) {
        let at = join(path, "region");
        let found = match &provider.region {
            Some(region) => Some(region.clone()),
            None => ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|variable| self.variable(variable)),
        };
        // What it is made of, `settings` checks where the address names it; what a reference leads to, it has found.
        let Some(region) = found.filter(|region| Reference::parse(region).is_err()) else { return };
        let checked = provider.region.is_some() || provider.base_url.is_none();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || region.len() > 32 || !region.bytes().all(plain) {
            if !checked {
                let message = format!("{} is no region of AWS", quote(&region));
                self.error(codes::BAD_SETTING, &at, message, "write for example `region: eu-west-1`");
            }
            return;
        }
        self.secrets.insert(at, Secret::new(region));
    }

    /// Where keys come from: what is written, else the first that the machine has.
    fn aws_keys(&mut self, at: &str, aws: &Aws) {
        let written = [
            ("access_key_id", &aws.access_key_id),
            ("secret_access_key", &aws.secret_access_key),
            ("session_token", &aws.session_token),
        ];
        for (field, text) in written {
            let place = join(at, field);
            match text {
                // An access key's id is no secret.
                Some(text) if field == "access_key_id" && Reference::parse(text).is_err() => {
                    self.secrets.insert(place, Secret::new(text.clone()));
                }
                Some(text) => drop(self.secret(&place, text)),
                None => {}
            }
        }
        let texts = [
            ("role", &aws.role),
            ("external_id", &aws.external_id),
            ("session_name", &aws.session_name),
            ("web_identity_token_file", &aws.web_identity_token_file),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                self.secrets.insert(join(at, field), Secret::new(text.clone()));
            }
        }
        match (&aws.access_key_id, &aws.secret_access_key) {
            (Some(_), None) | (None, Some(_)) => {
                let message = "`access_key_id` and `secret_access_key` belong together";
                self.error_at_name(codes::MISSING_FIELD, at, message, "write both, or neither");
                return;
            }
            (Some(_), Some(_)) => return,
            (None, None) => {}
        }
        match (&aws.web_identity_token_file, &aws.role, &aws.profile) {
            (Some(_), None, _) => {
                let message = "a `web_identity_token_file` needs the `role` that trusts it";
                self.error_at_name(codes::MISSING_FIELD, at, message, "add `role: arn:aws:iam::…`");
            }
            (Some(_), Some(_), _) => {}
            (None, _, Some(profile)) => self.profile(at, profile),
            (None, _, None) => self.machines_keys(at),
        }
    }

    /// The first of the machine's own ways to keys.
    fn machines_keys(&mut self, at: &str) {
        if !self.options.secrets {
            return;
        }
        let has = |checker: &Self, names: &[&str]| names.iter().all(|name| checker.has_variable(name));
        let found: &[(&str, &str)] = if has(self, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) {
            &KEYS
        } else if has(self, &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"]) {
            &WEB_IDENTITY
        } else if let Some(profile) = self.variable("AWS_PROFILE") {
            self.profile(at, &profile);
            return;
        } else {
            &CONTAINER
        };
        for (variable, field) in found {
            if let Some(value) = self.variable(variable) {
                self.secrets.entry(join(at, field)).or_insert_with(|| Secret::new(value));
            }
        }
    }

    /// The keys of a profile in the file that AWS's own tools keep.
    fn profile(&mut self, at: &str, profile: &str) {
        if !self.options.secrets {
            return;
        }
        let home = || self.variable("HOME").map(|home| format!("{home}/.aws/credentials"));
        let Some(file) = self.variable("AWS_SHARED_CREDENTIALS_FILE").or_else(home).map(PathBuf::from) else {
            let message = "the file of profiles is not known: neither HOME nor AWS_SHARED_CREDENTIALS_FILE is set";
            self.error_at_name(codes::NO_SECRET_FILE, at, message, "set one of the two before the start");
            return;
        };
        self.watched.push(file.clone());
        let text = match self.environment.read(&file, LARGEST_FILE) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("{} cannot be read: {error}", file.display());
                let hint = "make the file readable for the user that runs tidegate";
                self.error_at_name(codes::NO_SECRET_FILE, at, message, hint);
                return;
            }
        };
        let members = section(&text, profile);
        let value = |name: &str| members.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        if value("aws_access_key_id").is_none() || value("aws_secret_access_key").is_none() {
            let message = format!("{} has no keys of the profile {}", file.display(), quote(profile));
            let hint = "profiles that only name another way to keys are not followed: write that way under `aws`";
            self.error_at_name(codes::NO_SECRET_FILE, at, message, hint);
            return;
        }
        for (_, field) in KEYS {
            if let Some(value) = value(&format!("aws_{field}")) {
                self.secrets.insert(join(at, field), Secret::new(value.to_owned()));
            }
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn has_variable(&self, name: &str) -> bool {
        self.variable(name).is_some()
    }
}

/// The members of the section `[name]` of a file of settings.
fn section<'text>(text: &'text str, name: &str) -> Vec<(&'text str, &'text str)> {
    let mut inside = false;
    let mut members = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = title.trim() == name;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| inside) {
            members.push((name.trim(), value.trim()));
        }
    }
    members
}
