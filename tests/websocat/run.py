"""Runs the documented examples of websocat with websocat and with wsplice. tests/websocat.sh starts it."""

import argparse
import concurrent.futures
import itertools
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from examples import EXAMPLES
from peers import Servers

# How long a command may take before it counts as one that goes on, in seconds.
LIMIT = 6
# For names in the abstract namespace, which all runs share.
NUMBERS = itertools.count()
# Errors that mean a refused command line.
MISSING = re.compile(r"is not available|unexpected argument|unknown address type|not supported yet|invalid value")


class Attempt:
    """One example with one tool: the peers, the processes, and what was seen."""

    def __init__(self, example, tool, run, folder):
        self.example, self.run, self.folder = example, run, pathlib.Path(folder)
        self.servers, self.places = Servers(self.folder), {}
        self.environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        # The command line as it is documented: `websocat` is the one or the other.
        self.environment["PATH"] = f"{run.folder / tool}:{os.environ['PATH']}"
        self.environment["LC_ALL"] = "C.UTF-8"

    def place(self, name):
        servers, folder = self.servers, self.folder
        makers = {
            "port": free_port,
            "port2": free_port,
            "ws_space": lambda: servers.websocket().replace(":", " "),
            "dir": lambda: str(folder),
            "name": lambda: f"wsplice-test-{os.getpid()}-{next(NUMBERS)}",
            "ws": servers.websocket,
            "ws_says": lambda: servers.websocket(says=["one", "two", b"three"], echo=False, ends=True),
            "ws_push": lambda: servers.websocket(says=["one", "two"], echo=False),
            "wss": lambda: servers.websocket(ssl=self.run.server_tls),
            "tcp": servers.stream,
            "greeting": lambda: servers.stream(greeting=b"hello\n", echo=False),
            "sink": lambda: servers.stream(echo=False),
            "escaped": lambda: servers.stream(greeting=b"SSH-2.0-test\r\n").replace(":", "\\:"),
            "hello": lambda: servers.stream(greeting=b"SSH-2.0-test\r\n"),
            "unix": lambda: servers.stream(unix=str(folder / "server")),
            "seqpacket": lambda: servers.stream(unix=str(folder / "server"), kind=socket.SOCK_SEQPACKET),
            "abstract": lambda: servers.stream(unix=f"\0{self.places['name']}").strip("\0"),
            "udp": servers.datagrams,
            "dgram": lambda: servers.datagrams(str(folder / "sender"), replies=False),
            "http": servers.http,
            "socks": servers.socks5,
            "pkcs12": lambda: str(self.run.folder / "q.pkcs12"),
        }
        return makers[name]()

    def fill(self, line):
        for name in re.findall(r"\{(\w+)\}", line):
            if name == "abstract" and "name" not in self.places:
                self.places["name"] = self.place("name")
            if name not in self.places:
                self.places[name] = self.place(name)
        return re.sub(r"\{(\w+)\}", lambda found: str(self.places[found[1]]), line)

    def start(self, line, stdin):
        # Files, since a program that outlives its session would keep a pipe open.
        out, error = (tempfile.TemporaryFile() for _ in range(2))
        process = subprocess.Popen(
            ["bash", "-c", self.fill(line)],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=out,
            stderr=error,
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
        )
        process.written = out, error
        if stdin is not None:
            try:
                process.stdin.write(stdin)
                process.stdin.flush()
            except BrokenPipeError:
                pass
            if not self.example.keeps_stdin:
                process.stdin.close()
                process.stdin = None
        return process

    def wait_for_listener(self):
        """Waits until something listens at a port or a path of this run."""
        ports = [f":{self.places[name]:04X} 00000000:0000 0A" for name in ("port2", "port") if name in self.places]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            table = pathlib.Path("/proc/net/tcp").read_text()
            if any(port in table for port in ports) or (self.folder / "s").exists():
                break
            time.sleep(0.02)
        time.sleep(0.1)

    def finish(self, process):
        """Its end, its output and its errors. What goes on is stopped."""
        try:
            ended = "ended" if process.wait(self.example.limit or LIMIT) == 0 else "failed"
        except subprocess.TimeoutExpired:
            ended = "went on"
            kill(process, signal.SIGTERM)
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                pass
        kill(process, signal.SIGKILL)
        process.wait()
        written = []
        for file in process.written:
            file.seek(0)
            written.append(file.read(4000))
            file.close()
        return ended, written[0], written[1].decode(errors="replace")

    def observe(self):
        example = self.example
        for name, content in example.files.items():
            (self.folder / name).write_text(content)
        processes = [self.start(example.shown, example.stdin)]
        for line in example.then:
            self.wait_for_listener()
            processes.append(self.start(line, None))
        seen = {}
        for number, client in enumerate(example.clients):
            seen[f"client {number + 1}"] = client(self.places)
        # Those that were started later end first, and the clients decide when the first is over.
        errors = []
        for number, process in reversed(list(enumerate(processes))):
            if number == 0 and (example.clients or example.then) and not example.oneshot:
                # What the end of its clients sets off happens first.
                time.sleep(0.5)
                kill(process, signal.SIGTERM)
            ended, out, error = self.finish(process)
            errors.append(error)
            seen["output" if number == 0 else f"output {number + 1}"] = out[:2000]
            if not (example.clients or example.then):
                seen["run"] = ended
        # What is on its way arrives.
        before = None
        while before != len(self.servers.seen):
            before = len(self.servers.seen)
            time.sleep(0.15)
        self.servers.close()
        if self.servers.seen:
            seen["server"] = sorted(self.servers.seen) if example.unordered else list(self.servers.seen)
        for name in example.reads:
            path = self.folder / name
            seen[name] = path.read_bytes()[:2000] if path.is_file() else None
        for name, normalise in example.normalise.items():
            if name in seen:
                seen[name] = normalise(seen[name])
        return seen, "\n".join(errors)


