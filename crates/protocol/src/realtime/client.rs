//! What a client sends: the closed list of its events, their texts, and what each adds to a session.
//!
//! Owns the reading. Never lets an event of another type through.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::{
    ids::ToolName,
    segment::{Origin, Segment, SegmentPath},
};

use super::limits;
use crate::{
    body::EditableBody,
    json::{Kind, NodeId},
    llm::{
        ReadError, estimate,
        node::Node,
        segments::{self, Found},
    },
    places::{self, Place},
};

/// The types of events that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// `session.update`
    UpdateSession,
    /// `input_audio_buffer.append`: a piece of sound.
    AppendAudio,
    /// `input_audio_buffer.commit` and `.clear`, `output_audio_buffer.clear`
    Buffer,
    /// `conversation.item.create`
    CreateItem,
    /// `conversation.item.retrieve`, `.truncate` and `.delete`
    Item,
    /// `response.create`: a turn.
    CreateResponse,
    /// `response.cancel`
    CancelResponse,
}

fn kind(name: &str) -> Option<ClientKind> {
    Some(match name {
        "session.update" => ClientKind::UpdateSession,
        "input_audio_buffer.append" => ClientKind::AppendAudio,
        "input_audio_buffer.commit" | "input_audio_buffer.clear" | "output_audio_buffer.clear" => ClientKind::Buffer,
        "conversation.item.create" => ClientKind::CreateItem,
        "conversation.item.retrieve" | "conversation.item.truncate" | "conversation.item.delete" => ClientKind::Item,
        "response.create" => ClientKind::CreateResponse,
        "response.cancel" => ClientKind::CancelResponse,
        _ => return None,
    })
}

/// A number of tokens, or no bound.
pub(super) type Bound = Option<u64>;

/// What an event sets for its session, or its turn; `None` where it says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Settings {
    pub(super) tools: Option<Vec<ToolName>>,
    /// The tokens of the instructions and of the tools' definitions.
    pub(super) instructions: Option<u64>,
    pub(super) tool_tokens: Option<u64>,
    pub(super) max_output: Option<Bound>,
    /// Whether the server begins turns by itself.
    pub(super) automatic: Option<bool>,
}

/// One event of a client.
#[derive(Debug, Clone)]
pub struct ClientEvent {
    kind: ClientKind,
    body: EditableBody,
    places: Arc<[Place]>,
    event_id: Option<Arc<str>>,
    pub(super) settings: Settings,
    /// An upper bound of the tokens that it adds to the conversation.
    pub(super) tokens: u64,
    sound: bool,
    transcriber: Option<NodeId>,
    model: Option<NodeId>,
}

impl ClientEvent {
    /// Reads an event.
    ///
    /// # Errors
    /// Where it is no strict JSON, of no type on the list, or a member that the gateway reads is of another form.
    pub fn read(bytes: Bytes) -> Result<Self, ReadError> {
        let body =
            EditableBody::read(bytes, &limits()).map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
        let root = Node::new(body.tape(), body.original(), body.tape().root());
        root.expect_object()?;
        let name = root.required_text("type")?;
        let Some(kind) = kind(&name) else {
            return Err(ReadError::new("/type", "no event of this type is taken here"));
        };
        let event_id = root.optional_text("event_id")?.map(|id| Arc::from(&*id));
        let mut walked = Walked::default();
        walked.members(root, Origin::Prompt);
        let Walked { mut places, tokens, sound } = walked;
        places::sort(&mut places);
        let mut event = Self {
            kind,
            places: places.into(),
            event_id,
            settings: Settings::default(),
            tokens,
            sound,
            transcriber: None,
            model: None,
            body: body.clone(),
        };
        match kind {
            ClientKind::UpdateSession => {
                let session = root.present("session").ok_or_else(|| root.error("`session` is missing"))?;
                event.settings = settings(session.expect_object()?)?;
                (event.model, event.transcriber) = models(session)?;
                event.tokens = 0;
            }
            ClientKind::CreateResponse => {
                if let Some(response) = root.present("response") {
                    event.settings = settings(response.expect_object()?)?;
                }
            }
            ClientKind::CreateItem => {
                root.get("item").ok_or_else(|| root.error("`item` is missing"))?.expect_object()?;
            }
            ClientKind::AppendAudio => {
                let sound = root.get("audio").ok_or_else(|| root.error("`audio` is missing"))?;
                sound.expect_text()?;
                event.sound = true;
            }
            ClientKind::Buffer | ClientKind::Item | ClientKind::CancelResponse => {}
        }
        Ok(event)
    }

