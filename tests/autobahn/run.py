"""Runs Autobahn's fuzzing client against `wsplice ws-l: mirror:` and its fuzzing server against `wsplice ws: mirror:`, both
at the same time, and checks every result. tests/autobahn.sh starts it."""

import argparse
import collections
import contextlib
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

# The protocol without extensions.
PLAIN = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
# Every kind of payload (12.N) and every set of negotiated parameters (13.N), the lengths being .1 16 bytes, .4 1 KiB,
# .8 32 KiB, .11 8 KiB in fragments of 256 bytes, .18 128 KiB in fragments of 32 KiB. Longer ones take minutes.
DEFLATE_SAMPLE = (
    [f"12.{payload}.{length}" for payload in range(1, 6) for length in (1, 4)]
    + [f"13.{parameters}.{length}" for parameters in range(1, 8) for length in (1, 4)]
    + ["12.1.8", "12.5.11", "13.3.11", "13.5.8", "13.7.18"]
)
DEFLATE_ALL = ["12.*", "13.*"]

GROUPS = {
    "1": "framing", "2": "pings and pongs", "3": "reserved bits", "4": "opcodes", "5": "fragmentation", "6": "UTF-8",
    "7": "close handshake", "9": "limits and performance", "10": "fragmented echo", "12": "deflate: payloads",
    "13": "deflate: parameters",
}

# Results other than OK that are correct: the verdict, the cases, and the reason.
ALLOWED = [
    ("INFORMATIONAL", ["7.1.6"],
     "A long message, a close frame and a ping arrive together. The suite accepts any reaction; wsplice returns the whole "
     "message, then the close frame."),
    ("INFORMATIONAL", ["7.13.1", "7.13.2"],
     "Close codes above 4999, which the RFC does not define. wsplice replies with close code 1002."),
]

COUNTED = ["OK", "NON-STRICT", "INFORMATIONAL", "FAILED", "UNIMPLEMENTED"]
# Exit codes of a client that a test case may cause; the man page lists them.
EXITS = {0: "success", 6: "the suite violated the protocol", 7: "it sent no close frame", 8: "it closed with an error code"}


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(command, **options):
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen([str(word) for word in command], env=environment, stdin=subprocess.DEVNULL, **options)


