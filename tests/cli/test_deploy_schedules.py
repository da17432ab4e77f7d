"""`dispatcher deploy` with schedules: from options and files, what is kept and what is replaced, what is refused."""

from datetime import UTC, datetime

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ops import runs
from tests.cli.project import Project
from tests.dumps import unchanged

FLOW = "etl.py:load"
BERLIN = ("--cron", "0 4 * * *", "--timezone", "Europe/Berlin")
TWO = """name: nightly
entrypoint: etl.py:load
schedules:
  - {cron: "0 4 * * *", timezone: Europe/Berlin}
  - {interval: 2h, parameters: {size: 2}, catchup: none, overlap: skip, jitter_seconds: 10, expires_seconds: 1h}
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write("etl.py", "def load(day='today', size: int = 1): return day\n")
    return project


def due(project: Project) -> list[tuple[str, str]]:
    """Schedule and start of each waiting run."""
    found = project.json("flow-run", "ls", "--limit", "1000")
    return [(run["schedule_id"], run["expected_start_time"]) for run in found if run["state"] == "SCHEDULED"]


def test_a_cron_is_told_with_its_next_times_and_its_runs_are_made(project: Project) -> None:
    said = project.done("deploy", FLOW, "-n", "nightly", *BERLIN).stdout.splitlines()
    [schedule] = project.json("deployment", "inspect", "nightly")["schedules"]
    assert said[1].startswith(f"Schedule {schedule['id']}: cron 0 4 * * * (Europe/Berlin): next ")
    times = said[1].rpartition("next ")[2].split(", ")
    assert all("T04:00:00+0" in time for time in times), "in its own zone"
    assert len(times) == 3
    utc = [datetime.fromisoformat(time).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z") for time in times]
    assert schedule["next_times"] == utc
    assert sorted(due(project))[:3] == [(schedule["id"], time) for time in utc]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (BERLIN, {"cron": "0 4 * * *", "timezone": "Europe/Berlin", "interval": None, "rrule": None}),
        (("--interval", "900"), {"interval": 900, "timezone": "UTC", "anchor_date": None, "cron": None}),
        (("--interval", "1h30m", "--anchor-date", "2026-01-01"), {"interval": 5400, "anchor_date": "2026-01-01"}),
        (("--rrule", "FREQ=DAILY", "--timezone", "Asia/Tokyo"), {"rrule": "FREQ=DAILY", "timezone": "Asia/Tokyo"}),
    ],
)  # fmt: skip
def test_each_kind(project: Project, words: tuple[str, ...], said: dict[str, object]) -> None:
    [schedule] = project.json("deploy", FLOW, *words)["schedules"]
    assert {name: schedule[name] for name in said} == said
    assert schedule["active"] is True
    assert len(schedule["next_times"]) == 3


def test_everything_that_a_file_says(project: Project) -> None:
    project.write("deployment.yaml", TWO)
    [document] = project.json("deploy")
    nightly, often = document["schedules"]
    assert (nightly["cron"], nightly["timezone"]) == ("0 4 * * *", "Europe/Berlin")
    assert (often["interval"], often["parameters"], often["catchup"]) == (7200, {"size": 2}, "none")
    assert (often["overlap"], often["jitter_seconds"], often["expires_seconds"]) == ("skip", 10, 3600)
    assert document["scheduled_runs"] == len(due(project)) == 8
    [run] = [run for run in project.json("flow-run", "ls") if run["schedule_id"] == often["id"]][:1]
    assert run["parameters"] == {"size": 2}
    assert run["expires"] is not None


def test_deploying_again_changes_nothing_and_makes_no_run_twice(project: Project) -> None:
    project.write("deployment.yaml", TWO)
    [first] = project.json("deploy")
    made = due(project)
    [again] = project.json("deploy")
    assert (again["status"], again["changes"], again["id"]) == ("unchanged", {}, first["id"])
    assert (again["created"], again["updated"]) == (first["created"], first["updated"])
    assert (again["scheduled_runs"], again["taken_back_runs"], again["moved_runs"]) == (0, 0, 0)
    assert due(project) == made


def test_one_that_changed_takes_back_its_runs_and_the_other_goes_on(project: Project) -> None:
    project.write("deployment.yaml", TWO)
    [first] = project.json("deploy")
    project.write("deployment.yaml", TWO.replace("0 4", "0 5"))
    said = project.done("deploy").stdout
    assert '  - schedule: {"id": "' in said
    assert '"cron": "0 5 * * *", "timezone": "Europe/Berlin"}' in said
    assert "4 waiting runs of its schedules taken back; 4 made anew for the changed deployment." in said
    nightly, often = project.json("deployment", "inspect", "nightly")["schedules"]
    assert often["id"] == first["schedules"][1]["id"]
    assert {schedule for schedule, _ in due(project)} == {nightly["id"], often["id"]}


def test_options_win_and_without_any_word_schedules_stay(project: Project) -> None:
    project.write("deployment.yaml", TWO)
    project.done("deploy")
    project.done("deployment", "schedule", "create", "nightly", "--cron", "1 2 3 * *")
    project.write("deployment.yaml", TWO.partition("schedules:")[0])
    [kept] = project.json("deploy")
    assert (kept["status"], len(kept["schedules"])) == ("unchanged", 3)
    [one] = project.json("deploy", "--interval", "1d")
    assert [schedule["interval"] for schedule in one["schedules"]] == [86_400]
    project.write("deployment.yaml", TWO.partition("schedules:")[0] + "schedules: []\n")
    [none] = project.json("deploy")
    assert (none["status"], none["schedules"]) == ("updated", [])
    assert due(project) == []


def test_what_a_command_paused_stays_paused(project: Project) -> None:
    project.write("deployment.yaml", TWO)
    [first] = project.json("deploy")
    project.done("deployment", "schedule", "pause", "nightly", first["schedules"][0]["id"])
    [again] = project.json("deploy")
    assert (again["status"], [one["active"] for one in again["schedules"]]) == ("unchanged", [False, True])
    project.write("deployment.yaml", TWO.replace("0 4", "0 5"))
    [retimed] = project.json("deploy")
    assert [one["active"] for one in retimed["schedules"]] == [False, True], "the one with another time is the same one"
    project.write("deployment.yaml", TWO.replace("0 4", "0 5").replace("Berlin}", "Berlin, active: true}"))
    [resumed] = project.json("deploy")
    assert [one["active"] for one in resumed["schedules"]] == [True, True], "the file itself says so"
    project.done("deployment", "pause", "nightly")
    said = project.done("deploy").stdout
    assert "It is paused, its schedules make no runs: dispatcher deployment resume load/nightly" in said
    assert project.json("deployment", "inspect", "nightly")["is_paused"]
    assert due(project) == []


def test_a_file_can_pause(project: Project) -> None:
    project.write("deployment.yaml", TWO.replace("Berlin}", "Berlin, active: false}"))
    said = project.done("deploy").stdout
    assert "cron 0 4 * * * (Europe/Berlin) (**): paused" in said
    assert len(due(project)) == 4
    project.done("deployment", "schedule", "resume", "nightly", project.json("deploy")[0]["schedules"][0]["id"])
    [again] = project.json("deploy")
    assert again["schedules"][0]["active"] is False, "what the file says wins"


def test_late_runs_are_kept(project: Project, client: Client) -> None:
    project.write("deployment.yaml", TWO.replace("catchup: none, overlap: skip, jitter_seconds: 10, ", ""))
    project.done("deploy")
    late = project.json("deployment", "run", "nightly", "--start-at", "2026-01-01T00:00:00Z")["id"]
    project.write("deployment.yaml", TWO.replace("0 4", "0 6").replace("size: 2", "size: 3"))
    project.done("deploy")
    assert late in {run["id"] for run in project.json("flow-run", "ls")}
    assert {run.state_name for run in client.run(runs.list_pool("default-agent-pool")) if run.id == late} == {"Late"}


def test_a_dry_run_says_what_would_be_and_changes_nothing(project: Project, server_connection: redis.Redis) -> None:
    project.write("deployment.yaml", TWO + "work_pool: {work_queue_name: high}\n")
    with unchanged(server_connection):
        said = project.done("deploy", "--dry-run").stdout
    assert "'load/nightly' would be created; its runs go to default-agent-pool/high." in said
    assert "Work pool 'default-agent-pool' would be made, of type agent." in said
    assert "Work queue 'high' would be made in work pool 'default-agent-pool'." in said
    assert '  + schedule: {"id": ' in said
    assert said.count(": next ") == 2
    project.done("deploy")
    project.write("deployment.yaml", TWO)
    with unchanged(server_connection):
        said = project.done("deploy", "--dry-run").stdout
        [document] = project.json("deploy", "--dry-run")
    assert (document["moved_runs"], document["taken_back_runs"], document["made_pool"]) == (8, 0, False)
    assert "8 waiting runs would move to default-agent-pool/default." in said
    assert document["changes"] == {"work_queue_name": {"before": "high", "after": "default"}}


def test_a_dry_run_counts_as_the_real_one(project: Project) -> None:
    """A parameter changes with the queue: what the schedules made is made anew, only other runs move."""
    project.write("deployment.yaml", TWO)
    project.done("deploy")
    project.done("deployment", "run", "nightly", "--start-in", "1h")
    again = ("deploy", "-q", "high", "--param", "day=monday")
    said = project.done(*again, "--dry-run").stdout
    assert "1 waiting run would move to default-agent-pool/high." in said
    assert (
        "8 waiting runs of its schedules would be taken back; 8 would be made anew for the changed deployment" in said
    )
    [foretold] = project.json(*again, "--dry-run")
    [real] = project.json(*again)
    assert foretold.keys() == real.keys()
    counts = ("made_pool", "made_queue", "moved_runs", "taken_back_runs", "scheduled_runs")
    assert [foretold[name] for name in counts] == [real[name] for name in counts] == [False, True, 1, 8, 8]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("{cron: '0 4 * * *', parameters: {siz: 2}}", ("deployment.yaml:1: ", "(did you mean 'size'?)")),
        ("{cron: '0 4 * * *', parameters: {size: two}}", ("size: 'two' is not of type 'integer'",)),
        ("{cron: '0 4 * * *'}\n  - {cron: '0 4 * * *', parameters: {size: 2}}", ("has the same schedule twice",)),
        ("{cron: '0 4 30 2 *'}\n  - {interval: 0s}", ("deployment.yaml:4: ", "it never fires", "deployment.yaml:5: ")),
        ("{cron: '0 4 * * *', interval: 1h}", ("deployment.yaml:4: a schedule has exactly one of",)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", [(), ("--dry-run",)], ids=["deploy", "dry-run"])
def test_a_file_that_is_refused_changes_nothing(
    project: Project, server_connection: redis.Redis, text: str, messages: tuple[str, ...], how: tuple[str, ...]
) -> None:
    project.write("deployment.yaml", f"name: nightly\nentrypoint: etl.py:load\nschedules:\n  - {text}\n")
    with unchanged(server_connection):
        told = project.refused("deploy", *how)
    for message in messages:
        assert message in told


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--cron", "0 4 * *"), 1, "a cron has 5 fields"),
        (("--cron", ""), 1, "a cron has 5 fields"),
        (("--cron", "0 4 * * *", "--timezone", "Europe/Berln"), 1, "did you mean 'Europe/Berlin'?"),
        (("--cron", "0 4 * * *", "--anchor-date", "2026-01-01"), 1, "a cron has no anchor"),
        (("--rrule", "FREQ=NEVER"), 1, "is not valid"),
        (("--interval", "1h", "--anchor-date", "soon"), 1, "the anchor 'soon' is not a time"),
        (("--interval", "5q"), 2, "is not a duration"),
        (("--interval", "0"), 2, "give more than 0"),
        (("--cron", "0 4 * * *", "--interval", "1h"), 2, "exclude each other"),
        (("--timezone", "Europe/Berlin"), 2, "--timezone belongs to a schedule: give --cron, --interval or --rrule"),
        (("--anchor-date", "2026-01-01"), 2, "--anchor-date belongs to a schedule"),
    ],
)
def test_options_that_are_refused(
    project: Project, server_connection: redis.Redis, words: tuple[str, ...], code: int, message: str
) -> None:
    with unchanged(server_connection):
        assert message in project.refused("deploy", FLOW, *words, code=code)


def test_a_flow_that_lacks_a_parameter_cannot_be_scheduled(project: Project, server_connection: redis.Redis) -> None:
    project.write("needs.py", "def load(day): return day\n")
    with unchanged(server_connection):
        assert "'day' is missing. It knows: day (required)." in project.refused("deploy", "needs.py:load", *BERLIN)
    project.done("deploy", "needs.py:load")
    project.done("deploy", "needs.py:load", *BERLIN, "--param", "day=1")


OVER = "DTSTART:20210101T000000 RRULE:FREQ=DAILY;COUNT=2"


def test_a_new_schedule_whose_times_are_all_over_is_refused(project: Project, server_connection: redis.Redis) -> None:
    """As `deployment schedule create` does; of several, each is told."""
    project.write(
        "deployment.yaml", f"entrypoint: {FLOW}\nschedules: [{{rrule: '{OVER}'}}, {{rrule: '{OVER};INTERVAL=3'}}]\n"
    )
    with unchanged(server_connection):
        for words in (("deploy",), ("deploy", "--dry-run"), ("deploy", FLOW, "--rrule", OVER)):
            told = project.refused(*words)
            assert told.count("its last time has passed. It begins at its DTSTART: give a later one, or") == (
                1 if FLOW in words else 2
            )
