//! Requests for files and batches of the gateway's own, answered.
//!
//! Owns what each may do. Only the owner sees a thing; another's is told as one that is not there. Called by `here`, for
//! a caller whom policy lets use batches.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tidegate_core::{
    batches::{
        BatchEndpoint, BatchId, BatchMoments, BatchStatus, BatchStoreError, Content, FileId, LineState, Maker, Owner,
        Page, Pieces, StoredBatch, StoredFile,
    },
    clock,
    facts::Action,
    fault::{Fault, FaultCode},
};

use super::{MOST_RUNNING, WINDOW, beside, claim::pair, no_such, shown, unkept, upload::Uploaded};
use crate::{
    exchange::{Caller, Ending, Exchange},
    gate::Gate,
    respond::{self, Body, Broken},
    stage::authorize::may_use_batches,
};

/// What is asked.
pub(crate) enum Ask {
    Upload(Box<Uploaded>),
    /// With the query.
    Files(String),
    File(FileId),
    Content(FileId),
    DeleteFile(FileId),
    Create(Bytes),
    /// With the query.
    Batches(String),
    Batch(BatchId),
    Cancel(BatchId),
}

/// Answers it.
pub(crate) async fn answer(mut exchange: Exchange, caller: Caller, ask: Ask) -> Response<Body> {
    exchange.story.action = Some(Action::UseBatches);
    exchange.story.resource = Arc::from("batches");
    let gate = Arc::clone(&exchange.gate);
    let owner = Owner::of(&caller.principal);
    let result = async {
        may_use_batches(&mut exchange, &caller)?;
        Ok(Passing::Told(match ask {
            Ask::Upload(uploaded) => upload(exchange.snapshot.batches_keep, &gate, owner, *uploaded).await?,
            Ask::Files(query) => {
                let (page, asked) = page(&query, 10_000)?;
                let kept = beside(move || gate.batches.store.files(&owner, page)).await.map_err(unkept)?;
                let purpose = pair(&query, "purpose");
                let shown = |file: &StoredFile| {
                    let file = shown::file(file);
                    let is_asked = |purpose| file.get("purpose").is_some_and(|known| known == purpose);
                    purpose.is_none_or(is_asked).then_some(file)
                };
                let data = kept.iter().take(asked).filter_map(shown).collect();
                shown::list(data, kept.len() > asked)
            }
            Ask::File(id) => shown::file(&file(&gate, owner, id).await?),
            Ask::Content(id) => {
                let file = file(&gate, owner, id).await?;
                return content(&gate, &file).await.map(Passing::Content);
            }
            Ask::DeleteFile(id) => delete(&gate, owner, id).await?,
            Ask::Create(body) => {
                let kept = |name: &str| exchange.header(name).filter(|text| text.len() <= 4_096).map(Arc::from);
                let said = [kept("x-tidegate-session"), kept("x-tidegate-metadata")];
                create(said, &gate, &caller, owner, &body).await?
            }
            Ask::Batches(query) => {
                let (page, asked) = page(&query, 100)?;
                let reading = Arc::clone(&gate);
                let kept = beside(move || reading.batches.store.batches(&owner, page)).await.map_err(unkept)?;
                let data = kept.iter().take(asked).map(|batch| shown::batch(&as_it_stands(&gate, batch))).collect();
                shown::list(data, kept.len() > asked)
            }
            Ask::Batch(id) => shown::batch(&as_it_stands(&gate, &batch(&gate, owner, id).await?)),
            Ask::Cancel(id) => cancel(&gate, owner, id).await?,
        }))
    }
    .await;
    match result {
        Ok(Passing::Told(value)) => {
            respond::answer(&mut exchange, 200, HeaderMap::new(), Bytes::from(value.to_string()))
        }
        Ok(Passing::Content(pieces)) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
            let head = respond::passing(&exchange, 200, headers);
            exchange.end(&Ending { status: 200, fault: None, complete: true });
            head.map(|()| StreamBody::new(stream::unfold(Some(pieces), step)).boxed_unsync())
        }
        Err(fault) => respond::refusal(&mut exchange, fault),
    }
}

enum Passing {
    Told(Value),
    Content(Box<dyn Pieces>),
}

type Piece = Result<Frame<Bytes>, Broken>;

