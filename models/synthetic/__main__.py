"""`python -m models.synthetic --size tiny --kind base --out DIR --seed 0`"""

import argparse
import time
from pathlib import Path
from typing import get_args

from models.catalog import SHAPES
from models.request import Kind
from models.synthetic.writing import write_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m models.synthetic", description="Write a checkpoint of random weights."
    )
    parser.add_argument("--size", choices=tuple(SHAPES), required=True)
    parser.add_argument("--kind", choices=get_args(Kind), required=True)
    parser.add_argument("--out", type=Path, required=True, help="the directory to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--endless", action="store_true", help="never end speech: for measuring")
    arguments = parser.parse_args()
    start = time.perf_counter()
    write_checkpoint(arguments.out, arguments.size, arguments.kind, arguments.seed, arguments.endless)
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(f"{arguments.out}: {size / 1e6:.1f} MB in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
