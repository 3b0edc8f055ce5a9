"""MFModel as its users meet it: loading, saving, the members of the original, pickling."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ferroute import _core
from ferroute.errors import (
    CheckpointError,
    InvalidTypeError,
    InvalidValueError,
    MissingFileError,
    NotBuiltError,
    UnknownNameError,
)
from ferroute.routers.matrix_factorization import model as module
from ferroute.routers.matrix_factorization.model import MODEL_IDS, MFModel

GOLDENS = Path(__file__).parent / "goldens" / "mf"
SIZES = {
    "main": {"dim": 128, "num_models": 64, "text_dim": 1536, "num_classes": 1, "use_proj": True},
    "small": {"dim": 16, "num_models": 8, "text_dim": 384, "num_classes": 1, "use_proj": True},
    "noproj": {"dim": 32, "num_models": 8, "text_dim": 32, "num_classes": 1, "use_proj": False},
}


@pytest.fixture(scope="module")
def small() -> MFModel:
    return MFModel.from_pretrained(GOLDENS / "small" / "checkpoint")


def pairs(variant: str) -> list[tuple[str, str]]:
    rows = json.loads((GOLDENS / variant / "pairs.json").read_text())["pairs"]
    assert all(
        MODEL_IDS[row["strong"]] == row["strong_id"] and MODEL_IDS[row["weak"]] == row["weak_id"] for row in rows
    )
    return [(row["strong"], row["weak"]) for row in rows]


def test_model_ids_are_the_originals():
    assert json.loads((GOLDENS / "model_ids.json").read_text()) == MODEL_IDS
    assert type(MODEL_IDS) is dict


@pytest.mark.parametrize("variant", SIZES)
@pytest.mark.parametrize("given", [True, False])
def test_goldens_with_and_without_arguments(variant: str, given: bool, capsys: pytest.CaptureFixture[str]):
    here = GOLDENS / variant
    model = MFModel.from_pretrained(here / "checkpoint", **(SIZES[variant] if given else {}))
    assert capsys.readouterr().out == "Loading weights from local directory\n"
    embeddings = np.load(here / "embeddings.npy")
    exact = np.load(here / "win_rates_exact_f64.npy")
    logits = np.load(here / "logits_exact_f64.npy")

    together = model.win_rates_pairs(pairs(variant), embeddings)
    assert together.dtype == np.float64
    np.testing.assert_allclose(together, exact, rtol=0, atol=5e-7)
    if variant != "noproj":
        np.testing.assert_allclose(together, np.load(here / "win_rates.npy"), rtol=0, atol=5e-6)
    for index, (strong, weak) in enumerate(pairs(variant)):
        np.testing.assert_array_equal(model.win_rates(strong, weak, embeddings), together[index])
        found = np.stack([model.forward([MODEL_IDS[strong], MODEL_IDS[weak]], row) for row in embeddings])
        np.testing.assert_allclose(found, logits[index], rtol=0, atol=2e-6)


def test_arguments_that_contradict_are_explained():
    for name, wrong in [("dim", 128), ("num_models", 64), ("text_dim", 1536), ("num_classes", 3)]:
        with pytest.raises(CheckpointError, match=f"{name}={wrong}"):
            MFModel.from_pretrained(GOLDENS / "small" / "checkpoint", **{name: wrong})
    with pytest.raises(CheckpointError, match=r"unexpected tensor `text_proj.0.weight`.*use_proj=False"):
        MFModel.from_pretrained(GOLDENS / "small" / "checkpoint", use_proj=False)


def test_random_weights_are_drawn_as_torch_does():
    model = MFModel(dim=64, num_models=200, text_dim=256, num_classes=1, use_proj=True, seed=1)
    assert abs(float(model.P.weight.std()) - 1) < 0.02
    assert model.text_proj is not None
    assert float(np.abs(model.text_proj[0].weight).max()) <= 1 / 16
    assert float(np.abs(model.text_proj[0].weight).max()) > 0.99 / 16
    assert float(np.abs(model.classifier[0].weight).max()) <= 1 / 8
    again = MFModel(64, 200, 256, 1, True, seed=1)
    np.testing.assert_array_equal(model.P.weight, again.P.weight)
    assert not np.array_equal(model.P.weight, MFModel(64, 200, 256, 1, True).P.weight)
    with pytest.raises(InvalidValueError, match="text_dim 5 must be equal to dim 4"):
        MFModel(4, 3, 5, 1, False)
    assert MFModel(4, 3, 4, 1, False).text_proj is None


def test_saved_models_are_the_originals_files(small: MFModel, tmp_path: Path):
    small.save_pretrained(tmp_path / "new" / "folder")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "new/folder" / name).read_bytes() == (GOLDENS / "small/checkpoint" / name).read_bytes()
    drawn = MFModel(8, 5, 12, 1, True)
    drawn.save_pretrained(tmp_path)
    loaded = MFModel.from_pretrained(tmp_path)
    for name, array in drawn.state_dict().items():
        np.testing.assert_array_equal(array, loaded.state_dict()[name])


def test_pickle_and_copy(small: MFModel):
    embedding = np.load(GOLDENS / "small" / "embeddings.npy")[0]
    small.embedding_model = "another"
    try:
        for other in (pickle.loads(pickle.dumps(small)), copy.copy(small), copy.deepcopy(small)):
            assert other.win_rate_of(embedding, 1, 2) == small.win_rate_of(embedding, 1, 2)
            assert (repr(other), other.embedding_model) == (repr(small), "another")
    finally:
        small.embedding_model = "text-embedding-3-small"


def test_members_that_users_reach(small: MFModel):
    assert small.to("cuda") is small
    assert small.cpu() is small
    assert small.eval() is small
    for name in ("cuda", "float", "half", "double", "requires_grad_"):
        assert getattr(small, name)() is small
    assert small.train() is small
    assert small.training is True
    assert small.train(False).training is False
    assert list(small.parameters()) == []
    assert (small.device, small.get_device()) == ("cpu", "cpu")
    assert (small._name, small.use_proj, small.embedding_model) == ("TextMF", True, "text-embedding-3-small")
    assert small.P.weight.shape == (8, 16)
    assert small.text_proj is not None
    assert len(small.text_proj) == 1
    assert small.text_proj[0].weight.shape == (16, 384)
    assert small.classifier[0].weight.shape == (1, 16)
    with pytest.raises(ValueError, match="read-only"):
        small.P.weight[0] = 0
    with pytest.raises(IndexError):
        small.classifier[1]
    assert "16" in repr(small)
    assert "8 models" in repr(small)
    assert "small/checkpoint" in repr(small)


def test_weights_can_be_replaced(small: MFModel, tmp_path: Path):
    model = MFModel(16, 8, 384, 1, True)
    model.load_state_dict(small.state_dict())
    np.testing.assert_array_equal(model.P.weight, small.P.weight)
    model = MFModel(16, 8, 384, 1, True)
    model.load(GOLDENS / "small" / "checkpoint" / "model.safetensors")
    np.testing.assert_array_equal(model.P.weight, small.P.weight)

    with pytest.raises(CheckpointError, match="num_models=8, dim=16"):
        model.load(GOLDENS / "main" / "checkpoint" / "model.safetensors")
    state = small.state_dict()
    for broken, message in [
        ({**state, "P.weight": state["P.weight"][:3]}, r"'P.weight' has shape \[3, 16\], expected \[8, 16\]"),
        ({k: v for k, v in state.items() if k != "P.weight"}, "'P.weight' of shape .* is missing"),
        ({**state, "Q": 1}, "unexpected tensor 'Q'"),
        ({**state, "P.weight": np.full((8, 16), np.nan)}, "`P.weight` holds NaN"),
    ]:
        with pytest.raises(InvalidValueError, match=message):
            model.load_state_dict(broken)


def test_files_of_torch_get_the_converting_command(tmp_path: Path, small: MFModel):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(MissingFileError, match=r"python -c .*pytorch_model.bin' '.*model.safetensors'"):
        MFModel.from_pretrained(tmp_path)
    with pytest.raises(NotBuiltError, match=r"python -c .*model.pt' '.*model.safetensors'"):
        small.load(tmp_path / "model.pt")


def test_names_and_rows(small: MFModel):
    embedding = np.zeros(384)
    with pytest.raises(UnknownNameError, match=r"'claude-2.0'"):
        small.pred_win_rate("claude-2.9", "alpaca-13b", embedding)
    with pytest.raises(KeyError, match="rows 0 to 7"):
        small.pred_win_rate("gpt-4-1106-preview", "alpaca-13b", embedding)
    with pytest.raises(KeyError, match="row -1"):
        small.win_rates(-1, 0, embedding[None])
    with pytest.raises(InvalidTypeError, match="NoneType"):
        small.win_rates(None, 0, embedding[None])  # type: ignore[arg-type]
    MODEL_IDS["mine"] = 7
    try:
        assert small.pred_win_rate("mine", np.int64(7), embedding) == 0.5
    finally:
        del MODEL_IDS["mine"]


def test_numbers_out_of_range_are_named(small: MFModel):
    x = np.zeros((2, 384), "float32")
    for threads in (0, -1, 1 << 70):
        with pytest.raises(InvalidValueError, match=f"threads: expected a whole number of at least 1, found {threads}"):
            small.win_rates(0, 1, x, threads=threads)
        with pytest.raises(InvalidValueError, match="threads"):
            small.win_rates_pairs([(0, 1)], x, threads=threads)
        with pytest.raises(InvalidValueError, match="threads"):
            _core.LocalModel().win_rates(["a"], threads)
    with pytest.raises(InvalidTypeError, match="threads: expected a whole number, found str"):
        small.win_rates(0, 1, x, threads="2")  # type: ignore[arg-type]
    for name in ("dim", "num_models", "text_dim", "num_classes"):
        for wrong in (-1, 0):
            with pytest.raises(
                InvalidValueError, match=f"{name}: expected a whole number of at least 1, found {wrong}"
            ):
                MFModel.from_pretrained(GOLDENS / "small" / "checkpoint", **{name: wrong})
            with pytest.raises(InvalidValueError, match=f"{name}: expected .* at least 1, found {wrong}"):
                MFModel(**{"dim": 4, "num_models": 3, "text_dim": 5, "num_classes": 1, "use_proj": True, name: wrong})
    for row in (1 << 63, 1 << 80):
        with pytest.raises(UnknownNameError, match=f"row {row}"):
            small.win_rates(row, 0, x)
        with pytest.raises(UnknownNameError, match=f"row {row}"):
            small.win_rates_pairs([(0, row)], x)
        with pytest.raises(UnknownNameError, match=f"row {row}"):
            small.forward([row], x[0])
    with pytest.raises(UnknownNameError, match="row -1"):
        small.win_rate_of(x[0], -1, 0)


def test_matrices_beyond_memory_are_errors(small: MFModel):
    x = np.broadcast_to(np.zeros(384, "float32"), (1 << 50, 384))
    for call in (lambda: small.win_rates(0, 1, x), lambda: small.win_rates_pairs([(0, 1)] * 4096, x)):
        with pytest.raises(InvalidValueError, match="does not fit into memory"):
            call()
    huge = np.broadcast_to(np.float32(1), (1 << 55, 16))
    with pytest.raises(InvalidValueError, match="does not fit into memory"):
        _core.MfModel.from_arrays(huge, np.ones((1, 16), "float32"))


def test_a_missing_projection_is_not_guessed_away(tmp_path: Path):
    MFModel(4, 3, 4, 1, False, seed=1).save_pretrained(tmp_path)
    assert MFModel.from_pretrained(tmp_path).use_proj is False
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"`text_proj.0.weight` .* is missing.*pass use_proj=False"):
        MFModel.from_pretrained(tmp_path)
    assert MFModel.from_pretrained(tmp_path, use_proj=False).text_dim == 4


FORK = """
import os, sys, threading
import numpy as np
from ferroute.routers.matrix_factorization.model import MFModel
model = MFModel(64, 64, 1024, 1, True, seed=1)
x = np.zeros((1, 1024), "float32")
pairs = [(a, b) for a in range(64) for b in range(64)]
def fold():
    while True:
        model.win_rates_pairs(pairs, x)
