"""Helpers of the causal-LLM classifier: its configuration, tokenizer, weights and messages."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core, _hub
from ferroute.errors import CheckpointError, InvalidValueError, MissingFileError, UnknownNameError
from ferroute.routers.causal_llm.configs import LLAMA_3, PROMPT_FORMAT_CONFIGS, RouterModelConfig
from ferroute.routers.causal_llm.prompt_format import PromptFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM_FILE = "system_ft_v5.txt"
CLASSIFIER_FILE = "classifier_ft_v5.txt"

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def load_model_config(yaml_path: str | os.PathLike[str]) -> RouterModelConfig:
    """Reads a `RouterModelConfig` from a YAML mapping; fields it does not know are ignored.

    Args:
        yaml_path: The file.

    Returns:
        The settings.

    Raises:
        InvalidValueError: The file is no mapping, or a setting is missing.
    """
    from ferroute import _yaml

    try:
        found = _yaml.read(yaml_path)
    except InvalidValueError as error:
        raise InvalidValueError(f"{yaml_path}: {error}") from None
    if not isinstance(found, dict):
        raise InvalidValueError(f"{yaml_path}: expected a mapping of settings, found {type(found).__name__}")
    given = cast("dict[str, Any]", found)
    known = RouterModelConfig.__dataclass_fields__
    missing = [name for name in ("model_id", "model_type", "num_outputs") if name not in given]
    if missing:
        raise InvalidValueError(f"{yaml_path}: {', '.join(missing)} missing")
    return RouterModelConfig(**{name: value for name, value in given.items() if name in known})


def load_prompt_format(model_id: str) -> PromptFormat:
    """The prompt format of a base model; a folder that has no entry of its own is taken for a Llama 3.

    Args:
        model_id: A folder, or a base model's name on the Hugging Face Hub.

    Raises:
        KeyError: `PROMPT_FORMAT_CONFIGS` has no such base model.
    """
    fields = PROMPT_FORMAT_CONFIGS.get(model_id)
    if fields is None and Path(model_id).expanduser().is_dir():
        fields = PROMPT_FORMAT_CONFIGS[LLAMA_3]
    if fields is None:
        known = ", ".join(PROMPT_FORMAT_CONFIGS)
        raise UnknownNameError(
            f"no prompt format for the base model {model_id!r}; PROMPT_FORMAT_CONFIGS has {known}: add an entry"
        )
    return PromptFormat(**fields, is_generation=True)


def to_openai_api_messages(system_message: str, classifier_message: str, messages: Sequence[str]) -> list[Any]:
    """A conversation as chat messages: the user's turns, every other one, are put into ``{question}``.

    Args:
        system_message: The system message of the prompt form.
        classifier_message: The message that the question is put into.
        messages: The turns' texts, the user's first.
    """
    turns: list[Any] = [{"role": "system", "content": system_message}]
    for index, text in enumerate(messages):
        if index % 2 == 0:
            turns.append({"role": "user", "content": classifier_message.format(question=text)})
        else:
            turns.append({"role": "assistant", "content": text})
    return turns


class Tokenizer:
    """A base model's tokenizer, with the members of a Hugging Face tokenizer that the classifier's users read."""

    def __init__(self, core: _core.CausalTokenizer, folder: Path) -> None:
        self._core = core
        self.eos_token: str | None = _end_of_text(folder)
        self.pad_token = self.eos_token

    def encode(self, text: str) -> list[int]:
        """Ids of a text, the special tokens around it included.

        Args:
            text: The text.
        """
        return self._core.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included.

        Args:
            ids: Token ids, ``[n]``.
        """
        return self._core.decode([int(i) for i in ids])

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str | None]:
        """Token of each id, None where there is none.

        Args:
            ids: Token ids, ``[n]``.
        """
        return self._core.tokens([int(i) for i in ids])

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a text."""
        return None if self.eos_token is None else self._core.token_to_id(self.eos_token)

    def __len__(self) -> int:
        return len(self._core)

    def __repr__(self) -> str:
        return f"<Tokenizer of {len(self)} tokens>"


def _end_of_text(folder: Path) -> str | None:
    for name in _TOKENIZER[1:]:
        path = folder / name
        if path.is_file():
            try:
                settings: Any = json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise CheckpointError(f"{path}: no JSON: {error}") from None
            found: Any = cast("dict[str, Any]", settings).get("eos_token") if isinstance(settings, dict) else None
            if isinstance(found, dict):
                found = cast("dict[str, Any]", found).get("content")
            if isinstance(found, str):
                return found
    return None


def get_tokenizer(
    model_id: str,
    special_tokens: Sequence[str] | None = None,
    truncation_side: str = "left",  # noqa: ARG001 - RouteLLM's signature
    padding_side: str = "left",  # noqa: ARG001
) -> Tokenizer:
    """The tokenizer of a base model, with ``special_tokens`` appended.

    Nothing is cut and nothing is padded, so the two sides have no effect.

    Args:
        model_id: A folder, or a base model's name on the Hugging Face Hub.
        special_tokens: Tokens to append to the vocabulary.
        truncation_side: RouteLLM's argument, without effect.
        padding_side: RouteLLM's argument, without effect.

    Raises:
        MissingFileError: There is no tokenizer, here or on the Hub.
        CheckpointError: It cannot be read.
    """
    folder = tokenizer_folder(model_id)
    return Tokenizer(_core.CausalTokenizer(folder, list(special_tokens or ())), folder)


def get_model(
    config: RouterModelConfig,
    model_ckpt: str | os.PathLike[str],
    pad_token_id: int = 2,  # noqa: ARG001 - RouteLLM's signature
    *,
    precision: str = "f32",
    threads: int | None = None,
    max_new_tokens: int = 6,
) -> _core.CausalModel:
    """Opens a checkpoint together with the tokenizer of its base model.

    Where the base model's tokenizer cannot be had (Meta's are behind a licence), the checkpoint's own stands in,
    with a warning, if it ends with the label tokens. No code of a repository is ever run.

    Args:
        config: Base model and label tokens.
        model_ckpt: Folder or Hub name of the checkpoint.
        pad_token_id: No effect: nothing is padded.
        precision: ``"f32"``, or ``"bf16"`` to round activations as the original does.
        threads: How many to use; None: one for each processor.
        max_new_tokens: Tokens generated at most.

    Returns:
        The checkpoint, opened.

    Raises:
        MissingFileError: Checkpoint or tokenizer cannot be found.
        CheckpointError: They do not fit; the message says what was expected.
        InvalidValueError: There is no such precision.
    """
    if precision not in {"f32", "bf16"}:
        raise InvalidValueError(f"precision: expected 'f32' or 'bf16', found {precision!r:.60}")
    checkpoint = checkpoint_folder(model_ckpt)
    own = False
    try:
        folder = tokenizer_folder(config.model_id)
    except MissingFileError as error:
        folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
        if not (folder / _TOKENIZER[0]).is_file():
            raise
        own = True
        warnings.warn(
            f"the tokenizer of {config.model_id!r} cannot be had; the checkpoint's own stands in ({error})",
            stacklevel=2,
        )
    return _core.CausalModel(
        checkpoint,
        folder,
        labels=config.special_tokens,
        own_tokenizer=own,
        bf16=precision == "bf16",
        max_new_tokens=max_new_tokens,
        threads=threads,
    )


def token() -> str | None:
    """The Hub token for checkpoint and tokenizer; None: the usual login."""
    return os.environ.get("LLAMA2_HF_TOKEN")


def tokenizer_folder(model_id: str) -> Path:
    """Folder with the tokenizer of a base model, from the Hub if it is not on this disk.

    Args:
        model_id: A folder, or a base model's name on the Hugging Face Hub.
    """
    return _hub.resolve(model_id, _TOKENIZER[:1], optional=_TOKENIZER[1:], token=token())


def prompt_folder(checkpoint: str | os.PathLike[str]) -> Path:
    """Folder with the two prompt files of a checkpoint.

    Args:
        checkpoint: A folder, or a name on the Hugging Face Hub.
    """
    return _hub.resolve(checkpoint, (SYSTEM_FILE, CLASSIFIER_FILE), token=token())


def checkpoint_folder(checkpoint: str | os.PathLike[str]) -> Path:
    """Folder with weights and configuration of a checkpoint, in one file or several.

    Args:
        checkpoint: A folder, or a name on the Hugging Face Hub.
    """
    optional = ("generation_config.json", *_TOKENIZER)
    return _hub.resolve_model(checkpoint, ("config.json",), optional=optional, token=token())


def read_prompt_file(folder: Path, name: str) -> str:
    """A prompt file, line ends as Python reads them.

    Args:
        folder: The folder.
        name: The file's name in it.

    Raises:
        MissingFileError: It is not there.
        CheckpointError: It is not UTF-8.
    """
    path = folder / name
    if not path.is_file():
        raise MissingFileError(f"there is no {name} in {str(folder)!r}, which the classifier's prompt is made of")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is no UTF-8: {error}") from None
