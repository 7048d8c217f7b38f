//! `check`, `explain`, `schema`: the configuration's language, offline.

use std::path::Path;

use anyhow::{Context as _, Result};
use tidegate_config::{
    check::{self, Mode, Options},
    codes::{self, Code},
    document::Document,
    environment::{Environment as _, Machine},
    pins::PinnedTool,
    render,
    source::Sources,
    vendor::Vendors,
};

use crate::{
    cli::Check,
    output::{self, exit},
};

/// The largest file of pinned tools, in bytes.
const MOST_PINS_BYTES: usize = 64 << 20;

/// Finds every mistake of a configuration.
pub(crate) fn check(arguments: &Check) -> Result<()> {
    let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
    let mode = if arguments.up { Mode::Up } else { Mode::Serve };
    let options = Options { mode, secrets: false, public_listener: false, vendors: &vendors };
    let sources = match Sources::load(&arguments.files, &Machine) {
        Ok(sources) => sources,
        Err(problems) => return Err(exit(1, render::render_all(&problems, &Sources::default()))),
    };
    let written = Document::parse(sources);
    let pins = pins(arguments.pins.as_deref())?;
    match check::check_pinned(&written, &Machine, &options, &pins) {
        Ok(checked) => {
            for warning in &checked.warnings {
                output::talk(&render::render(warning, &written.sources));
            }
            output::talk("the configuration is sound");
            Ok(())
        }
        Err(problems) => Err(exit(1, render::render_all(&problems, &written.sources))),
    }
}

/// Reads pinned tools from a file, if one is named.
pub(super) fn pins(path: Option<&Path>) -> Result<Vec<PinnedTool>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = Machine.read(path, MOST_PINS_BYTES).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!("`{}` is no list of pinned tools: `tidegate mcp pins export` writes one", path.display())
    })
}

/// Explains a code, or the field at a path.
pub(crate) fn explain(what: &str) -> Result<()> {
    if let Some(code) = Code::find(what) {
        output::line(&format!("{what}: {}\n\n{}", code.title(), code.explanation()));
        return Ok(());
    }
    let refused = match tidegate_config::schema::explain(what) {
        Ok(text) => {
            output::line(&text);
            return Ok(());
        }
        Err(refused) => refused,
    };
    let known: Vec<String> = codes::all().map(|code| code.to_string()).collect();
    Err(exit(4, format!("{refused}\ncodes: {}", known.join(", "))))
}

/// Prints what is generated, as it is.
pub(crate) fn generated(text: &str) -> Result<()> {
    output::raw(text);
    Ok(())
}

/// Prints the catalogue of vendors as a document.
pub(crate) fn providers() -> Result<()> {
    let vendors = Vendors::builtin().context("a built-in vendor file is wrong")?;
    output::raw(&tidegate_config::vendor::reference(&vendors));
    Ok(())
}

/// Prints the schema of the configuration, or the admin API's.
pub(crate) fn schema(openapi: bool) -> Result<()> {
    let text = if openapi { tidegate_admin::openapi() } else { tidegate_config::schema::json_schema() };
    output::raw(&text);
    Ok(())
}
