"""The official OpenAI and Anthropic clients get from the real model the same through Tidegate as directly.

Four ways lead through the gateway: each client to an upstream of its own dialect, and each to one of the other. The
model is small and talks nonsense, but the same nonsense each time: what is compared is text, stop reason and tokens.
"""

import json

import anthropic
import openai
import pytest

from conftest import MODELS_ONLY_KEY, TEST_KEY, UNKNOWN_KEY

MODEL = "gemma3-270m"

#: system prompt, messages, stop sequence, most tokens, and what ends the answer.
QUESTIONS = {
    "cut by the limit": (None, [("user", "Name three colours.")], None, 24, "limit"),
    "ended by a stop sequence": (None, [("user", "What is the capital of France?")], "\n", 40, "end"),
    "system prompt and other scripts": ("Be brief. Ünïcödé ✓ 日本語", [("user", "Grüß Gott – 你好 😀")], None, 24, "limit"),
    "several turns": (
        None,
        [("user", "My name is Ada."), ("assistant", "Hello Ada."), ("user", "What is my name?")],
        None,
        24,
        "limit",
    ),
}
every_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
both_upstreams = pytest.mark.parametrize("model", ["by-openai", "by-anthropic"])
both_forms = pytest.mark.parametrize("stream", [False, True], ids=["unary", "streamed"])

#: Both dialects' words for why an answer ended.
ENDS = {"length": "limit", "max_tokens": "limit", "stop": "end", "end_turn": "end", "stop_sequence": "end"}


def openai_client(base_url, key=TEST_KEY):
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0, timeout=30)


def anthropic_client(base_url, key=TEST_KEY):
    return anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=30)


def openai_request(model, question):
    system, turns, stop, most, _ = question
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": role, "content": text} for role, text in turns]
    request = {"model": model, "messages": messages, "max_tokens": most, "temperature": 0}
    return request | ({"stop": [stop]} if stop else {})


def anthropic_request(model, question):
    system, turns, stop, most, _ = question
    messages = [{"role": role, "content": text} for role, text in turns]
    # This client has no argument for the temperature any more, though the dialect still has the field.
    request = {"model": model, "messages": messages, "max_tokens": most, "extra_body": {"temperature": 0}}
    return request | ({"system": system} if system else {}) | ({"stop_sequences": [stop]} if stop else {})


def ask_openai(base_url, model, question, stream):
    """Text, end, input tokens and output tokens."""
    request = openai_request(model, question)
    with openai_client(base_url) as client:
        if not stream:
            answer = client.chat.completions.create(**request)
            choice = answer.choices[0]
            usage = answer.usage
            return choice.message.content, ENDS[choice.finish_reason], usage.prompt_tokens, usage.completion_tokens
        chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    choices = [choice for chunk in chunks for choice in chunk.choices]
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(reasons) == 1, "a choice ends once"
    assert len(usages) == 1, "usage comes once"
    assert chunks[-1].usage and not chunks[-1].choices, "usage comes last, with no choice"
    assert len({chunk.id for chunk in chunks}) == 1, "all chunks are of one answer"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert choices[0].delta.role == "assistant"
    text = "".join(choice.delta.content or "" for choice in choices)
    return text, ENDS[reasons[0]], usages[0].prompt_tokens, usages[0].completion_tokens


def ask_anthropic(base_url, model, question, stream):
    """Text, end, input tokens and output tokens."""
    request = anthropic_request(model, question)
    with anthropic_client(base_url) as client:
        if not stream:
            message = client.messages.create(**request)
        else:
            with client.messages.stream(**request) as events:
                for _ in events:
                    pass
                message = events.get_final_message()
    assert (message.type, message.role) == ("message", "assistant")
    text = "".join(block.text for block in message.content)
    return text, ENDS[message.stop_reason], message.usage.input_tokens, message.usage.output_tokens


