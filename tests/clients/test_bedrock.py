"""The official AWS client's Bedrock runtime, before the sim: in its own dialect, and through Tidegate in each other one.

The client is told where the gateway is by its address, and who it is by a Tidegate key as the id of its access key. It
checks the checksums of every message of a stream by itself.
"""

import json

import boto3
import botocore.config
import botocore.exceptions
import pytest

from conftest import UNKNOWN_KEY
from dialects import CITIES, TWO_CALLS, UPSTREAMS, WATCHED_KEY, every_provider

TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_weather",
                "description": "The weather of a city",
                "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
            }
        }
    ]
}


def runtime(before_sim, monkeypatch, key=WATCHED_KEY):
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    config = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=30, proxies={})
    keys = {"aws_access_key_id": key, "aws_secret_access_key": "unused"}
    return boto3.client("bedrock-runtime", region_name="eu-west-1", endpoint_url=before_sim.url, config=config, **keys)


@pytest.fixture
def client(before_sim, monkeypatch):
    return runtime(before_sim, monkeypatch)


def user(text):
    return {"role": "user", "content": [{"text": text}]}


@every_provider
def test_a_whole_answer_has_text_stop_and_usage(client, provider, asked):
    answer = client.converse(
        modelId=f"{provider}/chat",
        system=[{"text": "Be brief."}],
        messages=[user("hello Grüße")],
        inferenceConfig={"maxTokens": 100, "temperature": 0.5},
    )
    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": "echo: hello Grüße"}]}
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["outputTokens"] > 0 and usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert answer["ResponseMetadata"]["RequestId"].startswith("call_")
    [path] = asked()
    assert path in UPSTREAMS[provider][3]


@every_provider
def test_a_stream_has_the_events_of_the_grammar_and_the_usage_last(client, provider):
    answer = client.converse_stream(modelId=f"{provider}/chat", messages=[user("[[sim: stream 5 chunks, 0ms]]")])
    events = [next(iter(event.items())) for event in answer["stream"]]
    names = [name for name, _ in events]
    assert names[0] == "messageStart" and names[-2:] == ["messageStop", "metadata"]
    assert "contentBlockStart" not in names, "texts begin without one"
    text = "".join(said["delta"]["text"] for name, said in events if name == "contentBlockDelta")
    assert text == "piece 0 piece 1 piece 2 piece 3 piece 4 "
    assert events[-1][1]["usage"]["outputTokens"] > 0


@every_provider
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_loop_with_two_tools_at_once_ends_with_text(client, provider, stream):
    messages = [user(TWO_CALLS)]
    request = {"modelId": f"{provider}/chat", "toolConfig": TOOLS}
    if stream:
        calls, stop = [], None
        for event in client.converse_stream(**request, messages=messages)["stream"]:
            if start := event.get("contentBlockStart"):
                calls.append({**start["start"]["toolUse"], "input": ""})
            if delta := event.get("contentBlockDelta"):
                calls[-1]["input"] += delta["delta"]["toolUse"]["input"]
            stop = event.get("messageStop", {}).get("stopReason", stop)
        content = [{"toolUse": {**call, "input": json.loads(call["input"])}} for call in calls]
    else:
        answer = client.converse(**request, messages=messages)
        content, stop = answer["output"]["message"]["content"], answer["stopReason"]
    assert stop == "tool_use"
    calls = [block["toolUse"] for block in content if "toolUse" in block]
    assert [(call["name"], call["input"]) for call in calls] == [("get_weather", {"city": city}) for city in CITIES]
    heard = [{"text": "sunny"}, {"json": {"degrees": 21}}]
    results = [{"toolResult": {"toolUseId": call["toolUseId"], "content": heard}} for call in calls]
    messages += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    last = client.converse(**request, messages=messages)
    assert last["stopReason"] == "end_turn"
    assert last["output"]["message"]["content"][0]["text"].startswith("echo: ")


@every_provider
def test_structured_output_is_asked_for_by_a_schema(client, provider):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "structure": {"jsonSchema": {"name": "person", "schema": json.dumps(schema)}}}
    answer = client.converse(
        modelId=f"{provider}/chat",
        messages=[user('Who? [[sim: say {"name": "Ada"}]]')],
        outputConfig={"textFormat": form},
    )
    assert json.loads(answer["output"]["message"]["content"][0]["text"]) == {"name": "Ada"}
    assert "x-tidegate-loss" not in answer["ResponseMetadata"]["HTTPHeaders"]


@every_provider
def test_a_card_is_taken_out_of_a_stream_and_the_checksums_hold(client, provider):
    answer = client.converse_stream(modelId=f"{provider}/leaky", messages=[user("hi")])
    deltas = [event["contentBlockDelta"]["delta"] for event in answer["stream"] if "contentBlockDelta" in event]
    text = "".join(delta["text"] for delta in deltas)
    assert "4111" not in text and "The card is" in text


def test_a_bare_model_goes_to_the_default_provider(client):
    answer = client.converse(modelId="chat", messages=[user("hi")])
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-tidegate-served-by"] == "converse/chat"


@pytest.mark.parametrize("provider", [name for name in UPSTREAMS if name not in ("chat", "invoke")])
def test_tokens_are_counted(client, provider):
    answer = client.count_tokens(modelId=f"{provider}/chat", input={"converse": {"messages": [user("hello")]}})
    assert answer["inputTokens"] == 2


@every_provider
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_anthropics_form_of_invoke_model_reaches_every_provider(client, provider, stream):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]}
    request = {"modelId": f"{provider}/chat", "body": json.dumps(body)}
    if stream:
        answer = client.invoke_model_with_response_stream(**request)
        events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
        assert events[0]["type"] == "message_start" and events[-1]["type"] == "message_stop"
        text = "".join(event.get("delta", {}).get("text", "") for event in events)
    else:
        text = json.loads(client.invoke_model(**request)["body"].read())["content"][0]["text"]
    assert text == "echo: hello"


def test_errors_are_the_clients_own_exceptions(client, before_sim, monkeypatch):
    with pytest.raises(client.exceptions.ValidationException):
        client.invoke_model(modelId="converse/chat", body=json.dumps({"prompt": "hi"}))
    with pytest.raises(client.exceptions.ThrottlingException, match="failed as the script wanted"):
        client.converse(modelId="converse/chat", messages=[user("[[sim: fail 429]]")])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.converse(modelId="nobody/nothing", messages=[user("hi")])
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        runtime(before_sim, monkeypatch, UNKNOWN_KEY).converse(modelId="converse/chat", messages=[user("hi")])
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_keys_of_aws_are_told_what_to_do_instead(before_sim, monkeypatch):
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    config = botocore.config.Config(retries={"total_max_attempts": 1}, proxies={})
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "nobody"}
    signing = boto3.client("bedrock-runtime", region_name="eu-west-1", endpoint_url=before_sim.url, config=config, **keys)
    with pytest.raises(botocore.exceptions.ClientError, match="AWS_ACCESS_KEY_ID"):
        signing.converse(modelId="converse/chat", messages=[user("hi")])
