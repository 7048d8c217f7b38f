//! Surfaces: which path speaks which protocol, and how that protocol shows an error.
//!
//! Owns the table of paths and the shapes of refusals. Decides nothing about a call; `server` calls [`classify`],
//! `decode` and `respond` the rest.

mod bedrock;
pub(crate) mod gemini;
pub(crate) mod mcp;
pub(crate) mod proxied;
pub(crate) mod realtime;

use http::{HeaderMap, Method, Uri};
use tidegate_config::snapshot::Snapshot;
use tidegate_core::{
    fault::{Fault, FaultCode},
    ids::ServerName,
};
use tidegate_protocol::{
    llm::{Dialect, ErrorKind, Named, Operation},
    native::{NativePath, PathError},
};

/// The protocol that a caller speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Surface {
    /// A dialect of model calls.
    Model(Dialect),
    /// The Model Context Protocol over Streamable HTTP.
    Mcp,
}

impl Surface {
    /// The surface's name in facts, records and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Model(dialect) => dialect.surface(),
            Self::Mcp => "mcp",
        }
    }

    /// The dialect of model calls, where this is one.
    pub(crate) fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Model(dialect) => Some(dialect),
            Self::Mcp => None,
        }
    }
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A call of a model, and what the path says of it.
    Model(Operation, Option<Named>),
    /// The list of models.
    Models,
    /// One model's entry.
    OneModel(String),
    /// An MCP server: the body says what.
    Mcp(ServerName),
    /// A vendor's own API: the path below its version, and the query.
    Native(NativePath, Option<String>),
    /// All MCP servers that the caller may use.
    McpAll,
    /// A live session with this model.
    Live(String),
    /// A WebSocket of answers: each frame asks for one.
    Answers,
    /// A path of a named provider: what it asks is known once the provider is.
    Proxied(proxied::Proxied),
}

/// A path's surface and endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entrance {
    pub(crate) surface: Surface,
    pub(crate) endpoint: Endpoint,
}

/// Whether a request asks no more than whether somebody is there: coding agents do before their first call. It is no
/// call, takes no key and is told nothing.
pub(crate) fn is_knock(method: &Method, uri: &Uri) -> bool {
    *method == Method::HEAD && uri.path() == "/"
}

/// Moves a key that stands in the address into its header, so that nothing else gets to see it.
pub(crate) fn take_key(uri: &mut Uri, headers: &mut HeaderMap) {
    gemini::take_key(uri, headers);
    realtime::take_key(headers);
}

/// Which surface and endpoint a request's head means. The error is in the shape of the surface it looks like.
pub(crate) fn classify(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Entrance, (Surface, Fault)> {
    if let Some(found) = gemini::classify(method, uri, headers) {
        return found;
    }
    if let Some(found) = realtime::classify(method, uri, headers) {
        return found;
    }
    let path = uri.path();
    let speaks_anthropic = headers.contains_key("anthropic-version");
    let model_surface = Surface::Model(if speaks_anthropic { Dialect::Anthropic } else { Dialect::OpenAiChat });
    let (surface, endpoint, wanted) = match path {
        "/v1/responses" if *method == Method::GET && realtime::is_upgrade(headers) => {
            let surface = Surface::Model(Dialect::OpenAiResponses);
            realtime::shaken(headers).map_err(|fault| (surface, fault))?;
            return Ok(Entrance { surface, endpoint: Endpoint::Answers });
        }
        _ if let Some((dialect, operation)) = path.strip_prefix("/v1").and_then(asks_model) => {
            (Surface::Model(dialect), Endpoint::Model(operation, None), Method::POST)
        }
        "/mcp" => return Ok(Entrance { surface: Surface::Mcp, endpoint: Endpoint::McpAll }),
        "/v1/models" => (model_surface, Endpoint::Models, Method::GET),
        _ => {
            if let Some(model) = path.strip_prefix("/v1/models/").filter(|model| !model.is_empty()) {
                (model_surface, Endpoint::OneModel(percent_decoded(model)), Method::GET)
            } else if let Some(server) = path.strip_prefix("/mcp/").filter(|name| is_plain_name(name)) {
                let entrance = Entrance { surface: Surface::Mcp, endpoint: Endpoint::Mcp(ServerName::from(server)) };
                return Ok(entrance);
            } else if let Some(found) = bedrock::entrance(method, path) {
                return found;
            } else if path.starts_with("/v1/") {
                return native(method, uri, speaks_anthropic);
            } else if let Some(found) = proxied::classify(uri) {
                return found;
            } else {
                let surface = match path {
                    path if path.starts_with("/mcp") => Surface::Mcp,
                    path if path.starts_with("/model/") => Surface::Model(Dialect::Bedrock),
                    _ => model_surface,
                };
                return Err((surface, no_such_path(path)));
            }
        }
    };
    if *method == wanted {
        return Ok(Entrance { surface, endpoint });
    }
    // What is stored is listed where it was made, and a model of one's own is deleted where it is.
    let stored = path == "/v1/chat/completions" && *method == Method::GET;
    if stored || (matches!(endpoint, Endpoint::OneModel(_)) && *method == Method::DELETE) {
        return native(method, uri, speaks_anthropic);
    }
    Err((surface, only(path, &wanted)))
}

/// The most bytes that a body may have: files for batches of the gateway's own may be larger than other bodies.
pub(crate) fn largest_body(snapshot: &Snapshot, method: &Method, endpoint: &Endpoint) -> usize {
    match (endpoint, snapshot.batches) {
        (Endpoint::Native(path, _), Some(own)) if *method == Method::POST && path.decoded() == "/files" => {
            // Beside the file stands the rest of its form.
            snapshot.body_limit.max(own.file.saturating_add(64 << 10))
        }
        _ => snapshot.body_limit,
    }
}

/// The call of a model that a path below the version is.
fn asks_model(path: &str) -> Option<(Dialect, Operation)> {
    Some(match path {
        "/chat/completions" => (Dialect::OpenAiChat, Operation::Generate),
        "/completions" => (Dialect::OpenAiChat, Operation::Complete),
        "/embeddings" => (Dialect::OpenAiChat, Operation::Embed),
        "/responses" => (Dialect::OpenAiResponses, Operation::Generate),
        "/responses/input_tokens" => (Dialect::OpenAiResponses, Operation::CountTokens),
        "/messages" => (Dialect::Anthropic, Operation::Generate),
        "/messages/count_tokens" => (Dialect::Anthropic, Operation::CountTokens),
        _ => return None,
    })
}

/// How paths end that ask a model in some dialect, wherever they stand: a server may take a longer path for the same.
const ASKING: [&str; 15] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/converse",
    "/converse-stream",
    "/invoke",
    "/invoke-with-response-stream",
    ":generatecontent",
    ":streamgeneratecontent",
    ":counttokens",
    ":embedcontent",
    ":batchembedcontents",
    ":rawpredict",
    ":streamrawpredict",
    ":serverstreamingpredict",
];

