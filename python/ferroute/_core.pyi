"""The compiled core. Each section mirrors one file of ``src/py``."""

__version__: str
DEBUG_BUILD: bool

# --- routing.rs ---

# --- mf.rs ---

# --- local.rs ---

# --- calls.rs ---

# --- prompts.rs ---
