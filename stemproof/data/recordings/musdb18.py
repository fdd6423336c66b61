"""MUSDB18: compressed stems, one file a song."""

from stemproof.data.recordings.musdb import MusdbLayout

SOURCE = MusdbLayout(name="musdb18", words="MUSDB18 (.stem.mp4)", as_wav=False)
