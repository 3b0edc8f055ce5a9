"""Names that a model matches, as patterns in which * is any text and # one digit."""

from __future__ import annotations

import re
from typing import Any

NO_SLASH = "(?![^/]+/)"
NO_SPEECH = "^(?!.*-[tT][tT][sS](?:$|-))"


def regex(source: str) -> Any:
    """The few forms of expression that are used, as patterns; anything else stops the script."""
    if source == NO_SPEECH:
        return {"not": ["*-tts", "*-tts-*"]}
    if source.startswith("^" + NO_SLASH):
        return {"all": [{"not": "*/*"}, regex("^" + source[1 + len(NO_SLASH) :])]}
    if not source.startswith("^"):
        raise SystemExit(f"an expression this script does not know: {source}")
    found = sorted(expand(source[1:].removesuffix("$")))
    end = "" if source.endswith("$") else "*"
    return [text + end for text in found] if len(found) > 1 else found[0] + end


TOKEN = re.compile(
    r"\\d\{(?P<many>\d+)\}|(?P<digit>\\d)|\\(?P<escaped>[^\w])|\[(?P<set>[\w@-]+)\]|(?P<plain>[\w/:@=-])"
)


def expand(source: str) -> set[str]:
    """All texts an expression of literals, digits, sets, optional groups and alternatives stands for."""
    texts, rest = {""}, source
    while rest:
        if rest.startswith("("):
            inner, rest = group(rest)
            choices = {text for part in alternatives(inner.removeprefix("?:")) for text in expand(part)}
        else:
            token = TOKEN.match(rest)
            if not token:
                raise SystemExit(f"an expression this script does not know: {source}")
            rest = rest[token.end() :]
            if token["many"]:
                choices = {"#" * int(token["many"])}
            elif token["digit"]:
                choices = {"#"}
            else:
                choices = set(token["set"] or token["escaped"] or token["plain"])
        if rest.startswith("?"):
            rest, choices = rest[1:], choices | {""}
        texts = {text + choice for text in texts for choice in choices}
    return texts


def group(source: str) -> tuple[str, str]:
    depth = 0
    for index, sign in enumerate(source):
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return source[1:index], source[index + 1 :]
    raise SystemExit(f"an open bracket: {source}")


def alternatives(source: str) -> list[str]:
    parts, depth = [""], 0
    for sign in source:
        depth += (sign == "(") - (sign == ")")
        if sign == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def holds(pattern: Any, name: str) -> bool:
    if isinstance(pattern, list):
        return any(holds(each, name) for each in pattern)
    if isinstance(pattern, dict):
        return (
            all(holds(each, name) for each in pattern["all"]) if "all" in pattern else not holds(pattern["not"], name)
        )
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\#", "[0-9]"), name) is not None
