"""Runs servers, clients and the load program, and measures what they cost. See `end-to-end`."""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SECONDS = 2
LINES = 5_000_000
FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
# The load program; `end-to-end` builds it.
LOAD = ""


def cpu_seconds(pid):
    """CPU time of all live threads. Clock ticks, which include ended threads, are too coarse."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def memory_kib(pid, field):
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field))


def is_listening(port):
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[3] == "0A" and row[1].endswith(f":{port:04X}") for row in rows)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(command, port, **names):
    """Runs a server until the block ends."""
    command = [part.format(port=port, **names) for part in command]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not is_listening(port):
            if running.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"does not listen: {' '.join(command)}")
            time.sleep(0.02)
        yield running.pid
    finally:
        running.kill()
        running.wait()


def load(*args, **options):
    # The load ends even if the server hangs.
    return subprocess.Popen(["timeout", "120", LOAD, *map(str, args)], stdout=subprocess.PIPE, text=True, **options)


@contextlib.contextmanager
def listening(*args):
    """Runs a load that a client connects to; gives its URL and the process."""
    peer = load(*args)
    try:
        yield peer.stdout.readline().strip(), peer
    finally:
        peer.terminate()
        peer.wait()


def result(running):
    """Returns the counts of the load; fails if a message was lost or altered."""
    lines = running.stdout.readlines()
    running.wait()
    if not lines:
        raise RuntimeError("did not finish")
    said = json.loads(lines[-1])
    if said["lost"] or said["bad"]:
        raise RuntimeError(f"lost {said['lost']}, altered {said['bad']}")
    return said


def rooms(**options):
    """CPU microseconds per delivery."""

    def measure(command):
        port = free_port()
        with server(command, port) as pid:
            args = [part for name, value in options.items() for part in (f"--{name}", value)]
            running = load("room", "--url", f"ws://127.0.0.1:{port}/{{room}}", "--secs", SECONDS, *args)
            running.stdout.readline()
            before = cpu_seconds(pid)
            said = result(running)
            return (cpu_seconds(pid) - before) / said["units"] * 1e6, said["p99_us"]

    return measure


def stuck_member(command):
    """Memory growth in MiB for a member that never reads, while 20 others receive all of 330 MB."""
    port = free_port()
    with server(command, port) as pid:
        args = ["--clients", 20, "--stuck", 1, "--size", 16384, "--messages", 20000, "--window", 16, "--secs", 60]
        running = load("room", "--url", f"ws://127.0.0.1:{port}/{{room}}", *args)
        running.stdout.readline()
        before = memory_kib(pid, "VmRSS")
        result(running)
        return (memory_kib(pid, "VmHWM") - before) / 1024, None


def idle(command):
    """KiB per connection, with 10,000 connections."""
    port, count = free_port(), 10_000
    with server(command, port) as pid:
        before = memory_kib(pid, "VmRSS")
        running = load("idle", "--url", f"ws://127.0.0.1:{port}/{{room}}", "--n", count, stdin=subprocess.PIPE)
        if not running.stdout.readline():
            raise RuntimeError("did not accept 10,000 connections")
        time.sleep(1)
        taken = memory_kib(pid, "VmRSS") - before
        running.communicate()
        return taken / count, None


def echo(size, count, window):
    """CPU microseconds per message."""

    def measure(command):
        port = free_port()
        with server(command, port) as pid:
            before = cpu_seconds(pid)
            said = result(load("echo", "--url", f"ws://127.0.0.1:{port}/", "--size", size, "--count", count, "--window", window))
            return (cpu_seconds(pid) - before) / said["units"] * 1e6, said["p99_us"]

    return measure


def ping_pong(command):
    """Median latency in microseconds."""
    port = free_port()
    with server(command, port):
        return result(load("echo", "--url", f"ws://127.0.0.1:{port}/", "--count", 20_000))["p50_us"], None


def chain(commands):
    """CPU seconds per GB of two processes between two TCP connections. `commands`: back, front."""
    front, middle, back = free_port(), free_port(), free_port()
    names = {"front": front, "middle": middle, "back": back}
    with server(commands[0], middle, **names) as first, server(commands[1], front, **names) as second:
        # Read while it runs: a proxy that serves one connection exits after it, and its CPU time is lost.
        running = load("pump", "--connect", f"127.0.0.1:{front}", "--listen", back, "--mib", 1024)
        spent = 0
        while running.poll() is None:
            with contextlib.suppress(OSError):
                spent = max(spent, cpu_seconds(first) + cpu_seconds(second))
            time.sleep(0.005)
        return spent / result(running)["units"], None


def client(mode, units, length, *, source=None, scale=1e6):
    """CPU microseconds per message, or seconds per GB, of a client. `length`: bytes that must arrive, or a set of valid counts."""
    lengths = length if isinstance(length, set) else {length}

    def measure(command):
        with listening(*mode) as (url, peer):
            with open(source() if source else os.devnull, "rb") as given:
                spent, _, printed = run_timed([part.format(url=url) for part in command], given)
            said = peer.stdout.read()
        arrived = json.loads(said)["bytes"] if said else printed
        if arrived not in lengths:
            raise RuntimeError(f"{arrived} of {max(lengths)} bytes arrived")
        return spent / units * scale, None

    return measure


def run_timed(command, given):
    """CPU seconds, wall seconds and the number of bytes printed."""
    start = time.monotonic()
    running = subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    printed = 0
    while data := os.read(running.stdout.fileno(), 1 << 20):
        printed += len(data)
    running.stdout.close()
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode != 0:
        raise RuntimeError(f"exit code {running.returncode}: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, time.monotonic() - start, printed


def one_liner(command):
    """Duration of `echo hi | X ws://…` in milliseconds."""
    taken = []
    with listening("reply") as (url, _):
        for _ in range(30):
            with open(scratch("hi", lambda file: file.write(b"hi\n")), "rb") as given:
                taken.append(run_timed([part.format(url=url) for part in command], given)[1])
    return statistics.median(taken) * 1e3, None


def one_liner_memory(command):
    """Peak memory of a client in MiB when its reply has arrived."""
    with listening("reply") as (url, _):
        command = [part.format(url=url) for part in command]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
            running.stdin.write(b"hi\n")
            running.stdin.flush()
            running.stdout.readline()
            return memory_kib(running.pid, "VmHWM") / 1024, None


def scratch(name, write):
    """A file in memory, written once."""
    path = Path(FOLDER.name, name)
    if not path.exists():
        with open(path, "wb") as file:
            write(file)
    return str(path)


def lines_file():
    return scratch("lines", lambda file: file.writelines(b"%059d\n" % i for i in range(LINES)))


def blob_file():
    return scratch("blob", lambda file: [file.write(bytes(1 << 20)) for _ in range(1024)])


def measure(row, runs):
    """The medians of each contender, cost and p99, or the reason for the lack of them. The contenders take turns."""
    taken = {name: [] for name in row.commands}
    for _ in range(runs):
        for name, command in row.commands.items():
            try:
                if isinstance(taken[name], list):
                    taken[name].append(row.measure(command))
            except (RuntimeError, OSError, ValueError, IndexError) as error:
                taken[name] = str(error)

    def medians(values):
        if isinstance(values, str):
            return values
        costs, p99s = zip(*values)
        return statistics.median(costs), None if p99s[0] is None else statistics.median(p99s)

    return {name: medians(values) for name, values in taken.items()}
