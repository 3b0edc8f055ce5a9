"""How a project uses RouteLLM: what it imports, which names it replaces, and where LiteLLM was spoken to.

What keeps working is in docs/coming-from-routellm.md; here it is asked of code, by its syntax tree alone.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from ferroute.doctor._findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute.doctor._files import Code, Document

_OLD, _NEW = "routellm", "ferroute"
_BY_NAME = "It is looked up when it is used, as in RouteLLM"
# Names that existing code replaces, with what is the same and what differs.
PATCH_POINTS = {
    "controller.completion": (
        f"{_BY_NAME}, and receives RouteLLM's keywords. Unpatched it is ferroute's own call, not LiteLLM's"
    ),
    "controller.acompletion": (
        f"{_BY_NAME}, and receives RouteLLM's keywords. Unpatched it is ferroute's own call, not LiteLLM's"
    ),
    "controller.ROUTER_CLS": _BY_NAME,
    "controller.GPT_4_AUGMENTED_CONFIG": f"{_BY_NAME}: by the next Controller without a `config`",
    "routers.routers": "A stand-in put into `sys.modules` needs nothing but ROUTER_CLS, as in RouteLLM",
    "routers.routers.ROUTER_CLS": _BY_NAME,
}
_CLIENT = (
    "An object assigned under this name makes the embeddings, read at each call. Unset, it is made on first use: "
    "importing needs no key. `config={'mf': {'embedder': {...}}}` says the same without a patch"
)
_ROUTER = "Routers are asked by attribute, so methods replaced on classes and instances are used"
_METHODS = ("calculate_strong_win_rate", "route", "get_weightings", "embedding_model")
_PATCHERS = ("patch", "setattr", "delattr", "setitem")
_SETTINGS = ("drop_params", "callbacks", "success_callback", "failure_callback", "set_verbose", "api_base", "api_key")

# LiteLLM's exceptions whose base in `openai` has another name.
_RAISED = {
    "ContentPolicyViolationError": "BadRequestError",
    "ContextWindowExceededError": "BadRequestError",
    "ServiceUnavailableError": "APIStatusError",
    "Timeout": "APITimeoutError",
    "UnsupportedParamsError": "BadRequestError",
}


def of_code(document: Document) -> Iterator[Finding]:
    """Imports, patches, and LiteLLM's part, of a file or a notebook."""
    told: set[str] = set()
    for code in document.code:
        if code.tree is None:
            if _OLD in code.text or _NEW in code.text:
                what, why = "could not be read as Python", "What it imports and patches was not looked at"
                yield Finding("note", "file", what, why, "", document.path, None, code.cell)
            continue
        names = _bound(code.tree)
        uses = any(value.partition(".")[0] in (_OLD, _NEW) for value in names.values())
        for finding in (
            *_imports(code, document.path),
            *_patches(code, names, document.path),
            *(_litellm(code, names, document.path) if uses else ()),
        ):
            # The same import in ten cells is one thing to know.
            if finding.severity != "note" or finding.what not in told:
                told.add(finding.what)
                yield finding


def _bound(tree: ast.Module) -> dict[str, str]:
    """Names of a module with the dotted names that they were imported as."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    found[alias.asname] = alias.name
                else:
                    top = alias.name.partition(".")[0]
                    found[top] = top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _imports(code: Code, path: str) -> Iterator[Finding]:
    assert code.tree is not None  # noqa: S101 - the caller has looked
    good: list[tuple[str, int]] = []
    for node in ast.walk(code.tree):
        asked: list[str] = []
        if isinstance(node, ast.Import):
            asked = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            asked = [f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*"] or [node.module]
        for name in asked:
            if name != _OLD and not name.startswith(f"{_OLD}."):
                continue
            if exists(name):
                good.append((name, node.lineno))  # type: ignore[attr-defined]
            else:
                what = f"imports {name}, which ferroute does not have"
                why = "The import fails under ferroute"
                yield Finding("error", "routellm", what, why, "", path, node.lineno, code.cell)  # type: ignore[attr-defined]
    if good:
        names = ", ".join(dict.fromkeys(name for name, _ in good))
        why = "`routellm` is another name of ferroute, and each of these is there under both"
        line = min(line for _, line in good)
        yield Finding("note", "routellm", f"imports {names}", why, "Nothing to do", path, line, code.cell)


@lru_cache(maxsize=1000)
def exists(name: str) -> bool:
    """Whether ferroute has what RouteLLM calls `name`; ferroute's own modules are imported for it, nothing else."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join([_NEW, *parts[1:length]])
        try:
            if importlib.util.find_spec(module) is None:
                continue
            held: object = importlib.import_module(module)
        except (ImportError, ValueError):
            continue
        for attribute in parts[length:]:
            if not isinstance(held, (ModuleType, type)):
                return True  # a member of an object: reading it may do something, such as ask for a key
            if not hasattr(held, attribute):
                return False
            held = getattr(held, attribute)
        return True
    return False


