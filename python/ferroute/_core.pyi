"""The compiled core. Each section mirrors one file of ``src/py``."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

__version__: str
DEBUG_BUILD: bool

# --- routing.rs ---

def parse_model_name(
    model: str, hyphenated: list[str], naming: list[str] = ..., rungs: int = 2
) -> tuple[str, float | list[float] | None, bool]:
    """Splits ``router-mf-0.5``, ``router-local-30%``, ``router-local-0.3,0.7`` or ``router-rules``.

    Args:
        model: The model string.
        hyphenated: Routers whose names hold a hyphen; others are found without.
        naming: Routers that name a rung, so that no threshold needs to follow.
        rungs: How many rungs there are; with more than two there may be a number for each step.

    Returns:
        Router; the number or numbers, None where there is none; and whether they are shares (0..=1), not thresholds.

    Raises:
        ValueError: Fewer than three parts.
        RoutingError: A number is none, or the string does not begin with ``router``.
    """

def validate(router: str, routers: dict[str, Any], number: float, is_share: bool, shown: object) -> None:
    """Raises `RoutingError` unless the router is known and the number in 0..=1; ``shown`` is the number as given."""

def validate_cuts(
    router: str, routers: dict[str, Any], cuts: Sequence[float], are_shares: bool, ladder: Ladder
) -> None:
    """The same for one number for each step of a ladder: thresholds must not fall, shares must not rise."""

def parse_float(text: str) -> float | None:
    """What Python's ``float(text)`` returns, or None where it raises `ValueError`."""

def float_repr(value: float) -> str:
    """What Python's ``repr(value)`` returns."""

def percent(share: float) -> str:
    """A share as the model string writes it: ``30%``."""

def percents(shares: Sequence[float]) -> str:
    """Several shares as the model string writes them: ``60%,15%``."""

@final
class ShareWindow:
    """The last 1,000 scores of one router; ``len()`` counts its own.

    Pseudo-scores stand in at the start; each own score takes the place of one.
    """

    def __new__(cls, pseudo_scores: list[float] = ...) -> ShareWindow: ...
    def push(self, win_rate: float) -> None:
        """Remembers a score; NaN leaves no trace."""

    def __len__(self) -> int: ...

@final
class Ladder:
    """Rungs with their models, weakest first, and the choice among them.

    Args:
        rungs: Names and models.

    Raises:
        InvalidValueError: Fewer than two; a name is empty or comes twice; ``cheap``, ``mid`` and ``expensive`` stand in
            another order.
    """

    def __new__(cls, rungs: Sequence[tuple[str, str]]) -> Self: ...
    @staticmethod
    def pair(weak: str, strong: str) -> Ladder:
        """RouteLLM's two models, as rungs ``weak`` and ``strong``."""

    @property
    def names(self) -> list[str]:
        """Names of the rungs, weakest first."""

    @property
    def models(self) -> list[str]:
        """Models of the rungs, weakest first."""

    def __len__(self) -> int: ...
    def find(self, name: str) -> int:
        """The rung that a name means.

        Its own, else ``cheap`` or ``weak`` for the first, ``expensive`` or ``strong`` for the last, ``mid`` for the one
        in the middle, of two the lower.

        Raises:
            RoutingError: None is meant; the message lists the rungs.
        """

    def by_threshold(self, win_rate: float, threshold: float) -> tuple[int, str]:
        """The last rung if ``win_rate >= threshold``, else the first; and why in one sentence."""

    def by_thresholds(self, win_rate: float, cuts: Sequence[float]) -> tuple[int, str]:
        """One rung up for each cut that the win rate reaches, and why. Cuts must not fall; a single one is as above."""

    def by_shares(
        self, window: ShareWindow, win_rate: float, shares: Sequence[float], prompt: str
    ) -> tuple[int, str, bool, float]:
        """The rung of a score by its rank in the window, why, whether that is warming up, and the rank.

        Shares must not rise; a single one chooses between first and last. Equal scores are told apart by a hash of the
        prompt.
        """

    def settle(
        self,
        wanted: int,
        floor: int | None = None,
        ceiling: int | None = None,
        barred: Sequence[str | None] | None = None,
    ) -> tuple[int, list[str]]:
        """The rung that serves, and a sentence for each thing that moved it.

        `wanted` is moved up to `floor`, down to `ceiling` (the floor counts where they contradict), and if it is barred
        to the nearest free rung above, else below, both within the limits; with none free there, above, else below.

        Args:
            wanted: The router's word.
            floor: The lowest rung allowed.
            ceiling: The highest.
            barred: For each rung why it cannot serve the request, or None for it.

        Raises:
            RoutingError: All are barred; the message lists each with its reason.
        """

# --- rollout.rs ---

# Kind, seconds since 1970, stage before and after, audits, evidence, why, and all of it in a sentence.
_Moved: TypeAlias = tuple[str, int | None, int, int, int, float, str, str]

@final
class RampPlan:
    """What a ramp is to do; `ferroute.rollout.Ramp` says by which evidence.

    Args:
        stages: Weak share and threshold of each, rising, without "always strong", which is stage 0.
        start: The stage to begin with.
        certified: Whether that one is proven already.
        reference: Win rates ``[n]`` that later ones are compared with; a sample of them is kept.
        max_quality_loss: The bound, in units of the scores.
        confidence: Of all promises, inside of 0..1.
        horizon: The running loss is averaged over at least so many audits; None: 500, or more below a bound of 0.05.
        rates: Parts of the traffic to audit, 0..=1, while it grows and while it holds.
        revert_on_drift: Whether other traffic leads back to always strong.
        regret: Whether weak wins count for nothing.

    Raises:
        InvalidValueError: Stages do not rise, or a number is out of its range.
    """

    def __new__(
        cls,
        stages: Sequence[tuple[float, float]],
        start: int,
        certified: bool,
        reference: NDArray[np.float64],
        max_quality_loss: float,
        confidence: float,
        horizon: int | None,
        rates: tuple[float, float],
        revert_on_drift: bool,
        regret: bool = False,
    ) -> RampPlan: ...
    def rehearse(
        self,
        win_rates: NDArray[np.float64],
        strong: NDArray[np.float64],
        weak: NDArray[np.float64],
        rate: float | None = None,
        seed: int = 0,
    ) -> tuple[NDArray[np.uint32], NDArray[np.bool_], list[_Moved]]:
        """The stage in force for each request ``[n]``, which were audited ``[n]``, and the moves, timed by request.

        ``win_rates``, ``strong`` and ``weak`` are ``[n]``, one entry a request in their order. ``rate`` is the part
        that is audited; None: as the ramp itself would ask.

        Raises:
            InvalidValueError: Lengths differ, or a number is not in 0..=1; the message names the row.
        """

    @property
    def stages(self) -> list[tuple[float, float]]:
        """Weak share and threshold of each, always strong first."""

    @property
    def settings(self) -> tuple[int, int, tuple[float, float], bool]:
        """The stage it begins with, horizon, rates, and whether other traffic leads back to always strong."""

@final
class Ramp:
    """A ramp with its memory: in a file that several processes may share, or in this process.

    Raises:
        InvalidValueError: The file holds something else, or a ramp with another promise or other thresholds.
        MissingFileError: There is no such file, and no plan.
        UnreadableFileError: It cannot be read or written.
    """

    def __new__(cls, path: str | os.PathLike[str] | None = None, plan: RampPlan | None = None) -> Ramp: ...
    @staticmethod
    def of_lines(text: str) -> Ramp:
        """A ramp without a file, from what `lines` gave."""

    def lines(self) -> str:
        """The lines that a file would have, of a ramp without one."""

    @property
    def path(self) -> Path | None:
        """Its file."""

    def keeps(self, plan: RampPlan) -> None:
        """Raises `InvalidValueError` where a plan has another bound, confidence or other thresholds than this ramp."""

    def observe(
        self, win_rate: float, strong: float, weak: float, probability: float = 1.0, threshold: float | None = None
    ) -> None:
        """Takes in an audit, and makes the moves it calls for; `threshold` is the one it was routed by."""

    def observe_many(
        self,
        win_rates: NDArray[np.float64],
        strong: NDArray[np.float64],
        weak: NDArray[np.float64],
        probability: float = 1.0,
        threshold: float | None = None,
    ) -> None:
        """As `observe`, for rows: each array is ``[n]``."""

    def held(self) -> tuple[float, float, bool, str | None]:
        """Threshold and weak share in force, whether there is news, and what a caller should know."""

    def news(self) -> list[_Moved]:
        """The moves since it was opened that were not told of yet; each is told once."""

    def moves(self, start: int = 0) -> list[_Moved]:
        """The moves from one on."""

    @property
    def plan(self) -> RampPlan:
        """Its plan."""

    @property
    def state(self) -> str:
        """``starting``, ``growing``, ``holding``, ``paused`` or ``reverted``."""

    @property
    def rate(self) -> float:
        """The part of the traffic to audit now."""

    @property
    def n(self) -> int:
        """Audits so far."""

    @property
    def mean_loss(self) -> float:
        """Of the audits as they were routed; NaN before the first."""

    @property
    def alarms(self) -> tuple[float, float]:
        """Natural logarithm of the evidence against the stage it stands at, and for other traffic."""

    @property
    def stages(self) -> list[tuple[float, float, float, float]]:
        """Of each stage weak share, threshold, ln of the evidence that it is good, mean loss."""

    @property
    def promise(self) -> tuple[float, float, int, bool]:
        """Bound, confidence, horizon, and whether weak wins count for nothing."""

def ramp_stages(win_rates: NDArray[np.float64], shares: Sequence[float]) -> list[tuple[float, float]]:
    """Weak share and threshold at which these parts of `win_rates` ``[n]`` are weak, as near as equal scores allow."""

@final
class Trial:
    """A test of two arms that may be looked at at any time; ``True`` is the second.

    By betting on scores weighed by the lot (Waudby-Smith and Ramdas 2024, arXiv:2010.09686).

    Args:
        split: Part of the keys that meets the second, inside of 0..1.
        confidence: Inside of 0..1.

    Raises:
        InvalidValueError: A number is out of its range.
    """

    def __new__(cls, split: float = 0.5, confidence: float = 0.95) -> Trial: ...
    def observe(self, second: bool, score: float, key: str | None = None) -> bool:
        """Takes in a score in 0..=1; of each key the first; returns whether it counted."""

    def told(self) -> tuple[list[int], list[float], float, tuple[float, float], tuple[bool, int] | None]:
        """Scores and means of the arms, ln of the evidence, the interval of the difference, winner and when."""

    @property
    def skewed(self) -> bool:
        """Whether scores certainly do not come at the split."""

def ab_arm(salt: str, key: str, split: float) -> bool:
    """Whether a key goes to the second arm, whose part of all keys is ``split``, 0..1; by a hash of both texts."""

def ab_required_n(effect: float, baseline: float, power: float, split: float, confidence: float) -> int:
    """Scores of both arms together that find a difference of `effect` with probability `power`.

    An approximation, for scores of 0 and 1; see `ferroute.rollout.ABTest.required_n`.

    Raises:
        InvalidValueError: A number is out of its range.
    """