/// The next piece of a file. One that cannot be read breaks the answer, since half a file must not look like a whole one.
async fn step(pieces: Option<Box<dyn Pieces>>) -> Option<(Piece, Option<Box<dyn Pieces>>)> {
    let mut pieces = pieces?;
    match beside(move || pieces.next().map(|piece| (piece, pieces))).await {
        Ok((Some(piece), pieces)) => Some((Ok(Frame::data(Bytes::from(piece))), Some(pieces))),
        Ok((None, _)) => None,
        Err(error) => {
            tracing::error!(%error, "a file of a batch cannot be read");
            Some((Err(Broken), None))
        }
    }
}

async fn content(gate: &Arc<Gate>, file: &StoredFile) -> Result<Box<dyn Pieces>, Fault> {
    let (gate, id, content) = (Arc::clone(gate), file.id, file.content);
    let open = move || match content {
        Content::Uploaded => gate.batches.contents.uploaded(id),
        Content::Answers(batch) => gate.batches.contents.lines(batch, LineState::Answered),
        Content::Failures(batch) => gate.batches.contents.lines(batch, LineState::Failed),
    };
    beside(open).await.map_err(unkept)
}

async fn file(gate: &Arc<Gate>, owner: Owner, id: FileId) -> Result<StoredFile, Fault> {
    let gate = Arc::clone(gate);
    let found = beside(move || gate.batches.store.file(&owner, id)).await.map_err(unkept)?;
    found.filter(|file| file.expires > clock::wall()).ok_or_else(|| no_such("file"))
}

async fn batch(gate: &Arc<Gate>, owner: Owner, id: BatchId) -> Result<StoredBatch, Fault> {
    let gate = Arc::clone(gate);
    let found = beside(move || gate.batches.store.batch(&owner, id)).await.map_err(unkept)?;
    found.ok_or_else(|| no_such("batch"))
}

/// A batch with what is known of it by now.
fn as_it_stands(gate: &Gate, batch: &StoredBatch) -> StoredBatch {
    gate.batches.running(batch.id).map_or_else(|| batch.clone(), |running| running.state.lock().clone())
}

/// Keeps a file: what is in it first, so that nothing is known that is not there.
async fn upload(keep: Duration, gate: &Arc<Gate>, owner: Owner, uploaded: Uploaded) -> Result<Value, Fault> {
    let keep = uploaded.seconds.map_or(keep, |seconds| Duration::from_secs(seconds).min(keep));
    let now = clock::wall();
    let Uploaded { id, name, bytes, draft, .. } = uploaded;
    let file = StoredFile { id, owner, name, bytes, created: now, expires: now.plus(keep), content: Content::Uploaded };
    let (gate, kept) = (Arc::clone(gate), file.clone());
    let write = move || {
        draft.finish()?;
        let known = gate.batches.store.keep(None, std::slice::from_ref(&kept));
        if known.is_err() {
            gate.batches.contents.erase(kept.id)?;
        }
        known?;
        gate.batches.bytes.fetch_add(kept.bytes, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    };
    beside(write).await.map_err(unkept)?;
    Ok(shown::file(&file))
}

async fn delete(gate: &Arc<Gate>, owner: Owner, id: FileId) -> Result<Value, Fault> {
    let file = file(gate, owner, id).await?;
    if gate.batches.reads(id) {
        let words =
            "A batch that has not ended reads this file: cancel the batch, and delete the file when it has ended.";
        return Err(Fault::invalid("", words));
    }
    let gate = Arc::clone(gate);
    let gone = beside(move || gate.batches.erase(&file)).await.map_err(unkept)?;
    if gone { Ok(json!({"id": id, "object": "file", "deleted": true})) } else { Err(no_such("file")) }
}

/// A request for a batch.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

fn asked(body: &[u8]) -> Result<(Asked, BatchEndpoint, FileId), Fault> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Fault::new(FaultCode::InvalidRequest, format!("This is no request for a batch: {error}.")))?;
    let endpoint = BatchEndpoint::at(&asked.endpoint).ok_or_else(|| {
        let known: Vec<&str> = BatchEndpoint::ALL.into_iter().map(BatchEndpoint::path).collect();
        Fault::invalid("/endpoint", format!("a batch asks one of {}", known.join(", ")))
    })?;
    if asked.completion_window != "24h" {
        return Err(Fault::invalid("/completion_window", "the only window is `24h`"));
    }
    let fits = |metadata: &BTreeMap<String, String>| {
        metadata.len() <= 16 && metadata.iter().all(|(name, value)| name.len() <= 64 && value.len() <= 512)
    };
    if !asked.metadata.as_ref().is_none_or(fits) {
        return Err(Fault::invalid("/metadata", "at most 16 texts of at most 512 bytes, under names of at most 64"));
    }
    let id = asked.input_file_id.parse().map_err(|_| no_such("file"))?;
    Ok((asked, endpoint, id))
}