    /// The event that asks for a turn and says nothing else: what the server does by itself.
    ///
    /// # Errors
    /// Never: it is of the known form.
    pub fn plain_turn() -> Result<Self, ReadError> {
        Self::read(Bytes::from_static(br#"{"type":"response.create"}"#))
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ClientKind {
        self.kind
    }

    /// The client's own name for it.
    #[must_use]
    pub fn event_id(&self) -> Option<Arc<str>> {
        self.event_id.clone()
    }

    /// Whether it holds sound or pictures, which no guard can look into.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.sound
    }

    /// The model that writes down what is said, where a session is to have one.
    #[must_use]
    pub fn transcriber(&self) -> Option<String> {
        self.body.text(self.transcriber?).map(std::borrow::Cow::into_owned)
    }

    /// The model that the session names, where it does.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.body.text(self.model?).map(std::borrow::Cow::into_owned)
    }

    /// Names the models as the provider knows them.
    pub fn name_models(&mut self, model: &str, transcriber: Option<&str>) {
        if let Some(node) = self.model {
            self.body.replace_text(node, model);
        }
        if let (Some(node), Some(name)) = (self.transcriber, transcriber) {
            self.body.replace_text(node, name);
        }
    }

    /// Every text of it, as it stands now.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        self.places.iter().filter_map(|place| place.segment(&self.body)).collect()
    }

    /// Puts another text in the place of a segment; says whether it is one of this event's.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) -> bool {
        places::find(&self.places, path).is_some_and(|place| place.replace(&mut self.body, text))
    }

    /// The JSON pointer of a segment.
    #[must_use]
    pub fn pointer(&self, path: SegmentPath) -> String {
        self.body.pointer(NodeId::from_index(path.0))
    }

    /// The event as it stands.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.body.current()
    }

    pub(crate) fn into_parts(self) -> (EditableBody, Arc<[Place]>) {
        (self.body, self.places)
    }
}

/// The models that a session's settings name: its own, and the one that writes down what is said.
fn models(session: Node<'_, '_>) -> Result<(Option<NodeId>, Option<NodeId>), ReadError> {
    let named = |node: Option<Node<'_, '_>>| -> Result<Option<NodeId>, ReadError> {
        let Some(node) = node else { return Ok(None) };
        node.expect_text()?;
        Ok(Some(node.id()))
    };
    let newer = session.present("audio").and_then(|audio| audio.present("input")?.present("transcription"));
    let older = session.present("input_audio_transcription");
    if newer.is_some() && older.is_some() {
        return Err(session.error("names what is said twice: leave out `input_audio_transcription`"));
    }
    let transcription = newer.or(older);
    let transcriber = match transcription {
        Some(node) => {
            let model = node.expect_object()?.present("model");
            Some(model.ok_or_else(|| node.error("`model` is missing: name the model that writes down what is said"))?)
        }
        None => None,
    };
    Ok((named(session.present("model"))?, named(transcriber)?))
}

fn settings(node: Node<'_, '_>) -> Result<Settings, ReadError> {
    let kind = node.optional_text("type")?;
    if kind.is_some_and(|kind| kind != "realtime") {
        return Err(node.error("only sessions of the type `realtime` are served here"));
    }
    let bound = |name| -> Result<Option<Bound>, ReadError> {
        let Some(node) = node.present(name) else { return Ok(None) };
        if node.text_is("inf") {
            return Ok(Some(None));
        }
        Ok(Some(Some(node.expect_count(0)?)))
    };
    let max_output = match bound("max_output_tokens")? {
        Some(bound) => Some(bound),
        None => bound("max_response_output_tokens")?,
    };
    let mut tools = None;
    if let Some(list) = node.present("tools") {
        let mut names = Vec::new();
        for tool in list.expect_array()?.items() {
            let kind = tool.expect_object()?.required_text("type")?;
            let name = tool.optional_text("name")?.or(tool.optional_text("server_label")?);
            names.push(ToolName::from(name.as_deref().unwrap_or(&kind)));
        }
        tools = Some(names);
    }
    let tokens = |name: &str| node.get(name).map(|node| estimate::text(node.raw().as_bytes()));
    Ok(Settings {
        tools,
        instructions: tokens("instructions"),
        tool_tokens: tokens("tools").map(|tokens| tokens.saturating_add(estimate::TOOL_PREAMBLE)),
        max_output,
        automatic: automatic(node)?,
    })
}