def kill(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Run:
    def __init__(self, args, folder):
        self.folder, self.shows_progress = pathlib.Path(folder), args.verbose
        for name, path in [("theirs", args.websocat), ("ours", args.wsplice)]:
            (self.folder / name).mkdir()
            (self.folder / name / "websocat").symlink_to(path)
        make = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
        make += " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 && openssl pkcs12 -export -passout pass: -out q.pkcs12"
        make += " -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1 -inkey key.pem -in cert.pem"
        subprocess.run(["sh", "-c", make], cwd=folder, check=True, capture_output=True)
        self.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_tls.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")

    def attempt(self, example, tool):
        with tempfile.TemporaryDirectory() as folder:
            return Attempt(example, tool, self, folder).observe()

    def compare(self, example):
        started = time.monotonic()
        result = self.judge(example)
        if self.shows_progress:
            print(f"{time.monotonic() - started:5.1f} s {result[0]}: {example.documented}", file=sys.stderr, flush=True)
        return result

    def judge(self, example):
        """What both do, and the verdict: same, better, different, missing or wrong."""
        theirs, ours = (self.attempt(example, tool) for tool in ("theirs", "ours"))
        if is_empty(theirs[0]) and example.verdict == "same" and not example.is_quiet:
            return "wrong", "websocat itself does nothing here", theirs, ours
        if everywhere(theirs[0]) == everywhere(ours[0]):
            verdict = "same" if example.verdict == "same" else "wrong"
            return verdict, "it is the same now: remove the reason" if verdict == "wrong" else "", theirs, ours
        if example.verdict != "same":
            lacks = [part for part in example.ours if part not in f"{ours[0]}\n{ours[1]}"]
            if not lacks:
                return example.verdict, example.why, theirs, ours
            return "wrong", f"wsplice does not do what the reason says: {lacks}", theirs, ours
        refused = [line for line in ours[1].splitlines() if MISSING.search(line)]
        return ("missing", refused[0], theirs, ours) if refused else ("wrong", "it differs", theirs, ours)


def everywhere(seen):
    """Without what differs in every row, as the page says: a line is sent without its newline."""

    def plain(value):
        if isinstance(value, list):
            return [plain(part) for part in value]
        return value.replace("\\n'", "'") if isinstance(value, str) and re.match(r"(got )?(text|binary|datagram) ", value) else value

    return {name: plain(value) for name, value in seen.items()}


def is_empty(seen):
    """Whether nothing was seen that tells two programs apart."""
    return not any(value and value not in ("failed", "went on", ["cannot connect"]) for value in seen.values())


def page(results, version):
    counts = {verdict: sum(result[0] == verdict for _, result in results) for verdict in ("same", "better", "different", "missing")}
    lines = ["# Examples of websocat", "", "<!-- Written by `tests/websocat.sh --write`; do not edit. -->", ""]
    lines += [
        f"The command lines that websocat {version} documents in its README, its help, its reference and its page of examples, each run with",
        "websocat and with wsplice in its place. The servers and clients at the other side are neither of them. Compared are the output,",
        "what the other side received and was sent, files, and whether a run ends. Hosts and ports are replaced by those of the test.",
        "The section on options has a command line for each option that the help explains without one.",
        "",
        "One thing differs everywhere and is not counted: wsplice sends a line without the newline at its end, and prints a message with one;",
        "websocat sends the newline, too.",
        "",
        f"{counts['same']} do the same, {counts['better']} do better, {counts['different']} differ on purpose"
        + (f"; {counts['missing']} are missing" if counts["missing"] else "")
        + ".",
        "",
    ]
    for source in dict.fromkeys(example.source for example, _ in results):
        lines += [f"## {source}", "", "| command line | result | reason |", "|---|---|---|"]
        for example, (verdict, why, *_) in results:
            if example.source == source:
                reason = example.why if verdict in ("better", "different") else why if verdict == "missing" else ""
                lines.append(f"| `{cell(example.documented)}` | {verdict} | {reason.replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def main():
    parser = argparse.ArgumentParser(prog="tests/websocat.sh")
    parser.add_argument("--wsplice", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--websocat", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="write docs/websocat.md, also with rows that are missing")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what both did in every row")
    parser.add_argument("--jobs", type=int, default=6, help="how many examples run at once; default 6")
    parser.add_argument("text", nargs="*", help="only examples that contain one of these texts")
    args = parser.parse_args()
    args.wsplice, args.websocat = args.wsplice.absolute(), args.websocat.absolute()
    version = subprocess.run([args.websocat, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    chosen = [example for example in EXAMPLES if not args.text or any(text in example.documented for text in args.text)]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        run = Run(args, folder)
        results = list(zip(chosen, pool.map(run.compare, chosen)))
        # A busy machine makes some late: those get a second chance, one by one.
        results = [
            (example, run.compare(example) if result[0] == "wrong" else result) for example, result in results
        ]
    bad = 0
    for example, (verdict, why, theirs, ours) in results:
        is_bad = verdict in ("wrong", "missing")
        bad += is_bad
        if is_bad or args.verbose:
            print(f"{verdict}: {example.documented}" + (f": {why}" if why else ""))
        if verdict == "wrong" or args.verbose:
            for tool, (seen, error) in (("websocat", theirs), ("wsplice", ours)):
                print(f"    {tool}: {seen}")
                print("".join(f"        {line}\n" for line in error.strip().splitlines()[-4:]), end="")
    counts = {}
    for _, (verdict, *_) in results:
        counts[verdict] = counts.get(verdict, 0) + 1
    print(f"{len(results)} examples: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if not args.text:
        target = pathlib.Path("docs/websocat.md")
        text = page(results, version)
        if args.write:
            target.write_text(text)
        elif not target.is_file() or target.read_text() != text:
            print("docs/websocat.md is out of date: tests/websocat.sh --write")
            bad += 1
    sys.exit(bool(bad))


main()
