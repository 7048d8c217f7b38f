"""The official conformance suite for MCP servers passes through Tidegate wherever it passes directly.

The suite asks for tools and resources of its own, which the reference server does not all have: what counts is that the
gateway loses nothing. Scenarios that fail directly are not looked at; those that pass must be as many as were counted
when the versions were pinned, so that a suite that suddenly passes nothing is not taken for a good sign.
"""

import json
import os
import pathlib
import subprocess

import pytest

from conftest import ALONE_KEY, SEVERAL_KEY, TEST_KEY
from processes import node22, node_modules

REVISION = "2025-11-25"
HERE = pathlib.Path(__file__).parent

#: The scenarios that the pinned reference server passes by itself.
DIRECT = {
    "logging-set-level",
    "ping",
    "prompts-list",
    "resources-list",
    "resources-subscribe",
    "resources-unsubscribe",
    "server-initialize",
    "server-sse-multiple-streams",
    "tools-call-error",
    "tools-call-simple-text",
    "tools-list",
}


ALL = ("--suite", "all", "--spec-version", REVISION)


def conformance(url, into, key=None, *which):
    """What each scenario says of the server at `url`: its failed checks, by scenario."""
    suite = node_modules() / "@modelcontextprotocol/conformance/dist/index.js"
    argv = [node22(), suite, "server", "--url", url, "-o", into, *(which or ALL)]
    env = dict(os.environ)
    if key is not None:
        argv[1:1] = ["--import", HERE / "conformance_key.mjs"]
        env["CONFORMANCE_KEY"] = key
    # Its exit code says that something failed, which it always does.
    done = subprocess.run([str(word) for word in argv], env=env, capture_output=True, text=True, timeout=55)
    found = {}
    for checks in pathlib.Path(into).glob("server-*/checks.json"):
        # `server-<scenario>-2026-11-24T19-13-29-711Z`
        scenario = checks.parent.name.removeprefix("server-")[: -len("-2026-11-24T19-13-29-711Z")]
        failed = [check for check in json.loads(checks.read_text()) if check["status"] == "FAILURE"]
        found[scenario] = [f"{check['id']}: {check.get('errorMessage')}" for check in failed]
    assert len(found) > 25 or which, f"the suite ran {len(found)} scenarios\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return found


def passed(found):
    return {scenario for scenario, failed in found.items() if not failed}


@pytest.fixture(scope="module")
def direct(everything_url, tmp_path_factory):
    return conformance(everything_url, tmp_path_factory.mktemp("direct"))


def test_the_base_line_is_as_counted(direct):
    assert passed(direct) == DIRECT


#: One server by its name; all servers where there is one; all where there are several, one of them gone.
WAYS = [("/mcp/everything", TEST_KEY), ("/mcp", ALONE_KEY), ("/mcp", SEVERAL_KEY)]


@pytest.mark.parametrize("path, key", WAYS, ids=["server", "alone", "several"])
def test_no_pass_is_lost(direct, gateway, tmp_path, path, key):
    through = conformance(gateway.url + path, tmp_path, key)
    assert through.keys() == direct.keys()
    lost = {scenario: through[scenario] for scenario in passed(direct) if through[scenario]}
    assert not lost


@pytest.mark.parametrize("path", ["/mcp/everything", "/mcp"])
def test_a_foreign_host_and_origin_are_refused(gateway, tmp_path, path):
    """What the reference server leaves to whoever stands before it."""
    found = conformance(gateway.url + path, tmp_path, TEST_KEY, "--scenario", "dns-rebinding-protection")
    assert found == {"dns-rebinding-protection": []}
