//! One question to whoever hands tokens out: sent over the one connector, its answer read within bounds.
//!
//! Never follows a redirect, never repeats an answer's text beyond its error's code, since a token service may echo what
//! it was shown. Called by `azure` and `google`.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use tidegate_core::{clock, secret::Secret};
use tokio::io::AsyncReadExt as _;

use super::{
    CredentialError,
    tokens::{PATIENCE, unavailable},
};
use crate::{clocks::Limits, pool::Pool, target::Destination};

/// The most bytes of an answer that are read.
const LARGEST: usize = 64 * 1024;

/// The most bytes of a token's file.
const LARGEST_TOKEN: u64 = 64 * 1024;

/// A question.
pub(super) struct Question<'a> {
    /// Who is asked, in a few words.
    pub(super) whom: &'static str,
    /// Where.
    pub(super) to: &'a Destination,
    /// The path below it, with its query; empty for the address itself.
    pub(super) path: &'a str,
    /// Headers besides the usual ones; secret ones are marked by the caller.
    pub(super) headers: Vec<(&'static str, Secret)>,
    /// A form or JSON; without one it is a `GET`.
    pub(super) body: Option<(&'static str, String)>,
}

/// The error of OAuth 2.0 (RFC 6749, section 5.2): a code that has a fixed set of letters.
#[derive(Deserialize)]
struct Refusal {
    error: Option<Code>,
}

/// Google's other services wrap theirs.
#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Plain(String),
    Wrapped { status: Option<String> },
}

impl Question<'_> {
    /// Asks, and reads the JSON of a good answer.
    pub(super) async fn ask<T: DeserializeOwned>(self, pool: &Arc<Pool>) -> Result<T, CredentialError> {
        let whom = self.whom;
        let bytes = self.bytes(pool, |_| Ok(())).await?;
        serde_json::from_slice(&bytes).map_err(|_| unavailable(whom, "its answer holds no token"))
    }

    /// Asks, and gives the body of a good answer. `finish` sees the request before it leaves.
    pub(super) async fn bytes(
        self,
        pool: &Arc<Pool>,
        finish: impl FnOnce(&mut Request<Bytes>) -> Result<(), CredentialError>,
    ) -> Result<Bytes, CredentialError> {
        let whom = self.whom;
        let fail = |why: String| unavailable(whom, why);
        let uri = self.to.uri(self.path).map_err(|error| fail(format!("its address makes no request: {error}")))?;
        let method = if self.body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder().method(method).uri(uri).header(header::ACCEPT, "application/json");
        for (name, value) in &self.headers {
            let mut value = http::HeaderValue::from_str(value.expose()).map_err(|_| CredentialError::Invalid)?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        let body = match self.body {
            Some((media_type, text)) => {
                request = request.header(header::CONTENT_TYPE, media_type);
                Bytes::from(text)
            }
            None => Bytes::new(),
        };
        let mut request = request.body(body).map_err(|error| fail(format!("no request can be made: {error}")))?;
        finish(&mut request)?;
        let limits = Limits::new(clock::now(), PATIENCE, None);
        let response = pool
            .send(self.to, request, (PATIENCE, PATIENCE), &limits)
            .await
            .map_err(|unanswered| fail(unanswered.error.to_string()))?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), LARGEST)
            .collect()
            .await
            .map_err(|_| fail("its answer broke off or is too large".to_owned()))?
            .to_bytes();
        if !status.is_success() {
            return Err(fail(format!("it answered {}{}", status.as_u16(), code_of(&bytes))));
        }
        Ok(bytes)
    }
}

/// `` (`invalid_client`) ``, where the answer has such a code.
fn code_of(bytes: &[u8]) -> String {
    let refusal = serde_json::from_slice::<Refusal>(bytes).ok().and_then(|refusal| refusal.error);
    let code = refusal.and_then(|code| match code {
        Code::Plain(code) => Some(code),
        Code::Wrapped { status } => status,
    });
    let plain = |code: &String| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    code.filter(plain).map(|code| format!(" (`{code}`)")).unwrap_or_default()
}

/// A form of `application/x-www-form-urlencoded`.
pub(super) fn form(fields: &[(&str, &str)]) -> (&'static str, String) {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    ("application/x-www-form-urlencoded", form.finish())
}

/// A token that somebody else keeps fresh in a file.
pub(super) async fn read_token(file: &Path) -> Result<Secret, String> {
    let failed = |why: String| format!("the token's file `{}` cannot be read: {why}", file.display());
    let open = tokio::fs::File::open(file).await.map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let read = open.take(LARGEST_TOKEN.saturating_add(1)).read_to_string(&mut text).await;
    if read.map_err(|error| failed(error.to_string()))? as u64 > LARGEST_TOKEN {
        return Err(failed("it is too large".to_owned()));
    }
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("the token's file `{}` is empty", file.display()));
    }
    Ok(Secret::new(token.to_owned()))
}

/// A count of seconds, as a number or as text: both are in use.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
pub(super) enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    pub(super) fn get(&self) -> Option<u64> {
        match self {
            Self::Number(seconds) => Some(*seconds),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tokens_file_is_read_whole_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let most = usize::try_from(LARGEST_TOKEN).unwrap();
        for (text, expected) in [
            (" abc\n".to_owned(), Ok("abc".to_owned())),
            ("x".repeat(most), Ok("x".repeat(most))),
            ("x".repeat(most + 1), Err("too large")),
            (" \n".to_owned(), Err("is empty")),
        ] {
            std::fs::write(&file, text).unwrap();
            match (read_token(&file).await, expected) {
                (Ok(token), Ok(expected)) => assert_eq!(token.expose(), expected),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (read, expected) => panic!("{read:?} is not {expected:?}"),
            }
        }
        assert!(read_token(&folder.path().join("none")).await.unwrap_err().contains("cannot be read"));
    }
}
