"""Builds the documentation site into ``site/``: ``make docs``.

Zensical makes pages of what lies in ``target/docs``, which this puts there: the pages of ``docs/``, the API reference
(`docs_reference`), the commands (`docs_commands`), and every file outside of ``docs/`` that a page links to. So links
are written as GitHub follows them, the site is closed in itself, and no address of a repository is in it.

Anything wrong ends the build: what ``zensical build --strict`` warns of (links and anchors that lead nowhere), a page
that is missing from the navigation or from the disk, a list that GitHub shows otherwise than the site, a link of the
finished pages that leads nowhere, and anything that a browser would fetch from elsewhere.
"""

from __future__ import annotations

import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import docs_commands
import docs_reference

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / "target" / "docs"
SITE = ROOT / "site"
SHOWN = {".md": "", ".ipynb": "", ".py": "python", ".yaml": "yaml"}
"""What becomes a page, and the language of its block."""
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
ITEM = re.compile(r"( *)(?:[-*+]|\d+\.) ")
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "srcset", "video": "src", "audio": "src"}
FETCHING_LINKS = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
WORKER_SHIM = "https://unpkg.com/iframe-worker/shim"
"""What Zensical's pages fetch so that the search works from a disk; `docs/assets/worker-from-file.js` does it here."""


def main() -> None:
    shutil.rmtree(STAGE, ignore_errors=True)
    stage()
    shutil.rmtree(SITE, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).split("Traceback")[0])
    own_worker()
    wrong = [*unlisted(), *lists(), *finished()]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{SITE.name}/: {len(list(SITE.rglob('*.html')))} pages, all links lead somewhere")


# --- what Zensical is given ---


def stage() -> None:
    """Fills ``target/docs``. Files outside of ``docs/`` go to ``files/``, in the tree they have in the repository."""
    waiting = [path for path in (ROOT / "docs").rglob("*") if path.is_file()]
    seen = set(waiting)
    while waiting:
        source = waiting.pop()
        target = STAGE / staged(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix != ".md":
            shutil.copyfile(source, target)
            continue
        if source.suffix != ".md":
            shutil.copyfile(source, target.with_name(source.name))
        text, linked = rewritten(source)
        target.write_text(text, encoding="utf-8")
        waiting += linked - seen
        seen |= linked
    reference = STAGE / "reference"
    reference.mkdir()
    for name, text in {**docs_reference.pages(), "commands.md": docs_commands.page()}.items():
        (reference / name).write_text(text, encoding="utf-8")


def staged(source: Path) -> Path:
    """Where a file of the repository lies in the site; of a public module's source, its page in the reference."""
    inside = source.relative_to(ROOT)
    if inside.suffix == ".py" and inside.parts[:2] == ("python", "ferroute"):
        module = ".".join(inside.with_suffix("").parts[1:]).removesuffix(".__init__")
        if not any(part.startswith("_") for part in module.split(".")):
            return Path("reference", docs_reference.file_of(module))
    if inside.parts[0] == "docs":
        return inside.relative_to("docs")
    if inside.name == "README.md":  # called by its folder: a README would be the front page of its section
        inside = inside.parent.with_suffix(".md")
    return Path("files", inside.with_suffix(".md") if inside.suffix in SHOWN else inside)


def _in(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def markdown(source: Path) -> str:
    """A file as a page: Markdown as it is, a notebook cell by cell, other texts as a block."""
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".md":
        return text
    head = f"The file itself: [{source.name}]({source.name})\n\n"
    if source.suffix != ".ipynb":
        return f"# {_in(ROOT, source)}\n\n{head}```{SHOWN[source.suffix]}\n{text}```\n"
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    title, *rest = [said if kind == "markdown" else f"```python\n{said}\n```" for kind, said in cells]
    return "\n\n".join([title, head, *rest, ""])


def rewritten(source: Path) -> tuple[str, set[Path]]:
    """A page with its links as they are in the site, and the files outside of ``docs/`` that it links to.

    Raises:
        SystemExit: A link leads to nothing, or out of the repository.
    """
    linked: set[Path] = set()

    def one(match: re.Match[str]) -> str:
        url = urlsplit(match[2])
        if url.scheme or url.netloc or not url.path or url.path == source.name:
            return match[0]
        target = (source.parent / unquote(url.path)).resolve()
        if target.is_dir():
            target /= "README.md"
        if not target.is_relative_to(ROOT) or not target.is_file():
            sys.exit(f"{_in(ROOT, source)}: {match[2]} leads nowhere")
        if staged(target).parts[0] == "files":
            linked.add(target)
        path = Path(os.path.relpath(staged(target), staged(source).parent)).as_posix()
        return f"{match[1]}{path}{'#' + url.fragment if url.fragment else ''}{match[3]}"

    pieces, end = [], 0
    text = markdown(source)
    for fence in FENCE.finditer(text):
        pieces += [LINK.sub(one, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, LINK.sub(one, text[end:])]), linked


def own_worker() -> None:
    """Puts our script into the place of the one that pages would fetch."""
    for path in SITE.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        own = Path(os.path.relpath(SITE / "assets" / "worker-from-file.js", path.parent)).as_posix()
        path.write_text(text.replace(WORKER_SHIM, own), encoding="utf-8")


# --- what Zensical does not look at ---


def unlisted() -> list[str]:
    """Pages of ``docs/`` that the navigation leaves out, and entries of it that are no page."""
    text = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    listed = set(re.findall(r'"([\w./-]+\.md)"', text))
    pages = {_in(ROOT / "docs", path) for path in (ROOT / "docs").rglob("*.md")}
    made = {_in(STAGE, path) for path in STAGE.rglob("*.md")}
    return [f"docs/{name}: in no section of zensical.toml" for name in sorted(pages - listed)] + [
        f"zensical.toml: {name} is no page" for name in sorted(listed - made)
    ]


def lists() -> list[str]:
    """Lists of ``docs/`` that only GitHub takes for such: the site wants a blank line before, four columns inside."""
    wrong = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        before = ""
        text = FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), path.read_text(encoding="utf-8"))
        for number, line in enumerate(text.split("\n"), 1):
            item = ITEM.match(line)
            where = f"{_in(ROOT, path)}:{number}"
            if item and 0 < len(item[1]) < 4:
                wrong.append(f"{where}: an inner list is indented by four columns")
            if item and not item[1] and before.strip() and not (ITEM.match(before) or before.startswith("  ")):
                wrong.append(f"{where}: a blank line belongs before a list")
            before = line
    return wrong


