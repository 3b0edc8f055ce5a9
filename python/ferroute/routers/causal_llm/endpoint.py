"""The classifier behind a vLLM or SGLang server: only the label tokens' log probabilities come back."""

from __future__ import annotations

import base64
import json
import math
import queue
import re
import threading
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._notes import charge, collector, note
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.routers.causal_llm.configs import LabelError, RouterModelConfig
from ferroute.routers.causal_llm.model import Row, check_labels, score_in, written_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from decimal import Decimal

    import openai

    from ferroute.routers.causal_llm.prompt_format import PromptFormat

SETTINGS = (
    "model",
    "api_base",
    "api_key",
    "logprobs",
    "label_token_ids",
    "concurrency",
    "timeout",
    "max_retries",
    "extra_headers",
    "extra_body",
)

_WORTH_A_NOTE = 1e-3
_TOO_MUCH = 0.05
_ROUNDING = 1e-3
"""How far above 0 rounding can lift a log probability."""
_CONNECTIONS = 1000
"""The most a client of the `openai` package holds."""
_DAY = 86_400
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class EndpointClassifier:
    """Asks an OpenAI-compatible server that serves the classifier's checkpoint, by ``/v1/completions``.

    A softmax over the labels alone is the same as their probabilities divided by their sum, so the win rates are those
    of the checkpoint. A label that is not among the most likely tokens counts 0; how much that can change the win rate
    is known, since it is no more likely than the least of them: above 0.001 it is a note on the decision, above 0.05
    an error.

    Args:
        config: Base model and label tokens; no tokenizer is loaded.
        prompt_format: How a chat is written out.
        score_threshold: First label that speaks for the weak model; always ``num_outputs - 1``.
        settings: A mapping with ``model`` (its name on the server) and ``api_base``, and any of:

            - ``api_key``: the server's key, if it asks for one: printable ASCII;
            - ``logprobs``: how many most likely tokens come back (20, the most a vLLM gives by default);
            - ``label_token_ids``: ids of the labels, in order: a vLLM that knows ``logprob_token_ids`` then gives
              exactly these;
            - ``concurrency``: requests side by side, in batches (8; at most 1000);
            - ``timeout`` in seconds (60), for each attempt; ``max_retries`` (2);
            - ``extra_headers``, of texts, and ``extra_body``, of what JSON can hold: mappings.

            One that is None counts as not given.
        max_new_tokens: Tokens generated at most; the first label among them counts.

    Raises:
        InvalidTypeError: ``settings`` or one of them is of another kind.
        InvalidValueError: One is missing, unknown or out of range.
        LabelError: Labels and threshold do not fit each other.
    """

    def __init__(
        self,
        config: RouterModelConfig,
        prompt_format: PromptFormat,
        score_threshold: int,
        settings: Mapping[str, Any],
        max_new_tokens: int = 6,
    ) -> None:
        check_labels(config, score_threshold)
        self.config = config
        self.prompt_format = prompt_format
        self.score_threshold = score_threshold
        self.max_new_tokens = max_new_tokens
        self.prompt: _core.CausalPrompt | None = None
        self._shared: tuple[str, str] | None = None
        self._client: openai.OpenAI | None = None
        self._settings = _checked(settings, config.num_outputs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in {"prompt", "_client"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.prompt = self._client = None
        if self._shared is not None:
            self.share(*self._shared)

    def share(self, system_message: str, classifier_message: str) -> None:
        """Takes the messages that all prompts are made of, for `scores_of`.

        Args:
            system_message: The system message of the prompt form.
            classifier_message: The message that the question is put into.
        """
        self.prompt = written_prompt(self.prompt_format, system_message, classifier_message)
        self._shared = (system_message, classifier_message)

    def __call__(self, row: Mapping[str, Any]) -> Row | None:
        """Scores the chat in ``row["messages"]``.

        Returns:
            None without a label, else a row with ``softmax_scores`` (of the labels), ``binary_prob``,
            ``output_tokens``, ``output_str``, ``score_pred``.

        Raises:
            openai.APIError: The server refused, failed or was too slow.
            LabelError: Its answer cannot be read as labels.
        """
        if self._client is None:
            self._client = self._opened()
        text = self.prompt_format.generate_prompt(row["messages"])
        # As the core does: a lone surrogate, which no request can hold, becomes U+FFFD.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return self._ask(text, self._client)

    def scores_of(
        self, questions: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[float | None]:
        """``binary_prob`` of many questions in the shared prompt, asked side by side; None where there is no label.

        Args:
            questions: The texts to score, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.

        Raises:
            InvalidValueError: No messages were shared before.
        """
        prompt = self.prompt
        if prompt is None:
            raise InvalidValueError("expected the messages to be shared first, found none")
        if not questions:
            return []
        scores: list[float | None] = [None] * len(questions)
        places, stopped = iter(range(len(questions))), threading.Event()
        answers: queue.SimpleQueue[tuple[int, Row | None, Exception | None]] = queue.SimpleQueue()
        client = self._opened(stopped)
        threads: list[threading.Thread] = []

        def work() -> None:
            # The places are shared: each goes to one thread, and its text is written when its turn comes.
            for place in places:
                if stopped.is_set():
                    return
                try:
                    answers.put((place, self._ask(prompt.render(questions[place]), client), None))
                except Exception as error:
                    answers.put((place, None, error))

        def close() -> None:
            for thread in threads:
                thread.join()
            client.close()

        try:
            # Daemons, since a process that ends would wait for the threads of an executor.
            for _ in range(min(self._settings["concurrency"], len(questions))):
                threads.append(threading.Thread(target=work, name="ferroute-labels", daemon=True))
                threads[-1].start()
            for _ in questions:
                place, row, error = answers.get()
                if error is not None:
                    raise error
                scores[place] = None if row is None else row["binary_prob"]
                if progress:
                    progress(1)
        except BaseException:
            # Requests in flight end by themselves, and no other follows. Nobody waits for them, Ctrl-C least of all;
            # a client closed under them would lose the connections that are being made.
            stopped.set()
            threading.Thread(target=close, name="ferroute-labels", daemon=True).start()
            raise
        close()
        return scores

    def _opened(self, stopped: threading.Event | None = None) -> openai.OpenAI:
        """A client, which sends nothing more once `stopped` is set."""
        import openai

        def check(_: object) -> None:
            if stopped is not None and stopped.is_set():
                raise RuntimeError("stopped")

        return openai.OpenAI(
            base_url=self._settings["api_base"],
            api_key=self._settings["api_key"] or "none",
            timeout=self._settings["timeout"],
            max_retries=self._settings["max_retries"],
            default_headers=self._settings["extra_headers"],
            http_client=None if stopped is None else openai.DefaultHttpxClient(event_hooks={"request": [check]}),
        )

    def _ask(self, text: str, client: openai.OpenAI) -> Row | None:
        settings = self._settings
        # Labels are special tokens: a server that hides those would give empty texts.
        body: dict[str, Any] = {"skip_special_tokens": False}
        if settings["label_token_ids"]:
            body |= {"logprob_token_ids": settings["label_token_ids"], "return_tokens_as_token_ids": True}
        try:
            answer = client.completions.with_raw_response.create(
                model=settings["model"],
                prompt=text,
                max_tokens=self.max_new_tokens,
                temperature=0,
                logprobs=settings["logprobs"],
                extra_body=body | settings["extra_body"],
            )
            if collector.get() is not None:
                charge(_price(settings["model"], answer.content))
            return self._read(answer.content)
        except Exception as error:
            failure = _without_secrets(error, _secrets(settings))
        # Raised out here, it has no context, which could hold the key.
        raise failure

    def _read(self, content: bytes) -> Row | None:
        names, (listed, tops) = self._names(), _logprobs_in(content)
        tokens = [names.get(token, token) for token in listed]
        labels = self.config.special_tokens
        found = next((place for place, token in enumerate(tokens) if token in labels), None)
        if found is None:
            return None
        beside = tops[found] if found < len(tops) else None
        if not isinstance(beside, dict) or not beside:
            raise LabelError(f"expected log probabilities beside the label {tokens[found]}, found {beside!r:.80}")
        top = {names.get(token, token): _logprob(p) for token, p in cast("dict[str, Any]", beside).items()}
        probabilities = [math.exp(top[label]) if label in top else 0.0 for label in labels]
        total = sum(probabilities)
        if total <= 0:
            raise LabelError(f"expected probabilities of labels, found {top!r:.200}")
        softmax = [p / total for p in probabilities]
        self._consider(sum(label not in top for label in labels) * math.exp(min(top.values())) / total)
        text = "".join(tokens[: found + 1])
        score, highest = score_in(text), softmax.index(max(softmax)) + 1
        if score != highest:
            raise LabelError(f"the label with the highest probability is {highest}, but the text {text!r:.200} differs")
        import numpy as np

        return {
            "softmax_scores": np.array(softmax, dtype=np.float32),
            "binary_prob": sum(softmax[self.score_threshold - 1 :]),
            "output_tokens": tokens,
            "output_str": text,
            "score_pred": score,
        }

    def _names(self) -> dict[str, str]:
        """What servers write instead of a label."""
        ids = self._settings["label_token_ids"] or ()
        return {f"token_id:{i}": label for i, label in zip(ids, self.config.special_tokens, strict=False)}

    def _consider(self, missing: float) -> None:
        """Says how far the win rate may be off because labels were not among the most likely tokens."""
        if missing > _TOO_MUCH:
            raise LabelError(
                f"labels that the server left out may hold {missing:.3f} of the probability, expected at most "
                f"{_TOO_MUCH}; raise `logprobs` (and vLLM's --max-logprobs), or give `label_token_ids`"
            )
        if missing > _WORTH_A_NOTE:
            note(f"the win rate may be off by {missing:.4f}: the server left out labels")

    def __repr__(self) -> str:
        return f"<EndpointClassifier {self._settings['model']!r} at {_shown(self._settings['api_base'])}>"


def _price(model: str, content: bytes) -> Decimal | None:
    """US dollars for one answer; None where the price of `model` or the tokens are unknown."""
    try:
        usage = json.loads(content)["usage"]
        found = _core.pricing_cost([model], (usage["prompt_tokens"], usage["completion_tokens"], 0, 0, 0, 0, 0, 0))
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return None if found is None else found[0]


def _logprobs_in(content: bytes) -> tuple[list[str], list[Any]]:
    """Tokens of an answer, and for each the most likely ones with their log probabilities, not yet looked at."""
    try:
        # Whole numbers become floats: one of thousands of digits is then infinite, and no other error.
        logprobs = json.loads(content, parse_int=float)["choices"][0]["logprobs"]
        tokens, tops = logprobs["tokens"], logprobs["top_logprobs"]
    except (ValueError, TypeError, LookupError, RecursionError):
        tokens = tops = None
    if isinstance(tokens, list) and isinstance(tops, list):
        listed = cast("list[Any]", tokens)
        if all(isinstance(token, str) for token in listed):
            return listed, cast("list[Any]", tops)
    found = content[:200].decode("utf-8", "replace")
    raise LabelError(f"expected an answer with the log probabilities of its tokens, found {found!r}")


def _logprob(value: Any) -> float:
    if not isinstance(value, float) or not value <= _ROUNDING:
        raise LabelError(f"expected a log probability of at most 0, found {value!r:.80}")
    return value


def _checked(settings: Mapping[str, Any], labels: int) -> dict[str, Any]:
    if not isinstance(settings, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"endpoint is a mapping of settings; found {type(settings).__name__}")
    unknown = sorted(str(name) for name in set(settings) - set(SETTINGS))
    if unknown:
        raise InvalidValueError(f"unknown endpoint settings: {', '.join(unknown)}; known are {', '.join(SETTINGS)}")
    given: dict[str, Any] = {
        "api_key": None,
        "logprobs": 20,
        "label_token_ids": None,
        "concurrency": 8,
        "timeout": 60.0,
        "max_retries": 2,
        "extra_headers": {},
        "extra_body": {},
    }
    given |= {name: value for name, value in settings.items() if value is not None}
    for name in ("model", "api_base"):
        value = given.get(name)
        if not isinstance(value, str) or not value:
            found = "an empty one" if value == "" else type(value).__name__
            raise InvalidValueError(f"endpoint: expected {name!r} to be a text, found {found}")
    if not given["model"].isprintable():
        raise InvalidValueError("endpoint: expected 'model' to be printable, found other characters")
    for name, least, most in (
        ("logprobs", 1, math.inf),
        ("concurrency", 1, _CONNECTIONS),
        ("max_retries", 0, math.inf),
    ):
        number = given[name]
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            bound = f"at least {least}" if most == math.inf else f"{least} to {most}"
            raise InvalidValueError(f"endpoint: expected {name!r} of {bound}, found {number!r:.40}")
    return given | {
        "api_base": _address(given["api_base"]),
        "api_key": _key(given["api_key"]),
        "timeout": _timeout(given["timeout"]),
        "label_token_ids": _ids(given["label_token_ids"], labels),
        "extra_headers": _headers(given["extra_headers"]),
        "extra_body": _body(given["extra_body"]),
    }


def _address(url: str) -> str:
    """The base address with ``/v1``. Messages do not show it: it may hold a password."""
    from urllib.parse import urlsplit

    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidValueError(
            "endpoint: expected 'api_base' in printable ASCII without spaces, found other characters"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidValueError("endpoint: expected 'api_base' with a host and a port of 1 to 65535") from None
    if parts.scheme not in ("http", "https"):
        raise InvalidValueError("endpoint: expected 'api_base' to begin with http:// or https://")
    if not host or port == 0:
        raise InvalidValueError("endpoint: expected 'api_base' with a host and a port of 1 to 65535")
    if "?" in url or "#" in url:
        raise InvalidValueError("endpoint: expected 'api_base' without a query, found one")
    base = url.rstrip("/")
    return base if base.endswith("/v1") else f"{base}/v1"


def _key(key: Any) -> str | None:
    if key is not None and not isinstance(key, str):
        raise InvalidTypeError(f"endpoint: expected 'api_key' to be a text, found {type(key).__name__}")
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidValueError(
            "endpoint: expected 'api_key' in printable ASCII without spaces, found other characters"
        )
    return key


def _timeout(seconds: Any) -> float:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise InvalidTypeError(f"endpoint: expected 'timeout' to be a number, found {type(seconds).__name__}")
    if not 0 < seconds <= _DAY:
        raise InvalidValueError(f"endpoint: expected 'timeout' above 0 and up to {_DAY} seconds, found {seconds!r:.40}")
    return float(seconds)


def _ids(ids: Any, labels: int) -> list[int] | None:
    if ids is None:
        return None
    if isinstance(ids, (str, bytes, Mapping)) or not isinstance(ids, Sized) or not hasattr(ids, "__iter__"):
        found = type(cast("object", ids)).__name__
        raise InvalidTypeError(f"endpoint: expected 'label_token_ids' to be a list, found {found}")
    listed: list[int] = []
    for i in cast("Iterable[Any]", ids):
        if isinstance(i, bool) or not hasattr(i, "__index__") or not 0 <= i < 2**31:
            raise InvalidValueError(f"endpoint: expected 'label_token_ids' of whole numbers from 0, found {i!r:.40}")
        listed.append(int(i))
    if len(listed) != labels or len(set(listed)) != labels:
        raise InvalidValueError(
            f"endpoint: expected {labels} different label_token_ids, found {len(listed)}, {len(set(listed))} different"
        )
    return listed


def _headers(headers: Any) -> dict[str, str]:
    """Messages do not show the values: they may be keys."""
    if not isinstance(headers, Mapping):
        raise InvalidTypeError(f"endpoint: expected 'extra_headers' to be a mapping, found {type(headers).__name__}")
    kept: dict[str, str] = {}
    for name, value in cast("Mapping[Any, Any]", headers).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise InvalidValueError(f"endpoint: expected names of HTTP headers in 'extra_headers', found {name!r:.60}")
        if not isinstance(value, str):
            found = type(value).__name__
            raise InvalidTypeError(f"endpoint: expected a text as extra_headers[{name!r:.60}], found {found}")
        if not (value.isascii() and value.isprintable() and value == value.strip()):
            raise InvalidValueError(f"endpoint: expected printable ASCII as extra_headers[{name!r:.60}]")
        kept[name] = value
    return kept


def _body(body: Any) -> dict[str, Any]:
    if not isinstance(body, Mapping):
        raise InvalidTypeError(f"endpoint: expected 'extra_body' to be a mapping, found {type(body).__name__}")
    try:
        # A copy: what the caller does with theirs afterwards was not checked.
        return json.loads(
            json.dumps(dict(cast("Mapping[Any, Any]", body)), allow_nan=False, ensure_ascii=False).encode()
        )
    except (TypeError, ValueError, RecursionError) as error:
        kind = InvalidTypeError if isinstance(error, TypeError) else InvalidValueError
        raise kind(f"endpoint: expected 'extra_body' of what JSON can hold, found {str(error)!r:.80}") from None


def _secrets(settings: Mapping[str, Any]) -> re.Pattern[str]:
    """A pattern for what no message may show: key, values of headers, password of the address.

    Values below four characters stay: they are in any message, and no keys.
    """
    from urllib.parse import unquote, urlsplit

    whole: list[str] = [settings["api_key"] or "", *settings["extra_headers"].values()]
    address = urlsplit(str(settings["api_base"]))
    if address.password:
        user, password = unquote(address.username or ""), unquote(address.password)
        whole += [password, base64.b64encode(f"{user}:{password}".encode()).decode()]
    # A server may repeat "Bearer KEY" without the first word, and any text in escapes, once or more.
    parts = {part for text in whole for part in (text, *text.split()[-1:]) if len(part) > 3}
    return re.compile("|".join(map(_escaped, sorted(parts, key=len, reverse=True))) or "(?!)")


def _escaped(part: str) -> str:
    """A pattern for a text as it is, and escaped up to three times: each time doubles the backslashes."""
    pieces: list[str] = []
    for run, letter in re.findall(r"(\\*)([^\\]?)", part):
        if run or letter in tuple("\"'/"):
            pieces.append(rf"\\{{{len(run)},{8 * len(run) + 7}}}")
        pieces.append(re.escape(letter))
    return "".join(pieces)


def _without_secrets(error: Exception, secrets: re.Pattern[str]) -> Exception:
    """The same error without what is secret: in its message, its body, the answer and the request it holds."""
    import openai

    if not isinstance(error, (openai.APIError, LabelError)):
        message = str(error)
        return LabelError(_hidden(message, secrets)) if _hidden(message, secrets) != message else error
    error.args = tuple(_hidden(list(error.args), secrets))
    error.__cause__ = error.__context__ = None
    fields = vars(error)
    fields |= _hidden(dict(fields), secrets)
    if isinstance(error, openai.APIError):
        request = type(error.request)(error.request.method, _shown(str(error.request.url)))
        if isinstance(error, openai.APIStatusError):
            error.response = _bare(error.response, request, secrets)
        error.request = request
    return error


def _bare(response: Any, request: Any, secrets: re.Pattern[str]) -> Any:
    """The same answer to a request without headers and body."""
    # Every byte is a letter of Latin-1, and what is secret is ASCII.
    content = secrets.sub("...", response.content.decode("latin-1")).encode("latin-1")
    left_out = ("content-encoding", "content-length", "transfer-encoding")
    headers = [(name, _hidden(value, secrets)) for name, value in response.headers.items() if name not in left_out]
    return type(response)(response.status_code, headers=headers, content=content, request=request)


def _hidden(value: Any, secrets: re.Pattern[str]) -> Any:
    """A text, or texts in lists and mappings, with dots for the secrets."""
    if isinstance(value, str):
        return secrets.sub("...", value)
    if isinstance(value, list):
        return [_hidden(item, secrets) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_hidden(name, secrets): _hidden(item, secrets) for name, item in cast("dict[Any, Any]", value).items()}
    return value


def _shown(url: str) -> str:
    """An address without user, password and query."""
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
