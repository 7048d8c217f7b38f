//! Stage 11: sent, and answered. The proofs of all stages before are handed over here; the attempt engine in `upstream`
//! does the rest.

use std::{sync::Arc, time::Duration};

use tidegate_audit::Intent;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::Resource,
    fault::Fault,
};
use tidegate_ledger::Reservation;
use tidegate_policy::Permit;
use tidegate_protocol::{call::Call, mcp::ToolCall};
use tidegate_upstream::{AnswerBody, AnswerHead, Answered, Destinations, Dispatch, ServedBy, StickyBy};

use crate::{
    exchange::Exchange,
    stage::{
        authorize::metadata,
        route::{Routed, Way},
    },
};

/// An answer on its way back.
pub(crate) struct Answer {
    pub(crate) head: AnswerHead,
    pub(crate) body: AnswerBody,
    /// The tool call that is answered and the permit it went with, for filtering lists; `None` for models.
    pub(crate) request: Option<Box<(ToolCall, Permit)>>,
}

/// Sends the call to the first permitted place that answers.
pub(crate) async fn dispatch(
    exchange: &mut Exchange,
    permit: Permit,
    reservation: Reservation,
    intent: Intent,
    call: Call,
    routed: Routed,
) -> Result<Answer, Fault> {
    let started = clock::now();
    if exchange.keeps_bodies() {
        exchange.story.request_body = Some(match &call {
            Call::Model(call) => call.body(),
            Call::Tool(call) => call.body(),
            Call::Native(call) => call.body(),
        });
    }
    if let Some(gathered) = &mut exchange.gathered {
        gathered.sending(&exchange.gate.export, &call);
    }
    let to = match routed.way {
        Way::Models(route) => {
            let permitted =
                |id: &tidegate_core::ids::TargetId| permit.allows(&Resource::Model(id.clone())) && exchange.affords(id);
            let mut pick = |below: u64| rand::random_range(0..below.max(1));
            let sticky = |by: &_| sticky(exchange, by);
            Destinations::Models(exchange.gate.upstream.order(&route, &mut pick, &permitted, &sticky))
        }
        Way::Server(leg) => Destinations::Server(leg),
        Way::Provider(provider, _) => Destinations::Provider(provider),
        Way::Live(leg) => Destinations::Live(leg),
    };
    let sending = Dispatch {
        id: exchange.id,
        permit: &permit,
        reservation,
        intent,
        call: &call,
        to,
        forward: &exchange.headers,
        deadline: exchange.deadline,
        trace: exchange.gathered.as_ref().map(|gathered| gathered.traced.context),
    };
    exchange.story.sent = true;
    let gate = Arc::clone(&exchange.gate);
    let cut = exchange.cut.clone();
    let result = tokio::select! {
        biased;
        () = cut.cancelled() => return exchange.stage(Stage::Dispatch, started, Err(killed())),
        result = gate.upstream.dispatch(sending) => result,
    };
    exchange.story.upstream = clock::now().saturating_duration_since(started);
    let answered = match result {
        Ok(answered) => answered,
        Err(failed) => {
            exchange.story.attempts = failed.attempts;
            exchange.running = failed.running;
            return exchange.stage(Stage::Dispatch, started, Err(failed.fault));
        }
    };
    let Answered { mut head, body, mut running } = answered;
    exchange.story.attempts = std::mem::take(&mut head.attempts);
    exchange.story.losses =
        head.losses.iter().map(|loss| Arc::from(format!("{} {}", loss.what, loss.pointer))).collect();
    exchange.story.served_by = Some(Arc::from(head.served_by.to_string()));
    exchange.story.upstream = Duration::from_millis(head.upstream_millis).max(exchange.story.upstream);
    if let ServedBy::Model(target) = &head.served_by {
        let attribution = running.reservation.attribution_mut();
        attribution.provider = Some(target.id.provider.clone());
        attribution.target = Some(Arc::from(target.id.to_string()));
        exchange.settle_on(&target.id, &mut running.reservation);
        exchange.target = Some(Arc::clone(target));
    } else if let ServedBy::Provider(provider) = &head.served_by {
        running.reservation.attribution_mut().provider = Some(provider.clone());
    }
    exchange.running = Some(running);
    let request = match call {
        Call::Tool(tool) => Some(Box::new((*tool, permit))),
        Call::Model(_) | Call::Native(_) => None,
    };
    exchange.stage(Stage::Dispatch, started, Ok((Answer { head, body, request }, StageVerdict::Pass)))
}

/// What a sticky choice sticks to, for this call.
fn sticky(exchange: &Exchange, by: &StickyBy) -> Option<String> {
    match by {
        StickyBy::Session => exchange.story.session.as_ref().map(ToString::to_string),
        StickyBy::Key => exchange.caller.as_ref().map(|caller| caller.principal.key_name.to_string()),
        StickyBy::Metadata(name) => metadata(exchange).ok()?.get(name).map(ToString::to_string),
    }
}

/// The caller was cut off.
pub(crate) fn killed() -> Fault {
    Fault::new(
        tidegate_core::fault::FaultCode::Killed,
        "This call was ended from outside: its key was revoked or an operator cut it.",
    )
}
