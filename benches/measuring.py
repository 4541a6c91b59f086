"""Runs servers, clients and the load program, and measures what they cost. See `end-to-end`."""

import contextlib
import dataclasses
import functools
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
PEERS = Path(__file__).resolve().parent / "peers"


@dataclasses.dataclass
class Cost:
    """What one run measured, or the medians of several runs."""

    value: float
    # 99th percentile of the latency in microseconds.
    p99: float | None = None
    # Bytes of a message as it was received, if it was compressed.
    size: float | None = None


class Failure(Exception):
    """Why there is no figure."""


class Processes:
    """Programs that serve together, and whose costs are added up."""

    def __init__(self, running):
        self.pids = [process.pid for process in running]

    def all_pids(self):
        """With their children, such as the workers of nginx."""
        children = (Path(f"/proc/{pid}/task/{pid}/children").read_text().split() for pid in self.pids)
        return [*self.pids, *(pid for some in children for pid in some)]

    def cpu_seconds(self):
        """CPU time of all live threads. Clock ticks, which include ended threads, are too coarse."""
        tasks = (task for pid in self.all_pids() for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory_kib(self, field):
        return sum(memory_kib(pid, field) for pid in self.pids)


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
def serving(command, behind=None):
    """Runs a server until the block ends; gives its port and its processes.

    `command`: a program, or several of which each connects to the one before it. In the arguments, `{port}` is the program's own
    port, and `{to}` that of the program before it; for the first one it is `behind`."""
    running = []
    try:
        for program in command if isinstance(command[0], list) else [command]:
            port = free_port()
            arguments = [str(part).replace("{port}", str(port)).replace("{to}", str(behind)) for part in program]
            running.append(subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            deadline = time.monotonic() + 10
            while not is_listening(port):
                if running[-1].poll() is not None or time.monotonic() > deadline:
                    raise Failure(f"{Path(arguments[0]).name} does not listen")
                time.sleep(0.02)
            behind = port
        yield port, Processes(running)
    finally:
        for process in running:
            # SIGTERM, so that nginx ends its workers.
            process.terminate()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@functools.cache
def certificate():
    """The files of a certificate for 127.0.0.1 and of its key."""
    files = [f"{FOLDER.name}/{name}.pem" for name in ("certificate", "key")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    subprocess.run(["openssl", "req", "-x509", *kind, *names, "-out", files[0], "-keyout", files[1]], capture_output=True, check=True)
    return files


def load(mode, *args, **options):
    # The load ends even if the server hangs.
    return subprocess.Popen(["timeout", "120", LOAD, mode, *map(str, args)], stdout=subprocess.PIPE, text=True, **options)


def load_on(port, mode, *args, path="", tls=False, **options):
    """A load for the server on a port."""
    url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/{path}"
    return load(mode, "--url", url, *args, *(["--ca", certificate()[0]] if tls else []), **options)


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
        raise Failure("did not finish")
    said = json.loads(lines[-1])
    if "units" not in said:
        raise Failure("did not finish")
    if said["lost"] or said["bad"]:
        raise Failure(f"lost {said['lost']}, wrong {said['bad']}")
    return said


def under_load(command, mode, *args, path="", tls=False):
    """CPU seconds of a server during a load, which starts when all its connections are open, and what the load says."""
    with serving(command) as (port, processes):
        running = load_on(port, mode, *args, path=path, tls=tls)
        running.stdout.readline()
        before = processes.cpu_seconds()
        said = result(running)
        return processes.cpu_seconds() - before, said


def room_load(tls=False, deflate=False, **options):
    """Arguments of `under_load`."""
    args = [part for name, value in options.items() for part in (f"--{name}", value)]
    return ["room", "--secs", SECONDS, *args, *(["--deflate"] if deflate else [])], {"path": "{room}", "tls": tls}


def echo_load(size, count, window, clients=1, tls=False):
    """Arguments of `under_load`."""
    return ["echo", "--size", size, "--count", count, "--window", window, "--clients", clients], {"tls": tls}


def cpu_of(load_args):
    """CPU microseconds per delivery or message."""
    args, options = load_args

    def measure(command):
        spent, said = under_load(command, *args, **options)
        size = said["bytes"] / said["units"] if "--deflate" in args else None
        return Cost(spent / said["units"] * 1e6, said["p99_us"], size)

    return measure


def rooms(**options):
    """CPU microseconds per delivery."""
    return cpu_of(room_load(**options))


def echo(*args, **options):
    """CPU microseconds per message."""
    return cpu_of(echo_load(*args, **options))


def ping_pong(command):
    """Median latency in microseconds."""
    args, options = echo_load(16, 20_000, 1)
    return Cost(under_load(command, *args, **options)[1]["p50_us"])


def handshakes(tls=False, resume=False):
    """CPU microseconds per connection: the TLS handshake, the opening handshake, and its end."""

    def measure(command):
        spent, said = under_load(command, "handshakes", "--n", 2_000, *(["--resume"] if resume else []), tls=tls)
        return Cost(spent / said["units"] * 1e6)

    return measure


def stuck_member(command):
    """Memory growth in MiB for a member that never reads, while 20 others receive all of 330 MB."""
    with serving(command) as (port, processes):
        args = ["--clients", 20, "--stuck", 1, "--size", 16384, "--messages", 20000, "--window", 16, "--secs", 60]
        running = load_on(port, "room", *args, path="{room}")
        running.stdout.readline()
        before = processes.memory_kib("VmRSS")
        result(running)
        return Cost((processes.memory_kib("VmHWM") - before) / 1024)


def idle(count, tls=False):
    """KiB per connection."""

    def measure(command):
        with serving(command) as (port, processes):
            before = processes.memory_kib("VmRSS")
            running = load_on(port, "idle", "--n", count, path="{room}", tls=tls, stdin=subprocess.PIPE)
            if not running.stdout.readline():
                raise Failure(f"did not accept {count:,} connections")
            time.sleep(1)
            taken = processes.memory_kib("VmRSS") - before
            running.communicate()
            return Cost(taken / count)

    return measure


def chain(command):
    """CPU seconds per GB of two processes between two TCP connections. `command`: back, front."""
    back = free_port()
    with serving(command, back) as (front, processes):
        # Read while it runs: a proxy that serves one connection exits after it, and its CPU time is lost.
        running = load("pump", "--connect", f"127.0.0.1:{front}", "--listen", back, "--mib", 1024)
        spent = 0
        while running.poll() is None:
            with contextlib.suppress(OSError):
                spent = max(spent, processes.cpu_seconds())
            time.sleep(0.005)
        return Cost(spent / result(running)["units"])


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
            raise Failure(f"{arrived} of {max(lengths)} bytes arrived")
        return Cost(spent / units * scale)

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
        raise Failure(f"exit code {running.returncode}: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, time.monotonic() - start, printed


def one_liner(command):
    """Duration of `echo hi | X ws://…` in milliseconds."""
    taken = []
    with listening("reply") as (url, _):
        for _ in range(30):
            with open(scratch("hi", lambda file: file.write(b"hi\n")), "rb") as given:
                taken.append(run_timed([part.format(url=url) for part in command], given)[1])
    return Cost(statistics.median(taken) * 1e3)


def one_liner_memory(command):
    """Peak memory of a client in MiB when its reply has arrived."""
    with listening("reply") as (url, _):
        command = [part.format(url=url) for part in command]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
            running.stdin.write(b"hi\n")
            running.stdin.flush()
            running.stdout.readline()
            return Cost(memory_kib(running.pid, "VmHWM") / 1024)


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
    """The medians of each contender, or the reason for the lack of them. The contenders take turns."""
    taken = {name: [] for name in row.commands}
    for _ in range(runs):
        for name, command in row.commands.items():
            try:
                if isinstance(taken[name], list):
                    taken[name].append(row.measure(command))
            except (Failure, OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
                taken[name] = str(error)

    def medians(costs):
        if isinstance(costs, str):
            return costs
        fields = zip(*map(dataclasses.astuple, costs))
        return Cost(*(None if None in values else statistics.median(values) for values in fields))

    return {name: medians(costs) for name, costs in taken.items()}


@dataclasses.dataclass
class Scaling:
    """What a second thread of a server adds."""

    # Units a second with one thread, and with two.
    rates: tuple
    # The second rate divided by the first one if nothing but the number of cores limited them.
    possible: float
    # The part of the CPU time that the load program takes.
    load_share: float


def scaling(load_args, command, runs):
    """`command` has `{threads}` in its arguments."""
    args, options = load_args
    taken = {1: [], 2: []}
    for _ in range(runs):
        for threads, found in taken.items():
            spent, said = under_load([part.replace("{threads}", str(threads)) for part in command], *args, **options)
            units = said["units"]
            found.append((units / said["seconds"], spent / units, said["cpu_s"] / units))
    one, two = ([statistics.median(values) for values in zip(*found)] for found in taken.values())
    _, served, loaded = one
    # The load program has one thread.
    limit = min(1 / loaded, len(os.sched_getaffinity(0)) / (served + loaded))
    possible = min(2 / served, limit) / min(1 / served, limit)
    return Scaling((one[0], two[0]), possible, loaded / (served + loaded))
