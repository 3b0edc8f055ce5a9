"""``ferroute serve``: started without typer and rich, which would take longer to load than the server to start."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from ferroute._serving_lines import NO_FILE, say, where

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from ferroute._serving_config import Configuration

FAILED, USAGE = 1, 2
PURPOSE = "Serve routers and models over HTTP, for every client of OpenAI, Anthropic and Responses."


def parser_of() -> argparse.ArgumentParser:
    """The options."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="ferroute serve",
        description=PURPOSE,
        epilog="Example: ferroute serve gateway.yaml --port 8000. Without a file, the models are those of the provider "
        "whose key is in the environment. `ferroute check` checks a file.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("config", nargs="?", metavar="CONFIG", help="The configuration, in YAML (docs/gateway.md).")
    add("--host", help="Address to listen on. (default: 127.0.0.1, this machine only)")
    add("--port", type=_port, help="Port to listen on; 0 takes a free one. (default: 6060)")
    add("--ledger", metavar="URL", help="Where calls are entered. (default: ferroute.db beside CONFIG, or memory)")
    add("--workers", type=_count, metavar="N", help="Threads that serve. (default: one for each core)")
    add("--routers", nargs="+", metavar="NAME", help="Routers to load. (default: those of CONFIG, or local and random)")
    add("--weak-model", metavar="MODEL", help="Model for easy prompts, in place of CONFIG's tiers.")
    add("--strong-model", metavar="MODEL", help="Model for hard prompts, likewise.")
    add("--base-url", metavar="URL", help="Base URL of those two models.")
    add("--api-key", metavar="KEY", help="Their key; env:NAME or file:PATH keep it out of the process list.")
    add("--import", dest="imports", action="append", metavar="MODULE", help="Python module to import first; repeat it.")
    add("--verbose", action="store_true", help="A line of the log for each request.")
    add("--no-reload", action="store_true", help="Do not watch CONFIG for changes; SIGHUP reloads all the same.")
    add(
        "--allow-public-without-key",
        action="store_true",
        help="Listen on other addresses than this machine's though callers need no key.",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serves until a signal, and exits.

    Args:
        arguments: Words after ``serve``; None: those of this process.
    """
    given = parser_of().parse_args(sys.argv[2:] if arguments is None else list(arguments))
    from ferroute.controller import RoutingError
    from ferroute.errors import FerrouteError

    try:
        _serve(given)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except (FerrouteError, RoutingError, TypeError, KeyError, OSError) as error:
        if os.environ.get("FERROUTE_DEBUG"):
            raise
        text = str(error) or type(error).__name__
        sys.stderr.write("".join(f"ferroute: {line}\n" for line in text.splitlines()))
        raise SystemExit(USAGE if isinstance(error, _Usage) else FAILED) from None
    raise SystemExit(0)


class _Usage(ValueError, OSError):
    """Options that do not go together."""


def _serve(given: argparse.Namespace) -> None:
    from ferroute._serving_build import arguments_of

    config = _read(given)
    sys.stdout.write(f"Launching server with routers: {list(arguments_of(config))}\n")
    sys.stdout.flush()
    run(config, lambda: _read(given), watch=not given.no_reload)


def _read(given: argparse.Namespace) -> Configuration:
    """The configuration with what the command line says in its place."""
    from ferroute import _serving_config
    from ferroute._serving_build import with_pair, with_tiers

    config = _serving_config.without_file() if given.config is None else _serving_config.load(given.config)
    plain = config.plain
    for name in ("host", "port", "ledger"):
        value = getattr(given, name)
        if value is not None:
            plain[name] = os.path.abspath(value) if name == "ledger" and _is_path(value) else value  # noqa: PTH100
    if given.workers is not None:
        plain["server"] = {**config.server, "workers": given.workers}
    if given.allow_public_without_key:
        plain["server"] = {**config.server, "allow_public_without_key": True}
    if given.routers:
        known = config.routers or {}
        plain["routers"] = {name: known.get(name) for name in given.routers}
    if given.imports:
        from ferroute._imports import import_modules

        # At once, so that one that is missing is told as the option's and not as the file's.
        import_modules(given.imports)
    if given.verbose:
        plain["telemetry"] = {**config.telemetry, "verbose": True}
    pair = given.weak_model, given.strong_model
    if any(pair):
        if not all(pair):
            raise _Usage("--weak-model and --strong-model go together")
        where = {"api_base": given.base_url, "api_key": _secret(given.api_key)}
        own = {name: value for name, value in where.items() if value is not None}
        with_pair(config, *pair, own)
    elif given.base_url or given.api_key:
        raise _Usage("--base-url and --api-key are of --weak-model and --strong-model, of which none is given")
    said = with_tiers(config)
    config.said.extend(said)
    return config


def run(config: Configuration, read: Callable[[], Configuration], *, watch: bool) -> None:
    """Serves a configuration until a signal; `read` reads it anew, at SIGHUP and with `watch` when its file changes."""
    from ferroute import _lifecycle
    from ferroute._serving_build import controller_of, door_of, page_about, served_of, telemetry_of
    from ferroute.endpoints import endpoint
    from ferroute.gateway import Gateway

    telemetry = telemetry_of(config)
    controller = controller_of(config)
    workers = int(config.server.get("workers", 0)) or None
    broken: list[tuple[str, str]] = []
    page = page_about(config)
    gateway = Gateway(
        controller,
        config.host,
        config.port,
        workers=workers,
        ui=page,
        telemetry=telemetry,
        broken=broken,
        door=door_of(config),
        **served_of(config),
    )

    def tell(level: str, text: str, event: str = "start") -> None:
        if telemetry["logs"] == "json":
            for line in text.splitlines():
                gateway.say(event, line, level)
        elif telemetry["logs"] == "text":
            say(level, text)

    for note in (*config.said, *config.notes):
        tell("info", note)
    for name, why in broken:
        tell("warning", f"{name} cannot be called, and whoever asks for it is told so: {why}")
    for ending in _lifecycle.endings(endpoint(model, name) for name, model in (*config.tiers, *config.models)):
        tell("warning", ending.text)
    from ferroute._serving_reload import OnHangup, Reloading

    reloading: Any = None
    if config.name is None:
        OnHangup(lambda: tell("info", NO_FILE, "reload"))
    else:
        reloading = Reloading(config.name, config, read, gateway, lambda level, text: tell(level, text, "reload"))
        reloading.start(watch=watch)
    tell("info", f"listening on {gateway.url}{where(gateway.host)}")
    try:
        gateway.run(float(config.server.get("drain_s", 30.0)))
    finally:
        if reloading is not None:
            reloading.stop()


def _secret(given: str | None) -> str | None:
    """A key, or what a reference to one leads to.

    Raises:
        _Usage: It leads nowhere.
    """
    if given is None or not given.startswith(("env:", "file:")):
        return given
    import json

    from ferroute import _serving_config

    model = {"model": "m", "api_key": given}
    text = json.dumps({"weak_model": model, "strong_model": "m"})
    try:
        read = _serving_config.read(text, "--api-key", os.getcwd())  # noqa: PTH109
    except _serving_config.ConfigMistakes as error:
        raise _Usage(f"--api-key: {error.mistakes[0].what}") from None
    return read.tiers[0][1]["api_key"]


def _is_path(ledger: str) -> bool:
    return "://" not in ledger and not ledger.startswith(("memory", "sqlite:"))


def _port(text: str) -> int:
    return _within(text, 65535)


def _count(text: str) -> int:
    return _within(text, 1024)


def _within(text: str, most: int) -> int:
    import argparse

    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {most}, found {text!r:.40}")
    return int(text)
