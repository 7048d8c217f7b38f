//! Messages to a server that is a program, and what comes back: the wire's other half beside HTTP.
//!
//! Owns when a process is started: for a session that opens, or one whose process has ended meanwhile. Never repeats a
//! message. `http` calls it.

use std::{sync::Arc, time::Duration};

use tidegate_core::{
    clock,
    fault::{Fault, FaultCode, Retry},
};

use super::{
    events::{McpEvents, Opening},
    http::{Outgoing, Posted, Wire},
    stdio::{Process, Program, StartError},
};
use crate::{
    clocks::Clock,
    failure::{Failure, Then},
};

impl Wire<'_> {
    /// Writes a message to the leg's process; the one that opens a session starts it.
    pub(super) async fn pipe(&self, program: &Arc<Program>, outgoing: &Outgoing) -> Result<Posted, Failure> {
        let process = if outgoing.opens { self.start(program).await? } else { self.running()? };
        let place = match &outgoing.awaits {
            Some((id, _)) => Some(process.wait_for(*id, &outgoing.body).map_err(|why| self.ended(&why))?),
            None => None,
        };
        let silence = self.leg.server().timeouts.first_event;
        let written = process.write(outgoing.body.clone());
        match self.limits.within(silence, Clock::FirstEvent(silence), written).await {
            Ok(true) => {}
            Ok(false) => return Err(self.ended("it has ended")),
            Err(clock) => return Err(Failure::unsent(clock.fault(), Then::End)),
        }
        let (Some(place), Some((id, client))) = (place, &outgoing.awaits) else { return Ok(Posted::Accepted(202)) };
        let opening = outgoing.opens.then(|| Opening { session: None, message: outgoing.body.clone() });
        let mut messages = McpEvents::awaiting(self, (*id, client.as_ref()), opening);
        messages.follow_pipe(process, place);
        Ok(Posted::Messages(200, Box::new(messages)))
    }

    /// The leg's process, if it runs.
    pub(super) fn running(&self) -> Result<Arc<Process>, Failure> {
        self.leg.process().ok_or_else(|| self.ended("it has ended"))
    }

    async fn start(&self, program: &Arc<Program>) -> Result<Arc<Process>, Failure> {
        let server = &self.leg.server().name;
        let patience = self.leg.server().timeouts.connect;
        let mut waited = Duration::ZERO;
        loop {
            let pause = match Process::start(program, server.as_str()) {
                Ok(process) => {
                    let process = Arc::new(process);
                    self.leg.set_process(Some(Arc::clone(&process)));
                    return Ok(process);
                }
                Err(StartError::Pausing(pause)) if waited.saturating_add(pause) <= patience => pause,
                Err(error) => {
                    let retry = if let StartError::Pausing(pause) = &error { Retry::After(*pause) } else { Retry::No };
                    let words = format!("the MCP server `{server}` was not started: {error}");
                    let fault = Fault::new(FaultCode::UpstreamUnavailable, words).with_retry(retry);
                    return Err(Failure::unsent(fault, Then::End));
                }
            };
            if self.limits.left(clock::now()) <= pause {
                return Err(Failure::unsent(self.limits.end().1.fault(), Then::End));
            }
            waited = waited.saturating_add(pause);
            tokio::time::sleep(pause).await;
        }
    }

    fn ended(&self, why: &str) -> Failure {
        let words = format!("the MCP server `{}` took no message: {why}", self.leg.server().name);
        Failure::unsent(Fault::new(FaultCode::UpstreamUnavailable, words), Then::Repeat)
    }
}
