"""The service between the sandbox's pretend ALC and pretend Attio, and what Attio's side does to get a token."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from urllib.parse import parse_qs, urlencode, urlsplit

CLIENT_ID = "attio-app"
CLIENT_SECRET = "attio-app-secret"
REDIRECT_URI = "https://app.attio.example/connections/callback"
PATIENCE = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def request(method, url, headers=None, body=None):
    """One request without redirects; status, headers (lower case, cookies as a list) and body."""
    parts = urlsplit(url)
    assert parts.hostname == "127.0.0.1", "traffic stays on this machine"
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=40)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class Service:
    """The connector with its upstreams, stopped at the end of a `with`."""

    def __init__(self, connector, sandbox, log):
        self.connector, self.sandbox, self.log = connector, sandbox, log
        self.url = f"http://127.0.0.1:{free_port()}"
        self.management = f"http://127.0.0.1:{free_port()}"
        self.children = contextlib.ExitStack()

    def __enter__(self):
        directory = self.children.enter_context(tempfile.TemporaryDirectory())
        environment, self.workspace, self.person = self._start_sandbox()
        self.alc = environment["ALC_CONNECTOR__ALC__BASE_URL"]
        self.attio = environment["ALC_CONNECTOR__ATTIO__BASE_URL"].rstrip("/")
        keys = subprocess.run([self.connector, "keys", "generate"], check=True, capture_output=True, text=True).stdout
        environment |= dict(line.split("=", 1) for line in keys.split() if "=" in line)
        environment |= {
            f"ALC_CONNECTOR__{name}": value
            for name, value in {
                "HTTP__BIND": urlsplit(self.url).netloc,
                "MANAGEMENT__BIND": urlsplit(self.management).netloc,
                "HTTP__PUBLIC_URL": self.url,
                "STORE__URL": f"sqlite:{directory}/store.db",
                "ATTIO_APP__CLIENT_ID": CLIENT_ID,
                "ATTIO_APP__CLIENT_SECRET": CLIENT_SECRET,
                "ATTIO_APP__REDIRECT_URIS": REDIRECT_URI,
                "LEADS__SEND_WAIT": "2s",
                # Not Attio's: nobody outside is told how a made-up lead ended.
                "ATTIO__CALLBACK_HOSTS": "127.0.0.1",
                # A fuzzer cannot sign.
                "ALC__WEBHOOK_SIGNATURE": "off",
                "TELEMETRY__FORMAT": "json",
            }.items()
        }
        log = self.children.enter_context(open(self.log, "wb"))
        self._start([self.connector, "serve"], env=environment, stdout=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if request("GET", f"{self.management}/readyz")[0] == 200:
                    return self
            time.sleep(0.05)
        self.__exit__()
        sys.exit(f"the service is not ready:\n{pathlib.Path(self.log).read_text()}")

    def __exit__(self, *_):
        self.children.close()

    def _start(self, command, **options):
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)

        def stop():
            child.terminate()
            try:
                child.wait(35)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

        self.children.callback(stop)
        return child

    def _start_sandbox(self):
        command = [self.sandbox, "serve", "--alc-port", "0", "--attio-port", "0"]
        child = self._start(command, stdout=subprocess.PIPE, text=True)
        environment = {"PATH": os.environ["PATH"]}
        for line in child.stdout:
            if line.startswith("ALC_CONNECTOR__"):
                environment.update([line.strip().split("=", 1)])
            elif line.startswith("# the workspace is "):
                words = line.replace(",", " ").split()
                return environment, words[4], words[-1]
        sys.exit("the sandbox did not start")

    def connect(self):
        """Goes through the consent; the tokens of a connection that is still `incoming`."""
        query = {"response_type": "code", "client_id": CLIENT_ID, "redirect_uri": REDIRECT_URI, "state": "attio's state"}
        status, headers, body = request("GET", f"{self.url}/oauth/authorize?{urlencode(query)}")
        assert status == 302, (status, body)
        cookie = headers["set-cookie"].split(";")[0]
        status, headers, body = request("GET", headers["location"])
        assert status in (302, 303), (status, body)
        status, headers, body = request("GET", headers["location"], {"cookie": cookie})
        assert status == 302, (status, body)
        code = parse_qs(urlsplit(headers["location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
        status, _, body = request("POST", f"{self.url}/oauth/token", headers, urlencode(form))
        assert status == 200, (status, body)
        return json.loads(body)

    def call(self, token, method, path, body=None):
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return request(method, f"{self.url}{path}", headers, json.dumps(body) if body is not None else None)

    def webhook_token(self):
        """What ALC's one webhook has at the end of its URL."""
        state = json.loads(request("GET", f"{self.alc}/_sandbox/state")[2])
        (webhook,) = state["webhooks"]
        return webhook["url"].rsplit("/", 1)[1]

    def event(self):
        return {"connection": {"id": "x", "ownedBy": {"type": "workspace", "id": self.workspace}}}
