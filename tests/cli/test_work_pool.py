"""`dispatcher work-pool`, as users see it: every command, as words and as JSON."""

import re

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ops import pools, queues
from tests.cli.conftest import Submit, nothing_changes
from tests.cli.project import Project

FIELDS = {
    "id", "name", "type", "description", "is_paused", "note", "concurrency_limit", "slots_used", "status",
    "base_job_template", "lease_seconds", "retention_seconds", "retention_runs", "counts", "created", "updated",
}  # fmt: skip


def test_create_tells_what_to_do_next(project: Project) -> None:
    lines = project.done("work-pool", "create", "above-ground", "--limit", "5").stdout.splitlines()
    pool = project.json("work-pool", "inspect", "above-ground")
    assert lines == [
        "Created work pool: above-ground",
        f"ID:                {pool['id']}",
        "Type:              agent",
        "Concurrency limit: 5",
        "Start a consumer:  dispatcher agent start --pool above-ground",
        "Look at it:        dispatcher work-pool inspect above-ground",
    ]


def test_create_with_every_option(project: Project) -> None:
    pool = project.json(
        *("work-pool", "create", "below", "-t", "process", "-l", "0", "--paused", "--description", "Tubes"),
        *("--lease", "1m", "--retention", "3d", "--retention-runs", "500"),
    )
    assert set(pool) == FIELDS
    assert pool == project.json("work-pool", "inspect", "below")
    assert (pool["type"], pool["description"], pool["lease_seconds"]) == ("process", "Tubes", 60)
    assert (pool["retention_seconds"], pool["retention_runs"]) == (3 * 86_400, 500)
    assert (pool["concurrency_limit"], pool["is_paused"], pool["status"]) == (0, True, "paused")
    assert pool["counts"] == {"scheduled": 0, "late": 0, "pending": 0, "running": 0, "cancelling": 0}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", pool["created"])


def test_inspect_shows_it_all(project: Project) -> None:
    project.done("work-pool", "create", "below", "-t", "process", "-l", "0", "--paused", "--description", "Tubes")
    shown = project.done("work-pool", "inspect", "below").stdout
    facts = dict(re.findall(r"^([\w ]+): +(.*)$", shown, re.MULTILINE))
    assert re.fullmatch(r"[0-9A-Z]{26}", facts.pop("ID"))
    assert facts.pop("Created") == facts.pop("Updated")
    assert facts == {
        "Name": "below",
        "Type": "process",
        "Status": "paused",
        "Concurrency limit": "0",
        "Slots used": "0",
        "Waiting": "0 (0 late)",
        "Held": "0 pending, 0 running, 0 cancelling",
        "Description": "Tubes",
        "Lease": "30s",
        "Retention": "7d, 10,000 runs of each final state",
        "Base job template": "the default of type process",
        "Start a consumer": "dispatcher worker start --pool below",
    }
    assert re.search(r"^default +1 +[0-9A-Z]{26} +- +0 +0$", shown, re.MULTILINE), "its queue"


def test_what_is_paused_at_the_beginning_says_how_to_go_on(project: Project) -> None:
    shown = project.done("work-pool", "create", "below", "--paused").stdout
    assert "dispatcher work-pool resume below" in shown


def test_ten_at_once_make_a_pool_once(project: Project) -> None:
    commands = [project.start("work-pool", "create", "same", "--limit", str(number)) for number in range(10)]
    answers = [(command.communicate("", timeout=60), command.returncode) for command in commands]
    assert sorted(code for _, code in answers) == [0] + 9 * [1]
    for (stdout, stderr), code in answers:
        assert (stdout == "") is (code == 1)
        assert ("exists already" in stderr) is (code == 1)
    [winner] = [number for number, (_, code) in enumerate(answers) if code == 0]
    assert [(pool["name"], pool["concurrency_limit"]) for pool in project.json("work-pool", "ls")] == [("same", winner)]


def test_a_typed_pool_is_for_workers(project: Project) -> None:
    assert (
        "dispatcher worker start --pool below" in project.done("work-pool", "create", "below", "-t", "process").stdout
    )


