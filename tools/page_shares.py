"""What the pages' height is made of, in Read and in Check: text, figures, tables, code.

usage: page_shares.py [WIDTH]      of the built chapters, in Chromium; 1280 pixels wide by default
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "book" / "_ext")]
import browser  # noqa: E402
import chapters  # noqa: E402

# Each pixel of the article's height belongs to the first of these kinds that reaches it, or is
# space. What is folded has no height, but the line that names it, where nothing stands beside it.
KINDS = {
    "figures": "figure, .explorable, .opening-picture",
    "tables": "table, [data-fold=claims] > summary",
    "printed": ".cell_output .stream",
    "code": ".highlight",
    "prose": "p, li, h1, h2, h3, dl, .math, .admonition, .guess",
    "folds": "details[data-fold]:not([data-fold=guess]) > summary",
}
SHARES = """kinds => {
  const article = document.querySelector('.bd-article'), box = article.getBoundingClientRect();
  const height = Math.round(box.height), owner = new Array(height).fill('space');
  const marks = Object.entries(kinds).reverse();
  for (const [kind, selector] of marks)
    for (const part of article.querySelectorAll(selector)) {
      if (!part.checkVisibility({ contentVisibilityAuto: true })) continue;
      const place = part.getBoundingClientRect();
      const top = Math.max(0, Math.floor(place.top - box.top));
      owner.fill(kind, top, Math.min(height, Math.ceil(place.bottom - box.top)));
    }
  const shares = { height };
  for (const kind of owner) shares[kind] = (shares[kind] || 0) + 1 / height;
  return shares;
}"""


def shares(page: browser.Page, reading: str) -> dict[str, float]:
    """The shares of one page's height, and the height in pixels."""
    page.click(f"[data-set-reading={reading}]")
    return page.evaluate(SHARES, KINDS)


def main() -> None:
    """Print a row for each chapter."""
    width = int(sys.argv[1]) if len(sys.argv) > 1 else 1280
    names = list(chapters.chapters(ROOT / "_toc.yml", ROOT / "book"))
    kinds = [*KINDS, "space"]
    with browser.started() as chromium:
        context = chromium.new_context(viewport={"width": width, "height": 800})
        print(f"{'chapter':26}{'':7}{'pixels':>7}" + "".join(f"{kind:>9}" for kind in kinds))
        for reading in ("read", "check"):
            sums = dict.fromkeys([*kinds, "height"], 0.0)
            for name in names:
                page, _ = browser.show(context, browser.HTML / f"{name}.html")
                found = shares(page, reading)
                page.close()
                print_row(name, reading, found, kinds)
                for kind in kinds:
                    sums[kind] += found.get(kind, 0) * found["height"]
                sums["height"] += found["height"]
            mean = {kind: sums[kind] / sums["height"] for kind in kinds}
            print_row("all", reading, {**mean, "height": sums["height"]}, kinds)


def print_row(name: str, reading: str, found: dict[str, float], kinds: list[str]) -> None:
    """One line of the table."""
    parts = "".join(f"{found.get(kind, 0):>9.1%}" for kind in kinds)
    print(f"{name:26}{reading:7}{found['height']:>7.0f}{parts}")


if __name__ == "__main__":
    main()
