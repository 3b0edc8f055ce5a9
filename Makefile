# Everything a person or CI runs. `make demo` and `make test` need only Rust, Python >= 3.10 and make.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PROFILE := ci
WHEELS  := target/wheels/$(PROFILE)
LLMOCK  := target/llmock
SOURCES := $(shell find src python data/local data/prices Cargo.toml Cargo.lock pyproject.toml README.md LICENSE NOTICE -type f -not -name '*.pyc' 2>/dev/null)

# How a wheel is linked; release jobs for other systems say it differently.
WHEEL_FLAGS   ?= --zig --compatibility manylinux_2_28
# Unpacked, in 10^6 bytes; benches/README.md says what it consists of, and what would have to go.
WHEEL_MOST_MB ?= 25
# Paths of the builder's machine in messages of panics are cut: they say who built it, and no two builds would be alike.
RELEASE_FLAGS := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=crates
# At exit CPython before 3.14 ends threads by unwinding them with glibc's libgcc_s. zig would put an unwinder of its own into
# the library, and of two the process dies; so the library asks for the system's. musl ends threads without.
UNWINDER      := target/unwinder
WHEEL_LINKS   := $(if $(findstring manylinux,$(WHEEL_FLAGS)),-L native=$(CURDIR)/$(UNWINDER) -l dylib:+verbatim=libgcc_s.so.1)
# Peers to measure beside: --peer-python A --litellm-python B --peers DIR --floor PROGRAM --portkey FOLDER
BENCH_FLAGS   ?=

.PHONY: help demo test lint lint-rust lint-python lint-workflows types rust-test py-test docs bench soak quick-wheel wheel sdist smoke \
  release-check fuzz sanitize clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | sort | column -t -s "$$(printf '\t')"

demo: $(VENV)/.installed ## Build, install into a venv, and route real prompts offline
	$(BIN)/ferroute demo --png ferroute-demo.png

test: lint rust-test types docs py-test ## Everything: lints, Rust and Python tests, stubs, types, documentation and its examples
	@echo "make test: all of it passed"

lint: lint-rust lint-python lint-workflows ## Formatting and lints of Rust, Python and the GitHub workflows

lint-rust: ## Formatting, clippy and, where installed, cargo-deny
	cargo fmt --check
	cargo clippy --profile $(PROFILE) --all-targets -- -D warnings
	cargo clippy --profile $(PROFILE) --features python -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check; else echo "not run: cargo deny (cargo install cargo-deny)"; fi

lint-python: $(VENV)/.tools ## Formatting and lints of Python
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-workflows: $(VENV)/.tools ## What a workflow could be made to do by somebody else; offline
	$(BIN)/zizmor --offline --quiet .github

rust-test: ## Rust tests, without Python, and the fuzz corpora
	@if command -v cargo-nextest >/dev/null; then cargo nextest run --cargo-profile $(PROFILE); else cargo test --profile $(PROFILE) --all-targets; fi
	cargo test --profile $(PROFILE) --doc

types: $(VENV)/.installed ## The stub against the built module, and types of the Python face
	$(BIN)/python -m mypy.stubtest ferroute._core --allowlist tests/stubtest-allow.txt
	$(BIN)/pyright

docs: $(VENV)/.installed ## The documentation site, into site/: a warning, a link that leads nowhere or an unlisted page fails
	$(BIN)/python scripts/build_docs.py

py-test: $(VENV)/.installed $(LLMOCK)/.installed ## Python tests on the installed wheel, notebook and documentation examples
	$(BIN)/python -m pytest -n 2 --dist loadfile

# A server that injects faults and judges how a client took them; tests/test_llmock.py runs it.
$(LLMOCK)/.installed: tests/servers/requirements-llmock.txt
	test -x $(LLMOCK)/bin/python || $(PYTHON) -m venv $(LLMOCK)
	$(LLMOCK)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The wheel that tests and demo use: quick to compile, our own code at full optimisation.
