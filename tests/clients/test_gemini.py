"""The official google-genai client gets through Tidegate what it asks for, whatever dialect the provider speaks.

The provider is `tidegate sim`, which speaks every dialect on one port and answers the same each time: it echoes the last
message, or does what the prompt's directives say.
"""

import json

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from conftest import UNKNOWN_KEY
from dialects import CALLER_KEY, UPSTREAMS, VENDOR_KEY, every_provider


@pytest.fixture
def client(before_sim):
    return genai_client(before_sim.url)


def genai_client(base_url, key=CALLER_KEY):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base_url, timeout=30_000))


@every_provider
def test_an_answer_is_whole_counted_and_asked_for_in_the_upstreams_dialect(client, provider, asked):
    config = types.GenerateContentConfig(system_instruction="Be brief.", temperature=0, max_output_tokens=200)
    answer = client.models.generate_content(model=f"{provider}/chat", contents="Grüß Gott – 你好", config=config)
    assert answer.text == "echo: Grüß Gott – 你好"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage.prompt_token_count > 0 and usage.candidates_token_count > 0
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    [path] = asked()
    assert path in UPSTREAMS[provider][3]


@every_provider
def test_a_stream_ends_with_its_reason_and_its_usage(client, provider):
    question = "[[sim: stream 5 chunks, 1ms]]"
    pieces = list(client.models.generate_content_stream(model=f"{provider}/chat", contents=question))
    assert "".join(piece.text or "" for piece in pieces) == "".join(f"piece {number} " for number in range(5))
    reasons = [piece.candidates[0].finish_reason for piece in pieces if piece.candidates[0].finish_reason]
    assert reasons == [types.FinishReason.STOP] and pieces[-1].candidates[0].finish_reason
    assert pieces[-1].usage_metadata.candidates_token_count > 0


@every_provider
def test_an_answer_that_the_limit_cut_says_so(client, provider):
    config = types.GenerateContentConfig(max_output_tokens=2)
    answer = client.models.generate_content(model=f"{provider}/chat", contents="a long message", config=config)
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


@every_provider
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "streamed"])
def test_the_client_calls_functions_by_itself(client, provider, stream):
    asked = []

    def get_weather(city: str, days: int = 1) -> str:
        """The weather of a city.

        Args:
            city: Which city.
            days: How many days.
        """
        asked.append((city, days))
        return f"sunny in {city}"

    config = types.GenerateContentConfig(tools=[get_weather])
    request = {
        "model": f"{provider}/chat",
        "contents": '[[sim: tool get_weather {"city":"Rome","days":2}]] How is it?',
        "config": config,
    }
    if stream:
        text = "".join(piece.text or "" for piece in client.models.generate_content_stream(**request))
    else:
        text = client.models.generate_content(**request).text
    assert asked == [("Rome", 2)]
    assert text.startswith("echo: ")


@every_provider
def test_a_loop_of_tools_by_hand(client, provider):
    function = types.FunctionDeclaration(
        name="add", description="Adds.", parameters_json_schema={"type": "object", "properties": {"a": {"type": "number"}}}
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[function])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    question = types.UserContent('[[sim: tool add {"a":1}]] [[sim: tool add {"a":2}]] Please.')
    answer = client.models.generate_content(model=f"{provider}/chat", contents=[question], config=config)
    calls = answer.function_calls
    assert [(call.name, call.args) for call in calls] == [("add", {"a": 1}), ("add", {"a": 2})]
    results = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": "3"}))
        for call in calls
    ]
    turns = [question, answer.candidates[0].content, types.Content(role="user", parts=results)]
    again = client.models.generate_content(model=f"{provider}/chat", contents=turns, config=config)
    assert again.text.startswith("echo: ") and not again.function_calls
    # Without ids the results find their calls by name and order.
    for part in turns[2].parts:
        part.function_response.id = None
    assert client.models.generate_content(model=f"{provider}/chat", contents=turns, config=config).text == again.text


class Colour(BaseModel):
    name: str
    shade: int


@every_provider
def test_structured_output_is_parsed(client, provider):
    said = json.dumps({"name": "red", "shade": 3})
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Colour)
    answer = client.models.generate_content(
        model=f"{provider}/chat", contents=f"[[sim: say {said}]]", config=config
    )
    assert answer.parsed == Colour(name="red", shade=3)


