//! What every engine must do, whatever it is made of: one suite, run on each. Only for tests.

use std::collections::BTreeMap;

use tempfile::TempDir;
use tidegate_config::{
    identity::{KeyStore, KeyStoreError, StoredKey, StoredRules},
    pins::PinStore,
};
use tidegate_core::{
    batches::BatchStore,
    calls::{CallIndex, CallQuery, CallSummary},
    clock::UnixMillis,
    ids::CallId,
    made::MadeStore,
    money::NanoUsd,
};
use tidegate_ledger::{Entry, EntryKind, LedgerStore, Scope, ScopeKind, SpendBy, SpendQuery, ports::summarize};

use self::{
    batches::{
        a_batch_is_forgotten_when_it_has_ended_and_its_files_are_gone, files_and_batches_are_their_owners_alone,
        files_are_listed_in_order_and_by_the_page, what_was_made_comes_back_newest_last_and_bounded,
    },
    samples::{call, digest, entry, key, pin},
};
use crate::{Memory, Sqlite};

mod batches;
pub(crate) mod samples;

pub(crate) trait Engine: LedgerStore + KeyStore + CallIndex + PinStore + BatchStore + MadeStore {}
impl<T: LedgerStore + KeyStore + CallIndex + PinStore + BatchStore + MadeStore> Engine for T {}

macro_rules! on_every_engine {
    ($($name:ident)*) => {
        mod memory {
            $(#[test] fn $name() { super::$name(&super::Memory::new()); })*
        }
        mod sqlite {
            $(#[test] fn $name() {
                let (_folder, store) = super::sqlite_store();
                super::$name(&store);
            })*
        }
    };
}

on_every_engine! {
    an_entry_comes_back_as_it_was_recorded
    a_later_entry_of_a_call_replaces_the_earlier
    entries_are_loaded_from_a_moment_on
    balances_sum_what_was_charged_before_a_moment
    spend_means_what_the_ledger_says_for_every_breakdown
    spend_counts_a_call_in_its_span_only
    keys_come_back_by_tenant_and_name
    a_name_is_taken_until_its_key_is_revoked
    an_identifier_or_a_digest_is_taken_for_ever
    a_rotated_key_has_a_new_identifier_and_the_old_rules
    an_edited_key_has_other_rules_and_nothing_else
    a_removed_key_is_gone_and_its_name_is_free
    revoking_twice_keeps_the_first_moment
    a_key_of_another_tenant_cannot_be_reached
    calls_are_listed_newest_first_and_filtered
    a_list_of_calls_is_bounded
    a_call_recorded_again_replaces_itself
    a_call_of_another_tenant_cannot_be_reached
    what_is_pinned_comes_back_and_is_replaced_only_where_accepted
    what_differs_from_a_pin_is_noted_until_it_is_accepted_or_forgotten
    auth_path_injection
    files_and_batches_are_their_owners_alone
    files_are_listed_in_order_and_by_the_page
    a_batch_is_forgotten_when_it_has_ended_and_its_files_are_gone
    what_was_made_comes_back_newest_last_and_bounded
}

fn sqlite_store() -> (TempDir, Sqlite) {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path().join("state.db")).unwrap();
    (folder, store)
}

/// Records entries and waits for them.
pub(crate) fn keep(store: &impl LedgerStore, entries: impl IntoIterator<Item = Entry>) {
    for entry in entries {
        store.record(entry);
    }
    store.flush().unwrap();
}

pub(crate) fn keep_calls(store: &impl CallIndex, calls: impl IntoIterator<Item = CallSummary>) {
    for call in calls {
        store.record(call);
    }
    store.flush().unwrap();
}

pub(crate) fn loaded(store: &impl LedgerStore, since: u64) -> BTreeMap<CallId, Entry> {
    store.load(UnixMillis(since)).unwrap().into_iter().map(|entry| (entry.call, entry)).collect()
}

pub(crate) fn balances(store: &impl LedgerStore, before: u64) -> BTreeMap<Scope, NanoUsd> {
    store.balances(UnixMillis(before)).unwrap().into_iter().map(|balance| (balance.scope, balance.charged)).collect()
}

