"""RouteLLM's causal-LLM classifier as a router."""

from __future__ import annotations

import copy
import functools
import string
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import CheckpointError
from ferroute.routers.base import Router, built_in, check_text, checked_texts, no_parallel, scores_itself
from ferroute.routers.causal_llm.configs import LLAMA_3, RouterModelConfig
from ferroute.routers.causal_llm.endpoint import EndpointClassifier
from ferroute.routers.causal_llm.llm_utils import (
    CLASSIFIER_FILE,
    SYSTEM_FILE,
    load_prompt_format,
    prompt_folder,
    read_prompt_file,
    to_openai_api_messages,
)
from ferroute.routers.causal_llm.model import CausalLLMClassifier

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

_HOOKS = {"preprocess", "compute_routing_prob", "postprocess", "parse_score"}
"""Methods of a classifier that a patch on the instance would replace."""

LABELS = ("[[1]]", "[[2]]", "[[3]]", "[[4]]", "[[5]]")


@built_in
@no_parallel
class CausalLLMRouter(Router):
    """RouteLLM's causal-LLM classifier (Ong et al. 2024, arXiv:2406.18665, section 4.2), on the CPU or behind a server.

    A Llama reads the prompt and answers with a label, 1 to 5: how well the weak model would do. The win rate is one
    minus the probability of the labels 4 and 5; an answer without a label is 1, always the strong model.

    Args:
        checkpoint_path: Folder with the checkpoint and its two prompt files, or a Hub name such as
            ``routellm/causal_llm_gpt4_augmented``.
        score_threshold: First label that speaks for the weak model; always ``num_outputs - 1``.
        special_tokens: Texts of the label tokens.
        num_outputs: Number of labels.
        model_type: ``"causal"``.
        model_id: Base model, whose tokenizer and prompt format are taken: a Hub name or a folder. Where its tokenizer
            cannot be had, the checkpoint's own stands in, with a warning.
        flash_attention_2: Accepted and without effect.
        precision: ``"f32"`` activations, or ``"bf16"`` ones as in the original, which is faster on processors with
            avx512_bf16. Weights keep the type they are stored in.
        threads: How many to use; None: one for each processor.
        endpoint: Settings of a vLLM or SGLang server that serves the checkpoint (``api_base``, ``model``, ``api_key``,
            ...: see `ferroute.routers.causal_llm.endpoint.EndpointClassifier`); no weights are loaded here then.

    Raises:
        MissingFileError: A file of the checkpoint is neither on this disk nor on the Hub.
        CheckpointError: The files do not fit; the message says what was expected.
        KeyError: The base model has no entry in `PROMPT_FORMAT_CONFIGS`.
        LabelError: Labels and threshold do not fit each other.
    """

    def __init__(
        self,
        checkpoint_path: str | os.PathLike[str],
        score_threshold: int = 4,
        special_tokens: Sequence[str] = LABELS,
        num_outputs: int = 5,
        model_type: str = "causal",
        model_id: str = LLAMA_3,
        flash_attention_2: bool = False,
        precision: str = "f32",
        threads: int | None = None,
        endpoint: Mapping[str, Any] | None = None,
    ) -> None:
        config = RouterModelConfig(
            model_id=str(model_id),
            model_type=model_type,
            num_outputs=num_outputs,
            special_tokens=list(special_tokens),
            flash_attention_2=flash_attention_2,
        )
        self._format = load_prompt_format(config.model_id)
        folder = prompt_folder(checkpoint_path)
        system_message = read_prompt_file(folder, SYSTEM_FILE)
        classifier_message = read_prompt_file(folder, CLASSIFIER_FILE)
        _check_fields(classifier_message)
        self.to_openai_messages: Callable[[Sequence[str]], list[Any]] = functools.partial(
            to_openai_api_messages, system_message, classifier_message
        )
        self._messages = self.to_openai_messages
        self.router_model: Any
        if endpoint is not None:
            self.router_model = EndpointClassifier(config, copy.deepcopy(self._format), score_threshold, endpoint)
        else:
            self.router_model = CausalLLMClassifier(
                config,
                checkpoint_path,
                copy.deepcopy(self._format),
                score_threshold,
                use_last_turn=True,
                additional_fields=(),
                precision=precision,
                threads=threads,
            )
        self.router_model.share(system_message, classifier_message)

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model for a prompt, 0..=1; the integer 1 where the model gives no label.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        output = self.router_model({"messages": self.to_openai_messages([prompt])})
        return 1 if output is None else 1 - output["binary_prob"]

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """Win rates of many prompts, float64 ``[n]``: the numbers of single calls, short prompts side by side.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not self._unpatched():
            return super().calculate_strong_win_rates(prompts, progress)
        import numpy as np

        scores = self.router_model.scores_of(checked_texts(prompts), progress)
        return np.array([1.0 if score is None else 1 - score for score in scores], dtype=np.float64)

    def _unpatched(self) -> bool:
        """Whether no part of the scoring is somebody else's."""
        model = self.router_model
        own = type(model) in {CausalLLMClassifier, EndpointClassifier} and _HOOKS.isdisjoint(
            cast("dict[str, Any]", vars(model))
        )
        rendered = self.to_openai_messages is self._messages and model.prompt_format == self._format
        return own and rendered and model.prompt is not None and scores_itself(self, CausalLLMRouter)

    def __repr__(self) -> str:
        return f"<CausalLLMRouter {self.router_model!r}>"


def _check_fields(classifier_message: str) -> None:
    """Raises `CheckpointError` unless ``{question}`` is the only field of the classifier's message."""
    try:
        parts = list(string.Formatter().parse(classifier_message))
    except ValueError as error:
        raise CheckpointError(f"{CLASSIFIER_FILE}: {error}; write {{{{ and }}}} for braces that stay") from None
    for _, name, form, conversion in parts:
        if name is not None and (name != "question" or form or conversion):
            found = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise CheckpointError(
                f"{CLASSIFIER_FILE}: expected the field {{question}} and no other, found {{{found}}}; write {{{{ and "
                "}} for braces that stay"
            )
