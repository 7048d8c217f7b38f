"""What is charged by other than tokens against the two lists that others keep: pictures, sound, letters, searches, pages
and the fees for a vendor's tools.

Every price of ours that a list has too is the same to the last digit, or the difference stands in
`prices/unit_differences.json` with both prices and the reason; what neither list has stands there as `unknown`. Random
counts of everything that a model is charged by then cost exactly what those prices make, rounded up once.
"""

import fractions
import json
import math
import pathlib
import random
import re
import subprocess

import pytest

from gateway import binary
from test_prices import ORACLES, ROOT

F = fractions.Fraction
DIFFERENCES = pathlib.Path(__file__).parent / "prices" / "unit_differences.json"
GENAI, LITELLM = ORACLES
#: How many usages are priced for each provider.
VECTORS = 1_000
#: How many of a unit its measures are; sound is counted in milliseconds.
TIMES = {"second": 1_000, "minute": 60_000, "hour": 3_600_000}
#: The members of each list, and how many units one of its prices is for.
THEIRS = {
    "audio": (("input_audio_hours", 3_600_000), ("input_cost_per_second", 1_000)),
    "character": (("input_mchars", 1_000_000), ("input_cost_per_character", 1)),
    "image": (None, ("input_cost_per_image", 1)),
    "search_unit": (None, ("input_cost_per_query", 1)),
    "page": (("input_document_kpages", 1_000), ("ocr_cost_per_page", 1)),
    "annotated_page": (("input_annotated_document_kpages", 1_000), ("annotation_cost_per_page", 1)),
    "request": (None, ("search_context_size_low", 1)),
    "request_medium": (None, ("search_context_size_medium", 1)),
    "request_high": (("requests_kcount", 1_000), ("search_context_size_high", 1)),
    "web_search": (("web_searches_kcount", 1_000), ("search_context_size_high", 1)),
    "grounded_prompt": (("web_searches_kcount", 1_000), ("search_context_size_high", 1)),
    "web_search_preview": (None, ("search_context_size_high", 1)),
    "file_search": (("storage_searches_kcount", 1_000), None),
    "code_session": (None, ("code_interpreter_cost_per_session", 1)),
    "citation_token": (None, ("citation_cost_per_token", 1)),
    "reasoning_token": (None, ("output_cost_per_reasoning_token", 1)),
}
SEARCHES = {"web_search", "web_search_preview", "grounded_prompt"}


def price(text: str) -> F:
    """What one unit costs, in dollars."""
    amount, _, measure = text.partition(" usd/")
    if measure in TIMES:
        return F(amount) / TIMES[measure]
    size = {"k": 1_000, "m": 1_000_000}.get(measure[0], 1) if re.match("k[a-z]|m(char|tok)", measure) else 1
    return F(amount) / size


def catalogue() -> dict[tuple[str, str], dict]:
    """What is charged by units, by provider and model: prices, the least, pictures."""
    found = {}
    for file in sorted((ROOT / "catalog/prices").glob("*.json")):
        document = json.loads(file.read_text())
        for model in document["models"]:
            units = {name: price(text) for name, text in model.get("units", {}).items()}
            stated = SEARCHES & set(units)
            for name, text in document.get("fees", {}).items():
                if not (name in SEARCHES and stated):
                    units.setdefault(name, price(text))
            pictures = [(sort.get("size"), sort.get("quality"), price(sort["price"])) for sort in model.get("pictures", [])]
            if units or pictures:
                found[model["provider"], model["model"]] = {
                    "units": units,
                    "own": set(model.get("units", {})),
                    "least": model.get("least", {}),
                    "pictures": pictures,
                    "by_tokens": "input" in model,
                }
    return found


CATALOGUE = catalogue()
PROVIDERS = sorted({provider for provider, _ in CATALOGUE})


