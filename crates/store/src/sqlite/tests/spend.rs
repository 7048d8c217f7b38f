//! Sums in SQL are the sums of the ledger.

use super::*;

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![0..2_000_u64, 0..=i64::MAX.unsigned_abs(), Just(i64::MAX.unsigned_abs()), Just(u64::from(u32::MAX))]
}

fn name() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof![Just(String::new()), "[a-cA-C'é\\x00]{1,2}".prop_map(|name| name)])
}

prop_compose! {
    fn random_entry()(
        names in prop::array::uniform5(name()),
        kind in prop::sample::select(vec![EntryKind::Settled, EntryKind::Unknown, EntryKind::Void]),
        cost in prop::option::of(amount()),
        amounts in prop::array::uniform6(amount()),
        at in 0..6_u64,
    ) -> Entry {
        let mut entry = entry("a", at, 0);
        let [org, team, model, provider, target] = names;
        entry.attribution.org = org.unwrap_or_default().into();
        entry.attribution.key_name = team.clone().unwrap_or_default().into();
        entry.attribution.team = team.map(Into::into);
        entry.attribution.model = model.map(Into::into);
        entry.attribution.provider = provider.map(Into::into);
        entry.attribution.target = target.clone().map(Into::into);
        entry.scopes = target.iter().map(|name| Scope::new(ScopeKind::Model, name.as_str())).collect();
        entry.kind = kind;
        entry.cost = cost.map(NanoUsd);
        let [held, input, cache_read, cache_write_5m, cache_write_1h, output] = amounts;
        entry.held = NanoUsd(held);
        entry.usage.input = input;
        entry.usage.cache_read = cache_read;
        entry.usage.cache_write_5m = cache_write_5m;
        entry.usage.cache_write_1h = cache_write_1h;
        entry.usage.output = output;
        entry
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn spend_and_balances_are_those_of_the_ledger(
        entries in prop::collection::vec(random_entry(), 0..40),
        from in 0..6_u64,
        to in 0..7_u64,
    ) {
        let (_folder, _path, store) = fresh();
        let memory = Memory::new();
        keep(&store, entries.clone());
        keep(&memory, entries.clone());
        for by in [SpendBy::Org, SpendBy::Team, SpendBy::Key, SpendBy::Model, SpendBy::Provider, SpendBy::Target] {
            let query = SpendQuery { by, from: UnixMillis(from), to: UnixMillis(to) };
            prop_assert_eq!(store.spend(query).unwrap(), summarize(&entries, query));
        }
        prop_assert_eq!(balances(&store, to), balances(&memory, to));
        prop_assert_eq!(loaded(&store, from), loaded(&memory, from));
    }
}

#[test]
fn an_amount_beyond_a_signed_integer_is_clamped_and_never_negative() {
    let (_folder, _path, store) = fresh();
    let mut huge = entry("a", 1, 1);
    huge.cost = Some(NanoUsd(u64::MAX));
    huge.usage.output = u64::MAX;
    keep(&store, [huge.clone(), entry("a", 1, 1)]);
    let most = i64::MAX.unsigned_abs();
    let back = &loaded(&store, 0)[&huge.call];
    assert_eq!((back.cost, back.usage.output), (Some(NanoUsd(most)), most));
    let query = SpendQuery { by: SpendBy::Key, from: UnixMillis(0), to: UnixMillis(9) };
    assert_eq!(store.spend(query).unwrap()[0].cost, NanoUsd(most + 1));
}
