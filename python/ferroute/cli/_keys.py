"""The commands below ``ferroute keys`` and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ferroute.cli._run import ending

keeping = typer.Typer(no_args_is_help=True, help="Make, list and revoke the keys of the gateway's callers.")

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="FERROUTE_LEDGER",
        help="The gateway's ledger: a file, sqlite:///... or postgresql://... (default: ferroute.db)",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="YAML",
        exists=True,
        dir_okay=False,
        help="Or: the gateway's configuration, which names its ledger.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
Name = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name.", show_default=False)]


def _words(option: str, metavar: str, text: str) -> object:
    return typer.Option(option, metavar=metavar, help=text, show_default=False)


@keeping.command(
    epilog="Example: ferroute keys create --team search --budget-usd 5/day"
    "\n\nExample: ferroute keys create --name ci --models gpt-5.4-mini,router-local --requests 100/minute --expires 90d"
)
def create(
    context: typer.Context,
    name: Annotated[str | None, _words("--name", "NAME", "What you call it. (default: its id)")] = None,
    team: Annotated[str | None, _words("--team", "TEAM", "The team whose policies hold for it as well.")] = None,
    budget: Annotated[
        str | None, _words("--budget-usd", "LIMIT", "US dollars of its own, such as 5/day or 100/month.")
    ] = None,
    requests: Annotated[str | None, _words("--requests", "RATE", "Such as 100/minute.")] = None,
    tokens: Annotated[str | None, _words("--tokens", "RATE", "Such as 100000/minute.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Requests at the same time.", show_default=False)
    ] = None,
    models: Annotated[
        list[str] | None,
        _words("--models", "NAMES", "The only models and routers it may ask for; repeat it, or use commas."),
    ] = None,
    scopes: Annotated[
        list[str] | None,
        _words(
            "--scopes",
            "NAMES",
            "Some of chat, embeddings, feedback, metrics, ui; repeat it, or use commas. (default: the first three)",
        ),
    ] = None,
    expires: Annotated[
        str | None, _words("--expires", "TIME", "Such as 90d, or a day such as 2027-01-31. (default: never)")
    ] = None,
    at_limit: Annotated[
        str | None, _words("--at-limit", "WHAT", "refuse, or downgrade to a weaker model. (default: refuse)")
    ] = None,
    store: Store = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed once; only its hash is kept.

    A gateway that runs knows it within a second.
    """
    with ending(context.obj):
        from ferroute.cli import keys as command

        wanted = {
            "name": name,
            "team": team,
            "budget": budget,
            "requests": requests,
            "tokens": tokens,
            "concurrency": concurrency,
            "models": command.split(models),
            "scopes": command.split(scopes),
            "expires": expires,
            "at_limit": at_limit,
        }
        command.create(command.place_of(store, config), wanted, as_json=as_json)


@keeping.command("list", epilog="Example: ferroute keys list --store postgresql://me@db.example/ferroute")
def show_all(
    context: typer.Context,
    store: Store = None,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """List keys, oldest first. None is shown itself: only its hash is known."""
    with ending(context.obj):
        from ferroute.cli import keys as command

        command.show_all(command.place_of(store, config), as_json=as_json)


@keeping.command(epilog="Example: ferroute keys show ci")
def show(
    context: typer.Context, key: Name, store: Store = None, config: ConfigFile = None, as_json: Json = False
) -> None:
    """Show what a key may do."""
    with ending(context.obj):
        from ferroute.cli import keys as command

        command.show(command.place_of(store, config), key, as_json=as_json)


@keeping.command(epilog="Example: ferroute keys revoke key_0123456789abcdef")
def revoke(
    context: typer.Context, key: Name, store: Store = None, config: ConfigFile = None, as_json: Json = False
) -> None:
    """End a key. A gateway that runs refuses it within a second; requests under way end as they began."""
    with ending(context.obj):
        from ferroute.cli import keys as command

        command.revoke(command.place_of(store, config), key, as_json=as_json)
