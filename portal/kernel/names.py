"""Names of tables and seats: what is identical, and what only looks different."""

from __future__ import annotations

import re
import unicodedata

_DASHES = re.compile("[\u002d\u2010-\u2015\u2212\u30fc\ufe58\ufe63\uff0d\uff70\u2500\u2501]")
_SPACES = re.compile(r"\s+")


def fold(name: str) -> str:
    """A name without what the eye overlooks: width, case, spaces, kinds of dash (T7).

    Two names with the same fold are candidates for a mistake, never identical for T3.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return _DASHES.sub("-", _SPACES.sub("", text))
