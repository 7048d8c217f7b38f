"""openai-python's WebSocket of the Responses API before the sim in every dialect: answers, tools, memory, refusals."""

import json
import time

import openai
import pytest
import websockets.sync.client

from dialects import CALLER_KEY, VENDOR_KEY, WATCHED_KEY, every_provider

TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}, "strict": False}


def client(gateway, key=CALLER_KEY):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=20)


def answer(connection):
    """Everything up to the end of an answer."""
    seen = []
    for event in connection:
        seen.append(event)
        if event.type in {"response.completed", "response.incomplete", "response.failed", "error"}:
            return seen
    raise AssertionError(f"the socket ended after {seen}")


def words(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


@every_provider
def test_a_conversation_goes_on_before_every_dialect(before_sim, provider):
    with client(before_sim).responses.connect() as connection:
        connection.response.create(model=f"{provider}/chat", input="hello there", store=False)
        first = answer(connection)
        assert [first[0].type, first[-1].type] == ["response.created", "response.completed"]
        assert words(first) == "echo: hello there" and first[-1].response.usage.output_tokens > 0
        connection.response.create(
            model=f"{provider}/chat", input="and again", store=False, previous_response_id=first[-1].response.id
        )
        second = answer(connection)
        assert words(second) == "echo: and again"
        # The model was asked with all that was said before.
        asked = [one[-1].response.usage.input_tokens for one in [first, second]]
        assert asked[1] > asked[0] + 4, asked


@every_provider
def test_a_tool_loop_sends_new_items_alone(before_sim, provider):
    with client(before_sim).responses.connect() as connection:
        script = 'What is it like? [[sim: tool get_weather {"city":"Rome"}]]'
        connection.response.create(model=f"{provider}/chat", input=script, tools=[TOOL], store=False)
        response = answer(connection)[-1].response
        [call] = [item for item in response.output if item.type == "function_call"]
        assert json.loads(call.arguments) == {"city": "Rome"}
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        connection.response.create(
            model=f"{provider}/chat",
            input=[output],
            tools=[TOOL],
            store=False,
            previous_response_id=response.id,
        )
        last = answer(connection)
        assert last[-1].type == "response.completed" and words(last)


def test_what_is_only_to_be_remembered_is_asked_of_nobody(before_sim, asked):
    with client(before_sim).responses.connect() as connection:
        connection.response.create(model="messages/chat", input="keep this in mind", generate=False, store=False)
        warm = answer(connection)
        assert [event.type for event in warm] == ["response.created", "response.completed"]
        assert warm[-1].response.output == [] and asked() == []
        connection.response.create(
            model="messages/chat", input="hello", store=False, previous_response_id=warm[-1].response.id
        )
        assert words(answer(connection)).endswith("hello") and len(asked()) == 1


def test_refusals_are_events_and_the_socket_goes_on(before_sim):
    with client(before_sim).responses.connect() as connection:
        connection.response.create(model="messages/chat", input="a", previous_response_id="resp_unknown")
        [event] = answer(connection)
        assert (event.status, event.error.code) == (400, "previous_response_not_found")
        connection.response.create(model="nobody/knows", input="a")
        [event] = answer(connection)
        assert event.status == 404
        connection.response.create(model="chat/chat", input="still here")
        assert words(answer(connection)) == "echo: still here"


def test_lanes_are_named_in_every_event(before_sim):
    with client(before_sim).responses.connect() as connection:
        for lane in ["a", "b"]:
            connection.send({"type": "response.create", "model": "chat/chat", "input": lane, "stream_id": lane})
        for lane in ["a", "b"]:
            events = answer(connection)
            assert {event.stream_id for event in events} == {lane} and words(events) == f"echo: {lane}"


def test_guardrails_look_inside_the_answer(before_sim):
    with client(before_sim, WATCHED_KEY).responses.connect() as connection:
        connection.response.create(model="chat/leaky", input="tell me")
        events = answer(connection)
        assert events[-1].type == "response.completed"
        assert "4111" not in json.dumps([event.model_dump(mode="json") for event in events])


def test_who_has_no_key_gets_no_socket(before_sim):
    with pytest.raises(Exception) as refused:
        client(before_sim, VENDOR_KEY).responses.connect().enter()
    assert "401" in str(refused.value)


def test_a_long_answer_ends_when_its_reader_leaves(before_sim):
    url = before_sim.url.replace("http", "ws", 1) + "/v1/responses"
    headers = {"authorization": f"Bearer {CALLER_KEY}"}
    with websockets.sync.client.connect(url, additional_headers=headers, proxy=None) as socket:
        create = {"type": "response.create", "model": "chat/chat", "input": "[[sim: stream 500 chunks, 20ms]]"}
        socket.send(json.dumps(create))
        assert json.loads(socket.recv(timeout=10))["type"] == "response.created"
    for _ in range(100):
        [call] = [call for call in before_sim.json("calls") if call["surface"] == "openai"][:1]
        if call["status"] == 499:
            break
        time.sleep(0.1)
    assert call["status"] == 499, call
