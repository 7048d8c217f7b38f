//! A call of a vendor's own API that the gateway does not interpret: files, batches, vector stores, fine-tuning and
//! whatever else a vendor has below `/v1`.
//!
//! Owns the call as it came: method, path, query and body. What policies decide on is what the vendor will read: a path
//! that two readers could read differently is refused, and so is JSON that is not strict. Never changes a byte but the
//! texts that guards rewrite and a model's prefix. Called by the proxy's decode; `upstream` sends it.

mod answer;
mod asked;
mod batch;
mod form;
mod path;
mod sound;
mod upload;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Method, header::HeaderValue};
use tidegate_core::{
    facts::{Action, ApiFacts, Facts, Resource},
    ids::{Digest, Digester},
    segment::{Origin, Segment, SegmentPath},
    unit::{Picture, Units, Word},
    usage::Usage,
};

use crate::{
    body::EditableBody,
    json::{Edit, Limits, NodeId, write_text},
    llm::{Dialect, ReadError, estimate, node::Node, texts_of},
    places::{self, Place},
    realtime::{ClientEvent, Turning},
};

pub use answer::{Beside, NativeAnswer};
use asked::Read;
pub use asked::{Asked, Task, event_usage};
pub use batch::{ResultLine, ResultLines, kept_at, results_at, tells_batches};
use form::Form;
pub use path::{NativePath, PathError};
pub use upload::{UploadPart, UploadReader};

/// A request as a listener hands it over.
#[derive(Debug)]
pub struct NativeRequest {
    /// The method.
    pub method: Method,
    /// The path below the version, for example `/files/file-1/content`.
    pub path: NativePath,
    /// The query, without its question mark.
    pub query: Option<String>,
    /// The body's media type as the caller gave it.
    pub content_type: Option<HeaderValue>,
    /// The whole body.
    pub body: Bytes,
}

/// A call of a vendor's own API.
#[derive(Debug, Clone)]
pub struct NativeCall {
    dialect: Dialect,
    method: Method,
    path: NativePath,
    query: Option<String>,
    content_type: Option<HeaderValue>,
    body: Body,
    /// The model that is asked, where the path is one that asks a model.
    asked: Option<Asked>,
    digest: OnceLock<Digest>,
}

#[derive(Debug, Clone)]
enum Body {
    Json {
        body: EditableBody,
        places: Arc<[Place]>,
        model: Option<NodeId>,
        stream: bool,
    },
    /// A form that asks a model.
    Form(Form),
    Other(Bytes),
}

impl NativeCall {
    /// Reads a request. JSON, by its media type or its first byte, is scanned, so that guards see its texts; other
    /// bodies pass as they are.
    ///
    /// # Errors
    /// Where JSON is not strict; the pointer names the place.
    pub fn read(dialect: Dialect, request: NativeRequest) -> Result<Self, ReadError> {
        let NativeRequest { method, path, query, content_type, body } = request;
        let task = Task::of(&method, path.decoded());
        let body = match (&content_type, task) {
            (Some(media), Some(task)) if task.takes_form() && form::is_form(Some(media)) => {
                Body::Form(Form::read(media, body)?)
            }
            _ if is_json(content_type.as_ref(), &body) => json(body)?,
            (_, Some(task)) if !body.is_empty() => {
                let form = if task.takes_form() { " or a form (multipart/form-data)" } else { "" };
                return Err(ReadError::new("", format!("what asks a model for this is JSON{form}")));
            }
            _ => Body::Other(body),
        };
        let digest = OnceLock::new();
        let mut call = Self { dialect, method, path, query, content_type, body, asked: None, digest };
        if let (Some(task), Some(model)) = (task, call.model()) {
            let asked = Asked::of(task, &model, call.reading())?;
            call.asked = Some(asked);
            call.only_words();
        }
        Ok(call)
    }

    /// Leaves the model's name and what is a picture out of what guards see.
    fn only_words(&mut self) {
        let Body::Json { body, places, model, .. } = &mut self.body else { return };
        let root = Node::new(body.tape(), body.original(), body.tape().root());
        let words = places.iter().filter(|place| Some(place.node) != *model && !root.at(place.node).is_embedded());
        *places = words.copied().collect();
    }

