"""Mutated files of strangers: each is read, or refused in one line, in bounded time and memory.

    python -m tests.contracts.fuzz [CASES] [KIND ...]

runs the whole campaign, 10,000 cases of each kind unless told otherwise, each kind in a process of its own, and prints
a table of what happened. `test_fuzz.py` runs a few of them.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cgm.cli.settle import Command
from cgm.data.images import read_image_parties, write_npz, write_png
from cgm.data.tables.files import Source, read_parties
from cgm.data.tables.schema import infer_schema
from cgm.settlements.certificate import readable_json, seal
from cgm.settlements.folder import mediator_files, party_files
from cgm.settlements.verification import verify
from cgm.utils.run import peak_memory
from tests.settlements.settled_tables import settle

CASES = 10_000
SECONDS = 20  # for a case, on a machine that is busy with other work
MEMORY = 1024  # MiB of a whole process, of which torch and pandas take about 400
GIB = "0.0625"  # CGM_MAX_GIB, so that the limits are met
LENGTH = 3000  # of a message
TOKENS = [  # pieces of text that mean something to readers of tables, YAML and JSON
    *(
        "0",
        "-1",
        "1e999",
        "nan",
        "inf",
        "-0",
        "9" * 400,
        "9" * 5000,
        "0x1p3",
        "1_000",
        "１２",
        "٣",
        "TRUE",
        "null",
        "~",
    ),
    *(",", ";", "\t", "|", '"', '""', "'", "\n", "\r", "\r\n", "\n\n", "\x00", "\x1b[2J", "\ufeff", "\u202e", "\u2028"),
    *("=1+1", "2024-02-30", "31.12.9999", "12:60", "1.234,5", "$", "%", "NA", "\\N", "#DIV/0!", "sep=;", "# x"),
    *("&a ", "*a", "<<: ", "!!python/name:os.system ", "!!binary ", "? ", "- ", ": ", "{", "}", "[", "]", "[" * 500),
    *(
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        "|\n",
        ">\n",
        "true",
        "{}",
        "[]",
        '{"a": 1}',
        "../x",
        "/dev/zero",
        "\\",
        "\ud7ff",
    ),
]


class Slow(BaseException):
    """A case took too long; not an `Exception`, which readers may catch."""


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes:
        files: Files that are read as they are, by name.
        read: Reads a file in a folder; returns whether it was accepted, or raises what says why it was not.
        text: Whether the files are text.
    """

    files: Mapping[str, bytes]
    read: Callable[[Path], bool]
    text: bool = False


def mutate(content: bytes, text: bool, random: np.random.Generator) -> bytes:
    """Change a file in one to four places."""

    data = bytearray(content)
    for _ in range(random.integers(1, 5)):
        k = int(random.integers(len(data) + 1))
        width = int(min(2 ** random.integers(12), 2048))
        change = random.integers(9)
        if change == 0 and data:
            data[k % len(data)] ^= 1 << int(random.integers(8))
        elif change == 1:
            data[k : k + width] = random.bytes(int(random.integers(1, 9)))
        elif change == 2:
            del data[k : k + width]
        elif change == 3:
            data[k:k] = data[k : k + width]
        elif change == 4:
            del data[k:]
        elif change == 5 and data:
            other = int(random.integers(len(data)))
            data[k : k + width] = data[other : other + width]
        elif change == 6:  # numbers that formats store in some bytes
            value = int(random.choice([0, 1, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1]))
            size = int(random.choice([1, 2, 4, 8]))
            data[k : k + size] = (value % 256**size).to_bytes(size, str(random.choice(["little", "big"])))  # type: ignore[arg-type]
        elif change == 7 and text:
            data[k:k] = str(random.choice(TOKENS)).encode()
        elif text and b"\n" in data:  # lines in another order, or one of them many times
            lines = bytes(data).split(b"\n")
            line = lines[int(random.integers(len(lines)))]
            lines[int(random.integers(len(lines)))] = b"\n".join([line] * int(random.choice([0, 1, 2, 200])))
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": random.integers(20, 70, 40),
            "income": random.normal(size=40).round(3),
            "city": random.choice(["Oslo", "Köln", "a, b"], 40),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(900, size=40), unit="D"),
            "member": random.choice([True, False], 40),
        }
    )


def tables(path: Path) -> bool:
    """Read a table with one that is unchanged, and infer their columns."""

    other = path.with_name("other.csv")
    other.write_text(frame().to_csv(index=False))
    parties, _ = read_parties([path, other])
    infer_schema(parties)
    return True


