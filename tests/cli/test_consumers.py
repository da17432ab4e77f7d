"""`dispatcher agent ls` and `worker ls`: what people and programs are shown."""

import pytest

from dispatcher.client import Client
from dispatcher.models import Consumer
from dispatcher.ops import pools
from tests.cli.project import Project
from tests.polling import poll_until


@pytest.mark.parametrize(
    ("selector", "shown"),
    [("*", "all queues"), ("=a,b", "a, b"), ("=default", "default"), ("^dev-", "dev-*"), ("^a,b-", "a*, b-*")],
)
def test_what_a_consumer_serves_in_words(selector: str, shown: str) -> None:
    row = listed(selector)
    assert row.serves == row.document()["serves"] == shown


@pytest.mark.parametrize(
    ("selector", "names", "prefixes"),
    [("*", [], []), ("=a,b", ["a", "b"], []), ("=default", ["default"], []), ("^a,b-", [], ["a", "b-"])],
)
def test_what_a_consumer_serves_as_lists_for_programs(selector: str, names: list[str], prefixes: list[str]) -> None:
    document = listed(selector).document()
    assert (document["work_queue_names"], document["work_queue_prefixes"]) == (names, prefixes)


def listed(selector: str) -> Consumer:
    return Consumer("1", "a", "p", "agent", "agent", "h", "b", 1, 0, "0", selector, 0, None)


def test_ls(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    with project.agent("p", "-m", "dev-", "--prefetch-seconds", "1m"):
        poll_until(lambda: project.json("agent", "ls") != [], 20, "the agent is listed")
        [row] = project.json("agent", "ls", "--pool", "p")
        assert (row["serves"], row["prefetch_seconds"]) == ("dev-*", 60)
        assert (row["work_queue_names"], row["work_queue_prefixes"]) == ([], ["dev-"])
        assert "  dev-*  " in project.done("agent", "ls").stdout
        assert project.json("worker", "ls") == []
