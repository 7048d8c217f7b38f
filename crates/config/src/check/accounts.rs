//! Checks of what a provider's account needs: the settings that its address is made of, and where its tokens come from.
//!
//! Never asks anybody for a token. Called by `providers`.

use tidegate_upstream::address::parse_destination;

use super::Checker;
use crate::{
    codes,
    document::{Credentials, Provider},
    node::join,
    problem::quote,
    reference::{NotReference, Reference},
    vendor::{SETTINGS, Scheme, Variable, Vendor, allowed, fits},
};

/// The ways to a token, by what has to be written for each.
const AZURE: [&[&str]; 3] = [
    &["tenant_id", "client_id", "client_secret"],
    &["tenant_id", "client_id", "federated_token_file"],
    &["managed_identity"],
];
const GOOGLE: [&[&str]; 3] = [&["service_account"], &["external_account"], &["metadata_server"]];

impl Checker<'_> {
    /// The settings that the address is made of.
    pub(super) fn settings(&mut self, path: &str, name: &str, provider: &Provider, vendor: &Vendor) {
        for setting in SETTINGS {
            let at = join(path, setting);
            let Some(written) = provider.setting(setting) else { continue };
            let variable = vendor.variables.iter().find(|variable| variable.name == setting);
            match variable {
                // A signature names the region, wherever it is sent.
                Some(_) if provider.base_url.is_some() && vendor.scheme != Scheme::Aws => self.error_at_name(
                    codes::IDLE_SETTING,
                    &at,
                    format!("`{setting}` is part of the usual address, and this provider has a `base_url`"),
                    "remove one of the two",
                ),
                Some(_) => self.setting(&at, setting, written),
                None if vendor.takes(setting) => {}
                None => {
                    let hint = match vendor.variables.as_slice() {
                        [] => String::from("remove it"),
                        known => {
                            let known: Vec<String> = known.iter().map(|one| format!("`{}`", one.name)).collect();
                            format!("remove it; this type has {}", known.join(" and "))
                        }
                    };
                    let message = format!("the address of type {} has no `{setting}`", quote(&vendor.name));
                    self.error_at_name(codes::IDLE_SETTING, &at, message, hint);
                }
            }
        }
        if provider.base_url.is_none() {
            for variable in vendor.variables.iter().filter(|variable| provider.setting(&variable.name).is_none()) {
                self.implied_setting(path, name, variable);
            }
        }
    }

    /// A setting that is written: text, or a reference to it.
    fn setting(&mut self, at: &str, setting: &str, written: &str) {
        // What a reference leads to is not printed: it may have been meant for another field.
        let (good, what) = match Reference::parse(written) {
            Ok(reference) => match self.resolve(at, &reference) {
                Some(value) => (fits(setting, value.expose()), format!("what `{reference}` holds")),
                None => return,
            },
            Err(NotReference::Literal) => (fits(setting, written), quote(written)),
            Err(_) => {
                self.secret(at, written);
                return;
            }
        };
        if !good {
            let message = format!("{what} cannot stand in an address as `{setting}`");
            self.error(codes::BAD_SETTING, at, message, allowed(setting));
        }
    }

    /// A setting that is not written: its usual variable, its usual value, or an error.
    fn implied_setting(&mut self, path: &str, name: &str, variable: &Variable) {
        let at = join(path, &variable.name);
        if self.unread.contains(&at) {
            return;
        }
        let there = variable
            .env
            .iter()
            .find(|known| self.environment.variable(known).is_some_and(|value| !value.trim().is_empty()));
        match there {
            Some(known) if self.options.secrets => self.setting(&at, &variable.name, &format!("env:{known}")),
            _ if variable.default.is_some() => {}
            // Without a look at the machine it runs on, its variable may well be there.
            _ if !self.options.secrets && !variable.env.is_empty() => {}
            _ => {
                let message = format!("provider {} needs `{}`: {}", quote(name), variable.name, variable.what);
                let or = match variable.env.first() {
                    Some(known) => format!(", or set {known}"),
                    None => String::new(),
                };
                let hint = format!("add for example `{}: {}`{or}", variable.name, variable.example);
                self.error_at_name(codes::NO_SETTING, path, message, hint);
            }
        }
    }

    /// Where tokens come from.
    pub(super) fn credentials(&mut self, path: &str, provider: &Provider, vendor: &Vendor) {
        let at = join(path, "credentials");
        let Some(credentials) = &provider.credentials else {
            if vendor.scheme == Scheme::Google && provider.key.is_none() && !self.unread.contains(&at) {
                self.error_at_name(
                    codes::BAD_CREDENTIALS,
                    path,
                    format!("a provider of type {} needs `credentials`", quote(&vendor.name)),
                    "write for example `credentials: { metadata_server: true }`, or `service_account: file:PATH` in it",
                );
            }
            return;
        };
        let ways = match vendor.scheme {
            Scheme::Azure(_) => &AZURE,
            Scheme::Google => &GOOGLE,
            _ => {
                let message = format!("a provider of type {} takes a `key`, not `credentials`", quote(&vendor.name));
                self.error_at_name(codes::BAD_CREDENTIALS, &at, message, "write `key: env:NAME` in its place");
                return;
            }
        };
        if provider.key.is_some() {
            self.error_at_name(codes::BAD_CREDENTIALS, &at, "a provider has a `key` or `credentials`", "remove one");
        }
        for (field, secret) in credentials.references() {
            self.secret(&join(&at, field), secret);
        }
        let written = credentials.written();
        // What goes with every way of one kind of vendor.
        let besides: &[&str] = match vendor.scheme {
            _ if written.contains(&"managed_identity") => &["scope", "client_id"],
            Scheme::Azure(_) => &["scope", "authority"],
            _ => &["scope"],
        };
        let complete = ways.iter().any(|way| {
            way.iter().all(|field| written.contains(field))
                && written.iter().all(|field| way.contains(field) || besides.contains(field))
        });
        if !complete {
            let ways: Vec<String> = ways.iter().map(|way| format!("`{}`", way.join("`, `"))).collect();
            let message = format!("these `credentials` are no whole way to a token: write {}", ways.join("; or "));
            self.error_at_name(codes::BAD_CREDENTIALS, &at, message, "remove what belongs to another way");
        }
        let authority = credentials
            .authority
            .as_deref()
            .filter(|authority| !authority.starts_with("https://") || parse_destination(authority).is_err());
        if let Some(authority) = authority {
            let message = format!("{} is no address of Entra ID", quote(authority));
            let hint = "write for example `https://login.microsoftonline.us`";
            self.error(codes::BAD_SETTING, &join(&at, "authority"), message, hint);
        }
        let tenant = credentials.tenant_id.as_deref().filter(|tenant| !fits("host", tenant));
        if let Some(tenant) = tenant {
            let message = format!("{} is no tenant", quote(tenant));
            self.error(codes::BAD_SETTING, &join(&at, "tenant_id"), message, "write its id or its domain");
        }
    }
}

impl Credentials {
    /// The fields that are references, with what is written.
    fn references(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("client_secret", self.client_secret.as_deref()),
            ("service_account", self.service_account.as_deref()),
            ("external_account", self.external_account.as_deref()),
        ]
        .into_iter()
        .filter_map(|(field, text)| Some((field, text?)))
    }

    /// The fields that say something.
    fn written(&self) -> Vec<&'static str> {
        let texts = [
            ("tenant_id", self.tenant_id.is_some()),
            ("client_id", self.client_id.is_some()),
            ("client_secret", self.client_secret.is_some()),
            ("federated_token_file", self.federated_token_file.is_some()),
            ("managed_identity", self.managed_identity),
            ("authority", self.authority.is_some()),
            ("service_account", self.service_account.is_some()),
            ("external_account", self.external_account.is_some()),
            ("metadata_server", self.metadata_server),
            ("scope", self.scope.is_some()),
        ];
        texts.into_iter().filter(|(_, written)| *written).map(|(field, _)| field).collect()
    }
}
