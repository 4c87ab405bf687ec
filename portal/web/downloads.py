"""Files for the person's spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import quote

from flask import Response, request

from portal.kernel import csvfile
from portal.kernel.clock import SystemClock


def csv_file(what: str, rows: Iterable[Sequence[object]], at: datetime | None = None) -> Response:
    """対象_YYYYMMDDHHMM.csv, the first row the head: UTF-8 with BOM, or with ``?encoding=cp932`` Shift_JIS.

    The time in the name is ``at``, or now. Cells that look like formulas are escaped.
    """
    wanted = request.args.get("encoding", "")
    response = Response(
        csvfile.write(rows, wanted if wanted in csvfile.ENCODINGS else "utf-8-sig"), mimetype="text/csv"
    )
    name = csvfile.file_name(what, at or SystemClock().now())
    # Headers are latin-1: the Japanese name goes in RFC 5987's form.
    response.headers["Content-Disposition"] = (
        f"attachment; filename=\"export.csv\"; filename*=UTF-8''{quote(name)}"
    )
    return response
