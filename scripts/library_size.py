"""Says which crates the code in a library is of, largest first: where to look when the wheel has grown.

    CARGO_PROFILE_RELEASE_STRIP=none cargo build --release --features python --lib
    python scripts/library_size.py target/release/libferroute.so

Needs `nm` (binutils). Generic code counts for the crate that wrote it, not for the one that needed another copy of it,
so `core` and `alloc` are mostly copies that our own types asked for.
"""

from __future__ import annotations

import argparse
import collections
import re
import subprocess
import sys
from pathlib import Path

# `<alloc::vec::Vec<T> as ...>::f`, `core::ptr::drop_in_place::<...>`, `<&mut dyn ...>`: the first crate that is named.
CRATE = re.compile(r"^[<&(\[*]*(?:mut |dyn |const )*([a-z_][a-z0-9_]*)::")


def sizes(listing: str) -> tuple[collections.Counter[str], int]:
    """Bytes of code by crate, and in all, of the output of ``nm --demangle --print-size``.

    Code of C libraries and what no pattern fits is ``(other)``.
    """
    found: collections.Counter[str] = collections.Counter()
    for line in listing.splitlines():
        parts = line.split(None, 3)
        if len(parts) == 4 and parts[2] in "tTwW":
            match = CRATE.match(parts[3])
            found[match[1] if match else "(other)"] += int(parts[1], 16)
    return found, sum(found.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path)
    parser.add_argument("--most", type=int, default=25, help="how many crates to show")
    args = parser.parse_args()
    command = ["nm", "--demangle", "--print-size", str(args.library)]
    found, total = sizes(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if not total:
        print("no symbols: build it with CARGO_PROFILE_RELEASE_STRIP=none", file=sys.stderr)
        return 1
    for crate, size in found.most_common(args.most):
        print(f"{size / 1e6:8.2f} MB {size / total:6.1%}  {crate}")
    print(f"{total / 1e6:8.2f} MB of code; the file has {args.library.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
