"""The routers, under the names RouteLLM gave them, and ours.

``ROUTER_CLS`` maps a name to a class or to any callable that returns a router; add your own before building a
Controller.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._openai_client import OPENAI_CLIENT
from ferroute.errors import CheckpointError
from ferroute.routers.base import (
    NAME_TO_CLS,
    ROUTER_CLS,
    Router,
    RungRouter,
    built_in,
    check_text,
    checked_texts,
    no_parallel,
    scores_itself,
)
from ferroute.routers.bert import BERTRouter
from ferroute.routers.causal_llm.configs import RouterModelConfig
from ferroute.routers.causal_llm.llm_utils import load_prompt_format, to_openai_api_messages
from ferroute.routers.causal_llm.model import CausalLLMClassifier
from ferroute.routers.causal_llm.router import CausalLLMRouter
from ferroute.routers.fitted import FittedRouter
from ferroute.routers.llm_classifier import LLMClassifierRouter
from ferroute.routers.matrix_factorization.model import MODEL_IDS, MFModel
from ferroute.routers.rules import RulesRouter
from ferroute.routers.semantic import SemanticRouter
from ferroute.routers.similarity_weighted.router import SWRankingRouter
from ferroute.routers.similarity_weighted.utils import (
    compute_elo_mle_with_tie,
    compute_tiers,
    preprocess_battles,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MODEL_IDS",
    "NAME_TO_CLS",
    "OPENAI_CLIENT",
    "ROUTER_CLS",
    "BERTRouter",
    "CausalLLMClassifier",
    "CausalLLMRouter",
    "FittedRouter",
    "LLMClassifierRouter",
    "LocalRouter",
    "MFModel",
    "MatrixFactorizationRouter",
    "RandomRouter",
    "Router",
    "RouterModelConfig",
    "RulesRouter",
    "RungRouter",
    "SWRankingRouter",
    "SemanticRouter",
    "compute_elo_mle_with_tie",
    "compute_tiers",
    "load_prompt_format",
    "no_parallel",
    "preprocess_battles",
    "to_openai_api_messages",
]

_PRED_WIN_RATE = MFModel.pred_win_rate

STRONG, WEAK = "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"
"""The pair RouteLLM's checkpoints are scored with; it need not be the pair routed to."""


@built_in
@no_parallel
class RandomRouter(Router):
    """Uniform win rates, whatever the prompt: the baseline every router has to beat.

    Drawn from the global generator, so `random.seed` controls it, as in RouteLLM.
    """

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """A number drawn uniformly from [0, 1).

        Args:
            prompt: The text to route.
        """
        return random.uniform(0, 1)

    async def acalculate_strong_win_rate(self, prompt: str) -> float:
        """As `calculate_strong_win_rate`; it is too quick for a thread.

        Args:
            prompt: The text to route.
        """
        if not scores_itself(self, RandomRouter):
            return await super().acalculate_strong_win_rate(prompt)
        return self.calculate_strong_win_rate(prompt)


