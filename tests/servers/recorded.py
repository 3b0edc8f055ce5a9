"""Serves the recorded responses of `tests/goldens/providers`: the first path segment names the recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from servers.wire import Reply, Request, WireServer

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parent.parent / "goldens" / "providers"


def recordings(*providers: str) -> Iterator[tuple[str, bool]]:
    """Names of recordings, each with whether it is a stream."""
    for file in sorted(FOLDER.iterdir()):
        if file.suffix in (".json", ".sse") and file.name.partition("-")[0] in providers:
            yield file.stem, file.suffix == ".sse"


class Recorded(WireServer):
    """Its base URLs are `{url}/{name}`; a streamed request gets the stream of that name."""

    def __init__(self) -> None:
        super().__init__(self._answer)

    def _answer(self, request: Request) -> Reply:
        name = request.path.split("/")[1]
        streamed = "streamGenerateContent" in request.path or bool(json.loads(request.body).get("stream"))
        if streamed:
            body = (FOLDER / f"{name}.sse").read_bytes()
            return Reply.of_events([event + b"\n\n" for event in body.split(b"\n\n") if event])
        return Reply(200, {"content-type": "application/json"}, [(FOLDER / f"{name}.json").read_bytes()])
