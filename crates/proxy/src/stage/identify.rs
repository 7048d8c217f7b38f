//! Stage 2: who calls. A key in any of the headers that the surfaces' SDKs use; one of them, no two that differ.

use std::sync::Arc;

use http::HeaderMap;
use tidegate_config::identity::KeyRecord;
use tidegate_core::{
    batches::Maker,
    clock,
    control::LiveCall,
    event::{Stage, StageVerdict},
    facts::Action,
    fault::{Fault, FaultCode},
    principal::Principal,
};

use crate::exchange::{Caller, Exchange};

/// Headers that may carry a key, in the order of preference.
const HEADERS: [&str; 4] = ["x-api-key", "x-goog-api-key", "x-portkey-api-key", "x-pan-token"];

/// Finds out whose call this is. Unknown, revoked and expired keys get the same answer after the same work.
pub(crate) fn identify(exchange: &mut Exchange) -> Result<Caller, Fault> {
    let started = clock::now();
    let result = identified(exchange).map(|identified| (identified, StageVerdict::Pass));
    let identified = exchange.stage(Stage::Identify, started, result)?;
    enter(exchange, identified)
}

/// Finds the key again that made what is now run for it; refused where it was revoked or has expired.
pub(crate) fn identify_maker(exchange: &mut Exchange, maker: &Maker) -> Result<Caller, Fault> {
    let started = clock::now();
    let result = made_by(exchange, maker).map(|identified| (identified, StageVerdict::Pass));
    let identified = exchange.stage(Stage::Identify, started, result)?;
    enter(exchange, identified)
}

/// The key of `maker`, also where its secret, and its id with it, was replaced by another.
fn made_by(exchange: &Exchange, maker: &Maker) -> Result<(Caller, Arc<KeyRecord>), Fault> {
    let keys = &exchange.gate.keys;
    let rotated = || {
        let same = |key: &Arc<KeyRecord>| key.name == maker.key_name && key.created == maker.key_created;
        keys.list(&maker.org).into_iter().find(same)
    };
    let key = keys.get(&maker.org, maker.key).or_else(rotated);
    let key = key.filter(|key| key.name == maker.key_name && key.valid(exchange.at)).ok_or_else(unauthenticated)?;
    caller_of(exchange, key)
}

/// Enters the call among those in flight.
fn enter(exchange: &mut Exchange, (caller, record): (Caller, Arc<KeyRecord>)) -> Result<Caller, Fault> {
    let call = LiveCall {
        id: exchange.id,
        key: caller.principal.key,
        key_name: caller.principal.key_name.clone(),
        action: Action::InvokeModel,
        since: exchange.at,
    };
    let entered = exchange.gate.registry.enter(call, caller.principal.team.clone(), exchange.cut.clone());
    exchange.entered = Some(entered);
    exchange.caller = Some(caller.clone());
    // A key that was revoked between the look-up and the entry above would otherwise be cut by nobody.
    if !exchange.gate.keys.is_valid(&record, exchange.at) {
        exchange.caller = None;
        return Err(unauthenticated());
    }
    Ok(caller)
}

fn identified(exchange: &Exchange) -> Result<(Caller, Arc<KeyRecord>), Fault> {
    let presented = presented(&exchange.headers)?;
    let key = exchange.gate.keys.authenticate(presented, exchange.at).map_err(|_| unauthenticated())?;
    caller_of(exchange, key)
}

/// Who calls with `key`, with everything that follows from it.
fn caller_of(exchange: &Exchange, key: Arc<KeyRecord>) -> Result<(Caller, Arc<KeyRecord>), Fault> {
    let rules = exchange.snapshot.key(&key.org, &key.name).ok_or_else(unauthenticated)?;
    let principal = Principal {
        org: key.org.clone(),
        key: key.id,
        key_name: key.name.clone(),
        team: key.team.clone(),
        chain: Vec::new(),
        address: exchange.address,
    };
    let caller = Caller { principal, chain: Arc::clone(&rules.chain), scopes: Arc::clone(&rules.scopes) };
    Ok((caller, key))
}

fn unauthenticated() -> Fault {
    Fault::new(
        FaultCode::Unauthenticated,
        "This key is not known here, or it was revoked or has expired: send a valid Tidegate key (tg_…) as \
         `Authorization: Bearer` or `x-api-key`.",
    )
}