class _Page(html.parser.HTMLParser):
    """What a finished page links to, what it makes a browser fetch, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.anchors |= {has[name] for name in ("id", "name") if name in has}
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        if tag in FETCHED and has.get(FETCHED[tag]):
            self.fetched.append(has[FETCHED[tag]])
        if tag == "link" and FETCHING_LINKS & set(has.get("rel", "").split()):
            self.fetched.append(has.get("href", ""))


def finished() -> list[str]:
    """What is wrong with the finished pages."""
    pages = {}
    for path in sorted(SITE.rglob("*.html")):
        pages[path] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    wrong = []
    for path, page in pages.items():
        here = _in(SITE, path)
        for address in page.links + page.fetched:
            url = urlsplit(address)
            if url.scheme or url.netloc:
                if address in page.fetched and url.scheme != "data":
                    wrong.append(f"{here}: a browser would fetch {address}")
                continue
            target = path
            if url.path and here != "404.html":  # whose links start at the root of wherever the site is put
                target = Path(os.path.normpath(path.parent / unquote(url.path)))
                target = target / "index.html" if target.is_dir() else target
                if not target.exists():
                    wrong.append(f"{here}: {address} leads nowhere")
                    continue
            if url.fragment and target in pages and unquote(url.fragment) not in pages[target].anchors:
                wrong.append(f"{here}: {address}: no such anchor")
    for path in SITE.rglob("*.css"):
        found = re.findall(
            r"url\([\"']?(https?://[^)\"']+)|@import[^;]*?(https?://[^\"');]+)", path.read_text(encoding="utf-8")
        )
        wrong += [f"{_in(SITE, path)}: a browser would fetch {''.join(address)}" for address in found]
    return wrong


if __name__ == "__main__":
    main()
