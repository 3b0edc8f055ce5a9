"""The command line: what it prints, for people and for programs, and how it ends."""

from __future__ import annotations

import csv
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from ferroute import _core, pricing
from ferroute.cli import demo, main
from ferroute.plot import share_at

ROUTE_FIELDS = [
    "row", "prompt", "model", "router", "win_rate", "threshold", "share", "warmup", "reason", "routing_us", "notes",
]  # fmt: skip


@pytest.fixture
def cli(capsys):
    """Runs the command in this process: exit code, output, errors."""

    def run(*arguments):
        random.seed(0)
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return ended.value.code or 0, out, err

    return run


def program(*arguments, **options):
    """Runs the command as a program of its own."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        [sys.executable, "-m", "ferroute", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def records(out):
    return [json.loads(line) for line in out.splitlines()]


def test_importing_the_command_loads_nothing_heavy():
    heavy = ["typer", "rich", "numpy", "matplotlib", "click"]
    code = f"import sys, ferroute.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(cli):
    expected = f"ferroute {_core.__version__}"
    for arguments in (["--version"], ["version"]):
        code, out, _err = cli(*arguments)
        assert code == 0
        assert out.startswith(expected)
    assert program("--version").stdout.startswith(expected)


def test_help_has_examples_and_exit_codes(cli):
    code, out, _err = cli("--help")
    assert code == 0
    assert "Exit codes: 0" in out
    for command in ["route", "score", "demo"]:
        code, out, _err = cli(command, "-h")
        assert code == 0
        assert "Example: ferroute" in out


def test_route_one_prompt(cli):
    code, out, _err = cli("route", "hi", "--router", "random", "--threshold", "0", "--strong", "big", "--weak", "small")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "big"
    assert "threshold 0" in out


def test_route_table_and_mix(cli):
    code, out, _err = cli("route", "a\nb\x1b[31m", "漢" * 100, "c", "--router", "random", "--threshold", "1")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["row", "win", "rate", "goes", "to", "prompt"]
    assert lines[2].split()[0] == "1"
    assert "a b" in lines[2]
    assert "\x1b" not in out
    assert lines[-1] == "3 prompts: 0 to gpt-5.5 (0.0%), 3 to gpt-5.4-mini (100.0%)"
    assert max(len(line.encode("utf-16-le")) // 2 for line in lines) <= 80


def test_route_json_is_stable(cli):
    code, out, err = cli("route", "a\nb", "ü", "--router", "random", "--threshold", "0.25", "--json")
    assert (code, err) == (0, "")
    first, second = records(out)
    assert list(first) == ROUTE_FIELDS
    assert (first["row"], first["prompt"], second["prompt"]) == (1, "a\nb", "ü")
    for record in (first, second):
        assert record["threshold"] == 0.25
        assert record["share"] is None
        assert record["model"] == ("gpt-5.5" if record["win_rate"] >= 0.25 else "gpt-5.4-mini")
        assert record["routing_us"] > 0
        assert record["notes"] == []


def test_route_gives_the_share_asked_for(cli, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"prompt {i}\n" for i in range(1500)))
    code, out, err = cli("route", "--file", str(path), "--router", "random", "--share", "30%", "--json")
    assert (code, err) == (0, "")
    found = records(out)
    assert all(record["share"] == 0.3 for record in found)
    strong = sum(record["model"] == "gpt-5.5" for record in found)
    assert 0.25 < strong / 1500 < 0.35
    assert found[0]["warmup"] is True
    assert found[-1]["warmup"] is False


def test_files_columns_and_limits(cli, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('id,input\n1,"two\nlines"\n2,b\n3,c\n')
    code, _out, err = cli("route", "-f", str(path), "--router", "random", "--json")
    assert code == 3
    assert "a.csv: has none of the columns" in err
    arguments = ["-f", str(path), "--router", "random", "--json", "--column", "input", "--limit", "2"]
    for command in ["route", "score"]:
        code, out, _err = cli(command, *arguments)
        assert code == 0
        assert [(record["row"], record["prompt"]) for record in records(out)] == [(1, "two\nlines"), (2, "b")]


def test_bad_rows_stop_or_are_counted(cli, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('"a"\nnonsense\n"b"\n')
    arguments = ["route", "-f", str(path), "--router", "random", "--json"]
    code, out, err = cli(*arguments)
    assert code == 3
    assert err.startswith(f"ferroute: {path}, line 2: is not JSON")
    assert len(records(out)) == 1  # what came before is there
    code, out, err = cli(*arguments, "--skip-bad")
    assert code == 0
    assert [record["row"] for record in records(out)] == [1, 3]
    assert "1 bad row was left out" in err


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["route", "a", "--file", "x"], 2, "give prompts as arguments or with --file, not both"),
        (["route", "a", "--share", "30%", "--threshold", "0.5"], 2, "--share or --threshold, not both"),
        (["route", "a", "--share", "0.3"], 2, "--share: expected a percentage such as 30%, found 0.3"),
        (["route", "a", "--share", "130%"], 2, "expected a percentage"),
        (["route", "a", "--router", "random", "--threshold", "7"], 2, "must be a float between 0.0 and 1.0"),
        (["route", "a", "--router", "nope"], 2, "unknown router 'nope'"),
        (["route", "a", "--column", "x"], 2, "are for files and standard input"),
        (["route", "a", "--router", "bert"], 1, "routellm/bert_gpt4_augmented"),
        (["route", "--file", "/none.txt"], 3, "/none.txt: no such file"),
        (["route", "--file", "/", "--format", "csv"], 3, "is a folder"),
        (["score", "a", "--as", "xml"], 2, "--as: expected table, csv, jsonl or parquet, found xml"),
        (["score", "a", "--output", "a.xlsx"], 2, "expected a name that ends in .csv, .jsonl or .parquet"),
        (["score", "a", "--output", "a.csv", "--as", "table"], 2, "a table is for reading here"),
        (["demo", "--strong", "gpt-99"], 2, "no price is known for the model `gpt-99`"),
        (["route", "--no-such-option"], 2, "--no-such-option"),
        (["nope"], 2, "nope"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_a_code(cli, tmp_path, monkeypatch, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    found, out, err = cli(*arguments)
    assert found == code, err
    assert expected in err
    assert out == ""


def test_debug_shows_the_traceback():
    done = program("--debug", "route", "a", "--router", "bert")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_config_gives_routers_their_arguments(cli, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("- not\n- a mapping\n")
    code, _out, err = cli("route", "a", "--router", "mf", "--config", str(path))
    assert code == 2
    assert "expected a mapping from router names" in err
    path.write_text("mf:\n  checkpoint_path: /no/such/folder\n")
    code, _out, err = cli("route", "a", "--router", "mf", "--config", str(path))
    assert code == 1
    assert "/no/such/folder" in err


def test_score_layouts(cli, tmp_path):
    texts = ["a", 'with "quotes"\nand a line', "ü"]
    code, out, err = cli("score", *texts, "--router", "random", "--as", "csv")
    assert (code, err) == (0, "")
    rows = list(csv.reader(out.splitlines(keepends=True)))
    assert rows[0] == ["row", "prompt", "random"]
    assert [row[1] for row in rows[1:]] == texts
    assert all(0 <= float(row[2]) <= 1 for row in rows[1:])

    code, out, err = cli("score", *texts, "--router", "random", "--json")
    assert list(records(out)[1]) == ["row", "prompt", "win_rates"]
    assert [str(record["win_rates"]["random"]) for record in records(out)] == [row[2] for row in rows[1:]]

    for name in ["out.csv", "out.jsonl"]:
        path = tmp_path / name
        code, out, _err = cli("score", *texts, "--router", "random", "--output", str(path))
        assert code == 0
        assert "3 prompts, written to" in out
        assert path.read_text(encoding="utf-8").count("\n") == (5 if name == "out.csv" else 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "out.jsonl"]


def test_a_failed_score_leaves_no_half_file(cli, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('"a"\nnonsense\n')
    code, _out, _err = cli("score", "-f", str(path), "--router", "random", "--output", str(tmp_path / "out.csv"))
    assert code == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_standard_input():
    lines = '"a"\n{"messages": [{"role": "user", "content": "b"}]}\n'
    arguments = ["route", "--router", "random", "--json"]
    done = program(*arguments, "--format", "jsonl", stdin=None, input=lines)
    assert [record["prompt"] for record in records(done.stdout)] == ["a", "b"]
    assert done.stderr == ""
    done = program(*arguments, "-f", "-", stdin=None, input='{"prompt": "x"}\n')
    assert [record["prompt"] for record in records(done.stdout)] == ['{"prompt": "x"}']
    assert "--format jsonl" in done.stderr
    done = program("route", "--router", "random", stdin=None, input="")
    assert done.returncode == 0
    assert "there was no prompt" in done.stderr
    done = program(*arguments, "--format", "parquet", stdin=None, input="x")
    assert done.returncode == 3
    assert "expected a file" in done.stderr


def test_a_terminal_is_not_waited_on():
    main_end, other_end = pty.openpty()
    try:
        done = program("route", "--router", "random", stdin=other_end)
    finally:
        os.close(main_end)
        os.close(other_end)
    assert done.returncode == 2
    assert "no prompts: give some as arguments" in done.stderr


def test_a_pipe_is_answered_line_by_line_and_ctrl_c_ends_the_wait():
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "ferroute", "route", "--router", "random", "--json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdin.write("first\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["prompt"] == "first"
        time.sleep(0.2)  # it waits for the second line now
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert process.stderr.read() == ""


def test_a_closed_pipe_is_no_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("prompt\n" * 20_000)
    for layout in ["--json", "--threshold=0.5"]:
        with subprocess.Popen(
            [sys.executable, "-m", "ferroute", "route", "-f", str(path), "--router", "random", layout],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(timeout=60) == 141
            assert process.stderr.read() == b""


def terminal(*arguments, columns, **environment):
    """What the command writes on a terminal of the given width."""
    main_end, other_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **environment}
    process = subprocess.Popen([sys.executable, "-m", "ferroute", *arguments], stdout=other_end, env=environment)
    os.close(other_end)
    written = b""
    while True:
        try:
            chunk = os.read(main_end, 65536)
        except OSError:  # Linux says so once the other end is closed
            break
        if not chunk:
            break
        written += chunk
    os.close(main_end)
    assert process.wait() == 0
    return written.decode()


def without_style(text):
    """Checks that nothing is coloured, and leaves bold, dim and underlined text plain."""
    styles = re.findall(r"\x1b\[([0-9;]*)m", text)
    assert {code for style in styles for code in style.split(";")} <= {"0", "1", "2", "4"}
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_score_into_a_folder_that_is_not_there(cli, tmp_path):
    code, out, err = cli("score", "hi", "--output", str(tmp_path / "nope" / "x.csv"))
    assert (code, out) == (2, "")
    assert f"--output: no such folder {tmp_path / 'nope'}" in err
    (tmp_path / "x.csv").mkdir()
    code, _out, err = cli("score", "hi", "--output", str(tmp_path / "x.csv"))
    assert code == 2
    assert "is a folder, expected a file" in err


def test_colours_and_widths_follow_the_terminal():
    arguments = ["route", "first prompt", "second " * 50, "--router", "random"]
    assert "\x1b[" in terminal(*arguments, columns=80)
    for columns in [40, 80, 140]:
        plain = without_style(terminal(*arguments, columns=columns, NO_COLOR="1"))
        assert max(map(len, plain.splitlines())) <= columns
        assert ("because" in plain) == (columns == 140)


def test_output_without_unicode():
    done = program("route", "ü", "漢", "--router", "random", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout.isascii()
    done = program("route", "ü", "--router", "random", "--json", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert records(done.stdout)[0]["prompt"] == "ü"


def test_demo_for_programs_adds_up(cli, tmp_path):
    path = tmp_path / "share.png"
    code, out, err = cli("demo", "--json", "--png", str(path), "--output-tokens", "500", "--requests", "2000000")
    assert (code, err) == (0, "")
    (found,) = records(out)
    assert " ".join(found) == (
        "model strong_model weak_model share requests output_tokens sample mix bill all_strong saving png"
    )
    assert found["model"] == "router-local-30%"
    assert path.read_bytes().startswith(b"\x89PNG")
    mix = {entry["benchmark"]: entry for entry in found["mix"]}
    assert (mix["GSM8K"]["prompts"], mix["MT-Bench"]["prompts"], mix["all"]["prompts"]) == (1319, 80, 1399)
    strong = mix["all"]["strong_calls"]["local"]
    assert strong == mix["GSM8K"]["strong_calls"]["local"] + mix["MT-Bench"]["strong_calls"]["local"]
    assert 0.2 < strong / 1399 < 0.4
    assert len(found["sample"]) == 12
    assert {entry["benchmark"] for entry in found["sample"]} == {"GSM8K", "MT-Bench"}
    lines = found["bill"]["lines"]
    assert sum(line["requests"] for line in lines) == pytest.approx(2_000_000)
    assert lines[0]["requests"] == pytest.approx(2_000_000 * strong / 1399)
    assert sum(line["cost_usd"] for line in lines) == pytest.approx(found["bill"]["total_usd"])
    assert found["all_strong"]["total_usd"] > 2_000_000 * 500 * 14 / 1e6
    assert found["saving"] == pytest.approx(1 - found["bill"]["total_usd"] / found["all_strong"]["total_usd"])
    assert all(line["price_date"] and line["price_source"] for line in lines)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_demo_for_people(columns):
    out = without_style(terminal("demo", "--prompts", "200", columns=columns, NO_COLOR="1"))
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    words = " ".join(out.split())
    assert "no better than random" in words
    assert 'create(model="router-local-30%", messages=...)' in words or columns < 80
    assert str(pricing.as_of()) in words
    assert "regex rules" in words or columns < 80
    assert "300 tokens an answer" in words
    assert "┤" in out
    # What is printed is what it was cut at.
    cut, mmlu, gsm8k = re.search(r"A threshold of (0\.\d+) sends (\d+)% of MMLU .* but (\d+)% of GSM8K", words).groups()
    report = demo.run(share=0.3, strong="gpt-5.5", weak="gpt-5.4-mini", prompts=200, requests=1, output_tokens=1)
    assert int(mmlu) == round(100 * share_at(report.other_traffic, float(cut)))
    assert int(gsm8k) == round(100 * share_at(report.win_rates()["GSM8K"], float(cut)))


def test_demo_says_how_to_get_matplotlib(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = program("demo", "--png", str(tmp_path / "a.png"), env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("ferroute: pictures need matplotlib, which is not installed: pip install matplotlib")
    assert "The bill for 1,000,000" in done.stdout  # all the rest is shown
