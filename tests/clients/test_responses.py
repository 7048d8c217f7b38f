"""The official OpenAI client's Responses, before the sim: in its own dialect, and through Tidegate in each other one.

The sim answers what a script in the prompt says, so that whole answers, events, tool loops and structured output can be
compared to the letter.
"""

import json

import openai
import pydantic
import pytest

from conftest import UNKNOWN_KEY
from dialects import CALLER_KEY, CITIES, TWO_CALLS, UPSTREAMS, both_forms, every_provider

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def client(before_sim):
    with openai.OpenAI(base_url=f"{before_sim.url}/v1", api_key=CALLER_KEY, max_retries=0, timeout=30) as client:
        yield client


def test_the_sim_alone_answers_as_through_the_gateway(sim_url, client):
    with openai.OpenAI(base_url=f"{sim_url}/v1", api_key="none", max_retries=0) as direct:
        one = direct.responses.create(model="chat", input="Grüß Gott 😀")
    other = client.responses.create(model="responses/chat", input="Grüß Gott 😀")
    assert one == other and one.output_text == "echo: Grüß Gott 😀"


@every_provider
def test_a_text_whole_and_in_events(client, provider, asked):
    paths = asked
    asked = {"model": f"{provider}/chat", "input": "Grüß Gott 😀 again", "instructions": "Be brief."}
    answer = client.responses.create(**asked)
    assert answer.output_text == "echo: Grüß Gott 😀 again"
    assert (answer.status, answer.object, answer.error, answer.incomplete_details) == ("completed", "response", None, None)
    usage = answer.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0
    with client.responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == answer.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (final.output_text, final.usage, final.status) == (answer.output_text, answer.usage, answer.status)
    assert len(paths()) == 2 and set(paths()) <= UPSTREAMS[provider][3]


@every_provider
def test_an_answer_cut_by_the_limit_is_incomplete(client, provider):
    asked = {"model": f"{provider}/chat", "input": "a prompt that does not fit", "max_output_tokens": 2}
    answer = client.responses.create(**asked)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert len(answer.output_text) == 8
    last = list(client.responses.create(**asked, stream=True))[-1]
    assert (last.type, last.response.output_text) == ("response.incomplete", answer.output_text)


@every_provider
@both_forms
def test_a_loop_with_two_tools_at_once(client, provider, streamed):
    def ask(turns):
        asked = {"model": f"{provider}/chat", "input": turns, "tools": [WEATHER], "store": False}
        if not streamed:
            return client.responses.create(**asked)
        with client.responses.stream(**asked) as stream:
            return stream.get_final_response()

    turns = [{"role": "user", "content": TWO_CALLS}]
    answer = ask(turns)
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments), call.status) for call in calls] == [
        ("get_weather", {"city": city}, "completed") for city in CITIES
    ]
    assert len({name for call in calls for name in [call.id, call.call_id]}) == 4
    turns += [item.to_dict() for item in answer.output]
    turns += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    # The sim echoes what was said last as the user: tools' results are that in some dialects only.
    assert ask(turns).output_text.startswith("echo: ")


class Person(pydantic.BaseModel):
    name: str
    age: int


@every_provider
def test_structured_output_is_parsed(client, provider):
    answer = client.responses.parse(
        model=f"{provider}/chat", input='Who? [[sim: say {"name": "Ada", "age": 36}]]', text_format=Person
    )
    assert answer.output_parsed == Person(name="Ada", age=36)


@pytest.mark.parametrize("provider", ["messages", "responses", "gemini", "converse"])
def test_tokens_are_counted(client, provider):
    count = client.responses.input_tokens.count(model=f"{provider}/chat", input="twelve bytes")
    assert (count.object, count.input_tokens) == ("response.input_tokens", 3)


@every_provider
def test_errors_are_the_clients_own(client, provider):
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model=f"{provider}/chat", input="[[sim: fail 429]]")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="nowhere/chat", input="a")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key=UNKNOWN_KEY).responses.create(model=f"{provider}/chat", input="a")
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=f"{provider}/chat", input=[])


@every_provider
def test_a_stream_that_breaks_raises_and_never_ends_well(client, provider):
    asked = {"model": f"{provider}/chat", "input": "[[sim: stream 9 chunks, 0ms]][[sim: cut after 3]]"}
    heard = []
    with pytest.raises(openai.APIError):
        for event in client.responses.create(**asked, stream=True):
            heard.append(event.type)
    assert "response.output_text.delta" in heard and "response.completed" not in heard


@pytest.mark.parametrize("provider", [name for name in UPSTREAMS if name != "responses"])
def test_what_only_the_vendor_keeps_is_refused_by_name(client, provider):
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(model=f"{provider}/chat", input="a", previous_response_id="resp_1")
    assert error.value.param == "/previous_response_id"
