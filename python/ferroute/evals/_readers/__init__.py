"""One module a layout, each with ``detects`` and ``read``; `ferroute.evals.reading` chooses among them."""
