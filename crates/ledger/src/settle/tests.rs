use super::*;

#[test]
fn settling_charges_the_cost_and_keeps_what_may_have_been_billed() {
    // reserved, kept by earlier attempts, cost → charged, still held, overrun
    let cases = [
        (100, 0, Some(40), 40, 0, 0),
        (100, 0, Some(100), 100, 0, 0),
        (100, 0, Some(130), 130, 0, 30),
        (200, 100, Some(60), 160, 100, 0),
        (200, 100, Some(120), 220, 100, 20),
        (100, 0, Some(0), 0, 0, 0),
        (100, 0, None, 100, 100, 0),
        (200, 100, None, 200, 200, 0),
        (0, 0, None, 0, 0, 0),
    ];
    for (amount, kept, cost, charged, held, overrun) in cases {
        let settled = Settled::of(NanoUsd(amount), NanoUsd(kept), cost.map(NanoUsd));
        assert_eq!(
            (settled.charged(), settled.kept_unknown, settled.overrun),
            (NanoUsd(charged), NanoUsd(held), NanoUsd(overrun)),
            "{amount} {kept} {cost:?}"
        );
        assert_eq!(settled.cost, cost.map(NanoUsd));
    }
}
