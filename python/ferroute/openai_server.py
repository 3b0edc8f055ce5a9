"""The OpenAI-compatible server: ``python -m routellm.openai_server``, with RouteLLM's flags.

Importing it parses no arguments and starts nothing.
"""

from __future__ import annotations

if __name__ == "__main__":
    from ferroute._server_program import main

    main()
