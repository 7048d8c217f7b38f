"""The streaming helpers of the official Node SDKs before the sim, through Tidegate, in every dialect that it speaks.

What a helper folds its events to is what the same call answers unary, by the SDK's own code.
"""

import json
import os
import pathlib
import subprocess
import time

import pytest

from dialects import CALLER_KEY, CITIES, UPSTREAMS, every_provider
from processes import node22

SCRIPT = pathlib.Path(__file__).parent / "streaming.mjs"
TEXT = "echo: Grüß Gott – 你好 😀, and some more words"


@pytest.fixture(scope="module")
def seen(before_sim):
    """What the helpers saw, by provider and surface."""
    argv = [node22(), SCRIPT, before_sim.url, CALLER_KEY, *UPSTREAMS]
    done = subprocess.run(argv, env=os.environ, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def surface(seen, provider, name):
    found = seen[provider][name]
    assert "failed" not in found, found.get("failed")
    return found


#: What names one answer, or is the helper's own, and so differs from call to call.
OWN = {"id", "item_id", "call_id", "created", "created_at", "completed_at", "_request_id", "parsed", "parsed_arguments"}


def told(value):
    """A value without what names one answer and without what is null: some helpers fill that in."""
    if isinstance(value, dict):
        return {name: told(part) for name, part in value.items() if name not in OWN and part is not None}
    return [told(part) for part in value] if isinstance(value, list) else value


@every_provider
def test_chat_helpers_fold_to_the_unary_answer(seen, provider):
    chat = surface(seen, provider, "chat")
    for whole, folded in [("unary", "folded"), ("unary", "restored"), ("unaryCalls", "foldedCalls")]:
        for answer in [chat[whole], chat[folded]]:
            # A stream's answer has other words for its own kind; text that is not there may be null or empty.
            answer.pop("object", None)
            for choice in answer["choices"]:
                choice["message"]["content"] = choice["message"].get("content") or ""
                choice["message"].pop("refusal", None)
                choice["message"] = {name: part for name, part in choice["message"].items() if part != []}
        assert told(chat[folded]) == told(chat[whole]), folded
    assert len(chat["deltas"]) > 1 and "".join(chat["deltas"]) == TEXT
    assert [json.loads(text) for text in chat["arguments"]] == [{"city": city} for city in CITIES]
    for how in ["whole", "streamed"]:
        assert chat["ran"][how] == CITIES
        assert chat["ran"][f"{how}Roles"] == ["user", "assistant", "tool", "tool", "assistant"]
        assert chat["ran"][f"{how}Text"].startswith("echo: ")
    assert chat["parsed"] == {"name": "Ada", "age": 36}


@every_provider
def test_responses_helpers_fold_to_the_unary_answer(seen, provider):
    responses = surface(seen, provider, "responses")
    for whole, folded in [("unary", "folded"), ("unary", "restored"), ("unaryCalls", "foldedCalls")]:
        for answer in [responses[whole], responses[folded]]:
            answer.pop("output_parsed", None)
        assert told(responses[folded]) == told(responses[whole]), folded
    assert len(responses["deltas"]) > 1 and "".join(responses["deltas"]) == TEXT == responses["folded"]["output_text"]
    assert responses["numbers"] == list(range(len(responses["numbers"])))
    assert [json.loads(text) for text in responses["arguments"].values()] == [{"city": city} for city in CITIES]


@every_provider
def test_messages_helpers_fold_to_the_unary_answer(seen, provider):
    messages = surface(seen, provider, "messages")
    for whole, folded in [("unary", "folded"), ("unary", "restored"), ("unaryCalls", "foldedCalls")]:
        assert told(messages[folded]) == told(messages[whole]), folded
    assert len(messages["deltas"]) > 1 and "".join(messages["deltas"]) == TEXT == messages["text"]
    assert messages["blocks"] == messages["folded"]["content"]
    assert messages["message"] == messages["final"] == messages["folded"]
    assert messages["arguments"] == "".join(json.dumps({"city": city}, separators=(",", ":")) for city in CITIES)
    assert [part for part in messages["snapshots"] if part in [{"city": city} for city in CITIES]]


@every_provider
@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_an_abort_ends_the_helper(seen, provider, name):
    assert surface(seen, provider, name)["abort"] == {"ended": "by the user", "aborted": True}


def test_an_abort_reaches_the_upstream(seen, sim_url, before_sim):
    """Each of the streams that were given up is given up at the sim too, long before its eight seconds are over."""
    import httpx

    deadline = time.monotonic() + 5
    while True:
        ledger = httpx.get(f"{sim_url}/__sim/ledger", trust_env=False).json()["requests"]
        left = [entry for entry in ledger if entry["end"] == "abandoned"]
        if len(left) >= 3 * len(UPSTREAMS) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert len(left) >= 3 * len(UPSTREAMS)
    assert all(entry["pieces"] < 400 for entry in left)
