//! Gemini's paths: `/v1beta/…`, and its methods on models below `/v1/models/`.
//!
//! Owns what stands in them: the model, the method, whether the answer streams, and a key in the query, which is moved
//! into its header before anything else sees the request. A method of models never passes as a call of the vendor's own
//! API, however its path is escaped. Called by the surfaces' table and, for the key, before it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, uri::PathAndQuery};
use tidegate_core::fault::{Fault, FaultCode};
use tidegate_protocol::{
    llm::{Dialect, Named, Operation},
    native::NativePath,
};

use super::{Endpoint, Entrance, Surface, no_such_path, only, percent_decoded};

const SURFACE: Surface = Surface::Model(Dialect::Gemini);

/// The header that this dialect's clients send their key in.
const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The methods of models that the gateway interprets: what each asks, and whether its answer streams.
const METHODS: [(&str, Operation, bool); 5] = [
    ("generateContent", Operation::Generate, false),
    ("streamGenerateContent", Operation::Generate, true),
    ("countTokens", Operation::CountTokens, false),
    ("embedContent", Operation::Embed, false),
    ("batchEmbedContents", Operation::EmbedBatch, false),
];

/// The collections that hold models.
const COLLECTIONS: [&str; 2] = ["models/", "tunedModels/"];

/// A path of this surface; `None` where it is one of another.
pub(super) fn classify(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Result<Entrance, (Surface, Fault)>> {
    let beta = uri.path().strip_prefix("/v1beta/");
    let below = beta.or_else(|| uri.path().strip_prefix("/v1/"))?;
    // Most paths are other surfaces', and nothing of them is escaped.
    if beta.is_none()
        && below != "models"
        && !below.contains('%')
        && !COLLECTIONS.iter().any(|at| below.starts_with(at))
    {
        return None;
    }
    let decoded = percent_decoded(below);
    let (name, called) = decoded.rsplit_once(':').unwrap_or((&decoded, ""));
    let known = METHODS.iter().find(|(verb, ..)| *verb == called);
    // OpenAI's API has no POST to a model, and its models' names may have a colon.
    let meant = beta.is_some() || *method == Method::POST && COLLECTIONS.iter().any(|start| name.starts_with(start));
    if let Some((_, operation, stream)) = known.filter(|_| meant) {
        return Some(called_model(method, uri, name, *operation, *stream).map_err(|fault| (SURFACE, fault)));
    }
    let asked_so = headers.contains_key(&KEY) && !headers.contains_key("anthropic-version");
    if beta.is_none() && !asked_so {
        return None;
    }
    let listed = match decoded.strip_prefix("models") {
        Some("") => Some(Endpoint::Models),
        Some(rest) => {
            let name = rest.strip_prefix('/').filter(|name| !name.is_empty() && *method == Method::GET);
            name.map(|name| Endpoint::OneModel(name.to_owned()))
        }
        None => None,
    };
    match listed {
        Some(endpoint) if *method == Method::GET => Some(Ok(Entrance { surface: SURFACE, endpoint })),
        Some(_) => Some(Err((SURFACE, only(uri.path(), &Method::GET)))),
        None if beta.is_none() => None,
        None => Some(native(uri)),
    }
}

fn called_model(method: &Method, uri: &Uri, name: &str, operation: Operation, stream: bool) -> Result<Entrance, Fault> {
    if *method != Method::POST {
        return Err(only(uri.path(), &Method::POST));
    }
    let model = match name.strip_prefix("models/") {
        Some(model) => model,
        None if name.starts_with("tunedModels/") => name,
        None => return Err(no_such_path(uri.path())),
    };
    if stream && form(uri).is_some_and(|form| !matches!(form, "sse" | "json")) {
        return Err(Fault::new(
            FaultCode::InvalidRequest,
            "Streams are answered as server-sent events (`?alt=sse`) or as a JSON array (`?alt=json`) here.",
        ));
    }
    let named = Named { model: model.to_owned(), stream };
    Ok(Entrance { surface: SURFACE, endpoint: Endpoint::Model(operation, Some(named)) })
}

/// The form in which an answer is asked for.
fn form(uri: &Uri) -> Option<&str> {
    parameters(uri).find(|(name, _)| matches!(*name, "alt" | "$alt" | "%24alt")).map(|(_, value)| value)
}

/// Whether a stream of this path is to be one JSON array: what the vendor gives where nothing else is asked for.
pub(crate) fn wants_array(uri: &Uri) -> bool {
    form(uri) != Some("sse") && percent_decoded(uri.path()).ends_with(":streamGenerateContent")
}

/// Files, cached contents, operations and whatever else the vendor has.
fn native(uri: &Uri) -> Result<Entrance, (Surface, Fault)> {
    let below = uri.path().strip_prefix("/v1beta").unwrap_or_default();
    match NativePath::parse(below) {
        Ok(path) => {
            Ok(Entrance { surface: SURFACE, endpoint: Endpoint::Native(path, uri.query().map(ToOwned::to_owned)) })
        }
        Err(error) => Err((SURFACE, Fault::new(FaultCode::InvalidRequest, format!("This path is refused: {error}.")))),
    }
}

fn parameters(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    uri.query().into_iter().flat_map(|query| query.split('&')).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Parameters of the query that prove who calls.
const CREDENTIALS: [&str; 3] = ["key", "access_token", "oauth_token"];

/// Moves a key out of the query into its header, so that no record, log or upstream gets to see it. Other credentials of
/// the vendor's that may stand there are taken out and mean nothing here.
pub(super) fn take_key(uri: &mut Uri, headers: &mut HeaderMap) {
    let path = uri.path();
    let proxied = path.starts_with("/proxy/") && path.contains("/v1beta/");
    if !(proxied || path.starts_with("/v1beta/") || path.starts_with("/v1/models")) || uri.query().is_none() {
        return;
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut found = None;
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decoded(name);
        match CREDENTIALS.iter().position(|known| *known == name) {
            None => kept.push(pair),
            Some(0) => found = Some(percent_decoded(value)),
            Some(_) => {}
        }
    }
    let query = kept.join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    // A path that could be parsed can be parsed again.
    if let Ok(rest) = PathAndQuery::try_from(format!("{path}{mark}{query}")) {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(rest);
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
    if let Some(mut key) = found.and_then(|key| HeaderValue::try_from(key).ok()) {
        key.set_sensitive(true);
        headers.append(KEY, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(method: Method, uri: &str) -> Result<Entrance, u16> {
        let found = super::super::classify(&method, &uri.parse().unwrap(), &HeaderMap::new());
        found.map_err(|(_, fault)| fault.status)
    }

    fn model(operation: Operation, model: &str, stream: bool) -> Result<Entrance, u16> {
        let named = Named { model: model.to_owned(), stream };
        Ok(Entrance { surface: SURFACE, endpoint: Endpoint::Model(operation, Some(named)) })
    }

    #[test]
    fn the_path_names_model_and_method() {
        let post = |uri| at(Method::POST, uri);
        assert_eq!(
            post("/v1beta/models/gemini-2.5-pro:generateContent"),
            model(Operation::Generate, "gemini-2.5-pro", false)
        );
        for uri in [
            "/v1beta/models/google%2Fgemini:streamGenerateContent?alt=sse",
            "/v1beta/models/google/gemini:streamGenerateContent?a=b&%24alt=sse",
            "/v1/models/google/gemini%3AstreamGenerateContent?alt=sse",
            "/v1/mod%65ls/google/gemini:streamGenerateContent?alt=sse",
        ] {
            assert_eq!(post(uri), model(Operation::Generate, "google/gemini", true), "{uri}");
        }
        assert_eq!(post("/v1beta/tunedModels/t:countTokens"), model(Operation::CountTokens, "tunedModels/t", false));
        assert_eq!(
            post("/v1beta/models/local/llama3:8b:embedContent"),
            model(Operation::Embed, "local/llama3:8b", false)
        );
        assert_eq!(post("/v1beta/models/m:batchEmbedContents"), model(Operation::EmbedBatch, "m", false));
    }

    #[test]
    fn a_stream_is_an_array_unless_events_are_asked_for() {
        let wants = |uri: &str| wants_array(&uri.parse().unwrap());
        for uri in ["/v1beta/models/m:streamGenerateContent", "/v1/models/m%3AstreamGenerateContent?alt=json&x=y"] {
            assert!(wants(uri) && at(Method::POST, uri).is_ok(), "{uri}");
        }
        for uri in ["/v1beta/models/m:streamGenerateContent?%24alt=sse", "/v1beta/models/m:generateContent"] {
            assert!(!wants(uri), "{uri}");
        }
    }

    #[test]
    fn what_is_no_call_of_a_model_is_told() {
        for (method, uri, status) in [
            (Method::POST, "/v1beta/models/m:streamGenerateContent?alt=proto", 400),
            (Method::GET, "/v1beta/models/m:generateContent", 405),
            (Method::POST, "/v1beta/models", 405),
            (Method::POST, "/v1beta/dynamic/m:generateContent", 404),
            (Method::POST, "/v1beta/files/../models/m", 400),
            (Method::POST, "/v1beta/models/m%253AgenerateContent", 400),
        ] {
            assert_eq!(at(method, uri), Err(status), "{uri}");
        }
    }

    #[test]
    fn other_paths_of_the_vendor_are_its_own_api() {
        for (method, uri, below, query) in [
            (Method::GET, "/v1beta/files?pageSize=2", "/files", Some("pageSize=2")),
            (Method::POST, "/v1beta/cachedContents", "/cachedContents", None),
            (Method::POST, "/v1beta/models/veo:predictLongRunning", "/models/veo:predictLongRunning", None),
        ] {
            let entrance = at(method, uri).unwrap();
            assert_eq!(entrance.surface, SURFACE);
            let path = NativePath::parse(below).unwrap();
            assert_eq!(entrance.endpoint, Endpoint::Native(path, query.map(str::to_owned)), "{uri}");
        }
    }

    #[test]
    fn lists_are_this_surfaces_where_the_path_or_the_key_says_so() {
        assert_eq!(at(Method::GET, "/v1beta/models?pageSize=9").unwrap().endpoint, Endpoint::Models);
        let one = at(Method::GET, "/v1beta/models/google%2Fgemini").unwrap();
        assert_eq!(one, Entrance { surface: SURFACE, endpoint: Endpoint::OneModel("google/gemini".to_owned()) });
        assert_eq!(at(Method::GET, "/v1/models").unwrap().surface, Surface::Model(Dialect::OpenAiChat));
        assert_eq!(at(Method::GET, "/v1/models/a:b").unwrap().surface, Surface::Model(Dialect::OpenAiChat));
        let headers = HeaderMap::from_iter([(KEY, HeaderValue::from_static("tg_a"))]);
        for uri in ["/v1/models", "/v1/models/google/gemini"] {
            let found = super::super::classify(&Method::GET, &Uri::from_static(uri), &headers).unwrap();
            assert_eq!(found.surface, SURFACE, "{uri}");
        }
        let chat = super::super::classify(&Method::POST, &Uri::from_static("/v1/chat/completions"), &headers).unwrap();
        assert_eq!(chat.surface, Surface::Model(Dialect::OpenAiChat));
    }

    #[test]
    fn a_key_in_the_query_goes_no_further_than_its_header() {
        for (from, to) in [
            ("/v1beta/models/m:generateContent?key=tg_a", "/v1beta/models/m:generateContent"),
            ("/v1beta/files?pageSize=2&%6bey=tg_a&b", "/v1beta/files?pageSize=2&b"),
            ("/v1beta/models?key=tg%5Fa&access_token=x", "/v1beta/models"),
        ] {
            let (mut uri, mut headers) = (from.parse().unwrap(), HeaderMap::new());
            take_key(&mut uri, &mut headers);
            assert_eq!(uri.to_string(), to);
            assert_eq!(headers.get(KEY).unwrap(), "tg_a");
            assert!(headers.get(KEY).unwrap().is_sensitive());
        }
        let (mut uri, mut headers) = ("/v1/files?key=tg_a".parse().unwrap(), HeaderMap::new());
        take_key(&mut uri, &mut headers);
        assert!(headers.is_empty() && uri.query() == Some("key=tg_a"));
    }
}
