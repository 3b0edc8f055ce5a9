"""The classifier behind a vLLM or SGLang server: only the label tokens' log probabilities come back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute._notes import note
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.routers.causal_llm.configs import LabelError, RouterModelConfig
from ferroute.routers.causal_llm.model import Row, check_labels, score_in, written_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ferroute import _core
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

            - ``api_key``: the server's key, if it asks for one;
            - ``logprobs``: how many most likely tokens come back (20, the most a vLLM gives by default);
            - ``label_token_ids``: ids of the labels, in order: a vLLM that knows ``logprob_token_ids`` then gives
              exactly these;
            - ``concurrency``: requests side by side, in batches (8);
            - ``timeout`` in seconds (60), ``max_retries`` (2), ``extra_headers``, ``extra_body`` (mappings).
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
        self._client: Any = None
        self._settings = _checked(settings, config.num_outputs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in {"prompt", "_client"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.prompt = self._client = None
        if self._shared is not None:
            self.share(*self._shared)

    def share(self, system_message: str, classifier_message: str) -> None:
        """Takes the messages that all prompts are made of, for `scores_of`."""
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
        return self._ask(self.prompt_format.generate_prompt(row["messages"]))

    def scores_of(
        self, questions: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[float | None]:
        """``binary_prob`` of many questions in the shared prompt, asked side by side; None where there is no label."""
        prompt = self.prompt
        if prompt is None:
            raise InvalidValueError("expected the messages to be shared first, found none")
        from concurrent.futures import ThreadPoolExecutor

        self._connect()
        scores: list[float | None] = []
        pool = ThreadPoolExecutor(self._settings["concurrency"], thread_name_prefix="ferroute-labels")
        try:
            for row in pool.map(self._ask, map(prompt.render, questions)):
                scores.append(None if row is None else row["binary_prob"])
                if progress:
                    progress(1)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return scores

    def _connect(self) -> Any:
        if self._client is None:
            import openai

            self._client = openai.OpenAI(
                base_url=self._settings["api_base"],
                api_key=self._settings["api_key"] or "none",
                timeout=self._settings["timeout"],
                max_retries=self._settings["max_retries"],
                default_headers=self._settings["extra_headers"],
            )
        return self._client

    def _ask(self, text: str) -> Row | None:
        settings = self._settings
        # Labels are special tokens: a server that hides those would give empty texts.
        body: dict[str, Any] = {"skip_special_tokens": False}
        if settings["label_token_ids"]:
            body |= {"logprob_token_ids": settings["label_token_ids"], "return_tokens_as_token_ids": True}
        client = self._connect()
        try:
            answer = client.completions.create(
                model=settings["model"],
                prompt=text,
                max_tokens=self.max_new_tokens,
                temperature=0,
                logprobs=settings["logprobs"],
                extra_body=body | settings["extra_body"],
            )
        except Exception as error:
            raise _without_key(error, settings["api_key"]) from None
        return self._read(answer)

    def _read(self, answer: Any) -> Row | None:
        logprobs = answer.choices[0].logprobs if getattr(answer, "choices", None) else None
        if logprobs is None or logprobs.tokens is None or logprobs.top_logprobs is None:
            raise LabelError("expected an answer with the log probabilities of its tokens, found one without")
        names, listed = self._names(), cast("list[str]", logprobs.tokens)
        tokens = [names.get(token, token) for token in listed]
        labels = self.config.special_tokens
        found = next((place for place, token in enumerate(tokens) if token in labels), None)
        if found is None:
            return None
        if found >= len(logprobs.top_logprobs) or not logprobs.top_logprobs[found]:
            raise LabelError(f"expected log probabilities beside the label {tokens[found]}, found none")
        beside = cast("dict[str, float]", logprobs.top_logprobs[found])
        top = {names.get(token, token): p for token, p in beside.items()}
        probabilities = [math.exp(top[label]) if label in top else 0.0 for label in labels]
        total = sum(probabilities)
        if not 0 < total < math.inf:
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


def _checked(settings: Mapping[str, Any], labels: int) -> dict[str, Any]:
    if not isinstance(settings, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"endpoint is a mapping of settings; found {type(settings).__name__}")
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise InvalidValueError(f"unknown endpoint settings: {', '.join(unknown)}; known are {', '.join(SETTINGS)}")
    for name in ("model", "api_base"):
        if not isinstance(settings.get(name), str) or not settings[name]:
            found = type(settings.get(name)).__name__
            raise InvalidValueError(f"endpoint: expected {name!r} to be a text, found {found}")
    defaults: dict[str, Any] = {
        "api_key": None,
        "logprobs": 20,
        "label_token_ids": None,
        "concurrency": 8,
        "timeout": 60.0,
    }
    defaults |= {"max_retries": 2, "extra_headers": {}, "extra_body": {}}
    given = defaults | dict(settings)
    key = given["api_key"]
    if key is not None and not isinstance(key, str):
        raise InvalidTypeError(f"endpoint: expected 'api_key' to be a text, found {type(key).__name__}")
    for name, least in (("logprobs", 1), ("concurrency", 1), ("max_retries", 0)):
        number = given[name]
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise InvalidValueError(f"endpoint: expected {name!r} of at least {least}, found {number!r:.40}")
    ids = given["label_token_ids"]
    if ids is not None:
        given["label_token_ids"] = [int(i) for i in cast("Iterable[Any]", ids)]
        if len(given["label_token_ids"]) != labels:
            raise InvalidValueError(
                f"endpoint: expected {labels} label_token_ids, found {len(given['label_token_ids'])}"
            )
    base = str(given["api_base"]).rstrip("/")
    given["api_base"] = base if base.endswith("/v1") else f"{base}/v1"
    return given


def _without_key(error: Exception, key: str | None) -> Exception:
    """The same error; a key that the server repeated in its answer is taken out."""
    if not key or key not in str(error):
        return error
    import openai

    message = str(error).replace(key, "...")
    if isinstance(error, openai.APIStatusError):
        return type(error)(message, response=error.response, body=None)
    return LabelError(message)


def _shown(url: str) -> str:
    """An address without user, password and query."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