# --- request.rs ---

@final
class Request:
    """A request as routers, rules and filters see it.

    Args:
        messages: A prompt, or messages in OpenAI's form: dicts, or objects with the same attributes.
        keywords: The other keywords of the completion; of them tools, ``response_format``, ``modalities``,
            ``max_tokens``, ``max_completion_tokens`` and ``metadata`` are looked at.
        text: The text routed on; None: the last message's.
        task: Kind of task, where the caller says it.
        session: The caller's session.
        tags: The caller's tags, name and value; the value of a bare one is empty.
    """

    def __new__(
        cls,
        messages: Any,
        keywords: dict[str, Any] | None = None,
        *,
        text: str | None = None,
        task: str | None = None,
        session: str | None = None,
        tags: Sequence[tuple[str, str]] | None = None,
    ) -> Self: ...
    @property
    def text(self) -> str:
        """The text routed on: that of the last message, unless the policy views the conversation in another way."""
    @property
    def turns(self) -> int:
        """How often the user has spoken."""
    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role (``system``, ``user``, ``assistant`` or ``tool``) and text of each message."""
    @property
    def prompt_tokens(self) -> int:
        """Tokens of messages, images and tools, as an estimate."""
    @property
    def max_tokens(self) -> int | None:
        """The longest answer, where the caller sets it."""
    @property
    def images(self) -> int:
        """Images in the whole conversation."""
    @property
    def audio(self) -> bool:
        """Whether there is sound in it, or the answer is to be spoken."""
    @property
    def tools(self) -> bool:
        """Whether tools are offered."""
    @property
    def json_schema(self) -> bool:
        """Whether the answer has to follow a JSON schema."""
    @property
    def task(self) -> str | None:
        """The kind of task the caller named; None: none was named."""

    @property
    def session(self) -> str | None:
        """The session the caller named; None: none was named."""

    @property
    def tags(self) -> list[tuple[str, str]]:
        """The caller's tags, as name and value."""

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """The request's ``metadata``, values as text."""

@final
class Serving:
    """The rungs of a ladder as the filters see them: what is known of each model, and how it is reached.

    Args:
        rungs: Name of the model and the settings of its endpoint (``api_base``, ``api_key``, ``api_version``,
            ``base_model``, ``extra_query``), weakest first.
        skips_retired: Whether one that its provider has shut down is barred.
    """

    def __new__(cls, rungs: Sequence[tuple[str, dict[str, Any]]], skips_retired: bool) -> Self: ...
    def check_text(
        self, chars: int, max_latency_ms: float | None = None
    ) -> tuple[list[str | None], list[str], list[tuple[int, str]], list[bool]] | None:
        """`check` of a prompt of so many characters."""
    def check(
        self,
        request: Request,
        *,
        max_latency_ms: float | None = None,
        stream: bool = False,
        api_base: Any = None,
        api_key: Any = None,
    ) -> tuple[list[str | None], list[str], list[tuple[int, str]], list[bool]] | None:
        """For each rung why it cannot serve the request, or None; notes; who was shut down, and why; who only rests.

        Args:
            request: The request.
            max_latency_ms: What an answer may take, in milliseconds.
            stream: Whether a stream is asked for.
            api_base: Base URL of the call's own.
            api_key: Key of the call's own.

        Returns:
            None where every rung can. The last part says of each rung whether it could answer all the same, since it
            only rests or is slow.
        """
    def in_place_of(self, model: str, reason: str, barred: Sequence[str | None]) -> int:
        """The rung that answers in the place of a model on none: the highest that is free.

        Raises:
            RoutingError: None is free; it lists each model with its reason.
        """

@final
class Sessions:
    """Where the conversations of one Controller are: hashes and numbers, no text. The 10,000 last heard of are kept."""

    def __new__(cls) -> Self: ...
    def stay(
        self,
        serving: Serving,
        request: Request,
        wanted: int,
        *,
        ceiling: int | None = None,
        barred: Sequence[str | None] = ...,
    ) -> tuple[int, str] | None:
        """The stronger rung that a conversation stays on, and why; None: it goes to `wanted`."""
    def remember(self, serving: Serving, request: Request, rung: int | None) -> None:
        """Notes that a conversation's turn goes to a rung; None is a model beyond the ladder."""
    def __len__(self) -> int: ...

def viewed(request: Request, view: str, join: bool) -> str:
    """The text of a request that is routed on.

    Args:
        request: The request.
        view: The part: its ``"last"`` message, the user's ``"first"``, or all ``"user_turns"``.
        join: Whether a last turn that only follows what was said comes with that.

    Raises:
        InvalidValueError: There is no such view.
    """

def only_follows(turn: str) -> bool:
    """Whether a turn is short and says nothing of its own: "yes", "go on", "and in French?"."""

@final
class Verdict:
    """What a router says that names a rung.

    Args:
        rung: The rung it goes to. ``cheap``, ``mid`` and ``expensive`` are known on every ladder.
        model: The model it goes to, which need not be on the ladder; goes before `rung`.
        floor: No rung below this one.
        ceiling: No rung above this one.
        ask: With neither rung nor model: the router asked then, such as ``router-local-0.3,0.7``.
        label: What the request was taken for.
        reason: One sentence.
        fired: Names of the rules that fired.
        scores: What was weighed, best first.
        notes: What else the caller should know.
    """

    def __new__(
        cls,
        rung: str | None = None,
        *,
        model: str | None = None,
        floor: str | None = None,
        ceiling: str | None = None,
        ask: str | None = None,
        label: str | None = None,
        reason: str = "",
        fired: Sequence[str] = ...,
        scores: Sequence[tuple[str, float]] = ...,
        notes: Sequence[str] = ...,
    ) -> Self: ...
    @property
    def rung(self) -> str | None:
        """The rung it goes to; None: none is named."""

    @property
    def model(self) -> str | None:
        """The model it goes to, which need not be on the ladder and goes before `rung`; None: none."""

    @property
    def floor(self) -> str | None:
        """No rung below this one; None: any."""

    @property
    def ceiling(self) -> str | None:
        """No rung above this one; None: any."""

    @property
    def ask(self) -> str | None:
        """With neither rung nor model, the router that is asked then, as in ``router-local-0.3,0.7``."""

    @property
    def label(self) -> str | None:
        """What the request was taken for: a task, a route, a label; None: nothing."""

    @property
    def reason(self) -> str:
        """Why, in one sentence."""

    @property
    def fired(self) -> list[str]:
        """Names of the rules that fired, in their order."""

    @property
    def scores(self) -> list[tuple[str, float]]:
        """What was weighed, best first: routes with similarities, labels with probabilities."""

    @property
    def notes(self) -> list[str]:
        """What else the caller should know."""

# --- explain.rs ---

def explain(
    rungs: Sequence[tuple[str | None, str | None, Sequence[str], str | None, float | None]],
    *,
    ladder: int,
    reach: Sequence[int] = ...,
    wanted: int | None = None,
    chosen: int | None = None,
    answered: int | None = None,
    held: str | None = None,
    floor: int | None = None,
    ceiling: int | None = None,
    win_rate: tuple[float, Sequence[float]] | None = None,
    rank: tuple[float, Sequence[float]] | None = None,
    named: tuple[str | None, Sequence[tuple[str, float, float | None, int | None]]] | None = None,
    prompt_tokens: int | None = None,
    at: str | None = None,
) -> str:
    """A decision taken apart, as a JSON object: candidates, prompt_tokens, runner_up, changes, prices.

    Args:
        rungs: From weakest to strongest, then models beside the ladder: name, model, names its price is looked up by,
            why it cannot serve the request, tokens its answer is expected to have.
        ladder: How many of them are the ladder.
        reach: The rungs that the steps of the word lead to, one more than there are steps.
        wanted: The rung the router's word led to.
        chosen: The rung it went to.
        answered: The rung that answered, where that is another one.
        held: Why it did not go where the word led, for a reason that is in no rung.
        floor: No rung below this one.
        ceiling: No rung above this one.
        win_rate: A win rate and the thresholds.
        rank: A rank and the shares.
        named: The label of a verdict, and what was weighed: name, score, from which score on it counts, its rung.
        prompt_tokens: Tokens of the request.
        at: Day of the prices.

    Raises:
        InvalidValueError: A place is beyond the rungs.
    """

# --- rules.rs ---

RULE_PRESETS: tuple[str, ...]
"""Names of the presets."""

def read_rules(path: str | os.PathLike[str]) -> str:
    """The text of a file of rules, of at most a megabyte.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
        InvalidValueError: It is not UTF-8.
    """

def rules_preset(name: str) -> str:
    """The YAML of a preset.

    Raises:
        UnknownNameError: There is no such preset.
    """

