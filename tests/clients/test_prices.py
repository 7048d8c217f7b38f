"""The gateway's own pricing against two lists that others keep: genai-prices with its own calculator, and the list of
litellm, priced here by its documented meaning.

Every random usage costs the same to the nano-dollar, or each token class whose rate differs stands in
`prices/differences.json` with both rates and the reason: then the difference has to be exactly what those rates make. An
entry that no longer differs fails too. To look at new differences, run with `TIDEGATE_WRITE_DIFFERENCES=1`: they are
written with the reason `?`, which fails until somebody has found it.
"""

import copy
import datetime
import decimal
import functools
import importlib.metadata
import json
import math
import os
import pathlib
import random
import re
import subprocess

import genai_prices.data
import genai_prices.types
import pytest

from gateway import binary

D = decimal.Decimal
ROOT = pathlib.Path(__file__).parents[2]
DIFFERENCES = pathlib.Path(__file__).parent / "prices" / "differences.json"
#: How many usages are priced for each provider.
VECTORS = 10_000
#: The day whose prices count, at an hour when nothing is cheaper.
NOW = datetime.datetime(2026, 11, 30, 2, tzinfo=datetime.timezone.utc)
#: The classes of tokens, and the counts that a usage has of each: a part is in the count of its whole too.
CLASSES = {
    "input": ["input"],
    "output": ["output"],
    "cache_read": ["cache_read"],
    "cache_write_5m": ["cache_write_5m"],
    "cache_write_1h": ["cache_write_1h"],
    "audio_input": ["input", "audio_input"],
    "audio_cache_read": ["cache_read", "audio_cache_read"],
    "audio_output": ["output", "audio_output"],
    "image_input": ["input", "image_input"],
    "image_output": ["output", "image_output"],
}
LEVELS = ["standard", "flex", "batch", "priority", "fast"]
NANO = D(10) ** 9
decimal.getcontext().prec = 60


def catalogue() -> dict[str, dict[str, dict]]:
    """Our models with a price of tokens by provider, as the price files have them."""
    found = {}
    for file in sorted((ROOT / "catalog/prices").glob("*.json")):
        for model in json.loads(file.read_text())["models"]:
            if "input" not in model:
                continue
            found.setdefault(model["provider"], {})[model["model"]] = model
    return found


def names(list_: str) -> dict[str, str]:
    """The list's name of each of our providers."""
    providers = json.loads((ROOT / "catalog/imports" / f"{list_}.json").read_text())["providers"]
    return {ours: theirs for theirs, ours in sorted(providers.items(), reverse=True)}