def test_ls_is_sorted_and_marks_what_is_paused(project: Project, client: Client) -> None:
    for name, limit, is_paused in (("c", None, False), ("a", 0, True), ("b", 7, False)):
        client.run(pools.create(name, limit=limit, is_paused=is_paused))
    found = project.json("work-pool", "ls")
    assert [(pool["name"], pool["concurrency_limit"]) for pool in found] == [("a", 0), ("b", 7), ("c", None)]
    header, *rows, legend = project.done("work-pool", "ls").stdout.splitlines()
    assert re.split(r" {2,}", header) == ["NAME", "TYPE", "ID", "CONCURRENCY LIMIT", "SLOTS USED", "LATE"]
    ids = [pool["id"] for pool in found]
    assert [re.split(r" {2,}", row) for row in rows] == [
        ["a (**)", "agent", ids[0], "0", "0", "0"],
        ["b", "agent", ids[1], "7", "0", "0"],
        ["c", "agent", ids[2], "-", "0", "0"],
    ]
    assert legend == "(**) paused"


def test_ls_of_nothing(project: Project) -> None:
    assert project.json("work-pool", "ls") == []
    assert "dispatcher work-pool create" in project.done("work-pool", "ls").stdout


def test_what_is_late_is_told_where_no_consumer_lives(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p"))
    submit("p", start_at_ms=1_700_000_000_000)
    submit("p")
    submit("p", delay_ms=3_600_000)
    assert project.json("work-pool", "inspect", "p")["counts"] == {
        "scheduled": 3, "late": 1, "pending": 0, "running": 0, "cancelling": 0,
    }  # fmt: skip
    text = project.done("work-pool", "inspect", "p").stdout
    assert "Waiting:           3 (1 late)" in text
    assert "not_ready" in text
    assert "default" in text


def test_pause_with_a_note_and_resume(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    assert "dispatcher work-pool resume p" in project.done("work-pool", "pause", "p", "--note", "moving").stdout
    paused = project.json("work-pool", "inspect", "p")
    assert (paused["is_paused"], paused["note"], paused["status"]) == (True, "moving", "paused")
    assert "paused (moving)" in project.done("work-pool", "inspect", "p").stdout
    assert project.json("work-pool", "pause", "p")["note"] == "moving", "kept"
    assert project.json("work-pool", "pause", "p", "--note", "")["note"] == ""
    project.done("work-pool", "pause", "p", "--note", "moving")
    resumed = project.json("work-pool", "resume", "p")
    assert (resumed["is_paused"], resumed["note"]) == (False, "")
    paused = project.json("work-pool", "pause", "p")
    assert (paused["is_paused"], paused["note"]) == (True, "")


def test_every_command_takes_an_id(project: Project, client: Client) -> None:
    found = client.run(pools.create("above")).id
    client.run(pools.create(found.lower()))
    assert project.json("work-pool", "inspect", found)["name"] == "above"
    assert project.json("work-pool", "preview", found) == []
    assert project.json("work-pool", "pause", found, "--note", "hm")["note"] == "hm"
    assert not project.json("work-pool", "resume", found)["is_paused"]
    assert project.json("work-pool", "update", found, "-l", "2")["name"] == "above"
    assert project.json("work-pool", "set-concurrency-limit", found, "0")["concurrency_limit"] == 0
    assert project.json("work-pool", "clear-concurrency-limit", found)["concurrency_limit"] is None
    assert project.json("work-pool", "delete", found, "--yes") == {"deleted": "above", "cancelled_runs": 0}
    assert [pool.name for pool in client.run(pools.list_all())] == [found.lower()]


def test_an_id_where_a_name_is_wanted_is_told(project: Project, client: Client) -> None:
    found = client.run(pools.create("above")).id
    for typed in (("work-queue", "ls", "-p"), ("flow-run", "ls", "--pool"), ("audit", "-p")):
        assert project.refused(*typed, found).endswith("That is the id of work pool above: give its name.\n")


def test_a_name_goes_before_an_id(project: Project, client: Client) -> None:
    found = client.run(pools.create("above")).id
    client.run(pools.create(found))
    assert project.json("work-pool", "inspect", found)["name"] == found


def test_ls_tells_why_each_is_paused(project: Project, client: Client) -> None:
    for name, note in (("a", "database upgrade"), ("b", "x" * 70), ("c", None), ("d", "gone\x1b[31m")):
        client.run(pools.create(name))
        client.run(pools.pause(name, note))
    client.run(pools.resume("d"))
    client.run(pools.pause("c", "e\x1b[31m"))
    below = project.done("work-pool", "ls").stdout.split("(**) paused\n")[1].splitlines()
    assert below == ["     a: database upgrade", f"     b: {'x' * 59}…", "     c: e\\x1b[31m"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("work-pool inspect above-grund", "Did you mean above-ground?"),
        ("work-pool pause Above-Ground", "Did you mean above-ground?"),
        ("work-queue ls -p above-grnd", "Did you mean above-ground?"),
        ("work-queue inspect hihg -p above-ground", "Did you mean high?"),
        ("work-queue delete low -p above-ground --yes --move-to hig", "Did you mean high?"),
        ("work-queue pause high", "Work pool above-ground has a queue high: give --pool above-ground."),
        ("work-queue pause high -p below", "Work pool above-ground has a queue high: give --pool above-ground."),
        ("flow-run ls --pool above-grund", "Did you mean above-ground?"),
        ("work-pool inspect qwxyz", ""),
    ],
)
def test_what_is_not_found_names_the_nearest(project: Project, client: Client, typed: str, said: str) -> None:
    client.run(pools.create("above-ground"))
    client.run(pools.create("below"))
    for name in ("high", "low"):
        client.run(queues.create("above-ground", name))
    stderr = project.refused(*typed.split())
    assert "was not found" in stderr
    assert said in stderr
    assert ("Did you mean" in stderr) is said.startswith("Did")
    assert len(stderr.splitlines()) == 1 + bool(said)


def test_update_changes_only_what_is_given(project: Project, client: Client) -> None:
    before = client.run(pools.create("p", description="old", limit=3)).document()
    after = project.json("work-pool", "update", "p", "--limit", "0")
    assert after | {"updated": 0} == before | {"updated": 0, "concurrency_limit": 0}
    project.done("work-pool", "update", "p", "--description", "", "--lease", "2m")
    found = project.json("work-pool", "inspect", "p")
    assert (found["description"], found["concurrency_limit"], found["lease_seconds"]) == ("", 0, 120)
    after = project.json("work-pool", "update", "p", "--retention", "1h", "--retention-runs", "100")
    kept = {"retention_seconds": 3600, "retention_runs": 100, "updated": after["updated"]}
    assert after == found | kept
    assert "Nothing to change" in project.refused("work-pool", "update", "p", code=2)


def test_limits_are_set_and_cleared(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    project.done("work-pool", "set-concurrency-limit", "p", "0")
    assert project.json("work-pool", "inspect", "p")["concurrency_limit"] == 0
    assert "Concurrency limit: 0" in project.done("work-pool", "inspect", "p").stdout
    assert project.json("work-pool", "set-concurrency-limit", "p", "4")["concurrency_limit"] == 4
    assert project.json("work-pool", "clear-concurrency-limit", "p")["concurrency_limit"] is None
    assert "Concurrency limit: -" in project.done("work-pool", "inspect", "p").stdout


def test_delete(project: Project, client: Client, submit: Submit) -> None:
    for name in ("p", "q"):
        client.run(pools.create(name))
    assert project.done("work-pool", "delete", "p", "--yes").stdout == "Work pool 'p' is deleted.\n"
    submit("q")
    assert "--cancel-runs" in project.refused("work-pool", "delete", "q", "--yes")
    assert project.json("work-pool", "delete", "q", "--yes", "--cancel-runs") == {"deleted": "q", "cancelled_runs": 1}
    assert project.json("work-pool", "ls") == []


def test_delete_asks_nobody_where_nobody_is(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    assert "give --yes" in project.refused("work-pool", "delete", "p", stdin="y\n")
    assert client.run(pools.names()) == ["p"]


def test_preview_counts_the_window(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p"))
    late = submit("p", start_at_ms=1_700_000_000_000, name="late-one")
    now = submit("p", name="now-one")
    soon = submit("p", delay_ms=30 * 60_000, name="soon-one")
    later = submit("p", delay_ms=90 * 60_000, name="later-one")

    def previewed(*words: str) -> list[str]:
        return [run["id"] for run in project.json("work-pool", "preview", "p", *words)]

    assert previewed() == [late, now, soon]
    assert previewed("--hours", "2") == [late, now, soon, later]
    assert previewed("--hours", "0.25") == [late, now]
    header, *rows, legend = project.done("work-pool", "preview", "p").stdout.splitlines()
    assert re.split(r" {2,}", header) == ["SCHEDULED START", "RUN ID", "NAME", "DEPLOYMENT", "QUEUE"]
    assert ["(**)" in row for row in rows] == [True, False, False]
    assert re.split(r" {2,}", rows[0])[1:] == [late, "late-one", "-", "default"]
    assert legend == "(**) late"
    assert [run["id"] for run in project.json("work-queue", "preview", "default", "-p", "p")] == [late, now, soon]


def test_preview_only_reads(project: Project, client: Client, submit: Submit, server_connection: redis.Redis) -> None:
    client.run(pools.create("p", limit=0, is_paused=True))
    late = submit("p", start_at_ms=1_700_000_000_000)
    project.done("work-pool", "preview", "p")  # by now what has come due is ready
    with nothing_changes(server_connection):
        assert [run["id"] for run in project.json("work-pool", "preview", "p", "--hours", "9")] == [late]
        project.done("work-pool", "ls")
        project.done("work-pool", "inspect", "p")


def test_preview_says_when_there_is_more(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p"))
    expected = [submit("p", delay_ms=1000 * number) for number in range(1, 103)]
    answer = project.done("work-pool", "preview", "p", "-o", "json")
    assert [run["id"] for run in answer.json] == expected[:100]
    listing = "flow-run ls --state SCHEDULED --pool p --limit 1000"
    assert answer.stderr == f"There are more than these 100: `dispatcher {listing}` lists more.\n"
    assert len(project.done(*listing.split(), "-o", "json").json) == 102
    client.run(pools.create("empty"))
    assert "within 2h" in project.done("work-pool", "preview", "empty", "--hours", "2").stdout


@pytest.mark.parametrize("words", [("--hours", "-1"), ("--hours", "soon"), ("--hours", "nan")])
def test_preview_of_an_odd_window(project: Project, client: Client, words: tuple[str, str]) -> None:
    client.run(pools.create("p"))
    project.refused("work-pool", "preview", "p", *words, code=2)


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("create x --retention 5s", 2, "give a minute or more"),
        ("create x --retention soon", 2, "is not a duration"),
        ("create x --retention-runs 99", 2, "is not in the range 100<=x<=10000000"),
        ("create x --retention-runs -1", 2, "is not in the range 100<=x<=10000000"),
        ("create x --type docker", 1, "comes later: this version has agent, process"),
        ("create x --base-job-template", 2, "requires an argument"),
        ("update p --retention 0", 2, "give a minute or more"),
        ("update p --retention-runs many", 2, "not a valid integer"),
        ("update p --lease 2h", 2, "give 5s to 1h"),
        ("update nope --base-job-template template.json", 1, "was not found"),
        ("preview", 2, "Missing argument"),
        ("set-concurrency-limit p", 2, "Missing argument"),
    ],
)
def test_refused(
    project: Project, client: Client, server_connection: redis.Redis, typed: str, code: int, said: str
) -> None:
    client.run(pools.create("p"))
    project.write("template.json", "{}")
    with nothing_changes(server_connection):
        assert said in project.refused("work-pool", *typed.split(), code=code)
