"""`rediss://`: the server's certificate is checked, and files are named by settings or by options of the URL."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.project import Project

LS = ("work-pool", "ls", "-o", "json")
DAYS = "2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, and from it `server` and `client`, each a `.pem` and a `.key`."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificates of this test, and is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    # Python 3.13 takes no authority that does not say what its key is for, and no certificate without its issuer's key.
    authority = ("-subj", "/CN=test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", DAYS, *authority)
    (folder / "names").write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", DAYS)
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    return folder


@pytest.fixture
def port(folder: Path, redis_url: str) -> Iterator[int]:
    """A TLS port before the test's server, which wants a client's certificate."""
    if not redis_url.startswith("unix://"):
        pytest.skip("the server of these tests has no unix socket to put TLS before")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        with source, target:
            try:
                while received := source.recv(65_536):
                    target.sendall(received)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                client = context.wrap_socket(plain, server_side=True)
            except OSError:
                plain.close()
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(redis_url.removeprefix("unix://"))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def project(tmp_path: Path, port: int) -> Project:
    return Project(tmp_path, f"rediss://localhost:{port}")


def test_files_by_settings(project: Project, folder: Path) -> None:
    project.done(
        *("config", "set", f"redis_ca_file={folder}/ca.pem"),
        *(f"redis_cert_file={folder}/client.pem", f"redis_key_file={folder}/client.key"),
    )
    assert project.json("work-pool", "ls") == []


def test_files_by_options_of_the_url(project: Project, folder: Path) -> None:
    options = f"ssl_ca_certs={folder}/ca.pem&ssl_certfile={folder}/client.pem&ssl_keyfile={folder}/client.key"
    assert project.done("--redis-url", f"{project.redis_url}?{options}", *LS).json == []


def test_a_certificate_of_somebody_else_is_refused(project: Project) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in project.refused(*LS, code=3)


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, project: Project, folder: Path) -> None:
    by_number = Project(tmp_path, project.redis_url.replace("localhost", "127.0.0.1"))
    by_number.done("config", "set", f"redis_ca_file={folder}/ca.pem")
    assert "CERTIFICATE_VERIFY_FAILED" in by_number.refused(*LS, code=3)


def test_a_file_that_is_not_there(project: Project) -> None:
    project.done("config", "set", "redis_ca_file=no.pem")
    assert "DISPATCHER_REDIS_CA_FILE names 'no.pem', which is not a file" in project.refused(*LS)


def test_tls_options_without_tls(project: Project) -> None:
    assert "ssl_ca_certs is for rediss:// only" in project.refused("--redis-url", "redis://h?ssl_ca_certs=/x", *LS)
