"""Build the SVG sprite from bootstrap-icons: ``python tools/build_icons.py <icons directory>``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

NAMES = [
    "check-circle-fill",
    "exclamation-triangle-fill",
    "x-circle-fill",
    "arrow-repeat",
    "clock",
    "hourglass-split",
    "link-45deg",
    "slash-circle",
    "person",
    "people",
    "box-arrow-right",
    "search",
    "plus-lg",
    "pencil",
    "trash",
    "gear",
    "list",
    "shop",
    "tablet",
    "phone",
    "grid-3x3-gap",
    "calendar3",
    "cash-coin",
    "receipt",
    "bookmark",
    "chevron-left",
    "chevron-right",
    "chevron-up",
    "chevron-down",
    "arrow-clockwise",
    "lock",
    "info-circle",
    "wifi-off",
    "key",
    "ban",
    "door-open",
    "journal-text",
    "shield-lock",
    "printer",
    "tools",
    "box-arrow-up-right",
    "door-closed",
    "cash-stack",
    "arrow-left-right",
    "bell",
]

source = Path(sys.argv[1])
parts = ['<svg xmlns="http://www.w3.org/2000/svg">']
for name in NAMES:
    body = re.search(r"<svg[^>]*>(.*)</svg>", (source / f"{name}.svg").read_text(), re.S)
    assert body is not None
    parts.append(f'<symbol id="{name}" viewBox="0 0 16 16" fill="currentColor">{body[1].strip()}</symbol>')
parts.append("</svg>\n")
(Path(__file__).parent.parent / "portal/static/icons.svg").write_text("\n".join(parts))
