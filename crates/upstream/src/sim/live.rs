//! Live sessions: OpenAI's Realtime API as the sim speaks it, with text and a fake sound.
//!
//! Owns one session's conversation. With voice detection on, as it is at first, a piece of sound of at least a tenth of
//! a second is a whole utterance and is answered. Scripts stand in the texts, as everywhere.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::{
    Sim,
    answer::{Answer, DEFAULT_MAX_TOKENS, Question, Running, answer, tokens},
    body::{Body, Entry, json as json_answer, whole},
    ledger::End,
    openai,
    script::Script,
    serve::open,
};

/// A tenth of a second of sound at 24,000 samples of two bytes.
const UTTERANCE: usize = 4_800;

/// The bytes of sound that come with each piece of a spoken answer.
const SPOKEN: [u8; 480] = [0; 480];

/// Agrees to a session, and runs it.
pub(super) fn serve(sim: Sim, mut request: Request<Incoming>) -> Response<Body> {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
    let model = request
        .uri()
        .query()
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("model=")).map(ToOwned::to_owned));
    let (Some(key), Some(model)) = (key, model) else {
        return json_answer(StatusCode::BAD_REQUEST, openai::error(400, "open a WebSocket and name a model"));
    };
    if !super::MODELS.contains(&model.as_str()) {
        return json_answer(StatusCode::NOT_FOUND, openai::error(404, "the sim has no such model"));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    crate::task::spawn("sim session", async move {
        let Ok(upgraded) = upgrade.await else { return };
        let bounds = Some(crate::live::socket_bounds());
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, bounds).await;
        let mut session = Session::new(sim, socket, model);
        if session.run().await.is_none() {
            tracing::debug!("a session with the sim ended");
        }
    });
    let mut response = Response::new(whole(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

struct Session {
    sim: Sim,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    model: String,
    settings: Value,
    texts: Vec<String>,
    last_user_text: String,
    has_tool_result: bool,
    sound: usize,
    heard: usize,
    numbered: u64,
    waiting: VecDeque<Value>,
}

impl Session {
    fn new(sim: Sim, socket: WebSocketStream<TokioIo<Upgraded>>, model: String) -> Self {
        let settings = json!({
            "type": "realtime", "object": "realtime.session", "id": "sess_sim", "model": model,
            "output_modalities": ["audio"], "instructions": "", "tools": [],
            "audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": true}}},
        });
        Self {
            sim,
            socket,
            model,
            settings,
            texts: Vec::new(),
            last_user_text: String::new(),
            has_tool_result: false,
            sound: 0,
            heard: 0,
            numbered: 0,
            waiting: VecDeque::new(),
        }
    }

    fn id(&mut self, kind: &str) -> String {
        self.numbered = self.numbered.saturating_add(1);
        format!("{kind}_{}", self.numbered)
    }

    /// `None` once the other side has left.
    async fn run(&mut self) -> Option<()> {
        let settings = self.settings.clone();
        self.say(json!({"type": "session.created", "session": settings})).await?;
        loop {
            let event = match self.waiting.pop_front() {
                Some(event) => event,
                None => self.next().await?,
            };
            self.take(event).await?;
        }
    }

    /// The next event of the other side.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(event) => return Some(event),
                    Err(_) => self.error(None, "invalid_json", "no JSON").await?,
                },
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn say(&mut self, mut event: Value) -> Option<()> {
        let id = self.id("event");
        if let Some(event) = event.as_object_mut() {
            event.insert("event_id".to_owned(), id.into());
        }
        self.socket.send(Message::text(event.to_string())).await.ok()
    }

    async fn error(&mut self, about: Option<&Value>, code: &str, message: &str) -> Option<()> {
        let error = json!({"type": "invalid_request_error", "code": code, "message": message, "param": null,
            "event_id": about.and_then(|event| event.get("event_id")).cloned()});
        self.say(json!({"type": "error", "error": error})).await
    }

    async fn take(&mut self, event: Value) -> Option<()> {
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "session.update" => {
                if let Some(session) = event.get("session") {
                    merge(&mut self.settings, session);
                }
                let settings = self.settings.clone();
                self.say(json!({"type": "session.updated", "session": settings})).await
            }
            "conversation.item.create" => {
                let item = event.get("item").cloned().unwrap_or_default();
                self.item(item).await
            }
            "input_audio_buffer.append" => {
                let sound = event.get("audio").and_then(Value::as_str).and_then(|sound| STANDARD.decode(sound).ok());
                let Some(sound) = sound else { return self.error(Some(&event), "bad_audio", "no sound").await };
                self.sound = self.sound.saturating_add(sound.len());
                let detection = self.settings.pointer("/audio/input/turn_detection").cloned().unwrap_or_default();
                if detection.is_null() || sound.len() < UTTERANCE {
                    return Some(());
                }
                self.say(json!({"type": "input_audio_buffer.speech_started", "audio_start_ms": 0})).await?;
                self.say(json!({"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 100})).await?;
                self.commit().await?;
                if detection.get("create_response").and_then(Value::as_bool).unwrap_or(true) {
                    return self.respond(&json!({})).await;
                }
                Some(())
            }
            "input_audio_buffer.commit" if self.sound == 0 => {
                self.error(Some(&event), "input_audio_buffer_commit_empty", "the buffer is empty").await
            }
            "input_audio_buffer.commit" => self.commit().await,
            "input_audio_buffer.clear" => {
                self.sound = 0;
                self.say(json!({"type": "input_audio_buffer.cleared"})).await
            }
            "response.create" => self.respond(&event).await,
            "response.cancel" => self.error(Some(&event), "response_cancel_not_active", "no response is active").await,
            "conversation.item.delete" => {
                self.say(json!({"type": "conversation.item.deleted", "item_id": event.get("item_id")})).await
            }
            "conversation.item.truncate" => {
                self.say(json!({"type": "conversation.item.truncated", "item_id": event.get("item_id"),
                    "content_index": 0, "audio_end_ms": 0}))
                    .await
            }
            _ => self.error(Some(&event), "unknown_event", "the sim knows no such event").await,
        }
    }

    /// What was heard becomes part of the conversation.
    async fn commit(&mut self) -> Option<()> {
        let bytes = std::mem::take(&mut self.sound);
        self.heard = self.heard.saturating_add(bytes);
        self.last_user_text = format!("{bytes} bytes of sound");
        let id = self.id("item");
        self.say(json!({"type": "input_audio_buffer.committed", "item_id": id, "previous_item_id": null})).await?;
        let item = json!({"id": id, "object": "realtime.item", "type": "message", "role": "user",
            "status": "completed", "content": [{"type": "input_audio", "transcript": null}]});
        self.say(json!({"type": "conversation.item.added", "item": item, "previous_item_id": null})).await?;
        if self.settings.pointer("/audio/input/transcription").is_some_and(|set| !set.is_null()) {
            let used = sound_tokens(bytes);
            self.say(json!({
                "type": "conversation.item.input_audio_transcription.completed", "item_id": id, "content_index": 0,
                "transcript": self.last_user_text.clone(),
                "usage": {"type": "tokens", "total_tokens": used.saturating_add(5), "input_tokens": used,
                    "output_tokens": 5, "input_token_details": {"text_tokens": 0, "audio_tokens": used}},
            }))
            .await?;
        }
        Some(())
    }

    async fn item(&mut self, mut item: Value) -> Option<()> {
        let id = self.id("item");
        if let Some(item) = item.as_object_mut() {
            item.entry("id").or_insert(id.into());
            item.insert("object".to_owned(), "realtime.item".into());
            item.insert("status".to_owned(), "completed".into());
        }
        let texts = texts(&item);
        self.has_tool_result = item.get("type").is_some_and(|kind| kind == "function_call_output");
        if !self.has_tool_result {
            self.last_user_text = texts.join("\n");
        }
        self.texts.extend(texts);
        self.say(json!({"type": "conversation.item.added", "item": item, "previous_item_id": null})).await?;
        self.say(json!({"type": "conversation.item.done", "item": item, "previous_item_id": null})).await
    }

    /// One turn.
    async fn respond(&mut self, event: &Value) -> Option<()> {
        let mut asked = self.settings.clone();
        if let Some(response) = event.get("response") {
            merge(&mut asked, response);
        }
        let instructions = asked.get("instructions").and_then(Value::as_str).unwrap_or_default().to_owned();
        let names = asked.get("tools").and_then(Value::as_array).into_iter().flatten();
        let question = Question {
            model: self.model.clone(),
            prompt: format!("{instructions}\n{}", self.texts.join("\n")),
            last_user_text: self.last_user_text.clone(),
            has_tool_result: self.has_tool_result,
            tools: names.filter_map(|tool| Some(tool.get("name")?.as_str()?.to_owned())).collect(),
            max_tokens: asked.get("max_output_tokens").and_then(Value::as_u64).unwrap_or(DEFAULT_MAX_TOKENS),
            stream: true,
        };
        let script = Script::read(&format!("{instructions}\n{}", self.last_user_text));
        let mut answer = answer(&question, &script);
        answer.input_tokens = answer.input_tokens.saturating_add(sound_tokens(self.heard));
        let call_id = event.get("event_id").and_then(Value::as_str).map(ToOwned::to_owned);
        let mut entry = open(&self.sim, "/v1/realtime".to_owned(), call_id, &question, &answer);
        entry.status(StatusCode::OK);
        let spoken = !asked.get("output_modalities").is_some_and(|kinds| *kinds == json!(["text"]));
        let id = self.id("resp");
        let begun = json!({"object": "realtime.response", "id": id, "status": "in_progress", "output": [],
            "metadata": asked.get("metadata")});
        self.say(json!({"type": "response.created", "response": begun})).await?;
        if let Some((status, times)) = script.fail
            && self.sim.fails_now(&question.prompt, times)
        {
            entry.end(End::Failed);
            let error =
                json!({"type": "server_error", "code": status.to_string(), "message": "failed as the script wanted"});
            let failed = json!({"object": "realtime.response", "id": id, "status": "failed", "output": [],
                "status_details": {"type": "failed", "error": error}, "usage": used(&Answer::nothing(), 0, 0, false)});
            return self.say(json!({"type": "response.done", "response": failed})).await;
        }
        let told = Telling { id, spoken, script };
        self.tell(&told, &answer, entry).await
    }

    /// The items of a turn and its end.
    async fn tell(&mut self, told: &Telling, answer: &Answer, mut entry: Entry) -> Option<()> {
        let mut items = Vec::new();
        let mut status = "completed";
        let mut sent = 0;
        if !answer.pieces.is_empty() {
            let (item, whole) = self.message(told, answer, &entry, &mut sent).await?;
            status = if whole { status } else { "cancelled" };
            items.push(item);
        }
        for (at, (name, arguments)) in answer.tools.iter().enumerate() {
            let (item_id, call_id) = (self.id("item"), self.id("call"));
            let at = at.saturating_add(items.len().min(1));
            let place = json!({"response_id": told.id, "item_id": item_id, "output_index": at, "call_id": call_id});
            let item = |status: &str, arguments: &str| {
                json!({"id": item_id, "object": "realtime.item", "type": "function_call", "status": status,
                    "call_id": call_id, "name": name, "arguments": arguments})
            };
            let added = json!({"response_id": told.id, "output_index": at, "item": item("in_progress", "")});
            self.say(typed("response.output_item.added", &added)).await?;
            self.say(with(&place, "response.function_call_arguments.delta", "delta", arguments)).await?;
            self.say(with(&place, "response.function_call_arguments.done", "arguments", arguments)).await?;
            entry.sent(tokens(name).saturating_add(tokens(arguments)));
            sent += tokens(name).saturating_add(tokens(arguments));
            let done = json!({"response_id": told.id, "output_index": at, "item": item("completed", arguments)});
            self.say(typed("response.output_item.done", &done)).await?;
            items.push(item("completed", arguments));
        }
        entry.end(if status == "completed" { End::Complete } else { End::Abandoned });
        let details = (status == "cancelled").then(|| json!({"type": "cancelled", "reason": "client_cancelled"}));
        let response = json!({"object": "realtime.response", "id": told.id, "status": status, "output": items,
            "status_details": details, "usage": used(answer, sound_tokens(self.heard), sent, told.spoken)});
        self.say(json!({"type": "response.done", "response": response})).await?;
        self.say(json!({"type": "rate_limits.updated", "rate_limits": []})).await
    }

    /// A message, piece by piece; whether it came to its end.
    async fn message(
        &mut self,
        told: &Telling,
        answer: &Answer,
        entry: &Entry,
        sent: &mut u64,
    ) -> Option<(Value, bool)> {
        let item_id = self.id("item");
        let (kind, field, delta) = if told.spoken {
            ("output_audio", "transcript", "response.output_audio_transcript")
        } else {
            ("output_text", "text", "response.output_text")
        };
        let item = |status: &str, content: Value| {
            json!({"id": item_id, "object": "realtime.item", "type": "message", "role": "assistant",
                "status": status, "content": content})
        };
        let place = json!({"response_id": told.id, "item_id": item_id, "output_index": 0, "content_index": 0});
        let added = json!({"response_id": told.id, "output_index": 0, "item": item("in_progress", json!([]))});
        self.say(typed("response.output_item.added", &added)).await?;
        self.say(json!({"type": "conversation.item.added", "item": item("in_progress", json!([])),
            "previous_item_id": null}))
            .await?;
        let mut part = place.clone();
        merge(&mut part, &json!({"part": {"type": kind, field: ""}}));
        self.say(typed("response.content_part.added", &part)).await?;
        let (mut running, mut text, mut whole) = (Running::default(), String::new(), true);
        for (at, piece) in answer.pieces.iter().enumerate() {
            if told.script.cut_after.is_some_and(|after| at >= after) {
                return None;
            }
            if told.script.stall_after.is_some_and(|after| at >= after) {
                std::future::pending::<()>().await;
            }
            if self.cancelled(answer.pause).await? {
                whole = false;
                break;
            }
            self.say(with(&place, &format!("{delta}.delta"), "delta", piece)).await?;
            if told.spoken {
                self.say(with(&place, "response.output_audio.delta", "delta", &STANDARD.encode(SPOKEN))).await?;
            }
            let more = running.add(piece);
            entry.sent(more);
            *sent = sent.saturating_add(more);
            text.push_str(piece);
        }
        if told.spoken {
            self.say(typed("response.output_audio.done", &place)).await?;
        }
        self.say(with(&place, &format!("{delta}.done"), field, &text)).await?;
        let mut part = place.clone();
        merge(&mut part, &json!({"part": {"type": kind, field: text}}));
        self.say(typed("response.content_part.done", &part)).await?;
        let item = item(if whole { "completed" } else { "incomplete" }, json!([{"type": kind, field: text}]));
        let done = json!({"response_id": told.id, "output_index": 0, "item": item});
        self.say(typed("response.output_item.done", &done)).await?;
        self.say(json!({"type": "conversation.item.done", "item": item, "previous_item_id": null})).await?;
        Some((item, whole))
    }

    /// Whether the turn is cancelled before `pause` is over. Other events wait for its end.
    async fn cancelled(&mut self, pause: Duration) -> Option<bool> {
        let until = tokio::time::Instant::now() + pause;
        while let Ok(event) = tokio::time::timeout_at(until, self.next()).await {
            let event = event?;
            if event.get("type").is_some_and(|kind| kind == "response.cancel") {
                return Some(true);
            }
            self.waiting.push_back(event);
        }
        Some(false)
    }
}

/// How a turn is told.
struct Telling {
    id: String,
    spoken: bool,
    script: Script,
}

fn sound_tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(UTTERANCE)).unwrap_or(u64::MAX)
}

