"""Tags of a song (title, artist, pictures) in the file that is made of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import soundfile

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import written_aside
from stemproof.data.codec import opened_container

# Chunks of a wav file, and blocks of a flac file, that say how the samples are stored.
SAMPLES = (b"fmt ", b"data", b"fact", b"PEAK", b"JUNK", b"ds64", b"PAD ", b"FLLR")
COMMENTS, PICTURE, CUESHEET, APPLICATION = 4, 6, 5, 2
INFO = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "genre": b"IGNR",
    "track": b"ITRK",
    "comment": b"ICMT",
    "copyright": b"ICOP",
    "language": b"ILNG",
}
# What containers say of themselves, and not of the song.
OWN = {"encoder", "major_brand", "minor_version", "compatible_brands", "encoded_by", "handler_name"}
LARGEST_PICTURE = 2**24 - 64  # bytes that a block of flac holds


def copy_tags(source: Path, target: Path) -> dict[str, list[str]]:
    """Put the tags of one file into another.

    From wav to wav and from flac to flac they are copied to the byte, whatever they are; else what
    FFmpeg reads of them is written as Vorbis comments (flac) or as a LIST chunk (wav).

    Args:
        source: any song.
        target: a wav or flac file that was just written; it is written anew.

    Returns:
        Names of tags that were ``kept``, and of those that the target ``cannot`` hold.

    Raises:
        InputError: a file cannot be read or written.
    """
    with explaining(source, "read"):
        kinds = _suffix(source), target.suffix.lower()
        if kinds == (".wav", ".wav"):
            chunks = [(name, body) for name, body in _chunks(source) if name not in SAMPLES]
            _write_wav(target, chunks)
            return {"kept": [name.decode("latin-1").strip() for name, _ in chunks], "cannot": []}
        if kinds == (".flac", ".flac") and _is_whole(source):
            blocks = [
                (kind, body)
                for kind, body in _blocks(source)[0]
                if kind in (COMMENTS, PICTURE, CUESHEET, APPLICATION)
            ]
            _write_flac(target, blocks)
            words = {COMMENTS: "comments", PICTURE: "picture", CUESHEET: "cue sheet"}
            return {"kept": [words.get(kind, "application") for kind, _ in blocks], "cannot": []}
        try:
            tags, pictures = _read(source)
        except av.error.FFmpegError as error:  # libsndfile reads some that FFmpeg does not
            raise InputError(
                f"{source}: its tags cannot be read ({error.strerror}); save it as wav or flac"
            ) from None
    if kinds[1] == ".flac":
        blocks = [(COMMENTS, _vorbis(tags)), *((PICTURE, body) for body in pictures)]
        _write_flac(target, blocks if tags or pictures else [])
        return {"kept": [*tags, *["picture"] * len(pictures)], "cannot": []}
    held = {key: value for key, value in tags.items() if key in INFO}
    _write_wav(target, [(b"LIST", _info(held))] if held else [])
    left = [key for key in tags if key not in INFO] + ["picture"] * len(pictures)
    return {"kept": list(held), "cannot": left}


def _is_whole(path: Path) -> bool:
    """Whether libsndfile takes the blocks of a flac file; else no file with them could be read."""
    try:
        soundfile.SoundFile(path).close()
    except soundfile.LibsndfileError:
        return False
    return True


def _suffix(path: Path) -> str:
    """By what the file is, not by its name."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if head[:4] == b"fLaC":
        return ".flac"
    return ".wav" if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE" else ""


def _read(source: Path) -> tuple[dict[str, str], list[bytes]]:
    """Tags by FFmpeg's names, and pictures as blocks of flac."""
    tags, pictures = dict[str, str](), list[bytes]()
    with opened_container(source) as container:
        found = dict(container.metadata)
        for stream in container.streams.audio[:1]:
            found |= stream.metadata
        for stream in container.streams.video:
            packet = next((p for p in container.demux(stream) if p.size), None)
            mime = {"png": "image/png", "mjpeg": "image/jpeg"}.get(stream.codec_context.name)
            if packet is not None and mime and packet.size < LARGEST_PICTURE:
                size = stream.codec_context.width, stream.codec_context.height
                pictures.append(_picture(bytes(packet), mime, size))
    for key, value in found.items():
        if key.lower() not in OWN and value:
            tags[key.lower()] = value
    return tags, pictures


def _picture(image: bytes, mime: str, size: tuple[int, int]) -> bytes:
    """A block of flac: a front cover."""
    name = mime.encode()
    head = struct.pack(">II", 3, len(name)) + name + struct.pack(">I", 0)
    return head + struct.pack(">IIIII", *size, 24, 0, len(image)) + image


def _vorbis(tags: dict[str, str]) -> bytes:
    maker = b"stemproof"
    body = struct.pack("<I", len(maker)) + maker + struct.pack("<I", len(tags))
    for key, value in tags.items():
        line = f"{'TRACKNUMBER' if key == 'track' else key.upper()}={value}".encode()
        body += struct.pack("<I", len(line)) + line
    return body


def _info(tags: dict[str, str]) -> bytes:
    body = b"INFO"
    for key, value in tags.items():
        text = value.encode() + b"\0"
        body += INFO[key] + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    return body


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Chunks of a wav file; of samples the names alone."""
    whole = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(12)
        while len(head := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name in SAMPLES:
                yield name, b""
                stream.seek(size + size % 2, 1)
                continue
            if size > whole - stream.tell():  # not read: it may announce as much as 4 GiB
                return
            yield name, stream.read(size)
            stream.seek(size % 2, 1)


def _write_wav(target: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    """Append chunks to a wav file."""
    if not chunks:
        return
    added = b"".join(
        name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        for name, body in chunks
    )
    with written_aside(target) as temporary, temporary.open("wb") as stream:
        with target.open("rb") as old:
            while block := old.read(2**20):
                stream.write(block)
        end = stream.tell()
        stream.write(b"\0" * (end % 2) + added)
        whole = stream.tell() - 8
        if whole < 2**32:
            stream.seek(4)
            stream.write(struct.pack("<I", whole))


def _blocks(path: Path) -> tuple[list[tuple[int, bytes]], int]:
    """Blocks of metadata of a flac file, and where its frames begin."""
    found = []
    with path.open("rb") as stream:
        stream.seek(4)
        last = False
        while not last:
            head = stream.read(4)
            size = int.from_bytes(head[1:], "big")
            body = stream.read(size)
            if len(head) < 4 or len(body) < size:  # a block that is not whole is none
                break
            last = bool(head[0] & 0x80)
            found.append((head[0] & 0x7F, body))
        return found, stream.tell()


def _write_flac(target: Path, tags: list[tuple[int, bytes]]) -> None:
    """Put blocks in the place of a flac file's own comments."""
    if not tags:
        return
    own, start = _blocks(target)
    # Seek points count from the first frame, so they stay right.
    kept = [(kind, body) for kind, body in own if kind in (0, 3)] + tags
    with written_aside(target) as temporary, temporary.open("wb") as stream:
        stream.write(b"fLaC")
        for number, (kind, body) in enumerate(kept):
            last = 0x80 if number + 1 == len(kept) else 0
            stream.write(bytes([kind | last]) + len(body).to_bytes(3, "big") + body)
        with target.open("rb") as old:
            old.seek(start)
            while block := old.read(2**20):
                stream.write(block)
