"""Vercel's AI SDK with its OpenAI and Anthropic providers, before the sim through Tidegate: its own dialects crossed."""

import json
import os
import pathlib
import subprocess

import pytest

from dialects import CALLER_KEY, CITIES
from processes import node22

SCRIPT = pathlib.Path(__file__).parent / "ai_sdk.mjs"
PROVIDERS = ["chat", "messages", "gemini"]


@pytest.fixture(scope="module")
def seen(before_sim):
    argv = [node22(), SCRIPT, before_sim.url, CALLER_KEY, *PROVIDERS]
    done = subprocess.run(argv, env=os.environ, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("surface", ["chat", "responses", "messages"])
def test_answers_streams_and_loops_of_tools(seen, surface, provider):
    found = seen[provider][surface]
    assert "failed" not in found, found.get("failed")
    assert (found["whole"]["text"], found["whole"]["reason"]) == ("echo: one two three", "stop")
    streamed = found["streamed"]
    assert len(streamed["parts"]) > 1 and "".join(streamed["parts"]) == found["whole"]["text"]
    assert streamed["reason"] == "stop"
    for count in ["inputTokens", "outputTokens"]:
        assert streamed["usage"][count] == found["whole"]["usage"][count] > 0
    for how in ["wholeLoop", "streamedLoop"]:
        loop = found[how]
        assert sorted(loop["ran"]) == sorted(CITIES)
        assert (loop["steps"], loop["reason"]) == (2, "stop") and loop["text"].startswith("echo: ")
