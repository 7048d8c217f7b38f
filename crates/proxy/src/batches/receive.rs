//! What may be the gateway's own, received: read until it is known whose it is.
//!
//! Owns reading of uploads, which may be larger than other bodies. Called by decode.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Method;
use hyper::body::Incoming;
use tidegate_core::{
    event::StageVerdict,
    fault::{Fault, FaultCode},
};

use super::{
    answer::Ask,
    claim::{Claim, names_own_file},
    upload::{Receiving, Uploaded, purpose},
};
use crate::{
    client::Pace,
    exchange::Exchange,
    here::Here,
    stage::{
        authorize::may_use_batches,
        decode::{Decoded, next_data, read, understand},
    },
    surface::Endpoint,
};

/// What was sent as a file.
enum Sent {
    /// A file of the gateway's own.
    Own(Box<Uploaded>),
    /// Something for a provider.
    Foreign(Bytes),
}

/// Reads what is needed to know whose `claim` is, and all of what is the gateway's.
pub(crate) async fn receive(
    exchange: &mut Exchange,
    (method, endpoint): (&Method, Endpoint),
    claim: Claim,
    body: &mut Option<Incoming>,
) -> Result<(Decoded, StageVerdict), Fault> {
    let ask = match claim {
        Claim::Own(ask) => ask,
        Claim::Create => {
            let (largest, patience) = (exchange.snapshot.body_limit, exchange.snapshot.client_times.body);
            let bytes = read(body, largest, patience).await?;
            if !names_own_file(&bytes) {
                return understand(exchange, method, endpoint, bytes);
            }
            Ask::Create(bytes)
        }
        Claim::Upload => match sent(exchange, body).await? {
            Sent::Own(uploaded) => Ask::Upload(uploaded),
            Sent::Foreign(bytes) => return understand(exchange, method, endpoint, bytes),
        },
    };
    Ok((Decoded::Here(Here::Batches(Box::new(ask))), StageVerdict::Pass))
}

/// After how many bytes it is looked for the first time whether an upload says what it is for; then after four times as many
/// each, up to [`LOOKS_UNTIL`]. Clients put it before the file.
const FIRST_LOOK: usize = 1 << 10;
/// Beyond this many bytes it is not looked for any more: the form puts the file first.
const LOOKS_UNTIL: usize = 1 << 20;

/// Reads an upload. What fits into other bodies is held until its purpose is known; what does not can be for batches only.
async fn sent(exchange: &mut Exchange, unread: &mut Option<Incoming>) -> Result<Sent, Fault> {
    let (largest, patience) = (exchange.snapshot.body_limit, exchange.snapshot.client_times.body);
    let mut pace = Pace::new(patience);
    let mut held = BytesMut::new();
    let mut receiving: Option<Receiving> = None;
    let mut look = FIRST_LOOK;
    if let Some(body) = unread {
        while let Some(data) = next_data(body, &mut pace).await? {
            match &mut receiving {
                Some(receiving) => {
                    receiving.take(&data).await?;
                    continue;
                }
                None => held.extend_from_slice(&data),
            }
            let mut is_batch = false;
            if (look..LOOKS_UNTIL).contains(&held.len()) {
                look = held.len().saturating_mul(4);
                is_batch = is_for_batches(exchange, &held);
            }
            if is_batch || held.len() > largest {
                let mut begun = begin(exchange).await?;
                begun.take(&held.split().freeze()).await?;
                receiving = Some(begun);
            }
        }
    }
    *unread = None;
    if let Some(receiving) = receiving {
        return receiving.end().await.map(|uploaded| Sent::Own(Box::new(uploaded)));
    }
    let held = held.freeze();
    if !is_for_batches(exchange, &held) {
        return Ok(Sent::Foreign(held));
    }
    let mut receiving = begin(exchange).await?;
    receiving.take(&held).await?;
    receiving.end().await.map(|uploaded| Sent::Own(Box::new(uploaded)))
}

/// Whether what came so far of a form says that it is for batches.
fn is_for_batches(exchange: &Exchange, held: &[u8]) -> bool {
    purpose(exchange.headers.get(http::header::CONTENT_TYPE), held).as_deref() == Some("batch")
}

/// Begins a file, for a caller who may have one.
async fn begin(exchange: &mut Exchange) -> Result<Receiving, Fault> {
    let unknown = || Fault::new(FaultCode::Internal, "A file has no caller.");
    let caller = exchange.caller.clone().ok_or_else(unknown)?;
    may_use_batches(exchange, &caller)?;
    let bounds = exchange.snapshot.batches.ok_or_else(unknown)?;
    let content_type = exchange.headers.get(http::header::CONTENT_TYPE).cloned();
    Receiving::begin(Arc::clone(&exchange.gate), content_type, bounds).await
}
