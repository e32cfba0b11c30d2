"""Checkpoints with random weights, of any size, in the published on-disk format: for tests, for a first start without
a download, and for measuring, because cost does not depend on the values.

The shapes here need no torch; `models.synthetic.writing` does.
"""

from models.synthetic.shapes import SHAPES, SyntheticShape

__all__ = ["SHAPES", "SyntheticShape"]
