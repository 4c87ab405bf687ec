"""A terminal without screens, as the tests of /api/v1 use it."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from tests.conftest import World


class Kiosk:
    """Calls the API with its token, and a new Idempotency-Key a write unless told which."""

    def __init__(
        self, world: World, name: str = "KIOSK-1", kind: str = "kiosk", *, training: bool = False
    ) -> None:
        self.world, self.client = world, world.app.test_client()
        admin = world.login()
        store = world.one("SELECT id FROM pos.store WHERE company_id = 1 AND code = '001'")
        admin.get("/stores/terminals/")
        page = admin.post(
            "/stores/terminals/", store_id=store, name=name, kind=kind, training="1" if training else ""
        )
        self.id = str(world.one("SELECT id FROM pos.terminal WHERE name = :n", n=name))
        if kind in ("pos", "terminal", "handy"):
            page = admin.post(f"/stores/terminals/{self.id}/key")
        found = re.search(r'id="terminal-token"[^>]*>([^<]+)<', page.text)
        assert found, page.text
        self.token = found[1]

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}", **headers})

    def post(self, path: str, body: object = None, *, key: str = "", **headers: str) -> Any:
        return self.client.post(
            f"/api/v1{path}", data=json.dumps(body if body is not None else {}), content_type="application/json",
            headers={"Authorization": f"Bearer {self.token}", "Idempotency-Key": key or uuid.uuid4().hex, **headers},
        )  # fmt: skip

    def sit(self, table: str, *, party: int = 2, **more: Any) -> dict[str, Any]:
        """A walk-in (or a reservation) seated by this terminal."""
        answer = self.post("/visits", {"table_ids": [self.world.table(table)], "party_size": party, **more})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json
        return found

    def order(self, visit: dict[str, Any], quantity: int = 1) -> dict[str, Any]:
        """生ビール, ¥600 each."""
        item = self.get("/master").json["menu"][0]["id"]
        lines = [{"item_id": item, "quantity": quantity}]
        answer = self.post(f"/visits/{visit['id']}/orders", {"lines": lines})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found
