"""Scores of embeddings in every form numpy can give them: one reduction, the same bits."""

from __future__ import annotations

import array
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.routers.matrix_factorization.model import MFModel

GOLDENS = Path(__file__).parent / "goldens" / "mf"
SMALL = MFModel.from_pretrained(GOLDENS / "small" / "checkpoint")
X = np.random.default_rng(5).standard_normal((300, 384)).astype("float32")
EXPECTED = SMALL.win_rates(1, 6, X)


def test_batch_equals_single_bit_for_bit():
    single = [SMALL.win_rate_of(row, 1, 6) for row in X]
    assert EXPECTED.tolist() == single
    assert [SMALL.win_rate_of(row.tolist(), 1, 6) for row in X] == single
    assert [SMALL.win_rate_of(tuple(row.tolist()), 1, 6) for row in X] == single
    assert [SMALL.win_rate_of(array.array("f", row), 1, 6) for row in X] == single
    assert SMALL.win_rates(1, 6, X.tolist()).tolist() == single
    for threads in (1, 2, 5):
        assert SMALL.win_rates(1, 6, X, threads=threads).tolist() == single


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    n, width = x.shape
    wide = np.zeros((2 * n, 3 * width), x.dtype)
    wide[::2, ::3] = x
    unaligned = np.zeros(x.nbytes + 1, "uint8")[1:].view(x.dtype).reshape(x.shape)
    unaligned[:] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    return {
        "C": x.copy("C"),
        "Fortran": np.asfortranarray(x),
        "strided": wide[::2, ::3],
        "rows strided": np.repeat(x, 2, axis=0)[::2],
        "rows reversed": x[::-1].copy()[::-1],
        "columns reversed": x[:, ::-1].copy()[:, ::-1],
        "all reversed": np.asfortranarray(x[::-1, ::-1])[::-1, ::-1],
        "unaligned": unaligned,
        "read-only": read_only,
        "transposed": np.ascontiguousarray(x.T).T,
    }


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int64", "uint16", "bool"])
def test_any_layout_and_type_equals_c_order(dtype: str):
    x = (X * 3).astype(dtype)
    expected = SMALL.win_rates(1, 6, x.astype("float32"))
    for name, laid_out in layouts(x).items():
        np.testing.assert_array_equal(laid_out, x)
        np.testing.assert_array_equal(SMALL.win_rates(1, 6, laid_out, threads=2), expected, err_msg=name)
        assert SMALL.win_rate_of(laid_out[7], 1, 6) == expected[7], name


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 70),
    width=st.integers(1, 130),
    dtype=st.sampled_from(["f2", "f4", "f8", "i4"]),
    order=st.sampled_from("CF"),
    steps=st.tuples(st.sampled_from([-3, -1, 1, 2]), st.sampled_from([-2, -1, 1, 3])),
    threads=st.integers(1, 3),
    scale=st.sampled_from([1e-30, 1.0, 1e4, 1e18, 1e36]),
    seed=st.integers(0, 2**32 - 1),
)
def test_properties(rows, width, dtype, order, steps, threads, scale, seed):
    random = np.random.default_rng(seed)
    model = MFModel(width, 5, width, 1, False, seed=seed % 7)
    limit = {"f2": 6e4, "i4": 2e9}.get(dtype, 1e38)
    big = random.standard_normal((rows * abs(steps[0]), width * abs(steps[1]))) * scale
    x = np.asarray(np.clip(big, -limit, limit), dtype=dtype, order=order)[:: steps[0], :: steps[1]]
    rates = model.win_rates(0, 3, x, threads=threads)
    assert rates.shape == (rows,)
    assert ((rates >= 0) & (rates <= 1)).all()
    np.testing.assert_array_equal(rates, model.win_rates(0, 3, np.ascontiguousarray(x)))
    assert rates.tolist() == [model.win_rate_of(row, 0, 3) for row in x]
    np.testing.assert_array_equal(model.win_rates_pairs([(3, 1), (0, 3)], x, threads=threads)[1], rates)


def test_a_broadcast_row_and_huge_strides():
    row = np.broadcast_to(X[4], (1000, 384))
    assert row.strides[0] == 0
    assert set(SMALL.win_rates(1, 6, row).tolist()) == {EXPECTED[4]}
    apart = np.zeros((3, 1 << 20, 1), "float32")  # 384 columns of 32 KiB, three rows of 4 MiB
    view = np.lib.stride_tricks.as_strided(apart, (3, 384), (apart.strides[0], 8192))
    assert SMALL.win_rates(1, 6, view).tolist() == [0.5] * 3


