"""The official Anthropic client's messages before the sim, through Tidegate, in every dialect that it speaks."""

import anthropic
import pydantic
import pytest

from dialects import CALLER_KEY, CITIES, TWO_CALLS, UPSTREAMS, both_forms, every_provider

WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def client(before_sim):
    with anthropic.Anthropic(base_url=before_sim.url, api_key=CALLER_KEY, max_retries=0, timeout=30) as client:
        yield client


def request(provider, text, **more):
    return {"model": f"{provider}/chat", "max_tokens": 99, "messages": [{"role": "user", "content": text}], **more}


def fold(client, asked):
    with client.messages.stream(**asked) as stream:
        return stream.get_final_message()


@every_provider
def test_an_answer_is_whole_counted_and_asked_for_in_the_upstreams_dialect(client, provider, asked):
    raw = client.messages.with_raw_response.create(**request(provider, "Grüß Gott – 你好", system="Be brief."))
    answer = raw.parse()
    assert [(block.type, block.text) for block in answer.content] == [("text", "echo: Grüß Gott – 你好")]
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert raw.headers["x-tidegate-served-by"] == f"{provider}/chat"
    assert "x-tidegate-loss" not in raw.headers, "nothing of this is lost anywhere"
    [path] = asked()
    assert path in UPSTREAMS[provider][3]


@every_provider
def test_a_stream_folds_to_the_whole_answer(client, provider):
    whole = client.messages.create(**request(provider, "one two three"))
    with client.messages.stream(**request(provider, "one two three")) as stream:
        texts = list(stream.text_stream)
        folded = stream.get_final_message()
    assert len(texts) > 1 and "".join(texts) == whole.content[0].text
    assert [block.text for block in folded.content] == [block.text for block in whole.content]
    assert folded.stop_reason == whole.stop_reason == "end_turn"
    counts = [(usage.input_tokens, usage.output_tokens) for usage in [folded.usage, whole.usage]]
    assert counts[0] == counts[1]


@every_provider
@both_forms
def test_an_answer_cut_by_the_limit_says_so(client, provider, streamed):
    asked = request(provider, "a prompt that does not fit", max_tokens=2)
    answer = fold(client, asked) if streamed else client.messages.create(**asked)
    assert answer.stop_reason == "max_tokens"


@every_provider
@both_forms
def test_a_loop_with_two_tools_at_once(client, provider, streamed):
    asked = request(provider, TWO_CALLS, tools=[WEATHER], tool_choice={"type": "auto"})
    answer = fold(client, asked) if streamed else client.messages.create(**asked)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use"
    assert [(call.name, call.input) for call in calls] == [("get_weather", {"city": city}) for city in CITIES]
    assert len({call.id for call in calls}) == 2
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"sunny {call.id}"} for call in calls]
    asked["messages"] += [
        {"role": "assistant", "content": [block.to_dict() for block in answer.content]},
        {"role": "user", "content": results},
    ]
    last = client.messages.create(**asked)
    assert last.stop_reason == "end_turn"
    assert [block.type for block in last.content] == ["text"] and last.content[0].text.startswith("echo: ")


@every_provider
def test_the_client_runs_tools_by_itself(client, provider):
    ran = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        ran.append(city)
        return f"sunny in {city}"

    runner = client.beta.messages.tool_runner(**request(provider, TWO_CALLS), tools=[get_weather])
    assert runner.until_done().stop_reason == "end_turn"
    assert ran == CITIES


class Person(pydantic.BaseModel):
    name: str
    age: int


@every_provider
def test_structured_output_is_parsed(client, provider):
    asked = request(provider, 'Who? [[sim: say {"name": "Ada", "age": 36}]]')
    assert client.messages.parse(**asked, output_format=Person).parsed_output == Person(name="Ada", age=36)


@every_provider
def test_errors_are_the_clients_own(client, provider):
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**request(provider, "[[sim: fail 429]]"))
    with pytest.raises(anthropic.InternalServerError):
        client.messages.create(**request(provider, "[[sim: fail 500]]"))


@every_provider
def test_a_stream_that_breaks_raises_and_never_ends_well(client, provider):
    with pytest.raises(anthropic.APIError):
        fold(client, request(provider, "[[sim: stream 9 chunks, 0ms]][[sim: cut after 3]]"))