@pytest.fixture(scope="session")
def directly(model_url):
    """What the model answers without the gateway, by dialect and form; each question is asked once."""
    asks = {"openai": ask_openai, "anthropic": ask_anthropic}
    cache = {}

    def ask(dialect, question, stream):
        key = (dialect, repr(question), stream)
        if key not in cache:
            cache[key] = asks[dialect](model_url, MODEL, question, stream)
        return cache[key]

    return ask


@every_question
def test_the_model_is_fit_for_comparing(model_url, directly, question):
    """Both dialects and both forms already agree without the gateway, and asking again changes nothing."""
    first = directly("openai", question, False)
    assert ask_openai(model_url, MODEL, question, False) == first
    assert directly("openai", question, True) == first
    assert directly("anthropic", question, False) == first
    assert directly("anthropic", question, True) == first
    assert first[0] and first[1] == question[4]


@every_question
@both_upstreams
@both_forms
def test_openai_client_gets_the_same_as_directly(gateway, directly, model, question, stream):
    assert ask_openai(gateway.url, model, question, stream) == directly("openai", question, stream)


@every_question
@both_upstreams
@both_forms
def test_anthropic_client_gets_the_same_as_directly(gateway, directly, model, question, stream):
    assert ask_anthropic(gateway.url, model, question, stream) == directly("anthropic", question, stream)


def test_a_model_is_also_named_with_its_provider(gateway, directly):
    question = QUESTIONS["cut by the limit"]
    assert ask_openai(gateway.url, f"local/{MODEL}", question, False) == directly("openai", question, False)


def test_the_matched_stop_sequence_is_kept_within_one_dialect(gateway, model_url):
    question = QUESTIONS["ended by a stop sequence"]
    with anthropic_client(model_url) as client:
        direct = client.messages.create(**anthropic_request(MODEL, question))
    with anthropic_client(gateway.url) as client:
        through = client.messages.create(**anthropic_request("by-anthropic", question))
    assert direct.stop_sequence == question[2]
    assert (through.stop_reason, through.stop_sequence) == (direct.stop_reason, direct.stop_sequence)


def data_lines(response):
    return [line.removeprefix("data:").strip() for line in response.text.splitlines() if line.startswith("data:")]


@both_upstreams
def test_openai_stream_is_well_formed_on_the_wire(gateway, model):
    request = openai_request(model, QUESTIONS["cut by the limit"]) | {"stream": True}
    with gateway.http(TEST_KEY) as http:
        response = http.post("/v1/chat/completions", json=request)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = data_lines(response)
    assert lines[-1] == "[DONE]" and lines.count("[DONE]") == 1
    chunks = [json.loads(line) for line in lines[:-1]]
    assert not any("error" in chunk for chunk in chunks)
    # Who did not ask for usage gets no chunk without a choice.
    assert all(chunk["choices"] for chunk in chunks)


@both_upstreams
def test_anthropic_stream_is_well_formed_on_the_wire(gateway, model):
    request = anthropic_request(model, QUESTIONS["cut by the limit"])
    request |= request.pop("extra_body") | {"stream": True}
    with gateway.http(TEST_KEY, headers={"anthropic-version": "2023-06-01"}) as http:
        response = http.post("/v1/messages", json=request)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    named = [line.removeprefix("event:").strip() for line in response.text.splitlines() if line.startswith("event:")]
    events = [json.loads(line) for line in data_lines(response)]
    assert named == [event["type"] for event in events], "each event is named by its type"
    kinds = [kind for kind in named if kind != "ping"]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    open_block, blocks = None, 0
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert open_block is None and event["index"] == blocks
                open_block, blocks = event["index"], blocks + 1
            case "content_block_delta":
                assert event["index"] == open_block
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = None
    assert blocks == 1 and open_block is None


def test_models_are_listed_in_both_dialects(gateway):
    with openai_client(gateway.url) as client:
        assert {"by-openai", "by-anthropic"} <= {model.id for model in client.models.list()}
    with anthropic_client(gateway.url) as client:
        assert {"by-openai", "by-anthropic"} <= {model.id for model in client.models.list()}


