//! The numbers of a text, for comparing questions: asked of a model as a call of its own.
//!
//! That call is the caller's: policy decides it, budgets pay it, guards have seen its text, and it is on record. Never
//! decides what is similar. Called by the stage `cache`.

use std::{future::Future, pin::Pin, sync::Arc};

use tidegate_core::fault::{Fault, FaultCode};
use tidegate_protocol::{
    call::Call,
    llm::{embedding_in, embedding_of},
};
use tidegate_upstream::AnswerBody;

use crate::{
    exchange::{Caller, Ending, Exchange},
    pipeline::{Passed, onward},
    stage::{decode::tell, route::no_such_model},
    surface::Surface,
};

/// What is about the call that asks, and not about this one.
const OF_THE_CALL: [&str; 3] = ["idempotency-key", "x-tidegate-cache", "x-tidegate-call-id"];

/// The numbers of `text` by the model called `by`, of length 1. Where they cannot be had, the code of why not.
pub(super) async fn numbers(
    exchange: &Exchange,
    caller: &Caller,
    by: &str,
    text: &str,
) -> Result<Vec<f32>, &'static str> {
    let found =
        exchange.snapshot.route(by, exchange.surface.as_str()).ok_or_else(|| no_such_model(by).code.as_str())?;
    let target = found.route.targets().into_iter().next().ok_or_else(|| no_such_model(by).code.as_str())?;
    let dialect = target.provider.dialect;
    let Some(call) = embedding_of(dialect, by, text) else {
        tracing::warn!(model = by, dialect = dialect.name(), "this model's API makes no numbers of texts");
        return Err(FaultCode::InvalidRequest.as_str());
    };
    let mut headers = exchange.headers.clone();
    for name in OF_THE_CALL {
        headers.remove(name);
    }
    let mut own = Exchange::begin(Arc::clone(&exchange.gate), Surface::Model(dialect), headers, exchange.address);
    own.snapshot = Arc::clone(&exchange.snapshot);
    own.caller = Some(caller.clone());
    own.deadline = exchange.deadline;
    own.cut = exchange.cut.clone();
    let call = Call::Model(Box::new(call));
    tell(&mut own, &call);
    let answered = passed(&mut own, caller, call).await.and_then(|passed| read(&mut own, passed));
    match answered {
        Ok(numbers) => {
            own.end(&Ending { status: 200, fault: None, complete: true });
            Ok(numbers)
        }
        Err(fault) => {
            own.end(&Ending { status: fault.status, fault: Some(&fault), complete: true });
            Err(fault.code.as_str())
        }
    }
}

/// The stages that the call itself is in, once more.
fn passed<'a>(
    exchange: &'a mut Exchange,
    caller: &'a Caller,
    call: Call,
) -> Pin<Box<dyn Future<Output = Result<Passed, Fault>> + Send + 'a>> {
    Box::pin(onward(exchange, caller, call))
}

fn read(exchange: &mut Exchange, passed: Passed) -> Result<Vec<f32>, Fault> {
    let Passed::Answer(answer) = passed else {
        return Err(Fault::new(FaultCode::Internal, "A question for numbers was answered by something else."));
    };
    let AnswerBody::Unary { answer, usage } = answer.body else {
        return Err(Fault::new(FaultCode::UpstreamUnavailable, "The upstream sent no whole answer."));
    };
    exchange.story.usage = Some(*usage);
    embedding_in(&answer.body())
        .ok_or_else(|| Fault::new(FaultCode::UpstreamUnavailable, "The upstream's answer holds no numbers of a text."))
}
