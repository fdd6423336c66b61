"""Fuzz every reader of files, guided by the branches that its Python code takes.

Each reader of ``fuzz_readers.py`` runs in a process of its own under atheris (libFuzzer), from
the whole files of ``fuzz_seeds.py``. Of every input comes a right result, or one sentence that
names the file; all else is a fault: another exception, a crash, more than 5 s of processor time, a
minute without an end, memory beyond a bound. Inputs of faults are kept beside ``--out``, named by
their SHA-256.

The number of inputs, the seed of libFuzzer, the seed inputs, the hashes of Python and the names of
files are fixed. The inputs are not throughout: two runs had the same counts for JSON, its
documents, tables, arrays and small model files, and others for sound, YAML and weights, for a
reason that is not known. So a run without faults is no proof, and another may find some; inputs of
faults are kept for that. Limits of time and memory depend on the machine. Branches in compiled
libraries (libsndfile, FFmpeg, the JSON scanner, safetensors) guide nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

ATHERIS = "atheris==3.0.0"
WALL = 60  # seconds for one input, by the clock
MEGABYTES = 3000  # of the whole process
DEATHS = 10  # of a reader's process, after which it is given up
KINDS = ("accepted", "refused", "faults")
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}


def fuzz(name: str, inputs: int, seed: int, kept: Path) -> dict[str, Any]:
    """Give one reader so many inputs.

    Args:
        name: of the reader.
        inputs: how many, the seeds among them.
        seed: of libFuzzer.
        kept: folder for inputs of faults; made when there are any.

    Returns:
        As JSON: counts, branches that were reached, and faults by the place they arose at.
    """
    import fuzz_child

    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for part in ("corpus", "faults", "scratch"):
            (folder / part).mkdir()
        (folder / "counts").write_bytes(bytes(8 * len(KINDS)))
        deaths: list[dict[str, Any]] = []
        while (left := inputs - sum(_counts(folder)) - len(deaths)) > 0 and len(deaths) < DEATHS:
            flags = {
                "runs": left,
                "seed": seed + len(deaths),  # another course, or it would end there again
                "timeout": WALL,
                "rss_limit_mb": MEGABYTES,
                "max_len": fuzz_child.fuzz_readers.READERS[name].longest,
                "reload": 0,  # by the clock
                "artifact_prefix": f"{folder / 'faults'}/",
            }
            given = [f"-{key}={value}" for key, value in flags.items()]
            if code := fuzz_child.run(name, folder, given, seeds=not deaths):
                deaths.append(_death(folder, name, code))
        log = (folder / "log").read_text(errors="replace")
        accepted, refused, faults = _counts(folder)
        places = _places(folder) + deaths
        if any((folder / "faults").iterdir()):
            shutil.copytree(folder / "faults", kept, dirs_exist_ok=True)
    return {
        "inputs": accepted + refused + faults + len(deaths),
        "accepted": accepted,
        "refused": refused,
        "faults": faults + len(deaths),
        "branches": max([0, *map(int, re.findall(r"\bcov: (\d+)", log))]),
        "seconds": round(time.monotonic() - start),
        "places": places,
    }


def _counts(folder: Path) -> tuple[int, ...]:
    return struct.unpack("<3Q", (folder / "counts").read_bytes())


def _death(folder: Path, name: str, code: int) -> dict[str, Any]:
    """What ended the process; libFuzzer has written its input.

    Raises:
        RuntimeError: it ended without an input: the harness is at fault.
    """
    log = (folder / "log").read_text(errors="replace")
    said = re.findall(r"SUMMARY: libFuzzer: (.*)", log) or [f"it ended with {code}"]
    for kind in ("timeout", "oom", "crash"):
        for file in (folder / "faults").glob(f"{kind}-*"):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            file.rename(file.with_name(f"{digest}.input"))
            return {"sha256": digest, "said": said[-1], "where": kind, "count": 1}
    raise RuntimeError(f"{name}: {log[-3000:]}")


def _places(folder: Path) -> list[dict[str, Any]]:
    """Faults by where they arose, the most frequent first, each with its first input."""
    file = folder / "faults.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    count = Counter(line["where"] for line in lines)
    first = {line["where"]: line for line in reversed(lines)}
    return [{**first[where], "count": number} for where, number in count.most_common()]


def main() -> None:
    """Fuzz the readers that were named; print and store what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help="all by default")
    parser.add_argument("--inputs", type=int, default=20_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/fuzz.json"), help="JSON")
    chosen = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        sys.exit(f"atheris is not installed; run {sys.executable} -m pip install {ATHERIS}")
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets have another order in every process
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)
    from fuzz_child import fuzz_readers

    unknown = [name for name in chosen.readers if name not in fuzz_readers.READERS]
    if unknown:
        sys.exit(f"{unknown[0]}: no such reader; there are {', '.join(fuzz_readers.READERS)}")
    found: dict[str, Any] = {"seed": chosen.seed, "readers": {}}
    for name in chosen.readers or fuzz_readers.READERS:
        kept = chosen.out.parent / f"{chosen.out.stem}-faults" / name
        about = fuzz(name, chosen.inputs, chosen.seed, kept)
        found["readers"][name] = about
        print(name, json.dumps(about), flush=True)
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(any(about["faults"] for about in found["readers"].values()))


if __name__ == "__main__":
    main()