fn used(answer: &Answer, heard: u64, sent: u64, spoken: bool) -> Value {
    let audio = if spoken { sent } else { 0 };
    json!({
        "input_tokens": answer.input_tokens, "output_tokens": sent,
        "total_tokens": answer.input_tokens.saturating_add(sent),
        "input_token_details": {"text_tokens": answer.input_tokens.saturating_sub(heard), "audio_tokens": heard, "image_tokens": 0,
            "cached_tokens": 0, "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}},
        "output_token_details": {"text_tokens": sent.saturating_sub(audio), "audio_tokens": audio},
    })
}

fn typed(kind: &str, members: &Value) -> Value {
    let mut event = json!({"type": kind});
    merge(&mut event, members);
    event
}

fn with(members: &Value, kind: &str, name: &str, text: &str) -> Value {
    let mut event = typed(kind, members);
    merge(&mut event, &json!({name: text}));
    event
}

/// Lays the members of `over` over those of `under`, objects member by member.
fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                merge(under.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// The texts of an item.
fn texts(item: &Value) -> Vec<String> {
    let content = item.get("content").and_then(Value::as_array).into_iter().flatten();
    let of = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    content.filter_map(|part| of(part, "text").or_else(|| of(part, "transcript"))).chain(of(item, "output")).collect()
}
