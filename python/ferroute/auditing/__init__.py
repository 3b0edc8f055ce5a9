"""What logs alone can say: what could move to a cheaper model, what that would save, which prompts to label.

`ferroute.audit` is the entrance. No key is needed, nothing is fetched, and nothing leaves the machine.
"""

from __future__ import annotations

from ferroute.auditing._audit import SHARES, audit
from ferroute.auditing._findings import Findings
from ferroute.auditing._formats import NoCallsError
from ferroute.auditing._habits import Habits
from ferroute.auditing._labels import Labels, is_labels, read_labels
from ferroute.auditing._quality import BETTER, NO_SAVING, NOT_PROVEN, Quality
from ferroute.auditing._report import Audit
from ferroute.auditing._saving import Saving
from ferroute.auditing._tables import Dear, ModelSpend, Part

__all__ = [
    "BETTER",
    "NOT_PROVEN",
    "NO_SAVING",
    "SHARES",
    "Audit",
    "Dear",
    "Findings",
    "Habits",
    "Labels",
    "ModelSpend",
    "NoCallsError",
    "Part",
    "Quality",
    "Saving",
    "audit",
    "is_labels",
    "read_labels",
]
