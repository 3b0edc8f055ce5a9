"""Prints what a wheel holds and fails if it is larger than it may be."""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--most-mb", type=float, required=True, help="largest unpacked size in megabytes (10^6 bytes)")
    args = parser.parse_args()
    with zipfile.ZipFile(args.wheel) as archive:
        files = sorted(archive.infolist(), key=lambda info: -info.file_size)
    total = sum(info.file_size for info in files) / 1e6
    for info in files[:6]:
        print(f"{info.file_size / 1e6:8.2f} MB  {info.filename}")
    print(f"{total:8.2f} MB  unpacked, {args.wheel.stat().st_size / 1e6:.2f} MB packed: {args.wheel.name}")
    if total > args.most_mb:
        print(f"too large: at most {args.most_mb} MB unpacked", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
