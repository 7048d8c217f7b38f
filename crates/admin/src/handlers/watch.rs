//! Finished calls as they finish: a stream of server-sent events.
//!
//! Owns the shape of the stream. What is in an event is what lists of calls show, so content is never in it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use serde::{Deserialize, Serialize};
use tidegate_core::calls::CallSummary;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use utoipa::{IntoParams, ToSchema};

use super::calls::CallRow;
use crate::{
    answer::{Params, Refusal},
    control::Control,
};

/// How often a sign of life is sent where nothing happens.
const ALIVE: Duration = Duration::from_secs(15);

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WatchParams {
    /// Only this key's, by its name.
    key: Option<String>,
    /// Only those that ended with this error code; `any` for every error.
    error: Option<String>,
}

/// Calls that a slow reader missed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Missed {
    /// How many.
    missed: u64,
}

/// Finished calls as they finish, as server-sent events: `call` with a call's row, `missed` with how many a slow reader
/// missed. The stream ends when the gateway stops.
#[utoipa::path(get, path = "/api/v1/calls/stream", tag = "calls", params(WatchParams), responses((status = 200, description = "Events `call`, each with the row that lists have, and `missed`", body = CallRow, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(control): State<Arc<Control>>,
    Params(params): Params<WatchParams>,
) -> Result<Response, Refusal> {
    let calls = control.feed.watch().map_err(|error| Refusal::unavailable("overloaded", error.to_string()))?;
    let org = control.org();
    let shown = move |call: &CallSummary| {
        let ended = call.error.as_deref();
        call.org == org
            && params.key.as_deref().is_none_or(|key| call.key.as_ref().is_some_and(|name| name.as_str() == key))
            && params.error.as_deref().is_none_or(|wanted| match wanted {
                "any" => ended.is_some(),
                code => ended == Some(code),
            })
    };
    let events = futures_util::stream::unfold((calls, shown), async |(mut calls, shown)| {
        let event = next(&mut calls, &shown).await?;
        Some((Ok::<_, Infallible>(event), (calls, shown)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

/// The next event; `None` when the gateway stops.
async fn next(calls: &mut Receiver<Arc<CallSummary>>, shown: &impl Fn(&CallSummary) -> bool) -> Option<Event> {
    loop {
        let event = match calls.recv().await {
            Ok(call) if shown(&call) => Event::default().event("call").json_data(CallRow::of(&call)),
            Ok(_) => continue,
            Err(RecvError::Lagged(missed)) => Event::default().event("missed").json_data(Missed { missed }),
            Err(RecvError::Closed) => return None,
        };
        match event {
            Ok(event) => return Some(event),
            Err(error) => tracing::error!(%error, "a call cannot be shown"),
        }
    }
}