def test_a_key_sees_only_the_models_it_may_use(gateway):
    with openai_client(gateway.url, MODELS_ONLY_KEY) as client:
        assert [model.id for model in client.models.list()] == ["by-openai"]


def test_tokens_are_counted_as_directly(gateway, model_url):
    messages = [{"role": "user", "content": "How long is this?"}]
    with anthropic_client(model_url) as client:
        direct = client.messages.count_tokens(model=MODEL, messages=messages)
    with anthropic_client(gateway.url) as client:
        assert client.messages.count_tokens(model="by-anthropic", messages=messages) == direct


HELLO = [{"role": "user", "content": "Hello"}]


def chat(url, key=TEST_KEY, **request):
    with openai_client(url, key) as client:
        return client.chat.completions.create(**{"model": "by-openai", "messages": HELLO, "max_tokens": 4} | request)


def messages(url, key=TEST_KEY, **request):
    with anthropic_client(url, key) as client:
        return client.messages.create(**{"model": "by-anthropic", "messages": HELLO, "max_tokens": 4} | request)


surfaces = pytest.mark.parametrize(("ask", "sdk"), [(chat, openai), (messages, anthropic)], ids=["openai", "anthropic"])


def code(error):
    return error.value.response.headers.get("x-tidegate-error")


@surfaces
@pytest.mark.parametrize("key", [UNKNOWN_KEY, UNKNOWN_KEY[:-1] + "~", "sk-something"], ids=["unknown", "typo", "other"])
def test_a_wrong_key_is_an_authentication_error(gateway, ask, sdk, key):
    with pytest.raises(sdk.AuthenticationError) as error:
        ask(gateway.url, key)
    assert code(error) == "unauthenticated"
    assert key not in str(error.value)


@surfaces
@pytest.mark.parametrize("model", ["no-such-model", "local", "nowhere/model"])
def test_an_unknown_model_is_not_found(gateway, ask, sdk, model):
    with pytest.raises(sdk.NotFoundError) as error:
        ask(gateway.url, model=model)
    assert code(error) == "not_found"


@surfaces
def test_a_forbidden_model_answers_as_an_unknown_one(gateway, ask, sdk):
    with pytest.raises(sdk.NotFoundError) as forbidden:
        ask(gateway.url, MODELS_ONLY_KEY, model="by-anthropic")
    with pytest.raises(sdk.NotFoundError) as unknown:
        ask(gateway.url, MODELS_ONLY_KEY, model="by-anthropik")
    assert code(forbidden) == code(unknown) == "not_found"


@surfaces
@pytest.mark.parametrize("wrong", [{"messages": "Hello"}, {"messages": [5]}, {"max_tokens": "many"}, {"model": 7}])
def test_a_wrong_type_is_a_bad_request(gateway, ask, sdk, wrong):
    with pytest.raises(sdk.BadRequestError) as error:
        ask(gateway.url, **wrong)
    assert code(error) == "invalid_request"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "by-openai"', b'{"model":"a","model":"b"}', b"\xff\xfe{}"])
def test_a_malformed_body_is_a_bad_request_in_the_surfaces_shape(gateway, path, body):
    with gateway.http(TEST_KEY, headers={"content-type": "application/json"}) as http:
        response = http.post(path, content=body)
    assert response.status_code == 400
    assert response.headers["x-tidegate-error"] == "invalid_request"
    answer = response.json()
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["message"]
    assert answer.get("type") == ("error" if path == "/v1/messages" else None)


def test_a_client_that_leaves_does_not_disturb_the_next(gateway, directly):
    question = QUESTIONS["cut by the limit"]
    for _ in range(3):
        with openai_client(gateway.url) as client:
            stream = client.chat.completions.create(**openai_request("by-openai", question), stream=True)
            next(iter(stream))
            stream.close()
    assert ask_openai(gateway.url, "by-openai", question, True) == directly("openai", question, True)