    /// What a reservation needs to know of a body that asks a model.
    fn reading(&self) -> Read {
        let (mut words, mut embedded) = (0_u64, 0_u64);
        for segment in self.segments() {
            if segment.text.starts_with("data:") && segment.text.contains(";base64,") {
                embedded = embedded.saturating_add(1);
            } else {
                words = words.saturating_add(estimate::text(segment.text.as_bytes()));
            }
        }
        match &self.body {
            Body::Json { body, .. } => {
                let root = Node::new(body.tape(), body.original(), body.tape().root());
                let items = |name| root.get(name).map_or(0, |node| node.items().count());
                let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
                let pictures = whole(items("images").saturating_add(items("image"))).max(embedded);
                let named = |names: &[&str]| {
                    let text = names.iter().find_map(|name| root.present(name)).and_then(Node::text);
                    text.map(|text| Word::new(&text)).unwrap_or_default()
                };
                let letters = |text: &str| whole(text.chars().count());
                // What is spoken is one text; were it anything else, it would be all the texts that there are.
                let all = || self.segments().iter().map(|segment| letters(&segment.text)).fold(0, u64::saturating_add);
                let annotated = ["document_annotation_format", "bbox_annotation_format"];
                let pages = root.present("pages").filter(|pages| pages.kind() == crate::json::Kind::Array);
                Read {
                    words,
                    sound: 0,
                    elsewhere: true,
                    question: root.get("query").map_or(0, |query| estimate::text(query.raw().as_bytes())),
                    picture: Picture { size: named(&["size", "resolution"]), quality: named(&["quality"]) },
                    // One that is no number may be a range of them.
                    pages: pages
                        .filter(|pages| pages.items().all(|page| page.as_u64().is_some()))
                        .map(|pages| whole(pages.items().count())),
                    annotated: annotated.into_iter().any(|name| root.present(name).is_some()),
                    letters: root.get("input").and_then(Node::text).map_or_else(all, |text| letters(&text)),
                    count: root.present("n").map_or(Some(1), Node::as_u64),
                    files: (pictures, 0),
                    documents: whole(items("documents")),
                }
            }
            Body::Form(form) => {
                let count = form.field("n").map_or(Some(1), |text| text.trim().parse().ok());
                let named = |name| form.field(name).map(|text| Word::new(text.trim())).unwrap_or_default();
                let picture = Picture { size: named("size"), quality: named("quality") };
                let (files, sound) = (form.files(), form.sound());
                Read { words, count, files, sound, elsewhere: form.names_sound(), picture, ..Read::default() }
            }
            Body::Other(_) => Read { words, count: Some(1), ..Read::default() },
        }
    }

    /// The opening of a realtime session with `model`.
    #[must_use]
    pub fn connect(model: &str) -> Self {
        let asked = Asked {
            task: Task::Connect,
            model: model.into(),
            tools: Vec::new(),
            input_tokens: 0,
            max_output: Some(0),
            units: Units::NONE,
            assumed: Usage::default(),
        };
        Self::live(Method::GET, asked, Body::Other(Bytes::new()))
    }

    /// One turn of a realtime session: `event` asks for it, within what the session has come to.
    #[must_use]
    pub fn turn(task: Task, event: ClientEvent, turning: Turning) -> Self {
        let Turning { model, tools, input_tokens, max_output } = turning;
        let (body, places) = event.into_parts();
        let (units, assumed) = (Units::NONE, Usage::default());
        let asked = Asked { task, model, tools, input_tokens, max_output, units, assumed };
        Self::live(Method::POST, asked, Body::Json { body, places, model: None, stream: true })
    }

    fn live(method: Method, asked: Asked, body: Body) -> Self {
        Self {
            dialect: Dialect::OpenAiChat,
            method,
            path: NativePath::realtime(),
            query: Some(format!("model={}", asked.model)),
            content_type: None,
            body,
            asked: Some(asked),
            digest: OnceLock::new(),
        }
    }

