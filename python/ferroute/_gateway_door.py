"""What stands before the models of a server: keys, policies, budgets, and the limits of the server itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ferroute._core import Bank, GatewayDoor, Keys
from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ferroute._core import GatewayConfig
    from ferroute.controller import Controller

_SERVER = {
    "cors": "cors",
    "hosts": "hosts",
    "allow_public_without_key": "public",
    "max_body_mb": "max_body",
    "max_connections": "max_connections",
    "header_timeout_s": "header_timeout",
    "body_timeout_s": "body_timeout",
    "idle_timeout_s": "idle_timeout",
    "write_timeout_s": "write_timeout",
}
"""Keys of ``server``, and what the core calls them."""
_ELSEWHERE = frozenset({"drain_s", "workers", "page"})
"""Keys of ``server`` that others look at."""


class Door:
    """Keys, policies and limits as the core has them. The money of budgets goes on from one to the next.

    Args:
        controller: Keys and budgets are kept in its ledger's database.
        keys: ``required`` and ``admin``, the secret of the key for ``/admin``. None: nobody is asked for a key.
        policies: As in the configuration: whom each is for, and any of budget, share, requests, tokens, concurrency and
            models.
        server: As in the configuration: cors, hosts, timeouts and so on.
        config: A configuration whose policies hold as well.
        budgets: Whether there are budgets among those.
        before: The door of the server so far.

    Raises:
        InvalidValueError: Something makes no sense.
        UnreadableFileError: The database cannot be had.
    """

    def __init__(
        self,
        controller: Controller,
        keys: Mapping[str, Any] | None = None,
        policies: Iterable[Mapping[str, Any]] = (),
        server: Mapping[str, Any] | None = None,
        *,
        config: GatewayConfig | None = None,
        budgets: bool = False,
        before: Door | None = None,
    ) -> None:
        self.url: str = controller.ledger._arguments[0]  # pyright: ignore[reportPrivateUsage]
        keys, server, policies = keys or {}, server or {}, [dict(policy) for policy in policies]
        for what, given, known in (("keys", keys, {"required", "admin"}), ("server", server, {*_SERVER, *_ELSEWHERE})):
            if unknown := sorted(set(given) - known):
                raise InvalidValueError(f"{what}: expected some of {', '.join(sorted(known))}, found {unknown[0]}")
        self.bank: Bank | None = None
        if keys or budgets or any("budget" in policy for policy in policies):
            kept = before is not None and before.url == self.url
            self.bank = (before.bank if before is not None and kept else None) or Bank(self.url)
        self.core = GatewayDoor(
            json.dumps(policies),
            config=config,
            bank=self.bank,
            keys=Keys(self.url) if keys else None,
            required=bool(keys.get("required")),
            admin=keys.get("admin"),
            **{_SERVER[name]: value for name, value in server.items() if name in _SERVER},
        )

    def close(self) -> None:
        """Gives back the money that is lent to this server."""
        if self.bank is not None:
            self.bank.close()