threading.Thread(target=fold, daemon=True).start()
for _ in range(40):
    pid = os.fork()
    if pid == 0:
        import signal
        signal.alarm(5)
        model.win_rate_of(x[0], 1, 2)
        os._exit(0)
    if os.waitpid(pid, 0)[1] != 0:
        os._exit(1)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_pairs_are_folded_does_not_hang():
    options = ["-W", "ignore::DeprecationWarning"]  # Python 3.12 on advises against forking with threads
    assert subprocess.run([sys.executable, *options, "-c", FORK], check=False, timeout=100).returncode == 0


def test_texts_are_embedded_by_the_assigned_client(small: MFModel, monkeypatch: pytest.MonkeyPatch):
    embedding = np.load(GOLDENS / "small" / "embeddings.npy")[3]
    with pytest.raises(InvalidValueError, match="OPENAI_API_KEY"):
        small.pred_win_rate(1, 2, "text")
    asked = []

    def create(**request: object) -> SimpleNamespace:
        asked.append(request)
        return SimpleNamespace(data=[SimpleNamespace(embedding=embedding.tolist())])

    monkeypatch.setattr(module, "OPENAI_CLIENT", SimpleNamespace(embeddings=SimpleNamespace(create=create)))
    monkeypatch.setattr(small, "embedding_model", "mine")
    assert small.pred_win_rate(1, 2, "text") == small.win_rate_of(embedding, 1, 2)
    logits = small.forward([1, 2], "text")
    assert logits.dtype == np.float32
    assert logits.shape == (2,)
    assert asked == [{"input": ["text"], "model": "mine"}] * 2
    monkeypatch.setattr(small, "_embed", lambda prompt: embedding, raising=False)
    assert small.pred_win_rate(1, 2, "text") == small.win_rate_of(embedding, 1, 2)
    assert len(asked) == 2


