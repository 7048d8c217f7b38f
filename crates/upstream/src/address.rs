//! The SSRF guard: which addresses the gateway may open a connection to, and which spellings of a destination it
//! takes.
//!
//! Pure: takes addresses and texts, gives verdicts. `connect` asks it about every address after name resolution and
//! right before connecting, so that a name that changes its mind (DNS rebinding) gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why a destination or an address is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is no URL.
    #[error("`{text}` is no URL: {why}; write it like `https://api.example.com/v1`")]
    NotAUrl {
        /// The text, cut to 200 characters, without credentials.
        text: String,
        /// What the parser says.
        why: String,
    },
    /// The URL has a part that a destination must not have.
    #[error("a destination has {what}: {hint}")]
    Unsupported {
        /// The part.
        what: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The host is a number in disguise.
    #[error("the host `{host}` is a number that is no plain dotted address: write the address in its usual form")]
    NumericHost {
        /// The host as it was written.
        host: String,
    },
    /// The address belongs to a range that is never connected to, or only where the destination is named for it.
    #[error("{address} is {range}, and this destination may not go there")]
    Forbidden {
        /// The address.
        address: IpAddr,
        /// Which range it belongs to.
        range: &'static str,
    },
}

/// Reads a destination as a configuration gives it: `http` or `https`, no user name or password, no fragment, and a
/// host in its plain form (`http://2130706433/`, `http://0x7f.1/` and `http://0177.0.0.1/` are refused, although the
/// WHATWG URL standard reads them as 127.0.0.1).
///
/// # Errors
/// An [`AddressError`] that says which part is wrong.
pub fn parse_destination(text: &str) -> Result<Url, AddressError> {
    let url = Url::parse(text).map_err(|error| AddressError::NotAUrl {
        text: text.rsplit_once('@').map_or(text, |(_, rest)| rest).chars().take(200).collect(),
        why: error.to_string(),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AddressError::Unsupported { what: "a scheme that is not http or https", hint: "use https" });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError::Unsupported {
            what: "a user name or password",
            hint: "give the credential in the provider's `key` instead",
        });
    }
    if url.fragment().is_some() {
        return Err(AddressError::Unsupported { what: "a fragment", hint: "remove what follows the `#`" });
    }
    if let Some(Host::Ipv4(address)) = url.host()
        && written_host(text).is_none_or(|written| written != address.to_string())
    {
        return Err(AddressError::NumericHost { host: written_host(text).unwrap_or_default().to_owned() });
    }
    Ok(url)
}

/// Whether a URL leads to this machine itself.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The host as it stands in the text, before a URL parser made an address of it.
fn written_host(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    Some(authority.rsplit_once(':').map_or(authority, |(host, _)| host))
}

/// Whether a host looks like a number to a system resolver without being a plain address: `127.1`, `0x7f000001`,
/// `017700000001`. Resolvers read such names as addresses, so they are never asked.
pub(crate) fn is_disguised_number(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() {
        return false;
    }
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => numeric(last),
    }
}

/// Whether the gateway may connect to `address`.
///
/// With `allow_private` (the destination's host was named in the configuration for it) loopback, private networks,
/// carrier-grade NAT and unique local addresses pass; link-local (where clouds keep their metadata), multicast,
/// unspecified, reserved and the transition ranges that hide another address never do.
///
/// # Errors
/// [`AddressError::Forbidden`], naming the range.
pub fn check_address(address: IpAddr, allow_private: bool) -> Result<(), AddressError> {
    let verdict = match address {
        IpAddr::V4(v4) => range_v4(v4),
        IpAddr::V6(v6) => range_v6(v6),
    };
    match verdict {
        Range::Public => Ok(()),
        Range::Private(_) if allow_private => Ok(()),
        Range::Private(range) | Range::Never(range) => Err(AddressError::Forbidden { address, range }),
    }
}

