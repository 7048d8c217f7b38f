"""Every wire format that the sim speaks, as a provider of one gateway: what official clients are tested before.

The sim answers what a script in the prompt says, the same each time, so that answers can be compared to the letter.
"""

import pytest

from gateway import make_key

#: A provider for each dialect by its name: its type, the one dialect it is asked in where the type has several, the
#: path of its address, and the paths that the sim is asked at.
UPSTREAMS = {
    "chat": ("openai", "openai_chat", "/v1", {"/v1/chat/completions"}),
    "messages": ("anthropic", None, "/v1", {"/v1/messages"}),
    "responses": ("openai", "openai_responses", "/v1", {"/v1/responses"}),
    "gemini": ("google", None, "/v1beta", {f"/v1beta/models/chat:{it}" for it in ["generateContent", "streamGenerateContent"]}),
    "converse": ("bedrock", "bedrock", "", {f"/model/chat/{it}" for it in ["converse", "converse-stream"]}),
    "invoke": (
        "bedrock",
        "bedrock_invoke",
        "",
        {f"/model/chat/{it}" for it in ["invoke", "invoke-with-response-stream"]},
    ),
}
every_provider = pytest.mark.parametrize("provider", list(UPSTREAMS))
both_forms = pytest.mark.parametrize("streamed", [False, True], ids=["unary", "streamed"])

#: May use every model, and nothing looks at its answers.
CALLER_KEY = make_key("CALLER00", "k3yOfTheCaller")
#: May use every model; cards are taken out of its answers.
WATCHED_KEY = make_key("WATCHED0", "k3yOfTheWatched")
#: What the gateway shows its providers: in no log and no answer.
VENDOR_KEY = "canary-of-the-vendor"

#: Two calls at once, and what they are to give.
TWO_CALLS = 'What is it like? [[sim: tool get_weather {"city":"Rome"}]] [[sim: tool get_weather {"city":"Oslo"}]]'
CITIES = ["Rome", "Oslo"]


def configuration(sim_url: str) -> dict:
    """A gateway that reaches the sim in each dialect."""
    providers = {}
    for name, (kind, dialect, path, _) in UPSTREAMS.items():
        providers[name] = {"type": kind, "base_url": sim_url + path, "key": "env:VENDOR_KEY"}
        if dialect:
            providers[name]["dialect"] = dialect
    return {
        "version": 1,
        "providers": providers,
        "models": {
            "assistant": {"fallback": ["gemini/chat"]},
            # Claude Code takes up names of its makers' models alone.
            "claude-by-sim": {"fallback": ["converse/chat"]},
        },
        "default_provider": {"gemini": "gemini", "bedrock": "converse", "openai": "chat", "anthropic": "messages"},
        "guardrails": {"cards": {"detect": ["card"], "on": ["response"], "action": "redact"}},
        "keys": {
            "caller": {"secret": "env:CALLER_KEY", "allow": {"models": "*"}},
            "watched": {"secret": "env:WATCHED_KEY", "allow": {"models": "*"}, "guardrails": ["cards"]},
        },
    }


KEYS = {"CALLER_KEY": CALLER_KEY, "WATCHED_KEY": WATCHED_KEY, "VENDOR_KEY": VENDOR_KEY}
