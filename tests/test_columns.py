"""`_core.read_columns` on tables that other programs wrote, and where the files of a data set are."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from ferroute import _core, _datasets
from ferroute.errors import InvalidValueError, MissingFileError, UnknownNameError, UnreadableFileError

TEXTS = ["plain", None, "", "zwei\nZeilen", "日本語", 'say "hi", he said']
LISTS = [["one"], ["a", "b\n"], [], None, ["x", None], ["\u2028"]]
TABLE = pa.table(
    {
        "text": TEXTS,
        "large": pa.array(TEXTS, pa.large_string()),
        "view": pa.array(TEXTS, pa.string_view()),
        "dictionary": pa.array(["m", "n", None, "m", "m", "n"]).dictionary_encode(),
        "whole": [1, None, -3, 2**53, 5, 6],
        "small": pa.array([1, 2, None, 255, 5, 6], pa.uint8()),
        "unsigned": pa.array([1, None, 2**32 - 1, 4, 5, 6], pa.uint32()),
        "huge": pa.array([1, None, 2**63, 4, 5, 6], pa.uint64()),
        "single": pa.array([0.5, None, -1e30, math.inf, 5, 6], pa.float32()),
        "half": pa.array(np.array([0.5, 1, -2, 4, 5, 6], np.float16)),
        "double": [0.1, None, math.nan, -0.0, 1e300, 6.0],
        "truth": [True, None, False, True, True, False],
        "turns": pa.array(LISTS, pa.list_(pa.string())),
        "struct": [{"a": 1}] * 6,
        "vector": [[1.0, 2.0]] * 6,
        "when": pa.array([0] * 6, pa.timestamp("us")),
    }
)
READABLE = TABLE.column_names[:-3]


def write(table, path, **options):
    if path.suffix == ".parquet":
        pq.write_table(table, path, **options)
    elif path.suffix == ".feather":
        pa.feather.write_feather(table, path, **options)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema, **options) as stream:
            stream.write_table(table, max_chunksize=4)
    return path


LAYOUTS = {
    "default.parquet": {},
    "plain.parquet": {"use_dictionary": False, "compression": "none"},
    "groups.parquet": {"row_group_size": 2, "compression": "zstd"},
    "v2.parquet": {"data_page_version": "2.0", "compression": "gzip"},
    "small_pages.parquet": {"data_page_size": 1},
    "old_lists.parquet": {"use_compliant_nested_type": False},
    "stream.arrow": {},
    "stream_lz4.arrow": {"options": pa.ipc.IpcWriteOptions(compression="lz4")},
    "stream_zstd.arrow": {"options": pa.ipc.IpcWriteOptions(compression="zstd")},
    "file.feather": {"compression": "uncompressed"},
    "file_lz4.feather": {"compression": "lz4"},
    "chunks.feather": {"chunksize": 2, "compression": "uncompressed"},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_pyarrow_writes_is_read(tmp_path, name):
    table = TABLE
    if name.endswith(".arrow"):
        table = table.set_column(3, "dictionary", pa.chunked_array([table["dictionary"].combine_chunks()]))
    found = _core.read_columns(write(table, tmp_path / name, **LAYOUTS[name]))
    assert list(found) == READABLE
    assert found["text"] == found["large"] == found["view"] == TEXTS
    assert found["dictionary"] == ["m", "n", None, "m", "m", "n"]
    assert [text and json.loads(text) for text in found["turns"]] == LISTS
    nan = math.nan
    for column, values in {
        "whole": [1, nan, -3, 2**53, 5, 6],
        "small": [1, 2, nan, 255, 5, 6],
        "unsigned": [1, nan, 2**32 - 1, 4, 5, 6],
        "huge": [1, nan, 2**63, 4, 5, 6],
        "single": [0.5, nan, float(np.float32(-1e30)), math.inf, 5, 6],
        "half": [0.5, 1, -2, 4, 5, 6],
        "double": [0.1, nan, nan, -0.0, 1e300, 6.0],
        "truth": [1, nan, 0, 1, 1, 0],
    }.items():
        np.testing.assert_array_equal(found[column], np.array(values, np.float64), err_msg=column)
        assert found[column].dtype == np.float64


@pytest.mark.parametrize("name", ["many.parquet", "many.arrow", "many.feather"])
def test_many_rows_in_pages_groups_and_batches(tmp_path, name):
    draw = random.Random(3)
    texts = [None if draw.random() < 0.1 else f"row {draw.randrange(50)}" for _ in range(20_000)]
    turns = [None if draw.random() < 0.1 else [f"t{i}" for i in range(draw.randrange(4))] for _ in texts]
    rates = np.random.default_rng(3).random(len(texts))
    table = pa.table({"texts": texts, "turns": turns, "rates": rates})
    path = tmp_path / name
    options = {"row_group_size": 7_001, "data_page_size": 1000} if path.suffix == ".parquet" else {}
    found = _core.read_columns(write(table, path, **options), ["rates", "turns", "texts"])
    assert list(found) == ["rates", "turns", "texts"]
    assert found["texts"] == texts
    assert [text and json.loads(text) for text in found["turns"]] == turns
    np.testing.assert_array_equal(found["rates"], rates)


def test_jsonl_and_csv_from_pandas(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"prompt": ['["a"]', "b,\nc", "ü"], "rate": [0.1, 0.25, 1 / 3], "won": [True, False, True]})
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True, double_precision=15)
    frame.to_json(tmp_path / "a.json", orient="records", double_precision=15)
    frame.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a.jsonl", "a.json", "a.csv"):
        found = _core.read_columns(tmp_path / name)
        assert found["prompt"] == list(frame["prompt"])
        np.testing.assert_allclose(found["rate"], frame["rate"], rtol=1e-14, atol=0)
        np.testing.assert_array_equal(found["won"], [1, 0, 1])


def test_the_battles_of_the_goldens_read_alike():
    from conftest import GOLDENS

    for variant in ("main", "small"):
        folder = GOLDENS / "sw_ranking" / variant
        names = ["model_a", "model_b", "prompt", "winner_model_a", "winner_model_b", "winner_tie"]
        for parquet in sorted(folder.glob("battles_*.parquet")):
            lines = parquet.with_suffix(".jsonl")
            if lines.exists():
                a, b = _core.read_columns(parquet, names), _core.read_columns(lines, names)
                assert a["prompt"] == b["prompt"]
                np.testing.assert_array_equal(a["winner_tie"], b["winner_tie"])


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
def test_errors_say_what_is_there(tmp_path, name):
    path = write(TABLE, tmp_path / name)
    with pytest.raises(
        UnknownNameError, match=rf"{name}: has no column `mf`: its columns are `text`, `large`, .*`when`|more"
    ):
        _core.read_columns(path, ["mf"])
    for column in ("struct", "vector", "when"):
        with pytest.raises(InvalidValueError, match=rf"{name}: column `{column}`: expected texts or numbers, found"):
            _core.read_columns(path, [column])


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        _core.read_columns(tmp_path / "none.parquet")
    with pytest.raises(UnreadableFileError, match="is a folder"):
        _core.read_columns(tmp_path)
    (tmp_path / "x.xyz").write_text("hello")
    with pytest.raises(InvalidValueError, match=r"expected a name that ends in \.parquet"):
        _core.read_columns(tmp_path / "x.xyz")


@pytest.mark.parametrize(
    "name", ["default.parquet", "groups.parquet", "stream.arrow", "stream_lz4.arrow", "file.feather"]
)
def test_damaged_files_raise_and_nothing_worse(tmp_path, name, capfd):
    good = write(TABLE, tmp_path / name, **LAYOUTS[name]).read_bytes()
    draw = random.Random(name)
    failed = 0
    for turn in range(300):
        bad = bytearray(good)
        if turn % 3 == 0:
            del bad[draw.randrange(len(bad)) :]
        for _ in range(draw.randrange(1, 8)):
            if bad:
                bad[draw.randrange(len(bad))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        path = tmp_path / f"bad{turn}{good_suffix(name)}"
        path.write_bytes(bytes(bad))
        try:
            found = _core.read_columns(path)
        except (InvalidValueError, UnreadableFileError) as error:
            failed += path.name in str(error)
        else:
            assert all(len(column) < 10**6 for column in found.values())
        path.unlink()
    assert failed > 100


def good_suffix(name):
    return name[name.rindex(".") :]


def test_a_small_file_cannot_fill_the_memory(tmp_path):
    rows = 20_000_000
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x" * 100]))
    path = tmp_path / "run.arrow"
    batch = pa.record_batch({"x": values})
    with pa.ipc.new_stream(str(path), batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_batch(batch)
    assert path.stat().st_size < 100_000
    with pytest.raises(InvalidValueError, match="MiB unpacked"):
        _core.read_columns(path)


def test_dictionaries_count_together(tmp_path):
    values = pa.array(["x" * 10_000_000] * 9)
    columns = {str(n): pa.DictionaryArray.from_arrays(pa.array([n], pa.int8()), values) for n in range(3)}
    batch = pa.record_batch(columns)
    path = tmp_path / "three.arrow"
    with pa.ipc.new_stream(str(path), batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_batch(batch)
    with pytest.raises(InvalidValueError, match=r"three\.arrow: a batch takes 25\d MiB unpacked, at most 256 are read"):
        _core.read_columns(path)


def test_the_files_of_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "owner" / "battles"
    (folder / "data").mkdir(parents=True)
    for name in ("train-10-of-11", "train-9-of-11", "test-00000-of-00001"):
        write(TABLE, folder / "data" / f"{name}.parquet")
    (folder / ".cache").mkdir()
    write(TABLE, folder / ".cache" / "train.parquet")
    (folder / "README.md").write_text("x")
    found = [path.name for path in _datasets.files("owner/battles")]
    assert found == ["train-9-of-11.parquet", "train-10-of-11.parquet"]
    one = folder / "data" / "test-00000-of-00001.parquet"
    assert _datasets.files(one) == [one]
    saved = tmp_path / "saved"
    saved.mkdir()
    write(TABLE, saved / "data-00000-of-00001.arrow")
    (saved / "state.json").write_text("{}")
    (saved / "dataset_info.json").write_text("{}")
    assert [path.name for path in _datasets.files("saved")] == ["data-00000-of-00001.arrow"]


def test_data_sets_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidValueError, match="expected a folder with data files"):
        _datasets.files("empty")
    with pytest.raises(InvalidValueError, match="empty name"):
        _datasets.files("")
    with pytest.raises(MissingFileError, match="it is not a name of the Hugging Face Hub"):
        _datasets.files("/nowhere/at/all")
    with pytest.raises(MissingFileError, match="HF_HUB_OFFLINE is set"):
        _datasets.files("routellm/nothing-of-this-name")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub that has one data set; what was asked of it is noted."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(_datasets, "unreachable", lambda endpoint: None)
    asked = []

    def names(name, **how):
        asked.append((name, how))
        if name != "owner/battles":
            raise FileNotFoundError("404: no such data set\nand advice")
        return ["README.md", "data/test-0.parquet", "data/train-1.parquet", "data/train-0.parquet", "old.csv"]

    monkeypatch.setattr(huggingface_hub, "list_repo_files", names)
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda name, path, **how: asked.append(path) or f"/cache/{path}"
    )
    return asked


def test_data_sets_of_the_hub(hub):
    found = [path.as_posix() for path in _datasets.files("owner/battles", token="t")]
    assert found == ["/cache/data/train-0.parquet", "/cache/data/train-1.parquet"]
    assert hub[0] == ("owner/battles", {"repo_type": "dataset", "token": "t"})
    assert hub[1:] == ["data/train-0.parquet", "data/train-1.parquet"]
    with pytest.raises(
        MissingFileError, match=r"the Hub gave no data set 'owner/none': FileNotFoundError: 404: no such data set$"
    ):
        _datasets.files("owner/none")
    with pytest.raises(InvalidValueError, match=r"has no data files \(\.arrow\)"):
        _datasets.files("owner/battles", kinds=(".arrow",))


def test_a_hub_that_cannot_be_reached(hub, monkeypatch):
    monkeypatch.setattr(_datasets, "unreachable", lambda endpoint: "ConnectionError: down")
    with pytest.raises(MissingFileError, match="cannot be reached: ConnectionError: down"):
        _datasets.files("owner/battles")
    assert hub == []


def test_which_files_are_the_data():
    for paths, expected in [
        (["data-1-of-2.arrow", "data-0-of-2.arrow", "cache-a1b2.arrow"], ["data-0-of-2.arrow", "data-1-of-2.arrow"]),
        (["train.csv", "info.parquet"], ["train.csv"]),
        (["train.jsonl", "metadata.json", "tokenizer.json"], ["train.jsonl"]),
        (["metadata.json", "data.csv"], ["data.csv"]),
        (["training_args.json", "data.parquet"], ["data.parquet"]),
        (["notes.json", "data.csv"], ["data.csv"]),
        (["train.json", "test.json"], ["train.json"]),
        (["test.parquet", "other.jsonl"], ["other.jsonl"]),
        (["test.parquet"], ["test.parquet"]),
        (["metadata.json", "README.md"], []),
    ]:
        assert _datasets.choose(paths) == expected


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather", "a.jsonl", "a.csv"])
def test_a_column_that_is_wanted_twice_comes_once(tmp_path, name):
    path = tmp_path / name
    if name == "a.jsonl":
        path.write_text('{"a": "x", "b": "y"}\n')
    elif name == "a.csv":
        path.write_text("a,b\nx,y\n")
    else:
        write(pa.table({"a": ["x"], "b": ["y"]}), path)
    assert _core.read_columns(path, ["b", "a", "b"]) == {"b": ["y"], "a": ["x"]}
    assert list(_core.read_columns(path, ["b", "a", "b"])) == ["b", "a"]
