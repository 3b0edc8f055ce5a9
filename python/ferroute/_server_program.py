"""``python -m routellm.openai_server``: RouteLLM's flags and defaults, and what is started with them."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from ferroute._serving_lines import LOCAL, NO_FILE, say, where
from ferroute.controller import ROUTER_CLS, Controller, RoutingError
from ferroute.errors import FerrouteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute.gateway import Gateway

STRONG, WEAK = "gpt-4-1106-preview", "anyscale/mistralai/Mixtral-8x7B-Instruct-v0.1"
"""RouteLLM's models."""
HOST, PORT = "127.0.0.1", 6060


def parser_of() -> argparse.ArgumentParser:
    """RouteLLM's options, and ``--host`` and ``--import`` beside them."""
    parser = argparse.ArgumentParser(
        prog="python -m routellm.openai_server",
        description="An OpenAI-compatible API server for LLM routing.",
        epilog="`ferroute serve` has more: a configuration with several tiers, budgets and keys.",
        allow_abbrev=True,
    )
    add = parser.add_argument
    add("--verbose", action="store_true", help="A line of the log for each request.")
    add("--workers", type=int, default=0, help="Taken as the number of threads: one process serves all cores.")
    add("--config", type=str, help="YAML with the arguments of each router, by name.")
    add("--host", type=str, default=HOST, help="Address to listen on. (default: this machine only)")
    add("--port", type=int, default=PORT, help="Port to listen on; 0 takes a free one.")
    add("--routers", nargs="+", type=str, default=["random"], choices=list(ROUTER_CLS), help="Routers to load.")
    add("--base-url", type=str, default=None, help="Base URL of both models.")
    add("--api-key", type=str, default=None, help="Key of both models.")
    add("--strong-model", type=str, default=STRONG, help="Model for hard prompts.")
    add("--weak-model", type=str, default=WEAK, help="Model for all others.")
    add(
        "--allow-public-without-key",
        action="store_true",
        help="With --host: listen on other addresses than this machine's though callers need no key.",
    )
    return parser


def controller_of(args: argparse.Namespace, before: Controller | None = None) -> Controller:
    """The Controller that the options mean; its routers are loaded.

    Args:
        args: The options.
        before: The one it takes the place of, whose ledger goes on.

    Raises:
        FerrouteError: A router cannot be loaded, or the configuration cannot be read.
    """
    from ferroute import _lifecycle
    from ferroute._config import read_config

    with _lifecycle.told_to(partial(say, "warning")):
        return Controller(
            args.routers,
            strong_model=args.strong_model,
            weak_model=args.weak_model,
            config=read_config(args.config),
            api_base=args.base_url,
            api_key=args.api_key,
            ledger=None if before is None else before.ledger,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until a signal.

    Args:
        arguments: Options; None: those of this process.
    """
    # RouteLLM sets it too: tokenizers warn when a process that used them forks.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _import_first(sys.argv[1:] if arguments is None else arguments)
    parser = parser_of()
    parser.add_argument("--import", dest="imports", action="append", metavar="MODULE", help="Import a module first.")
    args = parser.parse_args(arguments)
    sys.stdout.write(f"Launching server with routers: {args.routers}\n")
    sys.stdout.flush()
    try:
        _serve(args)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (FerrouteError, RoutingError, TypeError, OSError) as error:
        if os.environ.get("FERROUTE_DEBUG"):
            raise
        say("error", str(error) or type(error).__name__)
        raise SystemExit(1) from None


def _import_first(words: Sequence[str]) -> None:
    """Modules that enter routers of their own are imported before the choices are known."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--import", dest="imports", action="append", default=[])
    found, _ = early.parse_known_args(list(words))
    if found.imports:
        from ferroute._imports import import_modules

        try:
            import_modules(found.imports)
        except FerrouteError as error:
            say("error", str(error))
            raise SystemExit(2) from None


def _serve(args: Any) -> None:
    from ferroute._serving_reload import OnHangup
    from ferroute.gateway import Gateway

    if args.workers > 1:
        say("info", f"--workers {args.workers}: one process with so many threads; the routers are loaded once")
    controller = controller_of(args)
    broken: list[tuple[str, str]] = []
    workers = args.workers if args.workers > 0 else None
    telemetry = {"logs": "text", "verbose": args.verbose}
    door = {"server": {"allow_public_without_key": args.allow_public_without_key}}
    gateway = Gateway(controller, args.host, args.port, workers=workers, broken=broken, telemetry=telemetry, door=door)
    for name, why in broken:
        say("warning", f"{name} cannot be called, and whoever asks for it is told so: {why}")
    OnHangup(lambda: _read_again(args, gateway))
    say("info", f"listening on {gateway.url}{where(gateway.host)}")
    if gateway.host not in LOCAL:
        say("warning", "whoever reaches it can call both models with your keys")
    gateway.run()


def _read_again(args: argparse.Namespace, gateway: Gateway) -> None:
    """Loads the routers anew, with what the file of ``--config`` says now; if that is wrong, nothing changes."""
    if args.config is None:
        say("info", NO_FILE)
        return
    broken: list[tuple[str, str]] = []
    try:
        before: Any = gateway.controller
        gateway.replace(controller_of(args, before), broken=broken)
    except Exception as error:
        say("error", f"{args.config}: not reloaded (SIGHUP); what was served goes on:\n{error or type(error).__name__}")
        return
    say("info", f"{args.config}: reloaded (SIGHUP)")
    for name, why in broken:
        say("warning", f"{name} cannot be called, and whoever asks for it is told so: {why}")
