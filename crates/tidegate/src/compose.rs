//! Wiring: which part is made of which, in what order they start and stop.
//!
//! The only place that sees every crate. Owns the life of a running gateway; decides nothing about a call.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use tidegate_admin::{Control, Feed};
use tidegate_audit::{
    Audit, OpenOptions,
    blob::{BlobQueue, Blobs},
    record::ActivationRecord,
};
use tidegate_config::{
    check::{Mode, Options},
    environment::Machine,
    found::{self, Found},
    identity::{KeyStore, KeyTable, Pepper},
    live::{self, Candidate, Live, Rejection},
    pins::PinStore,
    snapshot::Ingredients,
    source::{Source, Sources},
    vendor::Vendors,
    watch::watch,
};
use tidegate_core::{
    batches::BatchStore,
    calls::CallIndex,
    clock::{self, UnixMillis},
    made::MadeStore,
};
use tidegate_ledger::{Catalog, Ledger, LedgerStore};
use tidegate_proxy::{
    AnswerStore, Answers, Batches, Bounds, Floods, Gate, Metrics, Owners, Registry, Repeats, Sessions,
};
use tidegate_store::{AnswerFiles, Contents, Sqlite};
use tidegate_upstream::{Destination, Upstream, UpstreamOptions, export::Exporter, sim::Sim, task};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    answers::StoredAnswers,
    caller,
    cli::Run,
    descriptors, detect,
    directory::Directory,
    discovery::{self, Discoverer},
    log,
    output::exit,
    place::Place,
    recovery, telemetry,
};

/// How long calls in flight may take to end when the gateway stops.
const DRAIN: Duration = Duration::from_secs(30);

/// How often the state is brought up to the log, and counters are written.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// A gateway that listens.
pub(crate) struct Running {
    place: Place,
    pub(crate) data_plane: SocketAddr,
    pub(crate) control_plane: SocketAddr,
    pub(crate) found: Vec<Found>,
    pub(crate) key: Option<tidegate_core::secret::Secret>,
    pub(crate) revision: String,
    pub(crate) warnings: Vec<String>,
    stop: CancellationToken,
    data: task::Task,
    control: task::Task,
    /// Sends traces and metrics; it is the last to stop, since calls that end during the drain are traced too.
    telemetry: (task::Task, CancellationToken),
    parts: Arc<Parts>,
}

/// What housekeeping and stopping need.
struct Parts {
    gate: Arc<Gate>,
    store: Arc<Sqlite>,
    directory: Directory,
    /// Held while a revision is made from the one before it.
    changes: Arc<Mutex<()>>,
    /// What this process calls itself in telemetry.
    instance: String,
    answers: Arc<StoredAnswers>,
}

/// Reads the configuration of a start or of a reload.
struct Loader {
    mode: Mode,
    paths: Vec<PathBuf>,
    vendors: Vendors,
    catalog: Arc<Catalog>,
    public_listener: bool,
    found: Vec<Found>,
}

impl Loader {
    /// The loader that the arguments mean, and what is said of providers that are passed over.
    fn new(arguments: &Run, mode: Mode) -> Result<(Self, Vec<String>)> {
        let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
        let ports = [arguments.listen.port(), arguments.admin_listen.port()];
        let (mut found, notes) = match arguments.config.as_slice() {
            [] => found::in_environment(&vendors, &Machine, &ports),
            _ => Default::default(),
        };
        found.push(found::simulator());
        let loader = Self {
            mode,
            paths: arguments.config.clone(),
            vendors,
            catalog: Arc::new(Catalog::builtin().context("a built-in price file is wrong")?),
            public_listener: !arguments.listen.ip().is_loopback(),
            found,
        };
        Ok((loader, notes))
    }

