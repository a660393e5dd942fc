"""Make docs/package-audit.md: which calls of popular packages release the GIL.

Measure:  python docs/package_audit.py measure FILE.json [PART/PARTS]
Then:     python docs/package_audit.py page FILE.json ... > docs/package-audit.md
"""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.auditing.own_process import AuditOrder, audit_apart
from gilprobe.auditing.statements import Statement
from gilprobe.measuring import host
from gilprobe.model.audit_result import AuditResult, AuditSet, Unaudited

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Package:
    """A package, what its calls need, and the calls."""

    name: str
    setup: str
    calls: tuple[str, ...]


TEXT = "import random; random.seed(1); text = ' '.join(random.choice(('alpha', 'beta', 'gamma', '42', '7.5'))"
RECORDS = "records = [{'id': i, 'name': f'item {i}', 'price': i / 7} for i in range(20_000)]"

PACKAGES = (
    Package(
        "numpy",
        "import numpy as np; rng = np.random.default_rng(1); a = rng.random(2_000_000);"
        " m = rng.random((400, 400));"
        " o = np.array([str(i) for i in range(100_000)], dtype=object); f = rng.random(500_000)",
        (
            "np.sort(a)",
            "np.sum(a)",
            "a + a",
            "m @ m",
            "np.linalg.svd(m)",
            "np.fft.fft(f)",
            "rng.random(1_000_000)",
            "np.sort(o)",
            "np.unique(f)",
            "np.array(f.tolist())",
        ),
    ),
    Package(
        "pandas",
        "import io, numpy as np, pandas as pd; rng = np.random.default_rng(1);"
        " d = pd.DataFrame({'key': rng.integers(0, 100, 300_000), 'value': rng.random(300_000)});"
        " csv = d.head(50_000).to_csv(index=False);"
        " s = pd.Series([f'item {i}' for i in range(100_000)], dtype=object)",
        (
            "pd.read_csv(io.StringIO(csv))",
            "d.groupby('key')['value'].mean()",
            "d.sort_values('value')",
            "d.merge(d.drop_duplicates('key'), on='key')",
            "d['value'].rolling(100).mean()",
            "s.str.upper()",
            "d.head(20_000).to_csv(index=False)",
        ),
    ),
    Package(
        "scipy",
        "import numpy as np; from scipy import fft, linalg, ndimage, optimize, signal, sparse, spatial;"
        " rng = np.random.default_rng(1); a = rng.random(500_000); m = rng.random((400, 400));"
        " image = rng.random((800, 800)); points = rng.random((20_000, 3)); tree = spatial.cKDTree(points)",
        (
            "fft.fft(a)",
            "linalg.lu_factor(m)",
            "ndimage.gaussian_filter(image, 3)",
            "signal.lfilter([1.0, 0.5], [1.0, -0.3], a)",
            "spatial.cKDTree(points)",
            "tree.query(points)",
            "optimize.minimize(optimize.rosen, [1.3, 0.7, 0.8, 1.9])",
        ),
    ),
    Package(
        "pillow",
        "import io, os; from PIL import Image, ImageFilter; image = Image.frombytes('RGB', (1600, 1200),"
        " os.urandom(1600 * 1200 * 3)); b = io.BytesIO(); image.save(b, 'JPEG'); jpeg = b.getvalue()",
        (
            "Image.open(io.BytesIO(jpeg)).load()",
            "image.save(io.BytesIO(), 'JPEG')",
            "image.resize((800, 600), Image.Resampling.LANCZOS)",
            "image.filter(ImageFilter.GaussianBlur(3))",
            "image.convert('L')",
        ),
    ),
    Package(
        "lxml",
        "from lxml import etree; xml = b'<r>' + b''.join(b'<i id=\"%d\">text %d</i>' % (i, i) for i in"
        " range(50_000)) + b'</r>'; tree = etree.fromstring(xml)",
        ("etree.fromstring(xml)", "etree.tostring(tree)", "tree.xpath('//i[@id=\"49999\"]')"),
    ),
    Package(
        "cryptography",
        "from cryptography.fernet import Fernet; from cryptography.hazmat.primitives import hashes;"
        " from cryptography.hazmat.primitives.asymmetric import rsa;"
        " from cryptography.hazmat.primitives.ciphers.aead import AESGCM;"
        " from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC; data = bytes(4_000_000);"
        " gcm = AESGCM(bytes(32)); fernet = Fernet(Fernet.generate_key())",
        (
            "gcm.encrypt(bytes(12), data, None)",
            "fernet.encrypt(data)",
            "PBKDF2HMAC(hashes.SHA256(), 32, b'salt', 50_000).derive(b'secret')",
            "rsa.generate_private_key(65537, 1024)",
        ),
    ),
    Package(
        "orjson",
        f"import orjson; {RECORDS}; data = orjson.dumps(records)",
        ("orjson.dumps(records)", "orjson.loads(data)"),
    ),
    Package(
        "pyarrow",
        "import numpy as np, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq;"
        " t = pa.table({'key': np.arange(1_000_000) % 1000,"
        " 'value': np.random.default_rng(1).random(1_000_000)}); sink = pa.BufferOutputStream();"
        " pq.write_table(t, sink); file = sink.getvalue(); values = list(range(200_000))",
        (
            "pq.read_table(pa.BufferReader(file))",
            "pq.write_table(t, pa.BufferOutputStream())",
            "t.group_by('key').aggregate([('value', 'mean')])",
            "pc.sum(t['value'])",
            "pa.array(values)",
            "t.to_pandas()",
        ),
    ),
    Package(
        "polars",
        "import io, numpy as np, polars as pl; d = pl.DataFrame({'key': np.arange(500_000) % 1000,"
        " 'value': np.random.default_rng(1).random(500_000)}); csv = d.head(100_000).write_csv().encode()",
        (
            "d.group_by('key').agg(pl.col('value').mean())",
            "d.sort('value')",
            "pl.read_csv(io.BytesIO(csv))",
            "d['value'].map_elements(lambda x: x + 1, return_dtype=pl.Float64)",
        ),
    ),
    Package(
        "regex",
        f"import regex; {TEXT} for _ in range(60_000)); pattern = regex.compile(r'\\b\\d+(\\.\\d+)?\\b')",
        ("pattern.findall(text)", "pattern.findall(text, concurrent=True)", "pattern.sub('x', text)"),
    ),
    Package(
        "msgpack",
        f"import msgpack; {RECORDS}; data = msgpack.packb(records)",
        ("msgpack.packb(records)", "msgpack.unpackb(data)"),
    ),
    Package(
        "zstandard",
        f"import zstandard; {TEXT} for _ in range(400_000)).encode();"
        " c = zstandard.ZstdCompressor(); packed = c.compress(text); d = zstandard.ZstdDecompressor()",
        ("zstandard.ZstdCompressor().compress(text)", "zstandard.ZstdDecompressor().decompress(packed)"),
    ),
    Package(
        "brotli",
        f"import brotli; {TEXT} for _ in range(30_000)).encode(); packed = brotli.compress(text, quality=5)",
        ("brotli.compress(text, quality=5)", "brotli.decompress(packed)"),
    ),
    Package(
        "lz4",
        f"import lz4.frame; {TEXT} for _ in range(400_000)).encode(); packed = lz4.frame.compress(text)",
        ("lz4.frame.compress(text)", "lz4.frame.decompress(packed)"),
    ),
    Package(
        "rapidfuzz",
        "from rapidfuzz import distance, fuzz, process; names = [f'item number {i}' for i in range(20_000)];"
        " a = 'abcdefgh' * 500; b = 'abdcefgh' * 500",
        ("process.extract('item 4242', names)", "distance.Levenshtein.distance(a, b)"),
    ),
    Package(
        "pyyaml",
        "import yaml; data = yaml.dump([{'id': i, 'name': f'item {i}'} for i in range(500)])",
        ("yaml.load(data, yaml.CSafeLoader)",),
    ),
    Package(
        "bcrypt",
        "import bcrypt; salt = bcrypt.gensalt(8)",
        ("bcrypt.hashpw(b'secret', salt)",),
    ),
)