fn an_entry_comes_back_as_it_was_recorded(store: &impl Engine) {
    let settled = entry("a", 1_000, 9_007_199_254_740_993);
    let mut unknown = entry("b", 1_001, 4);
    unknown.kind = EntryKind::Unknown;
    unknown.cost = None;
    unknown.attribution.team = None;
    unknown.attribution.model = None;
    unknown.attribution.target = None;
    unknown.attribution.provider = Some("".into());
    unknown.scopes = [].into();
    let mut void = entry("c", 1_002, i64::MAX.unsigned_abs() - 5);
    void.kind = EntryKind::Void;
    let all = [settled, unknown, void];
    keep(store, all.clone());
    assert_eq!(loaded(store, 0), all.into_iter().map(|entry| (entry.call, entry)).collect());
}

fn a_later_entry_of_a_call_replaces_the_earlier(store: &impl Engine) {
    let first = entry("a", 1_000, 5);
    let mut second = entry("a", 1_000, 8);
    second.call = first.call;
    keep(store, [first.clone(), second.clone()]);
    assert_eq!(loaded(store, 0).into_values().collect::<Vec<_>>(), [second.clone()]);
    let mut third = second;
    third.cost = Some(NanoUsd(13));
    keep(store, [third.clone()]);
    assert_eq!(loaded(store, 0).into_values().collect::<Vec<_>>(), [third]);
    assert_eq!(balances(store, 2_000)[&Scope::new(ScopeKind::Key, "a")], NanoUsd(14));
}

fn entries_are_loaded_from_a_moment_on(store: &impl Engine) {
    keep(store, [entry("a", 1_000, 1), entry("a", 1_001, 2), entry("a", 1_002, 3)]);
    let costs: Vec<_> = loaded(store, 1_001).into_values().map(|entry| entry.at.0).collect();
    assert_eq!(costs.len(), 2);
    assert!(costs.iter().all(|at| *at >= 1_001));
    assert!(loaded(store, u64::MAX).is_empty());
}

fn balances_sum_what_was_charged_before_a_moment(store: &impl Engine) {
    let mut unknown = entry("b", 1_000, 0);
    unknown.kind = EntryKind::Unknown;
    unknown.cost = None;
    unknown.held = NanoUsd(50);
    keep(store, [entry("a", 1_000, 10), entry("a", 1_001, 20), entry("a", 2_000, 1_000), unknown]);
    let expected = [
        (Scope::new(ScopeKind::Key, "a"), NanoUsd(32)),
        (Scope::new(ScopeKind::Key, "b"), NanoUsd(50)),
        (Scope::new(ScopeKind::Team, "research"), NanoUsd(82)),
    ];
    assert_eq!(balances(store, 2_000), expected.into_iter().collect());
    assert!(balances(store, 0).is_empty());
}

fn spend_means_what_the_ledger_says_for_every_breakdown(store: &impl Engine) {
    let mut entries = vec![entry("a", 1_000, 10), entry("b", 1_001, 10), entry("c", 1_002, 99), entry("a", 1_003, 1)];
    entries[1].attribution.team = None;
    entries[1].attribution.org = "other".into();
    entries[2].attribution.model = None;
    entries[2].attribution.provider = Some("anthropic".into());
    entries[2].kind = EntryKind::Void;
    entries[3].attribution.target = None;
    entries[3].cost = None;
    keep(store, entries.clone());
    for by in [SpendBy::Org, SpendBy::Team, SpendBy::Key, SpendBy::Model, SpendBy::Provider, SpendBy::Target] {
        let query = SpendQuery { by, from: UnixMillis(0), to: UnixMillis(u64::MAX) };
        assert_eq!(store.spend(query).unwrap(), summarize(&entries, query), "{by:?}");
    }
}

fn spend_counts_a_call_in_its_span_only(store: &impl Engine) {
    keep(store, [entry("a", 999, 1), entry("a", 1_000, 10), entry("a", 1_999, 100), entry("a", 2_000, 1_000)]);
    let query = SpendQuery { by: SpendBy::Key, from: UnixMillis(1_000), to: UnixMillis(2_000) };
    let report = store.spend(query).unwrap();
    assert_eq!(report.len(), 1);
    assert_eq!((report[0].cost, report[0].calls, report[0].input_tokens), (NanoUsd(110), 2, 36));
}