    /// The model that is asked, where the path is one that asks a model.
    #[must_use]
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    /// The dialect whose vendor is meant.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path with its version and every escape resolved, as policies see it; without the query.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/v1{}", self.path.decoded())
    }

    /// The path of what asks a model with the query: in the one spelling that it has.
    #[must_use]
    pub fn asking_target(&self) -> String {
        let path = self.path.decoded().to_ascii_lowercase();
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        }
    }

    /// The path below the provider's base URL with the query, as they came.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path.raw()),
            None => self.path.raw().to_owned(),
        }
    }

    /// The body's media type as the caller gave it.
    #[must_use]
    pub fn content_type(&self) -> Option<&HeaderValue> {
        self.content_type.as_ref()
    }

    /// Whether the same call twice does what it does once, by its method (RFC 9110, section 9.2.2).
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::DELETE | Method::PUT | Method::OPTIONS)
    }

    /// Whether it only looks up or takes away, which no vendor bills.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::DELETE)
    }

    /// The collection that it adds to (`files`, `batches`), where it makes something that is asked for by an id later.
    #[must_use]
    pub fn adds_to(&self) -> Option<&str> {
        let collection = self.path.decoded().strip_prefix('/')?;
        (self.method == Method::POST && batch::is_collection(collection)).then_some(collection)
    }

    /// Whether the answer is asked for as a stream of events.
    #[must_use]
    pub fn stream(&self) -> bool {
        match &self.body {
            Body::Json { stream, .. } => *stream,
            Body::Form(form) => form.field("stream").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")),
            Body::Other(_) => false,
        }
    }

    /// The model that the body names.
    #[must_use]
    pub fn model(&self) -> Option<Cow<'_, str>> {
        match &self.body {
            Body::Json { body, model, .. } => body.text((*model)?),
            Body::Form(form) => form.field("model"),
            Body::Other(_) => None,
        }
    }

    /// The action that policy decides on: the vendor's administration is one of its own.
    #[must_use]
    pub fn action(&self) -> Action {
        if self.asked.is_some() {
            Action::InvokeModel
        } else if self.path.is_administration() {
            Action::AdministerProvider
        } else {
            Action::CallProviderApi
        }
    }

    /// A placeholder: the provider takes its place when it is decided on.
    #[must_use]
    pub fn resource(&self) -> Resource {
        Resource::Gateway
    }

    /// What policies see of the call.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::new(self.dialect.surface(), self.action(), self.resource());
        facts.stream = self.stream();
        if let Some(asked) = &self.asked {
            facts.model = Some(asked.model.clone());
            facts.input_tokens = asked.input_tokens;
            facts.max_output_tokens = asked.max_output.unwrap_or(0);
            facts.tools.clone_from(&asked.tools);
            return facts;
        }
        facts.api = Some(ApiFacts {
            method: Arc::from(self.method.as_str()),
            path: Arc::from(self.path()),
            model: self.model().map(|model| Arc::from(&*model)),
            body: match &self.body {
                Body::Json { .. } => "json",
                Body::Form(_) => "other",
                Body::Other(bytes) if bytes.is_empty() => "none",
                Body::Other(_) => "other",
            },
        });
        facts
    }

    /// Every text of a JSON body, as it stands now.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        match &self.body {
            Body::Json { body, places, .. } => places.iter().filter_map(|place| place.segment(body)).collect(),
            Body::Form(form) => form.segments(),
            Body::Other(_) => Vec::new(),
        }
    }

    /// Puts another text in the place of a segment; says whether it is one of this call's.
    pub fn replace_segment(&mut self, path: SegmentPath, text: &str) -> bool {
        let replaced = match &mut self.body {
            Body::Json { body, places, .. } => {
                places::find(places, path).is_some_and(|place| place.replace(body, text))
            }
            Body::Form(form) => form.replace_segment(path, text),
            Body::Other(_) => false,
        };
        if replaced {
            self.digest = OnceLock::new();
        }
        replaced
    }

    /// The JSON pointer of a segment.
    #[must_use]
    pub fn pointer(&self, path: SegmentPath) -> String {
        match &self.body {
            Body::Json { body, .. } => body.pointer(NodeId::from_index(path.0)),
            Body::Form(form) => form.pointer(path),
            Body::Other(_) => String::new(),
        }
    }

    /// How often the body was changed.
    #[must_use]
    pub fn version(&self) -> u32 {
        match &self.body {
            Body::Json { body, .. } => body.version(),
            Body::Form(form) => form.version(),
            Body::Other(_) => 0,
        }
    }

    /// The SHA-256 over method, path with query, and body as they stand. Computed once per version.
    #[must_use]
    pub fn digest(&self) -> Digest {
        *self.digest.get_or_init(|| {
            let mut digester = Digester::new();
            for part in [self.method.as_str().as_bytes(), self.target().as_bytes()] {
                digester.update(part);
                digester.update(b"\n");
            }
            digester.update(&self.body());
            digester.digest()
        })
    }

    /// The body as it stands.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match &self.body {
            Body::Json { body, .. } => body.current(),
            Body::Form(form) => form.current(None),
            Body::Other(bytes) => bytes.clone(),
        }
    }

    /// The body as it is sent to a model that its provider knows as `model`.
    #[must_use]
    pub fn asking(&self, model: &str) -> Bytes {
        match &self.body {
            Body::Json { body, model: Some(named), .. } => {
                let mut replacement = Vec::new();
                write_text(&mut replacement, model);
                let edit = Edit { span: body.tape().span(*named), replacement };
                // Where a guard rewrote the model's name too, nothing is sent that could be read in two ways.
                body.with(vec![edit]).map_or_else(|_| Bytes::new(), Bytes::from)
            }
            Body::Form(form) => form.current(Some(model)),
            Body::Json { .. } | Body::Other(_) => self.body(),
        }
    }

    /// The event that asks for a turn, named `id` where its client gave it no name.
    #[must_use]
    pub fn event(&self, id: &str) -> Bytes {
        let Body::Json { body, .. } = &self.body else { return self.body() };
        let root = body.tape().root();
        if body.tape().member(body.original(), root, "event_id").is_some() {
            return self.body();
        }
        let mut replacement = b"\"event_id\":".to_vec();
        write_text(&mut replacement, id);
        replacement.push(b',');
        // An event always has a type, so that something follows.
        let at = body.tape().span(root).start.saturating_add(1);
        body.with(vec![Edit { span: at..at, replacement }]).map_or_else(|_| self.body(), Bytes::from)
    }

    /// The body as it is sent to `provider`: a model that is named `provider/model` loses its prefix.
    #[must_use]
    pub fn outgoing(&self, provider: &str) -> Bytes {
        let Body::Json { body, model: Some(model), .. } = &self.body else { return self.body() };
        let named = body.text(*model);
        let Some(bare) = named.as_deref().and_then(|name| name.strip_prefix(provider)?.strip_prefix('/')) else {
            return self.body();
        };
        let mut replacement = Vec::new();
        write_text(&mut replacement, bare);
        // A guard that rewrote the model's name has the last word.
        let edit = Edit { span: body.tape().span(*model), replacement };
        body.with(vec![edit]).map_or_else(|_| self.body(), Bytes::from)
    }
}

/// Whether a body is to be read as JSON: by its media type, or since it begins as JSON does, whatever it is called.
pub(crate) fn is_json(content_type: Option<&HeaderValue>, body: &[u8]) -> bool {
    let essence = content_type.and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    let begins = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let named = essence == "application/json" || essence.ends_with("+json");
    begins.is_some_and(|byte| named || matches!(byte, b'{' | b'['))
}

fn json(bytes: Bytes) -> Result<Body, ReadError> {
    let body = EditableBody::read(bytes, &Limits::default())
        .map_err(|error| ReadError::new(error.pointer(), error.to_string()))?;
    let tape = body.tape();
    let member = |name| tape.member(body.original(), tape.root(), name);
    let texts = texts_of(tape, body.original());
    let places = texts.into_iter().map(|node| Place::text(node, Origin::Prompt)).collect();
    let model = member("model").filter(|node| tape.kind(*node) == crate::json::Kind::String);
    let stream = member("stream").and_then(|node| tape.as_bool(node)).unwrap_or(false);
    Ok(Body::Json { places, model, stream, body })
}
