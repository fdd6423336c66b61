"""How robust is a music source separator to an adversary, and how do you know?

The library behind the pipeline in ``dvc.yaml``: RSVM and its improved version, attacks on
the mixture, and the figures with their intervals. It holds no paths and no command line;
those are in ``stages/`` and ``params.yaml``.
"""

__version__ = "0.1.0"
