"""What every public name says of itself: a docstring, its parameters, what it raises, shapes, and what it gives.

The rules that a program can check. A name is public if nothing in its path begins with an underscore and its module's
``__all__``, where there is one, has it; so is what a public class inherits from a private one. The stub of the core is
checked as well. Names whose meaning comes from a paper, a specification or RouteLLM say so (`SOURCES`). Who reads the
texts checks the rest.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import pytest

import ferroute
from conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = ROOT / "python" / "ferroute"
SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Examples?|Notes?):\s*")
SHAPE = re.compile(r"\[[\w ,+*()-]+\]|one number a row")
VERBS = {
    *("Adds", "Answers", "Audits", "Compares", "Draws", "Ends", "Fits", "Makes", "Marks", "Opens", "Parts", "Reads"),
    *("Remembers", "Scores", "Takes", "Trains", "Writes"),
}
"""First words of what does something: then it does not go without saying what comes back."""

NOUNS = {"Answers that", "Answers with", "Scores and", "Scores of", "Scores that", "Scores with"}
"""The same words where they are nouns: the summary is what comes back."""

SAME = {"InvalidTypeError": "TypeError", "InvalidValueError": "ValueError", "UnknownNameError": "KeyError"}
"""Errors that may be named by the class of Python's own that they derive from."""


ROUTELLM = "arXiv:2406.18665"
BETTING = "arXiv:2010.09686"
TESTED_IN_ORDER = "arXiv:2110.01052"
MT_BENCH = "arXiv:2306.05685"
MAX_T = "Romano and Wolf 2005"
BRADLEY_TERRY = "Bradley and Terry 1952"
ADAM = "arXiv:1412.6980"
EXACT = "Clopper and Pearson 1934"
BENCHMARKS = ("arXiv:2403.12031", "arXiv:2601.07206", "arXiv:2410.02223", "arXiv:2510.00202")

