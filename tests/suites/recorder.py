"""A pytest plugin for the SDKs' own suites: gives their clients one key and no second try, and writes how each test ended.

    SUITE_KEY=KEY SUITE_RESULTS=FILE SUITE_SDK=openai pytest -p recorder …

A suite builds its clients with a key that it made up, and tries again where an answer says so. Both is changed here, in
the clients and not in the tests, and in the same way whether or not a gateway stands between.
"""

import functools
import importlib
import json
import os


def _governed(start):
    @functools.wraps(start)
    def init(self, *args, **more):
        ours = str(more.get("base_url") or "").startswith(os.environ["TEST_API_BASE_URL"])
        if ours:
            more.update(api_key=os.environ["SUITE_KEY"], max_retries=0)
            if "admin_api_key" in more:
                more["admin_api_key"] = os.environ["SUITE_KEY"]
        return start(self, *args, **more)

    return init


def pytest_configure(config):
    sdk = importlib.import_module(os.environ["SUITE_SDK"])
    names = {"openai": ["OpenAI", "AsyncOpenAI"], "anthropic": ["Anthropic", "AsyncAnthropic"]}[sdk.__name__]
    for client in (getattr(sdk, name) for name in names):
        client.__init__ = _governed(client.__init__)
    # Of several processes, the one that hears from all the others writes.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Results())


class _Results:
    def __init__(self):
        self.ends = {}

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            before = self.ends.get(report.nodeid, "passed")
            self.ends[report.nodeid] = report.outcome if before == "passed" else before

    def pytest_sessionfinish(self):
        with open(os.environ["SUITE_RESULTS"], "w") as file:
            json.dump(self.ends, file)