    fn load(&self, store: &Sqlite) -> Result<Result<Candidate, Rejection>> {
        let options =
            Options { mode: self.mode, secrets: true, public_listener: self.public_listener, vendors: &self.vendors };
        let stored = KeyStore::all(store).context("the keys could not be read")?;
        let pins = PinStore::all(store).context("the pinned tools could not be read")?;
        let ingredients = Ingredients { vendors: &self.vendors, catalog: Arc::clone(&self.catalog), stored, pins };
        if self.paths.is_empty() {
            let sources = Sources::of_text("built-in", &found::document(&self.found));
            return Ok(live::compile(sources, &Machine, &options, &ingredients));
        }
        let sources = match Sources::load(&self.paths, &Machine) {
            Ok(sources) => sources,
            Err(problems) => return Ok(Err(self.watching(Rejection::new(problems, &Sources::default())))),
        };
        let sources = if self.mode == Mode::Up { with_sim(sources) } else { sources };
        let candidate = live::compile(sources, &Machine, &options, &ingredients);
        let candidate = candidate.map(|mut candidate| {
            candidate.watched.extend(self.paths.iter().cloned());
            candidate
        });
        Ok(candidate.map_err(|rejection| self.watching(rejection)))
    }

    /// A rejection that a change of the configuration's own files may make good, too.
    fn watching(&self, mut rejection: Rejection) -> Rejection {
        rejection.watched.extend(self.paths.iter().cloned());
        rejection
    }
}

/// The sources with the simulator among the providers, where they do not name it themselves.
fn with_sim(sources: Sources) -> Sources {
    let written = tidegate_config::document::Document::parse(sources.clone());
    if written.document.providers.contains_key("sim") {
        return sources;
    }
    let mut files = sources.files().to_vec();
    files.push(Source {
        name: "built-in".to_owned(),
        text: "version: 1\nproviders:\n  sim: {}\n".to_owned(),
        folder: PathBuf::new(),
    });
    Sources::of(files)
}

/// Refuses what cannot be started.
fn startable(arguments: &Run, mode: Mode) -> Result<()> {
    let public = |address: &SocketAddr| !address.ip().is_loopback();
    if public(&arguments.admin_listen) {
        return Err(exit(
            64,
            "the admin API listens on loopback addresses only: give --admin-listen one, and reach it through a tunnel",
        ));
    }
    if mode == Mode::Serve && arguments.config.is_empty() {
        return Err(exit(64, "serve needs a configuration: tidegate serve -c tidegate.yaml"));
    }
    Ok(())
}