SOURCES: dict[str, tuple[str, ...]] = {
    # Promises and intervals.
    "calibrate.guarantee": (TESTED_IN_ORDER, BETTING, EXACT, "arXiv:2101.02703", "arXiv:2301.09633"),
    "calibrate.budget": (TESTED_IN_ORDER, BETTING),
    "thresholds.Threshold": (EXACT,),
    "thresholds.threshold_for_share": ("RouteLLM", "pandas 2"),
    "thresholds.rounded": ("RouteLLM",),
    "calibrate_threshold.line": ("RouteLLM",),
    "_core.binomial_interval": (EXACT,),
    "_core.quantiles": ("pandas 2", "numpy"),
    "_sweep.Sweep": (EXACT,),
    "_accuracy.Rate": (EXACT, "Korn and Graubard 1998"),
    "failures.Group": (EXACT,),
    "auditing._saving.Saving": ("Hall 1992", "docs/audit.md"),
    "auditing._quality.Quality": ("Efron and Tibshirani 1993",),
    # Evidence while traffic runs.
    "rollout.ramps.Ramp": (BETTING, "arXiv:1810.08240", "arXiv:2102.10439"),
    "rollout.watch.Watch": (BETTING, "arXiv:1810.08240"),
    "rollout._kept.Kept.evidence": (BETTING,),
    "rollout.abtest.ABTest": (BETTING,),
    "_core.Trial": (BETTING,),
    # Figures.
    "evals._figures.Estimate": ("Efron and Tibshirani 1993",),
    "evals.results.RouterResult": (ROUTELLM,),
    "evals.results.RouterResult.simultaneous_bands": (MAX_T, "Montiel Olea"),
    "evals.results.score_router": (ROUTELLM,),
    "evals.model_comparison.ModelResult": (ROUTELLM,),
    "evals.model_comparison.ModelResult.simultaneous_bands": (MAX_T, "Montiel Olea"),
    "evals._side_by_side.SideBySide.difference": ("Efron and Tibshirani 1993",),
    "evals._side_by_side.SideBySide.differences": (MAX_T, "Montiel Olea"),
    "evals._side_by_side.SideBySide.difference_curves": (MAX_T, "Montiel Olea"),
    "evals._side_by_side.SideBySide.simultaneous_bands": (MAX_T, "Montiel Olea"),
    "evals.plots.reliability": ("arXiv:1706.04599",),
    "_core.eval_curve": ("RouteLLM",),
    "_core.eval_figures": (ROUTELLM,),
    # Data.
    "evals.benchmarks.MMLU": ("arXiv:2009.03300", "RouteLLM"),
    "evals.benchmarks.GSM8K": ("arXiv:2110.14168", "RouteLLM"),
    "evals.benchmarks.MTBench": (MT_BENCH, "RouteLLM"),
    "evals.reading.read_outcomes": BENCHMARKS,
    "evals.scoring.judge": (MT_BENCH,),
    "judge.LLMJudge": (MT_BENCH,),
    # Routers.
    "_fit_report.FitReport": (ROUTELLM, "docs/fit.md"),
    "fitting.fit": ("MacKay 1992", "docs/fit.md"),
    "routers.routers.MatrixFactorizationRouter": (ROUTELLM,),
    "routers.routers.LocalRouter": ("docs/local-router.md",),
    "routers.bert.BERTRouter": (ROUTELLM,),
    "routers.causal_llm.router.CausalLLMRouter": (ROUTELLM,),
    "routers.causal_llm.model.CausalLLMClassifier": (ROUTELLM,),
    "routers.similarity_weighted.router.SWRankingRouter": (ROUTELLM,),
    "routers.similarity_weighted.router.SWRankingRouter.get_weightings": ("RouteLLM",),
    "routers.similarity_weighted.utils.compute_elo_mle_with_tie": (BRADLEY_TERRY, "RouteLLM"),
    "routers.similarity_weighted.utils.compute_tiers": ("RouteLLM",),
    "routers.semantic.SemanticRouter": ("arXiv:1702.01417",),
    "routers.matrix_factorization.model.MFModel": (ROUTELLM,),
    "routers.matrix_factorization.train_matrix_factorization.train": (ROUTELLM, ADAM),
    "routers.matrix_factorization.pairwise.train_loops": (ADAM,),
    "routers.matrix_factorization.report.interval": ("Wilson 1927",),
    "routers.matrix_factorization.report.TrainingReport": (BRADLEY_TERRY,),
    "_core.MfTrainer": (ROUTELLM, ADAM),
    "_core.bradley_terry": (BRADLEY_TERRY,),
    "_core.cut_tiers": ("RouteLLM",),
    "_core.sw_weightings": ("RouteLLM",),
    # Formats and protocols.
    "controller.Controller.completion": ("OpenAI's API reference", "RouteLLM"),
    "_core.Client.chat": ("OpenAI's API reference",),
    "_core.EventStream": ("WHATWG",),
    "_core.MfModel": ("safetensors",),
    "_core.GatewaySeeing": ("Prometheus", "OpenTelemetry", "W3C Trace Context"),
}
"""Names whose meaning comes from somewhere, and the words by which their docstrings say from where."""

RETURNED = {
    "ferroute._fit_report": {"FitReport"},
    "ferroute.evals._differences": {"DifferenceCurve", "Differences"},
}
"""Classes that nobody imports, since public functions make them."""

AUTHORS = re.compile(
    r"Clopper and Pearson|Bradley and Terry|Bradley-Terry|Hoeffding and Bentkus|Korn and Graubard|Wilson|Efron and "
    r"Tibshirani|Romano and Wolf|Waudby-Smith and Ramdas|Kingma and Ba|Mu and Viswanath|MacKay|\w+ et al\."
)
"""People whose methods are used here: a reader wants to find the paper."""