async fn create(
    [session, labels]: [Option<Arc<str>>; 2],
    gate: &Arc<Gate>,
    caller: &Caller,
    owner: Owner,
    body: &[u8],
) -> Result<Value, Fault> {
    let (asked, endpoint, input) = asked(body)?;
    let input = file(gate, owner.clone(), input).await?;
    if input.content != Content::Uploaded {
        return Err(Fault::invalid("/input_file_id", "a batch reads a file with the purpose `batch`"));
    }
    if gate.batches.running.lock().len() >= MOST_RUNNING {
        let words = "The gateway runs as many batches as it takes: try again when one has ended.";
        return Err(Fault::new(FaultCode::Overloaded, words));
    }
    let principal = &caller.principal;
    let record = gate.keys.get(&principal.org, principal.key).ok_or_else(|| no_such("key"))?;
    let now = clock::wall();
    let batch = StoredBatch {
        id: BatchId::new(),
        owner,
        maker: Maker {
            org: principal.org.clone(),
            key: principal.key,
            key_name: principal.key_name.clone(),
            team: principal.team.clone(),
            key_created: record.created,
            address: principal.address,
        },
        session,
        labels,
        input: input.id,
        endpoint,
        metadata: asked.metadata,
        status: BatchStatus::Validating,
        total: 0,
        completed: 0,
        failed: 0,
        output: None,
        error: None,
        errors: Vec::new(),
        created: now,
        expires: now.plus(WINDOW),
        moments: BatchMoments::default(),
    };
    let (writing, made) = (Arc::clone(gate), batch.clone());
    beside(move || writing.batches.store.keep(Some(&made), &[])).await.map_err(unkept)?;
    let shown = shown::batch(&batch);
    gate.batches.start(gate, batch);
    Ok(shown)
}

async fn cancel(gate: &Arc<Gate>, owner: Owner, id: BatchId) -> Result<Value, Fault> {
    let known = batch(gate, owner, id).await?;
    let over = |batch: &StoredBatch| {
        let words = format!("This batch is {} and cannot be cancelled any more.", batch.status.as_str());
        Err(Fault::invalid("", words))
    };
    let Some(running) = gate.batches.running(id) else { return over(&known) };
    let (gate, changed) = (Arc::clone(gate), Arc::clone(&running));
    let write = move || -> Result<Option<StoredBatch>, BatchStoreError> {
        let _alone = changed.keeping.lock();
        let mut next = changed.state.lock().clone();
        if next.status != BatchStatus::Cancelling && !next.status.has_ended() {
            next.status = BatchStatus::Cancelling;
            next.moments.cancelling = Some(clock::wall());
            gate.batches.store.keep(Some(&next), &[])?;
        }
        let mut state = changed.state.lock();
        // It may have come to its end meanwhile, which is written next.
        if state.status.has_ended() {
            return Ok(None);
        }
        (state.status, state.moments.cancelling) = (next.status, next.moments.cancelling);
        Ok(Some(state.clone()))
    };
    match beside(write).await.map_err(unkept)? {
        Some(batch) => {
            running.cancel.cancel();
            Ok(shown::batch(&batch))
        }
        None => over(&running.state.lock().clone()),
    }
}

/// The page that a query asks for, one item longer than it is shown; and its length.
fn page<Id: std::str::FromStr>(query: &str, most: usize) -> Result<(Page<Id>, usize), Fault> {
    let asked = match pair(query, "limit").map(str::parse::<usize>) {
        None => most.min(if most > 100 { most } else { 20 }),
        Some(Ok(asked)) if (1..=most).contains(&asked) => asked,
        Some(_) => return Err(Fault::invalid("/limit", format!("a page has 1 to {most} items"))),
    };
    let after = match pair(query, "after").map(str::parse::<Id>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(Fault::invalid("/after", "this is no id of such a list")),
    };
    let newest_first = match pair(query, "order") {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(_) => return Err(Fault::invalid("/order", "the order is `asc` or `desc`")),
    };
    Ok((Page { after, most: asked.saturating_add(1), newest_first }, asked))
}
