"""Checkpoints with random weights, of any size, in the published on-disk format: for tests, for a first start without
a download, and for measuring, because cost does not depend on the values."""

from models.synthetic.shapes import SHAPES, SyntheticShape
from models.synthetic.writing import write_checkpoint

__all__ = ["SHAPES", "SyntheticShape", "write_checkpoint"]
