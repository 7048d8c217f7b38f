//! What a model call would look like on its way to a target, without sending it.
//!
//! Shares every step with the real thing but the sending. Credentials that have to be asked for are asked for. Called by
//! whoever wants to see what a configuration makes of a call, and by the fixtures of the catalogue.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use tidegate_core::{clock, fault::Fault, ids::CallId};
use tidegate_protocol::llm::{Loss, ModelCall};

use crate::{Target, Upstream, clocks::Limits, credential::Showing, llm::ModelTraffic};

/// A request that was not sent.
#[derive(Debug)]
pub struct Preview {
    /// The request, with its credential.
    pub request: Request<Bytes>,
    /// What of the call it does not say.
    pub losses: Vec<Loss>,
}

impl Upstream {
    /// The request that `call` would become at `target`.
    ///
    /// # Errors
    /// Where the target cannot be told the call, or no credential is to be had.
    pub async fn preview(&self, call: &ModelCall, target: &Arc<Target>) -> Result<Preview, Box<Fault>> {
        let traffic = ModelTraffic {
            pool: &self.pool,
            call,
            call_id: CallId::new(),
            targets: vec![Arc::clone(target)],
            names: vec![Arc::from(target.id.to_string())],
            forward: &HeaderMap::new(),
            trace: None,
        };
        let dialect = target.provider.dialect_for(call.dialect());
        let outgoing = traffic.prepare(target, dialect, None).map_err(|failure| failure.fault)?;
        let mut request = traffic.request(target, &outgoing, dialect).map_err(|failure| failure.fault)?;
        let limits = Limits::new(clock::now(), target.timeouts.connect, None);
        let showing = Showing {
            pool: &self.pool,
            connect: target.timeouts.connect,
            limits: &limits,
            whom: ("provider", target.provider.name.as_str()),
        };
        target.provider.auth.show(&mut request, &showing).await.map_err(|failure| failure.fault)?;
        Ok(Preview { request, losses: outgoing.losses })
    }
}
