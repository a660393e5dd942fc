"""One word for one thing: docs/glossary.md has each word once, and names in the code keep to its meaning."""

import ast
import io
import re
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.plain_python

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "gilprobe"

# Words that meant two things, or nothing to a stranger -> the word of the glossary that stands for them now.
RETIRED = {
    "book": "trace part",  # the books are the core's; Python only decodes its parts
    "ledger": "trace part",
    "nursery": "spawner",
    "peek": "safe read",
    "sight": "stall look",
    "trail": "call stack",
}

# The same in C and Cython. The books are there, and a machine would be a state machine or the computer.
RETIRED_IN_C = {old: new for old, new in RETIRED.items() if old != "book"} | {"machine": "GIL state"}

# A word of the glossary -> the modules and folders where something may be named by it.
RESERVED = {
    "account": ("model", "render", "report", "tracing"),
    "blame": ("model", "render", "report", "scenarios", "tracing"),
    "census": ("refs",),
    "chunk": ("tracing",),
    "claim": ("results", "scenarios"),
    "crew": ("engines",),
    "engine": ("engines", "scenarios"),
    "frame": ("refs", "render", "report", "tracing"),
    "gauge": ("refs",),
    "hunt": ("cli", "pytest_plugin", "refs"),
    "interpreter": ("engines", "tracing"),
    "lane": ("render",),
    "law": ("model", "render", "results", "scenarios"),
    "recording": ("attached", "attaching", "cli", "programs", "tracing"),
    "snapshot": ("tracing",),
    "spawner": ("engines",),
    "stall": ("cli", "render", "report", "scenarios", "tracing"),
    # of asyncio; in workers and integrations what they are given to do
    "task": ("integrations", "model", "render", "report", "tracing", "workers"),
    "team": ("engines", "measuring", "render", "scenarios"),
    "turn": ("workers",),
    "worker": ("engines", "errors", "workers"),
}

# Public, so they stay: what `Trace.timeline` gives, and what `refs.timeline` does.
TWICE = {"Timeline"}

# The public keyword of run(), audit() and a scenario's request: inside, a frame is a level of a call stack.
CALLED_FRAME = {"auditing/__init__.py", "scenarios/__init__.py", "scenarios/scenario.py"}


def listed(faults: list[str]) -> str:
    return "\n".join(["", *faults])


def words_of(name: str) -> set[str]:
    """Return the words that a name is made of, small and without the s of a plural."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {re.sub(r"(?<![su])s$", "", word.lower()) for word in words}


@cache
def glossary() -> tuple[str, ...]:
    """Return the words that the glossary explains; a row may have several forms, as ``a: b / c``."""
    text = (CHECKOUT / "docs" / "glossary.md").read_text(encoding="utf-8")
    return tuple(word for word in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) if word != "word")


@cache
def trees() -> dict[str, ast.Module]:
    """Return all of the package's modules, by their paths inside of it."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def definitions() -> list[tuple[str, str]]:
    """Return the modules, classes and functions of the package: where each is, and its name."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (path, name)
        for path, tree in trees().items()
        for name in [Path(path).stem, *(node.name for node in ast.walk(tree) if isinstance(node, kinds))]
    ]


def room_of(path: str) -> str:
    """Return the module at the top, or the folder there, that a file belongs to."""
    return path.partition("/")[0].removesuffix(".py")


def names_in(path: Path) -> set[str]:
    """Return every name that a Python file uses, and its own."""
    source = io.StringIO(path.read_text(encoding="utf-8"))
    tokens = tokenize.generate_tokens(source.readline)
    return {token.string for token in tokens if token.type == tokenize.NAME} | {path.stem}


def test_names_are_taken_apart() -> None:
    assert words_of("_RecordedRuns_of_GIL2_census") == {"recorded", "run", "of", "gil", "census"}


def test_the_glossary_has_each_word_once() -> None:
    assert len(glossary()) > 80
    assert [word for word, times in Counter(glossary()).items() if times > 1] == []


def test_what_is_reserved_stands_in_the_glossary() -> None:
    assert {*RESERVED, *RETIRED.values()} - set(glossary()) == set()


def test_reserved_words_name_one_thing() -> None:
    faults = [
        f"gilprobe/{path}: {name}: {word!r} is a word of {', '.join(RESERVED[word])}"
        for path, name in definitions()
        for word in words_of(name) & RESERVED.keys()
        if room_of(path) not in RESERVED[word]
    ]
    assert not faults, listed(faults)


def test_no_reservation_is_left_over() -> None:
    used = {(word, room_of(path)) for path, name in definitions() for word in words_of(name)}
    assert {(word, room) for word, rooms in RESERVED.items() for room in rooms} - used == set()


def test_each_class_has_a_name_of_its_own() -> None:
    """A leading underscore makes no other name of it."""
    classes = Counter(
        node.name.lstrip("_")
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, times in classes.items() if times > 1} == TWICE


def test_settings_are_no_frame() -> None:
    found = {
        path
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.arg | ast.AnnAssign)
        and ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node).startswith("frame")
        and "Settings" in ast.unparse(node)
    }
    assert found == CALLED_FRAME


def test_retired_words_are_gone() -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}: {name}: {RETIRED[word]} is the word now"
        for folder in ("gilprobe", "tests")
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
        for name in names_in(path)
        for word in words_of(name) & RETIRED.keys()
    ]
    assert not faults, listed(faults)


NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)  # comments and strings of C
NO_CYTHON = re.compile(r'""".*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*', re.DOTALL)


def test_retired_words_are_gone_from_c_and_cython() -> None:
    kinds = {".c": NO_CODE, ".h": NO_CODE, ".pyx": NO_CYTHON, ".pxd": NO_CYTHON, ".pyi": NO_CYTHON}
    faults = [
        f"{path.relative_to(CHECKOUT)}: {name}: {RETIRED_IN_C[word]} is the word now"
        for folder in ("csrc", "gilprobe/_native", "tests/c")
        for path in sorted((CHECKOUT / folder).rglob("*"))
        if path.suffix in kinds
        for name in sorted(set(re.findall(r"\w+", kinds[path.suffix].sub(" ", path.read_text("utf-8")))))
        for word in words_of(name) & RETIRED_IN_C.keys()
    ]
    assert not faults, listed(faults)
