//! Tools on their way to a pin.

use std::time::Duration;

use tidegate_audit::OpenOptions;
use tidegate_config::{
    check::{Mode, Options},
    environment::Fixed,
    live,
    snapshot::Ingredients,
    vendor::Vendors,
};
use tidegate_ledger::Catalog;
use tidegate_store::Memory;

use super::*;

const TEXT: &str = "version: 1\npolicies: p\nproviders: { sim: {} }\nmcp_servers: { s: { url: 'sim:mcp' } }\n";

struct Bench {
    live: Arc<Live>,
    store: Arc<Memory>,
    changes: Arc<Mutex<()>>,
    audit: Arc<Audit>,
    discoverer: Discoverer,
    _folder: tempfile::TempDir,
}

fn bench(policy: &str) -> Bench {
    let vendors = Vendors::builtin().unwrap();
    let options = Options { mode: Mode::Up, secrets: true, public_listener: false, vendors: &vendors };
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let ingredients = Ingredients { vendors: &vendors, catalog, stored: Vec::new(), pins: Vec::new() };
    let machine = Fixed::default().file("p/a.cedar", policy);
    let candidate = live::compile(Sources::of_text("t.yaml", TEXT), &machine, &options, &ingredients).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (audit, _) = Audit::open(OpenOptions::new(folder.path().join("audit"), folder.path().join("keys"))).unwrap();
    let (live, audit) = (Arc::new(Live::new(candidate.snapshot, clock::wall())), Arc::new(audit));
    let (store, changes) = (Arc::new(Memory::new()), Arc::new(Mutex::new(())));
    let port = Arc::clone(&store) as Arc<dyn PinStore>;
    let discoverer = Discoverer::new(Arc::clone(&live), Arc::clone(&audit), port, Arc::clone(&changes)).unwrap();
    Bench { live, store, changes, audit, discoverer, _folder: folder }
}

fn pin(tool: &str) -> PinnedTool {
    let schema = br#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}"#;
    PinnedTool::new("s".into(), tool.into(), schema, tool.as_bytes(), clock::wall()).unwrap()
}

impl Bench {
    fn list(&self, tools: &[&str]) {
        self.discoverer.tools(&"s".into(), tools.iter().map(|tool| pin(tool)).collect());
    }

    async fn idle(&self) {
        let start = clock::now();
        while self.discoverer.parts.state.lock().running {
            assert!(start.elapsed() < Duration::from_secs(20), "the tools are never pinned");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn is_new(&self, tool: &str) -> bool {
        self.discoverer.is_new(&"s".into(), tool)
    }
}

#[tokio::test]
async fn the_first_list_activates_one_revision_and_the_next_none() {
    let bench = bench("permit(principal, action, resource);");
    let before = bench.live.current().snapshot.revision;
    assert!(bench.is_new("add"));
    bench.list(&["add", "echo"]);
    bench.idle().await;
    let after = bench.live.current();
    assert_eq!((after.number, after.snapshot.pins().len()), (2, 2));
    assert_ne!(after.snapshot.revision, before);
    assert!(!bench.is_new("add"));
    bench.list(&["add", "echo"]);
    bench.idle().await;
    assert_eq!(bench.live.current().number, 2);
    // After a start, what the store has is known.
    let port = Arc::clone(&bench.store) as Arc<dyn PinStore>;
    let again = Discoverer::new(Arc::clone(&bench.live), Arc::clone(&bench.audit), port, Arc::clone(&bench.changes));
    assert!(!again.unwrap().is_new(&"s".into(), "echo"));
}

#[tokio::test]
async fn tools_that_policies_do_not_fit_stay_unpinned_until_they_do() {
    let bench = bench("forbid(principal, action, resource == Tidegate::Tool::\"s/delete\");");
    bench.list(&["add"]);
    bench.idle().await;
    let refused = bench.live.last_rejected().unwrap();
    assert!(refused.rendered.contains("s/delete"), "{}", refused.rendered);
    assert_eq!((bench.live.current().number, PinStore::all(&*bench.store).unwrap().len()), (1, 0));
    // Nothing is tried again until something has changed.
    assert!(!bench.is_new("add"));
    assert!(bench.is_new("delete"));
    bench.list(&["delete"]);
    bench.idle().await;
    assert_eq!(bench.live.current().snapshot.pins().len(), 2);
    assert!(bench.live.last_rejected().is_none());
}

#[tokio::test]
async fn a_server_cannot_have_tools_pinned_without_end() {
    let bench = bench("permit(principal, action, resource);");
    let mut tools = Tools::default();
    let names = (0..2 * MAX_TOOLS).map(|number| format!("t{number}"));
    assert_eq!(names.filter(|name| tools.wait(pin(name))).count(), MAX_TOOLS);
    tools.refused_by = Some(bench.live.current().snapshot.revision);
    bench.discoverer.parts.state.lock().servers.insert("s".into(), tools);
    assert!(!bench.is_new("another"));
    let mut large = Tools::default();
    let schema = vec![b' '; 64 << 10];
    let pins =
        (0..100).map(|number| PinnedTool::new("s".into(), format!("t{number}").into(), &schema, b"", clock::wall()));
    assert_eq!(pins.filter(|pin| large.wait(pin.clone().unwrap())).count(), MOST_SCHEMA_BYTES / schema.len());
}
