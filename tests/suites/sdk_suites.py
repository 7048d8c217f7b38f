"""The OpenAI and Anthropic SDKs' own test suites, directly before a mock of the vendor and through Tidegate.

    python sdk_suites.py --openai-spec FILE --anthropic-spec FILE [--out DIR]

`cargo xtask sdk-suites` sets up what this needs and runs it. The suites come with the SDKs' source distributions, and
the mock is the one that the SDKs' makers test with; the vendors' OpenAPI documents are not ours to give: their paths
are asked for. A suite is compared test by test: none that passes directly may be lost behind the gateway. That all
pass is not asked, since a document may be older than the SDK.

    TIDEGATE_BIN    the gateway
    SUITES_STEADY   the mock's program
"""

import argparse
import collections
import contextlib
import dataclasses
import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "clients"))
from gateway import Gateway, make_key  # noqa: E402
from processes import Process, free_port  # noqa: E402

#: May call everything, also what administers the vendor's account: the suites ask for all of it.
KEY = make_key("SUITES00", "k3yOfTheSuites")
POLICY = """
permit (principal, action in [Tidegate::Action::"call_provider_api"], resource);
permit (principal, action in [Tidegate::Action::"administer_provider"], resource);
"""
#: The longest that one suite may take, in seconds.
LONGEST = 1800


@dataclasses.dataclass
class Suite:
    """An SDK, and how its makers start the mock."""

    sdk: str
    mock: list[str]
    #: What stands between the mock's address and the paths, as the SDK is told the address of the gateway …
    version: str
    #: … and as the gateway is told the address of the mock.
    upstream: str
    #: Plugins that the suite asks for in its own options.
    plugins: tuple[str, ...] = ()


BRACKETS = [f"--validator-{what}-format=brackets" for what in ("query-array", "query-object", "form-array", "form-object")]
SUITES = [
    # The document's paths have no version.
    Suite("openai", BRACKETS, version="/v1", upstream=""),
    Suite(
        "anthropic",
        ["--validator-query-array-format=comma"],
        version="",
        upstream="/v1",
        plugins=("tests._alias_httpx",),
    ),
]


def source(sdk: str, out: pathlib.Path) -> pathlib.Path:
    """The unpacked source distribution of the SDK's release that is installed."""
    from importlib.metadata import version

    name = f"{sdk}-{version(sdk)}"
    archive = out / f"{name}.tar.gz"
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # What its build needs is installed, so that asking for its name takes no time.
        pip += ["--no-build-isolation", "--no-binary", sdk, "--dest", str(out), f"{sdk}=={version(sdk)}"]
        subprocess.run(pip, check=True, timeout=600)
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(out, filter="data")
    return folder