def _patches(code: Code, names: dict[str, str], path: str) -> Iterator[Finding]:
    assert code.tree is not None  # noqa: S101
    replaced = [found for node in ast.walk(code.tree) for found in _replaced(node, names)]
    for target, line in sorted(replaced, key=lambda each: each[1]):
        if target.startswith(f"{_OLD}."):
            yield _patch(target, path, line, code.cell)


def _replaced(node: ast.AST, names: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Dotted names that a statement puts something else under."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete)):
        targets = [node.target] if isinstance(node, (ast.AnnAssign, ast.AugAssign)) else node.targets
        for target in targets:
            if isinstance(target, ast.Attribute) and (name := _dotted(target, names)):
                yield name, node.lineno
            elif (
                isinstance(target, ast.Subscript)
                and _dotted(target.value, names) == "sys.modules"
                and isinstance(target.slice, ast.Constant)
                and isinstance(target.slice.value, str)
            ):
                yield target.slice.value, node.lineno
    elif isinstance(node, ast.Call):
        called = ast.unparse(node.func) if isinstance(node.func, (ast.Attribute, ast.Name)) else ""
        last = called.rpartition(".")[2]
        if not (last in _PATCHERS or (last in ("object", "dict") and "patch" in called)) or not node.args:
            return
        first, *rest = node.args
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value, node.lineno
        elif rest and isinstance(rest[0], ast.Constant) and isinstance(rest[0].value, str):
            owner = _dotted(first, names)
            if owner == "sys.modules":
                yield rest[0].value, node.lineno
            elif owner:
                yield f"{owner}.{rest[0].value}", node.lineno


def _dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])


def _patch(target: str, path: str, line: int, cell: int | None) -> Finding:
    severity: Severity = "note"
    below, parts, todo = target.removeprefix(f"{_OLD}."), target.split("."), "Nothing to do"
    if below in PATCH_POINTS:
        why = PATCH_POINTS[below]
    elif "OPENAI_CLIENT" in parts and exists(target):
        why = _CLIENT
    elif parts[-1] in _METHODS and below.startswith("routers."):
        why = _ROUTER
    elif exists(target):
        severity, todo = "warning", "Test it; docs/coming-from-routellm.md lists the names that are promised"
        why = "ferroute has this name, and does not promise to look it up where RouteLLM did"
    else:
        severity, todo = "error", "Remove it, or say what it is for through `config` or `CallPolicy`"
        why = "ferroute has no such name: a patch by its name fails, an assignment has no effect"
    return Finding(severity, "patch", f"replaces {target}", why, todo, path, line, cell)


def _litellm(code: Code, names: dict[str, str], path: str) -> Iterator[Finding]:
    assert code.tree is not None  # noqa: S101
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                name = _dotted(target, names) if isinstance(target, ast.Attribute) else None
                if name and name.startswith("litellm.") and name.partition(".")[2] in _SETTINGS:
                    why = "ferroute makes the calls itself, so LiteLLM's settings and callbacks do not apply"
                    todo = '`CallPolicy` has settings of calls; `backend="litellm"` hands them to LiteLLM'
                    if name == "litellm.drop_params":
                        todo = "What a model does not take is left out unasked; `CallPolicy(strict=True)` refuses it"
                    yield Finding("warning", "routellm", f"sets {name}", why, todo, path, node.lineno, code.cell)
        elif isinstance(node, ast.ExceptHandler) and node.type is not None:
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            for each in caught:
                name = _dotted(each, names)
                if name and name.startswith("litellm."):
                    last = _RAISED.get(name.rpartition(".")[2], name.rpartition(".")[2])
                    why = "Failed calls are the exceptions of the `openai` package, which this does not catch"
                    todo = f"Catch openai.{last}, from which LiteLLM's own class derives too"
                    yield Finding("error", "routellm", f"catches {name}", why, todo, path, node.lineno, code.cell)