/// Whether a session's settings have the server begin turns by itself.
fn automatic(session: Node<'_, '_>) -> Result<Option<bool>, ReadError> {
    let newer = session.present("audio").and_then(|audio| audio.present("input")?.get("turn_detection"));
    let Some(detection) = newer.or_else(|| session.get("turn_detection")) else { return Ok(None) };
    if detection.is_null() {
        return Ok(Some(false));
    }
    let creates = detection.expect_object()?.present("create_response").map(Node::expect_bool).transpose()?;
    Ok(Some(creates.unwrap_or(true)))
}

/// Members that hold names and marks, never words.
const MARKS: [&str; 11] = [
    "type",
    "event_id",
    "id",
    "item_id",
    "call_id",
    "previous_item_id",
    "response_id",
    "object",
    "model",
    "role",
    "status",
];

/// The least length of a sound's or picture's text that is taken for one, in bytes. A shorter one is looked at.
const LEAST_MEDIA: usize = 64;

/// What a walk over an event came by.
#[derive(Default)]
struct Walked {
    places: Vec<Place>,
    tokens: u64,
    sound: bool,
}

impl Walked {
    fn members(&mut self, node: Node<'_, '_>, origin: Origin) {
        let origin = match node.get("type").and_then(Node::text).as_deref() {
            Some("function_call_output" | "mcp_call_output") => Origin::ToolResult,
            Some("function_call" | "mcp_call") => Origin::ToolArgument,
            Some("message") => {
                self.tokens = self.tokens.saturating_add(estimate::PER_MESSAGE);
                origin
            }
            _ => origin,
        };
        for (key, value) in node.keyed_members() {
            let name = key.text().unwrap_or_default();
            if key.is_telling_name() {
                self.places.push(Place { node: key.id(), origin, name: None, is_name: true });
            }
            match value.kind() {
                Kind::String if MARKS.contains(&&*name) => {}
                Kind::String if &*name == "audio" && is_base64(value) => {
                    self.sound = true;
                    self.tokens = self.tokens.saturating_add(sound_tokens(value.span().len()));
                }
                Kind::String if value.is_embedded() => {
                    self.sound = true;
                    self.tokens = self.tokens.saturating_add(estimate::IMAGE);
                }
                _ if &*name == "tools" => self.value(value, Origin::ToolDescription, Some(key.id())),
                _ => self.value(value, origin, Some(key.id())),
            }
        }
    }

    fn value(&mut self, node: Node<'_, '_>, origin: Origin, name: Option<NodeId>) {
        match node.kind() {
            Kind::Object => self.members(node, origin),
            Kind::Array => node.items().for_each(|item| self.value(item, origin, name)),
            Kind::String => {
                self.tokens = self.tokens.saturating_add(estimate::text(node.raw().as_bytes()));
                self.places.push(Place { node: node.id(), origin, name, is_name: false });
            }
            Kind::Number => segments::unknown(node, origin, &mut |found| {
                if let Found::Value(place) = found {
                    self.places.push(Place { name, ..place });
                }
            }),
            Kind::Null | Kind::Bool => {}
        }
    }
}

/// Whether a text is sound: it could be read as nothing else, so no words hide in it from guards. Looks at its letters.
fn is_base64(node: Node<'_, '_>) -> bool {
    let raw = node.raw().as_bytes();
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    inner.len() >= LEAST_MEDIA
        && inner.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'))
}

/// The most tokens of raw sound: a second of it is ten tokens, and of the smallest format 10,667 characters.
pub(super) fn sound_tokens(base64: usize) -> u64 {
    u64::try_from(base64 / 1_000).unwrap_or(u64::MAX).saturating_add(1)
}
