//! Checks of names, and of what concerns the gateway as a whole.

use std::time::Duration;

use super::{Checker, Mode};
use crate::{
    codes,
    document::{Size, Time},
    node::join,
    problem::quote,
};

impl Checker<'_> {
    /// Names that other names, paths and metrics can be made of.
    pub(super) fn names(&mut self) {
        let document = self.document;
        let plain = |name: &str| valid(name, "._-");
        let section = |names: Vec<&String>, section: &'static str| -> Vec<(String, String)> {
            names.into_iter().map(|name| (section.to_owned(), name.clone())).collect()
        };
        let all = [
            section(document.providers.keys().collect(), "providers"),
            section(document.guardrails.keys().collect(), "guardrails"),
            section(document.mcp_servers.keys().collect(), "mcp_servers"),
            section(document.keys.keys().collect(), "keys"),
            section(document.teams.keys().collect(), "teams"),
            section(document.budgets.keys().collect(), "budgets"),
        ];
        for (section, name) in all.into_iter().flatten().filter(|(_, name)| !plain(name)) {
            let message = format!("{} cannot be a name here", quote(&name));
            self.error_at_name(codes::BAD_NAME, &join(&section, &name), message, NAME_HINT);
        }
        for name in document.models.keys().filter(|name| !valid(name, "._-:@")) {
            let hint = if name.contains('/') {
                "`/` parts provider and model, so an alias cannot have one"
            } else {
                "use 1 to 64 letters, digits, `.`, `_`, `-`, `:` and `@`, a letter or digit first"
            };
            let message = format!("{} cannot be a model's name", quote(name));
            self.error_at_name(codes::BAD_NAME, &join("models", name), message, hint);
        }
        for name in document.mcp_servers.keys().filter(|name| name.contains("__")) {
            let message = format!("{} holds `__`, which parts server and tool", quote(name));
            self.error_at_name(codes::BAD_NAME, &join("mcp_servers", name), message, "use a single `_`, or `-`");
        }
    }

    pub(super) fn whole(&mut self) {
        let document = self.document;
        for (at, host) in document.hosts.iter().enumerate().filter(|(_, host)| !host_name(host)) {
            let message = format!("{} is no host name", quote(host));
            let hint = "write a name or address, with a port where it matters: `gateway.example:8443`";
            self.error(codes::BAD_HOST, &format!("hosts[{at}]"), message, hint);
        }
        self.repeated("hosts", &document.hosts);
        self.public_url();
        if self.options.mode == Mode::Serve && self.options.public_listener && document.hosts.is_empty() {
            self.error(
                codes::HOSTS_NEEDED,
                "hosts",
                "`hosts` is missing, and the gateway listens where other machines reach it",
                "add the names that clients use, for example `hosts: [gateway.example]`",
            );
        }
        if let Some(Size(body)) = document.limits.body
            && !(1_024..=256 << 20).contains(&body)
        {
            let message = "the largest body is from 1KiB to 256MiB";
            self.error(codes::OUT_OF_RANGE, "limits.body", message, "write for example `32MiB`");
        }
        if document.limits.concurrent == Some(0) {
            let message = "with 0 calls at the same time, every call is refused";
            self.error(codes::OUT_OF_RANGE, "limits.concurrent", message, "write 1 or more, or remove it");
        }
        let limits = &document.limits;
        for (name, time) in [
            ("header_timeout", limits.header_timeout),
            ("body_timeout", limits.body_timeout),
            ("send_timeout", limits.send_timeout),
        ] {
            if time.is_some_and(|Time(time)| !(Duration::from_millis(100)..=Duration::from_secs(600)).contains(&time)) {
                let message = "a client's time is from 100ms to 10min";
                self.error(codes::OUT_OF_RANGE, &format!("limits.{name}"), message, "write for example `20s`");
            }
        }
        self.batches();
        if document.audit.retention.is_some_and(|Time(time)| time.as_secs() < 60) {
            let message = "bodies are kept for at least a minute";
            self.error(codes::OUT_OF_RANGE, "audit.retention", message, "write for example `30d`, or `bodies: off`");
        }
    }

    fn batches(&mut self) {
        let batches = &self.document.batches;
        if batches.concurrent.is_some_and(|most| !(1..=1_000).contains(&most)) {
            let message = "from 1 to 1,000 lines run at the same time";
            self.error(codes::OUT_OF_RANGE, "batches.concurrent", message, "write for example `8`");
        }
        if batches.file.is_some_and(|Size(size)| !(1_024..=200 << 20).contains(&size)) {
            let message = "the largest file of a batch is from 1KiB to 200MiB";
            self.error(codes::OUT_OF_RANGE, "batches.file", message, "write for example `200MiB`");
        }
        if batches.keep.is_some_and(|Time(time)| time < Duration::from_secs(3_600)) {
            let message = "files are kept for at least an hour";
            self.error(codes::OUT_OF_RANGE, "batches.keep", message, "write for example `30d`");
        }
    }

    fn public_url(&mut self) {
        let document = self.document;
        let Some(text) = &document.public_url else { return };
        let before = self.problems.len();
        self.url("public_url", text, "https://gateway.example");
        if self.problems.len() > before {
            return;
        }
        let Ok(url) = url::Url::parse(text) else { return };
        if url.query().is_some() || url.path() != "/" {
            let message = "the URL has a path or a query; it names the gateway as a whole";
            self.error(codes::BAD_URL, "public_url", message, "write scheme, host and port only");
        }
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let listed = document.hosts.iter().any(|listed| {
            listed.eq_ignore_ascii_case(host)
                || listed.eq_ignore_ascii_case(&authority)
                || listed.strip_prefix('*').is_some_and(|suffix| host.ends_with(&suffix.to_ascii_lowercase()))
        });
        if !document.hosts.is_empty() && !listed {
            let message = format!("{} is not among `hosts`", quote(host));
            self.error(codes::PUBLIC_URL_HOST, "public_url", message, "add it to `hosts`");
        }
    }
}

const NAME_HINT: &str = "use 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first";

/// Whether a text is a name: 1 to 64 letters, digits and `marks`, a letter or digit first.
pub(crate) fn valid(name: &str, marks: &str) -> bool {
    name.len() <= 64
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || marks.contains(letter))
}

/// Whether a text is a host, with an optional port and an optional `*.` before it.
fn host_name(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let port = if rest.is_empty() { None } else { rest.strip_prefix(':').or(Some("")) };
            return address.parse::<std::net::Ipv6Addr>().is_ok() && port.is_none_or(port_number);
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let labels = host.strip_prefix("*.").unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && labels.split('.').all(label) && port.is_none_or(port_number)
}

fn port_number(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}
