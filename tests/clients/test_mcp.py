"""The official Python MCP client gets from the reference server the same through Tidegate as directly."""

import contextlib
import re

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from conftest import MODELS_ONLY_KEY, OTHER_KEY, TEST_KEY, UNKNOWN_KEY

SECONDS = 20


@contextlib.asynccontextmanager
async def connected(url, key=TEST_KEY, mode="legacy", **more):
    """A client with a session; `legacy` starts with `initialize`, `auto` first asks for a newer revision."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=SECONDS, trust_env=False) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=SECONDS, **more) as client:
            yield client


def run(work):
    """Runs a coroutine function to its end, or fails after a while."""

    async def bounded():
        with anyio.fail_after(45):
            return await work()

    return anyio.run(bounded)


@pytest.fixture(scope="session")
def through_url(gateway):
    return f"{gateway.url}/mcp/everything"


@pytest.fixture(scope="session")
def few_url(gateway):
    return f"{gateway.url}/mcp/few"


def dumped(result):
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def everywhere(ask, *urls):
    """What `ask` finds over each URL."""

    async def work():
        found = []
        for url in urls:
            async with connected(url) as client:
                found.append(await ask(client))
        return found

    return run(work)


def assert_same(ask, everything_url, through_url):
    direct, through = everywhere(ask, everything_url, through_url)
    assert through == direct
    return direct


async def all_pages(fetch, items):
    """Every item over all pages; a cursor that never ends is a failure."""
    found, cursor = [], None
    for _ in range(50):
        page = await fetch(cursor=cursor)
        found += [dumped(item) for item in getattr(page, items)]
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("fifty pages, and still a cursor")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_session_starts(through_url, everything_url, mode):
    async def work():
        async with connected(through_url, mode=mode) as client, connected(everything_url) as direct:
            assert client.protocol_version == direct.protocol_version == "2025-11-25"
            assert client.server_info is not None
            assert client.server_capabilities.tools is not None
            assert client.server_capabilities.resources is not None
            assert client.server_capabilities.prompts is not None
            await client.send_ping()
            return (await client.call_tool("echo", {"message": mode})).content[0].text

    assert run(work) == f"Echo: {mode}"


def test_instructions_of_the_server_arrive(through_url, everything_url):
    async def instructions(client):
        return client.instructions

    assert assert_same(instructions, everything_url, through_url)


def by_name(items):
    return {item["name"]: item for item in items}


def test_tools_are_listed_with_every_field(through_url, everything_url):
    async def tools(client):
        return by_name(await all_pages(client.list_tools, "tools"))

    assert {"echo", "get-sum", "trigger-long-running-operation"} <= set(assert_same(tools, everything_url, through_url))


CALLS = [
    ("echo", {"message": "Grüß Gott – 你好 😀 \" \\ \n \u2028"}),
    ("echo", {"message": ""}),
    ("echo", {"message": "x" * 100_000}),
    ("get-sum", {"a": 2, "b": 3}),
    ("get-sum", {"a": 0.1, "b": 1e21}),
    ("get-sum", {"a": 9007199254740993, "b": 0}),
    ("get-structured-content", {"location": "Chicago"}),
    ("get-annotated-message", {"messageType": "error", "includeImage": True}),
    ("get-tiny-image", {}),
    ("get-resource-links", {"count": 3}),
]


@pytest.mark.parametrize(("tool", "arguments"), CALLS, ids=[f"{tool}-{index}" for index, (tool, _) in enumerate(CALLS)])
def test_a_tool_answers_as_directly(through_url, everything_url, tool, arguments):
    async def call(client):
        return dumped(await client.call_tool(tool, arguments))

    direct = assert_same(call, everything_url, through_url)
    assert direct["content"] and not direct.get("isError")


def test_wrong_arguments_are_the_tools_own_error(through_url, everything_url):
    async def call(client):
        return dumped(await client.call_tool("get-sum", {"a": "two"}))

    assert assert_same(call, everything_url, through_url)["isError"]


def test_resources_are_listed_and_read(through_url, everything_url):
    async def resources(client):
        listed = await all_pages(client.list_resources, "resources")
        read = [dumped(await client.read_resource(item["uri"])) for item in listed[:2]]
        return sorted(item["uri"] for item in listed), read

    listed, read = assert_same(resources, everything_url, through_url)
    assert listed and all(result["contents"] for result in read)


def test_resource_templates_are_listed_and_filled(through_url, everything_url):
    async def templates(client):
        listed = await all_pages(client.list_resource_templates, "resource_templates")
        text = dumped(await client.read_resource("demo://resource/dynamic/text/7"))["contents"][0]
        # The text names the second in which it was made.
        text["text"] = re.sub(r"at .*", "at …", text["text"])
        return listed, text

    listed, text = assert_same(templates, everything_url, through_url)
    assert listed and text["text"].startswith("Resource 7")


def test_prompts_are_listed_and_got(through_url, everything_url):
    async def prompts(client):
        listed = by_name(await all_pages(client.list_prompts, "prompts"))
        simple = dumped(await client.get_prompt("simple-prompt"))
        filled = dumped(await client.get_prompt("args-prompt", {"city": "Linz", "state": "Oberösterreich"}))
        return listed, simple, filled

    listed, _, filled = assert_same(prompts, everything_url, through_url)
    assert "args-prompt" in listed
    assert filled["messages"][0]["content"]["text"] == "What's weather in Linz, Oberösterreich?"


def test_progress_of_a_long_call_arrives_in_order(through_url, everything_url):
    async def progress(client):
        seen = []

        async def on_progress(done, total, message):
            seen.append((done, total, message))

        arguments = {"duration": 0.6, "steps": 4}
        result = await client.call_tool("trigger-long-running-operation", arguments, progress_callback=on_progress)
        return seen, dumped(result)

    seen, _ = assert_same(progress, everything_url, through_url)
    assert [done for done, _, _ in seen] == [1, 2, 3, 4]


def test_logging_level_is_set_and_messages_arrive(through_url):
    async def work():
        seen, arrived = [], anyio.Event()

        async def on_log(message):
            seen.append(message.level)
            arrived.set()

        async with connected(through_url, logging_callback=on_log) as client:
            await client.set_logging_level("debug")
            await client.call_tool("toggle-simulated-logging", {})
            with anyio.fail_after(12):
                await arrived.wait()
            await client.call_tool("toggle-simulated-logging", {})
        return seen

    assert run(work)


def test_a_server_may_ask_the_client_during_a_call(through_url):
    """Sampling: the request goes from the server through the gateway to the client, and its answer back."""
    from mcp import types

    async def work():
        asked = []

        async def on_sampling(context, params):
            asked.append(params.messages[0])
            content = types.TextContent(type="text", text="sampled by the client")
            return types.CreateMessageResult(role="assistant", content=content, model="client-model")

        async with connected(through_url, sampling_callback=on_sampling) as client:
            result = await client.call_tool("trigger-sampling-request", {"prompt": "say it", "maxTokens": 5})
        return asked, result

    asked, result = run(work)
    assert len(asked) == 1
    assert not result.is_error
    assert "sampled by the client" in result.content[0].text


def test_concurrent_clients_get_their_own_answers(through_url):
    """Two sessions count their requests alike, so equal ids are in flight at the same time."""

    async def work():
        answers, steps = {}, {}

        async def ask(client, who, index):
            if index % 5 == 0:
                seen = steps[who, index] = []

                async def on_progress(done, total, message):
                    seen.append((done, total))

                arguments = {"duration": 0.2, "steps": 2 if who == "ada" else 3}
                result = await client.call_tool(
                    "trigger-long-running-operation", arguments, progress_callback=on_progress
                )
            else:
                result = await client.call_tool("echo", {"message": f"{who} {index}"})
            answers[who, index] = result.content[0].text

        async with connected(through_url) as ada, connected(through_url) as bob, anyio.create_task_group() as group:
            for index in range(20):
                group.start_soon(ask, ada, "ada", index)
                group.start_soon(ask, bob, "bob", index)
        return answers, steps

    answers, steps = run(work)
    assert len(answers) == 40
    for (who, index), text in answers.items():
        count = 2 if who == "ada" else 3
        if index % 5 == 0:
            assert text == f"Long running operation completed. Duration: 0.2 seconds, Steps: {count}."
            assert steps[who, index] == [(done, count) for done in range(1, count + 1)]
        else:
            assert text == f"Echo: {who} {index}"


def bare(message):
    """A message without the id of its call."""
    return re.sub(r"call_[0-9a-f]{32}", "call", message)


def refused(url, key):
    """How the connection fails, if it does."""

    async def work():
        async with connected(url, key) as client:
            await client.list_tools()

    with pytest.raises(BaseException) as caught:
        run(work)
    return caught.value


def status(gateway, path, key, method="initialize"):
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with gateway.http(key, headers={"accept": "application/json, text/event-stream"}) as http:
        return http.post(path, json=body)


def test_a_key_without_the_server_is_refused(gateway, through_url):
    assert refused(through_url, MODELS_ONLY_KEY)
    forbidden = status(gateway, "/mcp/everything", MODELS_ONLY_KEY)
    unknown = status(gateway, "/mcp/no-such-server", MODELS_ONLY_KEY)
    assert forbidden.headers["x-tidegate-error"] == unknown.headers["x-tidegate-error"] == "not_found"
    assert forbidden.status_code == unknown.status_code
    assert "mcp-session-id" not in forbidden.headers
    errors = [bare(answer.json()["error"]["message"]) for answer in (forbidden, unknown)]
    assert errors[0].replace("everything", "…") == errors[1].replace("no-such-server", "…")


def test_an_unknown_key_is_refused(gateway, through_url):
    assert refused(through_url, UNKNOWN_KEY)
    answer = status(gateway, "/mcp/everything", UNKNOWN_KEY)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_tool_that_is_not_allowed_is_hidden_and_refused(few_url):
    async def work():
        async with connected(few_url) as client:
            names = [tool["name"] for tool in await all_pages(client.list_tools, "tools")]
            allowed = await client.call_tool("get-sum", {"a": 1, "b": 1})
            with pytest.raises(MCPError) as hidden:
                await client.call_tool("get-env", {})
            with pytest.raises(MCPError) as unknown:
                await client.call_tool("no-such-tool", {})
            # The session lives on.
            await client.call_tool("echo", {"message": "still here"})
        return names, allowed.content[0].text, hidden.value, unknown.value

    names, allowed, hidden, unknown = run(work)
    assert sorted(names) == ["echo", "get-sum"]
    assert allowed == "The sum of 1 and 1 is 2."
    assert hidden.code == unknown.code, "a hidden tool and one that does not exist look alike"
    assert bare(hidden.message).replace("get-env", "…") == bare(unknown.message).replace("no-such-tool", "…")


def test_an_ended_session_is_gone(gateway):
    started = status(gateway, "/mcp/everything", TEST_KEY)
    assert started.status_code == 200
    session = {"mcp-session-id": started.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    with gateway.http(TEST_KEY, headers={"accept": "application/json, text/event-stream", **session}) as http:
        notice = http.post("/mcp/everything", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert notice.status_code == 202
        assert http.delete("/mcp/everything").status_code in (200, 204)
        answer = http.post("/mcp/everything", json={"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    assert answer.status_code == 404


def test_a_session_belongs_to_the_key_that_started_it(gateway):
    """Whoever learns a session's id cannot use it with a key of their own."""
    started = status(gateway, "/mcp/everything", TEST_KEY)
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-session-id": started.headers["mcp-session-id"],
        "mcp-protocol-version": "2025-11-25",
    }
    with gateway.http(OTHER_KEY, headers=headers) as http:
        answer = http.post("/mcp/everything", json={"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    assert answer.status_code == 404
    assert status(gateway, "/mcp/everything", OTHER_KEY).status_code == 200, "the other key may use the server"
