//! The paths of Amazon Bedrock's runtime: `/model/{id}/{action}`.
//!
//! Owns which action is which operation of which dialect. The model's id comes percent-encoded, since identifiers of
//! resources hold `/` and `:`; a slash that a client left as it is belongs to the id too. Called by `classify`.

use http::Method;
use tidegate_core::fault::Fault;
use tidegate_protocol::llm::{Dialect, Named, Operation};

use super::{Endpoint, Entrance, Surface, only, percent_decoded};

/// The actions, and whether the answer is a stream.
const ACTIONS: [(&str, Dialect, Operation, bool); 5] = [
    ("converse", Dialect::Bedrock, Operation::Generate, false),
    ("converse-stream", Dialect::Bedrock, Operation::Generate, true),
    ("count-tokens", Dialect::Bedrock, Operation::CountTokens, false),
    ("invoke", Dialect::BedrockInvoke, Operation::Generate, false),
    ("invoke-with-response-stream", Dialect::BedrockInvoke, Operation::Generate, true),
];

/// What a path below `/model/` asks for; `None` where it is none of these.
pub(super) fn entrance(method: &Method, path: &str) -> Option<Result<Entrance, (Surface, Fault)>> {
    let (id, action) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let (_, dialect, operation, stream) = ACTIONS.iter().find(|(name, ..)| *name == action)?;
    let surface = Surface::Model(*dialect);
    if *method != Method::POST {
        return Some(Err((surface, only(path, &Method::POST))));
    }
    let named = Named { model: percent_decoded(id), stream: *stream };
    Some(Ok(Entrance { surface, endpoint: Endpoint::Model(*operation, Some(named)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_model_operation_and_stream() {
        let at = |path: &str| entrance(&Method::POST, path).unwrap().unwrap();
        let found = at("/model/sim%2Fchat/converse-stream");
        assert_eq!(found.surface, Surface::Model(Dialect::Bedrock));
        let named = Named { model: "sim/chat".to_owned(), stream: true };
        assert_eq!(found.endpoint, Endpoint::Model(Operation::Generate, Some(named)));
        let found = at("/model/arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x-v1%3A0/invoke");
        assert_eq!(found.surface, Surface::Model(Dialect::BedrockInvoke));
        let model = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x-v1:0".to_owned();
        assert_eq!(found.endpoint, Endpoint::Model(Operation::Generate, Some(Named { model, stream: false })));
    }

    #[test]
    fn another_method_is_405_in_bedrocks_shape_and_another_action_is_nothing() {
        let (surface, fault) = entrance(&Method::GET, "/model/x/converse").unwrap().unwrap_err();
        assert_eq!((surface, fault.status), (Surface::Model(Dialect::Bedrock), 405));
        assert!(entrance(&Method::POST, "/model/x/invoke-with-bidirectional-stream").is_none());
        assert!(entrance(&Method::POST, "/model/converse").is_none());
    }
}
