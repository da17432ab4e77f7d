"""A consumer's vitals as Prometheus reads them.

Read when they are asked for, from a registry of their own: nothing about the process or the interpreter is in it. Every
name begins with `dispatcher_consumer_`. Imported only when the health check is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import inf

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from agent.vitals import CLAIM_BUCKETS_S, Vitals

_PREFIX = "dispatcher_consumer"


class Metrics(Collector):
    content_type = CONTENT_TYPE_LATEST

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> str:
        return generate_latest(self._registry).decode()

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        vitals, beat = self._vitals, self._vitals.heartbeat()
        facts = {name: str(fact) for name, fact in vitals.facts.items()}
        yield InfoMetricFamily(_PREFIX, "Who this is.", facts)
        yield CounterMetricFamily(f"{_PREFIX}_runs_taken", "Runs claimed since the start.", vitals.taken)
        ended = CounterMetricFamily(
            f"{_PREFIX}_runs_ended", "Runs that ended here since the start, by how they were left.", labels=("state",)
        )
        for state, number in vitals.ends.items():
            ended.add_metric((state,), number)
        yield ended
        yield GaugeMetricFamily(f"{_PREFIX}_running", "Runs held now.", vitals.running())
        limit = inf if vitals.limit is None else vitals.limit
        yield GaugeMetricFamily(f"{_PREFIX}_limit", "Most runs held at once.", limit)
        counts = accumulate(vitals.claims)
        buckets = [(str(edge), float(n)) for edge, n in zip((*CLAIM_BUCKETS_S, "+Inf"), counts, strict=True)]
        yield HistogramMetricFamily(
            f"{_PREFIX}_claim_seconds", "How long claims took to be answered.", buckets, vitals.claims_s
        )
        if beat is not None:
            yield GaugeMetricFamily(
                f"{_PREFIX}_heartbeat_age_seconds", "Since a heartbeat was last answered.", beat.ago_s
            )
        yield GaugeMetricFamily(f"{_PREFIX}_redis_away", "1 while Redis does not answer.", vitals.is_away())
        yield GaugeMetricFamily(f"{_PREFIX}_healthy", "1 while /health answers 200.", not vitals.faults())
