"""What the tests share: the real model, the real MCP server and the gateway before them, each started once."""

import os
import pathlib
import sys

# Before any client is imported: none of them may go through a proxy, or find a key of the machine's owner.
for name in list(os.environ):
    if name.lower() in {"http_proxy", "https_proxy", "all_proxy"} or name.endswith("_API_KEY"):
        del os.environ[name]
os.environ["NO_PROXY"] = "127.0.0.1"

import httpx
import pytest

import dialects
from gateway import Gateway, binary, make_key
from processes import STARTED, Process, free_port, node, node_modules

HERE = pathlib.Path(__file__).parent
EVERYTHING = node_modules() / "@modelcontextprotocol/server-everything/dist/index.js"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what the servers wrote beside a test that failed."""
    report = (yield).get_result()
    if report.failed:
        for process in STARTED:
            if process.name.startswith("tidegate") and (text := process.tail()):
                report.sections.append((process.name, text))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="session")
def model_url(folder):
    """The real model: OpenAI chat at /v1/chat/completions, Anthropic messages at /v1/messages."""
    port = free_port()
    cache = pathlib.Path(os.environ.get("TIDEGATE_MODEL_CACHE") or node_modules().parent.parent / "model")
    argv = [sys.executable, HERE / "real_model.py", port, cache]
    process = Process("the real model", argv, folder / "model.log")
    try:
        process.line("ready", 90)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@pytest.fixture(scope="session")
def everything_url(folder):
    """The reference MCP server with every feature, over Streamable HTTP."""
    port = free_port()
    process = Process(
        "server-everything", [node(), EVERYTHING, "streamableHttp"], folder / "everything.log", {"PORT": str(port)}
    )
    try:
        process.listens(port, 30)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.stop()


#: May use everything.
TEST_KEY = make_key("TESTER00", "k3yOfTheTester")
#: May use everything too.
OTHER_KEY = make_key("OTHER000", "k3yOfTheOther")
#: May use one model and no MCP server.
MODELS_ONLY_KEY = make_key("MODELS00", "k3yOfTheBystander")
#: May use the reference server alone.
ALONE_KEY = make_key("ALONE000", "k3yOfTheLonely")
#: May use the reference server, a second one and one that is gone.
SEVERAL_KEY = make_key("SEVERAL0", "k3yOfSeveral")
#: Well formed, and known to nobody.
UNKNOWN_KEY = make_key("NOBODY00", "k3yOfNobody")


@pytest.fixture(scope="session")
def gateway(folder, model_url, everything_url):
    """A production gateway in front of the real model (in both dialects) and the real MCP server."""
    config = {
        "version": 1,
        "providers": {
            "local": {"type": "openai", "base_url": f"{model_url}/v1"},
            "locala": {"type": "anthropic", "base_url": f"{model_url}/v1"},
        },
        "models": {
            "by-openai": {"fallback": ["local/gemma3-270m"]},
            "by-anthropic": {"fallback": ["locala/gemma3-270m"]},
        },
        "mcp_servers": {
            "everything": {"url": everything_url},
            "few": {"url": everything_url, "tools": ["echo", "get-sum"]},
            "gone": {"url": "http://127.0.0.1:1/mcp"},
            "program": {
                "command": [node(), str(EVERYTHING), "stdio"],
                "env": {"GIVEN": "by the configuration"},
            },
        },
        "keys": {
            "tester": {"secret": "env:TEST_KEY", "allow": {"models": "*", "mcp_servers": "*"}},
            "other": {"secret": "env:OTHER_KEY", "allow": {"models": "*", "mcp_servers": "*"}},
            "alone": {"secret": "env:ALONE_KEY", "allow": {"mcp_servers": ["everything"]}},
            "several": {"secret": "env:SEVERAL_KEY", "allow": {"mcp_servers": ["everything", "few", "gone"]}},
            "models-only": {"secret": "env:MODELS_ONLY_KEY", "allow": {"models": ["by-openai"]}},
        },
    }
    env = {"TEST_KEY": TEST_KEY, "OTHER_KEY": OTHER_KEY, "MODELS_ONLY_KEY": MODELS_ONLY_KEY, "ALONE_KEY": ALONE_KEY}
    env["SEVERAL_KEY"] = SEVERAL_KEY
    running = Gateway("serve", folder / "serve", config, env)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def sim_url(folder):
    """The sim as a server, which speaks every dialect on one port."""
    port = free_port()
    process = Process("tidegate sim", [binary(), "sim", "--listen", f"127.0.0.1:{port}"], folder / "sim.log")
    try:
        process.listens(port, 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@pytest.fixture(scope="session")
def before_sim(folder, sim_url):
    """A production gateway in front of the sim, which is a provider of each dialect to it."""
    running = Gateway("serve", folder / "before-sim", dialects.configuration(sim_url), dialects.KEYS)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def asked(sim_url):
    """The paths that the sim was asked at since the test began."""
    with httpx.Client(base_url=sim_url, trust_env=False) as http:
        entries = lambda: http.get("/__sim/ledger").json()["requests"]
        known = len(entries())
        yield lambda: [entry["path"] for entry in entries()[known:]]


@pytest.fixture(scope="session")
def quick(folder):
    """A quick-start gateway with the built-in sim, two guardrails and a key that has them."""
    config = {
        "version": 1,
        "guardrails": {
            "secrets": {"detect": ["secrets"], "on": ["response"], "action": "redact"},
            "cards": {"detect": ["card"], "on": ["response"], "action": "redact"},
        },
        "keys": {
            "guarded": {
                "secret": "env:GUARDED_KEY",
                "allow": {"models": "*"},
                "guardrails": ["secrets", "cards"],
            },
        },
    }
    running = Gateway("up", folder / "up", config, {"GUARDED_KEY": GUARDED_KEY})
    try:
        yield running
    finally:
        running.stop()


#: Its answers are looked through for secrets and card numbers.
GUARDED_KEY = make_key("GUARDED0", "k3yOfTheGuarded")
