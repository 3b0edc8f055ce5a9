"""A Controller in a forked child and under many threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from fakeserver import Answer, FakeServer
from ferroute.controller import Controller
from hostile.limits import child

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


# --- children of every kind, with everything that a process may hold ---

_IN_CHILDREN = """
import multiprocessing, sys, threading, warnings
from ferroute.controller import Controller

HELLO = [{"role": "user", "content": "hello"}]

def ask(controller, prompts):
    rates = controller.batch_calculate_win_rate(prompts, "local")
    answer = controller.chat.completions.create(model="router-local-0.0", messages=HELLO)
    chosen = controller.decide_batch(prompts, "local", 0.5)
    controller.ledger.flush(20)
    return [float(rate) for rate in rates], answer.model, [decision.model for decision in chosen]

if __name__ == "__main__":
    url, method, path = sys.argv[1:]
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: that is what is tested
    c = Controller(["local"], "openai/big", "openai/small", api_base=url, api_key="k", ledger=f"sqlite:///{path}")
    prompts = [f"what is {i}?" for i in range(500)]
    here = ask(c, prompts)  # threads, connections and the ledger's writer exist now
    with multiprocessing.get_context(method).Pool(2) as pool:
        there = pool.starmap(ask, [(c, prompts)] * 4)
    assert all(each == here for each in there), there
    assert ask(c, prompts) == here
    c.ledger.flush(20)
    assert c.spend().queries == 6, c.spend().queries
    print("fine")
"""


@pytest.mark.skipif(os.name == "nt", reason="not run: no fork on this system")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_every_kind_score_and_call(method, tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(_IN_CHILDREN)
    with FakeServer() as server:
        command = [sys.executable, script, server.url, method, str(tmp_path / "calls.db")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.strip() == "fine", ended.stderr[-3000:]


@pytest.mark.skipif(os.name == "nt", reason="not run: no fork on this system")
def test_a_child_of_a_server_leaves_it_alone(tmp_path):
    """The child has the sockets but none of the threads; it may route, call and serve, and takes nothing with it."""
    with FakeServer() as server:
        ended = child(
            """
            import os, signal, warnings, httpx
            from ferroute.controller import Controller
            from ferroute.gateway import Gateway
            warnings.simplefilter("ignore")
            c = Controller(["local"], "openai/big", "openai/small", api_base=sys.argv[1], api_key="k",
                           ledger=f"sqlite:///{sys.argv[2]}")
            hello = {"model": "router-local-0.0", "messages": [{"role": "user", "content": "hello"}]}
            def post(gateway):
                return httpx.post(f"{gateway.url}/v1/chat/completions", json=hello, timeout=10).json()["model"]
            with Gateway(c, port=0) as gateway:
                assert post(gateway) == "big"
                children = []
                for _ in range(3):
                    pid = os.fork()
                    if pid == 0:
                        signal.alarm(15)
                        code = 1
                        try:
                            assert c.decide("hi", "local", 0.5).model
                            assert c.chat.completions.create(**hello).model == "big"
                            gateway.stop()  # of a server whose threads are not here
                            with Gateway(c, port=0) as other:
                                assert post(other) == "big"
                            assert post(gateway) == "big"  # the parent's, which goes on
                            c.ledger.flush(10)
                            code = 0
                        finally:
                            os._exit(code)
                    children.append(pid)
                assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
                assert post(gateway) == "big"
            c.ledger.flush(10)
            print(c.spend().queries)
            """,
            server.url,
            tmp_path / "calls.db",
            seconds=40,
        )
    assert ended.stdout.strip() == str(2 + 3 * 3), ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="not run: no fork on this system")
def test_forks_in_the_middle_of_everything(tmp_path):
    """While other threads score, embed and read streams, a child made then does the same, or ends; it never hangs."""
    with FakeServer() as server:
        ended = child(
            """
            import os, signal, threading, time, warnings
            import numpy as np
            from ferroute import _core
            from ferroute.controller import Controller
            warnings.simplefilter("ignore")
            c = Controller(["local"], "openai/big", "openai/small", api_base=sys.argv[1], api_key="k")
            embedder = _core.Embedder("openai/e", api_base=sys.argv[1], api_key="k", cache_size=0)
            model = _core.MfModel.from_arrays(np.ones((3, 8)), np.ones((1, 8)), np.ones((8, 16)))
            hello = {"model": "router-local-0.0", "messages": [{"role": "user", "content": "hello"}]}
            def score(): c.batch_calculate_win_rate(["what is this?"] * 200, "local")
            def embed(): embedder.embed_batch(["a", "b"])
            def stream(): assert list(c.chat.completions.create(stream=True, **hello))
            def multiply(): model.win_rates(np.ones((2000, 16)), 0, 1)
            work, stop, failed = [score, embed, stream, multiply], threading.Event(), []
            # Once before: CPython's locks of modules do not survive a fork in the middle of their first import.
            for each in work: each()
            def again(each):
                try:
                    while not stop.is_set():
                        each()
                except BaseException as error:
                    failed.append(error)
            threads = [threading.Thread(target=again, args=(each,)) for each in work]
            for thread in threads: thread.start()
            for _ in range(8):
                time.sleep(0.02)
                pid = os.fork()
                if pid == 0:
                    signal.alarm(15)
                    code = 1
                    try:
                        for each in work: each()
                        code = 0
                    finally:
                        os._exit(code)
                assert os.waitpid(pid, 0)[1] == 0
            stop.set()
            for thread in threads: thread.join()
            assert not failed, failed
            print("fine")
            """,
            server.url,
            seconds=60,
        )
    assert ended.stdout.strip() == "fine"


@pytest.mark.parametrize("work", ["calls", "scores"])
def test_a_daemon_thread_at_work_when_the_interpreter_ends(work: str):
    """The end takes a second here, so that the thread looks for signals in the middle of it."""
    with FakeServer() as server:
        server.then(Answer(delay=0.8))
        ended = child(
            f"""
            import threading, time
            import numpy as np
            import ferroute
            from ferroute.controller import Controller
            controller = Controller(["local"], "openai/big", "openai/small", api_base=sys.argv[1], api_key="k")
            rates = np.random.default_rng(0).random(300_000)
            def calls():
                controller.chat.completions.create(
                    model="router-local-0.0", messages=[{{"role": "user", "content": "hi"}}])
            def scores():
                ferroute.calibrate.guarantee(rates, rates, rates, max_quality_loss=0.1)
            class Slow:
                def __del__(self, sleep=time.sleep): sleep(1.2)
            sys.modules["slow"] = Slow()  # what modules hold goes when nobody gets the interpreter any more
            threading.Thread(target={work}, daemon=True).start()
            time.sleep(0.3)
            print("fine")
            """,
            server.url,
            seconds=30,
        )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "fine\n", "")
