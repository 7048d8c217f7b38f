//! Answers that say no, and the reading of what callers send.
//!
//! Owns the error shape `{"error": {"code", "message", "hint"}}` and the bounds of bodies. No message holds a secret: a
//! caller's text is repeated only through [`shown`]. Handlers use it.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use tidegate_config::{identity::KeyStoreError, problem::quote, reference::looks_secret};
use tidegate_core::calls::CallIndexError;
use tidegate_ledger::StoreError;

use crate::control::{ApplyError, in_words};

/// The largest body in bytes.
pub(crate) const MOST_BODY: usize = 1 << 20;

/// What every answer but a good one looks like.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErrorDetail {
    /// A stable name for the kind of error.
    #[schema(example = "not_found")]
    code: String,
    /// What is wrong, in a sentence.
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A request that is not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None }
    }

    /// The request itself is malformed.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// No valid credential.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "the admin token is missing or wrong")
            .hint("send `Authorization: Bearer TOKEN`; the token stands in `keys/admin-token` of the data directory")
    }

    /// The request came by a name or from a page that is not this gateway's.
    pub(crate) fn foreign(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden_host", message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The route exists, the method does not.
    pub(crate) fn no_such_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take this method")
    }

    /// It cannot be done in the present state.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// It was meant for another state than the present one.
    pub(crate) fn changed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "conflict", message)
    }

    /// The request is well formed, but what it says cannot be.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", message)
    }

    /// A part of the gateway does not work now.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    fn too_large() -> Self {
        let message = format!("the body is larger than {MOST_BODY} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// The same with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let detail = ErrorDetail { code: self.code.to_owned(), message: self.message, hint: self.hint };
        let mut response = (self.status, Json(ErrorBody { error: detail })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"tidegate control plane\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<KeyStoreError> for Refusal {
    fn from(error: KeyStoreError) -> Self {
        let message = error.to_string();
        match error {
            KeyStoreError::Unavailable(_) => Self::unavailable("store_unavailable", message),
            KeyStoreError::Conflict => Self::conflict(message),
            KeyStoreError::NotFound => Self::not_found(message),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::unavailable("store_unavailable", error.to_string())
    }
}

impl From<CallIndexError> for Refusal {
    fn from(error: CallIndexError) -> Self {
        Self::unavailable("store_unavailable", error.to_string())
    }
}

impl From<ApplyError> for Refusal {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Store(error) => error.into(),
            ApplyError::Rules(problems) => Self::invalid(in_words(&problems)),
        }
    }
}

/// A text of the caller's, fit to be repeated: short, without control characters, `[secret]` where it looks like one.
pub(crate) fn shown(text: &str) -> String {
    quote(text)
}

/// Does what waits for a disk where it holds nobody up. It is done to its end also where the caller leaves.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Refusal> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a request of the control plane ended by a defect");
            Err(Refusal::unavailable("internal", "the request ended by a defect; the log says which"))
        }
    }
}

/// A JSON body of at most [`MOST_BODY`] bytes.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            return Err(
                Refusal::malformed("the body is not marked as JSON").hint("send `Content-Type: application/json`")
            );
        }
        let bytes = axum::body::to_bytes(request.into_body(), MOST_BODY).await.map_err(|_| Refusal::too_large())?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| refuse_json(&error))
    }
}

/// What the parser says about a value may repeat it, so only its words about fields are passed on.
fn refuse_json(error: &serde_json::Error) -> Refusal {
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.is_data() {
        let text = error.to_string();
        let named = ["unknown field", "missing field", "duplicate field"].iter().any(|start| text.starts_with(start));
        let why = if named && !text.split(['`', ' ']).any(looks_secret) {
            text.chars().take(300).map(|letter| if letter.is_control() { '·' } else { letter }).collect()
        } else {
            format!("a value at {place} is of the wrong type")
        };
        return Refusal::invalid(why).hint("the fields stand in `/api/v1/openapi.json`");
    }
    Refusal::malformed(format!("the body is no JSON: see {place}"))
}

/// The query of a request; names that the route does not know are refused.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(_) => {
                Err(Refusal::malformed("the query has a parameter that this path does not take, or a wrong value")
                    .hint("the parameters stand in `/api/v1/openapi.json`"))
            }
        }
    }
}

/// The name in a path: an id or a key's name, of at most 64 characters.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) if name.len() <= 64 => Ok(Self(name)),
            Ok(_) | Err(_) => Err(Refusal::not_found("no such thing: the name in the path is none")),
        }
    }
}
