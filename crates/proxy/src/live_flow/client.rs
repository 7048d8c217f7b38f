//! What a client sends: looked at by guards, then relayed, or made a turn of.

use bytes::Bytes;
use std::sync::Arc;
use tidegate_core::{
    facts::{Facts, Resource},
    fault::{Fault, FaultCode},
    ids::{Digest, ModelName},
};
use tidegate_protocol::{
    native::Task,
    realtime::{ClientEvent, ClientKind},
};
use tidegate_upstream::Target;

use super::{Goodbye, Looked, MOST_WRONG, Session};
use crate::stage::{guard_request::blocked_fault, route::no_such_model};

impl Session {
    /// Takes one event.
    pub(super) async fn client_event(&mut self, bytes: Bytes) -> Result<(), Goodbye> {
        let mut event = match ClientEvent::read(bytes) {
            Ok(event) => event,
            Err(error) => {
                self.wrong = self.wrong.saturating_add(1);
                let fault = Fault::invalid(error.pointer, error.message);
                self.refuse(fault, None).await?;
                return if self.wrong < MOST_WRONG { Ok(()) } else { Err(Goodbye::new(1008, "too much went wrong")) };
            }
        };
        let about = event.event_id();
        if event.kind() == ClientKind::CreateResponse {
            return match self.begin(Task::Turn, event, about.clone()).await? {
                Ok(turn) => {
                    self.pending = Some(turn);
                    Ok(())
                }
                Err(()) => Ok(()),
            };
        }
        let prepared = self.name_models(&mut event).and_then(|()| self.guard(&mut event));
        if let Err(fault) = prepared {
            return self.refuse(fault, about.as_deref()).await;
        }
        // Sound that a listening server may answer by itself leaves only once that answer is allowed and paid for.
        if event.kind() == ClientKind::AppendAudio && self.context.is_automatic() && !self.arm().await? {
            return Ok(());
        }
        self.sender.relay(&event).await.map_err(Goodbye::of)?;
        self.context.sent(&event);
        if !self.context.is_automatic()
            && let Some(armed) = self.armed.take()
        {
            armed.unused();
        }
        Ok(())
    }

    /// Sees to it that a turn is allowed that the server may begin by itself; says whether it is.
    async fn arm(&mut self) -> Result<bool, Goodbye> {
        let event = ClientEvent::plain_turn()
            .map_err(|_| Goodbye::of(Fault::new(FaultCode::Internal, "A turn could not be written.")))?;
        let now = self.context.turning(self.model.clone(), &event).input_tokens;
        if let Some(armed) = &self.armed {
            // What was set aside is for the conversation as it was.
            if now <= armed.input_tokens.saturating_mul(2).saturating_add(1_000) {
                return Ok(true);
            }
            if let Some(armed) = self.armed.take() {
                armed.unused();
            }
        }
        match self.begin(Task::Heard, event, None).await? {
            Ok(turn) => {
                self.armed = Some(turn);
                Ok(true)
            }
            Err(()) => Ok(false),
        }
    }

    /// Names the models of an event as the provider knows them. The session's own stays what it is; the one that
    /// writes down what is said has to be allowed like any other.
    fn name_models(&mut self, event: &mut ClientEvent) -> Result<(), Fault> {
        let target = Arc::clone(self.sender.target());
        if let Some(model) = event.model()
            && model != self.model.as_str()
            && model != *target.id.model
        {
            return Err(Fault::invalid("/session/model", "The model of a session cannot be changed: open another."));
        }
        let transcriber = match event.transcriber() {
            Some(name) => Some(self.transcriber(&name, &target)?),
            None => None,
        };
        event.name_models(&target.id.model, transcriber.as_ref().map(|(_, target)| &*target.id.model));
        if transcriber.is_some() {
            self.transcriber = transcriber;
        }
        Ok(())
    }

    fn transcriber(&self, name: &str, own: &Target) -> Result<(ModelName, Arc<Target>), Fault> {
        let exchange = self.exchange();
        let bare = format!("{}/{name}", own.id.provider);
        let surface = self.surface.as_str();
        let found = exchange.snapshot.route(name, surface).or_else(|| exchange.snapshot.route(&bare, surface));
        let found = found.ok_or_else(|| no_such_model(name))?;
        let at_home = |target: &Arc<Target>| target.id.provider == own.id.provider;
        let target = found.route.targets().into_iter().find(at_home).ok_or_else(|| {
            Fault::invalid(
                "/session",
                "What is said can be written down by a model of the session's own provider only.",
            )
        })?;
        let resource = Resource::Model(target.id.clone());
        let mut facts = Facts::new(surface, tidegate_core::facts::Action::InvokeModel, resource.clone());
        facts.model = Some(found.name.clone());
        let (principal, at) = (&self.caller.principal, exchange.at);
        let digest = Digest::of(name.as_bytes());
        let permit = tidegate_policy::authorize(
            &exchange.policies(),
            exchange.id,
            0,
            digest,
            principal,
            &facts,
            &[resource],
            at,
        );
        // It was only asked for, and is no call yet.
        exchange.forget();
        permit.map_err(|_| no_such_model(name))?;
        Ok((ModelName::from(name), target))
    }

    /// Lets the guards look at an event that is no turn. What they would give a model as a token is taken out: no turn
    /// would give it back.
    fn guard(&mut self, event: &mut ClientEvent) -> Result<(), Fault> {
        let Looked { rewrites, blocked } = self.look(event.segments());
        if let Some((finding, path)) = blocked {
            let mut fault = blocked_fault(&finding);
            fault.pointer = Some(event.pointer(path));
            return Err(fault);
        }
        for (path, text) in rewrites {
            if !event.replace_segment(path, &text) {
                return Err(Fault::new(
                    FaultCode::Internal,
                    "What a guardrail found could not be taken out of the event.",
                ));
            }
        }
        Ok(())
    }
}
