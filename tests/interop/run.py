"""Tests wsplice with other WebSocket implementations. tests/interop.sh starts it."""

import argparse
import contextlib
import datetime
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
CHECKS = ["text", "binary", "empty", "sizes", "50 MB", "fragments", "pings", "close"]
SIZES = [1, 125, 126, 65535, 65536, 1 << 20]
# For a whole row, in seconds.
LIMIT = 120

NOTES = [
    "*client*: the peer is a client of `wsplice ws-l: mirror:`. *server*: the peer is an echo server, and the websockets client "
    "connects to it through `wsplice ws-l: ws:`; `wsplice ws:` itself sends the pings and the close frame.",
    "Browsers and websocat send no pings; as clients they reply to pings that wsplice sends between messages.",
    "Sizes are 0, 1, 125, 126, 65535, 65536 bytes and 1 MiB, as text and as binary. wsplice sends messages longer than 64 KiB in "
    "fragments of that size.",
    "– means not testable: browsers and aiohttp clients cannot choose fragments. websocat reads standard input: each line is a "
    "text message, each read a binary message; it replies to a close frame by closing the connection, without a close frame.",
    "websocat has no permessage-deflate.",
]


class Wrong(Exception):
    pass


class Run:
    def __init__(self, args):
        self.args, self.wsplice, self.peers = args, str(args.wsplice), args.peers
        self.environment = {**os.environ, "NODE_PATH": str(args.peers / "node_modules"), "PYTHONUNBUFFERED": "1"}
        self.python, self.websocat = str(args.peers / "venv/bin/python"), str(args.peers / "websocat/bin/websocat")

    def ask(self, *command):
        return subprocess.run(command, capture_output=True, text=True, check=True, env=self.environment).stdout.strip()

    def flags(self, deflate):
        """Options of wsplice. With compression, it compresses every message, however short."""
        return ["--deflate", "on", "--deflate-threshold", "0"] if deflate else ["--deflate", "off"]

    @contextlib.contextmanager
    def server(self, *command, log=None):
        """Runs a server that prints its port at the end of its first line."""
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment
        )
        deadline = threading.Timer(LIMIT, process.kill)
        deadline.start()
        try:
            port = re.search(r"(\d+)$", process.stdout.readline().strip())
            if not port:
                raise Wrong(f"{command[0]} prints no port")
            yield int(port[1])
        finally:
            deadline.cancel()
            process.terminate()
            process.wait()

    def ours(self, deflate, *addresses, options=("-q",), log=None):
        command = [self.wsplice, "--stdout-announce-listening-ports", *self.flags(deflate), *options, "ws-l:127.0.0.1:0", *addresses]
        return self.server(*command, log=log)

    @contextlib.contextmanager
    def pinging(self, deflate, *options):
        """Runs an echo server that pings constantly; gives its port and a function that waits for a pong."""
        with tempfile.TemporaryFile("w+") as log:
            def has_pong():
                deadline = time.monotonic() + LIMIT
                while time.monotonic() < deadline:
                    log.seek(0)
                    if "< pong" in log.read():
                        return True
                    time.sleep(0.05)
                return False

            with self.ours(deflate, "mirror:", options=["-vv", "--ping-interval", "0.1", *options], log=log) as port:
                yield port, has_pong

    def cells(self, *command):
        """Runs a client that prints what it checks."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return {"text": "time limit exceeded"}
        pairs = (line.partition(": ") for line in done.stdout.splitlines())
        cells = {name: verdict for name, _, verdict in pairs}
        if done.returncode != 0:
            cells["ended"] = f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"
        return cells

    def client(self, deflate, *command):
        """Runs a client of a peer with our echo server. @ in its arguments stands for the port."""
        with self.ours(deflate, "mirror:") as port:
            return self.cells(*(word.replace("@", str(port)) for word in command))

    def through(self, deflate, *server):
        """Runs a server of a peer behind our listener and our client."""
        with self.server(*server) as far, self.ours(deflate, f"ws://127.0.0.1:{far}/") as near:
            known = self.cells(self.python, str(HERE / "client.py"), "websockets", f"ws://127.0.0.1:{near}/", how(deflate))
            # Our listener replies to the pings and the close frame of the known client.
            return {**known, **self.alone(deflate, far)}

    def alone(self, deflate, port):
        """Runs our client with the echo server of the peer: it sends a ping to confirm delivery, then closes."""
        command = [self.wsplice, "-vv", *self.flags(deflate), f"ws://127.0.0.1:{port}/"]
        done = subprocess.run(command, input="hello\n", capture_output=True, text=True, timeout=LIMIT)
        if done.returncode != 0 or done.stdout != "hello\n":
            return {"pings": done.stderr, "close": f"exit code {done.returncode}"}
        answers = {"pings": "< pong 8 B", "close": "< close 2 B 1000"}
        return {name: "ok" if answer in done.stderr else done.stderr for name, answer in answers.items()}

    def chromium(self, deflate):
        page = f"/page.html:text/html:{HERE / 'page.html'}"
        script = HERE.parent / "peers/scripts/browser.js"
        with self.pinging(deflate, "-F", page) as (port, has_pong):
            cells = self.cells("node", str(script), f"http://127.0.0.1:{port}/page.html", how(deflate))
            return {**cells, "pings": "ok" if has_pong() else "no pong"}

    def pipe(self, command, payload):
        done = subprocess.run(command, input=payload, capture_output=True, timeout=LIMIT)
        if done.stdout != payload:
            raise Wrong(f"{len(done.stdout)} of {len(payload)} bytes came back, or others: {done.stderr.decode()[-200:]}")

    def piped(self, text_command, binary_command):
        """Checks two clients by their output: one sends lines, the other bytes."""
        line = lambda size: b"x" * size + b"\n"
        checks = {
            "text": lambda: self.pipe(text_command, "hello\nzwei Wörter ✓\n".encode()),
            "binary": lambda: self.pipe(binary_command, bytes(range(256))),
            "sizes": lambda: [self.pipe(text_command, line(size)) or self.pipe(binary_command, os.urandom(size)) for size in SIZES],
            "50 MB": lambda: self.pipe(binary_command, os.urandom(1 << 20) * 48),
        }
        cells = {"empty": "-", "fragments": "-", "pings": "-", "close": "-"}
        for name, check in checks.items():
            try:
                check()
                cells[name] = "ok"
            except (Wrong, subprocess.TimeoutExpired) as error:
                cells[name] = str(error)
        return cells

    def websocat_client(self):
        with self.ours(False, "mirror:") as port:
            common = [self.websocat, "-B", "67108864", f"ws://127.0.0.1:{port}/"]
            piped = self.piped([*common, "-t"], [*common, "-b"])
        with self.pinging(False) as (port, has_pong):
            command = [self.websocat, "-t", f"ws://127.0.0.1:{port}/"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
                is_pinged = has_pong()
                said, _ = client.communicate("hello\n", timeout=LIMIT)
        return {**piped, "pings": "ok" if is_pinged and said == "hello\n" else f"pong: {is_pinged}, output: {said!r}"}

    def websocat_server(self):
        # websocat prints the port that it was given, even if that is 0. -E: it ends a connection as soon as its client has ended.
        listen = lambda kind: self.server(
            self.websocat, "--stdout-announce-listening-ports", "-E", kind, "-B", "67108864", f"ws-l:127.0.0.1:{free_port()}", "mirror:"
        )
        with listen("-t") as text, listen("-b") as binary:
            ours = [self.wsplice, *self.flags(False)]
            piped = self.piped([*ours, f"ws://127.0.0.1:{text}/"], [*ours, "-b", f"ws://127.0.0.1:{binary}/"])
            # It replies to a close frame by closing the connection.
            return {**piped, "pings": self.alone(False, text)["pings"]}

    def rows(self):
        """For each row: the peer, its role, whether it compresses, and the function that gives the cells."""
        script = lambda name: str(HERE / name)
        for deflate in [False, True]:
            word = how(deflate)
            yield "ws", "client", deflate, lambda: self.client(deflate, "node", script("client.js"), "ws://127.0.0.1:@/", word)
            yield "ws", "server", deflate, lambda: self.through(deflate, "node", script("server.js"), word)
            for library in ("websockets", "aiohttp"):
                command = [self.python, script("client.py"), library, "ws://127.0.0.1:@/", word]
                yield library, "client", deflate, lambda: self.client(deflate, *command)
                yield library, "server", deflate, lambda: self.through(deflate, self.python, script("server.py"), library, word)
            yield "chromium", "client", deflate, lambda: self.chromium(deflate)
        yield "websocat", "client", False, self.websocat_client
        yield "websocat", "server", False, self.websocat_server

    def versions(self):
        installed = lambda name: f"import importlib.metadata as m; print(m.version('{name}'))"
        return {
            "wsplice": self.ask(self.wsplice, "--version").split()[-1],
            "ws": self.ask("node", "-p", "require('ws/package.json').version"),
            "websockets": self.ask(self.python, "-c", installed("websockets")),
            "aiohttp": self.ask(self.python, "-c", installed("aiohttp")),
            "chromium": re.search(r"[\d.]+", self.ask("chromium", "--version"))[0],
            "websocat": self.ask(self.websocat, "--version").split()[-1],
        }


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def how(deflate):
    return "deflate" if deflate else "plain"


def curl():
    """The WebSocket support of curl is experimental, and most packages omit it."""
    try:
        said = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout
    except OSError:
        return "curl is not installed."
    version = said.split()[1]
    protocols = re.search(r"^Protocols:(.*)$", said, re.MULTILINE)[1].split()
    if "ws" in protocols:
        return f"curl {version} supports WebSockets, but its command line cannot send messages."
    return f"curl {version}, as packaged, has no WebSocket support."


def main():
    parser = argparse.ArgumentParser(prog="tests/interop.sh")
    parser.add_argument("--wsplice", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--peers", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="write docs/interop.md")
    parser.add_argument("peer", nargs="*", help="only these peers")
    args = parser.parse_args()
    args.wsplice, args.peers = args.wsplice.absolute(), args.peers.absolute()
    run = Run(args)

    lines = ["| peer | role | deflate | " + " | ".join(CHECKS) + " |", "|---|---|---|" + "---|" * len(CHECKS)]
    problems = []
    for peer, role, deflate, measure in run.rows():
        if args.peer and peer not in args.peer:
            continue
        try:
            cells = measure()
        except (Wrong, OSError) as error:
            cells = {"started": str(error)}
        wrong = {name: verdict for name, verdict in cells.items() if name not in CHECKS and verdict != "ok"}
        wrong = {name: verdict for name, verdict in wrong.items() if not name.startswith("page ")}
        wrong |= {name: cells.get(name, "missing") for name in CHECKS if cells.get(name) not in ("ok", "-")}
        problems += [f"{peer} as a {role}, {how(deflate)}: {name}: {verdict}" for name, verdict in wrong.items()]
        shown = [{"ok": "ok", "-": "–"}.get(cells.get(name), "**no**") for name in CHECKS]
        lines.append(f"| {peer} | {role} | {'yes' if deflate else 'no'} | " + " | ".join(shown) + " |")
        print(lines[-1], flush=True)
    for problem in problems:
        print(f"interop: {problem}", file=sys.stderr)
    if args.write and not args.peer and not problems:
        versions = ", ".join(f"{name} {version}" for name, version in run.versions().items())
        text = ["# Interoperability", "", "<!-- Written by `tests/interop.sh --write`; do not edit. -->", ""]
        text += [f"{versions}; {datetime.date.today().isoformat()}.", "", *lines, "", *(f"- {note}" for note in NOTES), f"- {curl()}"]
        pathlib.Path("docs/interop.md").write_text("\n".join(text) + "\n")
    sys.exit(bool(problems))


main()
