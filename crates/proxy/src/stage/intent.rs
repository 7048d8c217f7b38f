//! Stage 10: the intent is on record before a byte leaves.

use tidegate_audit::{Intent, record::ReservationRecord};
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::Resource,
    fault::{Fault, FaultCode},
};
use tidegate_ledger::Reservation;
use tidegate_policy::Permit;
use tidegate_protocol::call::Call;

use crate::{exchange::Exchange, finish, stage::route::Routed};

/// Writes the intent: with an audited kind, nothing goes on before it is written.
pub(crate) async fn intent(
    exchange: &mut Exchange,
    call: &Call,
    routed: &Routed,
    permit: &Permit,
    reservation: &Reservation,
) -> Result<Intent, Fault> {
    let started = clock::now();
    let result = recorded(exchange, call, routed, permit, reservation).await;
    let intent = exchange.stage(Stage::Intent, started, result.map(|intent| (intent, StageVerdict::Pass)))?;
    exchange.story.receipt = intent.leaf();
    Ok(intent)
}

async fn recorded(
    exchange: &mut Exchange,
    call: &Call,
    routed: &Routed,
    permit: &Permit,
    reservation: &Reservation,
) -> Result<Intent, Fault> {
    let kind = finish::kind(exchange);
    if let Some(off) = exchange.snapshot.audit.intent_off(kind) {
        return Ok(off);
    }
    exchange.story.request_digest = Some(call.digest());
    let Some(mut record) = finish::intent_record(exchange) else {
        return Err(Fault::new(FaultCode::Internal, "A call without a caller cannot be recorded."));
    };
    record.targets = permit
        .allowed()
        .iter()
        .filter_map(|resource| match resource {
            Resource::Model(target) => Some(target.clone()),
            _ => None,
        })
        .collect();
    record.reservation = ReservationRecord {
        amount: Some(reservation.amount()),
        input_tokens: routed.estimate.input_tokens,
        output_tokens: routed.most_tokens().saturating_sub(routed.estimate.input_tokens),
    };
    record.budgets = exchange.held_budgets();
    let class = exchange.snapshot.audit.class(kind);
    exchange.gate.audit.intent(class, record).await.map_err(|error| {
        Fault::new(
            FaultCode::AuditUnavailable,
            "The audit log takes no records at the moment, so nothing was sent: try again in a moment.",
        )
        .with_source(error)
    })
}
