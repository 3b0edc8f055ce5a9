"""What the ledger adds to a call: the caller's time, and the processor time of caller and writer together."""

from __future__ import annotations

import resource
import tempfile
import time

from common import emit, text_of
from ferroute.ledger import Ledger

CALLS = 20_000


def processor_us() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for store, url in (("memory", "memory:"), ("sqlite", f"sqlite:///{folder}/calls.db")):
            for words in (0, 50):
                text = text_of(words) or None
                with Ledger(url) as book:
                    book.flush()
                    add, before, own = book.add, processor_us(), time.thread_time_ns()
                    for _ in range(CALLS):
                        add("gpt-5-mini", cost="0.001", router="local", win_rate=0.5, total_ms=1.0, text=text)
                    caller = (time.thread_time_ns() - own) / 1000 / CALLS
                    book.flush(60)
                    whole = (processor_us() - before) / CALLS
                    emit(
                        "ours_ledger_add",
                        store=store,
                        words=words,
                        unit="us",
                        caller=round(caller, 2),
                        caller_and_writer=round(whole, 2),
                        target_caller=15,
                    )
            if store == "sqlite":
                with Ledger(url) as book:
                    start = time.perf_counter()
                    calls = book.spend().queries
                    emit("ours_ledger_spend", calls=calls, unit="s", seconds=round(time.perf_counter() - start, 3))


if __name__ == "__main__":
    main()
