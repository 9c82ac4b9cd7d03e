"""Reading figures about rows in few statements, and writing them as Prometheus has them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Count, IntegerField, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

Sample = tuple[tuple[str, ...], float]  # labels' values and the figure


def counted(rows: QuerySet[Any], by: str) -> Coalesce:
    """How many of the rows belong to the row at hand; counted without reading more than an index."""
    counts = rows.filter(**{by: OuterRef("pk")}).order_by().values(by).annotate(n=Count("*")).values("n")
    return Coalesce(Subquery(counts, output_field=IntegerField()), 0)


def first(rows: QuerySet[Any], order: str, value: str) -> Subquery:
    return Subquery(rows.order_by(order).values(value)[:1])


def value_of(row: Model, name: str) -> Any:
    """What a query put beside a row's own fields."""
    return vars(row)[name]


def age_of(row: Model, name: str) -> float:
    """Seconds since a moment, by the database's clock; 0 where there is none."""
    since: datetime | None = value_of(row, name)
    return 0.0 if since is None else max(0.0, (value_of(row, "now") - since).total_seconds())


def family(name: str, help_text: str, labels: tuple[str, ...], samples: Iterable[Sample]) -> Metric:
    gauge = GaugeMetricFamily(f"philately_{name}", help_text, labels=labels)
    for values, figure in samples:
        gauge.add_metric(values, figure)
    return gauge
