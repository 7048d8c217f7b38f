"""The official OpenAI client's chat completions before the sim, through Tidegate, in every dialect that it speaks."""

import json

import openai
import pydantic
import pytest

from dialects import CALLER_KEY, CITIES, TWO_CALLS, UPSTREAMS, both_forms, every_provider

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def client(before_sim):
    with openai.OpenAI(base_url=f"{before_sim.url}/v1", api_key=CALLER_KEY, max_retries=0, timeout=30) as client:
        yield client


def say(client, provider, text, **more):
    request = {"model": f"{provider}/chat", "messages": [{"role": "user", "content": text}], **more}
    return client.chat.completions.create(**request)


@every_provider
def test_an_answer_is_whole_counted_and_asked_for_in_the_upstreams_dialect(client, provider, asked):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüß Gott – 你好"}]
    raw = client.chat.completions.with_raw_response.create(
        model=f"{provider}/chat", messages=messages, max_tokens=99, temperature=0
    )
    answer = raw.parse()
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("echo: Grüß Gott – 你好", "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-tidegate-served-by"] == f"{provider}/chat"
    assert "x-tidegate-loss" not in raw.headers, "nothing of this is lost anywhere"
    [path] = asked()
    assert path in UPSTREAMS[provider][3]


@every_provider
def test_a_stream_folds_to_the_whole_answer(client, provider):
    messages = [{"role": "user", "content": "one two three"}]
    request = {"model": f"{provider}/chat", "messages": messages, "max_tokens": 99}
    whole = client.chat.completions.create(**request)
    with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
        kinds = [event.type for event in stream]
        folded = stream.get_final_completion()
    assert kinds.count("content.delta") > 1 and kinds.count("content.done") == 1
    assert folded.choices[0].message.content == whole.choices[0].message.content
    assert folded.choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert folded.usage == whole.usage


@every_provider
@both_forms
def test_an_answer_cut_by_the_limit_says_so(client, provider, streamed):
    answer = say(client, provider, "a prompt that does not fit", max_tokens=2, stream=streamed)
    pieces = list(answer) if streamed else [answer]
    assert [choice.finish_reason for piece in pieces for choice in piece.choices if choice.finish_reason] == ["length"]


@every_provider
@both_forms
def test_a_loop_with_two_tools_at_once(client, provider, streamed):
    messages = [{"role": "user", "content": TWO_CALLS}]
    request = {"model": f"{provider}/chat", "tools": [WEATHER], "tool_choice": "auto"}
    if streamed:
        with client.chat.completions.stream(**request, messages=messages) as stream:
            events = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
            answer = stream.get_final_completion()
        assert [event.parsed_arguments for event in events] == [{"city": city} for city in CITIES]
    else:
        answer = client.chat.completions.create(**request, messages=messages)
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", {"city": city}) for city in CITIES
    ]
    assert len({call.id for call in calls}) == 2
    messages.append(choice.message.to_dict())
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"sunny {call.id}"} for call in calls]
    last = client.chat.completions.create(**request, messages=messages).choices[0]
    assert last.finish_reason == "stop" and last.message.content.startswith("echo: ") and not last.message.tool_calls


class Person(pydantic.BaseModel):
    name: str
    age: int


@every_provider
def test_structured_output_is_parsed(client, provider):
    answer = client.chat.completions.parse(
        model=f"{provider}/chat",
        messages=[{"role": "user", "content": 'Who? [[sim: say {"name": "Ada", "age": 36}]]'}],
        response_format=Person,
    )
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


@every_provider
def test_errors_are_the_clients_own(client, provider):
    with pytest.raises(openai.RateLimitError):
        say(client, provider, "[[sim: fail 429]]")
    with pytest.raises(openai.InternalServerError):
        say(client, provider, "[[sim: fail 500]]")


@every_provider
def test_a_stream_that_breaks_raises_and_never_ends_well(client, provider):
    heard = []
    with pytest.raises(openai.APIError):
        for chunk in say(client, provider, "[[sim: stream 9 chunks, 0ms]][[sim: cut after 3]]", stream=True):
            heard += [choice.finish_reason for choice in chunk.choices]
    assert heard and not any(heard)
