"""One reader under libFuzzer, in a fork of this process: libFuzzer ends it when it is done.

Imports take seconds when branches are counted, so they are made once for all readers. Counts and
faults stand in files when the fork has ended, however it did.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import atheris
import numpy.lib._format_impl as npy
import pandas  # noqa: F401 - before what is instrumented
import torch
import torch._weights_only_unpickler as unpickler

# What is imported there for the first time is compiled with counters of its branches.
with atheris.instrument_imports(
    include=["stemproof", "yaml", "json", "csv", "zipfile", "soundfile"]
):
    import fuzz_readers
    from fuzz_judge import Reader, Verdict, judge

import hashlib
import itertools
import json
import logging
import mmap
import resource
import struct
import tempfile
import traceback
import types
import warnings
from collections import Counter

import av

KINDS = ("accepted", "refused", "fault")
EXAMPLES = 5  # inputs that are kept of faults of one place
MORE = 2**30  # bytes of addresses beyond those that are in use when fuzzing begins


class Target:
    """What libFuzzer calls, with counts that outlive the process.

    Args:
        reader: under test.
        folder: for ``counts``, ``faults.jsonl`` and ``faults/``.
    """

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader, self.folder = reader, folder
        self.number = 0
        self.places: Counter[str] = Counter()
        with (folder / "counts").open("r+b") as stream:
            self.counts = mmap.mmap(stream.fileno(), 8 * len(KINDS))

    def __call__(self, content: bytes) -> None:
        """Judge one input."""
        verdict, file = self.judged(content)
        kinds = list(struct.unpack("<3Q", self.counts[:]))
        kinds[KINDS.index(verdict.kind)] += 1
        self.counts[:] = struct.pack("<3Q", *kinds)
        if verdict.kind == "fault":
            self._keep(content, file, verdict)

    def judged(self, content: bytes) -> tuple[Verdict, bytes]:
        """What is said of an input, and the file that was made of it."""
        file = self.reader.wrapped(content)
        # Another name each time: what libraries remember of a file is not of the one before.
        path = Path(f"{self.number:09d}{self.reader.suffix}")
        self.number += 1
        path.write_bytes(file)
        try:
            return judge(self.reader, path), file
        finally:
            path.unlink()

    def _keep(self, content: bytes, file: bytes, verdict: Verdict) -> None:
        self.places[verdict.where] += 1
        digest = hashlib.sha256(file).hexdigest()
        if self.places[verdict.where] <= EXAMPLES:
            (self.folder / "faults" / f"{digest}{self.reader.suffix}").write_bytes(file)
        line = {"sha256": digest, "said": verdict.said[:1000], "where": verdict.where}
        with (self.folder / "faults.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def instrument() -> None:
    """Count the branches of two modules of packages that are too large to be counted whole."""
    for module in (npy, unpickler):
        for value in [*vars(module).values(), *vars(unpickler.Unpickler).values()]:
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                atheris.instrument_func(value)


def bound_memory() -> None:
    """Let no allocation through that a small file has no need of."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MORE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def run(name: str, folder: Path, flags: Sequence[str], seeds: bool) -> int:
    """Fuzz a reader in a fork.

    Args:
        name: of the reader.
        folder: where ``corpus/``, ``faults/``, ``counts`` and ``log`` are.
        flags: of libFuzzer.
        seeds: whether the corpus is yet to be filled with whole files.

    Returns:
        The status of the fork; below 0 for a signal.
    """
    pid = os.fork()
    if pid == 0:
        try:
            log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            _fuzz(fuzz_readers.READERS[name], folder, flags, seeds)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # libFuzzer has ended the process when all is well
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _fuzz(reader: Reader, folder: Path, flags: Sequence[str], seeds: bool) -> None:
    instrument()
    # Nobody reads what libraries say beside their exceptions, and no disk is waited for.
    warnings.simplefilter("ignore")
    logging.disable()
    av.logging.set_level(av.logging.PANIC)
    os.fsync = lambda handle: None
    torch.set_num_threads(1)
    # libFuzzer learns from texts that are compared: names are the same in every run.
    os.chdir(folder / "scratch")
    tempfile._name_sequence = map("{:08d}".format, itertools.count())
    target = Target(reader, folder)
    for number, content in enumerate(reader.seeds()):
        target.judged(content)  # what is imported or allocated only once
        if seeds:
            (folder / "corpus" / f"seed-{number}").write_bytes(content)
    bound_memory()
    atheris.Setup(["fuzz", *flags, str(folder / "corpus")], target)
    atheris.Fuzz()