/// Starts a gateway.
pub(crate) async fn start(arguments: &Run, mode: Mode) -> Result<Running> {
    startable(arguments, mode)?;
    let directory = Directory::at(&arguments.data_dir);
    directory.create()?;
    let pepper = Pepper::new(&directory.pepper()?).context("keys/pepper is too short")?;
    let admin_token = directory.admin_token()?;
    let store = Arc::new(Sqlite::open(directory.state()).context("the state could not be opened")?);
    let (loader, mut warnings) = Loader::new(arguments, mode)?;
    let found = loader.found.clone();
    let key = if mode == Mode::Up { Some(quick_start_key(&store, &pepper)?) } else { None };
    let read_at = UNIX_EPOCH + Duration::from_millis(clock::wall().0);
    let candidate = loader.load(&store)?.map_err(|rejection| exit(1, rejection.rendered))?;
    let problems = candidate.snapshot.warnings.iter();
    warnings.extend(problems.map(|warning| tidegate_config::render::render(warning, &candidate.sources)));
    let watched = candidate.watched;
    let snapshot = candidate.snapshot;

    let (audit, recovered) = Audit::open(OpenOptions::new(directory.audit(), directory.keys()))?;
    let audit = Arc::new(audit);
    let blobs = open_bodies(&directory)?;
    let contents = Contents::open(directory.files(), blobs.blobs().sealer()).context("the files cannot be kept")?;
    let ledger = Ledger::new(Arc::clone(&store) as Arc<dyn LedgerStore>);
    ledger.configure(snapshot.ledger_rules.clone());
    recovery::recover(&directory, &audit, &recovered, &ledger, &store, &snapshot)?;

    let keys = key_table(pepper, &snapshot)?;
    let revision = snapshot.revision;
    let (sim, upstream) = way_out(mode, &snapshot)?;
    record_activation(&audit, &snapshot, None, if mode == Mode::Up { "system:up" } else { "system:file" });
    let live = Arc::new(Live::new(snapshot, clock::wall()));
    let answers = Arc::new(start_answers(&directory, &blobs, Arc::clone(&live))?);
    let changes = Arc::new(Mutex::new(()));
    let (registry, export, instance) = measures(&live);
    let feed = Arc::new(Feed::before(Arc::clone(&store) as Arc<dyn CallIndex>));
    let metrics = Arc::new(Metrics::new(registry));
    let discovery = Discoverer::new(discovery::Needs {
        live: Arc::clone(&live),
        audit: Arc::clone(&audit),
        store: Arc::clone(&store) as Arc<dyn PinStore>,
        upstream: Arc::clone(&upstream),
        metrics: Arc::clone(&metrics),
        changes: Arc::clone(&changes),
    })?;
    let gate = Arc::new(Gate {
        live,
        keys: Arc::clone(&keys),
        ledger: ledger.clone(),
        audit: Arc::clone(&audit),
        blobs: Some(blobs),
        discovery: Arc::new(discovery.clone()),
        upstream: Arc::clone(&upstream),
        calls: Arc::clone(&feed) as Arc<dyn CallIndex>,
        registry: Registry::new(),
        metrics,
        export: Arc::clone(&export),
        sessions: Sessions::new(),
        repeats: Repeats::new(),
        answers: Answers::over(Arc::clone(&answers) as Arc<dyn AnswerStore>),
        floods: Floods::default(),
        batches: Batches::new(Arc::clone(&store) as Arc<dyn BatchStore>, Arc::new(contents)),
        owners: Owners::load(Arc::clone(&store) as Arc<dyn MadeStore>).context("what was made could not be read")?,
    });
    let data_listener = bind(arguments.listen, mode).await?;
    let admin_listener = bind(arguments.admin_listen, mode).await?;
    let (data_plane, control_plane) = (data_listener.local_addr()?, admin_listener.local_addr()?);
    let stop = CancellationToken::new();
    let control = Arc::new(Control {
        live: Arc::clone(&gate.live),
        keys,
        key_store: Arc::clone(&store) as Arc<dyn KeyStore>,
        ledger,
        ledger_store: Arc::clone(&store) as Arc<dyn LedgerStore>,
        audit,
        calls: Arc::clone(&store) as Arc<dyn CallIndex>,
        feed: Arc::clone(&feed),
        live_calls: Arc::new(gate.registry.clone()),
        pins: Arc::new(discovery),
        metrics: metrics_text(&gate),
        targets: {
            let upstream = Arc::clone(&gate.upstream);
            Arc::new(move || upstream.targets())
        },
        sim,
        admin_token,
        mode,
        started: clock::now(),
        version: env!("CARGO_PKG_VERSION"),
        loopback: control_plane.ip().is_loopback(),
        changes: Arc::clone(&changes),
    });
    resume(&gate)?;
    let data = task::spawn("data plane", data_plane_task(Arc::clone(&gate), data_listener, stop.clone()));
    let control = task::spawn("control plane", control_plane_task(control, feed, admin_listener, stop.clone()));
    let last = CancellationToken::new();
    let telemetry = {
        let stop = last.clone();
        (task::spawn("telemetry", async move { export.run(upstream, stop).await }), last)
    };
    let parts = Arc::new(Parts { gate, store, directory, changes, instance, answers });
    let _ = task::spawn("housekeeping", housekeeping(Arc::clone(&parts), stop.clone()));
    if loader.paths.is_empty() {
        look_around(loader, Arc::clone(&parts), [data_plane.port(), control_plane.port()]);
    } else {
        follow(loader, watched, read_at, Arc::clone(&parts), stop.clone());
    }
    let place = Place::here(data_plane, control_plane);
    place.announce(&parts.directory)?;
    Ok(Running {
        place,
        data_plane,
        control_plane,
        found,
        key,
        revision: revision.to_string(),
        warnings,
        stop,
        data,
        control,
        telemetry,
        parts,
    })
}