def images(path: Path) -> bool:
    """Read a folder of images with one that is unchanged."""

    other = path.parent.with_name(path.parent.name + "-other")
    other.mkdir(exist_ok=True)
    (other / "a.png").write_bytes(write_png(pixels()[0].repeat(3 if path.name in ("b.png", "c.png") else 1, 0)))
    read_image_parties([path.parent, other])
    return True


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(6, 1, 8, 8), dtype=np.uint8)


def schema(path: Path) -> bool:
    return Command(schema=str(path)).read_schema() is not None


@cache
def party() -> dict[str, bytes]:
    """Return the files of a party, with a signature."""

    settlement = settle()
    source = Source("a.csv", hashlib.sha256(b"").hexdigest())
    return party_files(replace(settlement, sources=(source, *settlement.sources[1:])), 0, name="spring")


def certificates(path: Path) -> bool:
    """Verify a folder in which one file was changed; half of all changed certificates have the right digest."""

    for name, data in party().items():
        if name != path.name:
            (path.parent / name).write_bytes(data)
    verification = verify(path.parent)
    failed = [line for line in verification.lines if line.startswith("FAILED")]
    if verification.ok != (not failed) or any("could not be finished" in line for line in failed):
        raise RuntimeError(str(failed))
    if any("\n" in line or len(line) > LENGTH for line in verification.lines):
        raise RuntimeError("a finding is not one line")
    if failed:
        raise ValueError(failed[0])
    return True


def resealed(content: bytes, random: np.random.Generator) -> bytes:
    """Change a value of a certificate, and give it the digest that it then has."""

    certificate = json.loads(content)
    node: Any = certificate
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = keys[int(random.integers(len(keys)))]
        if not isinstance(node[key], dict | list) or not node[key] or random.random() < 0.3:
            break
        node = node[key]
    values = [None, -1, 10**30, 1.5, "", "x", "\x1b\n", "../../x", [], {}, [[]], {"a": {}}, True, "9" * 99, "\u202e"]
    node[key] = values[int(random.integers(len(values)))]
    return readable_json(seal(certificate))


def recompressed(content: bytes, random: np.random.Generator) -> bytes:
    """Change what a gzip file holds."""

    return gzip.compress(mutate(gzip.decompress(content), True, random), 1, mtime=0)


def rezipped(content: bytes, random: np.random.Generator) -> bytes:
    """Change the array in an `.npz` file, most often its header."""

    with zipfile.ZipFile(io.BytesIO(content)) as file:
        (name,) = file.namelist()
        array = file.read(name)
    cut = 128 if random.random() < 0.7 else len(array)
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, mutate(array[:cut], True, random) + array[cut:])
    return changed.getvalue()


def with_checksums(content: bytes, random: np.random.Generator) -> bytes:
    """Change the chunks of a PNG file, and give them the checksums that they then have."""

    data, k = content[:8], 8
    while k + 12 <= len(content):
        length = int.from_bytes(content[k : k + 4], "big")
        chunk = content[k + 4 : k + 8 + length]
        if random.random() < 0.5:
            chunk = (chunk[:4] if random.random() < 0.9 else random.bytes(4)) + mutate(chunk[4:], False, random)[:4096]
        size = length if random.random() < 0.05 else len(chunk) - 4
        data += max(size, 0).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        k += 12 + length
    return data


# changes that checksums do not find
REPAIRED = {"certificate.json": resealed, "csv.gz": recompressed, "npz": rezipped, "png": with_checksums}


@cache
def kinds() -> dict[str, Kind]:
    table = frame()
    comma = table.to_csv(index=False).encode()
    semicolon = table.to_csv(index=False, sep=";", decimal=",").encode()
    found = {
        "csv": Kind({"a.csv": comma, "b.csv": semicolon, "c.csv": comma.decode().encode("utf-16")}, tables, True),
        "csv.gz": Kind({"a.csv.gz": gzip.compress(comma, mtime=0)}, tables),
        "npz": Kind({"a.npz": write_npz(pixels(), "NHW uint8"), "b.npz": _stored(pixels())}, images),
        "png": Kind(
            {"a.png": write_png(pixels()[0]), "b.png": write_png(pixels()[0].repeat(3, 0)), "c.png": _palette()}, images
        ),
        "yaml": Kind({"schema.yaml": mediator_files(settle())["schema.yaml"]}, schema, True),
        "certificate": Kind(party(), certificates, True),
    }
    with contextlib.suppress(ImportError):
        files = {}
        for name, compression in (("a", "snappy"), ("b", "gzip"), ("c", None)):
            file = io.BytesIO()
            table.to_parquet(file, index=False, compression=compression)
            files[f"{name}.parquet"] = file.getvalue()
        found["parquet"] = Kind(files, tables)
    return found


