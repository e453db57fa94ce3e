"""A small web server on this machine that answers as a test tells it to."""

import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Page:
    """What is answered at every path."""

    content: bytes = b""
    status: int = 200
    headers: dict = field(default_factory=dict)
    etag: str = ""
    announced: int | None = None
    """Content-Length, where it is not the true one."""
    silent: bool = False
    """Send half, then nothing more."""
    asked: list = field(default_factory=list)
    """Headers of each request."""


@contextmanager
def serving(page: Page, certificate: Path | None = None, key: Path | None = None):
    """Serve on a free port of the loopback interface; gives the URL of a file there."""
    leaving = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            page.asked.append(dict(self.headers))
            if page.etag and self.headers.get("If-None-Match") == page.etag:
                self.send_response(304)
                self.send_header("ETag", page.etag)
                self.end_headers()
                return
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.etag:
                self.send_header("ETag", page.etag)
            length = page.announced if page.announced is not None else len(page.content)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if page.silent:
                self.wfile.write(page.content[: len(page.content) // 2])
                self.wfile.flush()
                leaving.wait(20)
            else:
                self.wfile.write(page.content)
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"{scheme}://localhost:{server.server_address[1]}/list.xml"
    finally:
        leaving.set()
        server.shutdown()
        thread.join()
        server.server_close()
        time.sleep(0)
