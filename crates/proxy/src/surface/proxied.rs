//! `/proxy/{provider}/…`: a named provider's own paths, whatever it speaks.
//!
//! Owns how such a path is read. Where it is one that asks a model in a dialect that the gateway knows, it is that call,
//! with the model's name at that provider; else it is a call of the vendor's own API. What a caller repeats of the
//! provider's address is taken off, so that each path has one meaning. Never lets a path out of the provider's base.
//! Called by the surfaces' table, and by decode, which knows the providers.

use http::{Method, Uri};
use tidegate_core::fault::{Fault, FaultCode};
use tidegate_protocol::{llm::Dialect, native::NativePath};

use super::{
    Endpoint, Entrance, Surface, asks_model, asks_no_model, bedrock, gemini, is_plain_name, realtime, refused_path,
};
use crate::{exchange::Exchange, stage::route::no_such_api};

/// A path of a provider, before it is known which one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxied {
    provider: String,
    rest: String,
    query: Option<String>,
}

/// A path of this surface; `None` where it is none.
pub(super) fn classify(uri: &Uri) -> Option<Result<Entrance, (Surface, Fault)>> {
    let (provider, rest) = uri.path().strip_prefix("/proxy/")?.split_once('/')?;
    if !is_plain_name(provider) {
        return None;
    }
    let (rest, query) = (format!("/{rest}"), uri.query().map(ToOwned::to_owned));
    let endpoint = Endpoint::Proxied(Proxied { provider: provider.to_owned(), rest, query });
    Some(Ok(Entrance { surface: Surface::Model(Dialect::OpenAiChat), endpoint }))
}

impl Proxied {
    /// What the path asks of its provider; the exchange is bound to that provider, and speaks its dialect, from here on.
    pub(crate) fn resolve(self, exchange: &mut Exchange, method: &Method) -> Result<Endpoint, Fault> {
        let mut providers = exchange.snapshot.providers();
        let provider = providers.find(|known| known.name.as_str() == self.provider).cloned();
        let provider = provider.ok_or_else(no_such_api)?;
        let path = refused_path(NativePath::parse(&self.rest))?.below(provider.base.path()).ok_or_else(no_such_api)?;
        exchange.surface = Surface::Model(provider.dialect);
        exchange.pinned = Some(provider);
        let entrance = match self.asking(exchange, method, &path) {
            Some(found) => found?,
            None => {
                asks_no_model(method, &path)?;
                let endpoint = Endpoint::Native(path, self.query);
                Entrance { surface: exchange.surface, endpoint }
            }
        };
        exchange.surface = entrance.surface;
        Ok(entrance.endpoint)
    }

    /// The call of a model that the path is, whatever its letters' case and however they are escaped.
    fn asking(&self, exchange: &Exchange, method: &Method, path: &NativePath) -> Option<Result<Entrance, Fault>> {
        let plain = path.decoded().to_ascii_lowercase();
        // The handshake was looked at, and taken out of the headers, before the provider was known.
        let shaken = || exchange.upgrading.as_ref().map(drop).ok_or_else(realtime::no_handshake);
        if plain == "/realtime" && *method == Method::GET {
            return Some(self.uri("/v1/realtime").and_then(|uri| realtime::asked(method, &uri, shaken)));
        }
        if plain == "/responses" && *method == Method::GET && realtime::is_upgrade(&exchange.headers) {
            let surface = Surface::Model(Dialect::OpenAiResponses);
            return Some(shaken().map(|()| Entrance { surface, endpoint: Endpoint::Answers }));
        }
        if *method != Method::POST {
            return None;
        }
        if let Some((dialect, operation)) = asks_model(&plain) {
            let endpoint = Endpoint::Model(operation, None);
            return Some(Ok(Entrance { surface: Surface::Model(dialect), endpoint }));
        }
        if let Some(found) = bedrock::entrance(method, path.raw()) {
            return Some(found.map_err(|(_, fault)| fault));
        }
        let uri = match self.uri(&format!("/v1beta{}", path.raw())) {
            Ok(uri) => uri,
            Err(fault) => return Some(Err(fault)),
        };
        match gemini::classify(method, &uri, &exchange.headers) {
            Some(Ok(entrance)) if matches!(entrance.endpoint, Endpoint::Model(..)) => Some(Ok(entrance)),
            // A method of models that is asked wrongly is none of the vendor's own API.
            Some(Err((_, fault))) if plain.contains(':') => Some(Err(fault)),
            _ => None,
        }
    }

    fn uri(&self, path: &str) -> Result<Uri, Fault> {
        let query = self.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        Uri::try_from(format!("{path}{query}"))
            .map_err(|error| Fault::new(FaultCode::InvalidRequest, "This path is refused.").with_source(error))
    }
}
