//! Translating a stream: frames of one dialect in, frames of another out, through stream events.
//!
//! Owns the pairing of a decoder with an encoder and the end of the stream: a stream that was cut never gets a
//! successful terminator. Never decides what to hold back or to rewrite; that was done on the upstream's frames.
//! Called by the proxy's respond stage, for callers whose dialect is not the upstream's.

use tidegate_core::ids::ToolName;

use crate::{
    llm::{bedrock, dialect::Dialect, error::StreamError, forms::ToolForm, ir::StreamEvent, names::Renamed},
    sse::Frame,
};

/// What a translation needs to know of the call.
#[derive(Debug, Clone, Copy)]
pub struct TranslateContext<'a> {
    /// The model as the caller named it.
    pub model: &'a str,
    /// Whether the caller's stream is to carry usage (see [`crate::llm::ModelCall::wants_usage`]).
    pub client_wants_usage: bool,
    /// The call's id as text: ids that the upstream left out are made from it.
    pub call_id: &'a str,
    /// Now, in seconds since 1970: for dialects whose answers say when they were made.
    pub created: u64,
    /// Who may be shown signed reasoning again (see [`crate::llm::TargetWire::reasoning_scope`]): put beside it.
    pub reasoning_scope: Option<&'a str>,
    /// The tools that the caller declared: some upstreams are told other names, which have to find back.
    pub tools: &'a [ToolName],
    /// Tools that the upstream was told in another form (see [`crate::llm::Outgoing::forms`]).
    pub forms: &'a [ToolForm],
}

/// The most bytes that a translation holds back.
pub(crate) const HELD_BYTES: usize = 16 << 20;

/// Turns the frames of one dialect into events.
pub(crate) trait StreamDecoder: Send {
    fn push(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), StreamError>;

    /// The body has ended, without an error of the transport.
    fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), StreamError>;
}

/// Turns events into the frames of one dialect.
pub(crate) trait StreamEncoder: Send {
    fn push(&mut self, event: StreamEvent, out: &mut Vec<Frame>) -> Result<(), StreamError>;
}

/// One stream's translation.
pub struct StreamTranslator {
    decoder: Box<dyn StreamDecoder>,
    encoder: Box<dyn StreamEncoder>,
    events: Vec<StreamEvent>,
    /// The model has said why it stopped.
    stopped: bool,
    ended: bool,
    renamed: Renamed,
    /// The caller's dialect, where it is the upstream's in another envelope: then nothing is taken apart.
    rewraps: Option<Dialect>,
}

impl std::fmt::Debug for StreamTranslator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamTranslator").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl StreamTranslator {
    /// A translation from the upstream's dialect to the caller's.
    #[must_use]
    pub fn new(from: Dialect, to: Dialect, context: &TranslateContext<'_>) -> Self {
        Self {
            decoder: from.codec().stream_decoder(context),
            encoder: to.codec().stream_encoder(context),
            events: Vec::new(),
            stopped: false,
            ended: false,
            renamed: Renamed::new(context.tools),
            rewraps: bedrock::is_rewrapping(from, to).then_some(to),
        }
    }

    /// The caller's frames for one frame of the upstream: none, one or several. After the end, successful or not, none.
    ///
    /// # Errors
    /// Where the frame is malformed, more would have to be held than may be, or the end came before the model had
    /// stopped. The stream is over then, and the caller is owed an error event.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, StreamError> {
        let Some(data) = frame.data.as_deref().filter(|_| !self.ended) else { return Ok(Vec::new()) };
        let read = self.decoder.push(data, &mut self.events);
        let Some(to) = self.rewraps else { return self.encode(read) };
        self.ended |= self.events.drain(..).any(|event| matches!(event, StreamEvent::End | StreamEvent::Error { .. }));
        read.and_then(|()| bedrock::rewrap_frame(frame, to)).map(|frame| frame.into_iter().collect())
    }

    /// What is still owed when the upstream's body has ended. Call it only where the transport ended it in order.
    ///
    /// # Errors
    /// [`StreamError::Truncated`] where the model had not stopped.
    pub fn finish(&mut self) -> Result<Vec<Frame>, StreamError> {
        if self.ended {
            return Ok(Vec::new());
        }
        let read = self.decoder.finish(&mut self.events);
        self.encode(read)
    }

    fn encode(&mut self, read: Result<(), StreamError>) -> Result<Vec<Frame>, StreamError> {
        let mut frames = Vec::new();
        for mut event in self.events.drain(..) {
            if let StreamEvent::ToolStart { name, .. } = &mut event {
                self.renamed.restore(name);
            }
            if self.stopped && event.is_said() {
                self.ended = true;
                return Err(StreamError::Malformed("the model goes on after it has stopped".into()));
            }
            self.stopped |= matches!(event, StreamEvent::Stop { .. });
            self.ended |= matches!(event, StreamEvent::End | StreamEvent::Error { .. });
            if let Err(error) = self.encoder.push(event, &mut frames) {
                self.ended = true;
                return Err(error);
            }
        }
        if let Err(error) = read {
            self.ended = true;
            return Err(error);
        }
        Ok(frames)
    }
}
