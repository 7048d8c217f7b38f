//! Stage 7: does it fit. Money and rates are set aside for the dearest permitted target before anything is sent.

use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::Resource,
    fault::Fault,
};
use tidegate_ledger::{Ask, Attribution, Refused, Reservation};
use tidegate_policy::Permit;

use crate::{
    exchange::{Caller, Exchange},
    stage::route::Routed,
};

/// Sets aside what the call may use at most.
pub(crate) fn reserve(
    exchange: &mut Exchange,
    caller: &Caller,
    routed: &Routed,
    permit: &Permit,
) -> Result<Reservation, Fault> {
    let started = clock::now();
    let result = reserved(exchange, caller, routed, permit).map(|reservation| (reservation, StageVerdict::Pass));
    exchange.stage(Stage::Reserve, started, result.map_err(Fault::from))
}

fn reserved(exchange: &Exchange, caller: &Caller, routed: &Routed, permit: &Permit) -> Result<Reservation, Refused> {
    let principal = &caller.principal;
    exchange.gate.ledger.reserve(Ask {
        call: exchange.id,
        scopes: &caller.scopes,
        attribution: Attribution {
            org: principal.org.clone(),
            key: principal.key,
            key_name: principal.key_name.clone(),
            team: principal.team.clone(),
            model: exchange.story.model.clone(),
            provider: None,
            target: None,
        },
        cost: routed.most(|target| permit.allows(&Resource::Model(target.id.clone()))),
        tokens: routed.most_tokens(),
        wall: exchange.at,
        now: clock::now(),
    })
}
