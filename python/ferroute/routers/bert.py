"""RouteLLM's BERT classifier: a prompt in, the probabilities of "strong wins", "tie" and "weak wins" out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._hub import portable, resolve_model
from ferroute.routers.base import Router, built_in, check_text, checked_texts, no_parallel, scores_itself

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BERTModel", "BERTRouter", "BERTTokenizer"]

_FILES = ("config.json", "tokenizer.json")
_OPTIONAL = ("tokenizer_config.json", "special_tokens_map.json")


class BERTTokenizer:
    """The tokenizer of a checkpoint: ``tokenizer(text)`` gives the ids that the network is given.

    Special tokens are put around the text, those written in it become their ids, and it is cut to `model_max_length`.
    """

    def __init__(self, core: _core.BertModel) -> None:
        self._core = core

    def __call__(self, text: str) -> list[int]:
        """Token ids of a text."""
        check_text(text)
        return self._core.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included.

        Args:
            ids: Token ids, ``[n]``.
        """
        return self._core.decode(list(ids))

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """The id of a token; None where the vocabulary does not have it.

        Args:
            token: The token.
        """
        return self._core.token_to_id(token)

    @property
    def model_max_length(self) -> int | None:
        """Longest list of ids, as ``tokenizer_config.json`` says; None: texts are not cut."""
        return self._core.max_length

    def __len__(self) -> int:
        return self._core.vocabulary

    def __repr__(self) -> str:
        return f"<BERTTokenizer {len(self):,} tokens, model_max_length {self.model_max_length}>"


class BERTModel:
    """The network of a checkpoint: ``model(ids)`` gives the logits of one sequence of token ids."""

    def __init__(self, core: _core.BertModel) -> None:
        self._core = core

    def __call__(
        self, ids: Sequence[int], token_types: Sequence[int] | None = None, *, threads: int | None = None
    ) -> NDArray[np.float32]:
        """Logits, float32 ``[num_labels]``.

        Args:
            ids: Token ids of one sequence, special tokens included.
            token_types: Segment of each id; None: all 0. RoBERTa has none and ignores them.
            threads: How many to use; None: one for each processor.

        Raises:
            ValueError: No ids, more than the model has positions for, or ids outside its tables.
        """
        return self._core.logits_of_ids(list(ids), None if token_types is None else list(token_types), threads)

    @property
    def num_labels(self) -> int:
        """Length of the logits."""
        return self._core.num_labels

    def __repr__(self) -> str:
        core = self._core
        return (
            f"<BERTModel {core.model_type}, {core.layers} layers, hidden size {core.hidden}, {core.heads} heads, "
            f"{core.num_labels} labels>"
        )


@built_in
@no_parallel
class BERTRouter(Router):
    """RouteLLM's BERT classifier (Ong et al. 2024, arXiv:2406.18665, section 4.2), in Rust on the CPU.

    The win rate is one minus the probability of the last two of the classes "strong wins", "tie" and "weak wins".
    Checkpoints are BERT, RoBERTa and XLM-RoBERTa sequence classifiers as transformers saves them; the table of word
    embeddings stays in the file, so that memory is that of the layers.

    Args:
        checkpoint_path: Folder with ``config.json``, ``model.safetensors`` (or its index and parts) and
            ``tokenizer.json``, or a Hub name such as ``routellm/bert_gpt4_augmented``.
        num_labels: Classes of the checkpoint, at least 3.
        threads: How many to use; None: one for each processor.

    Attributes:
        model: ``model(ids)`` gives logits.
        tokenizer: ``tokenizer(text)`` gives ids.
        threads: As given; may be changed.

    Raises:
        MissingFileError: A file is not there; for a checkpoint of torch's own format the message gives the command that
            converts it.
        CheckpointError: The checkpoint does not fit; the message names the tensor or entry.
        NotBuiltError: Another architecture, or an option of this one that does not run.
    """

    def __init__(
        self, checkpoint_path: str | os.PathLike[str], num_labels: int = 3, *, threads: int | None = None
    ) -> None:
        self._start({"checkpoint_path": portable(checkpoint_path), "num_labels": num_labels, "threads": threads})

    def _start(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        folder = resolve_model(self.checkpoint_path, _FILES, optional=_OPTIONAL)
        self._core = _core.BertModel(folder, self.num_labels)
        self.model = BERTModel(self._core)
        self.tokenizer = BERTTokenizer(self._core)

    if TYPE_CHECKING:
        checkpoint_path: str | os.PathLike[str]
        num_labels: int
        threads: int | None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in {"_core", "model", "tokenizer"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state)

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model, 0..=1.

        Args:
            prompt: The text to route.

        Raises:
            InvalidTypeError: ``prompt`` is no string.
            InvalidValueError: It has more tokens than the model has positions, and the tokenizer does not cut it.
        """
        check_text(prompt)
        return self._core.win_rate(prompt, self.threads)

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """Win rates of many prompts, float64 ``[n]``: the same bits as one by one.

        Prompts of similar length share a pass, without padding. ``progress`` is called with the number newly done.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not scores_itself(self, BERTRouter):
            return super().calculate_strong_win_rates(prompts, progress)
        return self._core.win_rates(checked_texts(prompts), self.threads, progress)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the network says of each text before the softmax, float32 ``[n, num_labels]``.

        Args:
            texts: The texts, ``[n]``.
        """
        return self._core.logits(checked_texts(texts), self.threads)

    def __repr__(self) -> str:
        core = self._core
        return (
            f"<BERTRouter {str(self.checkpoint_path)!r}: {core.model_type}, {core.layers} layers, hidden size "
            f"{core.hidden}, {core.num_labels} labels, at most {core.most_tokens} tokens>"
        )
