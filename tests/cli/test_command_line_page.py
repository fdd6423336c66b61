"""The page of the commands: its options are there, and what it shows is what is printed."""

from __future__ import annotations

import re
import shlex

import pytest
import soundfile
from conftest import ROOT
from song_toys import Folder, folder, read

__all__ = ["folder"]
PAGE = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ (stemproof [^\n]*)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = ("separate", "attack", "audit")
# Its example takes a real system; what it prints is tested elsewhere.
ALL = (*COMMANDS, "protect")


def form(text: str) -> list[str]:
    """Lines without their numbers, flags and the spaces of columns."""
    lines = [re.sub(r"-?\d+(\.\d+)?", "0", line) for line in text.splitlines()]
    return [" ".join(line.split()) for line in lines if " RAISED " not in line]


def test_every_command_is_shown() -> None:
    assert [shlex.split(command)[1] for command, _ in SHOWN] == list(COMMANDS)


def test_options_that_are_shown_exist(folder: Folder) -> None:
    helps = {command: folder.good(command, "--help") for command in ALL}
    for command, _ in SHOWN:
        words = shlex.split(command)
        for option in (word for word in words if word.startswith("--")):
            assert option in helps[words[1]], command
    for option in set(re.findall(r"--[a-z]+", PAGE)):
        assert any(option in text for text in helps.values()), option


def test_every_option_is_on_the_page_or_explains_itself(folder: Folder) -> None:
    for command in ALL:
        said = folder.good(command, "--help")
        for option, rest in re.findall(r"^  (--[a-z]+)(.*)$", said, re.MULTILINE):
            assert option in PAGE or len(rest.split()) > 2, option


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=COMMANDS)
def test_what_is_shown_is_what_is_printed(folder: Folder, command: str, shown: str) -> None:
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    assert [name for name, _ in blocks] == ["mine.py", "params.yaml"]
    for name, text in blocks:
        (folder.root / name).write_text(text)
    song = folder.root / "songs/song 0"
    soundfile.write("vocals.wav", read(song / "vocals.wav").T, 4000)
    soundfile.write("song.wav", read(song / "mixture.wav").T, 4000)
    # Spleeter takes its time, and the song is not there.
    words = command.replace("song.stem.mp4", "song.wav").replace("spleeter", "mine")
    said = folder.good(*shlex.split(words)[1:])
    assert form(said) == form(shown.replace("spleeter", "mine"))
