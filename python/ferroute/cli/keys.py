"""``ferroute keys``: the keys of the gateway's callers, in the database of its ledger."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ferroute._core import Keys
from ferroute.cli._output import Column, Rows, console, json_line, note
from ferroute.cli._run import UsageProblem
from ferroute.errors import InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL = "ferroute.db"
"""Where a gateway keeps its ledger that was not told otherwise."""


def place_of(store: str | None, config: Path | None) -> str:
    """The URL of the ledger that is meant."""
    if config is not None:
        if store is not None:
            raise UsageProblem("give --store or --config, not both")
        from ferroute._serving_config import load

        store = load(str(config)).ledger
    store = store or USUAL
    if store.startswith("memory"):
        raise UsageProblem(
            "a ledger in memory belongs to its gateway: keys are made there, by POST /admin/keys with the admin key"
        )
    return store if ":" in store.replace(":\\", "") else f"sqlite:{store}"


def split(given: Sequence[str] | None) -> list[str] | None:
    """Names that were given one by one, or with commas between them."""
    return None if given is None else [name.strip() for names in given for name in names.split(",") if name.strip()]


def create(place: str, wanted: dict[str, Any], *, as_json: bool) -> None:
    """Makes a key and shows it."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    try:
        # Before a file is made for it.
        Keys.check(json.dumps(asked))
    except InvalidValueError as error:
        raise UsageProblem(str(error)) from None
    secret, told = _open(place, create=True).create(json.dumps(asked))
    if place == f"sqlite:{USUAL}":
        note(f"entered in {Path(USUAL).absolute()}; --config or --store name the ledger of another gateway")
    key = json.loads(told)
    if as_json:
        json_line({**key, "key": secret})
        return
    # Alone on standard output, so that it can be taken from there.
    console().print(Text(secret), soft_wrap=True)
    note(f"{key['id']}: {sentence(key)}. The key is shown this once; what is kept is its hash.")


def show_all(place: str, *, as_json: bool) -> None:
    """Lists the keys."""
    keys: list[dict[str, Any]] = json.loads(_open(place).list())
    if as_json:
        for key in keys:
            json_line(key)
        return
    out = console()
    if not keys:
        out.print(Text("no keys"))
        return
    table = Rows(out, [Column("id", 20), Column("name", 20), Column("team", 12), Column("state", 18), Column("limits")])
    for key in keys:
        name = "" if key["name"] == key["id"] else key["name"]
        state, style = _state(key)
        table.row([(key["id"], "bold"), (name, ""), (key["team"] or "", ""), (state, style), (_limits(key), "")])


def show(place: str, name: str, *, as_json: bool) -> None:
    """Shows one key."""
    _told(json.loads(_named(_open(place).show, name)), as_json=as_json)


def revoke(place: str, name: str, *, as_json: bool) -> None:
    """Ends a key."""
    _told(json.loads(_named(_open(place).revoke, name)), as_json=as_json)


def _open(place: str, create: bool = False) -> Keys:
    try:
        return Keys(place, create)
    except InvalidValueError as error:
        raise UsageProblem(str(error)) from None


def _named(ask: Any, name: str) -> str:
    try:
        return ask(name)
    except UnknownNameError as error:
        raise UsageProblem(str(error.args[0])) from None


def _told(key: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        json_line(key)
    else:
        console().print(Text(f"{key['id']}: {sentence(key)}"), soft_wrap=True)


def sentence(key: dict[str, Any]) -> str:
    """What a key is, in one line."""
    parts = [key["name"]] if key["name"] != key["id"] else []
    parts += [f"team {key['team']}"] if key["team"] else []
    parts += [_state(key)[0], f"for {', '.join(key['scopes'])}"]
    parts += [_limits(key)] if _limits(key) else []
    return ", ".join(parts)


def _state(key: dict[str, Any]) -> tuple[str, str]:
    if key["revoked"] is not None:
        return f"revoked {_day(key['revoked'])}", "red"
    if key["expires"] is None:
        return "valid", "green"
    over = key["expires"] <= datetime.now(timezone.utc).timestamp()
    return (f"expired {_day(key['expires'])}", "red") if over else (f"until {_day(key['expires'])}", "green")


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")


def _limits(key: dict[str, Any]) -> str:
    parts = [f"${key['budget'].removeprefix('$')}"] if key["budget"] else []
    parts += [f"{key[what]} {what}" for what in ("requests", "tokens") if key[what]]
    parts += [f"{key['concurrency']} at once"] if key["concurrency"] else []
    parts += [f"only {', '.join(key['models'])}"] if key["models"] else []
    parts += ["then a weaker model"] if key["at_limit"] == "downgrade" and parts else []
    return ", ".join(parts)
