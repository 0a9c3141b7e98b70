"""Code in documents: what is marked to be run, and running it as a reader would, from top to bottom.

Knows Markdown's fenced blocks below a comment `<!-- run: ENVIRONMENT NAME -->`. A block in the language `diff` is two
programs: `NAME-before`, its lines without those that come in, and `NAME`, its lines without those that go.
"""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

MARKED: Final = re.compile(
    r"^<!-- run: (?P<environment>\S+) (?P<name>\S+) -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)

FENCED: Final = re.compile(r"^```\w+$", re.M)
"""The beginning of any block of code."""

RUNNER: Final = """
import json, os, sys, time, urllib.request
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.01))
names = {"__name__": "__main__"}
for snippet in json.load(sys.stdin):
    urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/snippet/" + snippet["name"]).close()
    exec(compile("\\n" * (snippet["line"] - 1) + snippet["code"], snippet["document"], "exec"), names)
"""
"""Executes snippets in one namespace, tells the loopback server which is next, keeps the document's line numbers, and
sleeps briefly: what an SDK waits for is there at once on loopback."""


@dataclass(frozen=True)
class Snippet:
    """Code of a document that is to be run."""

    name: str
    language: str
    code: str
    document: str
    line: int
    """The document's line on which the code begins."""


def snippets(document: Path, environment: str) -> list[Snippet]:
    """The snippets of a document for an environment, in order."""
    text = document.read_text()
    found = []
    for match in MARKED.finditer(text):
        if match["environment"] == environment:
            line = text.count("\n", 0, match.start("code")) + 1
            sides = [(match["name"], match["code"])]
            if match["language"] == "diff":
                sides = [
                    (f"{match['name']}-before", _side(match["code"], "-")),
                    (match["name"], _side(match["code"], "+")),
                ]
            found += [Snippet(name, match["language"], code, str(document), line) for name, code in sides]
    return found


def _side(diff: str, sign: str) -> str:
    """One side of a diff; lines of the other side become empty, so that line numbers stay."""
    return "\n".join(line[1:] if line[:1] in (" ", sign) else "" for line in diff.split("\n"))


def run_python(
    code: Sequence[Snippet], python: Path, folder: Path, variables: Mapping[str, str], seconds: float = 240
) -> None:
    """Execute Python snippets in one process of the interpreter `python`, in `folder`, with these variables only."""
    run = subprocess.run(
        [python, "-c", RUNNER],
        input=json.dumps([asdict(snippet) for snippet in code]),
        env=dict(variables),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    assert run.returncode == 0, run.stdout[-6000:]


def run_shell(snippet: Snippet, folder: Path, variables: Mapping[str, str]) -> None:
    """Execute a shell snippet in `folder`; any command that fails ends it."""
    command = ["bash", "-euo", "pipefail", "-c", snippet.code]
    run = subprocess.run(command, env=dict(variables), cwd=folder, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
