"""Orders in a CSV file become totals per region: read, add up, hand on. Plain Python, nothing imported from Dispatcher.

The functions know nothing of pools and queues: the deployment says where they run.
"""

import csv
import json
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent


def load_orders(
    source: str = "orders.csv", region: str | None = None, target: str | None = None, pause_seconds: float = 0.0
) -> dict[str, object]:
    """Add the orders of `source` up. `region`: only that one. `target`: also write the totals to this JSON file.

    `pause_seconds` makes the example as slow as a real source: it waits so long before it reads.
    """
    print(f"reading {source}")
    time.sleep(pause_seconds)
    orders = extract(HERE / source)
    totals = transform(orders, region)
    for name, total in totals.items():
        print(f"{name:<8}{total:>10}")
    result: dict[str, object] = {"orders": len(orders), "totals": {name: str(total) for name, total in totals.items()}}
    if target is not None:
        Path(target).write_text(json.dumps(result, indent=2), "utf-8")
        print(f"written to {target}")
    return result


def extract(source: Path) -> list[dict[str, str]]:
    with source.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def transform(orders: list[dict[str, str]], region: str | None) -> dict[str, Decimal]:
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    for order in orders:
        if region is None or order["region"] == region:
            totals[order["region"]] += int(order["quantity"]) * Decimal(order["unit_price"])
    if not totals:
        raise ValueError(f"no order is from region {region!r}")
    return dict(sorted(totals.items()))
