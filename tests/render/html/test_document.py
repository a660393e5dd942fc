"""The shell: nothing in it is run but its own scripts, and no text of others becomes markup."""

from __future__ import annotations

import dataclasses
import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from hostile_names import HOSTILE

from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.html import export_processes
from gilprobe.render.html.document import embedded

pytestmark = pytest.mark.plain_python


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and the texts of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inline = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inline.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.inline and self.elements[-1][0] in ("script", "style"):
            self.inline[-1][2] += data

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.elements.append((None, {}))


ASSETS = [
    path for path in (files("gilprobe.render.html") / "assets").rglob("*") if path.suffix in (".js", ".css")
]
SCRIPTS = Path(__file__).parents[3] / "gilprobe/render/html/scripts"
SOURCES = [path for path in SCRIPTS.rglob("*.js") if path.name not in ("build.js", "echarts.js")]


@pytest.mark.parametrize("path", ASSETS + SOURCES, ids=lambda path: path.name)
def test_no_asset_ends_its_element_or_parses_text_as_markup(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search("</(script|style)|<!--", text, re.IGNORECASE)
    if "vendored" not in path.parts:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", text
        )


def page_of(report, **changes):
    return "".join(export_processes([TracedProcess("x.json", report, **changes)]))


def test_every_script_and_style_is_in_the_policy_and_nothing_else_is_allowed(report):
    parsed = Parsed(page_of(report))
    (policy,) = (
        attributes["content"]
        for tag, attributes in parsed.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    hashes = {"script": [], "style": []}
    for tag, attributes, text in parsed.inline:
        if attributes.get("type") != "application/json":
            hashes[tag].append(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")
    assert len(hashes["script"]) == 1
    assert len(hashes["style"]) > 3
    assert policy == (
        f"default-src 'none'; script-src {' '.join(hashes['script'])}; "
        f"style-src {' '.join(hashes['style'])}; img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_the_page_names_no_address_and_has_no_inline_handler_or_style(report):
    text = page_of(report)
    for tag, attributes in Parsed(text).elements:
        assert not {"style", "src"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert attributes.get("href", "#").startswith("#")
    assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", [*HOSTILE.values(), "<!--<script>", "]]>", "&lt;", "\u2028\u2029"])
def test_data_can_not_end_its_element_and_comes_back_as_it_was(name):
    text = embedded({"name": name})
    assert not set("<>&\u2028\u2029") & set(text)
    assert text.isascii()
    assert json.loads(text) == {"name": name}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_names_add_no_element(report, name):
    def elements(**changes):
        return [tag for tag, _ in Parsed(page_of(report, pid=7, **changes)).elements]

    hostile = dataclasses.replace(report.threads[0], name=name)
    changed = dataclasses.replace(report, threads=(hostile,), warnings=(name,))
    text = "".join(export_processes([TracedProcess(name, changed, pid=7, argv=(name,))]))
    assert [tag for tag, _ in Parsed(text).elements] == elements(argv=("app.py",))
    text.encode("utf-8")
