"""The server around a Controller: its routers and models over HTTP, in OpenAI's protocol, Anthropic's and Responses.

The Controller is made in Python as ever, with everything a user registers or overrides; what is served of it is handed
to the Rust core once, and requests do not come back here unless a router of the user's own has to be asked.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from ferroute import _calls
from ferroute._core import Client, GatewaySetup
from ferroute._core import Gateway as Core
from ferroute._deciding import name_of
from ferroute._escalating import Above, rungs_above
from ferroute._gateway_deciding import carry_over, described
from ferroute._gateway_door import Door
from ferroute._gateway_page import page_of, subject_of
from ferroute._telemetry import seeing
from ferroute.decision import Aside, by_name, make
from ferroute.endpoints import endpoint, settings_of
from ferroute.errors import FerrouteError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType

    from typing_extensions import Self

    from ferroute._core import GatewayDoor
    from ferroute._ladder import Rungs
    from ferroute.controller import Controller
    from ferroute.decision import Decision

__all__ = ["Gateway", "client_of", "serve", "setup_of"]

HOST = "127.0.0.1"
"""Only this machine, unless told otherwise: a deliberate difference from RouteLLM's server."""
PORT = 6060
"""RouteLLM's port."""
_LAST_WAIT = 5.0
"""Seconds that a server on a thread gets to end when the process does."""


def client_of(controller: Controller, model: Any, rung: int | None = None) -> Client:
    """What calls a model as the Controller would: its settings, the policy's fallbacks and rungs above, the ledger.

    Args:
        controller: Whose policy and ledger count.
        model: A name, or an endpoint mapping.
        rung: Which rung it is, 0 the weakest; None for a model beside the ladder, for which the Controller's
            ``api_base`` and ``api_key`` are not meant.

    Raises:
        InvalidValueError: Its calls are made by another backend, whose answers the server does not see.
        FerrouteError: It cannot be called: an unknown provider, a missing key.
    """
    model = endpoint(model, "model")
    rungs: Rungs = controller._rungs()  # pyright: ignore[reportPrivateUsage]
    policy = controller.policy
    own = settings_of(model)
    base, key = own.get("api_base"), own.get("api_key")
    decision: Decision = by_name(name_of(model))
    where: tuple[str | None, str | None] = (None, None)
    climb = Above()
    if rung is not None:
        fields = {"model": name_of(model), "router": None, "tier": rungs.tier(rung)}
        decision = make(fields, Aside(rung=rung))
        where = controller.api_base, controller.api_key
        climb = rungs_above(decision, rungs) if policy.escalate_on else climb
    context = _calls.Routed(
        decision=decision,
        policy=policy,
        ledger=controller.ledger,
        baseline=None,
        requested=None,
        holdout=False,
        router_cost=0,
        session=None,
        text=None,
        where=where,
        own=(base, key),
        climb=climb,
        rungs=rungs,
    )
    base, key = (where[0] if base is None else base), (where[1] if key is None else key)
    made = _calls.prepare(model, [], base, key, {}, context)
    if made.litellm is not None:
        raise InvalidValueError(f"`{model}`: the server makes its calls itself, so backend='litellm' cannot be served")
    return made.client


def setup_of(
    controller: Controller,
    *,
    models: Iterable[Any] = (),
    aliases: Mapping[str, str] | None = None,
    open_models: bool = False,
    broken: list[tuple[str, str]] | None = None,
    door: GatewayDoor | None = None,
) -> GatewaySetup:
    """What the server serves of a Controller. It is given to one `_core.Gateway`, once.

    Args:
        controller: Its rungs, routers, policy and ledger, as they are now.
        models: More models that may be asked for by name: names, endpoint mappings, or pairs of the name callers use
            and one of these.
        aliases: Other names for models and ``router-...`` strings.
        open_models: Whether any model may be asked for whose provider's key is in the environment.
        broken: Gets the models that cannot be called, with the reason: they are answered with it. Without such a list
            the first of them is an error.
        door: Keys, policies and limits; None: everybody may do everything.

    Raises:
        FerrouteError: A model cannot be called, and there is no ``broken``.
    """

    def client(name: str, model: Any, rung: int | None = None) -> tuple[str, Client | str]:
        try:
            return name, client_of(controller, model, rung)
        except FerrouteError as error:
            if broken is None:
                raise
            broken.append((name, str(error)))
            return name, str(error)

    rungs: Rungs = controller._rungs()  # pyright: ignore[reportPrivateUsage]
    return GatewaySetup(
        rungs.core,
        [client(name_of(model), model, at) for at, model in enumerate(rungs.models)],
        deciding=described(controller, partial(client_of, controller)),
        like=_like(controller),
        models=[client(*_named(model)) for model in models],
        aliases=list((aliases or {}).items()),
        open_models=open_models,
        door=door,
    )


def _like(controller: Controller) -> Client:
    """Policy and ledger for models that are found by name later, or that cannot be called; it is never asked itself."""
    return Client(
        "openai/none",
        api_base="http://nowhere.invalid/v1",
        policy=controller.policy.core,
        ledger=controller.ledger.core,
    )


def _named(model: Any) -> tuple[str, Any]:
    """The name callers use, and the model."""
    if isinstance(model, tuple):
        name, meant = cast("tuple[Any, Any]", model)
        return str(name), meant
    meant = endpoint(model, "model")
    return name_of(meant), meant


