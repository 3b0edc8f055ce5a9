"""Files that were made to harm whoever reads them: nested without end, larger than they are, repeating themselves."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ferroute
from ferroute import _config, _core, _judge_words, _serving_replay
from ferroute.cli import rules as cli_rules
from ferroute.errors import CheckpointError, FerrouteError, InvalidValueError
from ferroute.evals import read_outcomes
from ferroute.ledger import Ledger
from ferroute.routers.causal_llm.llm_utils import load_model_config
from ferroute.routers.matrix_factorization import battles as mf_battles
from ferroute.routers.matrix_factorization.model import MFModel
from ferroute.routers.rules import RulesRouter
from ferroute.routers.semantic import SemanticRouter
from ferroute.thresholds import CalibrationTable
from hostile.limits import Refused, child, outcome, posix

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDENS = Path(__file__).parent / "goldens"

# --- JSON that is nested deeper than any stack ---

DEEP = {
    "open": "[" * 50_000,
    "lists": "[" * 950 + "]" * 950,
    "more lists": "[" * 5_000 + "]" * 5_000,
    "lists without end": "[" * 100_000 + "]" * 100_000,
    "objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "calls": '{"data":[' * 900 + "{}" + "]}" * 900,
    "an object around": '{"models": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "a number": "9" * 100_000,
    "a surrogate": '{"model": "\\ud800", "prompt": "\\ud800", "messages": "\\ud800"}',
}


def file_of(name: str) -> Callable[[Callable[[Path], Any]], Callable[[str, Path], Any]]:
    """Reads a text by way of a file."""

    def by_file(read: Callable[[Path], Any]) -> Callable[[str, Path], Any]:
        def reading(text: str, folder: Path) -> Any:
            path = folder / name
            path.write_text(text)
            return read(path)

        return reading

    return by_file


def checkpoint(golden: str, file: str) -> Callable[[Callable[[Path], Any]], Callable[[str, Path], Any]]:
    """A checkpoint, one of whose files is the text."""

    def of(read: Callable[[Path], Any]) -> Callable[[str, Path], Any]:
        def reading(text: str, folder: Path) -> Any:
            for each in (GOLDENS / golden).iterdir():
                if each.is_file():
                    (folder / each.name).unlink(missing_ok=True)
                    (folder / each.name).symlink_to(each)
            (folder / file).unlink(missing_ok=True)
            (folder / file).write_text(text)
            return read(folder)

        return reading

    return of


def gateway_config(text: str, folder: Path) -> Any:
    config, mistakes = _core.read_gateway_config(text, "gateway.yaml", str(folder))
    assert (config is None) == bool(mistakes)
    return config


def judged(text: str, _: Path) -> Any:
    answer = {"choices": [{"finish_reason": "stop", "message": {"content": text}}]}
    return _judge_words.numbers_of(answer)


READERS: dict[str, Callable[[str, Path], Any]] = {
    "logs": file_of("logs.jsonl")(lambda path: ferroute.audit(path, to="gpt-5.4-mini")),
    "a log that is one document": file_of("logs.json")(lambda path: ferroute.audit(path, to="gpt-5.4-mini")),
    "prompts": file_of("prompts.jsonl")(lambda path: list(_core.read_prompts(path, format="jsonl"))),
    "columns": file_of("table.jsonl")(_core.read_columns),
    "columns of a list": file_of("table.json")(_core.read_columns),
    "embeddings": file_of("table.jsonl")(_core.read_matrix),
    "outcomes": file_of("outcomes.json")(read_outcomes),
    "outcomes in lines": file_of("outcomes.jsonl")(read_outcomes),
    "thresholds": file_of("table.json")(CalibrationTable.load),
    "semantic thresholds": file_of("routes.json")(lambda path: SemanticRouter({"a": ["b c"]}).load(path)),
    "a ramp": file_of("ramp.jsonl")(_core.Ramp),
    "rules": lambda text, _: RulesRouter(text),
    "rules as JSON": lambda text, _: _core.Rules(text),
    "a gateway's configuration": gateway_config,
    "policies": lambda text, _: _core.GatewayDoor(text),
    "a key": lambda text, _: _core.Keys.check(text),
    "prices": lambda text, _: _core.pricing_override(text),
    "a card": lambda text, _: fitted().with_card(text),
    "a judge's words": judged,
    "a line to replay": lambda text, _: _serving_replay.request_of(1, text),
    "a case for rules": lambda text, _: cli_rules._case(1, text, ()),
    "a battle": lambda text, _: mf_battles.first_turn(text),
    "arguments of routers": file_of("config.yaml")(_config.read_config),
    "a classifier's settings": file_of("model.yaml")(load_model_config),
    "mf: config": checkpoint("mf/small/checkpoint", "config.json")(lambda folder: MFModel.from_pretrained(str(folder))),
    "bert: config": checkpoint("bert/wordpiece/checkpoint", "config.json")(_core.BertModel),
    "bert: tokenizer": checkpoint("bert/wordpiece/checkpoint", "tokenizer.json")(_core.BertModel),
    "bert: tokenizer's settings": checkpoint("bert/wordpiece/checkpoint", "tokenizer_config.json")(_core.BertModel),
    "causal: config": checkpoint("causal_llm/checkpoint", "config.json")(
        lambda folder: _core.CausalModel(folder, GOLDENS / "causal_llm" / "base_tokenizer", labels=["[[1]]"])
    ),
    "causal: index": checkpoint("causal_llm/checkpoint", "model.safetensors.index.json")(
        lambda folder: _core.CausalModel(folder, GOLDENS / "causal_llm" / "base_tokenizer", labels=["[[1]]"])
    ),
}
"""What reads JSON or YAML from outside."""


def fitted() -> Any:
    rng = np.random.default_rng(0)
    features, outcomes = rng.random((30, 106)).astype(np.float32), rng.random((30, 2))
    fitting = _core.Fitting(features, 64, np.zeros(30), outcomes)
    return fitting.model((0, 1), ["a", "b"], win_rates=rng.random(30), neighbours=(3, 1.0))


@pytest.mark.parametrize("reader", READERS)
def test_nested_json_is_refused_or_read(reader: str, tmp_path: Path) -> None:
    for name, text in DEEP.items():
        start = time.perf_counter()
        with warnings.catch_warnings(action="ignore"):
            outcome(lambda text=text: READERS[reader](text, tmp_path))
        assert time.perf_counter() - start < 5, name
    _core.pricing_override("{}")


# --- YAML that repeats itself ---

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}\n" for n in range(1, 12)
)
LONG_TEXT = f"a: &x {'x' * 400_000}\nb: [{', '.join(['*x'] * 100_000)}]\n"
ITSELF = "a: &a [*a]\n"
NESTED = "".join(" " * n + "a:\n" for n in range(1_000))
BRACKETS = "[" * 100_000


@pytest.mark.parametrize("bomb", ["LAUGHS", "MERGES", "LONG_TEXT", "ITSELF", "NESTED", "BRACKETS"])
def test_yaml_that_repeats_itself_is_refused(bomb: str, tmp_path: Path) -> None:
    text, path = globals()[bomb], tmp_path / "config.yaml"
    path.write_text(text)
    start = time.perf_counter()
    for read in (_config.read_config, load_model_config):
        with pytest.raises(InvalidValueError, match=r"config\.yaml: not readable as YAML: (nested|more than|an alias)"):
            read(path)
    with pytest.raises(InvalidValueError, match=r"rules\.yaml"):
        _core.Rules(text, "rules.yaml")
    config, mistakes = _core.read_gateway_config(text, "gateway.yaml", str(tmp_path))
    assert config is None and mistakes
    assert time.perf_counter() - start < 8


def test_yaml_that_is_well_is_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("mf: &m\n  checkpoint_path: a\n  x: [1, 2.5, yes, 2001-12-14, null]\nbert:\n  <<: *m\n  y: *m\n")
    found = _config.read_config(path)
    assert found is not None
    assert found["bert"]["checkpoint_path"] == "a"
    assert found["bert"]["y"] == found["mf"]
    assert found["mf"]["x"][:3] == [1, 2.5, True]
    path.write_text("a: 2001-99-99\n")
    with pytest.raises(InvalidValueError, match=r"config\.yaml: not readable as YAML: month must be"):
        _config.read_config(path)


# --- files that say they are larger than they are ---


def safetensors(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


LYING_CHECKPOINTS = {
    "no byte": b"",
    "half a length": b"\x01\x02\x03",
    "a header of all bytes": safetensors(b"{}", length=(1 << 64) - 1),
    "a header longer than the file": safetensors(b"{}", length=1 << 40),
    "a header of 99 MB": safetensors(b" " * 64, length=99 << 20),
    "a header that is no UTF-8": safetensors(b'{"\xff": 1}'),
    "a header without end": safetensors(b"[" * 100_000),
    "deep metadata": safetensors(b'{"__metadata__":' * 5_000),
    "an empty header": safetensors({}),
    "a shape that overflows": safetensors({"P.weight": tensor([1 << 63, 4], [0, 16])}, bytes(16)),
    "a shape whose product wraps": safetensors({"P.weight": tensor([1 << 32, 1 << 32], [0, 0])}),
    "a shape of terabytes": safetensors({"P.weight": tensor([1 << 40, 4], [0, 1 << 44])}, bytes(16)),
    "offsets beyond the file": safetensors({"P.weight": tensor([4], [1 << 40, (1 << 40) + 16])}, bytes(16)),
    "offsets that go back": safetensors({"P.weight": tensor([4], [16, 0])}, bytes(16)),
    "negative offsets": safetensors({"P.weight": tensor([4], [-16, 0])}, bytes(16)),
    "a shape of floats": safetensors(b'{"P.weight":{"dtype":"F32","shape":[1e300],"data_offsets":[0,16]}}', bytes(16)),
    "tensors over each other": safetensors(
        {"P.weight": tensor([2, 2], [0, 16]), "text_proj.0.weight": tensor([2, 2], [8, 24])}, bytes(24)
    ),
    "no dimension": safetensors({"P.weight": tensor([], [0, 4])}, bytes(4)),
    "a hundred dimensions": safetensors({"P.weight": tensor([1] * 100, [0, 4])}, bytes(4)),
    "nothing in it": safetensors({"P.weight": tensor([0, 4], [0, 0]), "classifier.0.weight": tensor([1, 0], [0, 0])}),
    "an unknown type": safetensors({"P.weight": tensor([4], [0, 16], "F33")}, bytes(16)),
    "numbers that are none": safetensors(
        {"P.weight": tensor([2, 2], [0, 16]), "classifier.0.weight": tensor([1, 2], [16, 24])},
        np.full(6, np.nan, dtype="<f4").tobytes(),
    ),
}


@pytest.mark.parametrize("kind", ["mf", "bert", "causal"])
def test_checkpoints_that_lie_are_refused(kind: str, tmp_path: Path) -> None:
    golden = {"mf": "mf/small/checkpoint", "bert": "bert/wordpiece/checkpoint", "causal": "causal_llm/checkpoint"}[kind]
    tokenizer = GOLDENS / "causal_llm" / "base_tokenizer"
    load: dict[str, Callable[[Path], Any]] = {
        "mf": _core.MfModel,
        "bert": _core.BertModel,
        "causal": lambda folder: _core.CausalModel(folder, tokenizer, labels=["[[1]]"]),
    }
    for name, content in LYING_CHECKPOINTS.items():
        folder = tmp_path / name
        folder.mkdir()
        for each in (GOLDENS / golden).iterdir():
            if each.is_file() and each.suffix != ".safetensors":
                (folder / each.name).symlink_to(each)
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError) as raised:
            load[kind](folder)
        assert len(str(raised.value)) < 3000, name


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00", length: int | None = None) -> bytes:
    text = header.encode("latin-1", "replace")
    size = len(text) if length is None else length
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", size) + text + data


LYING_ARRAYS = {
    "no header": b"\x93NUMPY",
    "a header longer than the file": npy("{}", length=65_000),
    "a header of 4 GB": npy("{}", version=b"\x02\x00", length=(1 << 32) - 1),
    "more rows than memory": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }\n"),
    "a shape whose product wraps": npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, ), }\n"
    ),
    "a shape of one long number": npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5_000 + ", 4), }\n"
    ),
    "columns without rows": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000), }\n"),
    "rows without columns": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 0), }\n"),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }\n", bytes(32)),
    "numbers that are none": npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }\n", np.full(2, np.nan, "<f4").tobytes()
    ),
    "brackets": npy("(" * 10_000, version=b"\x02\x00"),
}


def test_arrays_that_lie_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.npy"
    for name, content in LYING_ARRAYS.items():
        path.write_bytes(content)
        found = outcome(lambda: _core.read_matrix(path), FerrouteError)
        assert isinstance(found, Refused) or found.size == 0, name


@posix
def test_files_that_lie_take_no_memory(tmp_path: Path) -> None:
    for name, content in LYING_ARRAYS.items():
        (tmp_path / f"{name}.npy").write_bytes(content)
    for name, content in LYING_CHECKPOINTS.items():
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    for name in ("LAUGHS", "MERGES", "LONG_TEXT"):
        (tmp_path / f"{name}.yaml").write_text(globals()[name])
    # A hundred bytes for each that is there: 600 MB of one line, and of one list.
    with gzip.open(tmp_path / "line.jsonl.gz", "wb", 1) as file:
        file.write(b'{"prompt": "')
        for _ in range(600):
            file.write(b"a" * (1 << 20))
    with gzip.open(tmp_path / "cells.csv.gz", "wb", 1) as file:
        file.write(b"model,prompt\na,")
        for _ in range(600):
            file.write(b"a" * (1 << 20))
    ended = child(
        """
        import pathlib, ferroute
        from ferroute import _config, _core
        from ferroute.errors import FerrouteError
        before, folder = grown(), pathlib.Path(sys.argv[1])
        reads = {".npy": _core.read_matrix, ".safetensors": _core.MfModel, ".yaml": _config.read_config,
                 ".gz": lambda path: ferroute.audit(path, to="gpt-5.4-mini")}
        for path in sorted(folder.iterdir()):
            try:
                reads[path.suffix](path)
            except FerrouteError as error:
                print(path.name, type(error).__name__)
        assert grown() - before < 900, grown() - before
        """,
        tmp_path,
        seconds=40,
    )
    assert len(ended.stdout.splitlines()) >= len(LYING_CHECKPOINTS) + 3


# --- a ledger somebody else wrote into ---


def everything_of(path: Path) -> None:
    with Ledger(f"sqlite:///{path}", create=False) as book:
        for read in (book.spend, book.failures, book.outcomes):
            read()


def test_rows_that_are_none_are_errors_or_left_out(tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    with Ledger(f"sqlite:///{path}") as book:
        for _ in range(3):
            book.add("openai/gpt-5.5", router="local", win_rate=0.5, threshold=0.5, text="a prompt", task="code")
        book.flush()
    with sqlite3.connect(path) as database:
        names = [row[1] for row in database.execute("pragma table_info(calls)")]
    for name in names:
        for value in (
            None,
            "\ud800".encode("utf-8", "surrogatepass"),
            "[" * 50_000,
            1 << 62,
            -(1 << 63),
            1e308,
            b"\xff" * 300,
        ):
            copied = sqlite3.connect(":memory:")
            with sqlite3.connect(path) as database:
                database.backup(copied)
            try:
                copied.execute(f'update calls set "{name}" = ?', (value,))
            except sqlite3.Error:
                continue  # the schema says no
            copied.commit()
            other = tmp_path / "other.db"
            other.unlink(missing_ok=True)
            with sqlite3.connect(other) as database:
                copied.backup(database)
            copied.close()
            outcome(lambda other=other: everything_of(other), FerrouteError)


# --- Places that are no files ---


@posix
@pytest.mark.parametrize("written", ["page", "table", "prompts"])
def test_a_pipe_gets_what_is_written_and_stays_a_pipe(tmp_path: Path, written: str) -> None:
    """Else `--output /dev/null`, said by root, would put a file in the place of everybody's device."""
    pipe = tmp_path / {"page": "out.html", "table": "out.parquet", "prompts": "out.csv"}[written]
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    if written == "page":
        ferroute.explore([0.1, 0.9]).save(pipe)
    elif written == "table":
        _core.write_columns(pipe, {"a": np.arange(3.0)})
    else:
        command = ["score", "hello", "--router", "local", "--output", str(pipe)]
        subprocess.run([sys.executable, "-m", "ferroute", *command], check=True, capture_output=True)
    reader.join(20)
    assert read
    assert read[0]
    assert pipe.is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == [pipe.name]