def document(given: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """The document, unpacked where it is packed."""
    if given.suffix != ".gz":
        return given
    plain = out / given.stem
    plain.write_bytes(gzip.decompress(given.read_bytes()))
    return plain


def mock(suite: Suite, file: pathlib.Path, out: pathlib.Path) -> tuple[Process, str]:
    port = free_port()
    argv = [os.environ["SUITES_STEADY"], "--host", "127.0.0.1", "-p", port, "--quiet", *suite.mock, file]
    process = Process(f"the mock of {suite.sdk}", argv, out / f"{suite.sdk}-mock.log")
    url = f"http://127.0.0.1:{port}"
    try:
        process.listens(port, 60)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/_x-steady/health", timeout=5):
                return process, url
            time.sleep(0.1)
        raise TimeoutError(f"{process.name} is not well\n{process.tail()}")
    except BaseException:
        process.stop()
        raise


def run(suite: Suite, folder: pathlib.Path, base_url: str, out: pathlib.Path, way: str) -> dict[str, str]:
    """How each test of the suite ended."""
    results, log = out / f"{suite.sdk}-{way}.json", out / f"{suite.sdk}-{way}.log"
    results.unlink(missing_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_"))}
    env = kept | {
        "PYTHONPATH": f"{HERE}{os.pathsep}{folder}",
        "NO_PROXY": "127.0.0.1",
        "TEST_API_BASE_URL": base_url,
        "SUITE_KEY": KEY,
        "SUITE_SDK": suite.sdk,
        "SUITE_RESULTS": str(results),
    }
    # The suites' own options end at a warning, which a release of a package that is newer than theirs may give.
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "recorder", "-p", "no:cacheprovider", "-o", "addopts="]
    # Hundreds of tests fail directly: what each of them had to tell would take longer than the tests.
    pytest += [word for plugin in suite.plugins for word in ("-p", plugin)]
    pytest += ["-n", "auto", "--tb=line", "-W", "ignore", "-p", "no:logging", "tests/api_resources"]
    with open(log, "wb") as said:
        done = subprocess.run(pytest, cwd=folder, env=env, stdout=said, stderr=subprocess.STDOUT, timeout=LONGEST)
    # 1 is what pytest says where tests failed.
    if done.returncode not in (0, 1) or not results.exists():
        raise SystemExit(f"the suite of {suite.sdk} did not run ({way}): see {log}")
    return json.loads(results.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(prog="cargo xtask sdk-suites")
    for suite in SUITES:
        variable = f"{suite.sdk.upper()}_OPENAPI"
        where = os.environ.get(variable)
        parser.add_argument(
            f"--{suite.sdk}-spec",
            type=pathlib.Path,
            default=where and pathlib.Path(where),
            metavar="FILE",
            help=f"the vendor's OpenAPI document, YAML or JSON, gzipped or not; else {variable} names it",
        )
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR", help="where all of it is kept")
    told = parser.parse_args()
    # What was started is ended on the way out, also where somebody asks this to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given = {suite.sdk: getattr(told, f"{suite.sdk}_spec") for suite in SUITES}
    suites = [suite for suite in SUITES if given[suite.sdk]]
    if not suites:
        parser.error("name the OpenAPI document of at least one vendor")
    for suite in suites:
        if not given[suite.sdk].is_file():
            parser.error(f"--{suite.sdk}-spec: there is no file {given[suite.sdk]}")
    out = told.out.absolute()
    out.mkdir(parents=True, exist_ok=True)

    lost_any = False
    with contextlib.ExitStack() as stack:
        mocks = {}
        for suite in suites:
            process, mocks[suite.sdk] = mock(suite, document(given[suite.sdk], out), out)
            stack.callback(process.stop)
        folder = out / "gateway"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "policies").mkdir(parents=True)
        (folder / "policies/all.cedar").write_text(POLICY)
        config = {
            "version": 1,
            "providers": {
                suite.sdk: {"type": suite.sdk, "base_url": mocks[suite.sdk] + suite.upstream} for suite in suites
            },
            "default_provider": {suite.sdk: suite.sdk for suite in suites},
            "policies": "./policies",
            "keys": {"suites": {"secret": "env:SUITES_KEY", "allow": {"models": "*"}}},
        }
        gateway = Gateway("serve", folder, config, {"SUITES_KEY": KEY})
        stack.callback(gateway.stop)
        for suite in suites:
            sources = source(suite.sdk, out)
            direct = run(suite, sources, mocks[suite.sdk], out, "directly")
            through = run(suite, sources, gateway.url + suite.version, out, "through")
            passed = {name for name, end in direct.items() if end == "passed"}
            kept = {name for name in passed if through.get(name) == "passed"}
            print(f"{sources.name}: {len(kept)} of the {len(passed)} tests that pass directly pass through Tidegate")
            print(f"  directly {told_as(direct)}; through {told_as(through)}")
            if not passed:
                raise SystemExit(f"no test of {suite.sdk} passes directly: see {out / f'{suite.sdk}-directly.log'}")
            for name in sorted(passed - kept):
                lost_any = True
                print(f"  lost: {name} ({through.get(name, 'did not run')})")
    if lost_any:
        print(f"what the tests said is in {out}/*-through.log, what the gateway said in {folder / 'tidegate.log'}")
    return int(lost_any)


def told_as(ends: dict[str, str]) -> str:
    return ", ".join(f"{count} {end}" for end, count in sorted(collections.Counter(ends.values()).items()))


if __name__ == "__main__":
    sys.exit(main())
