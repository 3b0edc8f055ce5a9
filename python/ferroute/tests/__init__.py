"""RouteLLM's two acceptance scripts: each sends one real prompt through a router and prints the answer.

    python -m ferroute.tests.test_openai_client --router local --threshold 0.5
    python -m ferroute.tests.test_openai_server --router local --base-url http://127.0.0.1:6060/v1

They call models, which costs money and needs keys; they are programs, and hold no test for pytest.
"""

__test__ = False
