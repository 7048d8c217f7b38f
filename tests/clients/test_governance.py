"""What governs a call, seen from outside: keys, money, guardrails, records and the audit log, on the built-in sim.

The sim counts what it was asked and what it sent; the gateway's books have to agree with it to the last token.
"""

import contextlib
import json
import re
import threading
import time
from decimal import Decimal

import pytest

from conftest import GUARDED_KEY
from gateway import Failed, Gateway, tidegate

PER_INPUT_TOKEN, PER_OUTPUT_TOKEN = Decimal("0.000001"), Decimal("0.000004")
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
both_dialects = pytest.mark.parametrize("dialect", list(PATHS))
CARD = "4111 1111 1111 1111"


def body(prompt, model="sim/chat", most=64, **more):
    return {"model": model, "max_tokens": most, "messages": [{"role": "user", "content": prompt}], **more}


def post(gateway, dialect, prompt, key=None, **more):
    with gateway.http(key) as http:
        return http.post(PATHS[dialect], json=body(prompt, **more))


def text_of(dialect, answer):
    if dialect == "openai":
        return answer["choices"][0]["message"]["content"]
    return "".join(block["text"] for block in answer["content"])


def events_of(response):
    """The JSON of every event, and the words that are no JSON, in order."""
    lines = [line.removeprefix("data:").strip() for line in response.text.splitlines() if line.startswith("data:")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def streamed_text(events):
    text = ""
    for event in events:
        if not isinstance(event, dict):
            continue
        for choice in event.get("choices", []):
            text += choice["delta"].get("content") or ""
        if event.get("type") == "content_block_delta":
            text += event["delta"].get("text", "")
    return text


def whole(events):
    """Whether a stream ended as a successful one does."""
    return "[DONE]" in events or any(isinstance(event, dict) and event.get("type") == "message_stop" for event in events)


def errors(events):
    return [event["error"] for event in events if isinstance(event, dict) and event.get("error")]


def create(gateway, name, *options):
    made = gateway.json("key", "create", name, *options)
    assert made["name"] == name and re.fullmatch(r"tg_[0-9A-Za-z]{8}_[0-9A-Za-z]{40}", made["key"])
    return made


def ledger(gateway):
    return json.loads(gateway.command("api", "GET", "/sim/ledger"))["requests"]


def cost(entries):
    return sum(
        (e["input_tokens"] * PER_INPUT_TOKEN + e["output_tokens"] * PER_OUTPUT_TOKEN for e in entries), Decimal(0)
    )


def spent(gateway, name):
    rows = [row for row in gateway.json("spend", "--by", "key") if row["key"] == name]
    assert len(rows) == 1, f"one row for {name}"
    return rows[0]


@both_dialects
def test_the_sim_echoes_in_both_dialects(quick, dialect):
    response = post(quick, dialect, "hello there")
    assert response.status_code == 200
    assert text_of(dialect, response.json()) == "echo: hello there"


@both_dialects
def test_an_answer_says_who_served_it_and_what_it_cost(quick, dialect):
    response = post(quick, dialect, "what does this cost?")
    headers = response.headers
    call = headers["x-tidegate-call-id"]
    assert re.fullmatch(r"call_[0-9a-f]{32}", call)
    assert headers["x-tidegate-served-by"] == "sim/chat"
    assert headers["x-tidegate-attempts"] == "1"
    assert headers["x-tidegate-revision"]
    assert int(headers["x-tidegate-receipt"]) >= 0
    timing = dict(re.findall(r"(\w+);dur=([0-9.]+)", headers["server-timing"]))
    assert {"gateway", "upstream"} <= set(timing)
    [entry] = [entry for entry in ledger(quick) if entry["call_id"] == call]
    assert Decimal(headers["x-tidegate-cost-usd"]) == cost([entry])


@both_dialects
def test_an_attempt_that_failed_is_made_again(quick, dialect):
    response = post(quick, dialect, f"[[sim: fail 503 once]] {dialect}")
    assert response.status_code == 200
    assert response.headers["x-tidegate-attempts"] == "2"
    call = response.headers["x-tidegate-call-id"]
    assert [entry["status"] for entry in ledger(quick) if entry["call_id"] == call] == [503, 200]


@both_dialects
def test_a_cut_stream_ends_with_an_error_and_no_success(quick, dialect):
    response = post(quick, dialect, "[[sim: cut after 3]] one two three four five six", stream=True)
    assert response.status_code == 200
    events = events_of(response)
    assert streamed_text(events), "what came before the cut arrives"
    assert len(errors(events)) == 1 and errors(events)[0]["message"]
    assert events[-1].get("error"), "the error is the last event"
    assert not whole(events)


@both_dialects
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "streamed"])
def test_secrets_and_cards_are_redacted(quick, dialect, stream):
    """The words of the answer come one by one, so the card number lies across four of them."""

    def look(key):
        response = post(quick, dialect, "tell me", key, model="sim/leaky", stream=stream)
        assert response.status_code == 200
        if not stream:
            return text_of(dialect, response.json()), response.text
        events = events_of(response)
        assert whole(events) and not errors(events)
        return streamed_text(events), response.text

    open_text, _ = look(None)
    assert CARD in open_text
    secret = re.search(r"the key is (\w{16,}),", open_text)[1]
    guarded_text, everything = look(GUARDED_KEY)
    for hidden in (CARD, CARD.replace(" ", ""), "1111 1111", secret, secret[4:]):
        assert hidden not in guarded_text
        assert hidden not in everything
    assert guarded_text.startswith("The card is ") and guarded_text.endswith(", keep them safe.")