class Gateway:
    """A server that holds its port. `run` serves until a signal or `stop`; as a context manager, a thread does.

    Args:
        controller: What is served.
        host: Address to listen on.
        port: 0 for any that is free.
        workers: Threads that serve; None: one for each processor.
        ui: What the page ``/ui`` shows besides, as for `page_of`; None: there is no page.
        telemetry: Any of ``metrics`` (True: at ``/metrics``), ``logs`` ("off", "text" or "json", to stderr; text has
            what failed, and with ``verbose`` every request), ``otlp`` (URL of a collector of traces), ``otlp_headers``
            for it, and ``sample`` (part of the traces that is sent).
        door: ``keys``, ``policies``, ``server``, as in the configuration and for `ferroute._gateway_door.Door`.
        **served: As for `setup_of`.

    Raises:
        UnreadableFileError: The port cannot be had.
        FerrouteError: A model cannot be called.

    Example:
        >>> from ferroute.controller import Controller
        >>> model = {"model": "openai/gpt-5.5", "api_key": "the key of the team"}
        >>> controller = Controller(["random"], strong_model=model, weak_model=model)
        >>> with Gateway(controller, port=0) as gateway:  # openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any")
        ...     gateway.url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(
        self,
        controller: Controller,
        host: str = HOST,
        port: int = PORT,
        *,
        workers: int | None = None,
        ui: Mapping[str, Any] | None = MappingProxyType({}),
        telemetry: Mapping[str, Any] | None = None,
        door: Mapping[str, Any] | None = None,
        **served: Any,
    ) -> None:
        self.controller = controller
        self._page = None if ui is None else page_of(controller, **ui)
        self._seeing = seeing(telemetry, self)
        self._door_of = dict(door or {})
        self._door = Door(controller, **self._door_of)
        made = setup_of(controller, door=self._door.core, **served)
        self._core = Core(made, page=self._page, seeing=self._seeing)
        self.host, self.port = self._core.bind(host, port, workers)
        self._thread: threading.Thread | None = None
        self._asked_to_stop = False

    @property
    def url(self) -> str:
        """Where it is reached from this machine, without ``/v1``."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Gateway at {self.url}>"

    def replace(
        self,
        controller: Controller,
        *,
        ui: Mapping[str, Any] | None = None,
        door: Mapping[str, Any] | None = None,
        **served: Any,
    ) -> None:
        """Serves another Controller from the next request on; those under way end as they began.

        Scores that shares are ranked among go on where the router is the same object, and so do conversations.

        Args:
            controller: The other one.
            ui: What the page shows besides, as for `subject_of`.
            door: Keys, policies and limits; None: those it had. What is spent of limits that stay is not forgotten.
            **served: As for `setup_of`.

        Raises:
            FerrouteError: A model cannot be called; then everything stays as it is.
        """
        # Before the setup is made, which takes the windows as they are; the one that is served loses nothing by it.
        carry_over(self.controller, controller)
        door_of = self._door_of if door is None else dict(door)
        new = Door(controller, **door_of, before=self._door)
        made = setup_of(controller, door=new.core, **served)
        self._core.swap(made)
        self._door, self._door_of = new, door_of
        if self._page is not None:
            self._page.renew(controller.ledger.core, **subject_of(controller, **(ui or {})))
        self.controller = controller

    def refused(self, why: str) -> None:
        """Lets the page say that a changed configuration was not taken, and why.

        Args:
            why: The reason, in words.
        """
        if self._page is not None:
            self._page.refused(why)

    def run(self, drain: float = 30.0) -> None:
        """Serves until `stop` or a signal: SIGTERM and SIGINT let what runs end, a second one does not wait for it.

        On a thread, a daemon too, it ends with the process.

        Args:
            drain: Seconds that what runs then has to end.
        """
        before = self._watch_signals()
        returned, here = threading.Event(), os.getpid()

        def end() -> None:
            if os.getpid() == here:  # a forked child has no such thread
                self.stop(now=True)
                returned.wait(_LAST_WAIT)

        # Before 3.14 the interpreter unwinds daemon threads at its end, this one in the middle of the core.
        atexit.register(end)
        try:
            self._core.serve(drain)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._door.close()
            self.controller.ledger.flush()
            atexit.unregister(end)
            returned.set()

    def stop(self, now: bool = False) -> None:
        """Takes no new connections and lets what runs end; with ``now`` it ends at once."""
        self._core.stop(now)

    def say(self, event: str, message: str, level: str = "info") -> None:
        """Writes a line to the server's log, where there is one: what happens to the server, in no caller's words.

        Args:
            event: A word such as ``reload``.
            message: A sentence.
            level: ``info``, ``warning`` or ``error``.
        """
        self._seeing.say(level, event, message)

    def _watch_signals(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop(now=self._asked_to_stop)
        self._asked_to_stop = True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, name="ferroute-gateway", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()


def serve(controller: Controller, host: str = HOST, port: int = PORT, *, drain: float = 30.0, **served: Any) -> None:
    """Serves a Controller until a signal; see `Gateway`.

    Args:
        controller: The Controller that answers.
        host: Address to listen on.
        port: Port; 0: a free one.
        drain: Seconds that open requests are given after a signal.
        **served: Other arguments of `Gateway`.
    """
    Gateway(controller, host, port, **served).run(drain)
