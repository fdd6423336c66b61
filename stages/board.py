"""board: all claims under results/ in one place, report/board.md and report/board.html."""

from common import REPORT, Sections, load_params, run

from stemproof.core.aside import written_together
from stemproof.core.files import write_text
from stemproof.report.board import build_board, find_claims


class Needs(Sections):
    """Parameters of this stage: none, for claims bring their own."""


def main() -> None:
    """Write the board of the claims under results/."""
    load_params(Needs)  # in a folder that is no project there is nothing to do
    claims = find_claims()
    pages = build_board(claims, REPORT)
    with written_together():
        for name, text in pages.items():
            write_text(REPORT / name, text)
    print(f"{REPORT / 'board.html'}: {len(claims)} claims")


if __name__ == "__main__":
    run(main)
