"""`deployment.yaml`: what may stand in it, and what is told about what may not, by file and line."""

from pathlib import Path

import pytest

from cli import deployment_file
from cli.deployment_form import Entry, ScheduleEntry
from dispatcher.errors import BadValue
from dispatcher.models import Schedule


def read(folder: Path, text: str) -> list[tuple[str, Entry]]:
    file = folder / "deployment.yaml"
    file.write_text(text)
    return deployment_file.read(file)


def refused(folder: Path, text: str) -> str:
    """The message, with the folder left out of the places."""
    with pytest.raises(BadValue) as caught:
        read(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def test_one_deployment(tmp_path: Path) -> None:
    [(where, entry)] = read(
        tmp_path,
        """
name: nightly
entrypoint: flows/etl.py:load
parameters: {day: today, numbers: [1, 2.5, null, true]}
tags: [etl]
path: .
description: Loads the day
retries: 2
retry_delay_seconds: 1.5
timeout_seconds: 60
work_pool:
  name: above-ground
  work_queue_name: high
  job_variables: {env: {LEVEL: debug}, stream_output: false}
""",
    )
    assert where == f"{tmp_path}/deployment.yaml:2"
    assert entry.name == "nightly"
    assert entry.entrypoint == "flows/etl.py:load"
    assert entry.parameters == {"day": "today", "numbers": [1, 2.5, None, True]}
    assert (entry.tags, entry.path, entry.description) == (["etl"], ".", "Loads the day")
    assert (entry.retries, entry.retry_delay_seconds, entry.timeout_seconds) == (2, 1.5, 60)
    assert (entry.work_pool.name, entry.work_pool.work_queue_name) == ("above-ground", "high")
    assert entry.work_pool.job_variables == {"env": {"LEVEL": "debug"}, "stream_output": False}


def test_a_list_and_a_shared_part(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """deployments:
  - &first
    name: a
    entrypoint: a.py:f
    tags: [x]
  - <<: *first
    name: b
  - command: ["./load.sh", "--full"]
""",
    )
    assert [(entry.name, entry.tags) for _, entry in found] == [("a", ["x"]), ("b", ["x"]), ("default", [])]
    assert found[2][1].command == ["./load.sh", "--full"]
    assert [where.rpartition(":")[2] for where, _ in found] == ["2", "6", "8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entrypoint: a.py:f\ntagss: [x]\n", "deployment.yaml:2: 'tagss' is not known here (did you mean 'tags'?)"),
        ("entrypoint: a.py:f\nwork_pool:\n  nam: p\n", "deployment.yaml:3: 'nam' is not known here (did you mean"),
        ("entrypoint: a.py:f\nwork_pool: {job_variables: [x]}\n", "work_pool.job_variables: a mapping is wanted"),
        ("entrypoint: a.py:f\nname: a\nname: b\n", "deployment.yaml:3: the key 'name' stands here twice"),
        ("entrypoint: a.py:f\nparameters: {a: 1, a: 2}\n", "deployment.yaml:2: the key 'a' stands here twice"),
        ("entrypoint: a.py:f\nparameters:\n  on: 1\n", "deployment.yaml:3: the key on must be text: put it in quotes"),
        ("entrypoint: a.py:f\nparameters:\n  day: 2026-11-21\n", "deployment.yaml:3: '2026-11-21' is of a type that"),
        ("entrypoint: a.py:f\nparameters: {x: .nan}\n", "deployment.yaml:2: '.nan' is of a type that JSON does not"),
        ("entrypoint: a.py:f\nparameters: {x: !!python/name:os.system }\n", "deployment.yaml:2: not valid YAML: could"),
        ("entrypoint: a.py:f\nretries: many\n", "deployment.yaml:2: retries: a whole number is wanted, found \"many\""),
        ("entrypoint: a.py:f\nretries: -1\n", "deployment.yaml:2: retries: at least 0 is wanted, found -1"),
        ("entrypoint: a.py:f\nretries: true\n", "deployment.yaml:2: retries: a whole number is wanted, found true"),
        ("entrypoint: a.py:f\ntags: etl\n", "deployment.yaml:2: tags: a list is wanted, found \"etl\""),
        ("entrypoint: a.py:f\nwork_pool:\n  name: ''\n", "deployment.yaml:3: work_pool.name: a text that is not empty"),
        ("entrypoint: a.py:f\ntags: ['']\n", "deployment.yaml:2: tags.0: a text that is not empty is wanted"),
        ("entrypoint: a.py:f\nwork_pool: above\n", 'deployment.yaml:2: work_pool: a mapping is wanted, found "above"'),
        ("entrypoint: a.py:f\nwork_pool:\n", "deployment.yaml:2: work_pool: a mapping is wanted, found nothing"),
        ("entrypoint: a.py:f\nparameters: [1]\n", "deployment.yaml:2: parameters: a mapping is wanted, found [1]"),
        ("entrypoint: a.py:f\ntimeout_seconds: 0\n", "deployment.yaml:2: timeout_seconds: more than 0 is wanted"),
        ("entrypoint: a.py:f\ntimeout_seconds: 5x\n", "deployment.yaml:2: timeout_seconds: '5x' is not a duration"),
        ("entrypoint: a.py:f\ntimeout_seconds: 0s\n", "timeout_seconds: more than 0 is wanted, found \"0s\""),
        ("entrypoint: a.py:f\ninfrastructure: docker\n", "deployment.yaml:2: infrastructure 'docker' comes later"),
        ("entrypoint: a.py:f\ninfrastructure: agent\n", "infrastructure 'agent' is not known: this version has"),
        ("entrypoint: a.py:f\nschedule: {cron: x}\n", "deployment.yaml:2: 'schedule' is not known here: write a list"),
        ("entrypoint: a.py:f\nwork_queue_name: x\n", "'work_queue_name' is not known here: it belongs under work_pool"),
        ("entrypoint: a.py:f\nschedules: {cron: x}\n", "deployment.yaml:2: schedules: a list is wanted, such as"),
        ("entrypoint: a.py:f\nschedules:\n", "deployment.yaml:2: schedules: a list is wanted, such as [{cron"),
        ("entrypoint: [a\nname: b\n", "deployment.yaml:2: not valid YAML"),
        ("entrypoint: a\n\tname: b\n", "deployment.yaml:2: not valid YAML"),
        ("name: a\n", "deployment.yaml:1: give either an entrypoint or a command"),
        ("entrypoint: a.py:f\ncommand: [x]\n", "deployment.yaml:1: give either an entrypoint or a command"),
        ("command: []\n", "deployment.yaml:1: command: at least one item is wanted"),
        ("", "deployment.yaml:1: a deployment is a mapping"),
        ("- entrypoint: a\n", "deployment.yaml:1: a deployment is a mapping"),
        ("deployments: []\n", "deployment.yaml:1: a list of deployments is wanted"),
        ("deployments: {a: b}\n", "deployment.yaml:1: a list of deployments is wanted"),
        ("deployments:\n  - entrypoint: a.py:f\ntags: [x]\n", "deployment.yaml:3: 'tags' must stand in one of the"),
        ("deployments:\n  - nothing\n", "deployment.yaml:2: the deployment: a mapping is wanted, found \"nothing\""),
        ("entrypoint: a.py:f\nparameters: {zip: 01234}\n", "deployment.yaml:2: 01234 is the number 668 in YAML: put"),
        ("entrypoint: a.py:f\nparameters:\n  at: 12:30\n", "deployment.yaml:3: 12:30 is the number 750 in YAML: put"),
        ("entrypoint: a.py:f\ntimeout_seconds: 1:30:00\n", "1:30:00 is the number 5400 in YAML: put it in quotes, or"),
        ("entrypoint: a.py:f\nname: a\0b\n", "deployment.yaml:2: not valid YAML: the character '\\x00' cannot stand"),
        ("a: &a\n  b: *a\n", "deployment.yaml:1: not valid YAML: a value contains itself"),
        ("entrypoint: a\n---\nentrypoint: b\n", "deployment.yaml:2: not valid YAML"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    told = refused(tmp_path, text)
    assert message in told
    assert told.startswith("The deployment file cannot be used, nothing was changed:\n  deployment.yaml:")


def test_every_fault_at_once(tmp_path: Path) -> None:
    told = refused(
        tmp_path,
        "deployments:\n  - name: 1\n    entrypoint: a.py:f\n  - entrypoint: b.py:f\n    retries: -1\n    tag: x\n",
    )
    assert [line.split(": ")[0].strip() for line in told.splitlines()[1:]] == [
        "deployment.yaml:2",
        "deployment.yaml:5",
        "deployment.yaml:6",
    ]


def test_what_is_no_yaml_is_told_alone(tmp_path: Path) -> None:
    told = refused(tmp_path, "entrypoint: a.py:f\ntags: [etl\nretries: 1\n").splitlines()[1:]
    assert len(told) == 1
    assert "not valid YAML" in told[0]


def test_a_few_lines_cannot_fill_the_memory(tmp_path: Path) -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))
    assert "more than 100000 values" in refused(tmp_path, f"l0: &l0 [x]\n{levels}\n")


