//! `catalog price`: what calls cost, or would have. Reads models and usage from stdin or a file, a line each, and prices
//! them as the gateway does when it settles a call. Owns the lines' form; never estimates.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_config::source::MAX_FILE_BYTES;
use tidegate_core::{
    money::NanoUsd,
    unit::{Picture, Units},
    usage::{Service, Usage},
};
use tidegate_ledger::{Catalog as Prices, ModelInfo, charges, cost, parts};

use crate::{
    exit,
    output::{self, exit},
};

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// One line: a model and what was used. Counts that are left out are zero.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// `provider/model`, the provider's type first.
    model: String,
    #[serde(default)]
    usage: Counts,
}

/// The counts of [`Usage`], under the same names.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Counts {
    input: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    output: u64,
    reasoning: u64,
    audio_input: u64,
    audio_cache_read: u64,
    audio_output: u64,
    image_input: u64,
    image_output: u64,
    units: Units,
    picture: Picture,
    service: Option<Service>,
}

impl Counts {
    /// The usage, or what is wrong with it: a part is never more than what it is a part of.
    fn usage(self) -> Result<Usage, &'static str> {
        let sum = |one: u64, other: u64| one.saturating_add(other);
        if sum(self.audio_input, self.image_input) > self.input {
            return Err("`audio_input` and `image_input` are parts of `input`, and more than it");
        }
        if self.audio_cache_read > self.cache_read {
            return Err("`audio_cache_read` is a part of `cache_read`, and more than it");
        }
        if sum(self.audio_output, self.image_output) > self.output || self.reasoning > self.output {
            return Err("`reasoning`, `audio_output` and `image_output` are parts of `output`, and more than it");
        }
        Ok(Usage {
            input: self.input,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            output: self.output,
            reasoning: self.reasoning,
            audio_input: self.audio_input,
            audio_cache_read: self.audio_cache_read,
            audio_output: self.audio_output,
            image_input: self.image_input,
            image_output: self.image_output,
            units: self.units,
            picture: self.picture,
            service: self.service,
            ..Usage::default()
        })
    }
}

/// Prices every line, with the models of `files` over the catalogue's.
pub(super) fn run(path: &Path, files: &[std::path::PathBuf]) -> Result<()> {
    let prices = prices(files)?;
    let lines: Box<dyn Read> = match path {
        path if path == Path::new("-") => Box::new(io::stdin().lock()),
        path => Box::new(File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?),
    };
    let mut lines = BufReader::new(lines);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut number, mut failed) = (0_u64, 0_u64);
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).context("cannot read a line")?;
        if read == 0 {
            break;
        }
        number = number.saturating_add(1);
        if !line.ends_with(b"\n") && u64::try_from(read).unwrap_or(u64::MAX) == LONGEST_LINE {
            return Err(exit(exit::ERROR, format!("line {number} is longer than {LONGEST_LINE} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = priced(&prices, &line).unwrap_or_else(|problem| {
            failed = failed.saturating_add(1);
            json!({"line": number, "error": problem})
        });
        writeln!(out, "{answer}").context("cannot write")?;
    }
    out.flush().context("cannot write")?;
    if failed > 0 {
        return Err(exit(exit::ERROR, format!("{failed} of {number} lines could not be priced: each says why")));
    }
    Ok(())
}

fn prices(files: &[std::path::PathBuf]) -> Result<Prices> {
    let mut over = Prices::default();
    for path in files {
        let name = path.display().to_string();
        let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
        let mut text = String::new();
        let file = File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
        file.with_context(|| format!("cannot read the price file `{name}`"))?;
        over.add(&name, &text).map_err(|error| exit(exit::ERROR, error.to_string()))?;
    }
    let shipped = Prices::builtin().context("a built-in price file is wrong")?;
    Ok(shipped.with(&over))
}

fn priced(prices: &Prices, line: &[u8]) -> Result<Value, String> {
    let line: Line =
        serde_json::from_slice(line).map_err(|error| output::printable(&error.to_string()).into_owned())?;
    let (provider, model) = line.model.split_once('/').ok_or_else(|| "`model` has to be provider/model".to_owned())?;
    let info = prices
        .lookup(provider, model)
        .ok_or_else(|| format!("`{:.200}` has no price", output::printable(&line.model)))?;
    let usage = line.usage.usage().map_err(str::to_owned)?;
    if charges(&info.price, &usage).is_none() {
        return Err("what was used has no price here: see `units` of the model in the catalogue".to_owned());
    }
    answer(info, &usage).ok_or_else(|| "the cost is more than any amount that can be told".to_owned())
}

fn answer(info: &ModelInfo, usage: &Usage) -> Option<Value> {
    let cost = cost(&info.price, usage)?;
    let mut parts: Vec<Value> = parts(&info.price, usage)
        .into_iter()
        .map(
            |(class, tokens, rate)| json!({"class": class, "tokens": tokens, "usd_per_mtok": NanoUsd(rate.0).to_usd()}),
        )
        .collect();
    parts.extend(charges(&info.price, usage)?.into_iter().map(|(unit, count, rate)| {
        let (nanos, of) = rate.amount();
        json!({"unit": unit.as_str(), "count": count, "usd": NanoUsd(nanos).to_usd(), "of": of})
    }));
    Some(json!({
        "model": format!("{}/{}", info.provider, info.model),
        "nano_usd": cost.0.to_string(),
        "usd": cost.to_usd(),
        "parts": parts,
        "source": *info.price.source,
        "date": info.price.date.map(|date| date.to_string()),
    }))
}