@dataclass
class Named:
    """A public name."""

    path: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    method: bool

    def __str__(self) -> str:
        return self.path

    @cached_property
    def doc(self) -> str:
        return ast.get_docstring(self.node) or ""

    @cached_property
    def line(self) -> str:
        """The docstring without its line breaks."""
        return " ".join(self.doc.split())

    @cached_property
    def decorators(self) -> list[str]:
        return [ast.unparse(each) for each in self.node.decorator_list]

    @property
    def is_function(self) -> bool:
        """Called with arguments: no class, no property."""
        return not isinstance(self.node, ast.ClassDef) and not any("property" in each for each in self.decorators)

    @cached_property
    def sections(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        lines: list[str] | None = None
        for line in self.doc.splitlines():
            if heading := SECTION.fullmatch(line):
                lines = found.setdefault(heading[1], [])
            elif lines is not None:
                lines.append(line)
        return found

    def entries(self, section: str) -> list[str]:
        """Names that a section describes."""
        lines = self.sections.get(section, [])
        return [entry[1] for line in lines if (entry := re.match(r" {4}\*{0,2}([\w.]+)(?: \([^)]*\))?:", line))]

    @cached_property
    def parameters(self) -> list[ast.arg]:
        assert not isinstance(self.node, ast.ClassDef)
        arguments = self.node.args
        plain = [*arguments.posonlyargs, *arguments.args]
        if self.method and "staticmethod" not in self.decorators:
            plain = plain[1:]
        stars = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        return [*plain, *arguments.kwonlyargs, *stars]


def exported(tree: ast.Module) -> set[str] | None:
    """What ``__all__`` says, where it is written out."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value)) if isinstance(node.value, (ast.List, ast.Tuple)) else None
    return None


def module_of(path: Path) -> str:
    return ".".join(("ferroute", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    """Public modules, and the stub; what only the command line calls is checked by its own help."""
    paths = [PACKAGE / "_core.pyi", *PACKAGE.rglob("*.py"), ROOT / "python" / "routellm" / "__init__.py"]
    found: dict[str, ast.Module] = {}
    for path in sorted(paths):
        inside = path.relative_to(PACKAGE).parts if path.is_relative_to(PACKAGE) else ()
        hidden = [part for part in inside if part.startswith("_") and part not in {"__init__.py", "_core.pyi"}]
        if not hidden and inside[:1] not in {("cli",), ("tests",)}:
            name = module_of(path) if inside else "routellm"
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@cache
def names() -> list[Named]:
    found: list[Named] = []

    def walk(nodes: list[ast.stmt], path: str, method: bool, only: set[str] | None) -> None:
        for node in nodes:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            named = Named(f"{path}.{node.name}", node, method)
            told_elsewhere = any("overload" in each or each.endswith(".setter") for each in named.decorators)
            if node.name.startswith("_") or told_elsewhere or (only is not None and node.name not in only):
                continue
            found.append(named)
            if isinstance(node, ast.ClassDef):
                walk(node.body, named.path, True, None)
                inherit(node, path)

    def inherit(node: ast.ClassDef, module: str) -> None:
        for home, base in bases(node, module):
            if base.name.startswith("_") or home not in modules():
                walk(base.body, f"{home}.{base.name}", True, None)
                inherit(base, home)

    for module, tree in modules().items():
        only = exported(tree)
        walk(tree.body, module, False, only)
        # What a public module hands out may live in a private one.
        for private, handed_out in handed(tree, only or set()).items():
            walk(parsed(private).body, private, False, handed_out)
    for private, returned in RETURNED.items():
        walk(parsed(private).body, private, False, returned)
    return list({str(named): named for named in found}.values())


def bases(node: ast.ClassDef, module: str) -> list[tuple[str, ast.ClassDef]]:
    """Classes of the package that one derives from, with their modules: what they can do, it can."""
    tree = modules().get(module) or parsed(module)
    homes = {
        each.name: str(imported.module)
        for imported in tree.body
        if isinstance(imported, ast.ImportFrom) and (imported.module or "").startswith("ferroute.")
        for each in imported.names
    }
    found: list[tuple[str, ast.ClassDef]] = []
    for name in (ast.unparse(base).split("[")[0] for base in node.bases):
        home = homes.get(name, module)
        body = (modules().get(home) or parsed(home)).body
        found += [(home, each) for each in body if isinstance(each, ast.ClassDef) and each.name == name]
    return found


def handed(tree: ast.Module, only: set[str]) -> dict[str, set[str]]:
    """Private modules, with the names of theirs that a public one hands out."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ferroute"):
            names = {each.name for each in node.names} & only
            if names and node.module not in modules():
                found.setdefault(str(node.module), set()).update(names)
    return found