@pytest.mark.parametrize("levels", [300, 3000])
def test_lists_in_lists_are_told(tmp_path: Path, levels: int) -> None:
    text = f"entrypoint: a.py:f\nname: {'[' * levels}{']' * levels}\n"
    assert refused(tmp_path, text).startswith("The deployment file cannot be used")


def test_values_that_look_like_what_they_are(tmp_path: Path) -> None:
    text = (
        "entrypoint: a.py:f\nparameters: {v: [0, 0.5, -1, 1_000, 0x1F, 1e3, 0.0, 09, '010', '12:30', 10:99, no, on]}\n"
    )
    [(_, entry)] = read(tmp_path, text)
    assert entry.parameters["v"] == [0, 0.5, -1, 1000, 31, "1e3", 0.0, "09", "010", "12:30", "10:99", False, True]


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    assert "it is larger than 1 MiB. Split it." in refused(tmp_path, "#" * (1 << 20) + "\n")
    with pytest.raises(BadValue, match="larger than 1 MiB"):
        deployment_file.read(Path("/dev/zero"))


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    [(_, entry)] = read(tmp_path, "\ufeffentrypoint: a.py:f\n")
    assert entry.entrypoint == "a.py:f"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="cannot be read: No such file"):
        deployment_file.read(tmp_path / "none.yaml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadValue, match="not UTF-8"):
        deployment_file.read(tmp_path / "binary")


SCHEDULED = "entrypoint: a.py:f\nschedules:\n  - {}\n"


def schedule_of(folder: Path, text: str) -> ScheduleEntry:
    [(_, entry)] = read(folder, SCHEDULED.replace("{}", text))
    assert entry.schedules is not None
    [found] = entry.schedules
    return found


def test_everything_that_a_schedule_says(tmp_path: Path) -> None:
    found = schedule_of(
        tmp_path,
        "{interval: 1h30m, timezone: Europe/Berlin, anchor_date: '2026-01-31T09:00', active: false, "
        "parameters: {a: 1}, catchup: all, overlap: cancel_running, jitter_seconds: 10, expires_seconds: PT5M}",
    )
    assert found.schedule == Schedule(
        interval_s=5400.0,
        timezone="Europe/Berlin",
        anchor="2026-01-31T09:00",
        is_active=False,
        parameters={"a": 1},
        catchup="all",
        overlap="cancel_running",
        jitter_s=10.0,
        expires_s=300.0,
    )
    assert found.says_active


@pytest.mark.parametrize(
    ("text", "interval_s"), [("90", 90), ("1.5", 1.5), ("15m", 900), ("'90'", 90), ("PT15M", 900), ("1d", 86_400)]
)
def test_lengths(tmp_path: Path, text: str, interval_s: float) -> None:
    found = schedule_of(tmp_path, f"{{interval: {text}}}")
    assert found.schedule.interval_s == interval_s
    assert not found.says_active
    assert found.schedule.id == Schedule(interval_s=float(interval_s)).id, "however it is written, it is the same one"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T09:00:00", "2026-01-31T09:00:00"),
        ("2026-01-31 09:00:00", "2026-01-31T09:00:00"),
        ("2026-01-31 09:00:00 +01:00", "2026-01-31T09:00:00+01:00"),
        ("2026-01-31T09:00:00Z", "2026-01-31T09:00:00Z"),
        ("'2026-01-31T09:00:00Z'", "2026-01-31T09:00:00Z"),
    ],
)
def test_an_anchor_needs_no_quotes(tmp_path: Path, written: str, kept: str) -> None:
    assert schedule_of(tmp_path, f"{{interval: 90, anchor_date: {written}}}").schedule.anchor == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{timezone: UTC}", "deployment.yaml:3: a schedule has exactly one of cron, interval and rrule, found none of"),
        ("{cron: '0 4 * * *', interval: 90}", "deployment.yaml:3: a schedule has exactly one of cron, interval and"),
        ("{cron: '0 25 * * *'}", "deployment.yaml:3: Schedule 'cron 0 25 * * * (UTC)' is not valid: the hour field"),
        ("{cron: '0 4 * *'}", "a cron has 5 fields"),
        ("{cron: '@reboot'}", "only these are known: @hourly, @daily, @midnight, @weekly"),
        ("{cron: 5}", "deployment.yaml:3: schedules.0.cron: text is wanted, found 5: put it in quotes"),
        ("{interval: 0}", "an interval is 1 s to"),
        ("{interval: soon}", "deployment.yaml:3: interval: 'soon' is not a duration"),
        ("{interval: true}", "schedules.0.interval: a number is wanted, found true"),
        ("{rrule: 'FREQ=NEVER'}", "deployment.yaml:3: Schedule 'rrule FREQ=NEVER (UTC)' is not valid"),
        ("{interval: 90, timezone: Europe/Berln}", "'Europe/Berln' is not known (did you mean 'Europe/Berlin'?)"),
        ("{interval: 90, anchor_date: yesterday}", "the anchor 'yesterday' is not a time like 2026-01-31T09:00:00"),
        ("{interval: 90, catchup: some}", "catchup is one of latest, all, none, not 'some'"),
        ("{interval: 90, overlap: no}", "schedules.0.overlap: text is wanted, found false: put it in quotes"),
        ("{interval: 90, active: 'no'}", 'schedules.0.active: true or false is wanted, found "no"'),
        ("{interval: 90, jitter_seconds: -1}", "jitter_seconds is 0 to"),
        ("{interval: 90, expires_seconds: 0}", "expires_seconds is more than 0"),
        ("{interval: 90, parameters: [1]}", "schedules.0.parameters: a mapping is wanted, found [1]"),
        ("{intervall: 90}", "deployment.yaml:3: 'intervall' is not known here (did you mean 'interval'?); known"),
        ("{interval: 90, interval: 91}", "deployment.yaml:3: the key 'interval' stands here twice"),
        ("{cron: * * * * *}", "deployment.yaml:3: not valid YAML"),
        ("daily", 'deployment.yaml:3: schedules.0: a mapping is wanted, found "daily"'),
    ],
)  # fmt: skip
def test_schedules_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, SCHEDULED.replace("{}", text))


