"""Names of tables and seats: what is identical, and what only looks different."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import OSA, Levenshtein

_DASHES = re.compile("[\u002d\u00ad\u2010-\u2015\u2043\u2212\u30fc\ufe58\ufe63\uff0d\uff70\u2500\u2501]")
_SPACES = re.compile(r"\s+")
# Not between digits: 1-1 and 11 are two tables.
_LOOSE = re.compile(r"-(?!\d)|-(?<!\d-)|[_・.,、。()\[\]「」]")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
_RUNS = re.compile(r"\d+|[a-z]+|[ぁ-ゖァ-ヺ-]+|[^\da-zぁ-ゖァ-ヺ-]+")
_WORD = re.compile(r"[a-z]+|[ァ-ヺ-]+")
_ALIKE = (frozenset("ンソ"), frozenset("シツ"), frozenset("ハバパ"), frozenset("ヘベペ"), frozenset("ホボポ"))
_HIRAGANA = re.compile("[\u3041-\u3096]")
_KANA = {code: code + 0x60 for code in range(0x3041, 0x3097)}


def fold(name: str) -> str:
    """A name without what the eye overlooks: width, case, spaces, kinds of dash (T7).

    Two names with the same fold are candidates for a mistake, never identical for T3.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return _DASHES.sub("-", _SPACES.sub("", text))


Keys = tuple[str, str, str]
_END = "\0"


def _keys(names: Sequence[str]) -> dict[str, Keys]:
    """Of each name: the fold; that without dashes and long vowels (but not between digits), punctuation and the
    kind of kana; and that without leading zeros: A01 is A1, A10 is not.

    All names in one string: a store's check costs little more than the plain fold of its names.
    """
    joined = _END.join(names)
    if joined.count(_END) >= len(names):
        raise ValueError("a name holds a NUL")
    strict = fold(joined)
    loose = _LOOSE.sub("", strict)
    if _HIRAGANA.search(loose):
        loose = loose.translate(_KANA)
    columns = (text.split(_END) for text in (strict, loose, _ZEROS.sub("", loose)))
    return dict(zip(names, zip(*columns, strict=True), strict=True))


@dataclass(frozen=True)
class Pair:
    """A table and a seat that are likely meant to be the same; ``reason`` in words for the screen."""

    table: str
    seat: str
    reason: str


def likely_pairs(tables: Sequence[str], seats: Sequence[str], mapped: Iterable[str] = ()) -> list[Pair]:
    """Pairs of orphans that differ in writing only (T7).

    ``tables`` and ``seats`` have no partner yet, ``mapped`` are the names of the store's pairs that have. Numbers
    are what tells tables apart, so A1 is never joined with A11, nor A1 with A2. A name that the other side
    has as well is no orphan, and where two could be meant nothing is suggested: better none than a false one.
    """
    if not tables or not seats:
        return []
    both = set(tables) & set(seats)
    left, right = [t for t in tables if t not in both], [s for s in seats if s not in both]
    if not left or not right:
        return []
    known = [*mapped, *both]
    keys = _keys([*known, *left, *right])
    found: list[Pair] = []
    for level in range(3):
        pairs, left, right = _by_key(left, right, {keys[name][level] for name in known}, keys, level)
        found += pairs
        if not left or not right:
            return found
        known += [name for pair in pairs for name in (pair.table, pair.seat)]
    return found + _typos(left, right, {keys[name][2] for name in known}, keys)


def _by_key(
    tables: list[str], seats: list[str], taken: set[str], keys: dict[str, Keys], level: int
) -> tuple[list[Pair], list[str], list[str]]:
    """Pairs alone under their key, and who is left; where more than two share a key, nobody is."""
    groups: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name in tables:
        groups[keys[name][level]][0].append(name)
    for name in seats:
        groups[keys[name][level]][1].append(name)
    pairs, left, right = [], [], []
    for value, (ours, theirs) in groups.items():
        if value in taken:
            continue
        if len(ours) == len(theirs) == 1:
            pairs.append(Pair(ours[0], theirs[0], _reason(ours[0], theirs[0], keys)))
        elif not ours:
            right += theirs
        elif not theirs:
            left += ours
    return pairs, left, right


