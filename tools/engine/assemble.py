"""Assemble ``products.wat`` into ``book/_static/explorables/engine-products.js``.

usage: assemble.py

The bytes go into the script as text: a page that was opened from disk may not fetch them.
"""

import base64
from pathlib import Path

import wasmtime

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "products.wat"
SCRIPT = HERE.parents[1] / "book" / "_static" / "explorables" / "engine-products.js"


def script() -> str:
    """The file that a page loads."""
    code = base64.b64encode(wasmtime.wat2wasm(SOURCE.read_text(encoding="utf-8"))).decode()
    made = "// Made by `make explorables` from tools/engine/products.wat."
    return f'{made}\nvar EngineProducts = "{code}";\n'


if __name__ == "__main__":
    SCRIPT.write_text(script(), encoding="utf-8")
    print(f"engine-products: {len(script()) / 1000:.1f} kB")
