"""Claude Desktop's way to tools: `mcp-remote` of npm, started as `tidegate connect claude-desktop` writes it."""

import json
import os

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from conftest import node_modules
from gateway import Gateway


@pytest.fixture(scope="module")
def connected(folder, everything_url):
    """A gateway, and what Claude Desktop reads once it is connected: the home folder and its servers."""
    config = {"version": 1, "mcp_servers": {"everything": {"url": everything_url}}}
    running = Gateway("up", folder / "desktop", config)
    try:
        home = folder / "desktop-home"
        settings = home / ".config/Claude/claude_desktop_config.json"
        settings.parent.mkdir(parents=True)
        settings.write_text('{"mcpServers": {"mine": {"command": "mine"}}}')
        yield running, home, settings, {"HOME": str(home), "XDG_CONFIG_HOME": ""}
    finally:
        running.stop()


def program(home, servers):
    """The program that stands between, as the file says it; npx finds the package where it is installed."""
    [(_, ours)] = [(name, server) for name, server in servers.items() if name.startswith("tidegate")]
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "npm_config_offline": "true", "MCP_REMOTE_CONFIG_DIR": str(home / "auth")}
    return StdioServerParameters(command=ours["command"], args=ours["args"], env=env, cwd=node_modules().parent)


def test_a_desktop_client_lists_and_calls_tools(connected):
    running, home, settings, env = connected
    running.command_in(env, "connect", "claude-desktop")
    text = settings.read_text()
    assert "tg_" not in text, "a key is in the file"
    servers = json.loads(text)["mcpServers"]
    assert servers["mine"] == {"command": "mine"}

    async def work():
        with anyio.fail_after(60):
            async with Client(stdio_client(program(home, servers)), mode="legacy") as client:
                tools = [tool.name for tool in (await client.list_tools()).tools]
                answer = await client.call_tool(next(name for name in tools if name.endswith("echo")), {"message": "hello"})
                return tools, answer.content[0].text

    tools, said = anyio.run(work)
    assert any(name.endswith("get-sum") for name in tools) and "hello" in said
    calls = [call for call in running.json("calls") if call["action"] == "call_tool"]
    assert [(call["key"], call["status"]) for call in calls] == [("claude-desktop", 200)]

    running.command_in(env, "disconnect", "claude-desktop")
    assert json.loads(settings.read_text())["mcpServers"] == {"mine": {"command": "mine"}}
    with pytest.raises(BaseException):
        anyio.run(work)