@cache
def parsed(module: str) -> ast.Module:
    path = ROOT.joinpath("python", *module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def functions() -> list[Named]:
    return [named for named in names() if named.is_function]


def test_the_list_is_the_public_surface():
    told = {str(named) for named in names()}
    assert len(told) > 700
    for name in ferroute.__all__:
        home = getattr(ferroute, name)
        if inspect.isclass(home) or inspect.isfunction(home):
            assert any(path.endswith(f".{home.__qualname__}") for path in told), name
    for name in (
        "controller.Controller.route",
        "_certificate.Certificate",
        "_core.Keys.create",
        "evals._side_by_side.SideBySide.difference",
        "rollout._kept.Kept.observe",
        "_fit_report.FitReport.plot",
    ):
        assert f"ferroute.{name}" in told


def test_every_public_name_has_a_docstring():
    assert [module for module, tree in modules().items() if not ast.get_docstring(tree)] == []
    assert [str(named) for named in names() if not named.doc] == []


def test_args_are_those_of_the_signature():
    wrong = {
        str(named): (given, said)
        for named in functions()
        if "Args" in named.sections
        and sorted(given := [each.arg for each in named.parameters]) != sorted(said := named.entries("Args"))
    }
    assert wrong == {}


def test_every_parameter_is_described():
    # In its own entry or by name in the text. The core is called through the modules above it only.
    silent = [
        f"{named}({each.arg})"
        for named in functions()
        if not named.path.startswith("ferroute._core.")
        for each in named.parameters
        if each.arg not in named.entries("Args") and not re.search(rf"`{each.arg}\b", named.doc)
    ]
    assert silent == []


def raised(named: Named) -> set[str]:
    """Classes of errors that the body itself raises; those of functions inside are theirs."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(named.node.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            name = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            if name[0].isupper() and name != "NotImplementedError":  # left to the class that derives
                found.add(name)
        waiting += ast.iter_child_nodes(node)
    return found


def test_errors_that_are_raised_are_named():
    silent = {
        str(named): missing
        for named in functions()
        if (missing := {name for name in raised(named) if not {name, SAME.get(name, name)} & told_errors(named)})
    }
    assert silent == {}


def test_pictures_say_what_happens_without_matplotlib():
    # It is an extra, so whoever draws may be without it.
    pictures = [
        named for named in functions() if named.path.endswith("plot") or "Axes" in annotation(named.node.returns)
    ]
    assert len(pictures) > 15
    assert [str(named) for named in pictures if "NotBuiltError" not in told_errors(named)] == []


def told_errors(named: Named) -> set[str]:
    return {*named.entries("Raises"), *re.findall(r"[Rr]aises `(\w+)`", named.doc)}


def test_errors_that_are_named_exist():
    known = {name for module in ("builtins", "openai") for name in dir(importlib.import_module(module))}
    for path in [*PACKAGE.rglob("*.py"), PACKAGE / "_core.pyi"]:
        known |= set(re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    known |= set(dir(importlib.import_module("ferroute.errors")))
    wrong = {str(named): lost for named in functions() if (lost := unknown_errors(named, known))}
    assert wrong == {}


def unknown_errors(named: Named, known: set[str]) -> list[str]:
    return [name for name in named.entries("Raises") if name.split(".")[-1] not in known]


def annotation(node: ast.expr | None) -> str:
    return "" if node is None else ast.unparse(node)


@pytest.mark.parametrize("kind", ["given", "returned"])
def test_arrays_have_a_shape(kind):
    def annotations(named: Named) -> list[str]:
        assert not isinstance(named.node, ast.ClassDef)
        if kind == "returned":
            return [annotation(named.node.returns)]
        return [
            annotation(each.annotation) for each in named.parameters if "Callable" not in annotation(each.annotation)
        ]

    arrays = [
        named for named in functions() if any(re.search("ArrayLike|NDArray", each) for each in annotations(named))
    ]
    assert len(arrays) > 30
    assert [str(named) for named in arrays if not SHAPE.search(named.doc)] == []


def test_returned_arrays_have_a_type():
    # An annotation such as NDArray[np.float64] says it; NDArray[Any] does not.
    vague = [
        str(named)
        for named in functions()
        if re.search(r"NDArray\[Any\]|ArrayLike", annotation(named.node.returns))
        and not re.search(r"float\d\d|int\d+|bool", named.doc)
    ]
    assert vague == []


def test_what_does_something_says_what_comes_back():
    silent = [
        str(named)
        for named in functions()
        if annotation(named.node.returns) not in {"", "None", "Self", "NoReturn"}
        and (words := named.doc.split()[:2])
        and words[0] in VERBS
        and " ".join(words) not in NOUNS
        # A class method that makes one of its class, and what says it in its text.
        and named.path.rsplit(".", 2)[1] != annotation(named.node.returns).strip("'\"")
        and not re.search(r"^(Returns|Yields):|\b(returns|gives)\b", named.doc, re.MULTILINE)
    ]
    assert silent == []


def test_quantities_have_a_unit():
    # By the name of a parameter: dollars, seconds and shares are the ones that are mistaken for each other.
    units = {
        r"(share|strong_percent)$": r"0\.\.|0 to 1|percent|%|between 0|fraction|part|share",
        r"(timeout|deadline|drain|interval_s|seconds)$": r"second",
        r"(.*_costs?|costs?|max_mean_cost|budget_usd)$": r"[Dd]ollar",
        r".*_us$": r"microsecond|µs",
        r".*_ms$": r"millisecond|ms",
    }
    silent = []
    for named in functions():
        described = dict(descriptions(named))
        for name, text in described.items():
            for pattern, unit in units.items():
                if re.fullmatch(pattern, name) and not re.search(f"{unit}|as in |as of ", text, re.IGNORECASE):
                    silent.append(f"{named}({name}): {text}")
    assert silent == []


def descriptions(named: Named) -> list[tuple[str, str]]:
    """Parameters with their texts."""
    found: list[tuple[str, str]] = []
    for line in named.sections.get("Args", []):
        if entry := re.match(r" {4}\*{0,2}(\w+)(?: \([^)]*\))?: (.*)", line):
            found.append((entry[1], entry[2]))
        elif found and line.strip():
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
    return found


def test_what_comes_from_somewhere_says_from_where():
    told = {str(named).removeprefix("ferroute."): named.line for named in names()}
    lost = {name: [word for word in words if word not in told.get(name, "")] for name, words in SOURCES.items()}
    assert {name: words for name, words in lost.items() if words} == {}


def test_who_is_named_has_a_year():
    # A number of arXiv does as well: it begins with the year.
    year = r"[^;)]{0,40}?(?:\b(?:19|20)\d\d\b|arXiv:\d{4})"
    vague = [
        f"{named}: {who}"
        for named in names()
        for who in set(AUTHORS.findall(named.line))
        if not re.search(re.escape(who) + year, named.line)
    ]
    assert vague == []


def test_examples_run():
    homes = {home_of(named.path) for named in names()}
    tried = 0
    for module in sorted(homes - {"ferroute._core"}):
        done = doctest.testmod(importlib.import_module(module))
        assert done.failed == 0, module
        tried += done.attempted
    assert tried > 50


def home_of(path: str) -> str:
    """The module that a name lives in."""
    while path not in modules() and not ROOT.joinpath("python", *path.split(".")).with_suffix(".py").exists():
        path = path.rpartition(".")[0]
    return path
