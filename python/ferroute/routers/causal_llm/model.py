"""The classifier: renders a chat, lets the model continue it, reads the label it gives."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._hub import portable
from ferroute.errors import InvalidValueError
from ferroute.routers.causal_llm.configs import LabelError, ModelTypeEnum, RouterModelConfig
from ferroute.routers.causal_llm.llm_utils import Tokenizer, get_model

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ferroute.routers.causal_llm.prompt_format import PromptFormat

Row = dict[str, Any]

_SCORE = re.compile(r"\[\[([\d.]+)\]\]")


class CausalLLMClassifier:
    """A language model that predicts a score, 1 to 5: how well the weak model would answer.

    RouteLLM's class of this name (Ong et al. 2024, arXiv:2406.18665), on the core in the place of torch.

    Args:
        config: Base model and label tokens.
        ckpt_local_path: Folder or Hub name of the checkpoint.
        prompt_format: How a chat is written out.
        score_threshold: Labels from here on speak for the weak model; always ``num_outputs - 1``.
        prompt_field: Where a row has its messages.
        use_last_turn: Whether the last message is part of the prompt.
        additional_fields: Fields of a row that are kept.
        max_new_tokens: Tokens generated at most; the first label among them counts.
        precision: ``"f32"``, or ``"bf16"`` to round activations as the original does (faster).
        threads: How many to use; None: one for each processor.

    Raises:
        ValueError: Settings that do not fit each other; the message says which.
        CheckpointError: The checkpoint does not fit; the message names the tensor.
    """

    def __init__(
        self,
        config: RouterModelConfig,
        ckpt_local_path: str | os.PathLike[str],
        prompt_format: PromptFormat,
        score_threshold: int,
        prompt_field: str = "messages",
        use_last_turn: bool = False,
        additional_fields: Iterable[str] = ("label", "pidx"),
        max_new_tokens: int = 6,
        *,
        precision: str = "f32",
        threads: int | None = None,
    ) -> None:
        check_labels(config, score_threshold)
        self.config = dataclasses.replace(config, model_id=str(portable(config.model_id)))
        self.prompt_format = prompt_format
        self.score_threshold = score_threshold
        self.prompt_field = prompt_field
        self.use_last_turn = use_last_turn
        self.additinal_fields = list(additional_fields)
        self.max_new_tokens = max_new_tokens
        self.precision = precision
        self.threads = threads
        self._checkpoint = portable(ckpt_local_path)
        self.prompt: _core.CausalPrompt | None = None
        self._shared: tuple[str, str] | None = None
        print(f"Loading model checkpoint from {ckpt_local_path} ...")  # noqa: T201 - what RouteLLM users see
        start = time.time()
        self._open()
        print(f"Done loading model in {time.time() - start} seconds.")  # noqa: T201

    def _open(self) -> None:
        self.model = get_model(
            self.config,
            self._checkpoint,
            precision=self.precision,
            threads=self.threads,
            max_new_tokens=self.max_new_tokens,
        )
        self.tokenizer = Tokenizer(self.model.tokenizer, self.model.tokenizer_folder)
        self.orig_vocab_size = self.model.first_label

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in {"model", "tokenizer", "prompt"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.prompt = None
        self._open()
        if self._shared is not None:
            self.share(*self._shared)

    def share(self, system_message: str, classifier_message: str) -> None:
        """From now on, computes what all prompts of this form begin with only once, and knows them for `scores_of`.

        Args:
            system_message: The system message of the prompt form.
            classifier_message: The message that the question is put into.
        """
        self.prompt = written_prompt(self.prompt_format, system_message, classifier_message)
        if self.prompt is not None:
            self.model.share(self.prompt)
            self._shared = (system_message, classifier_message)

    def preprocess(self, row: Mapping[str, Any]) -> Row:
        """The row's additional fields and ``input_ids``, int64 ``[n]``.

        Args:
            row: A row with ``messages``.
        """
        import numpy as np

        data: Row = {name: row[name] for name in self.additinal_fields}
        messages = row[self.prompt_field]
        text = self.prompt_format.generate_prompt(messages if self.use_last_turn else messages[:-1])
        data["input_ids"] = np.array(self.tokenizer.encode(text), dtype=np.int64)
        return data

    def __call__(self, row: Mapping[str, Any]) -> Row | None:
        """Scores one chat.

        Returns:
            None without a label, else the row with ``output_ids`` (int64, up to the label), ``score_logits`` and
            ``softmax_scores`` (float32, from the first label to the end of the vocabulary), ``binary_prob``,
            ``output_tokens``, ``output_str``, ``score_pred``.
        """
        data = self.preprocess(row)
        output_ids, logits = self.model.answer([int(i) for i in data["input_ids"]])
        return self._finish(data, output_ids, logits)

    def scores_of(
        self, questions: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[float | None]:
        """``binary_prob`` of many questions in the shared prompt, None where there is no label; as one by one.

        Args:
            questions: The texts to score, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.

        Raises:
            InvalidValueError: No messages were shared before.
        """
        if self.prompt is None:
            raise InvalidValueError("expected the messages to be shared first, found none")
        answers = self.model.answers(self.prompt, list(questions), progress)
        rows = [self._finish({"input_ids": None}, *answer) for answer in answers]
        return [None if row is None else row["binary_prob"] for row in rows]

    def _finish(self, row: Row, output_ids: list[int], logits: NDArray[np.float32] | None) -> Row | None:
        import numpy as np

        row["output_ids"] = np.array(output_ids, dtype=np.int64)
        if logits is None:
            return None
        row["score_logits"] = logits
        row["binary_prob"], row["softmax_scores"] = self.compute_routing_prob(logits)
        return self.postprocess(row)

    def compute_routing_prob(self, score_logits: Any) -> tuple[float, NDArray[np.float32]]:
        """Probability that the weak model is good enough, and that of each label: a softmax over the labels alone.

        Args:
            score_logits: Logits from the first label's token to the end of the vocabulary, float32 ``[k]``.

        Returns:
            The sum of the probabilities from label ``score_threshold`` on, 0..=1, and all of them, float32 ``[k]``.
        """
        return _core.label_probability([float(logit) for logit in score_logits], self.score_threshold)

    def postprocess(self, row: Row) -> Row:
        """Adds the generated text and the score in it; takes the input away.

        Args:
            row: A row that the model has answered.

        Returns:
            The row without its input.

        Raises:
            LabelError: The text names another score than the label with the highest logit.
        """
        import numpy as np

        row["output_tokens"] = self.tokenizer.convert_ids_to_tokens(row["output_ids"])
        row["output_str"] = self.tokenizer.decode(row["output_ids"])
        row["score_pred"] = self.parse_score(row["output_str"])
        highest = int(np.argmax(row["score_logits"])) + 1
        if highest != row["score_pred"]:
            raise LabelError(
                f"the label with the highest logit is {highest}, but the text {row['output_str']!r:.200} says "
                f"{row['score_pred']}"
            )
        del row["input_ids"]
        return row

    def parse_score(self, text: str) -> int:
        """The number in the first ``[[number]]`` of a text.

        Args:
            text: The text.

        Raises:
            LabelError: There is none ("Bad score format").
        """
        return score_in(text)

    def __repr__(self) -> str:
        return f"<CausalLLMClassifier {str(self._checkpoint)!r}, {self.precision}>"


def score_in(text: str) -> int:
    """The number in the first ``[[number]]`` of a text; raises `LabelError` if there is none.

    Args:
        text: The text.
    """
    found = _SCORE.search(text)
    if found is None:
        raise LabelError(f"Bad score format {text}.")
    return int(float(found.group(1)))


def written_prompt(form: PromptFormat, system_message: str, classifier_message: str) -> _core.CausalPrompt | None:
    """The prompt as the core writes it; None for a format that puts the system message elsewhere.

    Args:
        form: The prompt format.
        system_message: The system message of the prompt form.
        classifier_message: The message that the question is put into.
    """
    if form.system_in_user or (not system_message and form.default_system_message):
        return None
    return _core.CausalPrompt(system_message, classifier_message, form.system, form.user)


def check_labels(config: RouterModelConfig, score_threshold: int) -> None:
    """Raises `LabelError` unless there is a label for each output and the threshold is the one defined.

    Args:
        config: The router's configuration.
        score_threshold: The least score, in the labels' unit, that says the weak model is good enough.
    """
    if config.model_type is not ModelTypeEnum.CAUSAL:
        raise LabelError(f"expected model_type 'causal', found {config.model_type!r}")
    wanted = [f"[[{i}]]" for i in range(1, config.num_outputs + 1)]
    if len(config.special_tokens) != config.num_outputs or set(wanted) - set(config.special_tokens):
        found = config.special_tokens
        raise LabelError(f"special_tokens: expected {wanted} for num_outputs={config.num_outputs}, found {found}")
    if score_threshold != config.num_outputs - 1:
        raise LabelError(
            f"score_threshold: expected num_outputs - 1 = {config.num_outputs - 1}, found {score_threshold!r:.60}"
        )
