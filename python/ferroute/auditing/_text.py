def report(a): return f"<Audit {a.calls} {a.verdict}>"
