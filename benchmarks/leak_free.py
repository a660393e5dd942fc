"""Functions of the standard library that do not leak, caches and failing calls among them."""

from __future__ import annotations

import ast
import base64
import bisect
import collections
import copy
import csv
import datetime
import decimal
import difflib
import email.message
import fnmatch
import fractions
import functools
import hashlib
import heapq
import html
import io
import itertools
import json
import logging
import math
import operator
import pathlib
import pickle
import pprint
import random
import re
import shlex
import statistics
import string
import struct
import tempfile
import textwrap
import threading
import tokenize
import types
import unicodedata
import urllib.parse
import uuid
import xml.etree.ElementTree as ET
import zlib
from contextlib import suppress
from typing import Any

DOCUMENT = {"a": [1, 2.5, None, True, "text"], "b": {"c": "d"}}
number = itertools.count()


def _failing(call: Any, *args: Any) -> Any:
    def fail() -> None:
        with suppress(Exception):
            call(*args)

    return fail


def _temporary_file() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x")


def _thread() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


LEAK_FREE: dict[str, Any] = {
    "ast.parse": lambda: ast.parse("a = [b for b in c]"),
    "base64": lambda: base64.b64decode(base64.b64encode(b"text")),
    "bisect": lambda: bisect.insort([1, 3], 2),
    "collections.namedtuple": lambda: collections.namedtuple("Pair", "a b")(1, 2),
    "collections.deque": lambda: collections.deque(range(20), maxlen=5),
    "collections.Counter": lambda: collections.Counter("abracadabra").most_common(2),
    "copy.deepcopy": lambda: copy.deepcopy(DOCUMENT),
    "csv.reader": lambda: list(csv.reader(["a,b", "c,d"])),
    "datetime.strptime": lambda: datetime.datetime.strptime("2025-01-02", "%Y-%m-%d"),
    "datetime.isoformat": lambda: datetime.datetime(2025, 1, 2).isoformat(),
    "decimal": lambda: decimal.Decimal("1.1") / decimal.Decimal(3),
    "decimal, failing": _failing(decimal.Decimal, "x"),
    "difflib": lambda: list(difflib.unified_diff(["a", "b"], ["a", "c"])),
    "email.message": lambda: email.message.Message().as_string(),
    "fnmatch": lambda: fnmatch.fnmatch("name.py", f"*.{next(number) % 7}"),
    "fractions": lambda: fractions.Fraction(1, 3) + fractions.Fraction(1, 6),
    "functools.lru_cache": functools.partial(lambda f: f(next(number) % 300), functools.lru_cache(128)(str)),
    "hashlib": lambda: hashlib.sha256(b"text").hexdigest(),
    "heapq": lambda: heapq.nsmallest(3, [5, 1, 4, 2]),
    "html": lambda: html.unescape(html.escape("<a & b>")),
    "io.StringIO": lambda: io.StringIO("a\nb").readlines(),
    "io.BytesIO": lambda: io.BytesIO(b"abc").getvalue(),
    "itertools": lambda: list(itertools.permutations("abc")),
    "json.dumps": lambda: json.dumps(DOCUMENT, indent=1),
    "json.loads": lambda: json.loads('{"a": [1, 2.5, null]}'),
    "json, failing": _failing(json.loads, '{"a": '),
    "logging": lambda: logging.getLogger("leak_free").debug("text"),
    "math": lambda: math.factorial(50),
    "operator": lambda: operator.attrgetter("real")(1),
    "pathlib": lambda: pathlib.Path("/a/b").joinpath("c.txt").with_suffix(".py"),
    "pathlib, failing": _failing(pathlib.Path("/no/such").read_bytes),
    "pickle": lambda: pickle.loads(pickle.dumps(DOCUMENT)),  # noqa: S301
    "pprint": lambda: pprint.pformat(DOCUMENT, width=20),
    "random": lambda: random.Random(1).sample(range(50), 5),
    "re.compile": lambda: re.compile(f"a{next(number) % 1000}+"),
    "re.sub": lambda: re.sub(r"(\w)(\d)", r"\2\1", "a1 b2"),
    "re, failing": _failing(re.compile, "("),
    "shlex": lambda: shlex.split("a 'b c' d"),
    "statistics": lambda: statistics.median([1, 5, 2]),
    "string.Template": lambda: string.Template("$a").substitute(a=1),
    "struct": lambda: struct.calcsize(f"<{next(number) % 300}x"),
    "struct, failing": _failing(struct.unpack, "<I", b""),
    "tempfile": _temporary_file,
    "textwrap": lambda: textwrap.fill("some words " * 10, 30),
    "threading.Thread": _thread,
    "tokenize": lambda: list(tokenize.tokenize(io.BytesIO(b"a = 1\n").readline)),
    "types.new_class": lambda: types.new_class("Made", (), {}),
    "unicodedata": lambda: unicodedata.normalize("NFKD", "e\u0301"),
    "urllib.parse": lambda: urllib.parse.urlsplit(f"http://a/{next(number) % 50}?b=c"),
    "uuid": lambda: uuid.uuid4().hex,
    "xml.etree": lambda: ET.tostring(ET.fromstring("<a><b/></a>")),  # noqa: S314
    "xml.etree, failing": _failing(ET.fromstring, "<a>"),
    "zlib": lambda: zlib.decompress(zlib.compress(b"text")),
}
