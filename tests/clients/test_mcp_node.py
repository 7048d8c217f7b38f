"""The official TypeScript MCP client gets from the reference server the same through Tidegate as directly."""

import json
import pathlib
import subprocess

import pytest

from conftest import MODELS_ONLY_KEY, TEST_KEY
from processes import node

SCRIPT = pathlib.Path(__file__).parent / "mcp_client.mjs"


def look(url, key=TEST_KEY):
    """What the client sees over this URL."""
    done = subprocess.run([node(), SCRIPT, url, key], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, f"the client ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def direct(everything_url):
    return look(everything_url)


@pytest.fixture(scope="module")
def through(gateway):
    return look(f"{gateway.url}/mcp/everything")


def test_the_client_connects(direct, through):
    assert direct["connect"] is None
    assert through["connect"] is None
    assert {"tools", "resources", "prompts"} <= set(through["capabilities"])
    assert set(through["capabilities"]) <= set(direct["capabilities"])


@pytest.mark.parametrize(
    "what", ["ping", "echo", "sum", "structured", "long", "steps", "read", "prompt", "interleaved", "hidden"]
)
def test_an_answer_is_as_directly(direct, through, what):
    assert through[what] == direct[what]


@pytest.mark.parametrize("what", ["resources", "prompts"])
def test_a_list_is_as_directly(direct, through, what):
    assert sorted(through[what]) == sorted(direct[what])
    assert through[what]


def test_tools_are_listed_with_every_field(direct, through):
    assert {tool["name"]: tool for tool in through["tools"]} == {tool["name"]: tool for tool in direct["tools"]}


def test_answers_are_what_they_should_be(through):
    assert through["sum"]["content"] == [{"type": "text", "text": "The sum of 2 and 40 is 42."}]
    assert through["steps"] == [1, 2, 3, 4]
    expected = [f"Echo: {who} {index}" for who in ("first", "second") for index in range(10)]
    assert through["interleaved"] == expected


def test_a_tool_that_is_not_allowed_is_hidden_and_refused(gateway):
    seen = look(f"{gateway.url}/mcp/few")
    assert sorted(tool["name"] for tool in seen["tools"]) == ["echo", "get-sum"]
    assert seen["sum"]["content"] == [{"type": "text", "text": "The sum of 2 and 40 is 42."}]
    assert seen["hidden"] is not None


def test_a_key_without_the_server_is_refused(gateway):
    seen = look(f"{gateway.url}/mcp/everything", MODELS_ONLY_KEY)
    assert seen["connect"] is not None
