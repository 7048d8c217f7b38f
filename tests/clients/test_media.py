"""openai-python's images, audio and moderations before the sim, and ranking by hand: each is a call to a model."""

import base64
import io
import json

import httpx
import openai
import pytest

from gateway import Gateway, make_key

#: May ask one model, and has a small budget.
ONE_KEY = make_key("ONEMODEL", "k3yOfOneModel")
#: May ask every model; its guardrails look both ways.
WATCHED_KEY = make_key("WATCHED0", "k3yOfTheWatched")


@pytest.fixture(scope="module")
def media(folder):
    config = {
        "version": 1,
        "guardrails": {
            "pii": {"detect": ["email"], "on": ["request", "response"], "action": "redact"},
            "cards": {"detect": ["card"], "on": ["request"], "action": "block"},
        },
        "keys": {
            "one": {"secret": "env:ONE_KEY", "allow": {"models": ["sim/chat"]}, "budget": "0.05 usd/month"},
            "watched": {"secret": "env:WATCHED_KEY", "allow": {"models": "*"}, "guardrails": ["pii", "cards"]},
        },
    }
    running = Gateway("up", folder / "media", config, {"ONE_KEY": ONE_KEY, "WATCHED_KEY": WATCHED_KEY})
    try:
        yield running
    finally:
        running.stop()


def reached(gateway):
    """What the sim was asked."""
    return json.loads(gateway.command("api", "GET", "/sim/ledger"))["requests"]


def last_call(gateway):
    return json.loads(gateway.command("api", "GET", "/calls"))["calls"][0]


def client(gateway, key=None):
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key or gateway.key, max_retries=0, timeout=20)


def sound(size=9_600):
    return ("a.wav", io.BytesIO(bytes(size)), "audio/wav")


def picture():
    return ("a.png", io.BytesIO(bytes(100)), "image/png")


#: What each asks, and whether the answer says what was used.
CALLS = {
    "images": lambda c, m: c.images.generate(model=m, prompt="a cat", n=2),
    "edits": lambda c, m: c.images.edit(model=m, prompt="a hat", image=[picture(), picture()]),
    "variations": lambda c, m: c.images.create_variation(model=m, image=picture()),
    "speech": lambda c, m: c.audio.speech.create(model=m, voice="alloy", input="hello"),
    "transcriptions": lambda c, m: c.audio.transcriptions.create(model=m, file=sound(), prompt="names"),
    "translations": lambda c, m: c.audio.translations.create(model=m, file=sound()),
    "moderations": lambda c, m: c.moderations.create(model=m, input=["fine", "harm"]),
}
each = pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))


@each
def test_each_is_a_call_to_a_model(media, call):
    before = len(reached(media))
    assert call(client(media), "sim/chat")
    seen = reached(media)[before:]
    assert [entry["model"] for entry in seen] == ["chat"]
    last = last_call(media)
    assert (last["action"], last["resource"], last["served_by"]) == ("invoke_model", "sim/chat", "sim/chat"), last
    assert last["receipt"] is not None


@each
def test_each_is_for_those_only_who_may_ask_that_model(media, call):
    before = len(reached(media))
    with pytest.raises(openai.NotFoundError):
        call(client(media, ONE_KEY), "sim/leaky")
    assert len(reached(media)) == before


def test_what_they_say_they_used_is_what_is_paid(media):
    made = client(media, WATCHED_KEY).images.generate(model="sim/chat", prompt="a cat", n=2)
    assert len(made.data) == 2 and base64.b64decode(made.data[0].b64_json)[:4] == b"\x89PNG"
    last = last_call(media)
    assert (last["input_tokens"], last["output_tokens"]) == (made.usage.input_tokens, made.usage.output_tokens)
    assert last["usd"] == "0.000802"
    heard = client(media).audio.transcriptions.create(model="sim/chat", file=sound())
    assert heard.text == "9600 bytes of sound"
    last = last_call(media)
    assert (last["input_tokens"], last["output_tokens"]) == (heard.usage.input_tokens, heard.usage.output_tokens)
    spoken = client(media).audio.speech.create(model="sim/chat", voice="alloy", input="hello there")
    assert spoken.content == b"sound of: hello there"
    assert last_call(media)["output_tokens"] > 0, "speech without a count was taken for free"


def test_a_budget_that_does_not_hold_the_pictures_is_refused_before(media):
    before = len(reached(media))
    with pytest.raises(openai.APIStatusError) as refused:
        client(media, ONE_KEY).images.generate(model="sim/chat", prompt="many", n=10)
    assert refused.value.status_code == 402
    assert len(reached(media)) == before


def test_guardrails_look_at_the_words_of_json_and_of_forms(media):
    watched = client(media, WATCHED_KEY)
    heard = watched.audio.transcriptions.create(model="sim/chat", file=sound(), prompt="[[sim: say mail jo@example.com]]")
    assert "jo@example.com" not in heard.text and "REDACTED" in heard.text
    spoken = watched.audio.speech.create(model="sim/chat", voice="alloy", input="mail jo@example.com")
    assert spoken.content == b"sound of: mail [REDACTED:email]"
    before = len(reached(media))
    for call in (
        lambda: watched.images.generate(model="sim/chat", prompt="card 4111 1111 1111 1111"),
        lambda: watched.images.edit(model="sim/chat", prompt="card 4111 1111 1111 1111", image=picture()),
    ):
        with pytest.raises(openai.PermissionDeniedError) as refused:
            call()
        assert refused.value.code == "guardrail_blocked"
    assert len(reached(media)) == before


def test_ranking(media):
    body = {"model": "sim/chat", "query": "which?", "documents": ["one", "two"]}
    answer = httpx.post(f"{media.url}/v1/rerank", json=body, headers={"authorization": f"Bearer {media.key}"})
    assert [result["index"] for result in answer.json()["results"]] == [1, 0]
    assert answer.headers["x-tidegate-served-by"] == "sim/chat"
    last = last_call(media)
    assert last["input_tokens"] == answer.json()["usage"]["total_tokens"]


def test_forms_that_can_be_read_in_two_ways_are_refused(media):
    url, headers = f"{media.url}/v1/audio/transcriptions", {"authorization": f"Bearer {media.key}"}
    field = b'--b\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    file = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nxx\r\n'
    model = field % (b"model", b"sim/chat")
    before = len(reached(media))
    for body in (
        model + field % (b"model", b"sim/leaky") + file + b"--b--\r\n",
        model + field % (b"Model", b"sim/leaky") + file + b"--b--\r\n",
        b"preamble\r\n" + model + file + b"--b--\r\n",
        model + file + b"--b--\r\nmore",
        model + file,
        model.replace(b'name="model"', b'name="mo\\"del"') + file + b"--b--\r\n",
        model.replace(b"content-disposition", b"content-transfer-encoding: base64\r\ncontent-disposition") + b"--b--\r\n",
        model.replace(b"\r\n", b"\n") + file + b"--b--\r\n",
    ):
        sent = {"content-type": "multipart/form-data; boundary=b"} | headers
        answer = httpx.post(url, content=body, headers=sent)
        assert answer.status_code == 400, (body, answer.text)
        assert answer.headers["x-tidegate-error"] == "invalid_request"
    assert len(reached(media)) == before
