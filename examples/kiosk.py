#!/usr/bin/env python3
"""Pays the open slip of a table as a KIOSK would: ``kiosk.py BASE_URL TABLE [PAYMENT_TYPE]``.

The token comes from the environment (KIOSK_TOKEN; 店舗管理 → 端末管理 issues it). Only httpx and the standard library.

What a real KIOSK must do is all here: fetch the master first, pay on the slip's revision that was shown to the guest,
and, when an answer does not arrive, send the same request with the SAME Idempotency-Key until one does. The payment
is then made once, whatever the network does.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import Any

import httpx

PATIENCE = 60.0
# Not an answer to the operation: the same key may be sent again.
ASK_AGAIN = {429, 500, 502, 503, 504}


class RefusedError(Exception):
    """The portal said no: ``code`` for the program, the text for the guest."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem['message']} {problem.get('remedy', '')}".strip())
        self.code: str = problem["code"]


class Kiosk:
    """One terminal, one token."""

    def __init__(self, base: str, token: str) -> None:
        self.http = httpx.Client(
            base_url=base.rstrip("/") + "/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )

    def get(self, path: str) -> dict[str, Any]:
        return self._send("GET", path)

    def write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One operation is one key, however often it has to be sent."""
        return self._send("POST", path, body, {"Idempotency-Key": uuid.uuid4().hex})

    def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        until, wait = time.monotonic() + PATIENCE, 0.2
        while True:
            try:
                answer = self.http.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                # Sent or not, done or not: nobody knows. The key makes asking again safe.
                trouble: Exception = error
            else:
                found: dict[str, Any] = answer.json() if answer.content else {}
                if answer.is_success:
                    return found
                trouble = RefusedError(found)
                if answer.status_code not in ASK_AGAIN and found["code"] != "IN_PROGRESS":
                    raise trouble
            if time.monotonic() >= until:
                raise trouble
            time.sleep(wait)
            wait = min(wait * 2, 5)

    def pay(self, table: str, type_code: str) -> dict[str, Any]:
        """Everything that is due at the table, by one payment. The answer of 会計."""
        master = self.get("master")
        if type_code not in {kind["code"] for kind in master["payment_types"]}:
            raise SystemExit(f"この店舗では支払科目種 {type_code} を使用できません。")
        row = next((t for t in self.get("tables")["tables"] if t["name"] == table), None)
        if row is None or row["state"] != "seated":
            raise SystemExit(f"テーブル {table} に会計前のお客様はいません。")
        slip = self.get(f"visits/{row['visit_id']}")["slip"]
        if slip is None:
            raise SystemExit(f"テーブル {table} の注文はまだありません。")
        for line in slip["lines"]:
            print(f"{line['name']} x {line['quantity']}　¥{line['unit_price_yen'] * line['quantity']:,}")
        print(f"合計 ¥{slip['due_yen']:,}")
        return self.write(
            f"visits/{row['visit_id']}/checkout",
            {
                "slip_revision": slip["revision"],
                "payments": [{"type_code": type_code, "amount_yen": slip["due_yen"]}],
            },
        )


def main() -> int:
    if len(sys.argv) not in (3, 4) or "KIOSK_TOKEN" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    kiosk = Kiosk(sys.argv[1], os.environ["KIOSK_TOKEN"])
    try:
        paid = kiosk.pay(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "cash")
    except RefusedError as error:
        print(f"[{error.code}] {error}", file=sys.stderr)
        return 1
    except httpx.TransportError:
        print("サーバーに接続できません。ネットワークの接続状態をご確認ください。", file=sys.stderr)
        return 1
    print(f"会計が完了しました。伝票番号 {paid['slip_number']}　おつり ¥{paid['change_yen']:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
