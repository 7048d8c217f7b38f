//! What a leaf of the log says: one JSON object per entry, typed here.
//!
//! Owns the record types and their form. A record holds names, numbers and salted digests, never a body, never a
//! secret, never the text a guard matched. The proxy fills them in; the ledger and the call index are rebuilt from
//! them.

use std::{cell::RefCell, collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use aws_lc_rs::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidegate_core::{
    clock::UnixMillis,
    event::StageEvent,
    facts::{Action, GuardVerdict},
    fault::Phase,
    ids::{CallId, Digest, KeyId, KeyName, ModelName, OrgId, RevisionId, TargetId, TeamName},
    money::NanoUsd,
    principal::{Delegate, Principal},
    usage::Usage,
};

/// The version that entries carry in `v`.
pub const VERSION: u8 = 1;

/// One leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The version of the form: [`VERSION`].
    pub v: u8,
    /// When it was written, in milliseconds since 1970.
    pub at: UnixMillis,
    /// What it says.
    pub record: Record,
}

impl Entry {
    /// Appends the entry as a leaf holds it; says whether it has a form, which every entry of this version has.
    pub fn append_to(&self, out: &mut Vec<u8>) -> bool {
        crate::json::write(out, self).is_ok()
    }
}

/// The kinds of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A call is about to be sent.
    Intent(Box<IntentRecord>),
    /// One attempt at one upstream has ended.
    Attempt(Box<AttemptEntry>),
    /// A call has ended.
    Outcome(Box<OutcomeEntry>),
    /// A call ended before anything was sent: denied, refused, blocked, or answered from the cache.
    Refusal(Box<RefusalRecord>),
    /// A revision became active.
    Activation(Box<ActivationRecord>),
    /// Calls that are counted instead of recorded one by one.
    Summary(Box<SummaryRecord>),
}

impl Record {
    /// The call that the record is about, if it is about one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Intent(record) => Some(record.call),
            Self::Attempt(record) => Some(record.call),
            Self::Outcome(record) => Some(record.call),
            Self::Refusal(record) => Some(record.call.call),
            Self::Activation(_) | Self::Summary(_) => None,
        }
    }
}

/// Which kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// A model call.
    Model,
    /// An exchange with an MCP server.
    Tool,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The tenant.
    pub org: OrgId,
    /// The key's public part.
    pub key: KeyId,
    /// The key's name.
    pub key_name: KeyName,
    /// The key's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
    /// Who acts for whom, the person first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Delegate>,
}

impl From<&Principal> for Caller {
    fn from(principal: &Principal) -> Self {
        Self {
            org: principal.org.clone(),
            key: principal.key,
            key_name: principal.key_name.clone(),
            team: principal.team.clone(),
            chain: principal.chain.clone(),
        }
    }
}

/// Sixteen random bytes that keep the digests of one record from being compared with another's or guessed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    /// A fresh salt. Zeros where the system has no randomness to give; the digests are then as good as unsalted.
    #[must_use]
    pub fn random() -> Self {
        STOCK.with_borrow_mut(Stock::take).unwrap_or_else(|| {
            tracing::error!("no randomness for an audit salt");
            Self([0; 16])
        })
    }

    /// HMAC-SHA-256 (RFC 2104) with the salt as the key over the thirty-two bytes of `digest`, which is the SHA-256
    /// of the body: whoever has the body and the record can recompute it.
    #[must_use]
    pub fn over(&self, digest: &Digest) -> Digest {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), digest.as_bytes());
        let mut out = [0_u8; 32];
        for (to, from) in out.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Digest::from_bytes(out)
    }
}

/// How many salts are drawn at once: the generator takes as long for one as for all of these.
const DRAWN: usize = 64;

/// Salts that nobody has yet.
struct Stock {
    salts: [[u8; 16]; DRAWN],
    left: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { salts: [[0; 16]; DRAWN], left: 0 }) };
}

