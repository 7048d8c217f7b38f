"""openai-python's realtime client before the sim: text, a fake sound, tools, guardrails, refusals."""

import base64
import time

import openai
import pytest
import websockets

from conftest import GUARDED_KEY

SOUND = base64.b64encode(bytes(9_600)).decode()
TEXT = {"type": "realtime", "output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}


def client(gateway, key=None):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key or gateway.key, max_retries=0, timeout=20)


def user(text):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def turn(connection):
    """Everything up to the end of a turn."""
    seen = []
    for event in connection:
        seen.append(event)
        if event.type in {"response.done", "error"}:
            return seen
    raise AssertionError(f"the session ended after {seen}")


def words(events):
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_a_conversation_in_text(quick):
    with client(quick).realtime.connect(model="sim/chat") as connection:
        connection.session.update(session=TEXT)
        connection.conversation.item.create(item=user("hello there"))
        connection.response.create()
        events = turn(connection)
        assert words(events) == "echo: hello there"
        done = events[-1].response
        assert done.status == "completed" and done.usage.total_tokens == done.usage.input_tokens + 5
        connection.conversation.item.create(item=user("and again"))
        connection.response.create(response={"max_output_tokens": 2})
        assert words(turn(connection)) == "echo: an"


def test_sound_in_and_sound_out(quick):
    with client(quick).realtime.connect(model="sim/chat") as connection:
        connection.input_audio_buffer.append(audio=SOUND)
        events = turn(connection)
        kinds = {event.type for event in events}
        assert {"input_audio_buffer.committed", "response.output_audio.delta"} <= kinds, kinds
        spoken = [event.delta for event in events if event.type == "response.output_audio_transcript.delta"]
        assert "".join(spoken) == "echo: 9600 bytes of sound"
        assert events[-1].response.usage.output_token_details.audio_tokens > 0


def test_a_tool_loop(quick):
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    with client(quick).realtime.connect(model="sim/chat") as connection:
        connection.session.update(session=TEXT | {"tools": [tool]})
        connection.conversation.item.create(item=user('[[sim: tool get_weather {"city":"Rome"}]]'))
        connection.response.create()
        call = turn(connection)[-1].response.output[0]
        assert (call.name, call.arguments) == ("get_weather", '{"city":"Rome"}')
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        connection.conversation.item.create(item=output)
        connection.response.create()
        assert turn(connection)[-1].response.output[0].content[0].text


def test_a_turn_is_cancelled(quick):
    with client(quick).realtime.connect(model="sim/chat") as connection:
        connection.session.update(session=TEXT)
        connection.conversation.item.create(item=user("[[sim: stream 500 chunks, 20ms]]"))
        connection.response.create()
        for event in connection:
            if event.type == "response.output_text.delta":
                break
        connection.response.cancel()
        done = turn(connection)[-1]
        assert done.response.status == "cancelled"


def test_secrets_are_taken_out_of_a_turn(quick):
    with client(quick, GUARDED_KEY).realtime.connect(model="sim/leaky") as connection:
        connection.session.update(session=TEXT)
        connection.conversation.item.create(item=user("tell me"))
        connection.response.create()
        events = turn(connection)
        text = " ".join(event.model_dump_json() for event in events)
        assert "4111" not in text and "CANARY" not in text and "REDACTED" in text


def test_what_is_not_there_is_refused_before_the_session(quick):
    for key, model, status in [(None, "sim/none", 404), ("tg_nobody", "sim/chat", 401)]:
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            client(quick, key).realtime.connect(model=model).enter()
        assert refused.value.response.status_code == status
        assert "x-tidegate-call-id" in refused.value.response.headers


def test_an_event_that_is_wrong_is_told(quick):
    with client(quick).realtime.connect(model="sim/chat") as connection:
        connection.send({"type": "session.update", "event_id": "mine", "session": {"type": "transcription"}})
        for event in connection:
            if event.type == "error":
                assert event.error.code == "invalid_request"
                break
        started = time.monotonic()
        connection.close()
        assert time.monotonic() - started < 5
