"""The packed benchmark files: what they must hold, and that they equal their source where that is at hand."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "python" / "ferroute" / "data" / "benchmarks"
TRAINING = ROOT / "data"
SHARED = Path(os.environ.get("FERROUTE_SHARED", ROOT.parent / "shared"))


def pack_data() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pack_data", ROOT / "scripts" / "pack_data.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "rows", "kept"), [("mmlu", 14042, 14037), ("gsm8k", 1319, 1307), ("mt_bench", 80, 72)]
)
def test_rows_left_after_decontamination(name: str, rows: int, kept: int) -> None:
    table = pq.read_table(SHIPPED / f"{name}.parquet")
    assert table.num_rows == rows
    assert table["contaminated"].to_pylist().count(False) == kept
    assert not any(column.null_count for column in table.columns)


def test_the_published_scores_come_out() -> None:
    mmlu = pq.read_table(SHIPPED / "mmlu.parquet").to_pandas().query("not contaminated")
    assert mmlu.weak.mean() * 100 == pytest.approx(68.09147253686685, abs=1e-9)
    assert mmlu.strong.mean() * 100 == pytest.approx(80.58702001852248, abs=1e-9)
    mt = pq.read_table(SHIPPED / "mt_bench.parquet").to_pandas().query("not contaminated")
    assert (mt.weak_1.mean() + mt.weak_2.mean()) / 2 == pytest.approx(8.28125, abs=1e-9)


def test_only_plain_parquet_types() -> None:
    for path in [*SHIPPED.glob("*.parquet"), *TRAINING.glob("*.parquet")]:
        file = pq.ParquetFile(path)
        for i in range(len(file.schema)):
            assert file.schema.column(i).physical_type in {"BYTE_ARRAY", "INT32", "DOUBLE", "BOOLEAN"}, path
            assert file.metadata.row_group(0).column(i).compression == "ZSTD"
        assert b"ARROW:schema" not in (file.metadata.metadata or {}), "readers without Arrow need nothing else"


def test_gsm_in_zeroeval_is_gsm8k() -> None:
    ours = pq.read_table(SHIPPED / "gsm8k.parquet")["prompt"].to_pylist()
    theirs = pq.read_table(TRAINING / "zeroeval_gsm.parquet")["prompt"].to_pylist()
    assert len(set(ours) & set(theirs)) > 1300


@pytest.mark.skipif(not (SHARED / "benchmarks").is_dir(), reason=f"no source data at {SHARED} (set FERROUTE_SHARED)")
def test_copies_equal_their_source() -> None:
    module = pack_data()
    for path, want in module.tables(SHARED / "benchmarks").items():
        got = pq.read_table(path)
        assert got.column_names == want.column_names, path
        for name in want.column_names:
            assert got[name].cast(want[name].type).combine_chunks() == pa.chunked_array(want[name]).combine_chunks(), (
                f"{path.name}: {name}"
            )
