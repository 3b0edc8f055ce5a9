"""Texts of others on a line of ours: a provider's refusal, a router's reason, a model's name."""

from __future__ import annotations

import re

# What moves a terminal's cursor, breaks a line or turns the direction of what follows, and halves of surrogate pairs,
# which cannot be printed. The core does the same with the rest of them; see `src/text/one_line.rs`.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """`text` on one line: each control character, line separator and override of the direction is a space."""
    return text if text.isprintable() else _UNSAFE.sub(" ", text)
