"""One prompt through a `Controller` of this process."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__test__ = False

PROMPT = "Write a haiku about a river that forks."


def main(arguments: Sequence[str] | None = None) -> None:
    """Routes a prompt, calls the chosen model and prints its answer."""
    parser = argparse.ArgumentParser(prog="python -m ferroute.tests.test_openai_client", description=main.__doc__)
    parser.add_argument("--router", default="random", help="name of the router (%(default)s)")
    parser.add_argument("--threshold", type=float, default=0.7, help="from which win rate on the strong model answers")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--config", help="YAML file with the arguments of the router, by name")
    parser.add_argument("--strong-model", default="gpt-4-1106-preview")
    parser.add_argument("--weak-model", default="anyscale/mistralai/Mixtral-8x7B-Instruct-v0.1")
    args = parser.parse_args(arguments)
    sys.stdout.write(f"{args}\n")

    from ferroute._config import read_config
    from ferroute.controller import Controller

    controller = Controller(
        routers=[args.router],
        strong_model=args.strong_model,
        weak_model=args.weak_model,
        config=read_config(args.config),
        progress_bar=True,
    )
    answer = controller.completion(
        model=f"router-{args.router}-{args.threshold}", messages=[{"role": "user", "content": args.prompt}]
    )
    sys.stdout.write(f"Router used {answer.model} and received: {answer.choices[0].message.content}\n")


if __name__ == "__main__":
    main()