impl Stock {
    /// The next salt, which is then in here no more; `None` where there is no randomness.
    fn take(&mut self) -> Option<Salt> {
        if self.left == 0 {
            SystemRandom::new().fill(self.salts.as_flattened_mut()).ok()?;
            self.left = DRAWN;
        }
        self.left -= 1;
        self.salts.get_mut(self.left).map(|salt| Salt(std::mem::take(salt)))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({})", hex::encode(self.0))
    }
}

impl FromStr for Salt {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut salt = [0; 16];
        hex::decode_to_slice(text, &mut salt)?;
        Ok(Self(salt))
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = [0; 32];
        // It fails only for a buffer of another length.
        let _ = hex::encode_to_slice(self.0, &mut digits);
        serializer.serialize_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("expected a salt of 32 hexadecimal digits"))
    }
}

/// Salted digests of what went through. Each is [`Salt::over`] the SHA-256 of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The record's own salt.
    pub salt: Salt,
    /// The request's body, as the caller sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Digest>,
    /// The answer's body, as the caller got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Digest>,
    /// A tool's arguments, as they were sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Digest>,
    /// A tool's result, as it came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Digest>,
}

impl Default for Digests {
    fn default() -> Self {
        Self { salt: Salt::random(), request: None, response: None, arguments: None, result: None }
    }
}

impl Digests {
    /// With the request's body, given its SHA-256.
    #[must_use]
    pub fn with_request(mut self, sha256: &Digest) -> Self {
        self.request = Some(self.salt.over(sha256));
        self
    }

    /// With the answer's body, given its SHA-256.
    #[must_use]
    pub fn with_response(mut self, sha256: &Digest) -> Self {
        self.response = Some(self.salt.over(sha256));
        self
    }

    /// With a tool's arguments, given their SHA-256.
    #[must_use]
    pub fn with_arguments(mut self, sha256: &Digest) -> Self {
        self.arguments = Some(self.salt.over(sha256));
        self
    }

    /// With a tool's result, given its SHA-256.
    #[must_use]
    pub fn with_result(mut self, sha256: &Digest) -> Self {
        self.result = Some(self.salt.over(sha256));
        self
    }
}

/// What was set aside for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReservationRecord {
    /// The money, where the dearest permitted target has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<NanoUsd>,
    /// The upper bound of the prompt's tokens.
    pub input_tokens: u64,
    /// The most tokens that may be generated.
    pub output_tokens: u64,
}

/// How many items of each list, or bytes of each kind of text, a record had to leave out to fit its place.
pub type Omitted = BTreeMap<Arc<str>, u32>;

/// What is known of a call before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// The call.
    pub call: CallId,
    /// Who called.
    pub caller: Caller,
    /// Which kind of traffic.
    pub kind: CallKind,
    /// What is to be done.
    pub action: Action,
    /// The surface the caller speaks.
    pub surface: Arc<str>,
    /// What it is done to, as [`tidegate_core::facts::Resource`] prints.
    pub resource: Arc<str>,
    /// The model as the caller named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// Whether the answer is a stream.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stream: bool,
    /// The session the call belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<str>>,
    /// The revision that decided.
    pub revision: Digest,
    /// Where the call may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetId>,
    /// The policies that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Arc<str>>,
    /// What guards found in the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<GuardVerdict>,
    /// What was set aside.
    #[serde(default)]
    pub reservation: ReservationRecord,
    /// The budgets of their own that it was set aside in, besides those of the key and its team: by model, provider,
    /// server, tool or metadata.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Arc<str>>,
    /// Digests of the request and its arguments.
    pub digests: Digests,
    /// What the stages so far reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageEvent>,
    /// What did not fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: Omitted,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl IntentRecord {
    /// A record that says only who wants to do what, under which revision. The rest is filled in by the caller.
    #[must_use]
    pub fn new(call: CallId, caller: Caller, kind: CallKind, action: Action, revision: RevisionId) -> Self {
        Self {
            call,
            caller,
            kind,
            action,
            surface: Arc::from(""),
            resource: Arc::from(""),
            model: None,
            stream: false,
            session: None,
            revision: revision.0,
            targets: Vec::new(),
            policies: Vec::new(),
            verdicts: Vec::new(),
            reservation: ReservationRecord::default(),
            budgets: Vec::new(),
            digests: Digests::default(),
            stages: Vec::new(),
            omitted: Omitted::new(),
        }
    }
}

