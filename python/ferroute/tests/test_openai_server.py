"""One prompt through a running server, with the `openai` client."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ferroute.tests.test_openai_client import PROMPT

if TYPE_CHECKING:
    from collections.abc import Sequence

__test__ = False


def main(arguments: Sequence[str] | None = None) -> None:
    """Asks a server for a completion by a routed model and prints the answer."""
    parser = argparse.ArgumentParser(prog="python -m ferroute.tests.test_openai_server", description=main.__doc__)
    parser.add_argument("--router", default="random", help="name of a router of the server (%(default)s)")
    parser.add_argument("--threshold", type=float, default=0.7, help="from which win rate on the strong model answers")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--base-url", default="http://127.0.0.1:6060/v1")
    parser.add_argument("--api-key", default="NO_API_KEY_REQUIRED")
    args = parser.parse_args(arguments)
    # The key is the reader's own, but the line ends up in logs.
    shown = argparse.Namespace(**{**vars(args), "api_key": "..."}) if args.api_key != "NO_API_KEY_REQUIRED" else args
    sys.stdout.write(f"{shown}\n")

    import openai

    client = openai.OpenAI(base_url=args.base_url, api_key=args.api_key)
    answer = client.chat.completions.create(
        model=f"router-{args.router}-{args.threshold}", messages=[{"role": "user", "content": args.prompt}]
    )
    sys.stdout.write(f"Router used {answer.model} and received: {answer.choices[0].message.content}\n")


if __name__ == "__main__":
    main()