def test_every_schedule_with_a_fault_is_told(tmp_path: Path) -> None:
    told = refused(tmp_path, SCHEDULED.replace("{}", "{cron: x}\n  - {interval: 90}\n  - {interval: 5x}"))
    assert [line.split(": ")[0].strip() for line in told.splitlines()[1:]] == ["deployment.yaml:3", "deployment.yaml:5"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{overlap: 5, catchup: sometimes, jitter_seconds: -1, timezone: Mars/X}",
            ["schedules.0.overlap: text is wanted", "found none of them", "'sometimes'", "jitter_seconds", "'Mars/X'"],
        ),
        ("{cron: '0 4 * *', timezone: Europe/Berln}", ["this has 4", "did you mean 'Europe/Berlin'?"]),
        ("{cron: 5, timezone: Mars/X}", ["schedules.0.cron: text is wanted", "'Mars/X'"]),
        ("{interval: 90, cron: '* * * * *', timezone: Mars/X}", ["found cron and interval", "'Mars/X'"]),
        (
            "{interval: 1 year, timzone: UTC, catchup: some}",
            ["'timzone' is not known here", "interval: ", "'some'"],
        ),
    ],
)
def test_every_fault_of_a_schedule_is_told(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(BadValue) as caught:
        read(tmp_path, SCHEDULED.format(text))
    assert [words for words in said if words not in str(caught.value)] == [], caught.value
    assert "60 s" not in str(caught.value)


def test_a_wrong_type_alone_is_the_only_fault_told(tmp_path: Path) -> None:
    with pytest.raises(BadValue) as caught:
        read(tmp_path, SCHEDULED.format("{cron: 5}"))
    assert str(caught.value).count("deployment.yaml:") == 1


def test_no_schedules_and_none_said_are_different(tmp_path: Path) -> None:
    assert read(tmp_path, "entrypoint: a.py:f\nschedules: []\n")[0][1].schedules == []
    assert read(tmp_path, "entrypoint: a.py:f\n")[0][1].schedules is None


def test_lengths_of_a_run_may_be_texts(tmp_path: Path) -> None:
    [(_, entry)] = read(tmp_path, "entrypoint: a.py:f\nretry_delay_seconds: 1m30s\ntimeout_seconds: PT1H\n")
    assert (entry.retry_delay_seconds, entry.timeout_seconds) == (90, 3600)