@final
class Rules:
    """Ordered rules. They pickle with the text they were read from.

    Args:
        source: YAML, with a `name`; else JSON, ``{"rules": [...], "preset": ..., "otherwise": ...}``.
        name: What errors call the file.
        otherwise: In the place of the file's own, in JSON.
        ladder: As for `bind`.

    Raises:
        InvalidValueError: A rule is wrong; the message has its place.
    """

    def __new__(
        cls, source: str, name: str | None = None, otherwise: str | None = None, ladder: Sequence[str] | None = None
    ) -> Self: ...
    def choose(self, request: Request) -> Verdict:
        """The word of the rules on a request."""

    def choose_text(self, prompt: str) -> Verdict:
        """The same of a single prompt."""

    def without_each(self, request: Request) -> list[str]:
        """What would have been decided without each rule that fired, where that is something else."""

    def bind(self, ladder: Sequence[str]) -> Rules:
        """The same rules on a ladder, whose rungs are named from the weakest.

        Raises:
            InvalidValueError: A name means none of its rungs, or a floor lies above its own ceiling.
        """

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, place, condition and consequence of each rule, in words; the last is ``otherwise``."""
    @property
    def ladder(self) -> list[str] | None:
        """The rungs, weakest first: as bound, else as the file names them."""
    @property
    def named_rungs(self) -> list[str]:
        """Names of the rungs that some rule leads to."""

    @property
    def models(self) -> list[str]:
        """Models that rules name."""
    @property
    def asked(self) -> list[tuple[str, str]]:
        """Model strings of the routers that rules ask, each with its place."""
    @property
    def endpoints(self) -> list[tuple[str, str]]:
        """Models with settings of their own: the mapping in JSON, and its place."""

# --- mf.rs ---

@final
class MfModel:
    """Weights of a matrix factorisation router; immutable, and usable from several threads at once.

    Files are `safetensors <https://github.com/huggingface/safetensors>`_ with the names of RouteLLM's checkpoints; the
    formula is in `ferroute.routers.matrix_factorization.model.MFModel`.

    Args:
        path: A folder with ``model.safetensors`` (and ``config.json``, whose sizes count where no argument is given),
            or a safetensors file.
        dim: Numbers in a model's row; this and the other sizes must fit the tensors.
        num_models: Rows of the table.
        text_dim: Numbers in an embedding.
        num_classes: Logits for each model.
        use_proj: Whether embeddings are projected.

    Raises:
        CheckpointError: A tensor is missing, unexpected, misshapen or not finite, or contradicts a size.
        MissingFileError: No such file, or only a pickle of torch (the message gives the converting command).
    """

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        dim: int | None = None,
        num_models: int | None = None,
        text_dim: int | None = None,
        num_classes: int | None = None,
        use_proj: bool | None = None,
    ) -> Self: ...
    @staticmethod
    def from_arrays(models: Any, classifier: Any, projection: Any | None = None) -> MfModel:
        """A model of arrays ``[num_models, dim]``, ``[num_classes, dim]`` and ``[dim, text_dim]``; they are copied."""

    @property
    def dim(self) -> int:
        """Numbers in the vector of a model."""

    @property
    def num_models(self) -> int:
        """Rows of the table."""

    @property
    def text_dim(self) -> int:
        """Numbers in an embedding."""

    @property
    def num_classes(self) -> int:
        """Logits for each model."""

    @property
    def use_proj(self) -> bool:
        """Whether embeddings are projected to `dim`."""

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Copies of the tensors by their names in the checkpoint: ``P.weight`` is ``[num_models, dim]``."""

    def save(self, folder: str | os.PathLike[str], config: str | None = None) -> None:
        """Writes ``model.safetensors`` and ``config.json`` (its text, or None for the sizes alone), each atomically."""

    def win_rate(self, vector: Any, strong: int, weak: int) -> float:
        """Win rate of row `strong` over row `weak` for one embedding: a list of floats, or an array ``[text_dim]``.

        Raises:
            UnknownNameError: A row outside the table.
            InvalidValueError: Another width, NaN or an infinity.
            InvalidTypeError: Something that is not a number.
        """

    def win_rates(self, x: Any, strong: int, weak: int, threads: int | None = None) -> NDArray[np.float64]:
        """Win rates ``[n]`` of one pair for embeddings ``[n, text_dim]`` of any number type and layout.

        `x` is read where it lies, with the interpreter released. `threads` is how many to use at most, by default one
        for each processor. Each value equals that of `win_rate`, bit for bit. The first row with NaN or an infinity
        is named in the error.

        Raises:
            InvalidValueError: Another width, NaN or an infinity.
            UnknownNameError: A row outside the table.
        """

    def win_rates_pairs(
        self, x: Any, pairs: Sequence[tuple[int, int]], threads: int | None = None
    ) -> NDArray[np.float64]:
        """Win rates ``[pairs, n]`` of several pairs of rows, strong and weak; `x` is read once."""

    def logits(self, vector: Any, models: Sequence[int]) -> NDArray[np.float32]:
        """Logits ``[models, num_classes]`` of rows of the table for one embedding."""

def torch_conversion_command(path: str | os.PathLike[str]) -> str:
    """The shell command that turns a file saved by torch into a ``model.safetensors`` beside it."""

def dot_kernels() -> str:
    """Which kernels this processor gets: ``avx512``, ``avx2`` or ``plain``. All give the same bits."""

# --- evals.rs ---

_Pairs: TypeAlias = list[tuple[NDArray[np.float64], NDArray[np.float64]]]

def eval_curve(
    win_rates: NDArray[np.float64], pairs: _Pairs, num_results: int, merge: bool
) -> tuple[NDArray[np.float64], NDArray[np.uint64], list[NDArray[np.float64]]]:
    """Routes rows at the quantiles 0, 1/num_results, .. 1 of their win rates, as RouteLLM's evaluation program does.

    Args:
        win_rates: ``[n]``.
        pairs: ``(strong, weak)`` columns ``[n]``: scores first, then costs, if any.
        num_results: Intervals between thresholds.
        merge: Whether equal thresholds may stay; otherwise they are an error.

    Returns:
        Thresholds (rising), strong rows at each, and for each pair the mean at each. Strong is ``>=`` the threshold,
        at the last ``>``.

    Raises:
        InvalidValueError: Lengths differ, a number is not finite, or thresholds are equal.
    """

def eval_resample(
    win_rates: list[NDArray[np.float64]],
    pairs: _Pairs,
    num_results: int,
    resamples: int,
    seed: int,
    optimum: bool,
    threads: int | None = None,
) -> NDArray[np.float64]:
    """The curves of routers on rows drawn with replacement (a paired bootstrap); columns are ``[n]``.

    The draws are the same for all routers, and thresholds are quantiles of each draw.

    Returns:
        ``[resamples, columns]``, one row a resample, with m = num_results + 1 points: for each router m percentages
        of strong calls (NaN where a point repeats the one before) and m means of each pair; with ``optimum`` the
        percentages and as many numbers of the quality of `eval_optimum_curve`, from all calls to none; then for each
        pair the strong and the weak model's mean.
    """

def eval_figures(
    percent: NDArray[np.float64],
    quality: NDArray[np.float64],
    weak: NDArray[np.float64],
    strong: NDArray[np.float64],
    fractions: list[float],
) -> NDArray[np.float64]:
    """AUC, APGR and the percentage of strong calls at each fraction of the gap, for curves ``[b, m]``: ``[b, 2 + f]``.

    ``weak`` and ``strong`` are the models' scores, ``[b]``. Points may come in any order. The figures are RouteLLM's
    (Ong et al. 2024, arXiv:2406.18665), computed as its evaluation program does; see
    `ferroute.evals.results.RouterResult`.
    """