def theirs(oracle, provider: str, model: str, unit: str) -> F | None:
    """What the list says that one unit costs, where it says so."""
    genai, litellm = THEIRS[unit]
    if oracle is GENAI:
        info = oracle.providers.get(oracle.names.get(provider))
        info = info.find_model(model) if info else None
        if not info or not info.prices or not genai:
            return None
        from test_prices import NOW

        value = getattr(info.get_prices(NOW, None), genai[0], None)
        return None if value is None else F(str(value)) / genai[1]
    if not litellm:
        return None
    name = oracle.names.get(provider, "")
    for key in (f"{name}/{model}", model, f"{provider}/{model}"):
        entry = oracle.list.get(key)
        if entry:
            break
    else:
        return None
    entry = {**entry, **entry.get("search_context_cost_per_query", {})}
    if unit == "code_session":
        entry = oracle.list["openai/container"] if provider == "openai" else {}
    value = entry.get(litellm[0])
    return F(str(value)) / litellm[1] if value else None


def text(value: F) -> str:
    return str(value)


def found_differences() -> tuple[dict, list[str]]:
    """Where prices differ, by list, provider, model and unit; and what no list has."""
    differences, unknown = {}, []
    for (provider, model), entry in CATALOGUE.items():
        for unit, ours in entry["units"].items():
            known = False
            for oracle in ORACLES:
                value = theirs(oracle, provider, model, unit)
                known |= value is not None
                if value is not None and value != ours:
                    differences[oracle.name, provider, model, unit] = (text(value), text(ours))
            if not known and unit in entry["own"]:
                unknown.append(f"{provider}/{model}: {unit}")
        unknown.extend(f"{provider}/{model}: pictures" for _ in entry["pictures"][:1])
    return differences, sorted(unknown)


def test_every_price_by_unit_is_that_of_the_lists_or_explained():
    differences, unknown = found_differences()
    document = json.loads(DIFFERENCES.read_text())
    explained = {}
    for row in document["differences"]:
        for model in row["models"]:
            key = (row["oracle"], row["provider"], model, row["unit"])
            assert key not in explained, f"{key} stands twice"
            explained[key] = (row["theirs"], row["ours"])
            assert document["reasons"][row["reason"]]["why"], row
    new = {key: value for key, value in differences.items() if explained.get(key) != value}
    assert not new, f"differs without an explanation (theirs, ours): {new}"
    gone = sorted(set(explained) - set(differences))
    assert not gone, f"no longer differs, take the entries out: {gone}"
    assert unknown == sorted(document["unknown"]), "the list `unknown` is not current"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_random_counts_cost_what_the_prices_make(provider):
    dice = random.Random(f"units of {provider}")
    models = sorted(model for owner, model in CATALOGUE if owner == provider)
    asked, expected = [], []
    while len(asked) < VECTORS:
        model = dice.choice(models)
        entry = CATALOGUE[provider, model]
        requests = [unit for unit in entry["units"] if unit.startswith("request")]
        counts = {unit: int(10 ** dice.uniform(0, 6)) for unit in entry["units"] if unit not in requests}
        cost, usage = F(0), {}
        if requests:
            # Each call is one; where its sort is not said, the dearest counts.
            told = dice.choice([*requests, None])
            counts.update({told: 1} if told else {})
            cost += entry["units"][told] if told else max(entry["units"][unit] for unit in requests)
        for unit, count in counts.items():
            if unit not in requests:
                cost += entry["units"][unit] * max(count, entry["least"].get(unit, 0))
        if entry["pictures"]:
            size, quality, each = dice.choice(entry["pictures"])
            counts["image"] = dice.randint(1, 9)
            usage["picture"] = {name: word for name, word in (("size", size), ("quality", quality)) if word}
            cost += each * counts["image"]
        asked.append({"model": f"{provider}/{model}", "usage": {**usage, "units": counts}})
        expected.append(math.ceil(cost * 10**9))
    lines = "\n".join(map(json.dumps, asked))
    done = subprocess.run(
        [binary(), "catalog", "price"], input=lines, capture_output=True, text=True, timeout=120, check=False
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(answers) == len(asked), [answer for answer in answers if "error" in answer][:3]
    for question, answer, nanos in zip(asked, answers, expected, strict=True):
        assert int(answer["nano_usd"]) == nanos, (question, answer)
