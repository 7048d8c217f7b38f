//! Which requests for files and batches are the gateway's own, and which are a provider's.
//!
//! Owns that decision. Where the configuration says `batches.own`, what is uploaded with the purpose `batch` is kept here;
//! an id says by its prefix whose it is; lists are the gateway's. A provider that the path names keeps what is its.
//! Called by decode.

use bytes::Bytes;
use http::Method;
use tidegate_core::{
    batches::{BATCH_PREFIX, FILE_PREFIX},
    fault::{Fault, FaultCode},
};
use tidegate_protocol::llm::Dialect;

use super::answer::Ask;
use crate::{
    exchange::Exchange,
    surface::{Endpoint, Surface},
};

/// What may be the gateway's own.
pub(crate) enum Claim {
    /// It is.
    Own(Ask),
    /// A file, of which its purpose will say.
    Upload,
    /// A batch, of which its input will say.
    Create,
}

/// What of `endpoint` is the gateway's own; `None` where it is a provider's.
pub(crate) fn claim(exchange: &Exchange, method: &Method, endpoint: &Endpoint) -> Option<Result<Claim, Fault>> {
    exchange.snapshot.batches?;
    if exchange.pinned.is_some() || exchange.surface != Surface::Model(Dialect::OpenAiChat) {
        return None;
    }
    let Endpoint::Native(path, query) = endpoint else { return None };
    claimed(method, path.decoded(), query.as_deref().unwrap_or_default())
}

fn claimed(method: &Method, path: &str, query: &str) -> Option<Result<Claim, Fault>> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let (collection, id, rest) = (parts.next()?, parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let asked = match (collection, id, rest) {
        ("files", None, None) => match *method {
            Method::POST => Claim::Upload,
            Method::GET => {
                let purpose = pair(query, "purpose");
                if purpose.is_some_and(|purpose| !matches!(purpose, "batch" | "batch_output")) {
                    return None;
                }
                Claim::Own(Ask::Files(query.to_owned()))
            }
            _ => return None,
        },
        ("batches", None, None) => match *method {
            Method::POST => Claim::Create,
            Method::GET => Claim::Own(Ask::Batches(query.to_owned())),
            _ => return None,
        },
        ("files", Some(id), rest) if id.starts_with(FILE_PREFIX) => {
            let Ok(id) = id.parse() else { return Some(Err(super::no_such("file"))) };
            match (method, rest) {
                (&Method::GET, None) => Claim::Own(Ask::File(id)),
                (&Method::DELETE, None) => Claim::Own(Ask::DeleteFile(id)),
                (&Method::GET, Some("content")) => Claim::Own(Ask::Content(id)),
                _ => return Some(Err(no_such_way())),
            }
        }
        ("batches", Some(id), rest) if id.starts_with(BATCH_PREFIX) => {
            let Ok(id) = id.parse() else { return Some(Err(super::no_such("batch"))) };
            match (method, rest) {
                (&Method::GET, None) => Claim::Own(Ask::Batch(id)),
                (&Method::POST, Some("cancel")) => Claim::Own(Ask::Cancel(id)),
                _ => return Some(Err(no_such_way())),
            }
        }
        _ => return None,
    };
    Some(Ok(asked))
}

fn no_such_way() -> Fault {
    let mut fault = Fault::new(
        FaultCode::InvalidRequest,
        "Files of this gateway take GET and DELETE, with /content GET; its batches take GET, with /cancel POST.",
    );
    fault.status = 405;
    fault
}

/// A value of a query. What is asked for here has no character that needs escaping.
pub(super) fn pair<'query>(query: &'query str, name: &str) -> Option<&'query str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether a request for a batch names a file of the gateway's own.
pub(crate) fn names_own_file(body: &Bytes) -> bool {
    #[derive(serde::Deserialize)]
    struct Named<'body> {
        #[serde(borrow)]
        input_file_id: std::borrow::Cow<'body, str>,
    }
    serde_json::from_slice::<Named<'_>>(body).is_ok_and(|named| named.input_file_id.starts_with(FILE_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_whose_it_is() {
        let own = |method: Method, path: &str, query: &str| claimed(&method, path, query);
        let file = format!("/files/{}", tidegate_core::batches::FileId::new());
        for (method, path, query) in [
            (Method::POST, "/files", ""),
            (Method::POST, "/batches", ""),
            (Method::GET, "/files", "purpose=batch&limit=3"),
            (Method::GET, "/batches", "limit=3"),
            (Method::GET, &*file, ""),
            (Method::DELETE, &*file, ""),
            (Method::GET, &*format!("{file}/content"), ""),
        ] {
            assert!(matches!(own(method, path, query), Some(Ok(_))), "{path}");
        }
        for (method, path, query) in [
            (Method::GET, "/files", "purpose=fine-tune"),
            (Method::GET, "/files/file-abc", ""),
            (Method::GET, "/files/file-abc/content", ""),
            (Method::POST, "/batches/batch_abc/cancel", ""),
            (Method::GET, "/vector_stores", ""),
            (Method::GET, &*format!("{file}/content/more"), ""),
        ] {
            assert!(own(method, path, query).is_none(), "{path}");
        }
        assert!(matches!(own(Method::PUT, &file, ""), Some(Err(_))));
        assert!(matches!(own(Method::GET, "/files/file-tg-zzz", ""), Some(Err(_))));
    }
}
