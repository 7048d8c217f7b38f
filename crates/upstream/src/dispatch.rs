//! The three ways out: `dispatch` for a caller's call, `relay` for frames of a protocol session, `control` for the
//! gateway's own requests.
//!
//! Owns the order: proofs are compared with what is about to be sent, then the attempt engine runs. Never takes a
//! destination from a caller: targets and servers come from configuration.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;
use rustls::pki_types::CertificateDer;
use tidegate_audit::Intent;
use tidegate_core::{
    clock,
    facts::Resource,
    fault::{Fault, FaultCode},
    ids::{CallId, TargetId},
    trace::TraceContext,
};
use tidegate_ledger::Reservation;
use tidegate_policy::Permit;
use tidegate_protocol::{
    call::Call,
    llm::ModelCall,
    mcp::{Direction, ToolCall},
    native::{NativeCall, Task},
};

use crate::{
    answered::{AnswerBody, AnswerHead, Answered, Failed, ServedBy},
    attempt::{self, Concluded, Running},
    clocks::{Limits, Timeouts},
    connect::InMemoryService,
    health::{Health, TargetView},
    live::{ConnectTraffic, LegSender, LiveLeg, TurnTraffic},
    llm::{ModelBody, ModelTraffic},
    mcp::{Leg, ToolBody, ToolTraffic},
    native::{NativeBody, NativePlace, NativeTraffic},
    pool::{Pool, TlsSetupError},
    route::{Circumstances, Route, StickyBy},
    target::{Provider, Target},
};

/// What an [`Upstream`] is made of.
#[derive(Default)]
pub struct UpstreamOptions {
    /// The simulator that [`crate::Destination::Sim`] leads to; without one such a destination refuses.
    pub sim: Option<Arc<dyn InMemoryService>>,
    /// Certificate authorities that are trusted besides the machine's own.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// The way out. One per process; shared by all calls.
pub struct Upstream {
    pub(crate) pool: Arc<Pool>,
    pub(crate) health: Health,
}

/// Where a call may go.
#[derive(Debug, Clone)]
pub enum Destinations {
    /// Targets in the order in which they are to be tried (see [`crate::Route::order`]).
    Models(Vec<Arc<Target>>),
    /// One client session's leg at an MCP server.
    Server(Arc<Leg>),
    /// A provider's own API.
    Provider(Arc<Provider>),
    /// A live session that is open: for its turns.
    Live(LegSender),
}

/// One call with its proofs.
#[derive(Debug)]
pub struct Dispatch<'a> {
    /// The call's id.
    pub id: CallId,
    /// The proof that it may go, and where.
    pub permit: &'a Permit,
    /// The hold on budgets and limits.
    pub reservation: Reservation,
    /// The proof that its intent is on record.
    pub intent: Intent,
    /// The call itself.
    pub call: &'a Call,
    /// Where it may go.
    pub to: Destinations,
    /// Headers of the caller; only those on the dialect's list go on.
    pub forward: &'a HeaderMap,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// The call's own span, where it is traced: attempts are its children, and upstreams are told of theirs.
    pub trace: Option<TraceContext>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

impl Upstream {
    /// The way out, without any connection yet.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(options: UpstreamOptions) -> Result<Self, TlsSetupError> {
        Ok(Self { pool: Arc::new(Pool::new(options.sim, options.extra_roots)?), health: Health::default() })
    }

    /// Reads the certificates that servers are verified by; otherwise the first call over TLS does. Blocks on the disk.
    pub fn read_roots(&self) {
        self.pool.read_roots();
    }

    /// The targets of `route` in the order in which they are to be tried, by what is known of their health and load.
    pub fn order(
        &self,
        route: &Route,
        pick: &mut dyn FnMut(u64) -> u64,
        permitted: &dyn Fn(&TargetId) -> bool,
        sticky: &dyn Fn(&StickyBy) -> Option<String>,
    ) -> Vec<Arc<Target>> {
        let now = clock::now();
        let measure = |target: &Target| self.health.measure(&target.id.to_string(), now);
        route.order(&mut Circumstances { pick, permitted, sticky, measure: &measure })
    }