/// One attempt at one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which one of its call: 1 is the first.
    pub number: u32,
    /// Where it went: `provider/model`, or the MCP server's name.
    pub target: Arc<str>,
    /// When it began.
    pub started: UnixMillis,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// How far it came.
    pub phase: Phase,
    /// The upstream's HTTP status, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of what went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Arc<str>>,
    /// Whether the upstream may have charged for it.
    pub may_be_billed: bool,
    /// What did not fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: Omitted,
}

/// An [`AttemptRecord`] with the call it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEntry {
    /// The call.
    pub call: CallId,
    /// The leaf of the call's intent.
    pub intent: u64,
    /// The attempt.
    pub attempt: AttemptRecord,
}

/// How much of a call its outcome tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// Everything: the call ended and its usage is known.
    Complete,
    /// The call was cut; what came until then is told.
    Partial,
    /// Nothing is known of what the upstream did: its reservation stays held.
    Unknown,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// How much of the call is told.
    pub completeness: Completeness,
    /// The HTTP status that the caller got, or would have got.
    pub status: u16,
    /// The code of what went wrong, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Arc<str>>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_by: Option<Arc<str>>,
    /// How many attempts there were.
    #[serde(default)]
    pub attempts: u32,
    /// The tokens used, for model calls. Counts above 2^53 - 1 are written as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the call cost, where it has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// How long the whole call took, in milliseconds.
    #[serde(default)]
    pub millis: u64,
    /// What guards found in the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<GuardVerdict>,
    /// What the target could not express, in a few words each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Arc<str>>,
    /// Digests of the answer and the result.
    pub digests: Digests,
    /// The encrypted bodies of this call, where they are kept: SHA-256 of each blob.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Digest>,
    /// What every stage reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageEvent>,
    /// What did not fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: Omitted,
}

impl OutcomeRecord {
    /// An outcome that says only how it ended. The rest is filled in by the caller.
    #[must_use]
    pub fn new(completeness: Completeness, status: u16) -> Self {
        Self {
            completeness,
            status,
            fault: None,
            served_by: None,
            attempts: 0,
            usage: None,
            cost: None,
            millis: 0,
            verdicts: Vec::new(),
            losses: Vec::new(),
            digests: Digests::default(),
            blobs: Vec::new(),
            stages: Vec::new(),
            omitted: Omitted::new(),
        }
    }
}

/// An [`OutcomeRecord`] with the call it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeEntry {
    /// The call.
    pub call: CallId,
    /// The tenant.
    pub org: OrgId,
    /// The key's public part.
    pub key: KeyId,
    /// The leaf of the call's intent.
    pub intent: u64,
    /// The outcome.
    pub outcome: OutcomeRecord,
}

/// A call that ended before anything was sent: what is known of it, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// What is known of the call.
    pub call: IntentRecord,
    /// How it ended.
    pub outcome: OutcomeRecord,
}

/// A revision became active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationRecord {
    /// The revision.
    pub revision: Digest,
    /// The one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Who activated it: a key, an admin, `system:file`, `system:discovery`.
    pub by: Arc<str>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// What changed, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Arc<str>>,
    /// What did not fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: Omitted,
}

/// Calls that ended before their caller was known, or were shed: counted per source and minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRecord {
    /// The first moment that is counted.
    pub since: UnixMillis,
    /// The first moment that is not counted any more.
    pub until: UnixMillis,
    /// Where the calls came from: an address prefix.
    pub source: Arc<str>,
    /// How many calls ended with each code.
    pub counts: BTreeMap<Arc<str>, u64>,
    /// What did not fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: Omitted,
}

#[cfg(test)]
mod tests;