@both_dialects
def test_a_budget_is_never_overspent(quick, dialect):
    budget = Decimal("0.0005")
    made = create(quick, f"poor-{dialect}", "--budget", f"{budget} usd/month")
    calls, refused = [], None
    for index in range(60):
        response = post(quick, dialect, f"spend {index}", made["key"], most=16)
        if response.status_code != 200:
            refused = response
            break
        calls.append(response.headers["x-tidegate-call-id"])
    assert calls and refused is not None
    assert refused.status_code == 402
    assert refused.headers["x-tidegate-error"] == "budget_exhausted"
    assert refused.json()["error"]["message"]
    entries = ledger(quick)
    assert refused.headers["x-tidegate-call-id"] not in {entry["call_id"] for entry in entries}
    mine = [entry for entry in entries if entry["call_id"] in calls]
    assert len(mine) == len(calls)
    assert cost(mine) <= budget
    assert Decimal(spent(quick, made["name"])["usd"]) == cost(mine)
    # The budget of one key is no other key's.
    assert post(quick, dialect, "still here", most=16).status_code == 200


def test_a_call_dearer_than_the_whole_budget_never_reaches_the_upstream(quick):
    made = create(quick, "tiny", "--budget", "0.0001 usd/month")
    response = post(quick, "openai", "too dear", made["key"], most=256)
    assert response.status_code == 402
    assert response.headers["x-tidegate-call-id"] not in {entry["call_id"] for entry in ledger(quick)}


def test_spend_is_what_the_sim_sent_times_its_price(quick):
    made = create(quick, "bookkeeper")
    calls = []
    for dialect in PATHS:
        for stream in (False, True):
            for prompt in ("short", "a longer prompt – with ünïcödé", "[[sim: stream 20 chunks]]"):
                response = post(quick, dialect, prompt, made["key"], stream=stream)
                assert response.status_code == 200
                calls.append(response.headers["x-tidegate-call-id"])
    mine = [entry for entry in ledger(quick) if entry["call_id"] in calls]
    assert len(mine) == len(calls) == len(set(calls))
    row = spent(quick, "bookkeeper")
    assert row["calls"] == len(calls)
    assert row["input_tokens"] == sum(entry["input_tokens"] for entry in mine)
    assert row["output_tokens"] == sum(entry["output_tokens"] for entry in mine)
    assert Decimal(row["usd"]) == cost(mine)


def test_a_key_may_use_only_what_it_is_allowed(quick):
    made = create(quick, "chat-only", "--allow", "models=sim/chat")
    assert post(quick, "openai", "hello", made["key"]).status_code == 200
    refused = post(quick, "openai", "hello", made["key"], model="sim/stream")
    assert (refused.status_code, refused.headers["x-tidegate-error"]) == (404, "not_found")


@both_dialects
def test_a_revoked_key_is_refused_and_its_stream_cut(quick, dialect):
    made = create(quick, f"revoked-{dialect}")
    started, ended = threading.Event(), []

    def read():
        request = body("[[sim: stream 400 chunks, 50ms]]", model="sim/stream", stream=True)
        with quick.http(made["key"]) as http, http.stream("POST", PATHS[dialect], json=request) as response:
            text = ""
            for piece in response.iter_text():
                text += piece
                if "piece 2" in text:
                    started.set()
            ended.append((time.monotonic(), text))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert started.wait(10)
    quick.command("key", "revoke", made["id"])
    revoked = time.monotonic()
    deadline = revoked + 1
    while (response := post(quick, dialect, "hello", made["key"])).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert response.status_code == 401
    assert response.headers["x-tidegate-error"] == "unauthenticated"
    reader.join(5)
    assert ended, "the stream goes on"
    at, text = ended[0]
    assert at - revoked < 1.5
    assert "[DONE]" not in text and "message_stop" not in text
    assert '"error"' in text