/// Refuses a path of a vendor's own API that asks a model in another spelling: it would be decided, priced and looked at
/// as something else.
fn asks_no_model(method: &Method, path: &NativePath) -> Result<(), Fault> {
    let plain = path.decoded().to_ascii_lowercase();
    let asks = asks_model(&plain).is_some() || ASKING.iter().any(|end| plain.ends_with(end));
    if *method != Method::POST || !asks {
        return Ok(());
    }
    Err(Fault::new(
        FaultCode::InvalidRequest,
        "This path asks a model, and is not spelt as such a path is: models are asked at /v1/chat/completions, \
         /v1/completions, /v1/embeddings, /v1/responses, /v1/messages, /v1beta/models/MODEL:generateContent and \
         /model/ID/converse, with /proxy/PROVIDER before them or without.",
    ))
}

/// The path is right, and the method is not.
pub(super) fn only(path: &str, wanted: &Method) -> Fault {
    let mut fault = Fault::new(
        FaultCode::InvalidRequest,
        format!("{} takes {wanted} only: send the request with that method.", shown(path)),
    );
    fault.status = 405;
    fault
}

fn shown(path: &str) -> String {
    path.chars().filter(|letter| !letter.is_control()).take(128).collect()
}

/// A vendor's own API. Whose it is, the version header says, or a path that only Anthropic has.
fn native(method: &Method, uri: &Uri, speaks_anthropic: bool) -> Result<Entrance, (Surface, Fault)> {
    let path = uri.path();
    let anthropic =
        speaks_anthropic || ["/v1/messages/", "/v1/organizations/"].iter().any(|start| path.starts_with(start));
    let surface = Surface::Model(if anthropic { Dialect::Anthropic } else { Dialect::OpenAiChat });
    let below = path.strip_prefix("/v1").unwrap_or(path);
    let path = refused_path(NativePath::parse(below)).map_err(|fault| (surface, fault))?;
    asks_no_model(method, &path).map_err(|fault| (surface, fault))?;
    Ok(Entrance { surface, endpoint: Endpoint::Native(path, uri.query().map(ToOwned::to_owned)) })
}

fn refused_path(read: Result<NativePath, PathError>) -> Result<NativePath, Fault> {
    read.map_err(|error| Fault::new(FaultCode::InvalidRequest, format!("This path is refused: {error}.")))
}