/// Goes on with the batches that had not ended.
fn resume(gate: &Arc<Gate>) -> Result<()> {
    let resumed = Batches::resume(gate).context("the batches could not be read")?;
    if resumed > 0 {
        tracing::info!(batches = resumed, "batches go on");
    }
    Ok(())
}

/// What Prometheus reads, at the moment when it asks.
fn metrics_text(gate: &Gate) -> Arc<dyn Fn() -> String + Send + Sync> {
    let (metrics, live, audit) = (Arc::clone(&gate.metrics), Arc::clone(&gate.live), Arc::clone(&gate.audit));
    Arc::new(move || {
        metrics.revision(live.current().number, live.last_rejected().map(|rejected| rejected.number));
        metrics.audit_writable(audit.writable());
        metrics.text()
    })
}

/// The keys that `snapshot` knows.
fn key_table(pepper: Pepper, snapshot: &tidegate_config::snapshot::Snapshot) -> Result<Arc<KeyTable>> {
    let keys = KeyTable::new(pepper).context("the table of keys could not be made")?;
    keys.set_declared(snapshot.declared.to_vec(), clock::wall());
    keys.set_stored(snapshot.stored_keys().to_vec());
    Ok(Arc::new(keys))
}

/// Where everything is counted, what exports it, and this process's name in it.
fn measures(live: &Live) -> (Arc<tidegate_core::metric::Registry>, Arc<Exporter>, String) {
    let registry = Arc::new(tidegate_core::metric::Registry::new());
    log::count_in(registry.handle(tidegate_core::metric::Metric::LogSuppressed, &[]));
    let export = Arc::new(Exporter::new(Arc::clone(&registry)));
    let instance = tidegate_core::ids::CallId::new().to_string().split_off("call_".len());
    telemetry::configure(&export, &live.current().snapshot, &instance);
    (registry, export, instance)
}

/// The only way out, and the simulator where this start has one.
fn way_out(mode: Mode, snapshot: &tidegate_config::snapshot::Snapshot) -> Result<(Option<Sim>, Arc<Upstream>)> {
    let sim = (mode == Mode::Up).then(Sim::new);
    let upstream = Upstream::new(UpstreamOptions {
        sim: sim.clone().map(|sim| Arc::new(sim) as Arc<dyn tidegate_upstream::InMemoryService>),
        ..UpstreamOptions::default()
    })?;
    let upstream = Arc::new(upstream);
    read_roots(&upstream, snapshot)?;
    Ok((sim, upstream))
}

/// Reads the machine's certificate authorities beside the start, where some upstream is verified by them.
fn read_roots(upstream: &Arc<Upstream>, snapshot: &tidegate_config::snapshot::Snapshot) -> Result<()> {
    let providers = snapshot.providers().map(|provider| &provider.base);
    if providers.chain(snapshot.servers().map(|server| &server.base)).any(Destination::is_tls) {
        let upstream = Arc::clone(upstream);
        std::thread::Builder::new().name("certificates".to_owned()).spawn(move || upstream.read_roots())?;
    }
    Ok(())
}

async fn data_plane_task(gate: Arc<Gate>, listener: TcpListener, stop: CancellationToken) {
    let bounds = Bounds { connections: descriptors::connections(), drain: DRAIN };
    if let Err(error) = tidegate_proxy::serve(gate, listener, stop, bounds).await {
        tracing::error!(%error, "the data plane ended");
    }
}

async fn control_plane_task(control: Arc<Control>, feed: Arc<Feed>, listener: TcpListener, stop: CancellationToken) {
    let served = axum::serve(listener, tidegate_admin::router(control)).with_graceful_shutdown(async move {
        stop.cancelled().await;
        // Streams that watch have no other end.
        feed.close();
    });
    if let Err(error) = served.await {
        tracing::error!(%error, "the control plane ended");
    }
}

