"""Every claim of speed as a ratio, measured side by side in one run.

    make bench                                  # prints a table, writes benchmarks/results.json
    python benchmarks/bench.py attack memory    # some questions; prints a table

Both sides of a ratio are timed in turns. A ratio is the median of those of single rounds, whose
lowest and highest stand beside it: the machine's speed drifts, and two sides of one round share it.
Sizes are those of the default model unless a row says otherwise. Every question is a module here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from harness import ROOT, Row, Sizes

# Worker processes import this file again: what a question needs is imported when it is asked.
QUESTIONS = (
    "arithmetic",
    "public_code",
    "attack",
    "bsseval",
    "data",
    "scale",
    "memory",
    "sharing",
)
RESULTS = ROOT / "benchmarks/results.json"


def main() -> None:
    """Ask the questions, print the table; write the JSON when all were asked in full."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="question", help=", ".join(QUESTIONS))
    parser.add_argument("--tiny", action="store_true", help="see that it runs; ratios mean nothing")
    parser.add_argument("--output", type=Path, help="file for the results of these questions")
    options = parser.parse_args()
    unknown = sorted(set(options.questions) - set(QUESTIONS))
    if unknown:
        parser.error(f"no such question: {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    whole = not (options.questions or options.tiny)
    output: Path | None = options.output or (RESULTS if whole else None)
    machine = describe_machine()
    rows = []
    for question in options.questions or QUESTIONS:
        for row in ask(question, Sizes(options.tiny)):
            rows.append(row)
            print(row, flush=True)
    if output:
        result = {"machine": machine, "ratios": [asdict(row) for row in rows]}
        output.write_text(json.dumps(result, indent=2) + "\n")
        print(output)


def ask(question: str, sizes: Sizes) -> list[Row]:
    """The ratios of one question."""
    import torch

    torch.manual_seed(0)
    rows: Callable[[Sizes], list[Row]] = importlib.import_module(question).rows
    return rows(sizes)


def describe_machine() -> dict[str, str]:
    """Versions, processor and commit; sets the number of threads."""
    import torch

    from project import parameters
    from stemproof.core.runtime import describe_environment

    runtime = parameters(Sizes()).runtime
    torch.set_num_threads(runtime.threads)
    return {
        **describe_environment(runtime),
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "code": commit(),
    }


def commit() -> str:
    """The commit that is measured, and whether its code was changed since."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    try:
        changed = git("status", "--porcelain", "--", "stemproof", "stages", "benchmarks/*.py")
        return git("rev-parse", "HEAD").strip() + (", changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def processor() -> str:
    """The processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