DOUBTS = ("slowed down", "unstable", "moments")

HEAD = """\
# Which calls of popular packages release the GIL

This table has the results of `gilprobe audit` for calls that programs often make in threads. **released** is
the share of a call's time in which other threads could run, **holds** how many times it has the GIL in one
call, **longest** the longest of these. **2 threads** is the measured speedup, and in parentheses the most
that its holds and the cores allow (a package that computes in its own threads leaves no cores for more).
[gilprobe audit](commands/audit.md) explains the verdicts.

The numbers are measured, not derived from the sources, for these versions and arguments. With others, such as
small ones, a call may behave differently. Times depend on the machine; whether a call releases does not.

{machine}

Made by these commands; the arguments of each call are in `docs/package_audit.py`:

    pip install gilprobe {packages}
    python docs/package_audit.py measure packages.json
    python docs/package_audit.py page packages.json > docs/package-audit.md
"""


def installed(package: Package) -> str:
    """Return a package's version; empty if it is not there."""
    try:
        return importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def measure(target: str, part: str) -> int:
    """Audit the calls of every `parts`-th package, and save what was found."""
    number, parts = map(int, part.split("/"))
    audits: list[AuditResult] = []
    unaudited: list[Unaudited] = []
    for package in PACKAGES[number - 1 :: parts]:
        version = installed(package)
        for call in package.calls if version else ():
            name = f"{package.name} {version}: {call}"
            order = AuditOrder(Statement(call, package.setup, name), (1, 2), repeat=5, quick=True)
            found = audit_apart(order, 120.0)
            sys.stderr.write(f"{name}: {found.answer.verdict if found.answer else found.complaint}\n")
            if found.answer is not None:
                audits.append(found.answer)
            else:
                unaudited.append(Unaudited(name, found.complaint))
    AuditSet(host.read_environment(), tuple(audits), tuple(unaudited)).save(target)
    return 0