fn keys_come_back_by_tenant_and_name(store: &impl Engine) {
    let mut plain = key("default", "a", 2);
    plain.rules = None;
    plain.team = None;
    plain.expires = None;
    let (second, elsewhere) = (key("default", "b", 1), key("other", "a", 3));
    for key in [&second, &plain, &elsewhere] {
        store.insert(key).unwrap();
    }
    assert_eq!(KeyStore::list(store, &"default".into()).unwrap(), [plain, second]);
    assert_eq!(KeyStore::list(store, &"other".into()).unwrap(), [elsewhere]);
    assert_eq!(KeyStore::all(store).unwrap().len(), 3);
    assert!(KeyStore::list(store, &"nobody".into()).unwrap().is_empty());
}

fn a_name_is_taken_until_its_key_is_revoked(store: &impl Engine) {
    let first = key("default", "a", 1);
    store.insert(&first).unwrap();
    assert!(matches!(store.insert(&key("default", "a", 2)), Err(KeyStoreError::Conflict)));
    store.revoke(&first.org, first.id, UnixMillis(5)).unwrap();
    store.insert(&key("default", "a", 2)).unwrap();
    store.insert(&key("other", "a", 3)).unwrap();
    assert_eq!(KeyStore::list(store, &first.org).unwrap().len(), 2);
}

fn an_identifier_or_a_digest_is_taken_for_ever(store: &impl Engine) {
    let first = key("default", "a", 1);
    store.insert(&first).unwrap();
    store.revoke(&first.org, first.id, UnixMillis(5)).unwrap();
    let mut same_digest = key("other", "b", 2);
    same_digest.digest = first.digest;
    assert!(matches!(store.insert(&same_digest), Err(KeyStoreError::Conflict)));
    assert!(matches!(store.insert(&key("other", "c", 1)), Err(KeyStoreError::Conflict)));
    let other = key("other", "d", 4);
    store.insert(&other).unwrap();
    let onto_digest = store.rotate(&other.org, other.id, "99999999".parse().unwrap(), &first.digest);
    assert!(matches!(onto_digest, Err(KeyStoreError::Conflict)));
    let onto_id = store.rotate(&other.org, other.id, first.id, &digest(9));
    assert!(matches!(onto_id, Err(KeyStoreError::Conflict)));
    assert_eq!(KeyStore::list(store, &other.org).unwrap(), [other]);
}

fn a_rotated_key_has_a_new_identifier_and_the_old_rules(store: &impl Engine) {
    let before = key("default", "a", 1);
    store.insert(&before).unwrap();
    let after = key("default", "a", 2);
    store.rotate(&before.org, before.id, after.id, &after.digest).unwrap();
    assert_eq!(KeyStore::all(store).unwrap(), std::slice::from_ref(&after));
    let again = store.rotate(&before.org, before.id, "33333333".parse().unwrap(), &digest(3));
    assert!(matches!(again, Err(KeyStoreError::NotFound)));
    store.revoke(&after.org, after.id, UnixMillis(5)).unwrap();
    let revoked = store.rotate(&after.org, after.id, "33333333".parse().unwrap(), &digest(3));
    assert!(matches!(revoked, Err(KeyStoreError::NotFound)));
}

fn an_edited_key_has_other_rules_and_nothing_else(store: &impl Engine) {
    let before = key("default", "a", 1);
    let other = key("default", "b", 2);
    store.insert(&before).unwrap();
    store.insert(&other).unwrap();
    let rules = StoredRules { models: vec!["chat".to_owned()], ..StoredRules::default() };
    let asked = StoredKey {
        name: "c".into(),
        team: Some("research".into()),
        digest: digest(9),
        created: UnixMillis(77),
        expires: Some(UnixMillis(99)),
        rules: Some(rules),
        ..before.clone()
    };
    store.update(&asked).unwrap();
    let after =
        StoredKey { team: asked.team.clone(), expires: asked.expires, rules: asked.rules.clone(), ..before.clone() };
    assert_eq!(KeyStore::all(store).unwrap(), [after.clone(), other]);
    store.update(&before).unwrap();
    assert_eq!(KeyStore::all(store).unwrap().first(), Some(&before));
    let elsewhere = StoredKey { org: "other".into(), ..asked.clone() };
    assert!(matches!(store.update(&elsewhere), Err(KeyStoreError::NotFound)));
    store.revoke(&before.org, before.id, UnixMillis(5)).unwrap();
    assert!(matches!(store.update(&asked), Err(KeyStoreError::NotFound)));
}

