//! What is measured: each leg is one shape of load.

/// One shape of load.
pub(super) struct Leg {
    pub(super) name: &'static str,
    /// What the load is told, besides how long.
    pub(super) load: &'static [&'static str],
    pub(super) warmup: f64,
    pub(super) seconds: f64,
    /// The pause between events of a stream, in microseconds.
    pub(super) pause_us: u32,
    /// A leg that has to be kept up with before this one makes sense.
    pub(super) after: Option<&'static str>,
}

const fn leg(name: &'static str, load: &'static [&'static str], seconds: f64) -> Leg {
    Leg { name, load, warmup: 1.0, seconds, pause_us: 0, after: None }
}

/// Every leg, in the order in which they run. The first one only warms up and stands in no table.
pub(super) const LEGS: [Leg; 10] = [
    Leg { warmup: 0.0, ..leg("warm", &["--connections", "8"], 4.0) },
    leg("c1", &["--connections", "1"], 3.0),
    leg("c16", &["--connections", "16"], 3.0),
    leg("c64", &["--connections", "64"], 3.0),
    leg("r500", &["--rate", "500"], 5.0),
    Leg { after: Some("r500"), ..leg("r2000", &["--rate", "2000"], 5.0) },
    Leg { pause_us: 5_000, ..leg("sse20", &["--rate", "20", "--streams", "50"], 6.0) },
    Leg { pause_us: 5_000, after: Some("sse20"), ..leg("sse100", &["--rate", "100", "--streams", "50"], 5.0) },
    leg("b100k", &["--rate", "50", "--kib", "100"], 5.0),
    leg("b400k", &["--rate", "20", "--kib", "400"], 5.0),
];