def _stored(images: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, images=images.astype(np.float32) / 255)
    return file.getvalue()


def _palette() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels()[0, 0]).convert("P").save(file, "PNG", interlace=1)
    return file.getvalue()


def case(kind: str, number: int, folder: Path) -> tuple[str, str]:
    """Read a mutated file.

    Arguments:
        kind: Its kind.
        number: The number of the case, from which the file follows.
        folder: An empty folder.

    Returns:
        `"read"`, `"refused"`, or what was wrong, and the message or traceback.
    """

    random = np.random.default_rng([number, *kind.encode()])
    name, content = list(kinds()[kind].files.items())[number % len(kinds()[kind].files)]
    repaired = REPAIRED.get(name if kind == "certificate" else kind)
    if repaired is not None and random.random() < 0.5:
        data = repaired(content, random)
    else:
        data = mutate(content, kinds()[kind].text, random)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        with limited_time(SECONDS):
            kinds()[kind].read(path)
    except Slow:
        return "hung", ""
    except (ValueError, OSError) as error:
        text = str(error)
        if len(text) > LENGTH or type(error).__module__ not in ("builtins", "cgm.utils.files"):
            return "unclear", f"{type(error).__name__}: {text[:500]}"
        return "refused", text
    except BaseException:
        return "traceback", traceback.format_exc()
    return "read", ""


@contextlib.contextmanager
def limited_time(seconds: float) -> Iterator[None]:
    """Raise an error if something takes too long; only where the system has such an alarm."""

    def late(number: int, frame: object) -> None:
        raise Slow

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(kind: str, cases: range) -> Counter[str]:
    """Run some cases, print those that are wrong, and return how many there are of each outcome."""

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in cases:
            print(number, file=sys.stderr, flush=True)
            place = Path(folder, str(number))
            outcome, text = case(kind, number, place / "party")
            shutil.rmtree(place)
            counts[outcome] += 1
            if outcome not in ("read", "refused"):
                print(f"{kind} {number}: {outcome}\n{text}", flush=True)
    return counts


def campaign(cases: int, names: list[str]) -> bool:
    """Run all kinds, each in a process, which may crash; return whether all is right."""

    import os

    right = True
    print("| kind | cases | read | refused | wrong | seconds | peak MiB |\n| --- | --- | --- | --- | --- | --- | --- |")
    for kind in names or kinds():
        begin, done, counts, peak = time.monotonic(), 0, Counter[str](), 0.0
        while done < cases:
            program = f"from tests.contracts.fuzz import child; child({kind!r}, {done}, {cases})"
            environment = {**os.environ, "CGM_MAX_GIB": GIB}
            made = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
            )
            *wrong, last = made.stdout.strip().splitlines() or [""]
            print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
            if made.returncode == 0:
                found, memory = json.loads(last)
                counts.update(found)
                done, peak = cases, max(peak, memory)
            else:  # the outcomes of the cases before are lost
                numbers = [line for line in made.stderr.splitlines() if line.isdecimal()]
                print(f"{kind} {numbers[-1:]}: ended with {made.returncode}\n{made.stderr[-2000:]}", file=sys.stderr)
                if not numbers:
                    return False
                counts["crash"] += 1
                done = int(numbers[-1]) + 1
        bad = sum(count for outcome, count in counts.items() if outcome not in ("read", "refused"))
        right &= not bad and peak < MEMORY
        seconds = time.monotonic() - begin
        print(
            f"| {kind} | {sum(counts.values()):,} | {counts['read']:,} | {counts['refused']:,} | {bad} | {seconds:.0f} "
            f"| {peak:.0f} |",
            flush=True,
        )
    return right


def child(kind: str, begin: int, end: int) -> None:
    """Run the cases of a process of `campaign`."""

    kinds()
    counts = run(kind, range(begin, end))
    print(json.dumps([counts, peak_memory()]))


if __name__ == "__main__":
    given = sys.argv[1:]
    number = int(given.pop(0)) if given and given[0].isdecimal() else CASES
    raise SystemExit(not campaign(number, given))