fn a_removed_key_is_gone_and_its_name_is_free(store: &impl Engine) {
    let first = key("default", "a", 1);
    store.insert(&first).unwrap();
    assert!(matches!(store.remove(&"other".into(), first.id), Err(KeyStoreError::NotFound)));
    store.remove(&first.org, first.id).unwrap();
    assert_eq!(KeyStore::all(store).unwrap(), []);
    assert!(matches!(store.remove(&first.org, first.id), Err(KeyStoreError::NotFound)));
    let second = key("default", "a", 2);
    store.insert(&second).unwrap();
    store.revoke(&second.org, second.id, UnixMillis(5)).unwrap();
    store.remove(&second.org, second.id).unwrap();
    assert_eq!(KeyStore::all(store).unwrap(), []);
}

fn revoking_twice_keeps_the_first_moment(store: &impl Engine) {
    let key = key("default", "a", 1);
    store.insert(&key).unwrap();
    store.revoke(&key.org, key.id, UnixMillis(5)).unwrap();
    store.revoke(&key.org, key.id, UnixMillis(9)).unwrap();
    assert_eq!(KeyStore::all(store).unwrap()[0].revoked, Some(UnixMillis(5)));
    let unknown = store.revoke(&key.org, "99999999".parse().unwrap(), UnixMillis(5));
    assert!(matches!(unknown, Err(KeyStoreError::NotFound)));
}

fn a_key_of_another_tenant_cannot_be_reached(store: &impl Engine) {
    let key = key("default", "a", 1);
    store.insert(&key).unwrap();
    let other = "other".into();
    assert!(matches!(store.revoke(&other, key.id, UnixMillis(5)), Err(KeyStoreError::NotFound)));
    let rotated = store.rotate(&other, key.id, "99999999".parse().unwrap(), &digest(9));
    assert!(matches!(rotated, Err(KeyStoreError::NotFound)));
    assert_eq!(KeyStore::all(store).unwrap(), [key]);
}

fn calls_are_listed_newest_first_and_filtered(store: &impl Engine) {
    let org = "default".into();
    let calls = [
        call("default", Some("a"), 1_000, None),
        call("default", Some("b"), 3_000, Some("policy_denied")),
        call("default", None, 2_000, Some("unauthenticated")),
        call("default", Some("a"), 2_500, Some("timeout")),
    ];
    keep_calls(store, calls.clone());
    let ask = |query: CallQuery| CallIndex::list(store, &org, &query).unwrap();
    let all = CallQuery { most: 10, ..CallQuery::default() };
    assert_eq!(ask(all.clone()), [&calls[1], &calls[3], &calls[2], &calls[0]].map(Clone::clone));
    let of_key = CallQuery { key: Some("a".to_owned()), ..all.clone() };
    assert_eq!(ask(of_key.clone()), [&calls[3], &calls[0]].map(Clone::clone));
    let failed = CallQuery { error: Some("any".to_owned()), ..all.clone() };
    assert_eq!(ask(failed), [&calls[1], &calls[3], &calls[2]].map(Clone::clone));
    let with_code = CallQuery { error: Some("timeout".to_owned()), ..of_key };
    assert_eq!(ask(with_code), [calls[3].clone()]);
    let page = CallQuery { before: Some(UnixMillis(2_500)), most: 1, ..all };
    assert_eq!(ask(page), [calls[2].clone()]);
    assert_eq!(CallIndex::get(store, &org, calls[2].id).unwrap(), Some(calls[2].clone()));
    assert_eq!(CallIndex::get(store, &org, CallId::new()).unwrap(), None);
}

fn a_list_of_calls_is_bounded(store: &impl Engine) {
    keep_calls(store, (0..1_005).map(|at| call("default", Some("a"), at, None)));
    let ask = |most| CallIndex::list(store, &"default".into(), &CallQuery { most, ..CallQuery::default() }).unwrap();
    assert_eq!(ask(usize::MAX).len(), 1_000);
    assert_eq!(ask(2).iter().map(|call| call.at.0).collect::<Vec<_>>(), [1_004, 1_003]);
    assert!(ask(0).is_empty());
}

fn a_call_recorded_again_replaces_itself(store: &impl Engine) {
    let first = call("default", Some("a"), 1_000, None);
    let mut second = call("default", Some("b"), 2_000, Some("timeout"));
    second.id = first.id;
    keep_calls(store, [first, second.clone()]);
    let all = CallQuery { most: 10, ..CallQuery::default() };
    assert_eq!(CallIndex::list(store, &"default".into(), &all).unwrap(), [second]);
}

