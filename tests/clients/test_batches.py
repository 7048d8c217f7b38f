"""The official OpenAI client's files and batches: the gateway's own, and a provider's."""

import io
import json
import time

import openai
import pytest

from gateway import Gateway, make_key

KEY, OTHER = make_key("batchkey", "b"), make_key("otherkey", "o")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sim_url):
    config = {
        "version": 1,
        "batches": {"own": True, "concurrent": 4},
        "providers": {"out": {"type": "openai", "base_url": f"{sim_url}/v1"}},
        "models": {"chat": "out/chat", "numbers": "out/embed", "judge": "out/chat"},
        "keys": {
            "maker": {"secret": "env:MAKER", "allow": {"models": ["chat", "numbers", "judge"]}},
            "other": {"secret": "env:OTHER", "allow": {"models": ["chat"]}},
        },
    }
    started = Gateway("serve", tmp_path_factory.mktemp("batches"), config, {"MAKER": KEY, "OTHER": OTHER})
    yield started
    started.stop()


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


def line(name, body, url="/v1/chat/completions"):
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body})


def chat(name, prompt, model="chat"):
    return line(name, {"model": model, "messages": [{"role": "user", "content": prompt}]})


def uploaded(client, lines):
    return client.files.create(file=("lines.jsonl", io.BytesIO("\n".join(lines).encode())), purpose="batch")


def ended(client, batch):
    until = time.monotonic() + 60
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        assert time.monotonic() < until, batch
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    return batch


def run(client, lines, endpoint="/v1/chat/completions"):
    file = uploaded(client, lines)
    asked = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": "24h"}
    return ended(client, client.batches.create(**asked, metadata={"of": "a test"}))


def results(client, file):
    return {told["custom_id"]: told for told in map(json.loads, client.files.content(file).text.splitlines())}


def test_a_batch_from_its_file_to_its_results(client):
    file = uploaded(client, [chat("one", "Grüß Gott"), chat("two", "again"), chat("bad", "[[sim: fail 400]]")])
    assert (file.object, file.purpose, file.filename, file.status) == ("file", "batch", "lines.jsonl", "processed")
    assert client.files.retrieve(file.id) == file
    assert file.id in [known.id for known in client.files.list(purpose="batch")]
    assert client.files.content(file.id).content.startswith(b'{"custom_id": "one"')
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"of": "a test"}
    )
    assert made.object == "batch" and made.status in ("validating", "in_progress") and made.metadata == {"of": "a test"}
    batch = ended(client, made)
    assert (batch.status, batch.errors) == ("completed", None)
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
    told = results(client, batch.output_file_id)
    assert sorted(told) == ["one", "two"]
    answer = openai.types.chat.ChatCompletion.model_validate(told["one"]["response"]["body"])
    assert answer.choices[0].message.content == "echo: Grüß Gott" and answer.usage.total_tokens > 0
    assert told["one"]["error"] is None and told["one"]["response"]["status_code"] == 200
    failures = results(client, batch.error_file_id)
    assert failures["bad"]["response"]["status_code"] == 400
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
    assert batch.id in [known.id for known in client.batches.list(limit=5)]
    assert client.files.delete(batch.output_file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.output_file_id)


def test_lists_are_paged(client):
    made = [uploaded(client, [chat(str(at), "x")]).id for at in range(5)]
    assert [file.id for file in client.files.list(limit=2)][:5] == made[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc")][-5:] == made


@pytest.mark.parametrize(
    ("endpoint", "body", "seen"),
    [
        ("/v1/embeddings", {"model": "numbers", "input": "a text"}, lambda body: body["data"][0]["embedding"]),
        ("/v1/responses", {"model": "chat", "input": "a text"}, lambda body: body["output"][0]["content"][0]["text"]),
        ("/v1/completions", {"model": "chat", "prompt": "a text"}, lambda body: body["choices"][0]["text"]),
        ("/v1/moderations", {"model": "judge", "input": "harm"}, lambda body: body["results"][0]["flagged"]),
    ],
)
def test_other_endpoints(client, endpoint, body, seen):
    batch = run(client, [line("x", body, endpoint)], endpoint)
    assert batch.output_file_id, results(client, batch.error_file_id)
    assert seen(results(client, batch.output_file_id)["x"]["response"]["body"])


def test_what_is_wrong_is_told_by_its_line(client):
    batch = run(client, [chat("a", "x"), "no json", chat("a", "y"), chat("b", "x", "numbers")])
    assert batch.status == "failed"
    assert [(error.code, error.line) for error in batch.errors.data] == [
        ("invalid_json_line", 2),
        ("duplicate_custom_id", 3),
        ("mismatched_model", 4),
    ]


def test_another_key_sees_nothing(client, gateway):
    batch = run(client, [chat("a", "x")])
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=OTHER, max_retries=0) as other:
        assert list(other.batches.list()) == [] and list(other.files.list()) == []
        for ask in (
            lambda: other.batches.retrieve(batch.id),
            lambda: other.batches.cancel(batch.id),
            lambda: other.files.content(batch.output_file_id),
            lambda: other.files.delete(batch.input_file_id),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()


def test_a_cancelled_batch(client):
    file = uploaded(client, [chat(f"{at}", "[[sim: stall 1s]]") for at in range(40)])
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    try:
        batch = client.batches.cancel(batch.id)
    except openai.BadRequestError:
        assert ended(client, batch).status == "completed"
        return
    assert ended(client, batch).status == "cancelled"
