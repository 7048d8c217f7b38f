"""A provider's own batches through the gateway, by the official clients: what they came to is charged at the price of
batches, once, to the key that made them."""

import io
import json
import os
import pathlib
import subprocess
import time
from decimal import Decimal

import anthropic
import openai
import pytest

from gateway import Gateway, make_key
from processes import node22

MAKER, READER = make_key("vendorba", "m"), make_key("readerba", "r")
SCRIPT = pathlib.Path(__file__).parent / "batches.mjs"
#: Dollars for a million tokens in and out, by a call and by a batch.
CALL, BATCH = (Decimal(8), Decimal(20)), (Decimal(3), Decimal(7))
POLICY = """
@id("batches") permit (principal, action == Tidegate::Action::"call_provider_api", resource)
when { context.api.path like "/v1/files*" || context.api.path like "/v1/batches*"
    || context.api.path like "/v1/messages/batches*" };
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sim_url):
    folder = tmp_path_factory.mktemp("vendor-batches")
    (folder / "policies").mkdir()
    (folder / "policies/batches.cedar").write_text(POLICY)
    (folder / "prices").mkdir()
    rates = lambda pair: {"input": str(pair[0]), "output": str(pair[1])}
    models = [
        {"provider": provider, "model": model, **rates(CALL), "levels": {"batch": rates(BATCH)}}
        for provider in ["openai", "anthropic"]
        for model in ["chat", "embed"]
    ]
    prices = {"format": "catalog.v1", "source": "a test", "date": "2026-11-30", "models": models}
    (folder / "prices/sim.json").write_text(json.dumps(prices))
    provider = {"base_url": f"{sim_url}/v1", "key": "env:VENDOR", "api_call": "0 usd"}
    config = {
        "version": 1,
        "policies": str(folder / "policies"),
        "prices": str(folder / "prices"),
        "providers": {"openai": provider, "anthropic": provider},
        "keys": {"maker": {"secret": "env:MAKER", "budget": "5 usd/month"}, "reader": {"secret": "env:READER"}},
    }
    secrets = {"MAKER": MAKER, "READER": READER, "VENDOR": "sk-vendor-0123456789abcdef0123456789"}
    started = Gateway("serve", folder, config, secrets)
    yield started
    started.stop()


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=MAKER, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def claude(gateway):
    with anthropic.Anthropic(base_url=gateway.url, api_key=MAKER, max_retries=0, timeout=60) as client:
        yield client


def spent(gateway):
    """What the key that makes batches has spent, as its budget says."""
    key = json.loads(gateway.command("api", "GET", "/keys/maker"))
    return Decimal(key["budgets"][0]["spent_usd"])


def settlements(gateway, resource):
    calls = json.loads(gateway.command("api", "GET", "/calls"))["calls"]
    return [call for call in calls if call["resource"] == resource]


def worth(used):
    """What this usage costs by a batch."""
    return (BATCH[0] * used[0] + BATCH[1] * used[1]) / 1_000_000


def run(client, lines, endpoint="/v1/chat/completions"):
    file = client.files.create(file=("lines.jsonl", io.BytesIO("\n".join(lines).encode())), purpose="batch")
    assert client.files.retrieve(file.id).purpose == "batch"
    asked = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": "24h"}
    batch = client.batches.create(**asked, metadata={"of": "a test"})
    until = time.monotonic() + 30
    while batch.status != "completed":
        assert time.monotonic() < until, batch
        batch = client.batches.retrieve(batch.id)
    return batch


def line(name, body, url="/v1/chat/completions"):
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body})


def chat(name, prompt):
    return line(name, {"model": "chat", "messages": [{"role": "user", "content": prompt}]})


def told(text):
    return {result["custom_id"]: result for result in map(json.loads, text.splitlines())}


def test_openais_batches_cost_the_price_of_batches_once(client, gateway):
    before = spent(gateway)
    batch = run(client, [chat("one", "Grüß Gott"), chat("two", "again"), chat("bad", "[[sim: fail 400]]")])
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
    assert spent(gateway) == before, "what nobody has read is not paid for"
    results = told(client.files.content(batch.output_file_id).text)
    assert sorted(results) == ["one", "two"]
    usages = [result["response"]["body"]["usage"] for result in results.values()]
    used = [sum(usage[name] for usage in usages) for name in ["prompt_tokens", "completion_tokens"]]
    assert min(used) > 0 and spent(gateway) - before == worth(used)
    assert told(client.files.content(batch.error_file_id).text)["bad"]["response"]["status_code"] == 400
    for _ in range(2):
        assert told(client.files.content(batch.output_file_id).text) == results
    assert spent(gateway) - before == worth(used)
    rows = settlements(gateway, f"openai results of {batch.id}")
    assert len(rows) == 1 and Decimal(rows[0]["usd"]) == worth(used), rows
    assert rows[0]["key"] == "maker" and rows[0]["served_by"] == "openai/chat"


def test_whoever_fetches_it_the_maker_pays(client, gateway):
    before = spent(gateway)
    body = {"model": "embed", "input": "some text to be counted"}
    batch = run(client, [line("x", body, "/v1/embeddings")], "/v1/embeddings")
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=READER, max_retries=0) as reader:
        result = told(reader.files.content(batch.output_file_id).text)["x"]
    assert spent(gateway) - before == worth((result["response"]["body"]["usage"]["prompt_tokens"], 0)) > 0


def test_responses_are_counted_in_their_own_words(client, gateway):
    before = spent(gateway)
    batch = run(client, [line("x", {"model": "chat", "input": "a text"}, "/v1/responses")], "/v1/responses")
    assert batch.id in [known.id for known in client.batches.list(limit=100)]
    usage = told(client.files.content(batch.output_file_id).text)["x"]["response"]["body"]["usage"]
    assert spent(gateway) - before == worth((usage["input_tokens"], usage["output_tokens"])) > 0


def test_a_client_that_streams_the_results_and_leaves_pays_all_the_same(client, gateway):
    before = spent(gateway)
    batch = run(client, [chat(str(at), "many words " * 2_000) for at in range(40)])
    with client.files.with_streaming_response.content(batch.output_file_id) as streamed:
        next(streamed.iter_bytes(1_000))
    until = time.monotonic() + 20
    while spent(gateway) == before:
        assert time.monotonic() < until, "it is not paid for"
        time.sleep(0.05)
    once = spent(gateway)
    results = told(client.files.content(batch.output_file_id).text)
    usages = [result["response"]["body"]["usage"] for result in results.values()]
    used = [sum(usage[name] for usage in usages) for name in ["prompt_tokens", "completion_tokens"]]
    assert once - before == worth(used) and spent(gateway) == once


def test_anthropics_batches_cost_the_price_of_batches_once(claude, gateway):
    before = spent(gateway)
    params = {"model": "chat", "max_tokens": 50}
    prompts = {"one": "Grüß Gott", "two": "again", "bad": "[[sim: fail 400]]"}
    requests = [
        {"custom_id": name, "params": {**params, "messages": [{"role": "user", "content": prompt}]}}
        for name, prompt in prompts.items()
    ]
    batch = claude.messages.batches.create(requests=requests)
    assert batch.processing_status == "in_progress"
    batch = claude.messages.batches.retrieve(batch.id)
    assert batch.processing_status == "ended" and spent(gateway) == before
    assert batch.id in [known.id for known in claude.messages.batches.list()]
    # The client goes where the batch says, and shows its key there.
    assert "127.0.0.1" not in batch.results_url or batch.results_url.startswith(gateway.url), batch.results_url
    results = {result.custom_id: result.result for result in claude.messages.batches.results(batch.id)}
    assert results["bad"].type == "errored" and results["one"].message.content[0].text == "echo: Grüß Gott"
    usages = [results[name].message.usage for name in ["one", "two"]]
    used = (sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages))
    assert min(used) > 0 and spent(gateway) - before == worth(used)
    assert len(list(claude.messages.batches.results(batch.id))) == 3
    assert spent(gateway) - before == worth(used)
    rows = settlements(gateway, f"anthropic results of {batch.id}")
    assert len(rows) == 1 and Decimal(rows[0]["usd"]) == worth(used), rows


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_the_node_clients(gateway, vendor):
    before = spent(gateway)
    argv = [node22(), SCRIPT, vendor, gateway.url, MAKER]
    done = subprocess.run(argv, env=os.environ, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["names"] == ["one", "two"] and min(seen["used"]) > 0
    assert spent(gateway) - before == worth(seen["used"])
