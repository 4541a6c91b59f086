"""Rooms on two servers with an engine between them: wsplice with --cluster, and peers that do the same. See `end-to-end`."""

import contextlib
import dataclasses
import socket
import statistics
import subprocess
import time

import measuring
from measuring import Failure, Processes, load, result, serving
from page import markdown

MEMBERS = 100
SIZE = 100
# Seconds that the load lasts which sends one message at a time.
CALM = 2


@dataclasses.dataclass
class Setup:
    """Servers that share their rooms. `engine`: the command of what stands between them; `server`: that of each server, with
    `{engine}` for the engine's port; `load`: options of the load program."""

    name: str
    server: list
    engine: list | None = None
    servers: int = 2
    path: str = "{room}"
    load: tuple = ()


@dataclasses.dataclass
class Figures:
    """CPU time in microseconds a message, of all servers and of the engine; messages a second; latencies in microseconds."""

    servers: float
    engine: float
    rate: float
    p50: float
    p99: float


def setups(wsplice, present):
    """`present`: names of the programs that are installed."""
    redis = ["redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", measuring.FOLDER.name]
    nats = ["nats-server", "-a", "127.0.0.1", "-p", "{port}", "-js", "-sd", measuring.FOLDER.name]
    room = [wsplice, "-q", "--broadcast", "ws-l:127.0.0.1:{port}"]
    found = [
        Setup("wsplice, one server", room, servers=1),
        Setup("wsplice, Redis", [*room, "--cluster", "redis://127.0.0.1:{engine}"], redis),
        Setup("wsplice, NATS", [*room, "--cluster", "nats://127.0.0.1:{engine}"], nats),
        Setup("Nchan, one server", [measuring.PEERS / "nchan.sh", "{port}", "none", measuring.FOLDER.name], servers=1),
        Setup("Nchan, Redis", [measuring.PEERS / "nchan.sh", "{port}", "{engine}", measuring.FOLDER.name], redis),
        Setup("Socket.IO, one server", ["node", measuring.PEERS / "socketio.js", "{port}"], servers=1),
        Setup("Socket.IO, Redis", ["node", measuring.PEERS / "socketio.js", "{port}", "{engine}"], redis),
    ]
    for setup in found:
        if setup.name.startswith("Socket.IO"):
            setup.path, setup.load = "socket.io/?EIO=4&transport=websocket&room={room}", ("--socketio",)
    return [setup for setup in found if not any(part in setup.name for part in ("Redis", "NATS", "Nchan", "Socket.IO") if part not in present)]


@contextlib.contextmanager
def together(setup):
    """Runs the engine and the servers; gives the servers' ports, their processes and those of the engine."""
    with contextlib.ExitStack() as stack:
        port, engine = stack.enter_context(serving(setup.engine)) if setup.engine else (0, Processes([]))
        command = [str(part).replace("{engine}", str(port)) for part in setup.server]
        nodes = [stack.enter_context(serving(command)) for _ in range(setup.servers)]
        for port, _ in nodes:
            wait_for_upgrade(port, setup.path)
        yield [port for port, _ in nodes], [processes for _, processes in nodes], engine


def wait_for_upgrade(port, path):
    """Waits until the server accepts a WebSocket: Nchan refuses them until it is connected to Redis."""
    lines = ["GET /" + path.replace("{room}", "other") + " HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
    deadline = time.monotonic() + 10
    while True:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall("\r\n".join(lines).encode())
            status = connection.recv(12)
        if status.endswith(b" 101"):
            return
        if time.monotonic() > deadline:
            raise Failure(f"no WebSocket: {status.decode()}")
        time.sleep(0.05)


def under_load(setup, *options):
    """CPU seconds of the servers and of the engine, and what the load says. The members are divided among the servers."""
    with together(setup) as (ports, servers, engine):
        urls = " ".join(f"ws://127.0.0.1:{port}/{setup.path}" for port in ports)
        running = load("room", "--url", urls, "--clients", MEMBERS, "--size", SIZE, *options, *setup.load)
        running.stdout.readline()
        before = sum(server.cpu_seconds() for server in servers), engine.cpu_seconds()
        said = result(running)
        return sum(server.cpu_seconds() for server in servers) - before[0], engine.cpu_seconds() - before[1], said


def run(setup):
    servers, engine, said = under_load(setup, "--window", 64, "--secs", measuring.SECONDS)
    messages = said["units"] / MEMBERS
    _, _, calm = under_load(setup, "--window", 1, "--secs", CALM)
    return Figures(servers / messages * 1e6, engine / messages * 1e6, messages / said["seconds"], calm["p50_us"], calm["p99_us"])


def measure(found, runs):
    """The medians of each setup, or the reason for the lack of them. The setups take turns."""
    taken = {setup.name: [] for setup in found}
    for _ in range(runs):
        for setup in found:
            try:
                if isinstance(taken[setup.name], list):
                    taken[setup.name].append(run(setup))
            except (Failure, OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
                taken[setup.name] = str(error)
    return {
        name: figures if isinstance(figures, str) else Figures(*map(statistics.median, zip(*map(dataclasses.astuple, figures))))
        for name, figures in taken.items()
    }


def table(measured):
    lines = [["servers and engine", "servers, µs a message", "more than one server, µs a message and server", "engine, µs a message", "messages a second", "one at a time, p50", "p99"]]
    for name, figures in measured.items():
        if isinstance(figures, str):
            lines.append([name, figures, *[""] * 5])
            continue
        alone = measured.get(f"{name.split(',')[0]}, one server")
        more = "" if figures is alone or not isinstance(alone, Figures) else f"{(figures.servers - alone.servers) / 2:.2f}"
        engine = f"{figures.engine:.2f}" if figures.engine else ""
        lines.append([name, f"{figures.servers:.2f}", more, engine, f"{figures.rate:,.0f}", f"{figures.p50:,.0f} µs", f"{figures.p99:,.0f} µs"])
    return markdown(lines)
