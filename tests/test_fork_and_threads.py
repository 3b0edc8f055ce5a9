"""A Controller in a forked child and under many threads."""

from __future__ import annotations

import os
import threading

import pytest

from fakeserver import FakeServer
from ferroute.controller import Controller

HELLO = [{"role": "user", "content": "hello"}]


def create(controller):
    return controller.chat.completions.create(model="router-local-0.0", messages=HELLO)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not run: no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_routes_and_calls():
    with FakeServer() as server:
        controller = Controller(["local"], "openai/big", "openai/small", api_base=server.url, api_key="k")
        assert create(controller).model == "big"  # the parent's runtime and connections exist now
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            text = "failed"
            try:
                text = create(controller).model + " " + str(controller.decide("x", "local", 0.5).win_rate)
            finally:
                os.write(writer, text.encode())
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        assert os.waitpid(child, 0)[1] == 0
        assert text == f"big {controller.decide('x', 'local', 0.5).win_rate}"
        assert create(controller).model == "big"


def test_one_controller_many_threads():
    with FakeServer() as server:
        controller = Controller(["local", "random"], "openai/big", "openai/small", api_base=server.url, api_key="k")
        models, errors = [], []

        def work():
            try:
                models.extend(create(controller).model for _ in range(10))
            except BaseException as e:
                errors.append(e)

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert models == ["big"] * 160
    assert controller.model_counts == {"local": {"openai/big": 160}}
