"""Files for the person's spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flask import Response

from portal.kernel import csvfile
from portal.kernel.clock import SystemClock


def csv_file(what: str, rows: Iterable[Sequence[object]]) -> Response:
    """対象_YYYYMMDDHHMM.csv in UTF-8 with BOM; the first row is the head."""
    response = Response(csvfile.write(rows), mimetype="text/csv")
    name = csvfile.file_name(what, SystemClock().now())
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
