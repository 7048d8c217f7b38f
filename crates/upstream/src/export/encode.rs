//! What traces and metrics have in common: resource, scope and schema around what is sent.
//!
//! Owns the outer messages (`opentelemetry/proto/{trace,metrics,common,resource}/v1`). Never decides what is sent.

use super::{
    attributes::Attributes,
    protobuf::Message,
    settings::{Profile, Settings},
};

/// One export request: `ResourceSpans { scope_spans { … } }` or its twin for metrics, whose fields have the same
/// numbers. `write` fills the scope's field 2.
pub(super) fn request(settings: &Settings, write: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |of_resource| {
        of_resource.message(1, |resource| {
            let mut attributes = Attributes::of(resource, 1);
            for (name, value) in &settings.resource {
                attributes.text(name, value);
            }
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.text(1, "tidegate");
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            write(of_scope);
            of_scope.text(3, settings.profile.schema());
        });
    });
    request.into_bytes()
}

impl Profile {
    /// One name of two.
    pub(super) fn pick<T>(self, a: T, b: T) -> T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }
}
