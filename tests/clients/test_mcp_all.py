"""All MCP servers of a key as one, at /mcp; and servers that are programs."""

import contextlib
import os
import pathlib
import signal
import time

import anyio
import httpx2
import pytest
from mcp import MCPError

from conftest import ALONE_KEY, MODELS_ONLY_KEY, OTHER_KEY, SEVERAL_KEY, TEST_KEY
from test_mcp import all_pages, connected, dumped, everywhere, run


@pytest.fixture(scope="session")
def all_url(gateway):
    return f"{gateway.url}/mcp"


def test_every_tool_has_its_servers_name(all_url, everything_url):
    async def work():
        async with connected(all_url, SEVERAL_KEY) as client, connected(everything_url) as direct:
            # The server offers its last tools only once it has heard that a client is there, and says so then.
            for _ in range(20):
                listed = await client.list_tools()
                own = [tool.name for tool in (await direct.list_tools()).tools]
                names = [tool.name for tool in listed.tools]
                expected = sorted([f"everything__{name}" for name in own] + ["few__echo", "few__get-sum"])
                if sorted(names) == expected:
                    break
                await anyio.sleep(0.25)
            assert sorted(names) == expected
            # Nothing but the name is changed.
            through = {tool.name: dumped(tool) for tool in listed.tools}
            for tool in (await direct.list_tools()).tools:
                assert through[f"everything__{tool.name}"] == {**dumped(tool), "name": f"everything__{tool.name}"}
            # The server that is gone is said to be, and nothing else.
            missing = listed.meta["tidegate/unavailable"]
            assert [server["server"] for server in missing] == ["gone"]
            assert missing[0]["code"] == "upstream_unavailable"
            again = [tool.name for tool in (await client.list_tools()).tools]
            assert again == names

    run(work)


def test_a_call_reaches_the_server_that_its_name_says(all_url):
    async def work():
        async with connected(all_url, SEVERAL_KEY) as client:
            for name in ("everything__echo", "few__echo"):
                assert (await client.call_tool(name, {"message": name})).content[0].text == f"Echo: {name}"
            # A name that one server alone has needs no server's.
            with pytest.raises(MCPError) as refused:
                await client.call_tool("echo", {"message": "whose?"})
            assert "`everything__echo` or `few__echo`" in str(refused.value)
            alone = await client.call_tool("get-tiny-image", {})
            assert any(part.type == "image" for part in alone.content)
            nobody = await client.call_tool("nobody-has-this", {})
            assert nobody.is_error
            with pytest.raises(MCPError):
                await client.call_tool("few__get-tiny-image", {})
            with pytest.raises(MCPError) as gone:
                await client.call_tool("gone__echo", {})
            assert gone.value.error.code in (502, 503)

    run(work)


def test_a_key_sees_only_its_servers(all_url):
    async def work():
        async with connected(all_url, ALONE_KEY) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert names and all(name.startswith("everything__") for name in names)
            hidden = await client.call_tool("few__echo", {"message": "x"})
            assert hidden.is_error

    run(work)
    with httpx2.Client(headers={"authorization": f"Bearer {MODELS_ONLY_KEY}"}, trust_env=False) as http:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        answer = http.post(all_url, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
        assert answer.status_code == 404


def test_prompts_resources_templates_and_completion(all_url, everything_url):
    async def work():
        async with connected(all_url, SEVERAL_KEY) as client, connected(everything_url) as direct:
            prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
            own = [prompt.name for prompt in (await direct.list_prompts()).prompts]
            assert prompts == [f"{server}__{name}" for server in ("everything", "few") for name in own]
            one = dumped(await client.get_prompt("everything__simple-prompt"))
            assert one == dumped(await direct.get_prompt("simple-prompt"))

            resources = await all_pages(client.list_resources, "resources")
            uris = [str(resource["uri"]) for resource in resources]
            mine = [str(resource["uri"]) for resource in await all_pages(direct.list_resources, "resources")]
            assert len(set(uris)) == len(uris) == 2 * len(mine)
            assert set(mine) < set(uris)
            wrapped = [uri for uri in uris if uri.startswith("tidegate+few:")]
            assert len(wrapped) == len(mine)
            expected = dumped(await direct.read_resource(mine[0]))
            assert dumped(await client.read_resource(mine[0])) == expected
            assert dumped(await client.read_resource(f"tidegate+few:{mine[0]}")) == expected
            templates = await all_pages(client.list_resource_templates, "resource_templates")
            assert len(templates) == 2 * len(await all_pages(direct.list_resource_templates, "resource_templates"))

    run(work)


def test_a_cursor_belongs_to_its_session_and_list(all_url):
    async def work():
        async with connected(all_url, SEVERAL_KEY) as client:
            for cursor in ("", "0", "0123456789abcdef"):
                with pytest.raises(MCPError) as refused:
                    await client.list_tools(cursor=cursor)
                assert refused.value.error.code == -32602

    run(work)


def test_sampling_and_elicitation_reach_the_client_and_come_back(all_url):
    from mcp import types

    async def sample(_context, params):
        content = types.TextContent(type="text", text="sampled")
        return types.CreateMessageResult(role="assistant", content=content, model="m", stop_reason="endTurn")

    async def work():
        async with connected(all_url, SEVERAL_KEY, sampling_callback=sample) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            tool = next(name for name in names if "sampling" in name and name.startswith("everything__"))
            asked = {"prompt": "hello", "maxTokens": 10}
            return dumped(await client.call_tool(tool, asked))

    assert "sampled" in str(run(work))


def test_a_program_is_a_server_like_any_other(gateway, everything_url):
    async def tools(client):
        return [dumped(tool) for tool in (await client.list_tools()).tools]

    direct, piped = everywhere(tools, everything_url, f"{gateway.url}/mcp/program")
    assert {tool["name"] for tool in piped} >= {"echo", "get-sum"}
    assert {tool["name"] for tool in piped} <= {tool["name"] for tool in direct}

    async def work():
        async with connected(f"{gateway.url}/mcp/program") as client:
            steps = []

            async def progress(done, _total, _message):
                steps.append(done)

            assert (await client.call_tool("echo", {"message": "piped"})).content[0].text == "Echo: piped"
            arguments = {"duration": 1, "steps": 3}
            await client.call_tool("trigger-long-running-operation", arguments, progress_callback=progress)
            assert steps == [1, 2, 3]
            env = (await client.call_tool("get-env", {})).content[0].text
            assert '"GIVEN": "by the configuration"' in env
            assert "PATH" in env
            assert "TEST_KEY" not in env and TEST_KEY not in env

    run(work)


def children(gateway):
    """The processes that the gateway has started."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == gateway.process.process.pid and state != "Z":
                found.append(int(stat.parent.name))
    return found


def test_a_program_that_dies_is_started_again_in_the_same_session(gateway):
    async def work():
        async with connected(f"{gateway.url}/mcp/program", OTHER_KEY) as client:
            await client.call_tool("echo", {"message": "first"})
            before = children(gateway)
            assert before
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
            again = await client.call_tool("echo", {"message": "again"})
            assert again.content[0].text == "Echo: again"
            assert not set(children(gateway)) & set(before)

    run(work)
    # A session that has ended takes its process along.
    deadline = time.monotonic() + 10
    while children(gateway) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children(gateway) == []
