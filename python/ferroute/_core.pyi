"""The compiled core. Each section mirrors one file of ``src/py``."""

from collections.abc import Awaitable, Callable, Sequence
from typing import final

from numpy import float32
from numpy.typing import NDArray

__version__: str
DEBUG_BUILD: bool

# --- routing.rs ---

# --- mf.rs ---

# --- local.rs ---

# --- calls.rs ---

@final
class Client:
    """One model at one provider, found and checked; the environment is read when it is made.

    Cheap to make: all clients of a process share its connections. A forked child opens its own. Failures raise
    `ferroute.errors.ProviderFailure`, which `ferroute.completion` turns into the classes of `openai`; a request that
    cannot be made raises another `FerrouteError`.

    Args:
        model: ``provider/model``, a bare name such as ``gpt-5-mini``, or any name where `api_base` is given.
        api_base: base URL, with or without ``/v1``; else the provider's variable, else its own address.
        api_key: key; else the provider's variables. Never shown again.
        organization: ``OpenAI-Organization``.
        extra_headers: names and values; they replace the usual ones.
        extra_query: names and values.
        timeout: seconds for one attempt (for a stream: until it begins, and between chunks); ``inf`` for none.
        max_retries: how often a failed attempt is repeated.
    """

    def __new__(
        cls,
        model: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        organization: str | None = None,
        extra_headers: list[tuple[str, str]] | None = None,
        extra_query: list[tuple[str, str]] | None = None,
        timeout: float = 600.0,
        max_retries: int = 2,
    ) -> Client: ...
    @property
    def provider(self) -> str:
        """Name of the provider; `openai` for a bare `api_base`."""
    @property
    def model(self) -> str:
        """Model id as it is sent."""
    @property
    def base_url(self) -> str:
        """Base URL without its query."""
    def chat(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """One completion.

        Args:
            body: the JSON object to send; its ``model`` is replaced, every other byte goes out as it is.

        Returns:
            Status, headers (names in lower case) and body, unchanged.
        """
    def achat(self, body: bytes) -> Awaitable[tuple[int, list[tuple[str, str]], bytes]]:
        """`chat` for asyncio; cancelling it closes the connection."""
    def chat_stream(self, body: bytes) -> EventStream:
        """One completion as a stream; `body` has to ask for one."""
    def achat_stream(self, body: bytes) -> Awaitable[EventStream]:
        """`chat_stream` for asyncio."""

@final
class EventStream:
    """The chunks of one completion, read ahead by another thread. Dropping it closes its connection."""

    @property
    def status(self) -> int:
        """HTTP status."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """Response headers, names in lower case."""
    def ready(self) -> bytes | None:
        """A chunk that has already arrived; None when one would have to wait, and at the end."""
    def next(self) -> bytes | None:
        """The JSON of the next chunk; None at the end and once closed."""
    def anext(self) -> Awaitable[bytes | None]:
        """`next` for asyncio; cancelling it closes the stream."""
    def close(self) -> None:
        """Closes the connection; whoever waits for a chunk gets the end. May be called from any thread."""

@final
class Embedder:
    """Embeddings from one model: cached, shared while in flight, asked for in batches. Usable from any thread.

    A text is sent whole. When the provider refuses it as too long, its beginning is sent, as much of it as the
    refusal's own figures allow; texts of more than six characters for each allowed token are cut beforehand.

    Args:
        model: as in `Client`.
        api_base: as in `Client`.
        api_key: as in `Client`.
        organization: as in `Client`.
        extra_headers: as in `Client`.
        extra_query: as in `Client`.
        dimensions: asks for vectors of this length.
        max_tokens: tokens the model takes.
        cache_size: vectors kept; 0 keeps none.
        batch_size: texts in one request.
        concurrency: requests at the same time.
        base64: asks for base64 instead of numbers; both are understood.
        timeout: seconds for one attempt.
        max_retries: how often a failed request is repeated.
    """

    def __new__(
        cls,
        model: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        organization: str | None = None,
        extra_headers: list[tuple[str, str]] | None = None,
        extra_query: list[tuple[str, str]] | None = None,
        dimensions: int | None = None,
        max_tokens: int = 8192,
        cache_size: int = 10_000,
        batch_size: int = 256,
        concurrency: int = 8,
        base64: bool = True,
        timeout: float = 600.0,
        max_retries: int = 2,
    ) -> Embedder: ...
    @property
    def provider(self) -> str:
        """Name of the provider."""
    @property
    def model(self) -> str:
        """Model id as it is sent."""
    @property
    def base_url(self) -> str:
        """Base URL without its query."""
    def embed(self, text: str) -> tuple[NDArray[float32], str | None]:
        """The embedding of one text.

        Returns:
            The vector ``[d]``, and a sentence when the text had to be cut.
        """
    def aembed(self, text: str) -> Awaitable[tuple[NDArray[float32], str | None]]:
        """`embed` for asyncio."""
    def embed_batch(
        self, texts: Sequence[str], progress: Callable[[int, int], object] | None = None
    ) -> NDArray[float32]:
        """The embeddings of many texts; equal and cached ones are not sent again.

        Args:
            texts: any number of texts.
            progress: called with texts done and texts in all after each request; what it raises ends the work and
                comes out here.

        Returns:
            ``[n, d]`` in the order of `texts`; ``[0, 0]`` for none.
        """
    def aembed_batch(
        self, texts: Sequence[str], progress: Callable[[int, int], object] | None = None
    ) -> Awaitable[NDArray[float32]]:
        """`embed_batch` for asyncio; `progress` is called on another thread."""

# --- prompts.rs ---
