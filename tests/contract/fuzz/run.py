"""Schemathesis against both listeners: no 5xx, and no answer that openapi.yaml does not have.

Goes through the consent as Attio's app does, so that what needs a token is reached. The operations that end a connection
come last, with a token of their own; then all of it once more with the token of a connection that is gone.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from service import CLIENT_ID, CLIENT_SECRET, Service

ROOT = pathlib.Path(__file__).resolve().parents[3]
ENDINGS = ["connectionRemoved", "revoke"]
BY_OPERATORS = [
    "operateLeads",
    "operateLead",
    "retryLead",
    "retryLeads",
    "deadLetters",
    "replayDeadLetters",
    "operateConnections",
    "operateConnection",
    "repairConnection",
    "operateGates",
    "openGates",
    "operateSyncs",
    "beginSyncs",
    "operatorsPage",
    "operatorsPageLeads",
    "operatorsPageLead",
    "operatorsPageRetry",
    "operatorsPageRetryThese",
    "operatorsPageDeadLetters",
    "operatorsPageReplay",
    "operatorsPageOpenGates",
    "operatorsPageRepair",
]
ON_MANAGEMENT = ["healthz", "readyz", "metrics", "version", *BY_OPERATORS]
ONLY_ON_MANAGEMENT = ["metrics", "version", *BY_OPERATORS]

MUST_BE_REACHED = {
    ("GET", "/v1/connection", 200),
    ("GET", "/v1/leads", 200),
    ("GET", "/v1/leads/{record_id}", 200),
    ("POST", "/v1/leads", 201),
    ("POST", "/v1/leads/batch", 202),
    ("DELETE", "/v1/triggers/{activation_id}", 204),
    ("POST", "/v1/events/connection-removed", 202),
    ("POST", "/oauth/revoke", 200),
    ("POST", "/webhooks/alc/{token}", 200),
    ("POST", "/webhooks/alc/{token}", 410),
    ("GET", "/operate/leads", 200),
    ("POST", "/operate/dead-letters/replay", 200),
    ("POST", "/operate/gates", 200),
    ("GET", "/operate", 200),
}
WEBHOOK = """
[[operations]]
include-operation-id = "alcCallback"
parameters = {{ "path.token" = "{}" }}
"""


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--target", default=ROOT / "target", type=pathlib.Path)
    arguments.add_argument("--seed", default=20261120, type=int)
    options = arguments.parse_args()
    binaries = options.target / "debug"
    failed = []
    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(directory) / "service.log"
        config = pathlib.Path(directory) / "schemathesis.toml"
        config.write_text((ROOT / "tests/contract/fuzz/schemathesis.toml").read_text())
        with Service(binaries / "alc-connector", binaries / "sandbox", log) as service:

            def fuzz(what, url, examples, seconds, *more):
                print(f"\n--- {what}", flush=True)
                command = [
                    pathlib.Path(sys.executable).with_name("st"),
                    f"--config-file={config}",
                    "run",
                    ROOT / "openapi.yaml",
                    f"--url={url}",
                    f"--max-examples={examples}",
                    f"--max-time={seconds}",
                    f"--seed={options.seed}",
                    *more,
                ]
                if subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL).returncode:
                    failed.append(what)

            def bearer(tokens):
                return f"--header=Authorization: Bearer {tokens['access_token']}"

            def operations(verb, names):
                return [f"--{verb}-operation-id={name}" for name in names]

            connected = service.connect()
            status, _, body = service.call(connected["access_token"], "POST", "/v1/events/connection-added", service.event())
            assert status == 201, (status, body)
            lead = {"record_id": service.person, "name": "Ada Lovelace", "phone_number": "+4915112345678"}
            status, _, body = service.call(connected["access_token"], "POST", "/v1/leads", lead)
            assert status == 201, (status, body)

            trigger = {"callback_url": f"{service.attio}/callbacks/fuzz"}
            status, _, body = service.call(connected["access_token"], "PUT", "/v1/triggers/fuzz", trigger)
            assert status == 201, (status, body)

            fuzz("a webhook that is not there", service.url, 5, 10, *operations("include", ["alcCallback"]))
            # A guessed token finds no webhook: this is ALC's.
            config.write_text(config.read_text() + WEBHOOK.format(service.webhook_token()))
            others = operations("exclude", ENDINGS + ONLY_ON_MANAGEMENT)
            fuzz("the public listener", service.url, 25, 60, bearer(connected), *others)
            status, _, body = service.call(connected["access_token"], "GET", "/v1/connection")
            assert (status, json.loads(body)["status"]) == (200, "connected"), (status, body)
            fuzz("the management listener", service.management, 10, 20, *operations("include", ON_MANAGEMENT))
            client = f"--auth={CLIENT_ID}:{CLIENT_SECRET}"
            both = operations("include", ["token", "revoke"])
            fuzz("the token endpoints, as the client", service.url, 25, 20, client, *both)
            ending = operations("include", ["connectionRemoved", "connection", "sendLead"])
            fuzz("the end of a connection", service.url, 15, 15, bearer(connected), *ending)
            fuzz("after the end", service.url, 5, 15, bearer(connected), *others)
        answered = {(line["method"], line["route"], line["status"]) for line in map(json.loads, log.open()) if "route" in line}
        unreached = MUST_BE_REACHED - answered
        if unreached:
            failed.append(f"never answered: {sorted(unreached)}")
        if failed:
            print("\nThe service's log, its end:")
            print("".join(log.read_text().splitlines(keepends=True)[-40:]))
            print(f"not as openapi.yaml has it: {', '.join(failed)}")
            sys.exit(1)


main()