class Ours:
    """The gateway's own pricing, by its command."""

    name = "ours"

    def cost_all(self, asked: list[tuple[str, str, dict]]) -> list[D]:
        """What each usage costs exactly; the whole nano-dollars that are charged have to be that, rounded up once."""
        lines = "\n".join(
            json.dumps({"model": f"{provider}/{model}", "usage": usage}) for provider, model, usage in asked
        )
        done = subprocess.run(
            [binary(), "catalog", "price"], input=lines, capture_output=True, text=True, timeout=120, check=True
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(asked)
        return [exact(answer) for answer in answers]


def exact(answer: dict) -> D:
    """What the tokens cost; what else is charged is looked at in `test_unit_prices.py`."""
    tokens = [part["tokens"] * D(part["usd_per_mtok"]) / 1_000_000 for part in answer["parts"] if "tokens" in part]
    others = [D(part["count"]) * D(part["usd"]) / part["of"] for part in answer["parts"] if "unit" in part]
    # A third of a cent has no end as a decimal: what is over by less than the last digits is none.
    whole = (sum(tokens, D(0)) + sum(others, D(0))).quantize(D("1e-40"))
    assert int(answer["nano_usd"]) == math.ceil(whole * NANO), answer
    return sum(tokens, D(0))


class GenaiPrices:
    """genai-prices, with its own calculator."""

    name = "genai-prices"
    context = {
        "standard": None,
        "batch": {"processing": "batch"},
        "flex": {"service_tier": "flex"},
        "priority": {"service_tier": "priority"},
        "fast": {"speed": "fast"},
    }

    def __init__(self):
        self.providers = {provider.id: provider for provider in genai_prices.data.providers}
        self.names = names(self.name)
        self.known = {}

    def price(self, provider: str, model: str, level: str):
        key = (provider, model, level)
        if key not in self.known:
            theirs = self.providers.get(self.names.get(provider))
            info = theirs.find_model(model) if theirs else None
            price = copy.copy(info.get_prices(NOW, self.context[level])) if info and info.prices else None
            if price is not None:
                # A fee for each call is no price of a token.
                price.requests_kcount = None
            self.known[key] = price
        return self.known[key]

    def knows(self, provider: str, model: str) -> bool:
        return bool(self.price(provider, model, "standard"))

    def has_level(self, provider: str, model: str, level: str) -> bool:
        price, usual = (self.price(provider, model, name) for name in (level, "standard"))
        return level == "standard" or price != usual

    def thresholds(self, provider: str, model: str) -> set[int]:
        found = set()
        for level in LEVELS:
            for value in vars(self.price(provider, model, level)).values():
                if isinstance(value, genai_prices.types.TieredPrices):
                    found |= {tier.start for tier in value.tiers}
        return found

    def cost(self, provider: str, model: str, usage: dict) -> D:
        u = {name: usage.get(name, 0) for name in {count for counts in CLASSES.values() for count in counts}}
        writes = u["cache_write_5m"] + u["cache_write_1h"]
        counted = genai_prices.types.Usage(
            input_tokens=u["input"] + u["cache_read"] + writes,
            output_tokens=u["output"],
            cache_read_tokens=u["cache_read"],
            cache_write_tokens=writes,
            cache_write_5m_tokens=u["cache_write_5m"],
            cache_write_1h_tokens=u["cache_write_1h"],
            input_audio_tokens=u["audio_input"] + u["audio_cache_read"],
            cache_audio_read_tokens=u["audio_cache_read"],
            output_audio_tokens=u["audio_output"],
            input_image_tokens=u["image_input"],
            # No usage here has images in a cache; the list wants it said.
            cache_image_read_tokens=0,
            output_image_tokens=u["image_output"],
        )
        price = self.price(provider, model, usage.get("service", "standard"))
        return price.calc_price(counted)["total_price"]


class LiteLlm:
    """litellm's list. Its members are prices of one token, by class, length of the prompt and level of service; a member
    that is missing means what it is a part of costs, at the level that is usual."""

    name = "litellm"
    members = {
        "input": ["input_cost_per_token"],
        "output": ["output_cost_per_token"],
        "cache_read": ["cache_read_input_token_cost"],
        "cache_write_5m": ["cache_creation_input_token_cost"],
        "cache_write_1h": [
            "cache_creation_input_token_cost_above_1hr",
            "cache_creation_input_token_cost_above_12hr",
        ],
        "audio_input": ["input_cost_per_audio_token"],
        "audio_cache_read": ["cache_read_input_audio_token_cost"],
        "audio_output": ["output_cost_per_audio_token"],
        "image_input": ["input_cost_per_image_token"],
        "image_output": ["output_cost_per_image_token"],
    }
    wholes = {
        "cache_read": "input",
        "cache_write_5m": "input",
        "cache_write_1h": "cache_write_5m",
        "audio_input": "input",
        "audio_cache_read": "cache_read",
        "audio_output": "output",
        "image_input": "input",
        "image_output": "output",
    }
    endings = {"standard": "", "batch": "_batches", "flex": "_flex", "priority": "_priority", "fast": "_fast"}

    def __init__(self):
        files = importlib.metadata.files("litellm")
        (file,) = [file for file in files if file.name == "model_prices_and_context_window_backup.json"]
        self.list = json.loads(file.locate().read_text(), parse_float=D)
        self.names = names(self.name)

    @functools.cache
    def entry(self, provider: str, model: str) -> dict | None:
        theirs = self.names.get(provider, "")
        for name in (f"{theirs}/{model}", model):
            entry = self.list.get(name)
            # Cohere's chats and its rankings have a provider each there.
            same = entry and entry.get("litellm_provider") in (theirs, theirs.removesuffix("_chat"))
            if same and entry.get("input_cost_per_token"):
                return entry
        return None

    def knows(self, provider: str, model: str) -> bool:
        return self.entry(provider, model) is not None

    def has_level(self, provider: str, model: str, level: str) -> bool:
        return any(name.endswith(self.endings[level]) for name in self.entry(provider, model))

    @functools.cache
    def thresholds(self, provider: str, model: str) -> set[int]:
        above = re.compile(r"_above_(\d+)k_tokens")
        return {int(found[1]) * 1000 for name in self.entry(provider, model) if (found := above.search(name))}

    def rate(self, entry: dict, class_: str, level: str, above: list[int]) -> D:
        for length in [f"_above_{tokens // 1000}k_tokens" for tokens in above] + [""]:
            for ending in (self.endings[level], ""):
                for member in self.members[class_]:
                    value = entry.get(f"{member}{length}{ending}")
                    if value:
                        return D(value)
        if class_ not in self.wholes:
            # What gives no answer in tokens has no price for one.
            return self.rate(entry, "input", level, above)
        return self.rate(entry, self.wholes[class_], level, above)

    def cost(self, provider: str, model: str, usage: dict) -> D:
        entry = self.entry(provider, model)
        prompt = sum(usage.get(name, 0) for name in ("input", "cache_read", "cache_write_5m", "cache_write_1h"))
        above = sorted((t for t in self.thresholds(provider, model) if prompt > t), reverse=True)
        level = usage.get("service", "standard")
        return sum(
            (tokens * self.rate(entry, class_, level, above) for class_, tokens in disjoint(usage).items()), D(0)
        )


def disjoint(usage: dict) -> dict[str, int]:
    """The tokens of each class: what is audio or image is taken out of what it is a part of."""
    tokens = {class_: usage.get(counts[-1], 0) for class_, counts in CLASSES.items()}
    for part, counts in CLASSES.items():
        if len(counts) == 2:
            tokens[counts[0]] -= tokens[part]
    return {class_: count for class_, count in tokens.items() if count}


def own_thresholds(model: dict) -> set[int]:
    schedules = [model, *model.get("levels", {}).values()]
    return {tier["above"] for schedule in schedules for tier in schedule.get("tiers", [])}


def vectors(provider: str, models: dict[str, dict], oracles: list) -> list[tuple[str, str, dict]]:
    """Random usages: of every size, at every level of service, on both sides of every threshold."""
    dice = random.Random(f"prices of {provider}")
    made = []
    known = sorted(models)
    edges = {name: sorted(edges_of(provider, name, models[name], oracles)) for name in known}
    while len(made) < VECTORS:
        name = dice.choice(known)
        usage = {}
        whole = lambda most=6.3: int(10 ** dice.uniform(0, most)) if dice.random() < 0.7 else 0
        for count in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output"):
            usage[count] = whole(4.5) if count == "cache_write_1h" else whole()
        if edges[name] and dice.random() < 0.5:
            # A prompt at the edge itself, or a token to either side.
            prompt = dice.choice(edges[name]) + dice.choice([0, 1, 2])
            usage["cache_read"] = dice.randint(0, prompt)
            usage["cache_write_5m"] = dice.randint(0, prompt - usage["cache_read"])
            usage["cache_write_1h"] = 0
            usage["input"] = prompt - usage["cache_read"] - usage["cache_write_5m"]
        part = lambda count: dice.randint(0, count) if dice.random() < 0.3 else 0
        usage["audio_input"] = part(usage["input"])
        usage["image_input"] = part(usage["input"] - usage["audio_input"])
        usage["audio_cache_read"] = part(usage["cache_read"])
        usage["audio_output"] = part(usage["output"])
        usage["image_output"] = part(usage["output"] - usage["audio_output"])
        usage["reasoning"] = part(usage["output"])
        if "output" not in classes(name):
            usage.update(output=0, audio_output=0, image_output=0, reasoning=0)
        level = dice.choice(LEVELS)
        if level != "standard":
            usage["service"] = level
        made.append((provider, name, usage))
    return made


@functools.cache
def places(oracle, provider: str, name: str) -> tuple[frozenset[int], tuple[str, ...]]:
    """The edges and the levels at which the model costs something else, here or there."""
    model = CATALOGUE[provider][name]
    edges = frozenset(edges_of(provider, name, model, [oracle]))
    return edges, tuple(levels_of(provider, name, model, oracle))


def edges_of(provider: str, name: str, model: dict, oracles: list) -> set[int]:
    found = own_thresholds(model)
    for oracle in oracles:
        if oracle.knows(provider, name):
            found |= oracle.thresholds(provider, name)
    return found


def levels_of(provider: str, name: str, model: dict, oracle) -> list[str]:
    """The levels of service at which the model costs something else than usual, here or there; the usual one first."""
    own = model.get("levels", {})
    return [level for level in LEVELS if level in own or oracle.has_level(provider, name, level)]


def band(edges: set[int], usage: dict) -> int:
    """The edge above which a prompt is; 0 where it is above none."""
    prompt = sum(usage.get(name, 0) for name in ("input", "cache_read", "cache_write_5m", "cache_write_1h"))
    return max((edge for edge in edges if prompt > edge), default=0)


def classes(model: str) -> list[str]:
    """What a model is paid for: an embedding and a ranking are no answers in tokens."""
    silent = "embed" in model or "rerank" in model
    return [class_ for class_, counts in CLASSES.items() if counts[0] != "output" or not silent]


def probes(edges: set[int], model: str, provider: str, levels: list[str]):
    """For each level, band and class: two usages of the band, and how many tokens of the class one has more."""
    for level in levels:
        for edge in sorted({0} | edges):
            after = min((other for other in edges if other > edge), default=1_000_000)
            for class_ in classes(model):
                counts = CLASSES[class_]
                if counts[0] == "output":
                    base, tokens = ({"input": edge + 1} if edge else {}), 1_000_000
                else:
                    # Nothing else is in the prompt, so that the narrowest band has room for it.
                    base, tokens = {}, (edge + 1 if edge else after)
                more = dict(base)
                for count in counts:
                    more[count] = more.get(count, 0) + tokens
                service = {} if level == "standard" else {"service": level}
                yield (level, edge, class_), tokens, [(provider, model, {**usage, **service}) for usage in (base, more)]


def rates(oracle, wanted: list) -> list[D]:
    """The rate of each probe, in dollars for a million tokens."""
    pairs = [pair for _, _, pair in wanted]
    if isinstance(oracle, Ours):
        costs = oracle.cost_all([asked for pair in pairs for asked in pair])
    else:
        costs = [oracle.cost(*asked) for pair in pairs for asked in pair]
    found = []
    for at, (_, tokens, _) in enumerate(wanted):
        found.append((costs[2 * at + 1] - costs[2 * at]) * 1_000_000 / tokens)
    return found


def text(rate: D) -> str:
    return format(rate.normalize(), "f")


def found_differences(provider: str, models: dict[str, dict], oracle) -> dict[tuple, tuple[str, str]]:
    """Where the rates differ: (model, level, above, class) to theirs and ours."""
    wanted, keys = [], []
    for name in sorted(models):
        if not oracle.knows(provider, name):
            continue
        edges, levels = places(oracle, provider, name)
        for key, tokens, pair in probes(set(edges), name, provider, list(levels)):
            wanted.append((key, tokens, pair))
            keys.append((name, *key))
    theirs, ours = rates(oracle, wanted), rates(Ours(), wanted)
    return {key: (text(t), text(o)) for key, t, o in zip(keys, theirs, ours, strict=True) if t != o}


def read_differences() -> tuple[dict[str, dict], dict[tuple, tuple[str, str, str]]]:
    """The reasons by name, and the entries: (oracle, provider, model, level, above, class) to theirs, ours, reason."""
    document = json.loads(DIFFERENCES.read_text())
    entries = {}
    for row in document["differences"]:
        for class_, (theirs, ours) in row["rates"].items():
            key = (row["oracle"], row["provider"], row["model"], row["level"], row["above"], class_)
            assert key not in entries, f"{key} stands twice in {DIFFERENCES.name}"
            entries[key] = (theirs, ours, row["reason"])
    return document["reasons"], entries


def write_differences(oracle: str, provider: str, found: dict[tuple, tuple[str, str]]) -> None:
    """Writes what is found for one list and provider; a reason that was known for the same place stays."""
    document = json.loads(DIFFERENCES.read_text())
    _, entries = read_differences()
    rows = [row for row in document["differences"] if (row["oracle"], row["provider"]) != (oracle, provider)]
    grouped = {}
    for (model, level, above, class_), (theirs, ours) in found.items():
        known = entries.get((oracle, provider, model, level, above, class_))
        grouped.setdefault((model, level, above, known[2] if known else "?"), {})[class_] = [theirs, ours]
    for (model, level, above, reason), rates_ in grouped.items():
        place = {"oracle": oracle, "provider": provider, "model": model, "level": level, "above": above}
        rows.append({**place, "reason": reason, "rates": rates_})
    rows.sort(key=lambda row: (row["oracle"], row["provider"], row["model"], row["level"], row["above"], row["reason"]))
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    reasons = ",\n".join(f"    {json.dumps(name)}: {json.dumps(what)}" for name, what in document["reasons"].items())
    unknown = json.dumps(document.get("unknown", []))
    whole = f'{{\n  "reasons": {{\n{reasons}\n  }},\n  "unknown": {unknown},\n  "differences": [\n{lines}\n  ]\n}}\n'
    DIFFERENCES.write_text(whole)


CATALOGUE = catalogue()
PROVIDERS = sorted(provider for provider in CATALOGUE if provider != "sim")
ORACLES = [GenaiPrices(), LiteLlm()]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_random_usage_costs_what_the_lists_say(provider):
    models = CATALOGUE[provider]
    assert any(oracle.knows(provider, name) for oracle in ORACLES for name in models), "no list knows any of its models"
    differences = {oracle.name: found_differences(provider, models, oracle) for oracle in ORACLES}
    if os.environ.get("TIDEGATE_WRITE_DIFFERENCES"):
        for name, found in differences.items():
            write_differences(name, provider, found)
    reasons, all_ = read_differences()
    for oracle in ORACLES:
        found = differences[oracle.name]
        entries = {key[2:]: value for key, value in all_.items() if key[:2] == (oracle.name, provider)}
        new = {key: rates_ for key, rates_ in found.items() if key not in entries or entries[key][:2] != rates_}
        assert not new, f"{oracle.name} differs without an explanation (theirs, ours): {new}"
        gone = sorted(set(entries) - set(found))
        assert not gone, f"{oracle.name} no longer differs here, take the entries out: {gone}"
        assert all(reasons.get(reason, {}).get("why") for *_, reason in entries.values()), "a reason is missing"
    asked = vectors(provider, models, ORACLES)
    priced = {oracle.name: 0 for oracle in ORACLES}
    for (_, name, usage), ours in zip(asked, Ours().cost_all(asked), strict=True):
        for oracle in ORACLES:
            if not oracle.knows(provider, name):
                continue
            priced[oracle.name] += 1
            theirs = oracle.cost(provider, name, usage)
            edges, levels = places(oracle, provider, name)
            level = usage.get("service", "standard")
            place = (oracle.name, provider, name, level if level in levels else "standard")
            edge = band(edges, usage)
            explained = D(0)
            for class_, tokens in disjoint(usage).items():
                if entry := all_.get((*place, edge, class_)):
                    explained += tokens * (D(entry[1]) - D(entry[0])) / 1_000_000
            assert theirs + explained == ours, f"{place} above {edge}: {usage} costs {theirs} there, {ours} here"
    named = [priced[oracle.name] for oracle in ORACLES if provider in oracle.names]
    assert min(named) > 0 or len(models) < 5, priced
    print(provider, priced)


def test_every_model_is_known_to_a_list_or_said_to_be_known_to_none():
    """What no list has is priced by the vendor's own page alone, and that is written down."""
    unknown = [
        f"{provider}/{name}"
        for provider, models in CATALOGUE.items()
        for name in models
        if provider != "sim" and not any(oracle.knows(provider, name) for oracle in ORACLES)
    ]
    document = json.loads(DIFFERENCES.read_text())
    assert sorted(unknown) == sorted(document.get("unknown", [])), "the list `unknown` is not current"