fn a_call_of_another_tenant_cannot_be_reached(store: &impl Engine) {
    let call = call("default", Some("a"), 1_000, None);
    keep_calls(store, [call.clone()]);
    let all = CallQuery { most: 10, ..CallQuery::default() };
    assert!(CallIndex::list(store, &"other".into(), &all).unwrap().is_empty());
    assert_eq!(CallIndex::get(store, &"other".into(), call.id).unwrap(), None);
}

fn what_is_pinned_comes_back_and_is_replaced_only_where_accepted(store: &impl Engine) {
    let pins = [pin("wiki", "'; DROP TABLE tool_pins; --", 2), pin("notes", "search", 1)];
    assert_eq!(store.pin(&pins).unwrap(), pins);
    let changed = [pin("notes", "search", 9), pin("notes", "delete", 3), pin("notes", "delete", 4)];
    assert_eq!(store.pin(&changed).unwrap(), [changed[1].clone()]);
    assert_eq!(PinStore::all(store).unwrap(), [changed[1].clone(), pins[1].clone(), pins[0].clone()]);
    assert!(store.pin(&[]).unwrap().is_empty());
    store.accept(&changed[..1]).unwrap();
    assert_eq!(PinStore::all(store).unwrap(), [changed[1].clone(), changed[0].clone(), pins[0].clone()]);
}

fn what_differs_from_a_pin_is_noted_until_it_is_accepted_or_forgotten(store: &impl Engine) {
    let (server, search, delete) = ("notes".into(), "search".into(), "delete".into());
    store.pin(&[pin("notes", "search", 1), pin("notes", "delete", 2)]).unwrap();
    let (seen, later) = (pin("notes", "search", 5), pin("notes", "search", 6));
    store.note(&server, &search, Some(&seen)).unwrap();
    store.note(&server, &search, Some(&later)).unwrap();
    store.note(&server, &delete, Some(&pin("notes", "delete", 7))).unwrap();
    store.note(&server, &"unpinned".into(), Some(&pin("notes", "unpinned", 8))).unwrap();
    assert_eq!(store.changed().unwrap(), [pin("notes", "delete", 7), later.clone()]);
    store.note(&server, &delete, None).unwrap();
    store.accept(std::slice::from_ref(&later)).unwrap();
    assert!(store.changed().unwrap().is_empty());
    store.note(&server, &search, Some(&seen)).unwrap();
    assert!(store.forget(&server, &search).unwrap() && !store.forget(&server, &search).unwrap());
    assert!(store.changed().unwrap().is_empty());
    assert_eq!(PinStore::all(store).unwrap(), [pin("notes", "delete", 2)]);
}

fn auth_path_injection(store: &impl Engine) {
    let hostile = [
        "'; DROP TABLE api_key; --",
        "\" OR \"\"=\"",
        "a' OR '1'='1",
        "%_*?[a-z]",
        "back\\slash ?1 :id @x $y",
        "nul\0inside",
        "''",
        "line\nbreak\u{202e}\u{1f512}",
    ];
    for (seed, name) in (1_u32..).zip(hostile) {
        let mut key = key(name, name, seed);
        key.team = Some(name.into());
        store.insert(&key).unwrap();
        let mut entry = entry(name, 1_000, 5);
        entry.attribution.org = name.into();
        entry.attribution.team = Some(name.into());
        keep(store, [entry]);
        keep_calls(store, [call(name, Some(name), 1_000, Some(name))]);
        assert_eq!(KeyStore::list(store, &name.into()).unwrap(), [key.clone()], "{name}");
        let query = CallQuery { key: Some(name.to_owned()), error: Some(name.to_owned()), before: None, most: 10 };
        assert_eq!(CallIndex::list(store, &name.into(), &query).unwrap().len(), 1, "{name}");
        store.revoke(&key.org, key.id, UnixMillis(5)).unwrap();
    }
    let query = SpendQuery { by: SpendBy::Team, from: UnixMillis(0), to: UnixMillis(9_999) };
    let mut names: Vec<String> = store.spend(query).unwrap().into_iter().map(|row| row.name).collect();
    names.sort();
    let mut expected = hostile.map(str::to_owned);
    expected.sort();
    assert_eq!(names, expected);
    assert!(hostile.iter().all(|name| balances(store, 9_999).contains_key(&Scope::new(ScopeKind::Key, *name))));
    assert_eq!(KeyStore::all(store).unwrap().len(), hostile.len());
}