    /// Every target, server and provider that was called, and how it stands.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetView> {
        self.health.views(clock::now())
    }

    /// Sends a call: the only function that does.
    ///
    /// Compares permit, reservation and call first; targets that the permit does not cover are left out. Dropping the
    /// future cancels the attempt in flight; what it held then ends as unknown.
    ///
    /// # Errors
    /// [`Failed`], with what the call still holds.
    pub async fn dispatch(&self, dispatch: Dispatch<'_>) -> Result<Answered, Box<Failed>> {
        let Dispatch { id, permit, reservation, intent, call, to, forward, deadline, trace } = dispatch;
        if let Err(fault) = proven(id, permit, &reservation, call) {
            return Err(Box::new(Failed {
                fault: *fault,
                running: Some(Running { reservation, intent }),
                attempts: Vec::new(),
            }));
        }
        let running = Running { reservation, intent };
        match (call, to) {
            (Call::Model(call), Destinations::Models(targets)) => {
                let permitted = |target: &Arc<Target>| permit.allows(&Resource::Model(target.id.clone()));
                let targets: Vec<_> = targets.into_iter().filter(permitted).collect();
                let sending = Sending { id, forward, deadline, trace, running };
                Box::pin(self.dispatch_model(call, targets, sending)).await
            }
            (Call::Tool(tool), Destinations::Server(leg))
                if tool.direction() == Direction::ToServer
                    && *tool.server() == leg.server().name
                    && permit.allows(&call.resource()) =>
            {
                let sending = Sending { id, forward, deadline, trace, running };
                Box::pin(self.dispatch_tool(tool, leg, sending)).await
            }
            (Call::Native(native), Destinations::Models(targets)) if asks(native, Task::Connect) => {
                let permitted = |target: &Arc<Target>| permit.allows(&Resource::Model(target.id.clone()));
                let targets: Vec<_> = targets.into_iter().filter(permitted).collect();
                let sending = Sending { id, forward, deadline, trace, running };
                Box::pin(self.open_live(native, targets, sending)).await
            }
            (Call::Native(native), Destinations::Live(leg))
                if (asks(native, Task::Turn) || asks(native, Task::Heard))
                    && permit.allows(&Resource::Model(leg.target().id.clone())) =>
            {
                let sending = Sending { id, forward, deadline, trace, running };
                Box::pin(self.dispatch_turn(native, &leg, sending)).await
            }
            (Call::Native(native), Destinations::Models(targets)) if native.asked().is_some() => {
                let permitted = |target: &Arc<Target>| permit.allows(&Resource::Model(target.id.clone()));
                let places = targets.into_iter().filter(permitted).map(NativePlace::model).collect();
                let sending = Sending { id, forward, deadline, trace, running };
                Box::pin(self.dispatch_native(native, places, sending)).await
            }
            (Call::Native(native), Destinations::Provider(provider))
                if native.asked().is_none() && permit.allows(&Resource::Provider(provider.name.clone())) =>
            {
                let sending = Sending { id, forward, deadline, trace, running };
                Box::pin(self.dispatch_native(native, vec![NativePlace::provider(provider)], sending)).await
            }
            _ => {
                let fault =
                    Fault::new(FaultCode::Internal, "the call does not fit its destination, so it was not sent");
                Err(Box::new(Failed { fault, running: Some(running), attempts: Vec::new() }))
            }
        }
    }

    async fn dispatch_model(
        &self,
        call: &ModelCall,
        targets: Vec<Arc<Target>>,
        sending: Sending<'_>,
    ) -> Result<Answered, Box<Failed>> {
        let total = targets.iter().map(|target| target.timeouts.total).max().unwrap_or(Duration::from_secs(600));
        let names = targets.iter().map(|target| Arc::from(target.id.to_string())).collect();
        let traffic = ModelTraffic {
            pool: &self.pool,
            call,
            call_id: sending.id,
            targets,
            names,
            forward: sending.forward,
            trace: sending.trace,
        };
        let limits = Limits::new(clock::now(), total, sending.deadline);
        let Concluded { result, reports, running } =
            attempt::run(&traffic, &self.health, limits, sending.running).await;
        let (answer, served, running) = match (result, running) {
            (Ok((answer, served)), Some(running)) => (answer, served, running),
            (Ok(_), None) => return Err(lost(reports)),
            (Err(fault), running) => return Err(Box::new(Failed { fault, running, attempts: reports })),
        };
        let Some(target) = traffic.targets.get(served.index) else { return Err(lost(reports)) };
        let head = AnswerHead {
            status: served.status,
            headers: answer.headers,
            served_by: ServedBy::Model(Arc::clone(target)),
            attempts: reports,
            lane: Some(answer.lane),
            losses: answer.losses,
            upstream_millis: u64::try_from(answer.first_event.as_millis()).unwrap_or(u64::MAX),
        };
        let body = match answer.body {
            ModelBody::Unary { answer, usage } => {
                served.admitted.succeeded(clock::now());
                AnswerBody::Unary { answer, usage }
            }
            ModelBody::Events(mut events) => {
                events.watch(served.admitted);
                AnswerBody::Events(events)
            }
        };
        Ok(Answered { head, body, running })
    }

    async fn dispatch_native(
        &self,
        call: &NativeCall,
        places: Vec<NativePlace>,
        sending: Sending<'_>,
    ) -> Result<Answered, Box<Failed>> {
        let total = places.iter().map(|place| place.timeouts.total).max().unwrap_or(Timeouts::default().total);
        let limits = Limits::new(clock::now(), total, sending.deadline);
        let forward = sending.forward;
        let traffic = NativeTraffic { pool: &self.pool, call, places, forward, trace: sending.trace };
        let Concluded { result, reports, running } =
            attempt::run(&traffic, &self.health, limits, sending.running).await;
        let (answer, served, running) = match (result, running) {
            (Ok((answer, served)), Some(running)) => (answer, served, running),
            (Ok(_), None) => return Err(lost(reports)),
            (Err(fault), running) => return Err(Box::new(Failed { fault, running, attempts: reports })),
        };
        let Some(place) = traffic.places.get(served.index) else { return Err(lost(reports)) };
        let served_by = match &place.target {
            Some(target) => ServedBy::Model(Arc::clone(target)),
            None => ServedBy::Provider(place.provider.name.clone()),
        };
        let head = AnswerHead {
            status: served.status,
            headers: answer.headers,
            served_by,
            attempts: reports,
            lane: None,
            losses: Vec::new(),
            upstream_millis: u64::from(clock::micros_since(served.since) / 1000),
        };
        let body = match answer.body {
            NativeBody::Document { answer, usage } => {
                served.admitted.succeeded(clock::now());
                AnswerBody::Document { answer, usage }
            }
            NativeBody::Raw(mut raw) => {
                raw.watch(served.admitted);
                AnswerBody::Raw(raw)
            }
        };
        Ok(Answered { head, body, running })
    }

    async fn open_live(
        &self,
        call: &NativeCall,
        targets: Vec<Arc<Target>>,
        sending: Sending<'_>,
    ) -> Result<Answered, Box<Failed>> {
        let targets: Vec<_> = targets.into_iter().filter(|target| target.provider.realtime).collect();
        let names = targets.iter().map(|target| Arc::from(target.id.to_string())).collect();
        let limits = Limits::new(clock::now(), Timeouts::default().total, sending.deadline);
        let (forward, trace) = (sending.forward, sending.trace);
        let traffic = ConnectTraffic { pool: &self.pool, call, targets, names, forward, trace };
        let Concluded { result, reports, running } =
            attempt::run(&traffic, &self.health, limits, sending.running).await;
        let ((headers, socket), served, running) = match (result, running) {
            (Ok((answer, served)), Some(running)) => (answer, served, running),
            (Ok(_), None) => return Err(lost(reports)),
            (Err(fault), running) => return Err(Box::new(Failed { fault, running, attempts: reports })),
        };
        let Some(target) = traffic.targets.get(served.index) else { return Err(lost(reports)) };
        let leg = LiveLeg::new(socket, Arc::clone(target), served.admitted);
        let head = AnswerHead {
            status: served.status,
            headers,
            served_by: ServedBy::Model(Arc::clone(target)),
            attempts: reports,
            lane: None,
            losses: Vec::new(),
            upstream_millis: u64::from(clock::micros_since(served.since) / 1000),
        };
        Ok(Answered { head, body: AnswerBody::Live(Box::new(leg)), running })
    }

    async fn dispatch_turn(
        &self,
        call: &NativeCall,
        leg: &LegSender,
        sending: Sending<'_>,
    ) -> Result<Answered, Box<Failed>> {
        let limits = Limits::new(clock::now(), leg.target().timeouts.total, sending.deadline);
        let name = Arc::from(leg.target().id.to_string());
        let traffic = TurnTraffic { call, call_id: sending.id, leg, name, trace: sending.trace };
        let Concluded { result, reports, running } =
            attempt::run(&traffic, &self.health, limits, sending.running).await;
        let (served, running) = match (result, running) {
            (Ok(((), served)), Some(running)) => (served, running),
            (Ok(_), None) => return Err(lost(reports)),
            (Err(fault), running) => return Err(Box::new(Failed { fault, running, attempts: reports })),
        };
        let head = AnswerHead {
            status: served.status,
            headers: HeaderMap::new(),
            served_by: ServedBy::Model(Arc::clone(leg.target())),
            attempts: reports,
            lane: None,
            losses: Vec::new(),
            upstream_millis: 0,
        };
        // The connection's own health is told when it ends.
        drop(served.admitted);
        Ok(Answered { head, body: AnswerBody::Turn, running })
    }

    async fn dispatch_tool(
        &self,
        call: &ToolCall,
        leg: Arc<Leg>,
        sending: Sending<'_>,
    ) -> Result<Answered, Box<Failed>> {
        let limits = Limits::new(clock::now(), leg.server().timeouts.total, sending.deadline);
        let name = Arc::from(leg.server().name.as_str());
        let traffic =
            ToolTraffic { pool: &self.pool, call, leg: &leg, name, forward: sending.forward, trace: sending.trace };
        let Concluded { result, reports, running } =
            attempt::run(&traffic, &self.health, limits, sending.running).await;
        let (answer, served, running) = match (result, running) {
            (Ok((answer, served)), Some(running)) => (answer, served, running),
            (Ok(_), None) => return Err(lost(reports)),
            (Err(fault), running) => return Err(Box::new(Failed { fault, running, attempts: reports })),
        };
        let head = AnswerHead {
            status: served.status,
            headers: HeaderMap::new(),
            served_by: ServedBy::Server(leg.server().name.clone()),
            attempts: reports,
            lane: None,
            losses: Vec::new(),
            upstream_millis: u64::from(clock::micros_since(served.since) / 1000),
        };
        let body = match answer {
            ToolBody::Accepted => {
                served.admitted.succeeded(clock::now());
                AnswerBody::Accepted
            }
            ToolBody::Messages(mut messages) => {
                messages.watch(served.admitted);
                AnswerBody::Messages(messages)
            }
        };
        Ok(Answered { head, body, running })
    }
}

/// What every kind of call is sent with.
struct Sending<'a> {
    id: CallId,
    forward: &'a HeaderMap,
    deadline: Option<Instant>,
    trace: Option<TraceContext>,
    running: Running,
}

/// Whether a call asks a model for this.
fn asks(call: &NativeCall, task: Task) -> bool {
    call.asked().is_some_and(|asked| asked.task == task)
}

/// Compares the proofs with the call.
fn proven(id: CallId, permit: &Permit, reservation: &Reservation, call: &Call) -> Result<(), Box<Fault>> {
    let refuse = |why: String| Box::new(Fault::new(FaultCode::Internal, format!("the call was not sent: {why}")));
    permit.check(id, call.version(), call.digest()).map_err(|stale| refuse(stale.to_string()))?;
    if reservation.call() != id {
        return Err(refuse("the reservation is for another call".to_owned()));
    }
    Ok(())
}

fn lost(attempts: Vec<tidegate_core::fault::AttemptReport>) -> Box<Failed> {
    let fault = Fault::new(FaultCode::Internal, "the answer has lost its call");
    Box::new(Failed { fault, running: None, attempts })
}
