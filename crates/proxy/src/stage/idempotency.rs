//! Stage 6: was it asked before. Under one `idempotency-key`, a caller's question reaches an upstream once; who asks the
//! same meanwhile waits for that answer, and who asks later gets it again. The decision of policy stands before it, so
//! what may not be asked any more is not answered again either.

use std::sync::Arc;

use http::Response;
use tidegate_core::{
    clock,
    event::{Stage, StageVerdict},
    fault::{Fault, FaultCode},
    ids::{Digest, Digester},
};
use tidegate_protocol::call::Call;

use crate::{
    exchange::{Caller, Ending, Exchange},
    repeats::{Known, Recorded},
    respond::{self, Body},
};

/// The longest key in bytes.
const LONGEST: usize = 255;

/// The answer that was given before, where there is one.
pub(crate) async fn idempotency(
    exchange: &mut Exchange,
    caller: &Caller,
    call: &Call,
) -> Result<Option<Arc<Recorded>>, Fault> {
    let started = clock::now();
    let result = known(exchange, caller, call).await;
    let result = result.map(|known| {
        let verdict = if known.is_some() { StageVerdict::Changed } else { StageVerdict::Pass };
        (known, verdict)
    });
    exchange.stage(Stage::Idempotency, started, result)
}

async fn known(exchange: &mut Exchange, caller: &Caller, call: &Call) -> Result<Option<Arc<Recorded>>, Fault> {
    // A tool call has an id of its own in its session, and is never sent twice.
    let (Call::Model(_), Some(key)) = (call, exchange.headers.get("idempotency-key")) else { return Ok(None) };
    if key.is_empty() || key.len() > LONGEST {
        return Err(Fault::new(FaultCode::InvalidRequest, "The header idempotency-key takes 1 to 255 characters."));
    }
    let name = name(caller, key.as_bytes());
    let question = (exchange.surface, call.digest());
    let gate = Arc::clone(&exchange.gate);
    loop {
        let mut waiting = match gate.repeats.ask(name, question, exchange.id, exchange.snapshot.idempotency_memory) {
            Known::First(running) => {
                exchange.repeat = Some(running);
                return Ok(None);
            }
            Known::Kept(recorded) => return Ok(Some(recorded)),
            Known::Other => return Err(mismatch()),
            Known::Running(waiting) => waiting,
        };
        let patience = exchange.deadline.map(tokio::time::Instant::from_std);
        let told = tokio::select! {
            biased;
            () = exchange.cut.cancelled() => return Err(crate::stage::dispatch::killed()),
            () = async { match patience {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            } } => return Err(Fault::new(
                FaultCode::CallerTimeout,
                "The caller's own time limit passed while the first call of its idempotency-key was answered.",
            )),
            told = waiting.wait_for(Option::is_some) => told.ok().and_then(|told| told.clone()),
        };
        // Without an answer, whoever was the first has left or got one too large to be kept: the next one asks.
        if told.is_some() {
            return Ok(told);
        }
    }
}

/// One caller's key never meets another's.
fn name(caller: &Caller, key: &[u8]) -> Digest {
    let mut digester = Digester::new();
    digester.update(AsRef::<str>::as_ref(&caller.principal.org).as_bytes());
    digester.update(&[0]);
    digester.update(caller.principal.key.to_string().as_bytes());
    digester.update(&[0]);
    digester.update(key);
    digester.digest()
}

fn mismatch() -> Fault {
    Fault::new(
        FaultCode::IdempotencyMismatch,
        "This idempotency-key was used with another body or endpoint in the last 24 hours: send a new key with a new \
         request.",
    )
}

/// The same answer once more, under the id of the call that asked again.
pub(crate) fn again(exchange: &mut Exchange, recorded: &Recorded) -> Response<Body> {
    exchange.story.again = true;
    exchange.end(&Ending { status: recorded.status.as_u16(), fault: None, complete: true });
    respond::again(exchange, recorded)
}