@pytest.mark.parametrize("provider", [name for name in UPSTREAMS if name not in ("chat", "invoke")])
def test_tokens_are_counted_by_those_that_can(client, provider):
    assert client.models.count_tokens(model=f"{provider}/chat", contents="four words are here").total_tokens == 5


@pytest.mark.parametrize("provider", ["chat", "invoke"])
def test_tokens_are_not_counted_by_those_that_cannot(client, provider):
    with pytest.raises(errors.ClientError) as refused:
        client.models.count_tokens(model=f"{provider}/chat", contents="four words are here")
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


def test_embeddings_come_from_a_provider_of_the_same_dialect(client):
    answer = client.models.embed_content(model="gemini/embed", contents=["one", "two"])
    assert [len(embedding.values) for embedding in answer.embeddings] == [8, 8]


def test_models_are_listed_and_found(client):
    names = [model.name for model in client.models.list()]
    assert "models/assistant" in names
    assert client.models.get(model="assistant").name == "models/assistant"


def test_a_bare_name_is_one_of_the_default_providers(client):
    assert client.models.generate_content(model="chat", contents="hi").text == "echo: hi"


def test_refusals_are_the_clients_own_errors(client, before_sim):
    stranger = genai_client(before_sim.url, UNKNOWN_KEY)
    with pytest.raises(errors.ClientError) as unknown:
        stranger.models.generate_content(model="chat/chat", contents="hi")
    assert (unknown.value.code, unknown.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ClientError) as missing:
        client.models.generate_content(model="nobody/nothing", contents="hi")
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.APIError) as failed:
        client.models.generate_content(model="gemini/chat", contents="[[sim: fail 429]]")
    assert failed.value.code == 429


@every_provider
def test_a_stream_that_breaks_is_an_error(client, provider):
    with pytest.raises(errors.APIError):
        for _ in client.models.generate_content_stream(
            model=f"{provider}/chat", contents="[[sim: stream 9 chunks, 1ms]] [[sim: cut after 3]]"
        ):
            pass


def test_a_key_in_the_query_works_and_leaves_no_trace(before_sim, folder):
    body = {"contents": [{"parts": [{"text": "by query"}]}]}
    with before_sim.http(headers={"authorization": ""}) as http:
        answer = http.post(f"/v1beta/models/gemini%2Fchat:generateContent?key={CALLER_KEY}", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["candidates"][0]["content"]["parts"][0]["text"] == "echo: by query"
        plain = http.post(f"/v1/models/gemini/chat:streamGenerateContent?key={CALLER_KEY}", json=body)
        assert plain.status_code == 200 and plain.json()[0]["candidates"], plain.text
    for log in ["before-sim/tidegate.log", "sim.log"]:
        text = (folder / log).read_text()
        assert CALLER_KEY not in text and VENDOR_KEY not in text


@every_provider
def test_a_stream_without_alt_is_an_array_that_comes_in_pieces(before_sim, provider):
    body = {"contents": [{"parts": [{"text": "[[sim: stream 20 chunks, 20ms]]"}]}]}
    pieces = []
    with before_sim.http(headers={"authorization": f"Bearer {CALLER_KEY}"}) as http:
        with http.stream("POST", f"/v1beta/models/{provider}/chat:streamGenerateContent", json=body) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("application/json")
            pieces = list(answer.iter_bytes())
    elements = json.loads(b"".join(pieces))
    assert len(pieces) > 5 and len(elements) >= 20, (len(pieces), len(elements))
    parts = [part for element in elements for it in element.get("candidates", []) for part in it["content"].get("parts", [])]
    assert "".join(part["text"] for part in parts).startswith("piece 0 piece 1 ")
    assert elements[-1]["candidates"][0]["finishReason"] == "STOP" and elements[-1]["usageMetadata"]


@every_provider
def test_what_breaks_in_an_array_ends_it_with_an_error(before_sim, provider):
    ask = lambda text: {"contents": [{"parts": [{"text": text}]}]}
    with before_sim.http(headers={"authorization": f"Bearer {CALLER_KEY}"}) as http:
        path = f"/v1beta/models/{provider}/chat:streamGenerateContent"
        cut = http.post(path, json=ask("[[sim: stream 9 chunks, 1ms]] [[sim: cut after 3]]"))
        elements = cut.json()
        assert cut.status_code == 200 and elements[-1]["error"]["status"] and not any("error" in it for it in elements[:-1])
        refused = http.post(path, json={"contents": "x" * 3, "nothing": {"of": "it"}})
        assert refused.status_code == 400 and refused.json()[0]["error"]["code"] == 400