def eval_percent_at(
    percent: NDArray[np.float64], quality: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The least percentage at which each curve ``[b, m]`` reaches the quality ``wanted[b]``; NaN if it never does."""

def eval_value_at(
    percent: NDArray[np.float64], values: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each curve ``[b, m]`` at percentages ``[b, k]``, straight between its points, held at both ends."""

def eval_optimum(strong: NDArray[np.float64], weak: NDArray[np.float64], fractions: list[float]) -> NDArray[np.float64]:
    """The best mean score ``[f]`` when at most these fractions (rising) of the rows ``[n]`` are strong."""

def eval_optimum_curve(
    strong: NDArray[np.float64], weak: NDArray[np.float64], num_results: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractions of strong calls (rising) and the best mean score at each, ``[k]``, for scores ``[n]``.

    There are 100 equal steps, or ``num_results`` if those are more, and the curve's kinks (only the last, from where on
    nothing is gained, if there are 200 or more).
    """

def eval_interp(x: NDArray[np.float64], xp: NDArray[np.float64], fp: NDArray[np.float64]) -> NDArray[np.float64]:
    """``numpy.interp`` at ``x`` ``[n]`` over ``xp`` and ``fp`` ``[m]``, bit for bit also where ``xp`` does not rise."""

# --- local.rs ---

@final
class LocalModel:
    """The embedded router: a table of token vectors, 42 lexical features and a logistic head, all in this module.

    Making one is free after the first time. It has no state, can be pickled, and can be used from any thread. Texts
    longer than 16 KiB are read at both ends only. A lone surrogate in a text counts as U+FFFD.
    """

    feature_names: list[str]
    """``embedding_0`` to ``embedding_63``, then the names of the lexical features."""

    def __new__(cls) -> Self: ...
    @property
    def quantiles(self) -> list[float]:
        """100 quantiles of the win rate over a mixed reference, rising."""

    @property
    def card(self) -> dict[str, Any]:
        """Where the head comes from: data and their hash, rows, recipe, date, versions."""

    def win_rate(self, text: str) -> float:
        """The strong model's win rate, in 0..=1.

        It ranks kinds of tasks; it is not a probability (see ``docs/local-router.md``).

        Args:
            text: The prompt; any string, the empty one included.
        """

    def win_rates(self, texts: list[str], threads: int | None = None) -> NDArray[np.float64]:
        """The win rate of each text, the interpreter lock released.

        Args:
            texts: Prompts.
            threads: At most so many threads; all cores when None.

        Returns:
            float64 ``[n]``, equal to `win_rate` of each text.
        """

    @staticmethod
    def features(texts: list[str], threads: int | None = None) -> NDArray[np.float32]:
        """What the head is given.

        Args:
            texts: Prompts.
            threads: At most so many threads; all cores when None.

        Returns:
            float32 ``[n, len(feature_names)]``: 64 numbers of a unit vector, then the lexical features.
        """

    @staticmethod
    def tokenize(text: str) -> list[int]:
        """WordPiece ids of the whole text, without special tokens."""

    def explain(self, text: str, limit: int = 10) -> list[tuple[str, float]]:
        """The terms of a win rate, largest first, in units of its logit.

        Args:
            text: The prompt.
            limit: How many terms to give. All of them together add up to the logit.

        Returns:
            Pairs of a name and its part. The name is a lexical feature (counted from its mean in training),
            ``word "..."`` for a token, ``base``, or ``short request``.
        """

# --- bert.rs ---

@final
class BertModel:
    """A BERT, RoBERTa or XLM-RoBERTa sequence classifier with its tokenizer; usable from any thread.

    Folders are those that Hugging Face's transformers saves, weights as safetensors.

    Args:
        path: Folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json``.
        num_labels: Rows of its last layer, at least 3; None: 3.

    Raises:
        MissingFileError: A file is not there; the message says what it was and, where there is one, gives the command
            that makes it.
        CheckpointError: A tensor or entry is missing, unexpected, misshapen or not finite.
        NotBuiltError: Another architecture, or an option of this one that does not run.
        InvalidValueError: Fewer than 3 labels.
    """

    def __new__(cls, path: str | os.PathLike[str], num_labels: int | None = None) -> Self: ...
    @property
    def folder(self) -> Path:
        """Where it was loaded from."""
    @property
    def model_type(self) -> str:
        """``bert``, ``roberta`` or ``xlm-roberta``."""
    @property
    def layers(self) -> int:
        """Layers."""
    @property
    def hidden(self) -> int:
        """Numbers of a token between the layers."""
    @property
    def heads(self) -> int:
        """Heads of a layer's attention."""
    @property
    def num_labels(self) -> int:
        """Logits of a text."""
    @property
    def vocabulary(self) -> int:
        """Tokens the tokenizer knows."""
    @property
    def max_length(self) -> int | None:
        """Tokens a text is cut to; None: texts are not cut."""
    @property
    def most_tokens(self) -> int:
        """Most tokens of a text that can be scored: the smaller of `max_length` and the rows of the position table."""
    def win_rate(self, text: str, threads: int | None = None) -> float:
        """One minus the probability of the last two classes, 0..=1, as RouteLLM's BERT router has it.

        Raises:
            InvalidValueError: The text has more tokens than `most_tokens`, and the tokenizer does not cut it.
        """
    def win_rates(
        self, texts: list[str], threads: int | None = None, progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """`win_rate` of many texts, bit for bit, float64 ``[n]``.

        Args:
            texts: Any number of texts.
            threads: How many to use; None: one for each processor.
            progress: Called with the number of texts newly done; what it raises ends the work and comes out here.
        """
    def logits(
        self, texts: list[str], threads: int | None = None, progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float32]:
        """Logits of many texts, float32 ``[n, num_labels]``; arguments as in `win_rates`."""
    def logits_of_ids(
        self, ids: list[int], types: list[int] | None = None, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Logits of one sequence of token ids, float32 ``[num_labels]``.

        Args:
            ids: Token ids, special tokens included.
            types: Token type of each; None: all 0.
            threads: How many to use; None: one for each processor.
        """
    def encode(self, text: str) -> list[int]:
        """Token ids of a text, special tokens included, cut to `max_length`."""
    def decode(self, ids: list[int]) -> str:
        """Text of token ids, special tokens included."""
    def token_to_id(self, token: str) -> int | None:
        """Id of a token."""

# --- calls.rs ---

@final
class Policy:
    """How calls behave, checked; see `ferroute.policy.CallPolicy`. Times are in seconds, None and ``inf`` no limit."""

    def __new__(
        cls,
        *,
        connect_timeout: float | None = None,
        first_byte_timeout: float | None = None,
        between_chunks_timeout: float | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        retries: int | None = None,
        failures_before_cooldown: int | None = None,
        cooldown: float = 30.0,
        hedge: bool = False,
        strict: bool = False,
        escalate_on: Sequence[str] | Callable[[Any], Any] | None = None,
    ) -> Policy: ...

# What was decided before a call: router, model string of the request, win rate, threshold, session, whether it was held
# out and whether it is made beside another call, name of the baseline, cost of choosing (None is unpriced), the text
# routed on, rung, kind of task, tags.
_Decided: TypeAlias = tuple[
    str | None,
    str | None,
    float | None,
    float | None,
    str | None,
    tuple[bool, bool],
    str | None,
    Decimal | int | None,
    str | None,
    str | None,
    str | None,
    Sequence[tuple[str, str]],
]

# What a call came to: US dollars for the call, for choosing, saved (None is unpriced); requests sent; notes; parameters
# left out, and why; tokens of prompt, completion, of the prompt cached and written, of the completion reasoning;
# whether they are estimated; seconds until the first content and in all; the model whose price is not known, if any;
# who answered where that is not the chosen model: its name, the model it is priced as, its rung, whether an answer was
# escalated to it.
_Account: TypeAlias = tuple[
    Decimal | None,
    Decimal | None,
    Decimal | None,
    int,
    list[str],
    list[tuple[str, str]],
    tuple[int, int, int, int, int] | None,
    bool,
    float | None,
    float,
    str | None,
    tuple[str, str | None, str | None, bool] | None,
]

@final
class Client:
    """One model at one provider, found and checked; the environment is read when it is made.

    Cheap to make: all clients of a process share its connections. A forked child opens its own. Failed calls raise
    the classes of `openai` (see `ferroute._failures`); a request that cannot be made raises a `FerrouteError`.

    Args:
        model: ``provider/model``, a bare name such as ``gpt-5.4-mini``, or any name where `api_base` is given.
        api_base: base URL, with or without ``/v1``; else the provider's variable, else its own address.
        api_key: key; else the provider's variables. Never shown again.
        organization: ``OpenAI-Organization``.
        extra_headers: names and values; they replace the usual ones.
        extra_query: names and values.
        api_version: Azure's ``api-version``, Anthropic's ``anthropic-version``.
        base_model: the model behind a name that says nothing, for prices and abilities.
        policy: how calls behave; None is the usual way.
        timeout: seconds for one attempt (for a stream: until it begins, and for each silence); ``inf`` for none; goes
            before the policy's.
        connect_timeout: seconds until a connection stands; goes before the policy's.
        max_retries: how often a failed attempt is repeated; goes before the policy's.
        fallbacks: asked in their order when this one has failed for good, each with the rung it is on, if any.
        climb: rungs and whom to ask there, in their order, when an answer shows a sign that the policy names.
        left_out: what is then said of rungs above that are not asked.
        ledger: where calls are entered.
    """

    def __new__(
        cls,
        model: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        organization: str | None = None,
        extra_headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        extra_query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        api_version: str | None = None,
        base_model: str | None = None,
        policy: Policy | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        max_retries: int | None = None,
        fallbacks: Sequence[tuple[str | None, Client]] | None = None,
        climb: Sequence[tuple[str | None, Client]] | None = None,
        left_out: Sequence[str] | None = None,
        ledger: Ledger | None = None,
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
    @property
    def at_home(self) -> bool:
        """Whether the provider's own host is asked."""
    def chat(self, body: bytes, decided: _Decided | None = None) -> Reply:
        """One completion.

        Args:
            body: the request, a JSON object in the shape of OpenAI's API reference ("Chat Completions"), as the caller
                means it; its ``model`` is replaced.
            decided: what was decided before, for the ledger and the estimate of the saving.

        Raises:
            openai.APIError: the call failed.
            FerrouteError: the request cannot be made.
        """
    def achat(self, body: bytes, decided: _Decided | None = None) -> Awaitable[Reply]:
        """`chat` for asyncio; cancelling it closes the connection."""
    def chat_stream(self, body: bytes, decided: _Decided | None = None) -> EventStream:
        """One completion as a stream; `body` has to ask for one."""
    def achat_stream(self, body: bytes, decided: _Decided | None = None) -> Awaitable[EventStream]:
        """`chat_stream` for asyncio."""

@final
class Reply:
    """One completion, in OpenAI's shape."""

    @property
    def status(self) -> int:
        """HTTP status."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """Response headers, names in lower case."""
    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, where it tells one."""
    @property
    def url(self) -> str:
        """The address that answered, without its query."""
    @property
    def body(self) -> bytes:
        """The provider's bytes where they have OpenAI's shape, else what they say in it."""
    @property
    def account(self) -> _Account:
        """What the call came to."""

@final
class EventStream:
    """The chunks of one completion, read ahead by another thread. Dropping it closes its connection.

    Providers send them as server-sent events (WHATWG, HTML Living Standard, "Server-sent events").
    """

    @property
    def status(self) -> int:
        """HTTP status."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """Response headers, names in lower case."""
    @property
    def url(self) -> str:
        """The address that answers, without its query."""
    @property
    def dropped(self) -> list[tuple[str, str]]:
        """Parameters left out, and why."""
    def account(self) -> _Account | None:
        """What the call came to, once the last chunk was handed out, after an error and once closed."""
    def ready(self) -> bytes | None:
        """A chunk that has already arrived; None when one would have to wait, and at the end."""
    def next(self) -> bytes | None:
        """The JSON of the next chunk; None at the end and once closed.

        Raises:
            openai.APIError: the stream broke, or was silent for too long.
        """
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
        api_version: as in `Client`.
        base_model: as in `Client`.
        dimensions: asks for vectors of this length.
        max_tokens: tokens the model takes (8192).
        cache_size: vectors kept (10,000); 0 keeps none.
        batch_size: texts in one request (256).
        concurrency: requests at the same time (8).
        base64: asks for base64 instead of numbers; both are understood.
        timeout: seconds for one attempt (600).
        max_retries: how often a failed request is repeated (2).

    Raises:
        UnknownNameError: no provider goes by such a name.
        InvalidValueError: a key is missing, or a setting is out of range.
    """

    def __new__(
        cls,
        model: str,
        *,
        api_base: str | None = None,
        api_key: str | None = None,
        organization: str | None = None,
        extra_headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        extra_query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        api_version: str | None = None,
        base_model: str | None = None,
        dimensions: int | None = None,
        max_tokens: int | None = None,
        cache_size: int | None = None,
        batch_size: int | None = None,
        concurrency: int | None = None,
        base64: bool = True,
        timeout: float = 600.0,
        max_retries: int | None = None,
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
    def embed(self, text: str) -> tuple[NDArray[np.float32], str | None, Decimal | None]:
        """The embedding of one text.

        Returns:
            The vector ``[d]``, a sentence when the text had to be cut, and what this call paid in US dollars: nothing
            for a cached vector, None where the price is unknown.

        Raises:
            openai.APIError: the endpoint failed.
        """
    def aembed(self, text: str) -> Awaitable[tuple[NDArray[np.float32], str | None, Decimal | None]]:
        """`embed` for asyncio: the vector is ``[d]``."""
    def embed_batch(
        self, texts: Sequence[str], progress: Callable[[int, int], object] | None = None
    ) -> NDArray[np.float32]:
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
    ) -> Awaitable[NDArray[np.float32]]:
        """`embed_batch` for asyncio, ``[n, d]``; `progress` is called on another thread."""

# --- classifier.rs ---

@final
class Classifier:
    """Asks a small model for one label of a few; cached, shared while in flight. Usable from any thread.

    Args:
        model: as in `Client`.
        preset: ``article``, ``complexity`` or ``intent``; ``article`` where there are no labels either.
        labels: names, and what they stand for.
        map: names of labels, and the rungs they lead to.
        instructions: in the place of the sentence that says what to sort by.
        fallback: the rung for what cannot be told.
        timeout: seconds for one classification in all; None for no limit.
        max_retries: how often a failed attempt is repeated within that (2).
        cache: labels kept (10,000); 0 keeps none.
        api_base: as in `Client`.
        api_key: as in `Client`.
        organization: as in `Client`.
        extra_headers: as in `Client`.
        extra_query: as in `Client`.
        api_version: as in `Client`.
        base_model: as in `Client`.
    """

    def __new__(
        cls,
        model: str,
        *,
        preset: str | None = None,
        labels: Sequence[tuple[str, str]] | None = None,
        map: Sequence[tuple[str, str]] = ...,  # noqa: A002
        instructions: str | None = None,
        fallback: str = "mid",
        timeout: float | None = None,
        max_retries: int | None = None,
        cache: int | None = None,
        api_base: str | None = None,
        api_key: str | None = None,
        organization: str | None = None,
        extra_headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        extra_query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        api_version: str | None = None,
        base_model: str | None = None,
    ) -> Classifier: ...
    @property
    def provider(self) -> str:
        """Name of the provider."""
    @property
    def model(self) -> str:
        """Model id as it is sent."""
    @property
    def base_url(self) -> str:
        """Base URL without its query."""
    @property
    def labels(self) -> list[tuple[str, str, str]]:
        """Name, rung and description of each label."""
    def injected(self, text: str) -> str | None:
        """The words of a prompt that tell the classifier what to answer, as they were read; None without any."""
    def messages(self, text: str) -> tuple[str, str]:
        """What the model is told of a prompt where it is asked for a bare word: system and user message."""
    def classify(self, request: Request) -> tuple[Verdict, Decimal | None]:
        """The verdict on a request's last message, and what it cost in US dollars.

        A cached label costs nothing; None is an unknown price. A call that fails leads to the fallback rung.
        """
    def aclassify(self, request: Request) -> Awaitable[tuple[Verdict, Decimal | None]]:
        """`classify` for asyncio; cancelling it closes the connection."""
    def classify_batch(
        self, texts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[tuple[Verdict, Decimal | None]]:
        """`classify` for many prompts, sixteen at a time.

        Args:
            texts: any number of prompts.
            progress: called with the number newly done; what it raises ends the work and comes out here.
        """

# --- pricing.rs ---
_Amount: TypeAlias = Decimal | int | float | str
# Input, output, cached, written, written for an hour, reasoning, input that is sound, output that is sound.
_Tokens: TypeAlias = tuple[_Amount, _Amount, _Amount, _Amount, _Amount, _Amount, _Amount, _Amount]
# Model, share, requests, US dollars.
_ScenarioLine: TypeAlias = tuple[str, Decimal, Decimal, Decimal | None]

def pricing_cost(
    models: Sequence[str], tokens: _Tokens, tier: str | None = None, at: str | None = None
) -> tuple[Decimal, list[tuple[str, Decimal, Decimal, Decimal, Decimal]]] | None:
    """The cost by the first model whose price is known, and its parts: unit, how many, US dollars for, per, US dollars.

    Raises:
        InvalidValueError: The tokens cannot be, or the tier or the time is none.
    """

def pricing_price(
    model: str, tier: str | None = None, at: str | None = None
) -> tuple[str, list[tuple[str, Decimal, Decimal, list[tuple[int, Decimal]]]], str | None, str, str] | None:
    """The model's name at the source; unit, US dollars, per, and steps; first day; day of reading; source."""

def pricing_scenario(
    requests: _Amount,
    tokens: _Tokens,
    mix: Sequence[tuple[str, _Amount]],
    baseline: str | None = None,
    tier: str | None = None,
    at: str | None = None,
) -> tuple[Decimal | None, list[_ScenarioLine], _ScenarioLine | None]:
    """Cost in all, one line for each model of the mix, and the baseline's."""

def pricing_ratio(
    strong: str, weak: str, tokens: _Tokens, tier: str | None = None, at: str | None = None
) -> Decimal | None:
    """How many times dearer `strong` is; None where a price is not known or `weak` is free."""

def pricing_facts(model: str) -> tuple[int | None, int | None, list[bool | None], str | None] | None:
    """Context, longest output; images, tools, audio, schema, reasoning; day of shutdown."""

def pricing_shut_down(model: str, at: str | None = None) -> str | None:
    """The day a model was shut down, if that has passed."""

def pricing_version() -> tuple[str, str]:
    """Versions of the data, and the day on which they were read."""

def pricing_override(json: str | None = None) -> None:
    """Puts prices before the built-in ones; None: those of the file that FERROUTE_PRICES names."""

def pricing_check() -> None:
    """Raises what is wrong with the file that FERROUTE_PRICES names."""

# --- prompts.rs ---
def read_prompts(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002
    column: str | None = None,
    skip_bad: bool = False,
    batch_size: int = 1024,
) -> PromptBatches:
    """Opens a file of prompts. Memory stays bounded whatever its size.

    Args:
        path: The file, or ``"-"`` for standard input.
        format: ``"text"`` (one prompt a line, blank lines left out), ``"jsonl"`` (strings, or objects), ``"csv"`` or
            ``"parquet"``; None: by the extension, and text for standard input.
        column: The JSONL field or the column with the prompt; None: the first there is of ``prompt``, ``messages``
            (JSONL only: the last message's text), ``question`` and ``text``.
        skip_bad: Count rows without a usable prompt (bad JSON, null, not UTF-8, more than 64 MiB) and go on. Otherwise
            the first one raises, after everything before it was handed out.
        batch_size: The most prompts in a batch. A batch is shorter at the end, at about 16 MiB of text, and where a
            pipe has nothing more to give yet.

    Returns:
        Batches of prompts.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
        InvalidValueError: It has no such column, or a row is bad; the message names file and row.
        NotBuiltError: Parquet from standard input.
    """

@final
class PromptBatches:
    """Iterates over lists of ``(row, prompt)``.

    ``row`` counts from 1: lines of text and JSONL, records of CSV after its header, rows of Parquet.
    """

    @property
    def format(self) -> str:
        """The format that is being read."""
    @property
    def skipped(self) -> int:
        """How many bad rows were skipped so far."""
    @property
    def first_skipped(self) -> str | None:
        """What was wrong with the first of them."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> list[tuple[int, str]]: ...

# --- causal.rs ---

def label_probability(logits: Sequence[float], threshold: int) -> tuple[float, NDArray[np.float32]]:
    """Probability of the labels ``threshold`` and above, and of every label ``[labels]``: a softmax over them alone."""

@final
class CausalPrompt:
    """A prompt with room for a question.

    Args:
        system_message: The system message; an empty one is left out.
        classifier_message: The user's message, with ``{question}``.
        system: Text around a system message, with ``{instruction}``.
        user: Text around a user's message, with ``{instruction}``.

    Raises:
        CheckpointError: Another field, or a single brace.
    """

    def __new__(cls, system_message: str, classifier_message: str, system: str, user: str) -> Self: ...
    def render(self, question: str) -> str:
        """The text the model continues; a lone surrogate of the question becomes U+FFFD."""

@final
class CausalTokenizer:
    """The tokenizer of a folder, with ``special_tokens`` appended."""

    def __new__(cls, path: str | os.PathLike[str], special_tokens: Sequence[str]) -> Self: ...
    def encode(self, text: str) -> list[int]:
        """Ids of a text, the special tokens around it included; nothing is cut."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included."""

    def tokens(self, ids: Sequence[int]) -> list[str | None]:
        """Token of each id, None where there is none."""

    def token_to_id(self, token: str) -> int | None:
        """Id of a token."""

    def __len__(self) -> int: ...

@final
class CausalModel:
    """A Llama-like checkpoint that answers with a label token.

    Args:
        checkpoint: Folder with ``config.json`` and ``model.safetensors`` (or its index and shards).
        tokenizer: Folder with the tokenizer of the base model.
        labels: Texts of the label tokens, appended to the tokenizer's.
        own_tokenizer: The tokenizer is the checkpoint's own, and must end with the labels.
        bf16: Round activations to bfloat16.
        max_new_tokens: Tokens generated at most (6).
        threads: How many to use; None: one for each processor.

    Raises:
        MissingFileError, UnreadableFileError: A file is not there, or cannot be read.
        CheckpointError: A file does not fit; the message says what was expected.
        NotBuiltError: A kind of model that is not known here.
    """

    def __new__(
        cls,
        checkpoint: str | os.PathLike[str],
        tokenizer: str | os.PathLike[str],
        *,
        labels: Sequence[str],
        own_tokenizer: bool = False,
        bf16: bool = False,
        max_new_tokens: int | None = None,
        threads: int | None = None,
    ) -> Self: ...
    @property
    def tokenizer(self) -> CausalTokenizer:
        """The tokenizer, with the label tokens."""

    @property
    def tokenizer_folder(self) -> Path:
        """Where it was read from."""

    @property
    def first_label(self) -> int:
        """First id that counts as a label; every id from here to the end of the vocabulary does."""

    @property
    def outputs(self) -> int:
        """Size of the model's vocabulary, padding included."""

    @property
    def shared_tokens(self) -> int:
        """Tokens that the prompts are known to begin with; computed once."""

    @property
    def longest(self) -> int:
        """Most tokens of a prompt and its answer."""

    def share(self, prompt: CausalPrompt) -> None:
        """From now on, computes what all prompts of this form begin with only once."""

    def answer(self, ids: Sequence[int]) -> tuple[list[int], NDArray[np.float32] | None]:
        """Generated ids up to the first label, and the logits ``[k]`` from there on to the end of the vocabulary.

        Raises:
            ValueError: An id the model does not have, no id at all, or more than `longest`.
        """

    def answers(
        self, prompt: CausalPrompt, texts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[tuple[list[int], NDArray[np.float32] | None]]:
        """`answer` for many questions, logits ``[k]`` each: the same numbers; ``progress`` gets how many are done."""

    def first_logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """All logits of the first generated position, float32 ``[outputs]``."""

# --- columns.rs ---
def read_columns(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None
) -> dict[str, list[str | None] | NDArray[np.float64]]:
    """The columns of a table: Parquet, Arrow (stream or file), JSONL, a JSON list of objects, CSV.

    Args:
        path: The file; its extension, or its first bytes, say the layout.
        columns: Names, in the order wanted; None: all that hold texts or numbers.

    Returns:
        Name -> texts (null: None; a list of strings comes as its JSON text), or numbers, float64 ``[rows]`` (null: NaN;
        booleans: 0 and 1; integers are exact below 2**53).

    Raises:
        UnknownNameError: A column is not there; the message names those that are.
        InvalidValueError: A column of another kind, a bad row (the message names it), a damaged file.
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
    """

# --- statistics.rs ---
def quantiles(values: NDArray[np.float64], at: Sequence[float], *, percent: bool = True) -> NDArray[np.float64]:
    """Quantiles of ``values`` ``[n]``, in any order, by linear interpolation.

    Args:
        values: Numbers without NaN.
        at: Which quantiles, ``[k]``, each in 0..=1.
        percent: As pandas 2 computes them, bit for bit; False: as numpy and pandas 3 do.

    Returns:
        float64 ``[k]``.

    Raises:
        InvalidValueError: No value, NaN, or a quantile outside of 0..=1.
    """

def quantile(values: list[float], at: float) -> float:
    """One of `quantiles`, as pandas 2 computes it, without numpy."""

def binomial_interval(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """The exact interval (Clopper and Pearson 1934) of the probability behind ``successes`` of ``trials``, 0..=1.

    Raises:
        InvalidValueError: There is no trial, more successes than trials, or ``confidence`` is not inside of 0..1.
    """

# --- guarantee.rs ---
_Numbers: TypeAlias = NDArray[np.float64]

def certify_threshold(
    win_rates: _Numbers,
    strong: _Numbers,
    weak: _Numbers,
    gold: tuple[_Numbers, _Numbers] | None,
    risk: str,
    most: float,
    delta: float,
    start: float | None,
    ceiling: float,
    seed: int,
) -> tuple[float | None, float, float, int, int, int, float | None]:
    """The highest threshold whose loss is at most ``most`` with probability ``1 - delta``.

    See `ferroute.calibrate.guarantee`, for the sources as well; columns are ``[n]``, ``start`` is the first threshold
    tested of weak_routed.

    Returns:
        The threshold or None, the loss seen there, its bound, rows whose truth is known, rows judged only, rows below
        the threshold, and the loss seen at the next threshold or None.

    Raises:
        InvalidValueError: Something is out of range.
    """

def first_weak_share(rows: int, most: float, delta: float) -> float:
    """The share of traffic below the first threshold that is tested among the weak-routed, 0.2 to 0.5.

    A fifth, or more where ``rows`` are few: twice the rows that would pass if nothing were lost. A rule of our own.
    """

def afford_threshold(
    win_rates: _Numbers,
    scores: tuple[_Numbers, _Numbers],
    costs: tuple[_Numbers, _Numbers],
    cap: float,
    weak_is_dearer: bool,
    budget: float,
    delta: float,
    seed: int,
) -> tuple[float | None, float, float, int]:
    """The best threshold whose mean cost is at most ``budget`` with probability ``1 - delta``.

    See `ferroute.calibrate.budget`, for the sources as well; pairs are the strong and the weak model's ``[n]``, ``cap``
    bounds every cost. Thresholds are tested from all calls weak downward, or from all strong upward where
    ``weak_is_dearer``.

    Returns:
        The threshold or None, mean cost and mean score there (of the first tested where it is None), rows below it.

    Raises:
        InvalidValueError: Something is out of range.
    """

# --- learn.rs ---
_Judged: TypeAlias = tuple[float, int, int]

@final
class Fitting:
    """Prompts and what models scored on them, ready to be fitted on; see `ferroute.fit`.

    Args:
        features: Raw features ``[n, width + 42]``, C order or not: an embedding, then the lexical numbers.
        width: Numbers of the embedding.
        logits: Logit of the embedded router's win rate, ``[n]``.
        outcomes: What each model scored, ``[n, m]``, 0..=1, NaN where unknown.
        threads: At most so many; all cores when None. The number shows in no bit of a result.

    Raises:
        InvalidValueError: Sizes do not fit, a number is out of range, or nothing is known of a model.
    """

    def __new__(
        cls,
        features: NDArray[np.float32],
        width: int,
        logits: NDArray[np.float64],
        outcomes: NDArray[np.float64],
        threads: int | None = None,
    ) -> Self: ...
    @staticmethod
    def folds(units: NDArray[np.uint32], folds: int, seed: int) -> NDArray[np.uint32]:
        """The fold of each row, ``[n]``; rows of one unit share theirs."""

    @staticmethod
    def steps(models: int) -> int:
        """How many steps of progress one fit of so many models tells."""

    def model(
        self,
        pair: tuple[int, int],
        models: list[str],
        *,
        win_rates: NDArray[np.float64],
        embedding: int | None = None,
        projection: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
        zero_shot: bool = True,
        neighbours: tuple[int, float] | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> FittedModel:
        """Fits on all rows.

        Args:
            pair: Places of the strong and the weak model.
            models: Names.
            win_rates: Held-out win rates, whose quantiles the model keeps.
            embedding: Numbers of the user's embedding; None: the one in this package.
            projection: Mean ``[d]`` and directions ``[width, d]`` that bring it to the design's width.
            zero_shot: Whether the embedded router has a say.
            neighbours: How many count, and the guard in standard errors, in the place of heads.
            progress: Called with the number of steps newly done; what it raises ends the work.

        Returns:
            The model.
        """

    def cross_validated(
        self,
        pair: tuple[int, int],
        folds: NDArray[np.uint32],
        *,
        zero_shot: bool = True,
        neighbours: tuple[int, float] | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> NDArray[np.float64]:
        """Expected scores ``[n, m]``, not cut to 0..=1, each row's by a fit without its fold."""

    def chance(
        self,
        pair: tuple[int, int],
        folds: NDArray[np.uint32],
        units: NDArray[np.uint32],
        *,
        times: int,
        seed: int,
        zero_shot: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> tuple[float, float]:
        """How well held-out differences of the pair are predicted, and the p-value of that by a permutation test.

        ``folds`` and ``units`` are ``[n]``, the fold and the unit of each row. The p-value is the share, of ``times``
        shuffles and the labels themselves, that are predicted as well; the larger one of two ways to shuffle
        (``docs/fit.md``).
        """

@final
class FittedModel:
    """What each model is expected to score on a prompt; in `ferroute.routers.fitted` with words around it."""

    @staticmethod
    def load(path: str | os.PathLike[str]) -> FittedModel:
        """Reads a file.

        Raises:
            MissingFileError: There is none.
            CheckpointError: It is something else, or damaged.
        """

    @staticmethod
    def from_bytes(content: bytes) -> FittedModel:
        """Reads a file's content."""

    def to_bytes(self) -> bytes:
        """The file's content."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file, whole or not at all."""

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order of columns."""

    @property
    def pair(self) -> tuple[int, int]:
        """Places of the strong and the weak model."""

    @property
    def embedding_width(self) -> int | None:
        """Numbers of the user's embeddings; None where none are needed."""

    @property
    def width(self) -> int:
        """Numbers of an embedding after its projection."""

    @property
    def quantiles(self) -> list[float]:
        """100 quantiles of the held-out win rates, rising."""

    @property
    def card(self) -> str:
        """The card, as JSON."""

    def with_card(self, card: str) -> FittedModel:
        """The same model with another card."""

    def win_rate(self, text: str, embedding: NDArray[np.float32] | None = None) -> float:
        """The strong model's win rate, 0..=1; ``embedding`` is ``[d]``."""

    def explain(
        self, text: str, embedding: NDArray[np.float32] | None = None, limit: int = 10
    ) -> list[tuple[str, float]]:
        """The largest terms of a win rate, ``(name, part)``; positive ones speak for the strong model.

        Parts are in units of the logit around a win rate of one half. Empty where neighbours decide. ``embedding`` is
        ``[d]``.
        """

    def scores(
        self, texts: list[str], embeddings: NDArray[np.float32] | None = None, threads: int | None = None
    ) -> NDArray[np.float64]:
        """Expected scores ``[n, m]``, not cut to 0..=1; ``embeddings`` are ``[n, d]``."""

    def win_rates(
        self, texts: list[str], embeddings: NDArray[np.float32] | None = None, threads: int | None = None
    ) -> NDArray[np.float64]:
        """Win rates ``[n]``, 0..=1, the interpreter lock released; ``embeddings`` are ``[n, d]``."""

    def with_model(
        self, name: str, features: NDArray[np.float32], logits: NDArray[np.float64], outcomes: NDArray[np.float64]
    ) -> FittedModel:
        """The same router with one more model, fitted on outcomes ``[n]`` of it alone."""

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The user's embeddings ``[n, d]`` as the design takes them, ``[n, k]``."""

@final
class MfTrainer:
    """A matrix factorisation in training: weights, and what Adam remembers of its steps.

    The model is RouteLLM's (Ong et al. 2024, arXiv:2406.18665), Adam that of Kingma and Ba 2015, arXiv:1412.6980, with
    weight decay added to the gradient. Losses are means of ``-ln(probability given to the winner)``. Random weights are
    drawn as torch draws them. `x` is always embeddings ``[prompts, text_dim]`` of any number type and layout, read
    where they lie; battles are int64 ``[n, 3]``: rows of the winner, the loser and the prompt. The same arguments give
    the same weights, bit for bit, with any number of threads.

    Args:
        dim: Numbers in a model's row.
        num_models: Rows of the table.
        text_dim: Numbers in an embedding.
        use_proj: Whether embeddings are projected to `dim`; without, both are equal.
        seed: Decides the weights.

    Raises:
        InvalidValueError: A size of 0, or one that does not fit into memory.
    """

    def __new__(cls, dim: int, num_models: int, text_dim: int, use_proj: bool = True, seed: int = 42) -> Self: ...
    def restart(self) -> None:
        """Forgets what Adam remembers; the weights stay."""

    @staticmethod
    def of(model: MfModel) -> MfTrainer:
        """Goes on from the weights of a model; what Adam remembers starts empty."""

    def model(self) -> MfModel:
        """The model as it is now."""

    def fit(
        self,
        x: Any,
        train: NDArray[np.int64],
        held_out: NDArray[np.int64],
        *,
        epochs: int,
        patience: int | None = None,
        batch_size: int = 64,
        lr: float = 3e-4,
        weight_decay: float = 1e-5,
        alpha: float = 0.1,
        shuffle: bool = True,
        seed: int = 42,
        threads: int | None = None,
        on_epoch: Callable[[int, float, _Judged | None], object] | None = None,
    ) -> tuple[list[tuple[int, float, _Judged | None]], int, _Judged | None]:
        """Trains for up to `epochs` passes and keeps the weights with the smallest held-out loss.

        Ctrl-C, and what any other handler of a signal raises, ends it within an epoch; the weights are then those of
        that moment.

        Args:
            x: Embeddings, ``[n, text_dim]``.
            train: Battles to train on, ``[battles, 3]``: winner, loser and row of the prompt.
            held_out: Battles to judge by; with none, all epochs are made and the last is kept.
            epochs: Passes at most.
            patience: Ends after so many epochs without a smaller held-out loss.
            batch_size: Battles in a batch.
            lr: Learning rate of Adam.
            weight_decay: Of Adam.
            alpha: Standard deviation of the normal noise on each number of an embedding.
            shuffle: Whether each epoch has an order of its own.
            seed: Decides orders and noise.
            threads: At most so many.
            on_epoch: Called after each epoch with its number, its training loss, and loss, number called right and
                number of the held-out battles; what it raises ends the training and comes out here.

        Returns:
            What `on_epoch` heard, the number of the epoch kept, and the held-out battles judged by each model's
            strength alone.

        Raises:
            InvalidValueError: No battles, settings that cannot be, NaN, or a loss that is no number any more.
            UnknownNameError: A row that does not exist.
        """

    def epoch(
        self,
        x: Any,
        battles: NDArray[np.int64],
        *,
        batch_size: int = 64,
        lr: float = 3e-4,
        weight_decay: float = 1e-5,
        alpha: float = 0.1,
        shuffle: bool = True,
        seed: int = 42,
        threads: int | None = None,
    ) -> float:
        """One pass over the battles ``[battles, 3]``; their mean loss, with noise."""

    def evaluate(self, x: Any, battles: NDArray[np.int64], threads: int | None = None) -> _Judged:
        """Mean loss without noise, number called right, and number of battles ``[battles, 3]``."""

def read_matrix(path: str | os.PathLike[str], column: str | None = None) -> NDArray[np.float32]:
    """Embeddings ``[n, d]`` of a Parquet, Arrow, JSONL or npy file.

    `column` holds lists of numbers of one length; None: ``embeddings``, ``embedding``, or the only such column.

    Raises:
        MissingFileError: There is no such file.
        InvalidValueError: It is not of its format, rows differ in width, or a number is missing or not finite.
    """

def split_battles(
    battles: NDArray[np.int64], share: float, seed: int = 42
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parts battles ``[battles, 3]`` at random; returns `share` of them and the rest, each ``[k, 3]``.

    All battles of a prompt are on one side.
    """

# --- parquet_writer.rs ---
@final
class ParquetWriter:
    """A Parquet file that is written as the rows come, in row groups; it gets its name when it is complete.

    As a context manager it is finished at the end of the block, and forgotten when the block raises.

    Args:
        path: The file.
        columns: Name -> ``"text"`` (strings or None), ``"number"`` (float64), ``"whole"`` (int64) or ``"vector"``
            (float32 lists of one length).

    Raises:
        InvalidValueError: No columns, or another kind.
        UnreadableFileError: The file cannot be made.
    """

    def __new__(cls, path: str | os.PathLike[str], columns: dict[str, str]) -> Self: ...
    @property
    def rows(self) -> int:
        """Rows so far."""

    def write(self, values: Sequence[Any]) -> None:
        """Adds rows: a list or array for each column, all of one length (vectors ``[n, d]``)."""

    def finish(self) -> None:
        """Completes the file and gives it its name."""

    def close(self) -> None:
        """Forgets a table that is not finished; nothing of it stays."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: object, _value: object, _trace: object) -> None: ...

def write_columns(path: str | os.PathLike[str], columns: dict[str, Any]) -> None:
    """Writes a Parquet file of columns: lists of strings or None, arrays ``[n]`` of numbers, arrays ``[n, d]``."""

# --- semantic.rs ---

@final
class SemanticModel:
    """Semantic routes and their thresholds; immutable, and usable from several threads at once.

    `ferroute.routers.semantic.SemanticRouter` says how similarities are computed, and after whom.

    Args:
        routes: Name, rung or ``router-...`` and utterances of each.
        otherwise: Rung or ``router-...`` of a text that is near none.
        vectors: Embeddings of all utterances, ``[utterances, width]``; None: those of the embedded table.
        ordinary: Embeddings of `semantic_ordinary_texts`, ``[n, width]``.

    Raises:
        InvalidValueError: A route has no utterance, or a vector does not fit; the message says which.
    """

    def __new__(
        cls,
        routes: Sequence[tuple[str, str, Sequence[str]]],
        otherwise: str,
        vectors: Any | None = None,
        ordinary: Any | None = None,
    ) -> Self: ...
    @property
    def thresholds(self) -> list[float]:
        """The similarity each route needs."""
    @property
    def width(self) -> int:
        """Numbers in a vector."""
    def choose(self, request: Request) -> Verdict:
        """The verdict on the text of the last message, by the embedded table."""
    def choose_vector(self, vector: Any) -> Verdict:
        """The verdict on a text with this embedding, ``[width]``."""
    def verdict(self, similarities: Sequence[float]) -> Verdict:
        """The verdict on a text with these similarities."""
    def similarities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Similarities -1..=1, ``[texts, routes]``, by the embedded table, on all cores."""
    def similarities_of(self, vectors: Any) -> NDArray[np.float64]:
        """Similarities -1..=1, ``[n, routes]``, of embeddings ``[n, width]``."""
    def with_thresholds(self, thresholds: Sequence[float]) -> SemanticModel:
        """The same routes with other thresholds."""
    def fitted(self, similarities: Sequence[float], labels: Sequence[int | None]) -> SemanticModel:
        """The same routes, thresholds fitted to similarities in C order and the right route of each row."""
    def judged(self, similarities: Sequence[float], labels: Sequence[int | None]) -> list[tuple[int, int, int]]:
        """Examples, texts sent there and right ones of each route, then of "none"."""

def semantic_ordinary_texts() -> list[str]:
    """Texts of no route in particular, which every embedder's similarities are measured against."""

# --- sw.rs ---
def bradley_terry(
    a: NDArray[np.uint32],
    b: NDArray[np.uint32],
    winners: NDArray[np.uint8],
    labels: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Ratings ``[labels]`` of labels from comparisons ``[n]`` of ``a`` with ``b``, in units of the logit.

    By maximum likelihood in the model of Bradley and Terry 1952. A comparison counts twice: two wins, or one for each
    side. A label against itself is compared with zero, as in RouteLLM. Where only differences are determined, ratings
    sum to 0; where a label never lost (or won), a ridge of 1e-6 keeps its group finite.

    Args:
        a: First side of each comparison, contiguous.
        b: Second side.
        winners: 0 for ``a``, 1 for ``b``, 2 for a tie.
        labels: Number of labels.
        weights: Of each comparison, not negative; None: 1.

    Raises:
        InvalidValueError: Lengths differ, a label or winner is out of range, or weights are negative or not finite.
    """

def cut_tiers(ratings: Sequence[float], num_tiers: int) -> list[int]:
    """The tier of each of ``ratings``, falling: runs with the smallest sum of variances as in RouteLLM, 0 the best.

    Raises:
        InvalidValueError: ``num_tiers`` is below 1.
    """

def hash_of_file(path: str | os.PathLike[str]) -> str:
    """Hash (xxh3, 128 bits) of a file's whole content."""

def sw_weightings(similarities: NDArray[np.float64]) -> NDArray[np.float64]:
    """``10 * 10 ** (s / max s)`` of contiguous similarities ``[n]``, RouteLLM's law: float64 ``[n]``."""

@final
class SwRanking:
    """Battles, ratings and tiers of their models, and the embeddings of their prompts.

    Args:
        battles: Tables with ``model_a``, ``model_b``, ``prompt``, ``winner_model_a``, ``winner_model_b``.
        embeddings: One row for each battle that is kept: ``.npy``, or list columns of Parquet, Arrow, JSONL.
        num_tiers: How many tiers the ratings are cut into.
        column: Name of the list column; None: ``embeddings``, ``embedding``, or the only one.
        model2tier: Tier of each model instead.
        threads: For reading; None: one for each processor.

    Raises:
        InvalidValueError: Files do not fit, or there is not one embedding for each battle that is kept.
    """

    def __new__(
        cls,
        battles: Sequence[str | os.PathLike[str]],
        embeddings: Sequence[str | os.PathLike[str]],
        num_tiers: int,
        *,
        column: str | None = None,
        model2tier: Mapping[str, int] | None = None,
        threads: int | None = None,
    ) -> Self: ...
    @staticmethod
    def open(path: str | os.PathLike[str]) -> tuple[SwRanking, str]:
        """A saved index, its embeddings mapped, and the ``sources`` it was saved with."""

    def save(self, path: str | os.PathLike[str], sources: str) -> None:
        """Writes the index, completely or not at all."""

    @property
    def digest(self) -> str:
        """Hash of battles, ratings, tiers and the norms of the embeddings."""
    def __len__(self) -> int: ...
    @property
    def dim(self) -> int:
        """Numbers in an embedding."""
    @property
    def total(self) -> int:
        """Number of battles before short prompts were left out."""
    @property
    def num_tiers(self) -> int:
        """The number of tiers asked for."""
    @property
    def used_tiers(self) -> list[int]:
        """The tiers that have models, ascending: the order of `tier_ratings`."""
    def models(self) -> list[tuple[str, float, int]]:
        """Name, rating and tier of each model, the best first."""

    def arena(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint32]]:
        """Of each battle, ``[n]``: tier of both sides, winner (0, 1, 2), place among all battles."""

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """The stored embeddings ``[n, dim]``, read-only, not copied."""
    def similarities(self, vector: Any, threads: int | None = None) -> NDArray[np.float64]:
        """Cosine similarity with each battle, ``[n]``, -1..=1."""

    def similarities_of_row(self, x: Any, row: int, threads: int | None = None) -> NDArray[np.float64]:
        """The same for a row of ``[n, dim]``, which errors name."""

    def tier_ratings(self, vector: Any, threads: int | None = None) -> NDArray[np.float64]:
        """Elo of `used_tiers`, ``[tiers]``, with the battles weighed for this embedding ``[dim]``."""

    def tier_ratings_of_weights(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Elo of `used_tiers`, ``[tiers]``, with battles of these weights ``[n]``."""

    def win_rate(self, vector: Any, strong: int, weak: int, threads: int | None = None) -> float:
        """Win rate, 0..=1, of tier ``strong`` over ``weak`` for one embedding ``[dim]``.

        By the logistic law of Elo, 400 points being a factor of 10 in the odds, as in RouteLLM.
        """

    def win_rate_of_weights(self, weights: NDArray[np.float64], strong: int, weak: int) -> float:
        """The same for weights of the battles, ``[n]``."""

    def win_rates(self, x: Any, strong: int, weak: int, threads: int | None = None) -> NDArray[np.float64]:
        """Win rates of many embeddings ``[n, dim]``, within 1e-7 of `win_rate`."""

# --- task.rs ---

def guess_task(text: str) -> tuple[str, str, float] | None:
    """Task, tier and confidence of a prompt; None when that is not sure enough (see `ferroute.tasks.guess_task`)."""

def task_names() -> list[tuple[str, str]]:
    """Every task with its tier, cheap ones first."""

def task_aliases() -> list[tuple[str, str]]:
    """Short names of tasks, and what each stands for."""

def task_alias(name: str) -> str | None:
    """The full name of a task given by its full or short name in any case; None for any other."""

def task_cues(text: str) -> list[tuple[list[int], list[int], list[float]] | None]:
    """What the guess reads in a prompt, for ``scripts/train_tasks.py``.

    Returns:
        Two readings, with the instruction at the prompt's beginning and at its end; None where it cannot be. Of each
        the keys of the instruction's words and pairs of words, as often as they occur; those of the material's words;
        and the numbers beside them: two embeddings, the lexical features, the shape.
    """

def guess_language(text: str) -> str | None:
    """The language of most of a text's first kilobyte as ISO 639-1 (``"en"``); None when that is not sure enough."""

# --- ledger.rs ---
# Calls, their effective number, the share that passes, and the ends of its interval.
_Rate: TypeAlias = tuple[int, float, float, float, float]
_Filter: TypeAlias = tuple[int | None, int | None, str | None, str | None]

@final
class Ledger:
    """A book of calls; `ferroute.ledger.Ledger` is its face.

    Args:
        url: ``memory:``, ``sqlite:///path`` or ``postgresql://...``.
        store: What is kept of texts: ``none``, ``features`` or ``text``.
        create: Whether a missing file is made.
    """

    def __new__(cls, url: str, store: str = "features", create: bool = True) -> Self: ...
    @property
    def url(self) -> str:
        """Where it is kept, without a password."""
    @property
    def in_memory(self) -> bool:
        """Whether it ends with the process."""
    @property
    def lost(self) -> int:
        """Calls that could not be kept."""
    def answer_tokens(self, model: str) -> float | None:
        """Mean completion tokens of the model's last answers; None below 20 of them."""
    def add(
        self,
        model: str,
        *,
        prompt_tokens: int,
        completion_tokens: int,
        cached_tokens: int,
        cache_write_tokens: int,
        reasoning_tokens: int,
        estimated: bool,
        cost: Decimal | float | str | None,
        router_cost: Decimal | float | str | None,
        baseline: Decimal | float | str | None,
        ttft_ms: float | None,
        total_ms: float,
        outcome: str,
        error: str | None,
        attempts: int,
        router: str | None,
        requested: str | None,
        tier: str | None,
        win_rate: float | None,
        threshold: float | None,
        holdout: bool,
        session: str | None,
        key: str | None,
        text: str | None,
        at: float | None,
        task: str | None,
        tags: Sequence[tuple[str, str]],
        signs: Sequence[str] | None,
        response: str | None,
    ) -> None:
        """Enters a call; never waits for the store. Money in US dollars, ``at`` in seconds since 1970."""

    def add_outcome(
        self,
        response: str | None,
        call: int | None,
        *,
        score: float,
        source: str,
        model: str | None,
        probability: float | None,
        at: float | None,
        began_by: float | None,
    ) -> None:
        """Enters the score of an answer, by the provider's id of it or by the id of the call."""

    def mark_drawn(self, response: str, probability: float, began_by: float) -> None:
        """Notes that a call was drawn for a shadow; ``began_by`` as for `add_outcome`."""

    def drawn(self, response: str) -> float | None:
        """With which probability the last call with this id of a response was drawn for a shadow."""

    def outcomes(self, wanted: _Filter, tags: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
        """Scores with their calls, a list for each column; of the same call, source and model the latest.

        ``wanted`` is since and until (microseconds since 1970, UTC), router and model, None for any.
        """

    def accuracy(
        self, wanted: _Filter, *, passing: float, strong: str | None, weak: str | None
    ) -> list[tuple[str, _Rate | None, _Rate | None, int]]:
        """What each source says of the router: weak-routed calls that passed, strong-routed that weak passes for.

        ``passing`` is the score from which on an answer counts, 0..=1; rates are as in `ferroute.spend.Rate`.
        """

    def flush(self, timeout: float) -> None:
        """Waits until everything entered so far is in the store, ``timeout`` seconds at most.

        Raises:
            UnreadableFileError: That takes longer, or the store refuses.
        """

    def close(self, timeout: float) -> None:
        """As `flush`, then lets go of the store."""

    def spend(self, wanted: _Filter) -> dict[str, Any]:
        """Sums of the calls of a time (microseconds), router and model; money in picodollars."""

    def failures(self, wanted: _Filter) -> tuple[list[dict[str, Any]], int]:
        """Answers with signs of failure: a line for each rung and kind of task; how many calls memory has forgotten."""

    def calls(self, wanted: _Filter, most: int | None = None) -> dict[str, list[Any]]:
        """The calls themselves, a list for each column; money in picodollars."""

def ledger_features(packed: bytes) -> tuple[list[float], list[float]] | None:
    """Embedding ``[64]`` and lexical features ``[42]`` of a call's ``features``; None for another version."""

def ledger_flush_all(timeout: float) -> None:
    """Waits until every ledger of this process has what was entered so far, ``timeout`` seconds at most.

    Raises:
        UnreadableFileError: One has not; the message says how many calls are missing, and why the first one failed.
    """

def ledger_hold_all(timeout: float) -> None:
    """Closes the connections of every ledger, before a fork; waits ``timeout`` seconds at most for what is written."""

def ledger_release_all() -> None:
    """Lets them be opened again."""

@final
class GatewayConfig:
    """A configuration of the server without mistakes; `read_gateway_config` makes them."""

    @property
    def notes(self) -> list[str]:
        """What was not taken over from LiteLLM's, and the like."""

    @property
    def routers_only(self) -> bool:
        """Whether it is RouteLLM's own: arguments of routers and nothing else."""

    def plain(self) -> str:
        """All of it as JSON, with what secrets stand for: not to be shown."""

    def shown(self) -> str:
        """The same as it may be shown: secrets by their references."""

    def place(self, way: str) -> tuple[int, int] | None:
        """Line and column of a part of the file, such as ``policies[0].budget``; None where there is none."""

def read_gateway_config(
    text: str, name: str, folder: str | os.PathLike[str]
) -> tuple[GatewayConfig | None, list[tuple[int | None, int | None, str, str]]]:
    """The configuration of a file's text, or all that is wrong with it: line, column, the way to it, and what.

    Args:
        text: YAML.
        name: the file's, for messages.
        folder: where relative paths of secrets begin.
    """

def gateway_schema() -> str:
    """The JSON schema of configurations."""

def provider_keys() -> list[tuple[str, list[str]]]:
    """Providers that have an address of their own, and the variables that may hold their key, in the order tried."""

@final
class GatewaySetup:
    """What a server serves with: given to one `Gateway`, once.

    Args:
        ladder: names of the rungs, weakest first.
        clients: name and client of each rung's model, weakest first; in the place of a client, why there is none.
        like: has policy and ledger for what has no client; its endpoint is never asked.
        deciding: routers and how they are asked, as `ferroute._gateway_deciding.described` tells; None: `random` alone.
        models: more that may be asked for by name.
        aliases: another name, and what it stands for.
        open_models: whether any model may be asked for whose provider's key is in the environment.
        door: keys, policies and limits; None: everybody may do everything.
    """

    def __new__(
        cls,
        ladder: Ladder,
        clients: Sequence[tuple[str, Client | str]],
        *,
        like: Client,
        models: Sequence[tuple[str, Client | str]] = ...,
        deciding: dict[str, Any] | None = None,
        aliases: Sequence[tuple[str, str]] = ...,
        open_models: bool = False,
        door: GatewayDoor | None = None,
    ) -> GatewaySetup: ...

@final
class Keys:
    """The keys of callers, in a ledger's database. What it is told and what it tells is JSON."""

    def __new__(cls, url: str, create: bool = True) -> Keys: ...
    @property
    def url(self) -> str:
        """Where they are kept, without the password."""

    @staticmethod
    def check(new: str) -> None:
        """Whether a key like this can be made."""

    def create(self, new: str) -> tuple[str, str]:
        """Makes a key; returns its secret, which nobody can give again, and what is known of it."""

    def list(self) -> str:
        """All keys, oldest first."""

    def show(self, name: str) -> str:
        """One key, by id or name."""

    def revoke(self, name: str) -> str:
        """Ends a key.

        Returns:
            The key's id.
        """

@final
class Bank:
    """The money of budgets, in a ledger's database; one for all setups of a server."""

    def __new__(cls, url: str) -> Bank: ...
    def close(self, limit: float = 5.0) -> None:
        """Gives back what is lent, after the last call; ``limit`` is the seconds that this may take."""

@final
class GatewayDoor:
    """What stands before the models: keys, policies, names and limits. Usable for any number of setups.

    Args:
        policies: a JSON list of policies, as in the configuration.
        config: a configuration whose policies hold as well.
        bank: the money of budgets, where there are any.
        keys: the keys that callers may have.
        required: whether callers need one.
        admin: the secret of the key that makes and revokes keys.
        hosts: names it may be called by without a key, beside ``localhost``; ``*`` for any.
        cors: origins whose pages may ask and read answers; ``*`` for any.
        public: whether it may listen on other addresses than this machine's though no key is required.
        max_body: the largest body, in megabytes. None, here and below: what is usual.
        max_connections: at the same time; more wait until one ends.
        header_timeout: seconds in which the head of a request has to come.
        body_timeout: seconds in which a body has to come.
        idle_timeout: seconds that a connection may wait for its next request.
        write_timeout: seconds that a caller may take nothing of an answer.

    Raises:
        InvalidValueError: Something makes no sense.
    """

    def __new__(
        cls,
        policies: str = "[]",
        *,
        config: GatewayConfig | None = None,
        bank: Bank | None = None,
        keys: Keys | None = None,
        required: bool = False,
        admin: str | None = None,
        hosts: Sequence[str] = ...,
        cors: Sequence[str] = ...,
        public: bool = False,
        max_body: float | None = None,
        max_connections: int | None = None,
        header_timeout: float | None = None,
        body_timeout: float | None = None,
        idle_timeout: float | None = None,
        write_timeout: float | None = None,
    ) -> GatewayDoor: ...

@final
class GatewaySeeing:
    """Metrics, traces and logs of a server; outlives its reloads.

    Numbers are in Prometheus' text format, traces go out by OpenTelemetry's protocol (OTLP over HTTP), and where a
    request stands in one is said by the header ``traceparent`` of W3C Trace Context.

    Args:
        metrics: whether there are numbers to scrape at ``/metrics``.
        logs: ``off``, ``text`` or ``json``: lines on stderr, without prompts and secrets.
        verbose: as text, requests that went well have lines as well; as JSON they have them anyway.
        otlp: base URL of a collector of traces, such as ``http://127.0.0.1:4318``.
        otlp_headers: headers it is sent.
        sample: the part of traces that is sent, 0..=1, where the caller's ``traceparent`` does not say.
        told: asked for more numbers, by names as Prometheus has them, at most every five seconds.
    """

    def __new__(
        cls,
        *,
        metrics: bool = True,
        logs: str = "off",
        verbose: bool = False,
        otlp: str | None = None,
        otlp_headers: dict[str, str] | None = None,
        sample: float = 1.0,
        told: Callable[[], dict[str, float]] | None = None,
    ) -> GatewaySeeing: ...
    def say(self, level: str, event: str, message: str) -> None:
        """Writes a line on what happens to the server; the level is ``info``, ``warning`` or ``error``."""

@final
class GatewayPage:
    """The page ``/ui`` of one `Gateway`.

    Args:
        ledger: whose calls it shows.
        rungs: name, where there are more than two, and model of each rung, weakest first.
        routers: their names.
        models: names of models that may be asked for besides.
        config: the configuration's file.
        keys: whether callers need a key.
        experiments: says what is being tried out, as a JSON list.
    """

    def __new__(
        cls,
        ledger: Ledger | None = None,
        *,
        rungs: Sequence[tuple[str | None, str]] = ...,
        routers: Sequence[str] = ...,
        models: Sequence[str] = ...,
        config: str | None = None,
        keys: bool = False,
        experiments: Callable[[], str] | None = None,
    ) -> GatewayPage: ...
    def renew(
        self,
        ledger: Ledger | None = None,
        *,
        rungs: Sequence[tuple[str | None, str]] = ...,
        routers: Sequence[str] = ...,
        models: Sequence[str] = ...,
        config: str | None = None,
        keys: bool = False,
        experiments: Callable[[], str] | None = None,
    ) -> None:
        """The configuration was loaded again."""

    def refused(self, why: str) -> None:
        """A changed configuration was not taken."""

@final
class GatewayBody:
    """The body of an answer. Whoever drops or closes it ends what the answer is made of."""

    def next(self) -> Awaitable[bytes | None]:
        """The next piece; None at the end. Cancelling it ends what the answer is made of."""

    def close(self) -> None:
        """Ends it; a piece that is being waited for has to be cancelled before."""

@final
class Gateway:
    """The server; `ferroute.gateway.Gateway` is its face."""

    def __new__(
        cls, setup: GatewaySetup, *, page: GatewayPage | None = None, seeing: GatewaySeeing | None = None
    ) -> Gateway: ...
    def handle(
        self, method: str, target: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Awaitable[tuple[int, list[tuple[bytes, bytes]], GatewayBody]]:
        """Answers a request that another server has read, from within a running loop.

        Args:
            method: such as ``POST``.
            target: path and query.
            headers: names and values.
            body: all of it.

        Returns:
            Status, headers and body, once awaited.
        """
    def swap(self, setup: GatewaySetup) -> None:
        """Replaces everything at once; requests under way go on with what they began with."""

    def bind(self, host: str, port: int, workers: int | None = None) -> tuple[str, int]:
        """Takes the port, 0 for any, and says where; callers wait until `serve`.

        Returns:
            Address and port.
        """

    def serve(self, drain: float = 30.0) -> None:
        """Serves until `stop`, or until a signal handler raises; what runs then has so many seconds to end."""

    def stop(self, now: bool = False) -> None:
        """Takes no new connections and lets what runs end; with ``now``, ends at once."""
