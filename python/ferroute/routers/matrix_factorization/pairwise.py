"""RouteLLM's classes and loops for training, under their names, on numpy and the core instead of torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.routers.matrix_factorization.battles import checked_count, load_embeddings
from ferroute.routers.matrix_factorization.model import MFModel, row_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self


class PairwiseDataset:
    """Battles as rows: the model that won, the one that lost, and the prompt.

    Args:
        data: Mappings with ``idx``, ``model_a``, ``model_b`` and ``winner`` (``"model_a"`` or ``"model_b"``); names are
            those of `MODEL_IDS`.

    Raises:
        KeyError: A name is not in `MODEL_IDS`.
    """

    def __init__(self, data: Iterable[Mapping[str, Any]]) -> None:
        data = list(data)
        self.models_a = [row_of(sample["model_a"]) for sample in data]
        self.models_b = [row_of(sample["model_b"]) for sample in data]
        self.prompt_id: list[int] = [sample["idx"] for sample in data]
        self.winners: list[str] = [sample["winner"] for sample in data]

    def __len__(self) -> int:
        return len(self.models_a)

    def __getitem__(self, index: int) -> tuple[int, int, int]:
        winner = self.winners[index]
        if winner not in {"model_a", "model_b"}:
            raise AssertionError(winner)
        a, b = self.models_a[index], self.models_b[index]
        return (a, b, self.prompt_id[index]) if winner == "model_a" else (b, a, self.prompt_id[index])

    def get_dataloaders(self, batch_size: int, shuffle: bool = True) -> DataLoader:
        """Batches of winners, losers and prompts.

        Args:
            batch_size: Battles in a batch, 1 or more.
            shuffle: Whether battles come in another order each time.

        Returns:
            The batches, to iterate over.
        """
        return DataLoader(self, batch_size, shuffle=shuffle)


class DataLoader:
    """Iterates over a data set in batches of three int64 arrays; each pass has an order of its own if it shuffles.

    Args:
        dataset: Anything with a length and items (winner, loser, prompt).
        batch_size: Battles in a batch; the last one may be shorter.
        shuffle: Whether the order changes.

    Raises:
        InvalidValueError: ``batch_size`` is below 1.
        InvalidTypeError: It is no whole number.
    """

    def __init__(self, dataset: Any, batch_size: int = 1, shuffle: bool = False) -> None:
        self.dataset = dataset
        self.batch_size = checked_count("batch_size", batch_size)
        self.shuffle = shuffle

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def rows(self) -> NDArray[np.int64]:
        """All battles in order, int64 ``[n, 3]``."""
        import numpy as np

        rows: Any = np.array([self.dataset[i] for i in range(len(self.dataset))], dtype=np.int64)
        return rows.reshape(-1, 3)

    def __iter__(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        import numpy as np

        rows: Any = self.rows()
        if self.shuffle:
            rows = rows[np.random.permutation(len(rows))]  # noqa: NPY002 - `np.random.seed` governs it, as in RouteLLM
        for start in range(0, len(rows), self.batch_size):
            winners, losers, prompts = rows[start : start + self.batch_size].T
            yield winners, losers, prompts


class MFModel_Train:  # noqa: N801 - the original's name
    """A matrix factorisation in training.

    Args:
        dim: Numbers in a model's row.
        num_models: Rows of the table.
        num_prompts: Rows of the embeddings.
        text_dim: Numbers in an embedding.
        num_classes: Only 1 is possible: a battle has one logit.
        use_proj: Whether embeddings are projected to ``dim``.
        npy_path: The embeddings' ``.npy`` file, memory-mapped, or an array.
        seed: Decides the first weights.

    Raises:
        InvalidValueError: Sizes that contradict each other or the embeddings.
    """

    def __init__(
        self,
        dim: int,
        num_models: int,
        num_prompts: int,
        text_dim: int = 1536,
        num_classes: int = 1,
        use_proj: bool = True,
        npy_path: str | os.PathLike[str] | ArrayLike | None = None,
        seed: int = 42,
    ) -> None:
        if num_classes != 1:
            raise InvalidValueError(f"num_classes: a battle has one logit, so 1 is expected; found {num_classes}")
        if npy_path is None:
            raise InvalidValueError("npy_path: expected the .npy file of the prompts' embeddings, found None")
        self.embeddings = load_embeddings(npy_path)
        if self.embeddings.shape != (num_prompts, text_dim):
            raise InvalidValueError(
                f"npy_path: expected embeddings [{num_prompts}, {text_dim}] (num_prompts, text_dim), found "
                f"{list(self.embeddings.shape)}"
            )
        self.use_proj = use_proj
        self.training = True
        self.trainer = _core.MfTrainer(dim, num_models, text_dim, use_proj, checked_count("seed", seed, 0))

    def get_device(self) -> str:
        """Where it computes: ``"cpu"``."""
        return "cpu"

    def to(self, *_args: object, **_kwargs: object) -> Self:
        """Returns the model, which stays on the CPU.

        Args:
            *_args: Not used.
            **_kwargs: Not used.
        """
        return self

    def train(self, mode: bool = True) -> Self:
        """Sets `training`.

        Args:
            mode: What `training` becomes.
        """
        self.training = mode
        return self

    def eval(self) -> Self:
        """Sets `training` to False."""
        return self.train(False)

    def model(self) -> MFModel:
        """The model as the router uses it, with the weights as they are now."""
        return MFModel.of_core(self.trainer.model(), "training")

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """The tensors by the names that `MFModel` loads: ``P.weight`` is ``[num_models, dim]``."""
        return self.trainer.model().tensors()

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Writes a checkpoint that `MFModel.from_pretrained` and the router load.

        Args:
            save_directory: The folder; made if it is not there.
        """
        self.model().save_pretrained(save_directory)

    def forward(
        self, model_win: ArrayLike, model_loss: ArrayLike, prompt: ArrayLike, test: bool = False, alpha: float = 0.05
    ) -> NDArray[np.float32]:
        """Logits of battles, float32 ``[n]`` (a scalar for one): above 0 where the first model is expected to win.

        Args:
            model_win: Rows of the first models in the table, whole numbers ``[n]``.
            model_loss: Rows of the others, ``[n]``.
            prompt: Rows of the embeddings, ``[n]``.
            test: Without noise.
            alpha: Standard deviation of the normal noise on each number, which numpy's global generator draws.
        """
        import numpy as np

        tensors: dict[str, Any] = dict(self.state_dict())
        table: Any = tensors["P.weight"] / np.maximum(np.linalg.norm(tensors["P.weight"], axis=1, keepdims=True), 1e-12)
        x: Any = np.asarray(self.embeddings[np.atleast_1d(np.asarray(prompt))], dtype=np.float32)
        if not test:
            random: Any = np.random  # the global generator, as in RouteLLM
            x = x + alpha * random.standard_normal(x.shape).astype(np.float32)
        if self.use_proj:
            x = x @ tensors["text_proj.0.weight"].T
        side = table[np.atleast_1d(np.asarray(model_win))] - table[np.atleast_1d(np.asarray(model_loss))]
        logits: Any = (side * x) @ tensors["classifier.0.weight"].T
        return logits.squeeze().astype(np.float32)

    __call__ = forward

    def predict(self, model_win: ArrayLike, model_loss: ArrayLike, prompt: ArrayLike) -> NDArray[np.bool_]:
        """Whether the first model is expected to win each battle, bool ``[n]`` (a scalar for one).

        Args:
            model_win: Rows of the first models, ``[n]``, whole numbers.
            model_loss: Rows of the second ones, ``[n]``.
            prompt: Rows of the prompts' embeddings, ``[n]``.
        """
        return self.forward(model_win, model_loss, prompt, test=True) > 0


