//! Entries, keys and calls for the suite. Only for tests.

use std::sync::Arc;

use tidegate_config::{
    identity::{KeyDigest, StoredKey, StoredRules},
    pins::PinnedTool,
};
use tidegate_core::{
    calls::CallSummary,
    clock::UnixMillis,
    event::{Stage, StageEvent, StageVerdict},
    facts::{Action, GuardAction, GuardVerdict},
    fault::{AttemptReport, Phase},
    ids::CallId,
    money::NanoUsd,
    segment::Origin,
    usage::{Usage, UsageSource},
};
use tidegate_ledger::{Attribution, Budget, Entry, EntryKind, Scope, ScopeKind, ScopeRules};

/// A pin of a definition that `seed` stands for.
pub(crate) fn pin(server: &str, tool: &str, seed: u64) -> PinnedTool {
    let schema = format!(r#"{{"type":"object","title":"{seed}"}}"#);
    let pin = PinnedTool::new(server.into(), tool.into(), schema.as_bytes(), schema.as_bytes(), UnixMillis(seed));
    pin.unwrap()
}

pub(crate) fn entry(key: &str, at: u64, cost: u64) -> Entry {
    Entry {
        call: CallId::new(),
        attribution: Attribution {
            org: "default".into(),
            key: "abcd0123".parse().unwrap(),
            key_name: key.into(),
            team: Some("research".into()),
            model: Some("fast".into()),
            provider: None,
            target: Some("openai/gpt".into()),
        },
        scopes: Arc::from([Scope::new(ScopeKind::Key, key), Scope::new(ScopeKind::Team, "research")]),
        at: UnixMillis(at),
        finished: UnixMillis(at + 10),
        kind: EntryKind::Settled,
        cost: Some(NanoUsd(cost)),
        held: NanoUsd(1),
        reserved: NanoUsd(cost + 5),
        overrun: NanoUsd(2),
        usage: Usage {
            input: 3,
            cache_read: 4,
            cache_write_5m: 5,
            cache_write_1h: 6,
            output: 7,
            reasoning: 2,
            source: UsageSource::Vendor,
            ..Usage::default()
        },
    }
}

/// A key whose identifier and digest are made of `seed`.
pub(crate) fn key(org: &str, name: &str, seed: u32) -> StoredKey {
    StoredKey {
        id: format!("{seed:08}").parse().unwrap(),
        name: name.into(),
        org: org.into(),
        team: Some("research".into()),
        digest: digest(seed),
        created: UnixMillis(1_000),
        expires: Some(UnixMillis(9_000)),
        revoked: None,
        rules: Some(StoredRules {
            models: vec!["*".to_owned()],
            mcp_servers: vec!["files".to_owned()],
            guardrails: vec!["secrets".to_owned()],
            limits: ScopeRules {
                budget: vec!["10 usd/month".parse::<Budget>().unwrap()],
                requests: Some("600/min".parse().unwrap()),
                tokens: None,
                concurrent: Some(4),
            },
        }),
    }
}

pub(crate) fn digest(seed: u32) -> KeyDigest {
    let mut bytes = [7_u8; 32];
    bytes[..4].copy_from_slice(&seed.to_be_bytes());
    KeyDigest(bytes)
}

pub(crate) fn call(org: &str, key: Option<&str>, at: u64, error: Option<&str>) -> CallSummary {
    CallSummary {
        id: CallId::new(),
        org: org.into(),
        at: UnixMillis(at),
        millis: 12,
        key: key.map(Into::into),
        team: None,
        surface: "openai".into(),
        action: Some(Action::InvokeModel),
        resource: "fast".into(),
        served_by: Some("openai/gpt".into()),
        status: 200,
        error: error.map(Into::into),
        usage: Usage { output: u64::MAX, ..Usage::default() },
        cost: Some(NanoUsd(9_007_199_254_740_993)),
        receipt: Some(5),
        revision: "0123456789ab".into(),
        policies: vec!["allow:fast".to_owned()],
        observed: vec![],
        verdicts: vec![GuardVerdict {
            guardrail: "pii".into(),
            category: "pii.email".into(),
            origin: Origin::Prompt,
            action: GuardAction::Redact,
            count: 2,
        }],
        attempts: vec![AttemptReport {
            target: "openai/gpt".to_owned(),
            phase: Phase::Done,
            status: Some(200),
            millis: 9,
            outcome: "answered".to_owned(),
            timing: None,
        }],
        stages: vec![StageEvent {
            stage: Stage::Settle,
            verdict: StageVerdict::Pass,
            micros: 4,
            detail: Some("openai/gpt".into()),
        }],
        facts: vec![("model".into(), "fast".into())],
    }
}
