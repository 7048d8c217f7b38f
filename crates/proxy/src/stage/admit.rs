//! Stage 1: size, deadline, load. Nothing of the body is read yet.

use std::time::Duration;

use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    fault::{Fault, FaultCode},
};

use crate::exchange::Exchange;

/// The longest patience that a caller may ask for.
const LONGEST_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets the call in, or sheds it.
pub(crate) fn admit(exchange: &mut Exchange) -> Result<(), Fault> {
    let started = exchange.started;
    let result = admitted(exchange);
    exchange.stage(Stage::Admit, started, result)
}

fn admitted(exchange: &mut Exchange) -> Result<((), StageVerdict), Fault> {
    let in_flight = usize::try_from(exchange.gate.metrics.in_flight.get()).unwrap_or(0);
    if in_flight > exchange.snapshot.concurrent_limit {
        return Err(Fault::new(
            FaultCode::Overloaded,
            "The gateway has as many calls in flight as it takes: try again in a second.",
        ));
    }
    let largest = u64::try_from(exchange.snapshot.body_limit).unwrap_or(u64::MAX);
    let declared = exchange.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > largest) {
        return Err(too_large(largest));
    }
    exchange.deadline = match exchange.header("x-tidegate-timeout-ms") {
        None => None,
        Some(text) => {
            let patience = text
                .parse()
                .map(Duration::from_millis)
                .ok()
                .filter(|patience| !patience.is_zero() && *patience <= LONGEST_DEADLINE)
                .ok_or_else(|| {
                    Fault::new(
                        FaultCode::InvalidRequest,
                        "The header x-tidegate-timeout-ms takes whole milliseconds from 1 to 86400000.",
                    )
                })?;
            clock::now().checked_add(patience)
        }
    };
    Ok(((), StageVerdict::Pass))
}

/// The body is larger than `largest` bytes.
pub(crate) fn too_large(largest: u64) -> Fault {
    Fault::new(
        FaultCode::TooLarge,
        format!("The body is larger than the {largest} bytes that this gateway takes (limits.body_bytes)."),
    )
}