/// How a request signed by AWS's Signature Version 4 begins.
const SIGNED: &str = "AWS4-HMAC-SHA256 ";

/// The Tidegate key that a client of AWS was given as its access key's id, which it names in clear in every signature.
/// The key proves itself as it does as a bearer; what was signed with it proves nothing more, and is not looked at.
fn signers_key(authorization: &str) -> &str {
    let (_, scope) = authorization.split_once("Credential=").unwrap_or_default();
    let id = scope.split(['/', ',']).next().unwrap_or_default();
    if id.starts_with("tg_") { id } else { "" }
}

/// The one key that the headers carry.
fn presented(headers: &HeaderMap) -> Result<&str, Fault> {
    let bearer = headers.get_all("authorization").iter().map(|value| {
        let text = value.to_str().unwrap_or_default().trim();
        if text.starts_with(SIGNED) {
            return signers_key(text);
        }
        let scheme = text.get(..7).unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer ") { text.get(7..).unwrap_or_default().trim() } else { "" }
    });
    let others =
        HEADERS.iter().flat_map(|name| headers.get_all(*name)).map(|value| value.to_str().unwrap_or_default().trim());
    // A client that is set up for several vendors may send several keys; only one of them can be ours.
    let mut ours = others.chain(bearer).filter(|text| !text.is_empty());
    let Some(first) = ours.next() else {
        if headers.get("authorization").is_some_and(|value| value.as_bytes().starts_with(SIGNED.as_bytes())) {
            return Err(Fault::new(
                FaultCode::Unauthenticated,
                "This request is signed with keys of AWS, which mean nothing here: set AWS_ACCESS_KEY_ID (and any \
                 AWS_SECRET_ACCESS_KEY), or over HTTPS AWS_BEARER_TOKEN_BEDROCK, to a Tidegate key (tg_…).",
            ));
        }
        return Err(Fault::new(
            FaultCode::Unauthenticated,
            "No key was sent: send a Tidegate key (tg_…) as `Authorization: Bearer` or `x-api-key`.",
        ));
    };
    let mut chosen = first;
    for other in ours {
        match (chosen.starts_with("tg_"), other.starts_with("tg_")) {
            (false, true) => chosen = other,
            (true, true) if chosen != other => {
                return Err(Fault::new(
                    FaultCode::Unauthenticated,
                    "Two different Tidegate keys were sent: send one, as `Authorization: Bearer` or `x-api-key`.",
                ));
            }
            _ => {}
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_key_is_found_in_every_header_that_sdks_use() {
        for name in ["x-api-key", "x-goog-api-key", "x-portkey-api-key", "x-pan-token"] {
            assert_eq!(presented(&headers(&[(name, "tg_a")])).unwrap(), "tg_a");
        }
        assert_eq!(presented(&headers(&[("authorization", "bearer  tg_a")])).unwrap(), "tg_a");
    }

    #[test]
    fn our_own_key_wins_over_another_vendors() {
        let both = headers(&[("x-api-key", "sk-other"), ("authorization", "Bearer tg_a")]);
        assert_eq!(presented(&both).unwrap(), "tg_a");
    }

    #[test]
    fn two_different_keys_of_ours_are_refused() {
        let both = headers(&[("x-api-key", "tg_b"), ("authorization", "Bearer tg_a")]);
        assert_eq!(presented(&both).unwrap_err().code, FaultCode::Unauthenticated);
        assert!(presented(&headers(&[])).is_err());
        assert!(presented(&headers(&[("authorization", "Basic dGc6")])).is_err());
        let signed = [("authorization", "AWS4-HMAC-SHA256 Credential=AKIA/20261130/eu-west-1/bedrock/aws4_request")];
        let fault = presented(&headers(&signed)).unwrap_err();
        assert!(fault.public_message.contains("AWS_ACCESS_KEY_ID"));
    }

    #[test]
    fn a_client_of_aws_names_the_key_as_its_access_key() {
        let named = "AWS4-HMAC-SHA256 Credential=tg_a/20261130/eu-west-1/bedrock/aws4_request, Signature=00";
        assert_eq!(presented(&headers(&[("authorization", named)])).unwrap(), "tg_a");
        for broken in ["AWS4-HMAC-SHA256 Credential=", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 Credential=tg"] {
            assert!(presented(&headers(&[("authorization", broken)])).is_err());
        }
    }
}
