"""Claude Code, Codex, opencode and Gemini CLI finish a task with their own tools through Tidegate, before the sim in every dialect.

The sim's script is the model's wits: it proposes a command, and says the last word once it has seen what came of it.
"""

import json

import pytest

import agents
from dialects import CALLER_KEY, UPSTREAMS, every_provider


#: Starting one is work for a second or two, and for many where the machine has other things to do.
pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def agent(tmp_path):
    return agents.Agent(tmp_path)


def script(tool, **arguments):
    """A prompt by which the sim calls this tool."""
    return f"Please do it. [[sim: tool {tool} {json.dumps(arguments)}]]"


@every_provider
def test_claude_code_writes_a_file(agent, before_sim, provider, asked):
    command = "echo written by the agent > made.txt"
    prompt = script("Bash", command=command, description="Write a file")
    end = agents.claude_code(agent, before_sim.url, CALLER_KEY, prompt, f"{provider}/chat")
    assert (agent.work / "made.txt").read_text() == "written by the agent\n"
    assert (end["subtype"], end["is_error"], end["num_turns"]) == ("success", False, 2)
    assert end["result"] and end["usage"]["input_tokens"] > 0 and not end["permission_denials"]
    paths = asked()
    assert len(paths) >= 2 and set(paths) <= UPSTREAMS[provider][3]


def test_claude_code_discovers_the_models_that_it_may_use(agent, before_sim):
    agent.env["CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY"] = "1"
    # It looks while it works, so the answer takes its time.
    prompt = "Take your time. [[sim: stream 60 chunks, 50ms]]"
    end = agents.claude_code(agent, before_sim.url, CALLER_KEY, prompt, "claude-by-sim")
    assert end["result"].startswith("piece 0 ") and list(end["modelUsage"]) == ["claude-by-sim"]
    # Of all that are listed, it keeps those whose names it knows the sort of.
    kept = json.loads((agent.home / ".claude/cache/gateway-models.json").read_text())
    names = [model["id"] for model in kept["models"]]
    assert "claude-by-sim" in names and "assistant" not in names and kept["baseUrl"] == before_sim.url


def test_who_knocks_first_is_answered(before_sim):
    with before_sim.http(headers={"authorization": ""}) as http:
        assert http.head("/").status_code == 200
        assert http.get("/").status_code == 404


@every_provider
@pytest.mark.parametrize("socket", [False, True], ids=["http", "socket"])
def test_codex_writes_a_file(agent, before_sim, provider, socket, asked):
    prompt = script("exec_command", cmd="echo written by the agent > made.txt")
    sockets = lambda: [call["id"] for call in before_sim.json("calls") if call["status"] == 101]
    before = sockets()
    events = agents.codex(agent, before_sim.url, CALLER_KEY, prompt, f"{provider}/chat", socket)
    assert bool(set(sockets()) - set(before)) == socket
    assert (agent.work / "made.txt").read_text() == "written by the agent\n"
    kinds = [event["type"] for event in events]
    assert kinds[0] == "thread.started" and kinds[-1] == "turn.completed" and "turn.failed" not in kinds
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    [ran] = [item for item in items if item["type"] == "command_execution"]
    assert (ran["exit_code"], ran["status"]) == (0, "completed")
    assert [item for item in items if item["type"] == "agent_message"][-1]["text"].startswith("echo: ")
    assert events[-1]["usage"]["input_tokens"] > 0
    paths = asked()
    assert len(paths) == 2 and set(paths) <= UPSTREAMS[provider][3]


@every_provider
def test_opencode_writes_a_file(agent, before_sim, provider, asked):
    prompt = script("bash", command="echo written by the agent > made.txt", description="Write a file")
    events = agents.opencode(agent, before_sim.url, CALLER_KEY, prompt, f"{provider}/chat")
    assert (agent.work / "made.txt").read_text() == "written by the agent\n"
    [ran] = [event["part"] for event in events if event["type"] == "tool_use"]
    assert (ran["tool"], ran["state"]["status"], ran["state"]["metadata"]["exit"]) == ("bash", "completed", 0)
    assert [event for event in events if event["type"] == "text"][-1]["part"]["text"].startswith("echo: ")
    assert events[-1]["part"]["reason"] == "stop" and events[-1]["part"]["tokens"]["input"] > 0
    paths = asked()
    assert len(paths) >= 2 and set(paths) <= UPSTREAMS[provider][3]


@every_provider
def test_gemini_cli_writes_a_file(agent, before_sim, provider, asked):
    prompt = script("run_shell_command", command="echo written by the agent > made.txt", description="Write a file")
    end = agents.gemini(agent, before_sim.url, CALLER_KEY, prompt, f"{provider}/chat")
    assert (agent.work / "made.txt").read_text() == "written by the agent\n"
    ran = end["stats"]["tools"]["byName"]["run_shell_command"]
    assert (ran["count"], ran["success"]) == (1, 1) and end["response"].startswith("echo: ")
    [used] = end["stats"]["models"].values()
    assert used["api"]["totalErrors"] == 0 and used["tokens"]["prompt"] > 0
    paths = asked()
    assert len(paths) >= 2 and set(paths) <= UPSTREAMS[provider][3]
