"""`dispatcher deployment schedule ...` and pausing: tables, JSON, what becomes of runs, what is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import redis

from dispatcher.client import Client
from dispatcher.models import Schedule
from dispatcher.ops import deployments, pools, schedules
from tests.cli.project import Project
from tests.dumps import unchanged

CREATE = ("deployment", "schedule", "create", "nightly")


@pytest.fixture
def project(project: Project) -> Project:
    """With the deployment `load/nightly` that has no schedule."""
    project.write("etl.py", "def load(day='today', size: int = 1): return day\n")
    project.done("deploy", "etl.py:load", "-n", "nightly")
    return project


def waiting(project: Project) -> list[str | None]:
    found = project.json("flow-run", "ls", "--limit", "1000")
    return [run["schedule_id"] for run in found if run["state"] == "SCHEDULED"]


def test_create_with_everything(project: Project) -> None:
    made = project.json(
        *(*CREATE, "--interval", "2h", "--anchor-date", "2026-01-01T00:05:00", "--timezone", "Europe/Berlin"),
        *("-p", "size=2", "--params", '{"day": "x"}', "--catchup", "all", "--overlap", "cancel_running"),
        *("--jitter-seconds", "1m", "--expires-seconds", "600"),
    )
    assert {name: made[name] for name in ("cron", "interval", "rrule", "timezone", "anchor_date", "active")} == {
        "cron": None,
        "interval": 7200,
        "rrule": None,
        "timezone": "Europe/Berlin",
        "anchor_date": "2026-01-01T00:05:00",
        "active": True,
    }
    assert (made["parameters"], made["catchup"], made["overlap"]) == ({"day": "x", "size": 2}, "all", "cancel_running")
    assert (made["jitter_seconds"], made["expires_seconds"], made["fault"]) == (60, 600, None)
    assert made["unfinished_runs"] == 4
    assert project.json("deployment", "schedule", "ls", "load/nightly") == [made]
    assert project.json("deployment", "inspect", "nightly")["schedules"] == [made]
    assert waiting(project) == [made["id"]] * 4


def test_tables(project: Project) -> None:
    assert "has no schedules. Make one: dispatcher" in project.done("deployment", "schedule", "ls", "nightly").stdout
    said = project.done(*CREATE, "--cron", "0 4 * * *", "--timezone", "Asia/Tokyo").stdout
    assert "(cron 0 4 * * * (Asia/Tokyo)) of deployment 'load/nightly' is made." in said
    assert "\nNext: 2" in said
    assert "T04:00:00+09:00" in said
    project.done(*CREATE, "--interval", "1d", "--overlap", "skip", "--paused")
    shown = project.done("deployment", "schedule", "ls", "nightly").stdout
    assert shown.splitlines()[0].split()[:3] == ["ID", "SCHEDULE", "NEXT"]
    assert "every 86400 s (UTC)" in shown
    assert "overlap skip" in shown
    assert shown.splitlines()[-1] == "(**) paused"
    listed = project.done("deployment", "ls").stdout
    assert "cron 0 4 * * * (Asia/Tokyo); every 86400 s (UTC) (**)" in listed
    inspected = project.done("deployment", "inspect", "nightly").stdout
    assert "cron 0 4 * * * (Asia/Tokyo); next 2" in inspected


def test_preview_in_its_own_zone_and_in_utc(project: Project) -> None:
    tokyo = project.json(*CREATE, "--cron", "0 4 * * *", "--timezone", "Asia/Tokyo")["id"]
    jittered = project.json(*CREATE, "--interval", "1h", "--jitter-seconds", "30")["id"]
    first, second = project.json("deployment", "schedule", "preview", "nightly", "-n", "3")
    assert [first["id"], second["id"]] == [tokyo, jittered]
    assert [len(first["times"]), len(second["times"])] == [3, 3]
    for at in first["times"]:
        local = datetime.fromisoformat(at["local"])
        assert (local.hour, local.utcoffset()) == (4, local.astimezone(ZoneInfo("Asia/Tokyo")).utcoffset())
        assert datetime.fromisoformat(at["utc"]) == local.astimezone(UTC)
        assert at["start"] == at["utc"]
    for at in second["times"]:
        late = datetime.fromisoformat(at["start"]) - datetime.fromisoformat(at["utc"])
        assert 0 <= late.total_seconds() <= 30
    due = {run["expected_start_time"] for run in project.json("flow-run", "ls") if run["schedule_id"] == jittered}
    assert {at["start"] for at in second["times"]} <= due, "it starts when the preview says"
    [alone] = project.json("deployment", "schedule", "preview", "nightly", tokyo[:6], "--count", "1")
    assert alone["times"] == first["times"][:1]
    shown = project.done("deployment", "schedule", "preview", "nightly").stdout
    assert f"Schedule {jittered}: its jitter puts each start off by up to 30 s." in shown
    assert shown.count("+09:00  Asia/Tokyo") == 5, "five of each unless told otherwise"


def test_a_schedule_that_has_run_out_has_no_more_times(project: Project) -> None:
    over = Schedule(rrule="FREQ=DAILY;COUNT=2")
    with Client(project.redis_url) as client:
        client.run(deployments.save(replace(client.run(deployments.read("nightly")), schedules=(over,))))
    [made] = project.json("deployment", "schedule", "ls", "nightly")
    assert made["next_times"] == []
    assert "no more times" in project.done("deployment", "schedule", "preview", "nightly").stdout
    assert "no more times" in project.done("deployment", "schedule", "ls", "nightly").stdout
    again = ("deploy", "etl.py:load", "-n", "nightly", "--rrule", str(over.rrule))
    assert f"Schedule {over.id}: rrule FREQ=DAILY;COUNT=2 (UTC): no more times" in project.done(*again).stdout


def test_pause_and_resume_one(project: Project) -> None:
    daily = project.json(*CREATE, "--cron", "0 4 * * *")["id"]
    hourly = project.json(*CREATE, "--interval", "1h")["id"]
    said = project.done("deployment", "schedule", "pause", "nightly", daily[:5]).stdout
    assert f"Schedule {daily} (cron 0 4 * * * (UTC)) of deployment 'load/nightly' is paused; 4 waiting runs" in said
    assert set(waiting(project)) == {hourly}
    paused, _ = project.json("deployment", "schedule", "ls", "nightly")
    assert (paused["active"], paused["next_times"], paused["unfinished_runs"]) == (False, [], 0)
    [shown] = project.json("deployment", "schedule", "preview", "nightly", daily)
    assert (shown["active"], len(shown["times"])) == (False, 5), "when it would run"
    resumed = project.json("deployment", "schedule", "resume", "nightly", daily)
    assert (resumed["active"], resumed["unfinished_runs"]) == (True, 4)
    assert set(waiting(project)) == {daily, hourly}


def test_delete_asks_and_takes_back_its_runs(project: Project, server_connection: redis.Redis) -> None:
    daily = project.json(*CREATE, "--cron", "0 4 * * *")["id"]
    hourly = project.json(*CREATE, "--interval", "1h")["id"]
    with unchanged(server_connection):
        assert "give --yes" in project.refused("deployment", "schedule", "delete", "nightly", daily)
    said = project.done("deployment", "schedule", "delete", "nightly", daily, "--yes").stdout
    assert "is deleted; 4 waiting runs of it were taken back." in said
    assert set(waiting(project)) == {hourly}
    gone = project.json("deployment", "schedule", "delete", "nightly", hourly, "--yes")
    assert (gone["id"], gone["taken_back_runs"]) == (hourly, 4)
    assert project.json("deployment", "schedule", "ls", "nightly") == []


def test_pause_and_resume_all(project: Project) -> None:
    assert "It has no schedules." in project.done("deployment", "pause", "nightly").stdout
    project.done("deployment", "resume", "nightly")
    project.json(*CREATE, "--cron", "0 4 * * *")
    project.json(*CREATE, "--interval", "1h")
    said = project.done("deployment", "pause", "nightly").stdout
    assert (
        said
        == "Deployment 'load/nightly' is paused. Its schedules make no runs; 8 waiting runs of theirs taken back.\n"
    )
    shown = project.done("deployment", "ls").stdout
    assert "load/nightly (**)" in shown
    assert shown.splitlines()[-1] == "(**) paused"
    document = project.json("deployment", "inspect", "nightly")
    assert (document["is_paused"], [one["next_times"] for one in document["schedules"]]) == (True, [[], []])
    assert waiting(project) == []
    assert "is paused: none of its schedules makes" in project.done("deployment", "schedule", "ls", "nightly").stdout
    run = project.json("deployment", "run", "nightly")
    assert run["state"] == "SCHEDULED", "only its schedules rest"
    assert project.json("deployment", "resume", "nightly")["is_paused"] is False
    assert len(waiting(project)) == 9


def test_a_deleted_deployment_says_what_became_of_its_runs(project: Project) -> None:
    project.json(*CREATE, "--cron", "0 4 * * *")
    project.done("deployment", "run", "nightly", "--start-in", "1h")
    said = project.done("deployment", "delete", "nightly", "--yes").stdout.splitlines()
    assert said == [
        "Deployment 'load/nightly' is deleted.",
        "Its schedules took back 4 runs.",
        "1 waiting run kept, to go on: dispatcher flow-run ls --deployment load/nightly",
    ]
    assert waiting(project) == [None]


def test_why_its_runs_cannot_be_made_is_shown(project: Project, client: Client) -> None:
    made = project.json(*CREATE, "--interval", "1h")
    template = {"job_configuration": {"n": "{{ n }}"}, "variables": {"properties": {"n": {}}, "required": ["n"]}}
    client.run(pools.update("default-agent-pool", template=template))
    client.run(schedules.expand("default-agent-pool", [("load/nightly", made["id"])]))
    [schedule] = project.json("deployment", "inspect", "nightly")["schedules"]
    assert "'n' is missing" in schedule["fault"]
    assert "'n' is missing" in project.done("deployment", "inspect", "nightly").stdout
    assert "'n' is missing" in project.done("deployment", "schedule", "ls", "nightly").stdout


@pytest.mark.parametrize(
    ("words", "code", "messages"),
    [
        (("create", "nope", "--cron", "0 4 * * *"), 1, ("Deployment 'nope' was not found",)),
        (("create", "nihgtly", "--cron", "0 4 * * *"), 1, ("Did you mean load/nightly?",)),
        (("create", "nightly"), 2, ("Say when: give --cron, --interval or --rrule.",)),
        (("create", "nightly", "--timezone", "UTC"), 2, ("--timezone belongs to a schedule",)),
        (("create", "nightly", "--cron", "0 4 * * *", "--rrule", "FREQ=DAILY"), 2, ("exclude each other",)),
        (("create", "nightly", "--cron", "61 * * * *"), 1, ("the minute field '61' is not valid (0-59)",)),
        (("create", "nightly", "--interval", "1h"), 1, ("has that schedule already (every 3600 s (UTC))",)),
        (("create", "nightly", "--interval", "2h", "--catchup", "some"), 1, ("catchup is one of latest, all, none",)),
        (("create", "nightly", "--interval", "2h", "--overlap", "x"), 1, ("overlap is one of allow, skip",)),
        (("create", "nightly", "--interval", "2h", "-p", "siz=1"), 1, ("'siz' is not known (did you mean 'size'?)",)),
        (("create", "nightly", "--interval", "2h", "-p", "size=x"), 1, ("size: 'x' is not of type 'integer'",)),
        (("create", "nightly", "--interval", "2h", "--params", "{"), 2, ("not JSON",)),
        (("create", "nightly", "--interval", "2h", "--expires-seconds", "0"), 2, ("give more than 0",)),
        (("ls", "nope"), 1, ("was not found",)),
        (("pause", "nightly", "zz"), 1, ("has no schedule 'zz'", "deployment schedule ls load/nightly")),
        (("pause", "nightly", ""), 1, ("has no schedule ''",)),
        (("resume", "nightly", "zz"), 1, ("has no schedule 'zz'",)),
        (("delete", "nightly", "zz", "--yes"), 1, ("has no schedule 'zz'",)),
        (("preview", "nightly", "zz"), 1, ("has no schedule 'zz'",)),
        (("preview", "nightly", "--count", "0"), 2, ("0",)),
    ],
)  # fmt: skip
def test_refused(
    project: Project, server_connection: redis.Redis, words: tuple[str, ...], code: int, messages: tuple[str, ...]
) -> None:
    project.done(*CREATE, "--interval", "1h")
    with unchanged(server_connection):
        told = project.refused("deployment", "schedule", *words, code=code)
    for message in messages:
        assert message in told


def test_an_id_that_is_ambiguous(project: Project, server_connection: redis.Redis) -> None:
    first, *others = (Schedule(cron=f"{minute} 4 * * *") for minute in range(60))
    second = next(one for one in others if one.id[0] == first.id[0])
    for one in (first, second):
        project.done(*CREATE, "--cron", str(one.cron))
    with unchanged(server_connection):
        told = project.refused("deployment", "schedule", "pause", "nightly", first.id[0])
    assert f"is ambiguous: {first.id}, {second.id}" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--rrule", "FREQ=DAILY;COUNT=2"],
            "It begins at 2020-01-01T00:00:00, because nothing else is said: give an anchor date",
        ),
        (["--rrule", "FREQ=DAILY;UNTIL=20210101"], "or another UNTIL."),
        (["--rrule", "FREQ=DAILY;COUNT=2", "--anchor-date", "2021-01-01"], "at its anchor 2021-01-01: give a later"),
        (["--rrule", "DTSTART:20210101T000000 RRULE:FREQ=DAILY;COUNT=2"], "It begins at its DTSTART"),
    ],
)
def test_times_that_are_all_over_are_refused(
    project: Project, server_connection: redis.Redis, words: list[str], said: str
) -> None:
    with unchanged(server_connection):
        told = project.refused(*CREATE, *words)
    assert "its last time has passed" in told
    assert said in told


def test_a_rule_that_begins_later(project: Project) -> None:
    made = project.json(*CREATE, "--rrule", "FREQ=DAILY;COUNT=2", "--anchor-date", "2099-01-01")
    times = project.json("deployment", "schedule", "preview", "nightly", made["id"])[0]["times"]
    assert [at["utc"][:10] for at in times] == ["2099-01-01", "2099-01-02"]


def test_a_cron_by_its_name_keeps_it(project: Project) -> None:
    made = project.json(*CREATE, "--cron", "@daily", "--timezone", "Asia/Tokyo")
    assert made["cron"] == "@daily"
    (shown,) = project.json("deployment", "schedule", "preview", "nightly", "-n", "2")
    assert [at["local"][10:] for at in shown["times"]] == ["T00:00:00+09:00"] * 2


def test_a_list_of_deployments_shows_a_few_schedules_of_each(project: Project) -> None:
    for hour in range(4):
        project.done(*CREATE, "--cron", f"0 {hour} * * *")
    assert "  cron 0 0 * * * (UTC); cron 0 1 * * * (UTC); 2 more  " in project.done("deployment", "ls").stdout
