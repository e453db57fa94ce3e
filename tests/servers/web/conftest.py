"""One real instance for the requests of all these tests, with two workers and short patience."""

import http.client
import socket
import ssl
from dataclasses import dataclass

import pytest

from tests.journeys.instance import Instance

WEB = """
[web]
request_seconds = 2
idle_seconds = 2
request_bytes = 20000
"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Site:
    """The web listener of an instance, as its clients see it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        demo = instance.demo
        self.port = demo["ports"]["https"]
        self.domain = demo["domain"]
        self.patient_domain = demo["patient_domain"]

    def ask(self, path, method="GET", body=None, host=None, **headers) -> Answer:
        """One request on a connection of its own; `host` as the Host field says it."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=self.instance.tls(), timeout=15
        )
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if host is not None:
            fields["Host"] = host
        try:
            connection.request(method, path, body, fields)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()

    def connect(self) -> ssl.SSLSocket:
        """A connection to write whatever one likes on."""
        plain = socket.create_connection(("localhost", self.port), timeout=15)
        return self.instance.tls().wrap_socket(plain, server_hostname="localhost")

    def say(self, octets: bytes) -> bytes:
        """Write octets, read until the server closes."""
        with self.connect() as connection:
            connection.sendall(octets)
            return everything(connection)

    def log(self) -> str:
        return self.instance.log.read_text()


def everything(connection: ssl.SSLSocket) -> bytes:
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except (ConnectionError, ssl.SSLError):
        pass
    return found


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    instance = Instance(tmp_path_factory.mktemp("web") / "instance").init()
    with instance.config.open("a") as file:
        file.write(WEB)
    instance.start(workers=2)
    yield Site(instance)
    instance.stop()
