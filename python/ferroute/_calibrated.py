"""Which calibration table a router of the Controller follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute import _tables
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Mapping


def calibrated(name: str, entry: Mapping[str, Any] | None, router: Any) -> Any:
    """The calibration table of a router: the one its entry names, else a saved one that fits it; False: none."""
    named: Any = entry.get(_tables.KEY) if entry else None
    if named is False:
        return None
    if named and type(named) is not str and not hasattr(named, "__fspath__"):
        raise InvalidTypeError(f"{name}: calibration: expected the path of a table, found {named!r:.60}")
    path = named or _tables.find(name, entry, router)
    if path is None:
        return None
    from ferroute.thresholds import CalibrationTable

    try:
        table = CalibrationTable.load(path)
        if table.router != name or table.fingerprint not in {None, _tables.fingerprint(name, entry, router)}:
            raise InvalidValueError(
                f"{path}: this calibration table was made with "
                f"{'another configuration' if table.router == name else f'the router {table.router!r}'}, so its "
                f"thresholds do not fit {name!r} as it is configured here: calibrate again"
            )
    except (ValueError, OSError) as error:
        if named:
            raise
        import warnings

        warnings.warn(f"the calibration table of {name!r} is left aside: {error}", RuntimeWarning, stacklevel=3)
        return None
    return table
