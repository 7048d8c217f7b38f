"""LangChain and LiteLLM as clients, before the sim through Tidegate: their own dialects, and crossed."""

import json

import pytest

from dialects import CALLER_KEY, CITIES, TWO_CALLS

PROVIDERS = ["chat", "messages", "gemini"]
some_providers = pytest.mark.parametrize("provider", PROVIDERS)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def langchain_openai(url, model):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(base_url=f"{url}/v1", api_key=CALLER_KEY, model=model, max_retries=0, timeout=30)


def langchain_anthropic(url, model):
    from langchain_anthropic import ChatAnthropic

    return ChatAnthropic(base_url=url, api_key=CALLER_KEY, model=model, max_retries=0, timeout=30, max_tokens=99)


@some_providers
@pytest.mark.parametrize("framework", [langchain_openai, langchain_anthropic])
def test_langchain_answers_streams_and_runs_tools(before_sim, framework, provider):
    from langchain_core.messages import HumanMessage, ToolMessage

    model = framework(before_sim.url, f"{provider}/chat")
    whole = model.invoke("one two three")
    assert whole.text == "echo: one two three"
    assert whole.usage_metadata["output_tokens"] > 0
    chunks = list(model.stream("one two three"))
    assert len(chunks) > 2 and "".join(chunk.text for chunk in chunks) == whole.text
    turns = [HumanMessage(TWO_CALLS)]
    with_tools = model.bind_tools([WEATHER])
    answer = with_tools.invoke(turns)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("get_weather", {"city": city}) for city in CITIES]
    folded = None
    for chunk in with_tools.stream(turns):
        folded = chunk if folded is None else folded + chunk
    assert [(call["name"], call["args"]) for call in folded.tool_calls] == [
        (call["name"], call["args"]) for call in answer.tool_calls
    ]
    turns += [answer, *(ToolMessage("sunny", tool_call_id=call["id"]) for call in answer.tool_calls)]
    last = with_tools.invoke(turns)
    assert last.text.startswith("echo: ") and not last.tool_calls


@pytest.fixture(scope="module")
def litellm():
    import os

    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # Else it fetches a list of prices when it is imported.
    import litellm

    litellm.telemetry = False
    return litellm


@some_providers
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_litellm_answers_streams_and_runs_tools(before_sim, litellm, dialect, provider):
    base = {"openai": f"{before_sim.url}/v1", "anthropic": before_sim.url}[dialect]

    def ask(messages, **more):
        return litellm.completion(
            model=f"{dialect}/{provider}/chat",
            api_base=base,
            api_key=CALLER_KEY,
            messages=messages,
            max_tokens=99,
            num_retries=0,
            timeout=30,
            **more,
        )

    hello = [{"role": "user", "content": "one two three"}]
    whole = ask(hello)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("echo: one two three", "stop")
    assert whole.usage.completion_tokens > 0
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(hello, stream=True) if chunk.choices]
    assert len(pieces) > 2 and "".join(pieces) == whole.choices[0].message.content
    turns = [{"role": "user", "content": TWO_CALLS}]
    message = ask(turns, tools=[WEATHER]).choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [{"city": city} for city in CITIES]
    turns.append(message.model_dump(exclude_none=True))
    turns += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
    last = ask(turns, tools=[WEATHER]).choices[0]
    assert last.finish_reason == "stop" and last.message.content.startswith("echo: ")