/// Whether the gateway may connect to `address` to ask for an identity of its own: the services of clouds that say who
/// a machine is stand on link-local addresses, or on the machine itself. For nothing that comes from a configuration or
/// a caller.
///
/// # Errors
/// [`AddressError::Forbidden`] for every other address.
pub(crate) fn check_metadata(address: IpAddr) -> Result<(), AddressError> {
    let there = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_loopback(),
        // AWS and Google Cloud.
        IpAddr::V6(v6) => v6.is_loopback() || matches!(v6.segments(), [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..]),
    };
    let range = "no place where a cloud keeps its metadata service";
    if there { Ok(()) } else { Err(AddressError::Forbidden { address, range }) }
}

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// On the public network.
    Public,
    /// Only for destinations that were named for it.
    Private(&'static str),
    /// Never.
    Never(&'static str),
}

/// The special-purpose ranges of IPv4 (RFC 6890 and its registry).
fn range_v4(address: Ipv4Addr) -> Range {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Range::Never("the unspecified network (0.0.0.0/8)"),
        (127, ..) => Range::Private("a loopback address"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Range::Private("a private address (RFC 1918)"),
        (100, 64..=127, _) => Range::Private("a carrier-grade NAT address (100.64.0.0/10)"),
        (169, 254, _) => Range::Never("a link-local address, where clouds keep their metadata service"),
        (192, 0, 0) => Range::Never("a protocol assignment (192.0.0.0/24)"),
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => Range::Never("a documentation address"),
        (192, 88, 99) => Range::Never("a 6to4 relay address"),
        (198, 18..=19, _) => Range::Never("a benchmarking address"),
        (224..=239, ..) => Range::Never("a multicast address"),
        (240..=255, ..) => Range::Never("a reserved address"),
        _ => Range::Public,
    }
}

/// The special-purpose ranges of IPv6, and what addresses that carry an IPv4 address inside carry.
fn range_v6(address: Ipv6Addr) -> Range {
    if address.is_unspecified() {
        return Range::Never("the unspecified address");
    }
    if address.is_loopback() {
        return Range::Private("a loopback address");
    }
    if let Some(mapped) = address.to_ipv4_mapped() {
        return range_v4(mapped);
    }
    let [a, b, c, d, e, f, ..] = address.segments();
    match (a, b) {
        (0x64, 0xff9b) => Range::Never("a NAT64 address, which hides an IPv4 address"),
        (0x2001, 0) => Range::Never("a Teredo address, which hides an IPv4 address"),
        (0x2001, 0x0db8) => Range::Never("a documentation address"),
        (0x2001, 0x0010..=0x002f) => Range::Never("an ORCHID identifier"),
        (0x2002, _) => Range::Never("a 6to4 address, which hides an IPv4 address"),
        (0x3fff, 0..=0x0fff) => Range::Never("a documentation address"),
        (0x5f00, _) => Range::Never("a segment routing identifier"),
        (0x0100, 0) if c == 0 && d == 0 => Range::Never("a discard-only address"),
        (0, 0) if c == 0 && d == 0 && (e == 0 || (e == 0xffff && f == 0)) => {
            Range::Never("an IPv4-compatible or IPv4-translated address")
        }
        // The cloud metadata services of AWS and GCP over IPv6 stand inside the unique local range.
        (0xfd00, 0x0ec2) | (0xfd20, 0x00ce) => Range::Never("a cloud's metadata service"),
        (0xfc00..=0xfdff, _) => Range::Private("a unique local address"),
        (0xfe80..=0xfebf, _) => Range::Never("a link-local address"),
        (0xfec0..=0xfeff, _) => Range::Never("a site-local address (fec0::/10)"),
        (0xff00..=0xffff, _) => Range::Never("a multicast address"),
        (0x2000..=0x3fff, _) => Range::Public,
        _ => Range::Never("outside the globally routed range (2000::/3)"),
    }
}

#[cfg(test)]
mod tests;