def stop(process):
    """Ends a process that may have ended already, and returns its exit code."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Failure(f"{process.args[0]} does not end on SIGTERM") from None


class Direction:
    """One of the two roles of wsplice."""

    def __init__(self, role, args, cases, flags):
        self.role, self.args, self.cases, self.flags = role, args, cases, flags
        self.folder = args.out / role
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*.json"):
            old.unlink()
        self.log = self.folder / "wstest.log"
        self.wanted, self.results, self.seconds, self.problems = [], {}, 0.0, []

    def specify(self, **where):
        spec = {"outdir": ".", "options": {}, "cases": self.cases, "exclude-cases": [], "exclude-agent-cases": {}, **where}
        (self.folder / "spec.json").write_text(json.dumps(spec))

    @contextlib.contextmanager
    def wstest(self, mode):
        """Runs wstest until the block ends, at most for the time limit. Its output goes to a log."""
        # -u 0: without its web server, which has a fixed port.
        command = [self.args.venv / "bin/wstest", "-m", mode, "-s", "spec.json"] + ["-u", "0"] * (mode == "fuzzingserver")
        with open(self.log, "w") as log:
            process = start(command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        deadline = threading.Timer(self.args.limit, process.kill)
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            stop(process)
            cases = re.search(r"^Cases = (.*)$", self.log.read_text(errors="replace"), re.MULTILINE)
            self.wanted = re.findall(r"\d+(?:\.\d+)+", cases[1]) if cases else []

    def run(self):
        begin = time.monotonic()
        try:
            {"server": self.serve, "client": self.connect}[self.role]()
            self.results = json.loads((self.folder / "index.json").read_text())["wsplice"]
        except (Failure, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            self.problems.append(f"{type(error).__name__}: {error}")
        self.seconds = time.monotonic() - begin
        self.judge()

    def serve(self):
        command = [self.args.wsplice, "-q", "--stdout-announce-listening-ports", *self.flags, "ws-l:127.0.0.1:0", "mirror:"]
        errors = open(self.folder / "wsplice.log", "w")
        server = start(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            port = server.stdout.readline().strip().rpartition("port=")[2]
            self.specify(servers=[{"agent": "wsplice", "url": f"ws://127.0.0.1:{port}"}])
            with self.wstest("fuzzingclient") as client:
                if client.wait() != 0:
                    self.problems.append(f"wstest ended with {client.returncode}; its time limit is {self.args.limit} s")
            if server.poll() is not None:
                self.problems.append(f"the server has ended: exit code {server.returncode}")
        finally:
            code = stop(server)
        if code != 128 + signal.SIGTERM:
            self.problems.append(f"the server's exit code after SIGTERM is {code}")

    def connect(self):
        port = free_port()
        url = f"ws://127.0.0.1:{port}"
        self.specify(url=url)
        with self.wstest("fuzzingserver") as server:
            self.until_ready(server, port)
            count = int(self.client(f"{url}/getCaseCount").stdout)
            for number in range(1, count + 1):
                if server.poll() is not None:
                    raise Failure(f"wstest has ended before case {number} of {count}; its time limit is {self.args.limit} s")
                done = self.client(f"{url}/runCase?case={number}&agent=wsplice", "mirror:")
                if done.returncode not in EXITS:
                    said = done.stderr.strip()
                    self.problems.append(f"case {number} of {count}: the client's exit code is {done.returncode}: {said}")
            self.client(f"{url}/updateReports?agent=wsplice")

    def until_ready(self, server, port):
        """Waits until wstest listens: it prints nothing at that point."""
        deadline = time.monotonic() + 30
        while server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            time.sleep(0.05)
        raise Failure(f"wstest does not listen on port {port}; see {self.log}")

    def client(self, url, *other):
        command = [str(self.args.wsplice), *self.flags, url, *other]
        # Longer than the time limit of any case.
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)

    def judge(self):
        missing = [case for case in self.wanted if case not in self.results]
        if missing or not self.wanted:
            self.problems.append(f"no result for {len(missing)} of {len(self.wanted)} cases: {' '.join(missing[:20])}")
        for case in sorted(self.results, key=numbers):
            result = self.results[case]
            verdicts = {result["behavior"], result["behaviorClose"]} - {"OK"}
            wrong = {verdict for verdict in verdicts if not is_allowed(verdict, case)}
            if verdicts and (wrong or self.args.verbose):
                detail = json.loads((self.folder / result["reportfile"]).read_text())
                line = f"{case}: {result['behavior']} ({detail['result']}); close {result['behaviorClose']} ({detail['resultClose']})"
                if wrong:
                    self.problems.append(line)
                else:
                    print(f"{self.role}: {line}")

    def groups(self):
        """Counts the verdicts in each group of cases; the worse of the two verdicts of a case counts."""
        groups = collections.defaultdict(collections.Counter)
        for case in self.wanted:
            result = self.results.get(case, {"behavior": "FAILED", "behaviorClose": "FAILED"})
            groups[case.split(".")[0]][worse(result["behavior"], result["behaviorClose"])] += 1
        return groups


def numbers(case):
    return [int(number) for number in case.split(".")]


def worse(behavior, close):
    order = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED"]
    return max((verdict if verdict in order else "FAILED" for verdict in (behavior, close)), key=[*order, "FAILED"].index)


def is_allowed(verdict, case):
    return any(verdict == allowed and case in cases for allowed, cases, _ in ALLOWED)


def table(directions):
    head = ["cases", "role", *(word.lower() for word in COUNTED)]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * len(COUNTED)]
    counts = {direction.role: direction.groups() for direction in directions}
    for group in sorted(set().union(*counts.values()), key=int):
        for role, groups in counts.items():
            numbers_of = [str(groups[group][verdict] or "") for verdict in COUNTED]
            lines.append(f"| {group}.\\* {GROUPS.get(group, '')} | {role} | " + " | ".join(numbers_of) + " |")
    for role, groups in counts.items():
        total = sum(groups.values(), collections.Counter())
        lines.append(f"| **all {sum(total.values())}** | {role} | " + " | ".join(str(total[word] or "") for word in COUNTED) + " |")
    return "\n".join(lines)


def document(args, directions, versions):
    command = "tests/autobahn.sh --write" + (" --all" if args.all else "")
    scope = "all cases" if args.all else "all cases, but only a sample of 12 and 13"
    times = ", ".join(f"{direction.role} {direction.seconds:.0f} s" for direction in directions)
    reasons = [f"- {', '.join(cases)} ({verdict.lower()}): {why}" for verdict, cases, why in ALLOWED]
    return "\n".join([
        "# Conformance",
        "",
        f"<!-- Written by `{command}`; do not edit the part above Fuzzing. -->",
        "",
        "The Autobahn test suite against wsplice as a server (`wsplice ws-l: mirror:`) and as a client (`wsplice ws: mirror:`):",
        f"{scope}. The suite gives two verdicts per case, on the messages and on the close; the table counts the worse one.",
        "",
        f"{versions}, {datetime.date.today().isoformat()}. Duration: {times}.",
        "",
        table(directions),
        "",
        "Results other than OK:",
        "",
        *reasons,
        "",
    ])


def main():
    parser = argparse.ArgumentParser(prog="tests/autobahn.sh")
    parser.add_argument("--wsplice", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--venv", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--all", action="store_true", help="every case; takes a quarter of an hour")
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md")
    parser.add_argument("--verbose", action="store_true", help="also show results other than OK that are allowed")
    parser.add_argument("cases", nargs="*", help="cases instead of the usual ones, such as '9.1.*'")
    args = parser.parse_args()
    args.wsplice, args.venv = args.wsplice.absolute(), args.venv.absolute()
    args.out, args.limit = args.venv.parent / "autobahn-reports", 3600 if args.all else 600

    ask = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # If the peer supports it, compress every message, however short.
    flags = ["--deflate-threshold", "0"]
    cases = args.cases or PLAIN + (DEFLATE_ALL if args.all else DEFLATE_SAMPLE)
    wstest = ask(args.venv / "bin/wstest", "--autobahnversion")
    suite = re.search(r"TestSuite (\S+)", wstest)
    versions = f"{ask(args.wsplice, '--version').strip()}, autobahntestsuite {suite[1] if suite else wstest.strip()}"

    directions = [Direction(role, args, cases, flags) for role in ("server", "client")]
    threads = [threading.Thread(target=direction.run) for direction in directions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    print(versions)
    print(table(directions))
    for direction in directions:
        print(f"{direction.role}: {len(direction.results)} results in {direction.seconds:.0f} s, reports in {direction.folder}")
    problems = [f"{direction.role}: {problem}" for direction in directions for problem in direction.problems]
    for problem in problems:
        print(problem, file=sys.stderr)
    if args.write and not args.cases and not problems:
        path = pathlib.Path("docs/conformance.md")
        # The part after the tables is written by hand.
        _, heading, fuzzing = path.read_text().partition("\n## Fuzzing\n")
        path.write_text(document(args, directions, versions) + heading + fuzzing)
    sys.exit(bool(problems))


main()
