"""The gateway under test: its keys, its configuration, its process and its command line."""

import json
import os
import pathlib
import subprocess
import zlib

import httpx

from processes import Process

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def make_key(identifier: str, filling: str) -> str:
    """A well-formed key: `tg_`, eight characters, `_`, thirty-four characters and their checksum."""
    assert len(identifier) == 8
    text = f"tg_{identifier}_{(filling * 34)[:34]}"
    number, check = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = ALPHABET[digit] + check
    return text + check


def binary() -> pathlib.Path:
    return pathlib.Path(os.environ["TIDEGATE_BIN"])


class Failed(Exception):
    """A command ended with another exit code than zero."""

    def __init__(self, argv: list, code: int, stdout: str, stderr: str):
        super().__init__(f"`tidegate {' '.join(argv)}` ended with {code}\n{stdout}{stderr}")
        self.code, self.stdout, self.stderr = code, stdout, stderr


def tidegate(*argv: str, env: dict | None = None, seconds: float = 30) -> str:
    """Runs one command to its end and gives what it printed."""
    done = subprocess.run(
        [binary(), *argv],
        env={**os.environ, "NO_COLOR": "1", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    if done.returncode != 0:
        raise Failed(list(argv), done.returncode, done.stdout, done.stderr)
    return done.stdout


class Gateway:
    """A running gateway."""

    def __init__(self, mode: str, folder: pathlib.Path, config: dict | None = None, env: dict | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        argv = [binary(), mode, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        argv += ["--data-dir", self.data, "-o", "json"]
        if config is not None:
            # JSON is YAML: no writer of YAML is needed.
            file = folder / "tidegate.yaml"
            file.write_text(json.dumps(config, indent=2))
            argv += ["-c", file]
        self.process = Process(f"tidegate {mode}", argv, folder / "tidegate.log", env)
        try:
            ready = json.loads(self.process.line("{", 30))
        except BaseException:
            self.process.stop()
            raise
        self.url, self.admin, self.key = ready["data_plane"], ready["control_plane"], ready["key"]
        self.providers, self.revision = ready["providers"], ready["revision"]

    def command(self, *argv: str, **more) -> str:
        """A command of the command line that talks to this gateway."""
        return self.command_in({}, *argv, **more)

    def command_in(self, env: dict, *argv: str, **more) -> str:
        """The same, with more variables than those that name this gateway."""
        named = {"TIDEGATE_ADMIN_URL": self.admin, "TIDEGATE_DATA_DIR": str(self.data)}
        return tidegate(*argv, env={**named, **env}, **more)

    def json(self, *argv: str):
        return json.loads(self.command(*argv, "-o", "json"))

    def http(self, key: str | None = None, **more) -> httpx.Client:
        """A plain HTTP client of the data plane."""
        headers = {"authorization": f"Bearer {key or self.key}", **more.pop("headers", {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False, **more)

    def stop(self) -> int:
        return self.process.stop()