def evaluator(net: MFModel_Train, test_iter: Iterable[Any], device: object = "cpu") -> tuple[float, float]:
    """Mean loss and accuracy on battles, without noise (RouteLLM's loss has the noise of training in it).

    Args:
        net: The model.
        test_iter: Batches of winners, losers and prompts.
        device: Not used.

    Returns:
        Mean of ``-ln(probability given to the winner)``, and the part of the winners that was called, 0..=1.
    """
    del device
    loss, right, count = net.trainer.evaluate(net.embeddings, _rows(test_iter))
    return loss, right / count


def train_loops(
    net: MFModel_Train,
    train_iter: Iterable[Any],
    test_iter: Iterable[Any] | None,
    lr: float,
    weight_decay: float,
    alpha: float,
    num_epochs: int,
    device: object = "cpu",
    evaluator: Callable[..., tuple[float, float]] | None = evaluator,
    *,
    seed: int = 42,
    threads: int | None = None,
    progress_bar: bool = True,
    **kwargs: Any,
) -> dict[str, list[float]]:
    """Trains ``net`` for all epochs; the weights after the last one are kept. Adam starts anew with each call.

    Args:
        net: The model; its weights change.
        train_iter: Battles to train on: of `PairwiseDataset.get_dataloaders`, or any iterable of batches of three
            arrays (winners, losers, prompts), which is asked for them once an epoch.
        test_iter: Battles to judge by; None with ``evaluator=None``.
        lr: Learning rate of Adam (Kingma and Ba 2015, arXiv:1412.6980).
        weight_decay: Of Adam, added to the gradient.
        alpha: Standard deviation of the normal noise on each number of an embedding.
        num_epochs: Passes.
        device: Accepted and without effect.
        evaluator: Called after each epoch with net, ``test_iter`` and device; gives loss and accuracy. None: not.
        seed: Decides noise and order.
        threads: At most so many.
        progress_bar: Show tqdm's bar with the losses.
        kwargs: Accepted and without effect, as in RouteLLM.

    Returns:
        ``train_losses``, ``test_losses`` and ``test_acces``, one number an epoch, as `evaluator` gives them.

    Raises:
        InvalidValueError: There are no battles, a setting cannot be, or the loss is no number any more.
    """
    from tqdm import tqdm

    del kwargs
    checked_count("seed", seed, 0)
    net.trainer.restart()  # each call has an optimizer of its own
    settings = {"lr": lr, "weight_decay": weight_decay, "alpha": alpha, "seed": seed, "threads": threads}
    losses: dict[str, list[float]] = {"train_losses": [], "test_losses": [], "test_acces": []}
    bar: Any
    with tqdm(total=num_epochs, disable=not progress_bar) as bar:
        for epoch in range(num_epochs):
            net.train()
            loss = _epoch(net, train_iter, settings)
            losses["train_losses"].append(loss)
            info: dict[str, float] = {"train_loss": loss, "epoch": epoch}
            if evaluator is not None:
                test_loss, test_acc = evaluator(net, test_iter, device)
                losses["test_losses"].append(test_loss)
                losses["test_acces"].append(test_acc)
                best = {"best_test_acc": max(losses["test_acces"]), "best_test_loss": min(losses["test_losses"])}
                info |= {"test_loss": test_loss, "test_acc": test_acc, **best}
            bar.set_postfix(info, refresh=False)
            bar.update(1)
    return losses


