"""The Python face of the prompt readers; `tests/prompts.rs` has the formats in detail."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferroute import _core, errors
from ferroute.prompts import read_prompts, read_texts

TEXTS = ["first", 'with "quotes", commas\nand a line break', "ünï ✓ 漢字", "", " spaces kept "]


def write(path, texts):
    """Writes ``texts`` in the format of the path's extension, with libraries of others."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.writer(stream, lineterminator="\r\n")
            writer.writerow(["id", "prompt"])
            writer.writerows(enumerate(texts))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts), encoding="utf-8")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"prompt": pyarrow.array(texts, "string")}), path, compression="zstd")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_every_format_gives_back_what_others_wrote(tmp_path, name):
    path = write(tmp_path / name, TEXTS)
    assert read_texts(path) == TEXTS
    assert read_texts(str(path)) == TEXTS
    batches = read_prompts(path, batch_size=2)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [row for batch in read_prompts(path) for row, _text in batch] == [1, 2, 3, 4, 5]


@given(st.lists(st.text(max_size=30), max_size=8))
def test_csv_and_jsonl_hold_any_text(tmp_path_factory, texts):
    # "\r" alone ends a record for Python's reader but not inside quotes; "\0" is refused by Python's own writer.
    texts = [text.replace("\0", "") for text in texts]
    folder = tmp_path_factory.mktemp("any")
    for name in ["a.csv", "a.jsonl"]:
        assert read_texts(write(folder / name, texts)) == texts


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_parquet_of_other_writers(tmp_path, compression, kind, version):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [f"question {i % 50}" for i in range(5000)]
    array = pyarrow.array(texts, "large_string" if kind == "large_string" else "string")
    if kind == "dictionary":
        array = array.dictionary_encode()
    table = pyarrow.table({"n": list(range(5000)), "list": [["a"]] * 5000, "question": array})
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path, compression=compression, row_group_size=1300, data_page_version=version)
    assert read_texts(path) == texts
    with pytest.raises(errors.InvalidValueError, match="column `list`: expected strings, found nested values"):
        read_prompts(path, column="list")
    with pytest.raises(errors.InvalidValueError, match="column `n`: expected strings, found INT64"):
        read_prompts(path, column="n")


def test_parquet_nulls(tmp_path):
    path = write(tmp_path / "a.parquet", ["a", None, "b", None])
    batches = read_prompts(path, skip_bad=True)
    assert [text for batch in batches for _row, text in batch] == ["a", "b"]
    assert batches.skipped == 2
    assert batches.first_skipped == f"{path}, row 2: expected a string, found null"
    with pytest.raises(errors.InvalidValueError, match="row 2: expected a string, found null"):
        read_texts(path)


def test_a_bad_row_raises_after_everything_before_it(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('"a"\n"b"\n{"no": 1}\n"c"\n')
    batches = read_prompts(path)
    assert next(batches) == [(1, "a"), (2, "b")]
    with pytest.raises(ValueError, match=r"a\.jsonl, line 3: expected one of the fields"):
        next(batches)
    assert list(batches) == []
    assert read_texts(path, skip_bad=True) == ["a", "b", "c"]


def test_errors_have_the_classes_callers_catch(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(OSError, match="is a folder"):
        read_prompts(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"the extension `.xlsx` does not say"):
        read_prompts(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match="unknown format `xml`"):
        read_prompts(tmp_path / "a.xlsx", format="xml")
    with pytest.raises(ValueError, match="batch_size: expected at least 1"):
        read_prompts(tmp_path / "a.xlsx", format="text", batch_size=0)
    assert read_texts(tmp_path / "a.xlsx", format="text") == []


def test_threads_share_a_reader(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"prompt {i}\n" for i in range(20_000)))
    batches, seen = read_prompts(path, batch_size=100), []
    threads = [
        threading.Thread(target=lambda: seen.extend(row for batch in batches for row, _ in batch)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 20_001))


HANDLER = """
import os, signal, sys, threading, time
from ferroute.prompts import read_prompts
batches = read_prompts("-", format="text")
def handler(number, frame):
    try:
        print(batches.skipped)
    except ValueError as error:
        print(error)
    finally:
        os.close(write)
read, write = os.pipe()
os.dup2(read, 0)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
print(list(batches), batches.skipped)
"""


def test_a_signal_handler_does_not_wait_for_the_reader_it_interrupted():
    done = subprocess.run([sys.executable, "-c", HANDLER], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.splitlines() == [
        "a signal handler cannot use the reader of prompts that it has interrupted",
        "[] 0",
    ]


def test_lone_surrogates_are_read_as_the_replacement_character(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "\ud800 x"}) + "\n")
    assert read_texts(path) == ["\ufffd x"]
    tokens = _core.LocalModel.tokenize
    assert _core.LocalModel().win_rate("\ud800 x") == _core.LocalModel().win_rate("\ufffd x")
    assert tokens("a \udfff? \U0001f600") == tokens("a \ufffd? \U0001f600")


def test_memory_stays_bounded(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.txt"
    with path.open("w") as stream:
        for _ in range(100):
            stream.write(("x" * 1023 + "\n") * 1024)  # 100 MiB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(batch) for batch in read_prompts(path)) == 100 * 1024
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 40 * 1024, f"{grown} KiB"