def test_calls_and_why_tell_what_happened(quick):
    made = create(quick, "observed")
    call = post(quick, "openai", "remember me", made["key"]).headers["x-tidegate-call-id"]
    denied = post(quick, "openai", "no such", made["key"], model="sim/none").headers["x-tidegate-call-id"]
    rows = quick.json("calls", "--key", "observed")
    assert {call, denied} <= {row["id"] for row in rows}
    assert all(row["key"] == "observed" for row in rows)
    assert {row["id"]: row["status"] for row in rows}[call] == 200
    story = json.dumps(quick.json("why", call))
    for word in (call, "observed", "sim/chat", "authorize", "reserve", "dispatch", "settle"):
        assert word in story
    assert call in quick.command("why", call)
    # The story is about what decided, not about what was said.
    assert "remember me" not in story
    with pytest.raises(Failed) as unknown:
        quick.command("why", "call_" + "0" * 32)
    assert unknown.value.code == 4


def test_no_key_is_kept_in_the_clear(quick):
    """Nothing under the data directory and nothing in the logs holds a caller's key: neither one that was made, nor
    that of the quick start, nor one that was lent to a command."""
    made = create(quick, "canary")
    assert post(quick, "openai", "hello", made["key"]).status_code == 200
    lent = quick.command("key", "print").strip()
    assert lent.startswith("tg_") and lent != quick.key
    assert post(quick, "openai", "hello", lent).status_code == 200
    quiet = [made["key"], made["key"].split("_")[2], GUARDED_KEY, quick.key, lent]
    files = [file for file in quick.data.parent.rglob("*") if file.is_file()]
    assert len(files) > 3
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            content = file.read_bytes()
            assert not [secret for secret in quiet if secret.encode() in content], file.name


def test_the_audit_log_verifies_and_any_flipped_byte_is_found(tmp_path):
    gateway = Gateway("up", tmp_path)
    try:
        kept = create(gateway, "kept")
        receipts = [int(post(gateway, "openai", f"entry {i}").headers["x-tidegate-receipt"]) for i in range(20)]
        assert receipts == sorted(set(receipts))
        old = gateway.key
    finally:
        assert gateway.stop() == 0
    log = gateway.data / "audit"
    tidegate("audit", "verify", str(log))
    assert tidegate("audit", "prove", str(receipts[3]), str(log)).strip()
    files = [file for file in sorted(log.rglob("*")) if file.is_file() and file.stat().st_size]
    covered = [file for file in files if file.name == "checkpoint" or "tile" in file.relative_to(log).parts]
    assert any(file.name == "checkpoint" for file in covered) and len(covered) >= 3
    for file in covered:
        content = file.read_bytes()
        for place in {0, len(content) // 2} if file.name != "checkpoint" else {0}:
            flipped = bytearray(content)
            flipped[place] ^= 1
            file.write_bytes(flipped)
            with pytest.raises(Failed) as found:
                tidegate("audit", "verify", str(log))
            assert found.value.code == 1, (file, place)
        file.write_bytes(content)
    tidegate("audit", "verify", str(log))

    # The next start goes on where the last one ended: created keys work, the last quick-start key does not.
    gateway = Gateway("up", tmp_path)
    try:
        assert post(gateway, "openai", "hello again", kept["key"]).status_code == 200
        assert post(gateway, "openai", "hello again", old).status_code == 401
        later = post(gateway, "openai", "hello again")
        assert later.status_code == 200
        assert int(later.headers["x-tidegate-receipt"]) > receipts[-1]
    finally:
        assert gateway.stop() == 0
    tidegate("audit", "verify", str(log))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"version": 1, "providers": {"sim": {"type": "sim"}}}, "sim"),
        ({"version": 1, "keys": {"a": {"secret": "env:NOT_SET_ANYWHERE", "allow": {"models": "*"}}}}, "NOT_SET_ANYWHERE"),
        ({"version": 1, "providres": {}}, "providers"),
    ],
    ids=["sim", "missing secret", "unknown field"],
)
def test_production_does_not_start_on_what_it_must_refuse(tmp_path, config, says):
    with pytest.raises(RuntimeError) as refused:
        Gateway("serve", tmp_path, config)
    assert "before it was ready" in str(refused.value)
    assert says in str(refused.value)
