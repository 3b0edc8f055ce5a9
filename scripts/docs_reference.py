"""Writes the pages of the API reference, from what the modules and the stub say of themselves.

`griffe <https://mkdocstrings.github.io/griffe/>`_ reads the sources without importing them. A public module is one
whose path has no part with a leading underscore; its public names are those of ``__all__``, or else what it defines
without an underscore. Names that a private module defines are shown where the public module hands them out.
"""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).resolve().parent.parent
STUB = "ferroute._core"
"""The one private module with a page: its stub is the documented face of the Rust core."""
SKIPPED = {"ferroute.__main__", "ferroute.cli", "ferroute.tests"}
"""`ferroute.cli` is for people at a terminal: its page is made by `docs_commands`."""
WIDTH = 96


def pages() -> dict[str, str]:
    """The Markdown of each page by its file's name, ``index.md`` and the section's navigation among them.

    Raises:
        ValueError: A public module, class or function has no docstring.
    """
    package = griffe.load("ferroute", search_paths=[ROOT / "python"], docstring_parser="google")
    modules = {module.path: module for module in _modules(package)}
    shown = {path: _members(module) for path, module in modules.items()}
    homes = _homes(shown)
    undocumented = [path for path, names in shown.items() for path in _undocumented(path, modules[path], names)]
    if undocumented:
        raise ValueError("without a docstring: " + ", ".join(undocumented))
    written = {file_of(path): _page(modules[path], names, homes) for path, names in shown.items()}
    return {"index.md": _index(modules, homes), "SUMMARY.md": _navigation(list(shown)), **written}


def file_of(module: str) -> str:
    """The page of a module: ``controller.md`` for ``ferroute.controller``, ``ferroute.md`` for the package."""
    return "ferroute.md" if module == "ferroute" else module.removeprefix("ferroute.").lstrip("_") + ".md"


def _modules(module: Any) -> list[Any]:
    found = [module]
    for name, member in sorted(module.members.items()):
        if member.is_alias or not member.is_module or member.path in SKIPPED:
            continue
        if name.startswith("_") and member.path != STUB:
            continue
        found += _modules(member)
    return found


def _members(module: Any) -> dict[str, Any]:
    """What a module shows, by name, each as the object that defines it."""
    exports = [str(name) for name in module.exports or []]
    if not exports:
        own = (name for name, member in module.members.items() if not (member.is_alias or member.is_module))
        exports = [name for name in own if not name.startswith("_")]
    shown = {}
    for name in exports:
        member = module.members.get(name)
        if member is None or name.startswith("_") or member.is_module:
            continue
        target = _target(member)
        if target is not None and not target.is_module:
            shown[name] = target
    return shown


def _target(member: Any) -> Any:
    try:
        return member.final_target if member.is_alias else member
    except griffe.AliasResolutionError:  # another package's name, handed on: RouteLLM's OPENAI_CLIENT and the like
        return None


