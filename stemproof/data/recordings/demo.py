"""The demo songs that ``render-demo`` writes, in the layout of MUSDB18-HQ."""

from stemproof.data.recordings.musdb import MusdbLayout

SOURCE = MusdbLayout(
    name="demo",
    words="rendered demo songs (and one real seven-second excerpt in the test split)",
    rendered=True,
)