def test_memory_maps(tmp_path: Path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(SMALL.win_rates(1, 6, mapped), EXPECTED)
    np.testing.assert_array_equal(SMALL.win_rates(1, 6, mapped[::-2]), EXPECTED[::-2])
    # A sparse file of 6 GB: nothing of it may be copied.
    rows = 4_000_000
    sparse = np.memmap(tmp_path / "sparse", dtype="float32", mode="w+", shape=(rows, 384))
    sparse[-1] = X[0]
    rates = SMALL.win_rates(1, 6, sparse[rows - 3 :])
    assert rates.tolist() == [0.5, 0.5, EXPECTED[0]]


def test_zero_rows():
    assert SMALL.win_rates(1, 6, np.zeros((0, 384))).shape == (0,)
    assert SMALL.win_rates_pairs([(1, 6), (0, 1)], np.zeros((0, 384), "f4")).shape == (2, 0)
    assert SMALL.win_rates_pairs([], X).shape == (0, 300)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_bad_row_is_named(dtype: str, order: Any):
    for bad, name in [(np.nan, "NaN"), (np.inf, "an infinity"), (-np.inf, "an infinity")]:
        x = np.asarray(np.tile(X, (20, 1)), dtype=dtype, order=order)
        x[5123, 17] = np.nan
        x[4321, 383] = bad
        for threads in (1, 4):
            with pytest.raises(InvalidValueError, match=f"row 4321 holds {name} .in column 383"):
                SMALL.win_rates(1, 6, x, threads=threads)
        with pytest.raises(ValueError, match="row 0 holds"):
            SMALL.win_rate_of(x[4321], 1, 6)


def test_a_finite_row_too_large_for_float32_is_scored():
    row = np.zeros(384)
    row[0] = 1e300
    assert SMALL.win_rate_of(row, 1, 6) in (0.0, 1.0)
    assert SMALL.win_rate_of(row, 1, 6) + SMALL.win_rate_of(row, 6, 1) == 1
    assert SMALL.win_rates(1, 6, np.full((3, 384), np.finfo("f4").max, "f4")).tolist() in ([0.0] * 3, [1.0] * 3)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 385)), InvalidValueError, "of 384 numbers .*found 385.*another embedding model"),
        (np.zeros(384), InvalidValueError, r"two dimensions, found an array of shape \[384\]"),
        (np.zeros((1, 2, 384)), InvalidValueError, r"found an array of shape \[1, 2, 384\]"),
        (np.float64(1), InvalidTypeError, "float64"),
        (np.zeros((2, 384), "complex64"), InvalidTypeError, "complex64"),
        (np.zeros((2, 384), "longdouble"), InvalidTypeError, "float128|longdouble"),
        (np.zeros((2, 384), ">f4"), InvalidTypeError, r"byte order, found >f4.*astype"),
        (np.zeros((2, 384), "U3"), InvalidTypeError, "found <U3"),
        (np.zeros((2, 384), object), InvalidTypeError, "found object"),
        (None, InvalidTypeError, "NoneType"),
        ("text", InvalidValueError, r"found an array of shape \[\]"),
    ],
)
def test_what_is_not_a_matrix_of_embeddings(x: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        SMALL.win_rates(1, 6, x)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([0.0] * 383, InvalidValueError, "found 383"),
        ([], InvalidValueError, "found 0"),
        ([0.0] * 383 + ["1"], InvalidTypeError, "found str at position 383"),
        ([0.0, None], InvalidTypeError, "found NoneType at position 1"),
        (np.zeros((1, 384)), InvalidValueError, "one dimension"),
        ([float("nan")] * 384, InvalidValueError, "NaN"),
        (3.0, InvalidTypeError, "float"),
        ({}, InvalidValueError, "one dimension"),
    ],
)
def test_what_is_not_an_embedding(x: Any, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        SMALL.win_rate_of(x, 1, 6)


def test_lists_may_hold_any_numbers():
    values: list[Any] = [0] * 384
    values[:4] = [1, True, np.float32(0.5), Fraction(1, 4)]
    assert SMALL.win_rate_of(values, 1, 6) == SMALL.win_rate_of([float(value) for value in values], 1, 6)


def test_a_list_that_shrinks_while_it_is_read():
    class Trap:
        def __float__(self) -> float:
            values.clear()
            return 1.0

    values: list[Any] = [Trap(), *([0.0] * 383)]
    with pytest.raises((IndexError, InvalidValueError)):
        SMALL.win_rate_of(values, 1, 6)


def test_threads_share_a_model():
    model = MFModel(64, 60, 64, 1, False)
    x = np.random.default_rng(2).standard_normal((500, 64)).astype("f4")
    expected = {row: model.win_rates(row, 0, x).tolist() for row in range(60)}
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(row for row in range(60) if model.win_rates(row, 0, x).tolist() != expected[row])

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