# --- finding checkpoints


def test_a_folder_of_the_repositorys_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(GOLDENS / "small" / "checkpoint", tmp_path / "routellm" / "mf_gpt4_augmented")
    monkeypatch.chdir(tmp_path)
    assert MFModel.from_pretrained("routellm/mf_gpt4_augmented").P.weight.shape == (8, 16)


@pytest.mark.parametrize("name", ["/no/such/folder", "./no/such", "a/b/c", "~/no-such-folder", "no such"])
def test_what_cannot_be_a_repository_is_not_asked_for(name: str):
    with pytest.raises(MissingFileError, match="not a name of the Hugging Face Hub"):
        MFModel.from_pretrained(name)


HUB = """
import http.server, os, sys, threading
from pathlib import Path
class Hub(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        name = self.path.split("/resolve/main/")[-1]
        file = Path(sys.argv[1]) / name
        asked.append(self.path)
        if "/mine/model/" not in self.path or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if "/mine/model/" in self.path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", '"%s"' % name)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)
    def do_GET(self):
        self.answer(True)
    def do_HEAD(self):
        self.answer(False)
    def log_message(self, *args):
        pass
asked = []
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:%d" % server.server_port
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HOME"] = sys.argv[2]
from ferroute.errors import MissingFileError
from ferroute.routers.matrix_factorization.model import MFModel
model = MFModel.from_pretrained("mine/model", dim=16)
print(model)
count = len(asked)
print(MFModel.from_pretrained("mine/model", local_files_only=True).P.weight.shape, len(asked) == count)
for name, options in [("other/model", {}), ("mine/absent", {"local_files_only": True})]:
    try:
        MFModel.from_pretrained(name, **options)
    except MissingFileError as error:
        print(error)
"""