/// Takes up the model servers of this machine, once they have answered, as the next revision. `ports` are the gateway's.
fn look_around(mut loader: Loader, parts: Arc<Parts>, ports: [u16; 2]) {
    let _ = task::spawn("detection", async move {
        let mut found = detect::on_this_machine(&parts.gate.upstream, &loader.vendors, &ports).await;
        found.retain(|provider| loader.found.iter().all(|known| known.name != provider.name));
        if found.is_empty() {
            return;
        }
        for provider in &found {
            crate::output::talk(&format!("found {} at {}", provider.name, provider.from));
        }
        loader.found.extend(found);
        if let Err(error) = tokio::task::spawn_blocking(move || reload(&loader, &parts)).await {
            tracing::error!(%error, "what was found could not be taken up");
        }
    });
}

/// The bodies that are kept, and the thread that writes them.
fn open_bodies(directory: &Directory) -> Result<Arc<BlobQueue>> {
    let blobs = Blobs::open(directory.blobs(), &directory.keys()).context("the kept bodies could not be opened")?;
    Ok(Arc::new(BlobQueue::start(Arc::new(blobs)).context("bodies cannot be kept")?))
}

/// The store of answers that are given again, within the bound that is configured at the time.
fn start_answers(directory: &Directory, blobs: &BlobQueue, live: Arc<Live>) -> Result<StoredAnswers> {
    let files = AnswerFiles::new(directory.answers(), blobs.blobs().sealer());
    StoredAnswers::start(files, move || live.current().snapshot.cache_store)
}

/// Binds `address`; under `up`, a taken port gives way to a free one.
async fn bind(address: SocketAddr, mode: Mode) -> Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if mode == Mode::Up && error.kind() == std::io::ErrorKind::AddrInUse => {
            let free = SocketAddr::new(address.ip(), 0);
            let listener = TcpListener::bind(free).await.with_context(|| format!("cannot listen on {free}"))?;
            crate::output::talk(&format!("{address} is taken, using {} instead", listener.local_addr()?));
            Ok(listener)
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// Mints the key of a quick start, which is shown once, and revokes the last one.
fn quick_start_key(store: &Sqlite, pepper: &Pepper) -> Result<tidegate_core::secret::Secret> {
    use tidegate_config::identity::{StoredKey, StoredRules, mint};
    use tidegate_core::ids::{KeyName, OrgId};
    let (org, name) = (OrgId::from("default"), KeyName::from(caller::QUICK_START));
    let now = clock::wall();
    for key in KeyStore::list(store, &org)?.iter().filter(|key| key.name == name && key.revoked.is_none()) {
        store.revoke(&org, key.id, now)?;
    }
    let (id, secret) = mint()?;
    let everything = || vec!["*".to_owned()];
    store.insert(&StoredKey {
        id,
        name,
        org,
        team: None,
        digest: pepper.digest(secret.expose()),
        created: now,
        expires: None,
        revoked: None,
        rules: Some(StoredRules { models: everything(), mcp_servers: everything(), ..StoredRules::default() }),
    })?;
    Ok(secret)
}

/// Puts an activation on record; one that cannot be is logged.
pub(crate) fn record_activation(
    audit: &Audit,
    snapshot: &tidegate_config::snapshot::Snapshot,
    previous: Option<tidegate_core::ids::RevisionId>,
    by: &str,
) {
    let record = ActivationRecord {
        revision: snapshot.revision.0,
        previous: previous.map(|revision| revision.0),
        by: Arc::from(by),
        reason: None,
        changes: Vec::new(),
        omitted: std::collections::BTreeMap::new(),
    };
    if let Err(error) = audit.activation(record) {
        tracing::error!(%error, "an activation could not be recorded");
    }
}

/// Picks up changes of the configuration's files and of what they refer to, from `read_at` on, when they were read.
fn follow(loader: Loader, watched: Vec<PathBuf>, read_at: SystemTime, parts: Arc<Parts>, stop: CancellationToken) {
    let _ = task::spawn("configuration", async move {
        let reloading = || tokio::task::block_in_place(|| reload(&loader, &parts));
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch(watched, read_at, reloading) => {}
        }
    });
}

