"""The official OpenAI client's same question again, before and after the gateway was started anew."""

import openai
import pytest

from gateway import Gateway, make_key

KEY, OTHER = make_key("STORED00", "s"), make_key("STORED01", "o")
CONFIG = {
    "version": 1,
    "models": {
        "kept": {"route": "sim/chat", "cache": {"ttl": "1h", "keep": "store"}},
        "fleeting": {"route": "sim/chat", "cache": {"ttl": "1h"}},
    },
    "keys": {
        "one": {"secret": "env:ONE", "allow": {"models": "*"}},
        "other": {"secret": "env:OTHER", "allow": {"models": "*"}},
    },
}


@pytest.fixture
def start(tmp_path):
    """Starts a gateway on the same data; the one before has to have ended."""
    running = []

    def started():
        running.append(Gateway("up", tmp_path, CONFIG, {"ONE": KEY, "OTHER": OTHER}))
        return running[-1]

    yield started
    for gateway in running:
        gateway.stop()


def asked(gateway, model, words, stream, key=KEY):
    """What `x-tidegate-cache` says, and what the client makes of the answer."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=20) as client:
        call = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": words}], stream=stream
        )
        answer = call.parse()
        if stream:
            answer = list(answer)
            assert len(answer) > 1 and answer[-1].choices[0].finish_reason == "stop"
            text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        else:
            text = answer.choices[0].message.content
        assert text == f"echo: {words}"
        return call.headers["x-tidegate-cache"], answer


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_an_answer_is_given_again_after_a_restart(start, stream):
    gateway = start()
    first, answer = asked(gateway, "kept", "Grüß Gott", stream)
    fleeting, _ = asked(gateway, "fleeting", "Grüß Gott", stream)
    assert (first, fleeting) == ("miss", "miss")
    gateway.stop()

    gateway = start()
    assert asked(gateway, "kept", "Grüß Gott", stream) == ("hit", answer)
    assert asked(gateway, "kept", "Grüß Gott", stream, OTHER)[0] == "miss"
    assert asked(gateway, "kept", "Guten Tag", stream)[0] == "miss"
    assert asked(gateway, "fleeting", "Grüß Gott", stream)[0] == "miss"
    gateway.stop()

    gateway = start()
    assert asked(gateway, "kept", "Grüß Gott", stream) == ("hit", answer)
    assert asked(gateway, "kept", "Guten Tag", stream)[0] == "hit"