def test_a_repository_of_the_hub(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", HUB, str(GOLDENS / "small" / "checkpoint"), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    loaded, cached, absent, offline = done.stdout.splitlines()
    assert loaded == "MFModel(dim=16, 8 models, text_dim=384, projection, from 'mine/model')"
    assert cached == "(8, 16) True"
    for text in ("other/model", "model.safetensors", "the network was used", "no file or folder"):
        assert text in absent
    assert "the network was not used" in offline


def test_without_a_network_the_answer_comes_soon(tmp_path: Path):
    code = (
        "from ferroute.errors import MissingFileError\n"
        "from ferroute.routers.matrix_factorization.model import MFModel\n"
        "try:\n    MFModel.from_pretrained('routellm/mf_gpt4_augmented')\n"
        "except MissingFileError as error:\n    print(error)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=environment, timeout=60,
    )  # fmt: skip
    assert time.perf_counter() - start < 10
    assert "offline? set HF_HUB_OFFLINE=1 or give a folder" in done.stdout


def test_importing_loads_neither_numpy_nor_the_hub():
    code = (
        "import sys, ferroute.routers.matrix_factorization.model, ferroute._hub\n"
        "print([m for m in ('numpy', 'huggingface_hub', 'openai', 'httpx', 'tqdm', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