/// Reads the configuration again and activates it; what is wrong leaves the last good revision serving. Returns what
/// to watch from then on, empty where that is not known.
fn reload(loader: &Loader, parts: &Parts) -> Vec<PathBuf> {
    let _held = parts.changes.lock();
    let gate = &parts.gate;
    let now = clock::wall();
    match loader.load(&parts.store) {
        Ok(Ok(candidate)) => {
            take_up(candidate.snapshot, parts, now);
            candidate.watched
        }
        Ok(Err(rejection)) => {
            let number = gate.live.reject(rejection.clone(), now);
            tracing::error!(number, problems = %rejection.rendered, "revision rejected: the last good one keeps serving");
            rejection.watched
        }
        Err(error) => {
            tracing::error!(%error, "the configuration could not be read: the last good revision keeps serving");
            Vec::new()
        }
    }
}

/// Activates a snapshot that was read from files. One with the present hash may hold other secrets.
fn take_up(snapshot: tidegate_config::snapshot::Snapshot, parts: &Parts, now: UnixMillis) {
    let gate = &parts.gate;
    telemetry::configure(&gate.export, &snapshot, &parts.instance);
    gate.keys.set_declared(snapshot.declared.to_vec(), now);
    let previous = gate.live.current().snapshot.revision;
    if previous == snapshot.revision {
        gate.live.activate(snapshot, now);
        return;
    }
    gate.ledger.configure(snapshot.ledger_rules.clone());
    gate.keys.set_stored(snapshot.stored_keys().to_vec());
    record_activation(&gate.audit, &snapshot, Some(previous), "system:file");
    let revision = snapshot.revision;
    let number = gate.live.activate(snapshot, now);
    tracing::info!(number, %revision, "revision activated");
}

/// Keeps state and log together, and writes what was only counted.
async fn housekeeping(parts: Arc<Parts>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
        let parts = Arc::clone(&parts);
        let done = tokio::task::spawn_blocking(move || {
            Floods::flush(&parts.gate);
            parts.gate.ledger.expire(clock::wall());
            sweep(&parts.gate);
            recovery::mark_applied(&parts.directory, &parts.gate.audit, &parts.store);
        });
        if let Err(error) = done.await {
            tracing::error!(%error, "housekeeping failed");
        }
    }
}

/// Erases bodies, files and batches that were kept for longer than the configuration says.
fn sweep(gate: &Gate) {
    let snapshot = Arc::clone(&gate.live.current().snapshot);
    if let Some(Err(error)) = gate.blobs.as_ref().map(|blobs| blobs.blobs().sweep(snapshot.retention, clock::wall())) {
        tracing::error!(%error, "kept bodies could not be swept");
    }
    if let Err(error) = gate.batches.sweep(snapshot.batches_keep, clock::wall()) {
        tracing::error!(%error, "files of batches could not be swept");
    }
}

impl Running {
    /// Lets calls in flight end, then closes log and state.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.place.leave(&self.parts.directory);
        let served = async {
            for task in [self.data, self.control] {
                task.finished().await;
            }
        };
        tokio::join!(served, self.parts.gate.batches.stop(DRAIN));
        let (telemetry, last) = self.telemetry;
        last.cancel();
        telemetry.finished().await;
        let parts = self.parts;
        let closed = tokio::task::spawn_blocking(move || {
            Floods::flush(&parts.gate);
            if let Some(blobs) = &parts.gate.blobs {
                blobs.close();
            }
            parts.answers.close();
            parts.gate.audit.close();
            recovery::mark_applied(&parts.directory, &parts.gate.audit, &parts.store);
            if let Err(error) = parts.store.close() {
                tracing::error!(%error, "the state could not be closed");
            }
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "the gateway could not stop cleanly");
        }
    }
}