fn no_such_path(path: &str) -> Fault {
    let shown = shown(path);
    Fault::new(
        FaultCode::NotFound,
        format!(
            "There is nothing at {shown}. Models are at /v1/chat/completions, /v1/responses, /v1/messages, \
             /v1beta/models/MODEL:generateContent and /model/ID/converse, the list of models at /v1/models, MCP servers \
             at /mcp and /mcp/NAME, a provider's own paths at /proxy/PROVIDER/…."
        ),
    )
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Decodes `%41` and the like (RFC 3986); what is no such escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The sort of error that a dialect has a name for.
pub(crate) fn error_kind(fault: &Fault) -> ErrorKind {
    match fault.code {
        FaultCode::InvalidRequest | FaultCode::IdempotencyMismatch => ErrorKind::InvalidRequest,
        FaultCode::Unauthenticated => ErrorKind::Authentication,
        FaultCode::BudgetExhausted => ErrorKind::Billing,
        FaultCode::PolicyDenied | FaultCode::GuardrailBlocked | FaultCode::Killed => ErrorKind::Permission,
        FaultCode::NotFound => ErrorKind::NotFound,
        FaultCode::CallerTimeout | FaultCode::UpstreamTimeout => ErrorKind::Timeout,
        FaultCode::TooLarge | FaultCode::HeadersTooLarge => ErrorKind::TooLarge,
        FaultCode::RateLimited => ErrorKind::RateLimit,
        FaultCode::Overloaded => ErrorKind::Overloaded,
        FaultCode::UpstreamError
        | FaultCode::UpstreamUnavailable
        | FaultCode::AuditUnavailable
        | FaultCode::Internal => match fault.status {
            400 | 422 => ErrorKind::InvalidRequest,
            401 => ErrorKind::Authentication,
            402 => ErrorKind::Billing,
            403 => ErrorKind::Permission,
            404 => ErrorKind::NotFound,
            413 => ErrorKind::TooLarge,
            429 => ErrorKind::RateLimit,
            529 => ErrorKind::Overloaded,
            _ => ErrorKind::Api,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knock_is_a_head_of_the_root_alone() {
        let knock = |method: Method, path: &str| is_knock(&method, &path.parse().unwrap());
        assert!(knock(Method::HEAD, "/") && knock(Method::HEAD, "/?x"));
        assert!(!knock(Method::GET, "/") && !knock(Method::HEAD, "/v1/models"));
    }

    #[test]
    fn the_version_header_decides_whose_list_of_models_is_meant() {
        let mut headers = HeaderMap::new();
        let plain = classify(&Method::GET, &Uri::from_static("/v1/models"), &headers).unwrap();
        assert_eq!(plain.surface, Surface::Model(Dialect::OpenAiChat));
        headers.insert("anthropic-version", http::HeaderValue::from_static("2023-06-01"));
        let anthropic = classify(&Method::GET, &Uri::from_static("/v1/models"), &headers).unwrap();
        assert_eq!(anthropic.surface, Surface::Model(Dialect::Anthropic));
    }

    #[test]
    fn a_models_name_is_decoded_once() {
        let entrance = classify(&Method::GET, &Uri::from_static("/v1/models/sim%2Fchat"), &HeaderMap::new()).unwrap();
        assert_eq!(entrance.endpoint, Endpoint::OneModel("sim/chat".to_owned()));
        assert_eq!(percent_decoded("%2541%"), "%41%");
    }

    #[test]
    fn an_unknown_path_is_not_found_and_a_wrong_method_is_405() {
        for (method, path, status) in
            [(Method::GET, "/nothing", 404), (Method::GET, "/v1/messages", 405), (Method::POST, "/mcp/a/b", 404)]
        {
            assert_eq!(
                classify(&method, &Uri::from_static(path), &HeaderMap::new()).unwrap_err().1.status,
                status,
                "{path}"
            );
        }
    }

    #[test]
    fn other_paths_below_v1_are_the_vendors_own_and_its_header_says_whose() {
        let at = |uri: &'static str, headers: &HeaderMap| classify(&Method::GET, &Uri::from_static(uri), headers);
        let mut headers = HeaderMap::new();
        let entrance = at("/v1/files?limit=2", &headers).unwrap();
        assert_eq!(entrance.surface, Surface::Model(Dialect::OpenAiChat));
        let path = NativePath::parse("/files").unwrap();
        assert_eq!(entrance.endpoint, Endpoint::Native(path, Some("limit=2".to_owned())));
        for uri in ["/v1/messages/batches", "/v1/organizations/me"] {
            assert_eq!(at(uri, &headers).unwrap().surface, Surface::Model(Dialect::Anthropic), "{uri}");
        }
        headers.insert("anthropic-version", http::HeaderValue::from_static("2023-06-01"));
        assert_eq!(at("/v1/files", &headers).unwrap().surface, Surface::Model(Dialect::Anthropic));
        for uri in ["/v1/files/../organization", "/v1/files//x", "/v1/files/%2e%2e/x", "/v1/files/a%2Fb", "/v1/"] {
            assert_eq!(at(uri, &headers).unwrap_err().1.status, 400, "{uri}");
        }
        let stored = at("/v1/responses/resp_1/input_items", &HeaderMap::new()).unwrap();
        assert!(matches!(stored.endpoint, Endpoint::Native(..)));
        let model = Uri::from_static("/v1/models/ft:mine");
        let gone = classify(&Method::DELETE, &model, &HeaderMap::new()).unwrap();
        assert!(matches!(gone.endpoint, Endpoint::Native(..)));
        let stored = at("/v1/chat/completions", &headers).unwrap();
        assert!(matches!(stored.endpoint, Endpoint::Native(..)));
    }
}
