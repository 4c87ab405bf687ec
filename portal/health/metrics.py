"""Prometheus: what this process served, and what the database says of lanes, answers, jobs and incidents."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from portal.database import db

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
GAUGES = {
    "lanes_owed": ("Stores that owe the ledger something", ()),
    "visits_owed": ("Visits the ledger does not know of as they are", ()),
    "owed_oldest_seconds": ("Age of the oldest change that is owed", ()),
    "lanes_failing": ("Stores whose ledger cannot be reached", ()),
    "links": ("Reservation links by state", ("state",)),
    "visits_refused": ("Visits that the ledger refused, by code", ("code",)),
    "jobs": ("Background jobs by state", ("state",)),
    "workers": ("Workers that beat within the last 30 seconds", ()),
    "alerts_open": ("Incidents that go on, by kind", ("kind",)),
}


class Database(Collector):
    """Asked at each scrape; a database that cannot be asked is ``portal_database_up 0``, not an error."""

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("portal_database_up", "Whether the database answered this scrape")
        rows: list[tuple[str, str, float]] = []
        try:
            with db.engine.connect() as connection:
                rows = [
                    (r.name, r.label, r.value)
                    for r in connection.execute(text("SELECT * FROM pos.metrics(now())"))
                ]
            up.add_metric([], 1)
        except SQLAlchemyError:
            up.add_metric([], 0)
        yield up
        for name, (described, labels) in GAUGES.items():
            family = GaugeMetricFamily(f"portal_{name}", described, labels=labels)
            for found, label, value in rows:
                if found == name:
                    family.add_metric([label] if labels else [], value)
            yield family


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "portal_http_requests",
            "Answers by route and code",
            ["method", "route", "code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "portal_http_request_seconds",
            "Time to answer by route",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.answers = Counter(
            "portal_ledger_answers",
            "Answers of the ledger by call and code",
            ["call", "code"],
            registry=self.registry,
        )
        self.registry.register(Database())

    def answered(self, method: str, path: str, code: str) -> None:
        """An answer of the ledger; ``code`` is a status, a problem's code, or ``unavailable``."""
        self.answers.labels(f"{method} {path.split('?')[0]}", code).inc()

    def served(self, status: int, seconds: float) -> None:
        route = request.url_rule.rule if request.url_rule is not None else "none"
        self.requests.labels(request.method, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def page(self) -> bytes:
        return bytes(generate_latest(self.registry))


def install(app: Flask) -> Metrics:
    """Count every request of ``app``, except the metrics themselves."""
    metrics = Metrics()

    @app.after_request
    def count(response: Response) -> Response:
        if request.endpoint not in ("static", "health.metrics"):
            metrics.served(response.status_code, g.get("spent", 0.0))
        return response

    return metrics