@built_in
@no_parallel
class MatrixFactorizationRouter(Router):
    """RouteLLM's matrix factorisation (Ong et al. 2024, arXiv:2406.18665, section 4.2), in Rust.

    The pair of models collapses to one vector, so scoring an embedding is one dot product; `MFModel` has the formula.

    Args:
        checkpoint_path: Folder with ``model.safetensors``, or a Hub name such as ``routellm/mf_gpt4_augmented``.
        strong_model: Name in the table (the checkpoint's own names, else `MODEL_IDS`) that stands for the strong model.
            Independent of the pair routed to. None: `STRONG`; of a checkpoint that was trained on battles between just
            two models, the one that won more of them.
        weak_model: The same for the weak model; None: `WEAK`, or the other one of the two.
        hidden_size: Width of the model table; None: as in the checkpoint (RouteLLM's is 128).
        num_models: Rows of the model table; None: as in the checkpoint (64).
        text_dim: Width of a prompt's embedding; None: as in the checkpoint (1536).
        num_classes: Outputs of the classifier; None: as in the checkpoint (1).
        use_proj: Whether embeddings are projected to ``hidden_size``; None: as in the checkpoint.
        embedder: Where embeddings come from: a mapping of settings for an OpenAI-compatible endpoint (``model``,
            ``api_base``, ``api_key``, ...: see `ferroute.embedding.PromptEmbedder`), any callable from a text to a
            vector, or ``"local"`` for the offline one in this package. None: the one the checkpoint was trained with,
            if it says so, else OpenAI's endpoint, with the key and base URL of the environment.
        check_embedder: Refuse an embedder that is not the one the checkpoint says it was trained with.

    Raises:
        KeyError: A model's name is not in the table.
        CheckpointError: The tensors do not fit (the message names the tensor), the embedder is another one, or no
            battle has trained one of the two models.
    """

    def __init__(
        self,
        checkpoint_path: str,
        strong_model: str | None = None,
        weak_model: str | None = None,
        hidden_size: int | None = None,
        num_models: int | None = None,
        text_dim: int | None = None,
        num_classes: int | None = None,
        use_proj: bool | None = None,
        embedder: Mapping[str, Any] | Callable[[str], ArrayLike] | str | None = None,
        check_embedder: bool = True,
    ) -> None:
        from ferroute.embedding import PromptEmbedder, fitting

        self.model = MFModel.from_pretrained(
            checkpoint_path,
            dim=hidden_size,
            num_models=num_models,
            text_dim=text_dim,
            num_classes=num_classes,
            use_proj=use_proj,
        )
        trained = self.model.trained_names or ()
        usual = trained if strong_model is weak_model is None and len(trained) == 2 else (STRONG, WEAK)
        pair = (strong_model or usual[0], weak_model or usual[1])
        self.strong_model_id, self.weak_model_id = map(self.model.row_of, pair)
        self.model.check_trained(*pair)
        self.embedder = PromptEmbedder(self.model, fitting(self.model.trained_with, embedder, check_embedder))
        if self.embedder.width not in {None, self.model.text_dim}:
            raise CheckpointError(
                f"{checkpoint_path}: these weights take embeddings of {self.model.text_dim} numbers, and those of "
                f"the embedder 'local' have {self.embedder.width}"
            )
        self.model.embedder = self.embedder

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model for a prompt, 0..=1; asks for its embedding.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        return self.model.pred_win_rate(self.strong_model_id, self.weak_model_id, prompt)

    async def acalculate_strong_win_rate(self, prompt: str) -> float:
        """As `calculate_strong_win_rate`; the event loop runs on while the embedding is on its way.

        Args:
            prompt: The text to route.
        """
        if not self._unpatched():
            return await super().acalculate_strong_win_rate(prompt)
        check_text(prompt)
        vector = await self.embedder.aembed(prompt)
        return self.model.win_rate_of(vector, self.strong_model_id, self.weak_model_id)

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """Win rates of many prompts, float64 ``[n]``; embeddings are asked for in batches, side by side.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not self._unpatched():
            return super().calculate_strong_win_rates(prompts, progress)
        import numpy as np

        texts = checked_texts(prompts)
        if not texts:
            return np.empty(0, dtype=np.float64)
        return self.score_embeddings(self.embedder.embed_batch(texts, progress))

    def _unpatched(self) -> bool:
        """Whether no part of the scoring is somebody else's."""
        own = getattr(type(self.model), "pred_win_rate", None) is _PRED_WIN_RATE
        return own and "pred_win_rate" not in vars(self.model) and scores_itself(self, MatrixFactorizationRouter)

    def score_embeddings(
        self,
        embeddings: ArrayLike,
        *,
        pairs: Sequence[tuple[str | int, str | int]] | None = None,
        threads: int | None = None,
    ) -> NDArray[np.float64]:
        """Win rates of prompts whose embeddings are at hand.

        Args:
            embeddings: ``[n, text_dim]``, float32, float64 or float16, in any memory layout; memory-mapped arrays
                may be larger than memory.
            pairs: (strong, weak) names or rows of the model table, scored in one pass; None: this router's pair.
            threads: How many to use; None: all cores when the work is worth it.

        Returns:
            Win rates in 0..=1: float64 ``[n]``, or ``[len(pairs), n]`` with ``pairs``.

        Raises:
            ValueError: Wrong width, or a NaN or infinity (the message names the first bad row), or a model that no
                battle has trained.
        """
        if pairs is None:
            return self.model.win_rates(self.strong_model_id, self.weak_model_id, embeddings, threads=threads)
        self.model.check_trained(*(model for pair in pairs for model in pair))
        return self.model.win_rates_pairs(pairs, embeddings, threads=threads)

    def __repr__(self) -> str:
        return f"<MatrixFactorizationRouter {self.model!r}>"


@built_in
class LocalRouter(Router):
    """The embedded router: needs no file, key or network, and decides in microseconds.

    It tells kinds of tasks apart (maths, code, exam questions from chat and trivia); inside one unseen task it is no
    better than random, and its scores are a ranking, not probabilities. So ask it for a share of your own traffic,
    ``router-local-30%``, rather than a bare threshold. ``docs/local-router.md`` has the measurements.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._model = _core.LocalModel()
        self._win_rate = self._model.win_rate

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in {"_model", "_win_rate"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._start()

    @property
    def score_quantiles(self) -> list[float]:
        """A hundred quantiles of this router's scores on a mixed reference; the share form starts from them."""
        return self._model.quantiles

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model, 0..=1.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        return self._win_rate(prompt)

    async def acalculate_strong_win_rate(self, prompt: str) -> float:
        """As `calculate_strong_win_rate`; it is too quick for a thread.

        Args:
            prompt: The text to route.
        """
        if not scores_itself(self, LocalRouter):
            return await super().acalculate_strong_win_rate(prompt)
        return self.calculate_strong_win_rate(prompt)

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """Win rates of many prompts, float64 ``[n]``, on all cores.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not scores_itself(self, LocalRouter):
            return super().calculate_strong_win_rates(prompts, progress)
        import numpy as np

        texts = checked_texts(prompts)
        out = np.empty(len(texts), dtype=np.float64)
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            out[start : start + len(part)] = self._model.win_rates(part)
            if progress:
                progress(len(part))
        return out

    def explain(self, prompt: str) -> Any:
        """What speaks for and against the strong model in a prompt, largest first.

        Args:
            prompt: The text to route.

        Returns:
            Up to ten pairs ``(name, part)``: lexical features by name, ``word "..."`` for a token, ``base`` and
            ``short request``; parts in units of the logit. All there are add up to it.
        """
        return self._model.explain(prompt)


_BATCH = 8_192


ROUTER_CLS.update(
    {
        "random": RandomRouter,
        "mf": MatrixFactorizationRouter,
        "causal_llm": CausalLLMRouter,
        "bert": BERTRouter,
        "sw_ranking": SWRankingRouter,
        "local": LocalRouter,
        "llm_classifier": LLMClassifierRouter,
        "rules": RulesRouter,
        "semantic": SemanticRouter,
        "fitted": FittedRouter,
    }
)
NAME_TO_CLS.update({cls: name for name, cls in ROUTER_CLS.items()})
