//! What things of several servers are called on `/mcp`, and which server a name leads to.
//!
//! Owns the two forms: `server__name` for tools and prompts, `tidegate+server:uri` for a resource whose URI another
//! server has as well. Pure. Depends on the configuration refusing server names with `__` in them.

use std::collections::HashMap;

use tidegate_core::ids::{Digest, ServerName};

/// The most bytes of a tool's or prompt's name: models take no longer ones.
const LONGEST: usize = 64;

/// Bytes of a shortened name before its digest.
const KEPT: usize = 55;

/// Between a server's name and its tool's.
const BETWEEN: &str = "__";

/// What a URI that needs to name its server begins with.
const WRAPPER: &str = "tidegate+";

/// Most names and URIs that one session remembers of each kind.
const MOST: usize = 20_000;

/// What `item` of `server` is called. One that would be too long is cut and gets eight digits of the whole name's
/// SHA-256, so that it stays the same and apart from others.
pub(crate) fn public_name(server: &ServerName, item: &str) -> String {
    let whole = format!("{server}{BETWEEN}{item}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let mut end = KEPT;
    while !whole.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}_{}", whole.get(..end).unwrap_or_default(), Digest::of(whole.as_bytes()).short(8))
}

/// Whether a name may be one that was cut.
pub(crate) fn looks_cut(name: &str) -> bool {
    let digits = name.rsplit_once('_').map(|(_, digits)| digits);
    name.len() > KEPT && digits.is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The server and the item that a name says; `None` for a name that says none.
pub(crate) fn parted(name: &str) -> Option<(&str, &str)> {
    name.split_once(BETWEEN).filter(|(server, item)| !server.is_empty() && !item.is_empty())
}

/// A URI of `server` that says so.
pub(crate) fn wrapped(server: &ServerName, uri: &str) -> String {
    format!("{WRAPPER}{server}:{uri}")
}

/// The server and the URI of a wrapped one.
pub(crate) fn unwrapped(uri: &str) -> Option<(&str, &str)> {
    uri.strip_prefix(WRAPPER)?.split_once(':').filter(|(server, rest)| !server.is_empty() && !rest.is_empty())
}

/// Where the names and URIs lead that a session was shown.
#[derive(Default)]
pub(crate) struct Shown {
    /// Tools and prompts by their own names.
    items: HashMap<(Kind, Box<str>), Vec<ServerName>>,
    /// Names that were cut.
    cut: HashMap<Box<str>, (ServerName, Box<str>)>,
    /// Who has a URI unwrapped.
    uris: HashMap<Box<str>, ServerName>,
    /// Templates, with who has them unwrapped.
    templates: HashMap<Box<str>, ServerName>,
}

/// Of what kind a named item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Tool,
    Prompt,
}

/// What a name without a server's leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    /// One server has it.
    One(ServerName),
    /// Several have it.
    Many(Vec<ServerName>),
    /// None is known to have it.
    None,
}

impl Shown {
    /// Notes an item and gives what it is called.
    pub(crate) fn name(&mut self, kind: Kind, server: &ServerName, item: &str) -> String {
        let name = public_name(server, item);
        if self.items.len() < MOST {
            let servers = self.items.entry((kind, item.into())).or_default();
            if !servers.contains(server) {
                servers.push(server.clone());
            }
        }
        if !name.ends_with(item) && self.cut.len() < MOST {
            self.cut.insert(name.as_str().into(), (server.clone(), item.into()));
        }
        name
    }

    /// Who has an item that was named without its server.
    pub(crate) fn bare(&self, kind: Kind, item: &str) -> Bare {
        match self.items.get(&(kind, item.into())).map(Vec::as_slice) {
            Some([one]) => Bare::One(one.clone()),
            Some([]) | None => Bare::None,
            Some(many) => Bare::Many(many.to_vec()),
        }
    }

    /// What a name that was cut stands for.
    pub(crate) fn cut(&self, name: &str) -> Option<(ServerName, &str)> {
        self.cut.get(name).map(|(server, item)| (server.clone(), &**item))
    }

    /// Notes a URI and gives what it is called: itself, unless another server has it or there is no room to remember.
    pub(crate) fn uri(&mut self, server: &ServerName, uri: &str) -> String {
        unwrapped_for(&mut self.uris, server, uri)
    }

    /// As [`Self::uri`], for a template.
    pub(crate) fn template(&mut self, server: &ServerName, template: &str) -> String {
        unwrapped_for(&mut self.templates, server, template)
    }

    /// What a URI that `server` speaks of is called, without noting it.
    pub(crate) fn uri_of(&self, server: &ServerName, uri: &str) -> String {
        match self.uris.get(uri) {
            Some(owner) if owner != server => wrapped(server, uri),
            _ => uri.to_owned(),
        }
    }

    /// Whose URI this is: the one it was shown for, else the one with the most specific template that begins as it
    /// does. `None` where nobody's or more than one's.
    pub(crate) fn owner(&self, uri: &str) -> Option<ServerName> {
        if let Some(owner) = self.uris.get(uri).or_else(|| self.templates.get(uri)) {
            return Some(owner.clone());
        }
        let mut best: Option<(usize, &ServerName, bool)> = None;
        for (template, server) in &self.templates {
            let literal = template.split('{').next().unwrap_or_default();
            if literal.is_empty() || !uri.starts_with(literal) {
                continue;
            }
            best = match best {
                Some((length, owner, _)) if length == literal.len() => Some((length, owner, owner == server)),
                Some((length, ..)) if length > literal.len() => best,
                _ => Some((literal.len(), server, true)),
            };
        }
        best.filter(|(.., alone)| *alone).map(|(_, server, _)| server.clone())
    }
}

fn unwrapped_for(table: &mut HashMap<Box<str>, ServerName>, server: &ServerName, text: &str) -> String {
    match table.get(text) {
        Some(owner) if owner == server => text.to_owned(),
        None if table.len() < MOST && !text.starts_with(WRAPPER) => {
            table.insert(text.into(), server.clone());
            text.to_owned()
        }
        _ => wrapped(server, text),
    }
}

#[cfg(test)]
mod tests;
