"""MUSDB18-HQ: uncompressed stems, one folder a song."""

from stemproof.data.recordings.musdb import MusdbLayout

SOURCE = MusdbLayout(name="musdb18hq", words="MUSDB18-HQ (.wav)")
