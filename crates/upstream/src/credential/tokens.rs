//! Tokens that expire: asked for once however many calls wait, kept, and renewed before they run out.
//!
//! A token that still holds is never waited for: its renewal runs beside the calls. After a failure nobody is asked again
//! for a short while, so that an outage of whoever hands tokens out is no storm on it. Never logs a token. Called by
//! `Auth`; how a token is asked for is the business of `aws`, `azure` and `google`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidegate_core::{clock, secret::Secret};
use tokio::sync::watch;

use super::{CredentialError, aws::Aws, azure::Azure, google::Google};
use crate::{pool::Pool, task};

/// How long before its end a token is renewed, at most; a quarter of its life where that is less.
const AHEAD: Duration = Duration::from_secs(300);
/// How long before its end a token is no longer shown: clocks differ, and calls take their time.
const MARGIN: Duration = Duration::from_secs(10);
/// The shortest life of a token that is taken.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long nobody is asked after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long whoever hands tokens out may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// A way to tokens.
#[derive(Debug)]
pub(super) enum Source {
    /// AWS.
    Aws(Aws),
    /// Microsoft Entra ID.
    Azure(Azure),
    /// Google Cloud.
    Google(Google),
}

/// A token as it was handed out.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: Secret,
    /// How long it holds from when it was asked for.
    pub(super) holds: Duration,
}

impl Source {
    /// Asks for a token.
    async fn ask(&self, pool: &Arc<Pool>) -> Result<Issued, CredentialError> {
        match self {
            Self::Aws(aws) => aws.ask(pool).await,
            Self::Azure(azure) => azure.ask(pool).await,
            Self::Google(google) => google.ask(pool).await,
        }
    }
}

/// Tokens of one source, shared by every call to the providers that show them.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    failed: Option<(Instant, CredentialError)>,
    /// Turns when the asking that is under way is over.
    asking: Option<watch::Receiver<()>>,
}

#[derive(Debug, Clone)]
struct Held {
    token: Secret,
    renew: Instant,
    ends: Instant,
}

/// What a call finds.
enum Found {
    Token(Secret),
    Failed(CredentialError),
    Wait(watch::Receiver<()>),
}

impl Tokens {
    pub(super) fn new(source: Source) -> Self {
        Self(Arc::new(Inner { source, state: Mutex::default() }))
    }

    /// The token that was shown last.
    pub(super) fn last(&self) -> Option<Secret> {
        self.0.state.lock().held.as_ref().map(|held| held.token.clone())
    }

    /// A token that holds.
    ///
    /// # Errors
    /// Where none is to be had.
    pub(super) async fn token(&self, pool: &Arc<Pool>) -> Result<Secret, CredentialError> {
        loop {
            match self.look(clock::now(), pool) {
                Found::Token(token) => return Ok(token),
                Found::Failed(error) => return Err(error),
                // The sender goes with the asking, so an error says that it is over too.
                Found::Wait(mut over) => drop(over.changed().await),
            }
        }
    }

    /// What there is now; starts asking where that is due.
    fn look(&self, now: Instant, pool: &Arc<Pool>) -> Found {
        let mut state = self.0.state.lock();
        let asked_lately = state
            .failed
            .as_ref()
            .filter(|(at, _)| now.saturating_duration_since(*at) < AFTER_FAILURE)
            .map(|(_, error)| error.clone());
        let held = state.held.clone().filter(|held| now < held.ends);
        let due = held.as_ref().is_none_or(|held| now >= held.renew);
        if due && state.asking.is_none() && asked_lately.is_none() {
            state.asking = Some(self.start(now, pool));
        }
        match (held, state.asking.clone(), asked_lately) {
            (Some(held), ..) => Found::Token(held.token),
            (None, Some(over), _) => Found::Wait(over),
            (None, None, Some(error)) => Found::Failed(error),
            // Nothing is held, nobody is asked and nothing failed lately: the branch above has just started asking.
            (None, None, None) => Found::Failed(unavailable("the token's source", "nobody was asked")),
        }
    }

    /// Asks beside the calls, so that a caller that goes away does not end what others wait for.
    fn start(&self, now: Instant, pool: &Arc<Pool>) -> watch::Receiver<()> {
        let (over, wait) = watch::channel(());
        let (inner, pool) = (Arc::clone(&self.0), Arc::clone(pool));
        let _task = task::spawn("token", async move {
            let began = clock::now();
            let issued = match tokio::time::timeout(PATIENCE, inner.source.ask(&pool)).await {
                Ok(issued) => issued,
                Err(_) => Err(unavailable("the token's source", format!("no answer within {PATIENCE:?}"))),
            };
            let took = clock::now().saturating_duration_since(began);
            inner.note(issued.and_then(lasting), now, took);
            drop(over);
        });
        wait
    }
}

impl Inner {
    /// Keeps what came of asking at `since`, which took a while.
    fn note(&self, issued: Result<Issued, CredentialError>, since: Instant, took: Duration) {
        let mut state = self.state.lock();
        state.asking = None;
        let after = |span: Duration| since.checked_add(span).unwrap_or(since);
        match issued {
            Ok(Issued { token, holds }) => {
                let ahead = AHEAD.min(holds / 4);
                let (renew, ends) =
                    (after(holds.saturating_sub(ahead)), after(holds.saturating_sub(MARGIN.min(ahead))));
                state.held = Some(Held { token, renew, ends });
                state.failed = None;
            }
            Err(error) => {
                tracing::warn!(%error, "no token");
                state.failed = Some((after(took), error));
            }
        }
    }
}

/// A token that can be shown at all: one that ends at once would be asked for again and again.
fn lasting(issued: Issued) -> Result<Issued, CredentialError> {
    if issued.holds < SHORTEST {
        return Err(unavailable("the token's source", format!("its token ends within {SHORTEST:?}")));
    }
    Ok(issued)
}

/// Nobody handed a token out.
pub(super) fn unavailable(source_name: &'static str, why: impl Into<String>) -> CredentialError {
    CredentialError::Unavailable { source_name, why: why.into() }
}

#[cfg(test)]
mod tests;