def _reason(table: str, seat: str, keys: dict[str, Keys]) -> str:
    nfkc = [unicodedata.normalize("NFKC", name) for name in (table, seat)]
    if nfkc[0] == nfkc[1]:
        return "全角・半角のちがい"
    if nfkc[0].casefold() == nfkc[1].casefold():
        return "大文字・小文字のちがい"
    spaceless = [_SPACES.sub("", name.casefold()) for name in nfkc]
    if spaceless[0] == spaceless[1]:
        return "空白のちがい"
    ours, theirs = keys[table], keys[seat]
    if ours[1] == theirs[1]:
        kana = [_LOOSE.sub("", key[0]) for key in (ours, theirs)]
        if kana[0] != kana[1]:
            return "ひらがな・カタカナのちがい"
        return "ハイフン・長音のちがい" if "-" in ours[0] + theirs[0] else "記号のちがい"
    return "0のつけ方のちがい"


def _typos(tables: list[str], seats: list[str], taken: set[str], keys: dict[str, Keys]) -> list[Pair]:
    """Pairs that a slip of the finger explains; each end must have one candidate only."""
    ours = {keys[name][2]: name for name in tables}
    theirs = {keys[name][2]: name for name in seats}
    buckets: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for value in theirs:
        buckets[_numbers(value)].append(value)
    hits: list[tuple[str, str, str]] = []
    for value in ours:
        for other in buckets.get(_numbers(value), ()):
            if value not in taken and other not in taken:
                reason = _slip(value, other)
                if reason:
                    hits.append((value, other, reason))
    once = [
        (a, b, reason)
        for a, b, reason in hits
        if sum(1 for x in hits if x[0] == a) == 1 and sum(1 for x in hits if x[1] == b) == 1
    ]
    return [Pair(ours[a], theirs[b], reason) for a, b, reason in once]


def _numbers(value: str) -> tuple[str, ...]:
    """Digits of each run, sorted: equal for swapped digits, different for A1 and A11."""
    return tuple("".join(sorted(run)) for run in re.findall(r"\d+", value))


def _slip(a: str, b: str) -> str:
    """What went wrong between two names that are not equal; empty where they are two tables."""
    first, second = _RUNS.findall(a), _RUNS.findall(b)
    if len(first) != len(second):
        return ""
    differ = [(x, y) for x, y in zip(first, second, strict=True) if x != y]
    if len(differ) != 1:
        return ""
    x, y = differ[0]
    if x.isdigit() or y.isdigit():
        swapped = x.isdigit() and y.isdigit() and len(x) == len(y) > 1 and OSA.distance(x, y) == 1
        return "数字の入れちがい" if swapped and Levenshtein.distance(x, y) == 2 else ""
    if not (_WORD.fullmatch(x) and _WORD.fullmatch(y)) or OSA.distance(x, y, score_cutoff=1) != 1:
        return ""
    return "入力まちがい" if _one_slip(x, y) else ""


def _one_slip(x: str, y: str) -> bool:
    """Two words at distance one: two letters swapped, one too many, or one wrong inside.

    First and last letter of a word and short words are what tells tables apart (席A and 席B, VIP and VIPA).
    """
    short, length = min(len(x), len(y)), max(len(x), len(y))
    edits = list(Levenshtein.editops(x, y))
    if len(edits) == 2:
        return length >= 4
    place = edits[0].src_pos
    if len(x) == len(y):
        alike = any({x[place], y[place]} <= group for group in _ALIKE)
        return length >= 3 if alike else length >= 4 and 0 < place < length - 1
    longer, at = (x, place) if len(x) > len(y) else (y, edits[0].dest_pos)
    doubled = longer[at] in longer[max(0, at - 1) : at] + longer[at + 1 : at + 2]
    return short >= 3 and (doubled or 0 < at < length - 1)
