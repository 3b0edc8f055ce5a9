"""The model of the matrix factorisation router: a table of language models and a projection of prompt embeddings.

Loading, saving and scoring are done in Rust on the CPU, without torch. `MFModel` has the members users of RouteLLM's
class of this name call; arrays are numpy's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._hub import local, resolve
from ferroute._openai_client import OPENAI_CLIENT
from ferroute.embedding import recorded
from ferroute.errors import CheckpointError, InvalidTypeError, InvalidValueError, NotBuiltError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

    from ferroute.embedding import PromptEmbedder

__all__ = ["MODEL_IDS", "OPENAI_CLIENT", "MFModel", "row_of"]

# `OPENAI_CLIENT` is read whenever a prompt is embedded: assign an object with ``embeddings.create(input=[...],
# model=...)`` at any time to have prompts embedded by it.

_NAMES = (
    "RWKV-4-Raven-14B",
    "alpaca-13b",
    "chatglm-6b",
    "chatglm2-6b",
    "chatglm3-6b",
    "claude-1",
    "claude-2.0",
    "claude-2.1",
    "claude-instant-1",
    "codellama-34b-instruct",
    "deepseek-llm-67b-chat",
    "dolly-v2-12b",
    "dolphin-2.2.1-mistral-7b",
    "falcon-180b-chat",
    "fastchat-t5-3b",
    "gemini-pro",
    "gemini-pro-dev-api",
    "gpt-3.5-turbo-0125",
    "gpt-3.5-turbo-0314",
    "gpt-3.5-turbo-0613",
    "gpt-3.5-turbo-1106",
    "gpt-4-0125-preview",
    "gpt-4-0314",
    "gpt-4-0613",
    "gpt-4-1106-preview",
    "gpt4all-13b-snoozy",
    "guanaco-33b",
    "koala-13b",
    "llama-13b",
    "llama-2-13b-chat",
    "llama-2-70b-chat",
    "llama-2-7b-chat",
    "llama2-70b-steerlm-chat",
    "mistral-7b-instruct",
    "mistral-7b-instruct-v0.2",
    "mistral-medium",
    "mixtral-8x7b-instruct-v0.1",
    "mpt-30b-chat",
    "mpt-7b-chat",
    "nous-hermes-2-mixtral-8x7b-dpo",
    "oasst-pythia-12b",
    "openchat-3.5",
    "openchat-3.5-0106",
    "openhermes-2.5-mistral-7b",
    "palm-2",
    "pplx-70b-online",
    "pplx-7b-online",
    "qwen-14b-chat",
    "qwen1.5-4b-chat",
    "qwen1.5-72b-chat",
    "qwen1.5-7b-chat",
    "solar-10.7b-instruct-v1.0",
    "stablelm-tuned-alpha-7b",
    "starling-lm-7b-alpha",
    "stripedhyena-nous-7b",
    "tulu-2-dpo-70b",
    "vicuna-13b",
    "vicuna-33b",
    "vicuna-7b",
    "wizardlm-13b",
    "wizardlm-70b",
    "yi-34b-chat",
    "zephyr-7b-alpha",
    "zephyr-7b-beta",
)

MODEL_IDS: dict[str, int] = {name: row for row, name in enumerate(_NAMES)}
"""Name of each model in the table, and its row. A plain dict: add the names of a table of your own."""


def row_of(name: str) -> int:
    """Row of a model's name in the table.

    Args:
        name: A model's name.

    Raises:
        UnknownNameError: The name is not in `MODEL_IDS`; near names are suggested (also a `KeyError`).
    """
    return _find(name, MODEL_IDS, "in MODEL_IDS")


def _find(name: str, table: Mapping[str, int], where: str) -> int:
    row = table.get(name)
    if row is None:
        import difflib

        near = difflib.get_close_matches(str(name), table, n=3, cutoff=0.5)
        few = f": {', '.join(table)}" if len(table) <= 8 else f" ({len(table)} names)"
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UnknownNameError(f"no model {name!r} {where}{few}{hint}")
    return row


def _extras(folder: Path) -> dict[str, Any]:
    """The names of models and the embedder that ``config.json`` holds; the core has read the file before."""
    import json

    config = folder / "config.json"
    if not config.is_file():
        return {}
    try:
        found: Any = json.loads(config.read_bytes())
    except (ValueError, RecursionError) as error:  # Python reads less: numbers of 5,000 digits, say
        raise CheckpointError(f"{config}: no JSON that Python reads: {error}") from None
    if not isinstance(found, dict):
        return {}
    values = cast("dict[str, Any]", found)
    return {name: values[name] for name in ("models", "embedder", "trained") if values.get(name) is not None}


class _Weight:
    """Stands where torch has a layer: `weight` is the array, and ``layer[0]`` the layer itself."""

    __slots__ = ("weight",)

    def __init__(self, weight: npt.NDArray[np.float32]) -> None:
        weight.flags.writeable = False  # a copy of what the core computes with; writing to it would change nothing
        self.weight = weight

    def __getitem__(self, index: int) -> _Weight:
        if index not in (0, -1):
            raise IndexError(f"a sequence of one layer has no layer {index}")
        return self

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return f"<weight {list(self.weight.shape)} {self.weight.dtype}>"


class MFModel:
    """Win rates of pairs of language models, from the embedding of a prompt.

    RouteLLM's class of this name (Ong et al. 2024, arXiv:2406.18665), as its checkpoints and code have it. The logit of
    a model is ``classifier . (P[model] / |P[model]| * text_proj x embedding)``; a win rate is the sigmoid of the
    difference of two logits. Everything but the embedding is folded into one vector for each pair, so a win rate is one
    dot product.

    Constructing it draws random weights from the distributions torch uses (rows of `P` standard normal, the linear
    layers uniform within 1 / sqrt(inputs)); use `from_pretrained` for trained ones.

    Args:
        dim: Numbers in a model's row.
        num_models: Rows of the table.
        text_dim: Numbers in an embedding.
        num_classes: Logits for each model; win rates need 1.
        use_proj: Whether embeddings are projected to `dim`; without, `text_dim` must be equal to `dim`.
        seed: Makes the random weights repeatable.

    Raises:
        InvalidValueError: A size is below 1, or ``text_dim`` and ``dim`` differ without a projection.

    Attributes:
        embedding_model: Name of the embedding model, read whenever a prompt is embedded.
        use_proj: As given.
        model_names: Names of the rows, where the checkpoint has a table of its own; None: those of `MODEL_IDS`.
        trained_names: Models that battles of the training had, the ones that won most often first; None: the checkpoint
            does not say. Rows of others still hold the random numbers that training began with.
        trained_with: The embedder the checkpoint says it was trained with (see `ferroute.embedding.identity`), or None.
    """

    def __init__(
        self,
        dim: int,
        num_models: int,
        text_dim: int,
        num_classes: int,
        use_proj: bool,
        *,
        seed: int | None = None,
    ) -> None:
        for name, size in [
            ("dim", dim),
            ("num_models", num_models),
            ("text_dim", text_dim),
            ("num_classes", num_classes),
        ]:
            if size < 1:
                raise InvalidValueError(f"{name}: expected a whole number of at least 1, found {size}")
        if not use_proj and text_dim != dim:
            raise InvalidValueError(f"text_dim {text_dim} must be equal to dim {dim} if not using projection")
        import numpy as np

        random = np.random.default_rng(seed)

        def linear(inputs: int, outputs: int) -> npt.NDArray[np.float64]:
            return random.uniform(-1.0, 1.0, (outputs, inputs)) / np.sqrt(inputs)

        models = random.standard_normal((num_models, dim))
        projection = linear(text_dim, dim) if use_proj else None
        self._set_up(_core.MfModel.from_arrays(models, linear(dim, num_classes), projection), "random weights")

    def _set_up(self, core: _core.MfModel, origin: str) -> None:
        self._name = "TextMF"
        self._core = core
        self._origin = origin
        self.use_proj: bool = core.use_proj
        self.embedding_model = "text-embedding-3-small"
        self.embedder: PromptEmbedder | None = None
        self.training = False
        self.model_names: list[str] | None = None
        self.trained_names: list[str] | None = None
        self.trained_with: dict[str, Any] | None = None

    @classmethod
    def of_core(cls, core: _core.MfModel, origin: str) -> Self:
        """A model with the weights of the core's; ``origin`` is shown as where it comes from.

        Args:
            core: The core's model.
            origin: Where it comes from, as it is shown.
        """
        model = cls.__new__(cls)
        model._set_up(core, origin)
        return model

    # --- loading and saving

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        dim: int | None = None,
        num_models: int | None = None,
        text_dim: int | None = None,
        num_classes: int | None = None,
        use_proj: bool | None = None,
    ) -> Self:
        """Loads ``model.safetensors`` from a folder, or from a repository of the Hugging Face Hub.

        Sizes that are not given are taken from ``config.json`` beside the weights, else from the tensors. A projection
        is expected unless the one or the other says that there is none.

        Args:
            pretrained_model_name_or_path: A folder, a safetensors file, or a repository such as
                ``routellm/mf_gpt4_augmented``. A folder of that name in the working directory comes first.
            force_download: Download again even if the cache has it.
            token: Access token of the Hub.
            cache_dir: Where downloads are kept.
            local_files_only: Do not use the network.
            revision: Branch, tag or commit of the repository.
            dim: Numbers in a model's row.
            num_models: Rows of the table.
            text_dim: Numbers in an embedding.
            num_classes: Logits for each model.
            use_proj: Whether embeddings are projected; if nobody says so, they are.

        Raises:
            CheckpointError: A tensor is missing, unexpected, misshapen or not finite, or contradicts a size; the
                message names it. RouteLLM keeps random numbers for missing tensors without a word.
            MissingFileError: Nothing of this name here or on the Hub, or only a pickle of torch (the message gives
                the command that converts it).
        """
        name = os.fspath(pretrained_model_name_or_path)
        here = local(name)
        path = here or resolve(
            name,
            ["model.safetensors"],
            optional=["config.json"],
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        if here is not None and here.is_dir():
            print("Loading weights from local directory")  # noqa: T201 - what RouteLLM users see
        core = _core.MfModel(
            path,
            dim=dim,
            num_models=num_models,
            text_dim=text_dim,
            num_classes=num_classes,
            use_proj=use_proj,
        )
        model = cls.of_core(core, name)
        model._take_extras(_extras(path if path.is_dir() else path.parent), name)
        return model

    def _take_extras(self, extras: dict[str, Any], origin: str) -> None:
        if "models" in extras:
            listed: Any = extras["models"]
            names = cast("list[Any]", listed) if isinstance(listed, list) else []
            strings = all(isinstance(name, str) for name in names)
            if not strings or not len(set(names)) == len(names) == self.num_models:
                raise CheckpointError(
                    f"{origin}: config.json has `models`, expected {self.num_models} different names, one a row"
                )
            self.model_names = list(names)
        if "embedder" in extras:
            found: Any = extras["embedder"]
            record = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
            if not isinstance(record.get("model"), str):
                raise CheckpointError(f"{origin}: config.json has `embedder`, expected an object with a `model`")
            self.trained_with = dict(record)
            whole = recorded(record)
            if whole["kind"] == "endpoint":
                self.embedding_model = whole["model"]
        if "trained" in extras:
            listed = extras["trained"]
            names = cast("list[Any]", listed) if isinstance(listed, list) else []
            known = MODEL_IDS if self.model_names is None else self.model_names
            if len(names) < 2 or not all(isinstance(name, str) and name in known for name in names):
                raise CheckpointError(f"{origin}: config.json has `trained`, expected names of the table, at least two")
            self.trained_names = list(dict.fromkeys(names))

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes ``model.safetensors`` and ``config.json``, which RouteLLM loads as well.

        The same weights always give the same bytes. A table of its own, the models that were trained and the embedder
        are fields ``models``, ``trained`` and ``embedder`` of the configuration, which RouteLLM passes over.

        Args:
            save_directory: The folder; made if it is not there.

        Raises:
            UnreadableFileError: It cannot be written to.
        """
        extras = {"models": self.model_names, "embedder": self.trained_with, "trained": self.trained_names}
        extras = {name: value for name, value in extras.items() if value is not None}
        text: str | None = None
        if extras:
            import json

            text = json.dumps({**self._sizes(), **extras}, indent=2, sort_keys=True, ensure_ascii=False)
        self._core.save(save_directory, text)

    def row_of(self, name: str) -> int:
        """Row of a model's name: in the checkpoint's own table, else in `MODEL_IDS`.

        Args:
            name: A model's name.

        Raises:
            UnknownNameError: The name is not there; near names are suggested (also a `KeyError`).
        """
        if self.model_names is None:
            return row_of(name)
        table = {name: row for row, name in enumerate(self.model_names)}
        return _find(name, table, "in this checkpoint's table")

    def check_trained(self, *models: int | str) -> None:
        """Refuses models whose rows no battle has trained.

        Args:
            *models: Names of models, or their rows.

        Raises:
            CheckpointError: One of them is none of `trained_names`; the message names those.
            UnknownNameError: One of them is not in the table.
        """
        if self.trained_names is None:
            return
        trained = {self.row_of(name) for name in self.trained_names}
        for model in models:
            if self._row(model) not in trained:
                raise CheckpointError(
                    f"{self._origin}: no battle of the training had the model {model!r}, so its row is random. Trained "
                    f"are {', '.join(self.trained_names)}: name two of them as strong_model and weak_model"
                )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Push model using huggingface_hub.",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Uploads what `save_pretrained` writes to a repository of the Hub, making it if need be.

        Args:
            repo_id: The repository, ``owner/name``.
            commit_message: The commit's message.
            private: Whether a new repository is private; None: as the owner has it.
            token: The Hub's token; None: the one that is logged in.
            branch: Where to; None: the main branch.
            create_pr: Whether to propose it as a pull request.

        Returns:
            The address of the commit.
        """
        import tempfile

        from huggingface_hub import HfApi

        api = HfApi(token=token)
        repository = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                commit_message=commit_message,
                revision=branch,
                create_pr=create_pr,
            )
        return str(commit)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Replaces the weights by those of a safetensors file of the same sizes.

        Args:
            path: The safetensors file.

        Raises:
            NotBuiltError: A pickle of torch, which RouteLLM's method takes; the message gives the command that
                converts it.
            CheckpointError: The tensors do not fit this model.
        """
        file = Path(path)
        if file.suffix != ".safetensors":
            command = _core.torch_conversion_command(file)
            raise NotBuiltError(
                f"MFModel.load takes a safetensors file, found {os.fspath(path)!r}. For a state dict saved by torch, "
                f"this command writes model.safetensors beside it: {command}"
            )
        self._core = _core.MfModel(file, **self._sizes())
        self._origin = os.fspath(path)
        self.trained_names = None

    def state_dict(self) -> dict[str, npt.NDArray[np.float32]]:
        """The tensors by their names in the checkpoint, as copies: ``P.weight`` is ``[num_models, dim]``."""
        return self._core.tensors()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Replaces the weights by arrays (anything numpy can read, tensors of torch too).

        Args:
            state_dict: Arrays under the names and with the shapes of `state_dict`.
            strict: Accepted for RouteLLM's callers; missing or unexpected names are an error in any case.

        Raises:
            InvalidValueError: A tensor is missing, unknown, or of another shape.
        """
        del strict
        expected = {name: list(array.shape) for name, array in self._core.tensors().items()}
        if missing := sorted(expected.keys() - state_dict.keys()):
            raise InvalidValueError(f"tensor {missing[0]!r} of shape {expected[missing[0]]} is missing")
        if extra := sorted(state_dict.keys() - expected.keys()):
            raise InvalidValueError(f"unexpected tensor {extra[0]!r}; expected {', '.join(expected)}")
        for name, shape in expected.items():
            if (found := list(getattr(state_dict[name], "shape", ()))) != shape:
                raise InvalidValueError(f"tensor {name!r} has shape {found}, expected {shape}")
        projection = state_dict["text_proj.0.weight"] if self.use_proj else None
        self._core = _core.MfModel.from_arrays(state_dict["P.weight"], state_dict["classifier.0.weight"], projection)
        self._origin = "load_state_dict"
        self.trained_names = None

    # --- sizes, as constructed

    @property
    def dim(self) -> int:
        """Numbers in a model's row."""
        return self._core.dim

    @property
    def num_models(self) -> int:
        """Rows of the table."""
        return self._core.num_models

    @property
    def text_dim(self) -> int:
        """Numbers in an embedding."""
        return self._core.text_dim

    @property
    def num_classes(self) -> int:
        """Logits for each model."""
        return self._core.num_classes

    # --- what users of the original reach for

    @property
    def P(self) -> _Weight:  # noqa: N802 - the original's name
        """The table of models; ``P.weight`` is an array ``[num_models, dim]``."""
        return _Weight(self._core.tensors()["P.weight"])

    @property
    def text_proj(self) -> _Weight | None:
        """The projection; ``text_proj[0].weight`` is an array ``[dim, text_dim]``. None without one."""
        return _Weight(self._core.tensors()["text_proj.0.weight"]) if self.use_proj else None

    @property
    def classifier(self) -> _Weight:
        """The last layer; ``classifier[0].weight`` is an array ``[num_classes, dim]``."""
        return _Weight(self._core.tensors()["classifier.0.weight"])

    def to(self, *args: object, **kwargs: object) -> Self:
        """Accepts any device and type and returns the model: it computes on the CPU, in float32, in any case.

        Args:
            *args: Not used.
            **kwargs: Not used.
        """
        del args, kwargs
        return self

    def cpu(self) -> Self:
        """Returns the model."""
        return self

    def cuda(self, device: object = None) -> Self:
        """Returns the model, which stays on the CPU.

        Args:
            device: Not used.
        """
        del device
        return self

    def float(self) -> Self:
        """Returns the model, which computes in float32."""
        return self

    def double(self) -> Self:
        """Returns the model, which computes in float32."""
        return self

    def half(self) -> Self:
        """Returns the model, which computes in float32."""
        return self

    @property
    def device(self) -> str:
        """Where the model computes: ``"cpu"``."""
        return "cpu"

    def get_device(self) -> str:
        """Where the model computes: ``"cpu"``."""
        return "cpu"

    def eval(self) -> Self:
        """Returns the model: there is nothing that behaves differently in training."""
        return self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Sets the attribute `training`, which changes nothing else.

        Args:
            mode: What `training` becomes.
        """
        self.training = mode
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Returns the model: it has no gradients.

        Args:
            requires_grad: Not used.
        """
        del requires_grad
        return self

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Nothing: these weights cannot be trained.

        Args:
            recurse: Not used.
        """
        del recurse
        return iter(())

    # --- scoring

    def forward(self, model_id: Sequence[int], prompt: Any) -> npt.NDArray[np.float32]:
        """Logits of models for one prompt.

        Args:
            model_id: Rows of the table, or names in it.
            prompt: A text, which is embedded, or an embedding ``[text_dim]``.

        Returns:
            float32 ``[models]``, or ``[models, num_classes]`` with several classes; dimensions of length 1 are dropped,
            as in the original.

        Raises:
            UnknownNameError: A model that is not in the table.
            InvalidValueError: An embedding of another width, or with NaN or an infinity.
        """
        rows = [self._row(model) for model in model_id]
        return self._core.logits(self._embedding(prompt), rows).squeeze()

    __call__ = forward

    def pred_win_rate(self, model_a: int | str, model_b: int | str, prompt: Any) -> float:
        """Win rate of model a over model b for one prompt.

        Args:
            model_a: A row of the table, or a name in it.
            model_b: As `model_a`.
            prompt: A text, which is embedded, or an embedding ``[text_dim]``.

        Returns:
            A number in 0..=1.

        Raises:
            UnknownNameError: A model that is not in the table.
            InvalidValueError: An embedding of another width, or with NaN or an infinity; or several classes.
        """
        return self._core.win_rate(self._embedding(prompt), self._row(model_a), self._row(model_b))

    def win_rate_of(self, embedding: Any, strong_row: int, weak_row: int) -> float:
        """Win rate for one embedding: the shortest way, for rows known beforehand.

        Args:
            embedding: A list of floats, or an array ``[text_dim]`` of any number type and stride.
            strong_row: Row of the strong model.
            weak_row: Row of the weak model.

        Returns:
            A number in 0..=1.

        Raises:
            UnknownNameError: A row outside the table.
            InvalidValueError: Another width, NaN or an infinity.
            InvalidTypeError: Something in the embedding is no number.
        """
        return self._core.win_rate(embedding, strong_row, weak_row)

    def win_rates(
        self,
        strong_id: int | str,
        weak_id: int | str,
        X: Any,  # noqa: N803 - as in the formulas
        *,
        threads: int | None = None,
    ) -> npt.NDArray[np.float64]:
        """Win rates of one pair for many embeddings.

        `X` is read where it lies: in C or Fortran order, strided, read-only, memory-mapped and larger than memory.
        The interpreter is released meanwhile. Each value equals that of `win_rate_of`, bit for bit.

        Args:
            strong_id: Row of the strong model, or its name in the table.
            weak_id: As `strong_id`.
            X: Embeddings ``[n, text_dim]``: float32, float64, float16 or whole numbers.
            threads: Threads to use at most; by default one for each processor.

        Returns:
            float64 ``[n]``, each in 0..=1.

        Raises:
            InvalidValueError: Another width, or a row with NaN or an infinity: the first is named.
            UnknownNameError: A model that is not in the table.
        """
        return self._core.win_rates(X, self._row(strong_id), self._row(weak_id), threads)

    def win_rates_pairs(
        self,
        pairs: Sequence[tuple[int | str, int | str]],
        X: Any,  # noqa: N803 - as in the formulas
        *,
        threads: int | None = None,
    ) -> npt.NDArray[np.float64]:
        """Win rates of several pairs for many embeddings, which are read once.

        Args:
            pairs: Strong and weak model of each pair, as rows or names.
            X: As for `win_rates`.
            threads: As for `win_rates`.

        Returns:
            float64 ``[pairs, n]``, each in 0..=1.

        Raises:
            InvalidValueError: As for `win_rates`.
            UnknownNameError: As for `win_rates`.
        """
        rows = [(self._row(strong), self._row(weak)) for strong, weak in pairs]
        return self._core.win_rates_pairs(X, rows, threads)

    def _row(self, model: int | str) -> int:
        if not isinstance(model, str):
            try:
                row = model.__index__()
            except AttributeError:
                raise InvalidTypeError(f"expected a model's row or name, found {type(model).__name__}") from None
            if row < 0:
                raise UnknownNameError(f"no model has row {row}: the table has rows 0 to {self._core.num_models - 1}")
            return row
        return self.row_of(model)

    def _embedding(self, prompt: Any) -> Any:
        return self._embed(prompt) if isinstance(prompt, str) else prompt

    def _embed(self, prompt: str) -> Any:
        """Embeds a text with `embedder`, which the router makes from its configuration."""
        if self.embedder is None:
            from ferroute.embedding import PromptEmbedder, fitting

            self.embedder = PromptEmbedder(self, fitting(self.trained_with, None))
        return self.embedder.embed(prompt)

    # --- Python's own

    def _sizes(self) -> dict[str, Any]:
        names = ("dim", "num_models", "text_dim", "num_classes", "use_proj")
        return {name: getattr(self._core, name) for name in names}

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_core"] = self._core.tensors()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        tensors = state["_core"]
        core = _core.MfModel.from_arrays(
            tensors["P.weight"], tensors["classifier.0.weight"], tensors.get("text_proj.0.weight")
        )
        self.__dict__.update(state, _core=core)

    def __repr__(self) -> str:
        core = self._core
        classes = "" if core.num_classes == 1 else f", {core.num_classes} classes"
        projection = "projection" if core.use_proj else "no projection"
        return (
            f"MFModel(dim={core.dim}, {core.num_models} models, text_dim={core.text_dim}, {projection}{classes}, "
            f"from {self._origin!r})"
        )