def _homes(shown: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Where an object is described: its own path to page and anchor.

    The module that defines it, else the first public one that hands it out; the package itself only lists.
    """
    homes: dict[str, tuple[str, str]] = {}
    for module, names in sorted(shown.items(), key=lambda item: (item[0] == "ferroute", item[0] == STUB)):
        for name, target in names.items():
            if module == "ferroute" and target.path != f"ferroute.{name}":
                homes.setdefault(target.path, (file_of(module), f"ferroute.{name}"))
            elif target.path not in homes or target.path == f"{module}.{name}":
                homes[target.path] = (file_of(module), f"{module}.{name}")
    for module in shown:
        homes[module] = (file_of(module), module)
    for module, names in shown.items():
        for name, target in names.items():
            homes.setdefault(f"{module}.{name}", homes[target.path])
    _add_short_names(homes, shown)
    return homes


def _add_short_names(homes: dict[str, tuple[str, str]], shown: dict[str, dict[str, Any]]) -> None:
    """Classes are also found by their bare name, where only one has it; the core's own are not meant by it."""
    found: dict[str, set[str]] = {}
    for module, names in shown.items():
        for name, target in names.items():
            if target.is_class and module != STUB:
                found.setdefault(name, set()).add(target.path)
    homes.update({name: homes[paths.pop()] for name, paths in found.items() if len(paths) == 1})


def _undocumented(path: str, module: Any, names: dict[str, Any]) -> list[str]:
    if path == STUB:
        return []  # small helpers of the core say it with their names and types
    bare = [] if module.docstring else [path]
    described = {name: target for name, target in names.items() if target.is_class or target.is_function}
    return bare + [f"{path}.{name}" for name, target in described.items() if not target.docstring]


# --- Markdown ---


def _index(modules: dict[str, Any], homes: dict[str, tuple[str, str]]) -> str:
    lines = [
        "# Reference",
        "",
        "Every public module with its names, made from the sources by `scripts/docs_reference.py`.",
        "`routellm` is another name for `ferroute`, module by module, so all of it can be imported from there too.",
        "",
    ]
    for path, module in sorted(modules.items(), key=lambda item: (item[0] == STUB, item[0])):
        summary = module.docstring.value.split("\n\n")[0].replace("\n", " ") if module.docstring else ""
        if path == STUB:
            summary = "The Rust core, as its stub describes it; use the modules above, which call it."
        lines.append(f"- [`{path}`]({file_of(path)}): {_prose(summary, 'index.md', homes)}")
    return "\n".join(lines) + "\n"


def _navigation(paths: list[str]) -> str:
    """The section in the syntax of literate-nav: packages with modules of their own are folded up."""
    lines = ["- [Overview](index.md)", "- [Commands](commands.md)", "- [ferroute](ferroute.md)"]
    lines += _branches("ferroute", [path for path in paths if path != STUB], "")
    return "\n".join([*lines, f"- [The Rust core]({file_of(STUB)})", ""])


def _branches(package: str, paths: list[str], indent: str) -> list[str]:
    """The modules right below a package, and theirs below them."""
    lines: list[str] = []
    for path in sorted(path for path in paths if path.rpartition(".")[0] == package):
        name = path.rpartition(".")[2]
        below = _branches(path, paths, indent + "    ")
        lines.append(f"{indent}- {name}" if below else f"{indent}- [{name}]({file_of(path)})")
        lines += [f"{indent}    - [the package]({file_of(path)})", *below] if below else []
    return lines


def _page(module: Any, names: dict[str, Any], homes: dict[str, tuple[str, str]]) -> str:
    here = file_of(module.path)
    # The core is for those who work on it: a search is about the modules that call it.
    lines = ["---", "search: { exclude: true }", "---", ""] if module.path == STUB else []
    lines += [f"# {module.path} {{ #{module.path} data-toc-label='{module.path}' }}", ""]
    if module.docstring:
        for section in module.docstring.parse("google", warnings=False):
            lines += _section(section, here, homes)
    listed = {name: target for name, target in names.items() if homes[target.path] != (here, f"{module.path}.{name}")}
    if listed:
        lines += ["| Name | |", "|---|---|"]
        for name, target in sorted(listed.items()):
            page, anchor = homes[target.path]
            lines.append(f"| [`{name}`]({page}#{anchor}) | {_cell(_prose(_summary(target), here, homes))} |")
        lines.append("")
    for name, target in names.items():
        if name not in listed:
            lines += _described(target, f"{module.path}.{name}", name, 2, here, homes)
    return "\n".join(lines) + "\n"


def _described(
    item: Any, anchor: str, shown: str, level: int, here: str, homes: dict[str, tuple[str, str]]
) -> list[str]:
    lines = [f"{'#' * level} `{shown}` {{ #{anchor} data-toc-label='{shown.rsplit('.', 1)[-1]}' }}", ""]
    if (
        item.is_function
        or (item.is_class and "__init__" in item.members)
        or (item.is_class and "__new__" in item.members)
    ):
        lines += ["```python", _signature(item, shown), "```", ""]
    elif item.is_attribute:
        lines += ["```python", _attribute(item, shown), "```", ""]
    if item.is_class:
        bases = [str(base) for base in item.bases if str(base) in homes or hasattr(builtins, str(base))]
        linked = ", ".join(_linked(base, here, homes) for base in bases)
        lines += [f"Derives from {linked}.", ""] if bases else []
    if item.docstring:
        for section in item.docstring.parse("google", warnings=False):
            lines += _section(section, here, homes)
    if item.is_class:
        for name, member in item.members.items():
            if (
                name.startswith("_")
                or member.is_alias
                or member.is_class
                or not (member.docstring or member.is_function)
            ):
                continue
            if member.is_attribute and "property" not in member.labels:
                continue
            if any("overload" in str(decorator.value) for decorator in getattr(member, "decorators", [])):
                continue
            lines += _described(member, f"{anchor}.{name}", f"{shown}.{name}", level + 1, here, homes)
    return lines


def _signature(item: Any, shown: str) -> str:
    function = item
    if item.is_class:
        function = item.members.get("__init__") or item.members["__new__"]
        if function.is_alias:
            return f"{shown}(...)"
    parts = []
    seen_positional_only = seen_keyword_only = False
    for parameter in function.parameters:
        kind = parameter.kind.value
        if parameter.name in ("self", "cls") and not parts:
            continue
        if kind == "positional-only":
            seen_positional_only = True
        elif seen_positional_only:
            parts.append("/")
            seen_positional_only = False
        if kind == "keyword-only" and not seen_keyword_only:
            parts.append("*")
            seen_keyword_only = True
        if kind == "variadic positional":
            seen_keyword_only = True
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        text = stars + parameter.name
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is not None and not stars:
            text += f" = {parameter.default}" if parameter.annotation is not None else f"={parameter.default}"
        parts.append(text)
    if seen_positional_only:
        parts.append("/")
    returns = "" if item.is_class or function.returns is None else f" -> {function.returns}"
    line = f"{shown}({', '.join(parts)}){returns}"
    if len(line) <= WIDTH:
        return line
    return f"{shown}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _attribute(item: Any, shown: str) -> str:
    text = shown + (f": {item.annotation}" if item.annotation is not None else "")
    value = "" if item.value is None else str(item.value)
    return f"{text} = {value}" if value and len(text) + len(value) <= WIDTH and "\n" not in value else text


def _section(section: Any, here: str, homes: dict[str, tuple[str, str]]) -> list[str]:
    kind = section.kind.value
    if kind == "text":
        return [_prose(section.value, here, homes), ""]
    if kind == "examples":
        return [text if kind.value == "text" else f"```pycon\n{text}\n```\n" for kind, text in section.value]
    if kind == "admonition":
        text = section.value.description
        if text.startswith(">>>"):
            return ["```pycon", text, "```", ""]
        return [f"**{section.title}** {_prose(text, here, homes)}", ""]
    if not isinstance(section.value, list):
        return [_prose(str(section.value), here, homes), ""]
    title = {"parameters": "Arguments", "other parameters": "More arguments"}.get(kind, kind.capitalize())
    lines = [f"**{title}**", ""]
    for entry in section.value:
        name = getattr(entry, "name", "") or ""
        annotation = str(entry.annotation) if kind in ("raises", "warns") and entry.annotation is not None else ""
        head = f"**`{name}`**: " if name else f"{_linked(annotation, here, homes)}: " if annotation else ""
        text = _prose(entry.description, here, homes).replace("\n", "\n    ")
        lines.append(f"- {head}{text}")
    return [*lines, ""]


def _prose(text: str, here: str, homes: dict[str, tuple[str, str]]) -> str:
    """A docstring's text: known names in backticks become links, reST's links Markdown's."""
    text = re.sub(r"`([^`<]+?) <(https?://[^>]+)>`_", r"[\1](\2)", text)
    text = re.sub(r"::\n\n(?=    )", ":\n\n", text)
    text = re.sub(r"`{1,2}docs/([\w-]+)\.md`{1,2}", r"[\1](../\1.md)", text)
    return re.sub(r"(?<!`)`(ferroute\.[\w.]+|[A-Z]\w+)`(?!`)", lambda match: _linked(match[1], here, homes), text)


def _linked(path: str, here: str, homes: dict[str, tuple[str, str]]) -> str:
    found = homes.get(path)
    if found is None and "." in path:  # a method: the place of its class, whose anchors go on with the method's name
        owner, _, name = path.rpartition(".")
        if owner in homes and re.fullmatch(r"[a-z_]\w*", name):
            return f"[`{owner.rsplit('.', 1)[-1]}.{name}`]({homes[owner][0]}#{homes[owner][1]})"
    if found is None:
        return f"`{path}`"
    page, anchor = found
    return f"[`{path.rsplit('.', 1)[-1]}`]({'' if page == here else page}#{anchor})"


def _summary(item: Any) -> str:
    return item.docstring.value.split("\n\n")[0].replace("\n", " ") if item.docstring else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
