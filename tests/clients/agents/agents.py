"""Coding agents as they are installed, each told of one gateway, in a home of its own and cut off from all else."""

import json
import os
import pathlib
import subprocess


#: What an agent must not reach: its makers' servers for updates, statistics and reports. A proxy that nobody is.
NOWHERE = "http://127.0.0.1:1"


def programs() -> pathlib.Path:
    """Where `npm ci` put what package.json names."""
    return pathlib.Path(os.environ["TIDEGATE_AGENTS"]) / "node_modules"


class Agent:
    """A folder to work in and a home, with nothing of this machine's user."""

    def __init__(self, folder: pathlib.Path):
        self.home, self.work, self.log = folder / "home", folder / "work", folder / "agent.log"
        for one in [self.home, self.work]:
            one.mkdir(parents=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            **dict.fromkeys(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"], NOWHERE),
            **dict.fromkeys(["NO_PROXY", "no_proxy"], "127.0.0.1"),
        }

    def run(self, *argv: str | pathlib.Path, told: str = "", seconds: float = 140) -> str:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=self.work,
            env=self.env,
            input=told,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, f"{argv[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


def claude_code(agent: Agent, url: str, key: str, prompt: str, model: str) -> dict:
    """Claude Code works on a prompt: what it says of its end."""
    agent.env |= {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        # It refuses to run tools unasked as root, unless told that nothing can be harmed.
        "IS_SANDBOX": "1",
    }
    program = programs() / "@anthropic-ai/claude-code-linux-x64/claude"
    options = ["--model", model, "--allowedTools", "Bash", "--output-format", "json", "--debug-file", agent.log]
    return json.loads(agent.run(program, "--print", prompt, *options))


def codex(agent: Agent, url: str, key: str, prompt: str, model: str, socket: bool = False) -> list[dict]:
    """Codex works on a prompt, over HTTP or a WebSocket: the events of its way."""
    folder = agent.home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(f"""
model = "{model}"
model_provider = "tidegate"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[model_providers.tidegate]
name = "Tidegate"
base_url = "{url}/v1"
wire_api = "responses"
supports_websockets = {str(socket).lower()}
env_key = "TIDEGATE_API_KEY"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false

[otel]
exporter = "none"
""")
    agent.env["TIDEGATE_API_KEY"] = key
    program = next((programs() / "@openai/codex-linux-x64/vendor").glob("*/bin/codex"))
    said = agent.run(program, "exec", "--skip-git-repo-check", "--json", prompt)
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def opencode(agent: Agent, url: str, key: str, prompt: str, model: str) -> list[dict]:
    """opencode works on a prompt: the events of its way. Its settings are those that `tidegate connect` writes."""
    folder = agent.home / ".config/opencode"
    folder.mkdir(parents=True)
    options = {"baseURL": f"{url}/v1", "apiKey": "{env:TIDEGATE_API_KEY}"}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "Tidegate", "options": options, "models": {model: {}}}
    settings = {"provider": {"tidegate": provider}, "autoupdate": False, "share": "disabled"}
    (folder / "opencode.json").write_text(json.dumps(settings))
    agent.env |= {
        "TIDEGATE_API_KEY": key,
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }
    program = programs() / "opencode-linux-x64/bin/opencode"
    # As an argument it would be put into quotes.
    said = agent.run(program, "run", "--model", f"tidegate/{model}", "--format", "json", told=prompt)
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def gemini(agent: Agent, url: str, key: str, prompt: str, model: str) -> dict:
    """Gemini CLI works on a prompt: what it says of its end. Its settings are those that `tidegate connect` writes."""
    folder = agent.home / ".gemini"
    folder.mkdir()
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    agent.env |= {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": key, "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    program = programs() / "@google/gemini-cli/bundle/gemini.js"
    options = ["--model", model, "--yolo", "--output-format", "json", "--prompt", prompt]
    return json.loads(agent.run("node", program, *options))