def page(paths: Sequence[str]) -> Iterator[str]:
    """Yield the page, line by line."""
    from gilprobe.render.shared.words import duration
    from gilprobe.render.text.audit_text import count, percent

    sets = [AuditSet.load(path) for path in paths]
    ran = sets[0].environment
    names = [package.name for package in PACKAGES]
    audits = sorted(
        (audit for found in sets for audit in found.audits),
        key=lambda audit: names.index(audit.name.partition(" ")[0]),
    )
    yield HEAD.format(
        machine=f"{ran.implementation} {ran.python}, {ran.started[:7]}, {ran.cpu}, {ran.cores} cores,"
        f" {ran.platform}",
        packages=" ".join(names),
    )
    yield "| package | call | takes | released | holds | longest | 2 threads | verdict |"
    yield "|---|---|--:|--:|--:|--:|--:|---|"
    shown = ""
    for audit in audits:
        package, _, call = audit.name.partition(": ")
        label, shown = ("" if package == shown else package), package
        holds, speedup = audit.holds, audit.speedups[-1]
        if holds is None or speedup.allowed is None:
            continue
        times = f"{speedup.measured:.2f} ({speedup.allowed:.2f})"
        cells = (
            percent(audit.released_fraction),
            count(holds.per_call),
            duration(holds.lengths.max_s),
            times,
        )
        mark = "\\*" if any(doubt.startswith(DOUBTS) for doubt in audit.warnings) else ""
        code = call.replace("|", "\\|")
        numbers = " | ".join((duration(audit.call_s), *cells))
        yield f"| {label} | `{code}` | {numbers} | {audit.verdict}{mark} |"
    yield "\n\\*: in doubt, most often since the machine was unstable, or releases were very short.\n"
    for found in sets:
        yield from (f"- not audited: {one.name}: {one.reason}" for one in found.unaudited)


def main(arguments: Sequence[str]) -> int:
    """Measure, or write the page to standard output."""
    if len(arguments) >= 2 and arguments[0] == "measure":
        return measure(arguments[1], arguments[2] if len(arguments) > 2 else "1/1")
    if len(arguments) >= 2 and arguments[0] == "page":
        sys.stdout.write("\n".join(page(arguments[1:])).rstrip() + "\n")
        return 0
    sys.stderr.write(__doc__ or "")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
