"""`deployment.yaml`: what may stand in it, and what is told about what may not, by file and line."""

from pathlib import Path

import pytest

from cli import deployment_file
from dispatcher.errors import BadValue


def read(folder: Path, text: str) -> list[tuple[str, deployment_file.Entry]]:
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
  job_variables: {env: {LEVEL: debug}}
""",
    )
    assert where == f"{tmp_path}/deployment.yaml:2"
    assert entry.name == "nightly"
    assert entry.entrypoint == "flows/etl.py:load"
    assert entry.parameters == {"day": "today", "numbers": [1, 2.5, None, True]}
    assert (entry.tags, entry.path, entry.description) == (["etl"], ".", "Loads the day")
    assert (entry.retries, entry.retry_delay_seconds, entry.timeout_seconds) == (2, 1.5, 60)
    assert (entry.work_pool.name, entry.work_pool.work_queue_name) == ("above-ground", "high")
    assert entry.work_pool.job_variables.env == {"LEVEL": "debug"}


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
        (
            "entrypoint: a.py:f\nwork_pool:\n  job_variables:\n    image: x\n",
            "deployment.yaml:4: 'image' is not known here; known are: env",
        ),
        (
            "entrypoint: a.py:f\nwork_pool: {job_variables: {env: {PORT: 80}}}\n",
            "deployment.yaml:2: work_pool.job_variables.env.PORT: text is wanted, found 80: put it in",
        ),
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
        ("entrypoint: a.py:f\nwork_pool: above\n", 'deployment.yaml:2: work_pool: a mapping is wanted, found "above"'),
        ("entrypoint: a.py:f\nwork_pool:\n", "deployment.yaml:2: work_pool: a mapping is wanted, found nothing"),
        ("entrypoint: a.py:f\nparameters: [1]\n", "deployment.yaml:2: parameters: a mapping is wanted, found [1]"),
        ("entrypoint: a.py:f\ntimeout_seconds: 0\n", "deployment.yaml:2: timeout_seconds: more than 0 is wanted"),
        ("entrypoint: a.py:f\ntimeout_seconds: 5m\n", "timeout_seconds: a number is wanted, found \"5m\""),
        ("entrypoint: a.py:f\nschedules:\n  - cron: '* * * * *'\n", "deployment.yaml:2: schedules come with the next"),
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


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="cannot be read: No such file"):
        deployment_file.read(tmp_path / "none.yaml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadValue, match="not UTF-8"):
        deployment_file.read(tmp_path / "binary")