def _epoch(net: MFModel_Train, batches: Any, settings: Mapping[str, Any]) -> float:
    """One pass over the batches; the mean loss of a battle."""
    if isinstance(batches, DataLoader):
        rows = batches.rows()
        return net.trainer.epoch(
            net.embeddings, rows, batch_size=batches.batch_size, shuffle=batches.shuffle, **settings
        )
    loss, count = 0.0, 0
    for size, rows in _runs(batches):
        loss += len(rows) * net.trainer.epoch(net.embeddings, rows, batch_size=size, shuffle=False, **settings)
        count += len(rows)
    if not count:
        raise InvalidValueError(
            "expected batches of battles, found none: an iterator is used up after one epoch, a list is not"
        )
    return loss / count


def _runs(batches: Any) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Batches in their order, those of one size together, with that size; the last of them may be smaller."""
    import numpy as np

    waiting: list[NDArray[np.int64]] = []
    for batch in _each(batches):
        if waiting and not len(waiting[-1]) == len(waiting[0]) >= len(batch):
            yield len(waiting[0]), np.concatenate(waiting)
            waiting = []
        if len(batch):
            waiting.append(batch)
    if waiting:
        yield len(waiting[0]), np.concatenate(waiting)


def _each(batches: Any) -> Iterator[NDArray[np.int64]]:
    """Each batch as rows of winner, loser and prompt."""
    import numpy as np

    if batches is None:
        raise InvalidTypeError("expected batches of battles, found None")
    for batch in batches:
        if len(batch) != 3:
            raise InvalidValueError(f"a batch has winners, losers and prompts; found {len(batch)} parts")
        yield np.stack([np.asarray(part, dtype=np.int64) for part in batch], axis=1)


def _rows(batches: Any) -> NDArray[np.int64]:
    """All battles ``[n, 3]`` of an iterable of batches."""
    import numpy as np

    if isinstance(batches, DataLoader):
        return batches.rows()
    return np.concatenate([np.empty((0, 3), dtype=np.int64), *_each(batches)])
