//! Stage 7: does it fit. Money and rates are set aside for the dearest permitted target before anything is sent.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use tidegate_config::snapshot::Counted;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    facts::Resource,
    fault::Fault,
    ids::TargetId,
};
use tidegate_ledger::{Ask, Attribution, Refused, Reservation, Scope, ScopeKind};
use tidegate_policy::Permit;

use crate::{
    exchange::{Caller, Exchange},
    stage::{authorize::metadata, route::Routed},
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
    exchange.stage(Stage::Reserve, started, result)
}

/// One place that the call may go to, with the budgets of its own that it would count for.
#[derive(Debug)]
pub(crate) struct Place {
    /// The target; `None` for a server or a provider.
    pub(crate) target: Option<TargetId>,
    scopes: Vec<Scope>,
}

/// Reserves for every place that is left; where a budget of its own has no room, the places that count for it are
/// passed over, as long as others are left.
fn reserved(exchange: &mut Exchange, caller: &Caller, routed: &Routed, permit: &Permit) -> Result<Reservation, Fault> {
    let mut places = places(exchange, caller, routed, permit)?;
    loop {
        match ask(exchange, caller, routed, &places) {
            Ok(reservation) => {
                exchange.places = places;
                return Ok(reservation);
            }
            Err(refused) => {
                let full = refused.scope().clone();
                let left = places.iter().filter(|place| !place.scopes.contains(&full)).count();
                if full.kind != ScopeKind::Budget || left == 0 || left == places.len() {
                    return Err(refused.into());
                }
                places.retain(|place| !place.scopes.contains(&full));
            }
        }
    }
}

fn places(exchange: &Exchange, caller: &Caller, routed: &Routed, permit: &Permit) -> Result<Vec<Place>, Fault> {
    let shared = Arc::clone(&exchange.snapshot.shared);
    let metadata = if shared.is_empty() { BTreeMap::new() } else { metadata(exchange)? };
    let model = exchange.story.model.as_ref().map(|model| model.as_str());
    let matching = |counted: &Counted<'_>| -> Vec<Scope> {
        shared.iter().filter(|shared| shared.takes(counted)).map(|shared| shared.scope.clone()).collect()
    };
    let nothing = Counted {
        principal: &caller.principal,
        model,
        provider: None,
        target: None,
        server: None,
        tool: None,
        metadata: &metadata,
    };
    let place = |resource: &Resource| match resource {
        Resource::Model(target) => {
            let name = if shared.is_empty() { String::new() } else { target.to_string() };
            let counted = Counted { provider: Some(target.provider.as_str()), target: Some(&name), ..nothing };
            Place { target: Some(target.clone()), scopes: matching(&counted) }
        }
        Resource::Provider(provider) => {
            let counted = Counted { provider: Some(provider.as_str()), ..nothing };
            Place { target: None, scopes: matching(&counted) }
        }
        Resource::Tool(server, tool) => {
            let counted = Counted { server: Some(server.as_str()), tool: Some(tool.as_str()), ..nothing };
            Place { target: None, scopes: matching(&counted) }
        }
        Resource::Server(server) | Resource::McpResource(server, _) | Resource::Prompt(server, _) => {
            Place { target: None, scopes: matching(&Counted { server: Some(server.as_str()), ..nothing }) }
        }
        Resource::Gateway | Resource::ProposedTool(_) => Place { target: None, scopes: matching(&nothing) },
    };
    Ok(routed.candidates.iter().filter(|resource| permit.allows(resource)).map(place).collect())
}

fn ask(exchange: &Exchange, caller: &Caller, routed: &Routed, places: &[Place]) -> Result<Reservation, Refused> {
    let principal = &caller.principal;
    let of_their_own = places.iter().any(|place| !place.scopes.is_empty());
    let scopes: Cow<'_, [Scope]> = if of_their_own {
        caller.scopes.iter().chain(places.iter().flat_map(|place| &place.scopes)).cloned().collect()
    } else {
        Cow::Borrowed(&caller.scopes)
    };
    exchange.gate.ledger.reserve(Ask {
        call: exchange.id,
        scopes: &scopes,
        attribution: Attribution {
            org: principal.org.clone(),
            key: principal.key,
            key_name: principal.key_name.clone(),
            team: principal.team.clone(),
            model: exchange.story.model.clone(),
            provider: None,
            target: None,
        },
        cost: routed.most(|target| places.iter().any(|place| place.target.as_ref() == Some(&target.id))),
        tokens: routed.most_tokens(),
        wall: exchange.at,
        now: clock::now(),
    })
}

impl Exchange {
    /// The names of the budgets of places that the call holds money in.
    pub(crate) fn held_budgets(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> =
            self.places.iter().flat_map(|place| &place.scopes).map(|scope| Arc::clone(&scope.name)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Whether the money is there for `target`.
    pub(crate) fn affords(&self, target: &TargetId) -> bool {
        self.places.iter().any(|place| place.target.as_ref() == Some(target))
    }

    /// Leaves the budgets of places that the call did not go to.
    pub(crate) fn settle_on(&self, target: &TargetId, reservation: &mut Reservation) {
        let Some(place) = self.places.iter().find(|place| place.target.as_ref() == Some(target)) else { return };
        if self.places.iter().any(|other| other.scopes != place.scopes) {
            reservation.narrow(|scope| scope.kind != ScopeKind::Budget || place.scopes.contains(scope));
        }
    }
}