$(VENV)/.installed: $(SOURCES) $(VENV)/.tools
	rm -rf $(WHEELS)
	$(BIN)/maturin build --profile $(PROFILE) --out $(WHEELS)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(ls $(WHEELS)/*.whl)[dev,docs,eval]"
	$(BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*.whl
	touch $@

$(VENV)/.tools: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check 'maturin>=1.9.4,<2' 'ruff>=0.13' 'zizmor>=1.20'
	touch $@

# So that benchmarks measure what people install.
bench: export RUSTFLAGS := $(RUSTFLAGS) $(RELEASE_FLAGS)
wheel: export RUSTFLAGS := $(RUSTFLAGS) $(RELEASE_FLAGS) $(WHEEL_LINKS)

quick-wheel: $(VENV)/.tools ## The wheel that tests use, alone: minutes less to build, larger and slower
	rm -rf $(WHEELS)
	$(BIN)/maturin build --profile $(PROFILE) --out $(WHEELS)

wheel: $(VENV)/.tools ## The wheel people install (manylinux_2_28, any CPython from 3.10) into dist/; prints its unpacked size
	$(BIN)/pip install --quiet --disable-pip-version-check ziglang
	rm -rf dist
	mkdir -p $(UNWINDER) && ln -sf "$$($(CC) -print-file-name=libgcc_s.so.1)" $(UNWINDER)/libgcc_s.so.1
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release $(WHEEL_FLAGS) --out dist
	$(BIN)/python scripts/wheel_size.py dist/*.whl --most-mb $(WHEEL_MOST_MB)

sdist: $(VENV)/.tools ## The source distribution, into dist/; its contents are looked at
	rm -f dist/*.tar.gz
	$(BIN)/maturin sdist --out dist
	$(BIN)/python scripts/sdist_contents.py dist/*.tar.gz

smoke: ## The wheel in dist/ in an empty environment without Rust: import, commands, demo
	$(PYTHON) scripts/release_check.py --quick dist/*.whl

release-check: ## All in dist/ (make wheel sdist) in empty environments: README, documentation, notebooks, beside RouteLLM; slow
	$(PYTHON) scripts/release_check.py dist/*

bench: $(VENV)/.tools ## Benchmarks on an optimised build, then docs/benchmarks.md; BENCH_FLAGS adds peers (benches/README.md)
	$(BIN)/maturin build --release --out target/wheels/release
	$(BIN)/pip install --quiet --disable-pip-version-check --force-reinstall "$$(ls -t target/wheels/release/*.whl | head -1)[dev,eval]"
	rm -f $(VENV)/.installed
	cargo bench
	$(BIN)/python benches/run.py $(BENCH_FLAGS)
	$(BIN)/python benches/report.py

soak: $(VENV)/.installed ## A server under 500 requests a second for SOAK_SECONDS (1800): memory and descriptors have to stay flat
	$(BIN)/python scripts/soak.py --seconds $${SOAK_SECONDS:-1800}

fuzz: ## Fuzz each target for FUZZ_SECONDS (60); needs `cargo install cargo-fuzz`; finds go to fuzz/found, what is worth keeping to fuzz/corpus
	cp Cargo.lock fuzz/ && cd fuzz && for target in model_name safetensors wordpiece rules config sse openai_answers anthropic_answers gemini_answers \
	  openai_bodies anthropic_bodies responses_bodies; do \
	  mkdir -p found/$$target && RUSTC_BOOTSTRAP=1 cargo fuzz run $$target found/$$target corpus/$$target -- \
	    -max_total_time=$${FUZZ_SECONDS:-60} || exit 1; done

# Absurd sizes are asked for on purpose, and have to be refused by us, not by the sanitizer.
sanitize: $(VENV)/.installed ## memcheck of the kernels from Python, AddressSanitizer and LeakSanitizer of the Rust tests; docs/hardening.md
	PYO3_BUILD_EXTENSION_MODULE=1 cargo rustc --profile $(PROFILE) --features python --lib --crate-type cdylib
	$(BIN)/python scripts/memcheck.py target/$(PROFILE)/libferroute.so
	@if [ "$$(rustc -vV | sed -n 's/host: //p')" = x86_64-unknown-linux-gnu ]; then \
	  RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=allocator_may_return_null=1 CARGO_TARGET_DIR=target/asan \
	  CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo test --lib --test fuzz_corpus --target x86_64-unknown-linux-gnu; \
	else echo "not run: AddressSanitizer (only on x86-64 Linux)"; exit 1; fi
	@echo "not run: ThreadSanitizer (the standard library would have to be built with it: a nightly toolchain and -Zbuild-std)"

clean: ## Remove what was built
	rm -rf target dist site $(VENV)
