"""The neutral peers of tests/websocat: servers and clients that are neither websocat nor wsplice. Each records what it sees."""

import contextlib
import http.server
import pathlib
import socket
import socketserver
import struct
import threading
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect, unix_connect
from websockets.sync.server import serve

# After this long without anything new a client has seen all, in seconds.
QUIET = 0.6
# A client that has this many messages has seen enough.
MOST = 20
# How long a client tries to connect.
PATIENCE = 4


def shown(data):
    """A message or bytes as text, the same for both tools."""
    if isinstance(data, str):
        return f"text {data!r}"
    return f"binary {data[:200]!r}" + (f" and more: {len(data)} bytes" if len(data) > 200 else "")


class Servers:
    """The servers of one run. Each starts when its placeholder is first used."""

    def __init__(self, folder):
        self.folder, self.seen, self.closers, self.lock = folder, [], [], threading.Lock()

    def record(self, text):
        with self.lock:
            self.seen.append(text)

    def close(self):
        for close in self.closers:
            close()

    def websocket(self, says=(), echo=True, ends=False, ssl=None):
        def handle(connection):
            request = connection.request
            names = ["Origin", "User-Agent", "Authorization", "Sec-WebSocket-Protocol", "X-Test"]
            headers = "".join(f" {name}={request.headers[name]}" for name in names if name in request.headers)
            self.record(f"GET {request.path}{headers}")
            try:
                for message in says:
                    connection.send(message)
                if ends:
                    connection.close(1000, "bye")
                for message in connection:
                    self.record(f"got {shown(message)}")
                    if echo:
                        # A client that has closed has sent more, perhaps, which counts.
                        with contextlib.suppress(ConnectionClosed):
                            connection.send(message)
            except ConnectionClosed:
                pass

        choose = lambda connection, offered: offered[0] if offered else None
        server = serve(
            handle, "127.0.0.1", 0, ssl=ssl, select_subprotocol=choose, compression=None, max_size=None, ping_interval=None
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.closers.append(server.shutdown)
        return f"127.0.0.1:{server.socket.getsockname()[1]}"

    def stream(self, greeting=b"", echo=True, unix=None, kind=socket.SOCK_STREAM):
        """A server for bytes. It answers the end of a client's input with the end of its output."""
        if unix is None:
            listener = socket.create_server(("127.0.0.1", 0))
            where = f"127.0.0.1:{listener.getsockname()[1]}"
        else:
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(unix)
            listener.listen()
            where = unix

        def handle(connection):
            received = b""
            with connection:
                try:
                    if greeting:
                        connection.sendall(greeting)
                    while data := connection.recv(65536):
                        received += data
                        if echo:
                            connection.sendall(data)
                    self.record(f"got {received[:300]!r}, then the end")
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    self.record(f"got {received[:300]!r}, then an error")

        def accept():
            try:
                while True:
                    threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        self.closers.append(listener.close)
        return where

    def datagrams(self, path=None, replies=True):
        """A server for datagrams, which sends each back."""
        own = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX, socket.SOCK_DGRAM)
        own.bind(("127.0.0.1", 0) if path is None else path)

        def handle():
            try:
                while True:
                    data, sender = own.recvfrom(65536)
                    self.record(f"datagram {data!r}")
                    if replies and sender:
                        own.sendto(data, sender)
            except OSError:
                pass

        threading.Thread(target=handle, daemon=True).start()
        self.closers.append(own.close)
        return path or f"127.0.0.1:{own.getsockname()[1]}"

    def http(self):
        record = self.record

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                record(f"{self.command} {self.path} X-Test={self.headers.get('X-Test')} body={body!r}")
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"hello\n")

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.closers.append(server.shutdown)
        return f"127.0.0.1:{server.server_address[1]}"

    def socks5(self):
        """A SOCKS5 proxy without a login. It connects to this machine, whatever it is asked for, and for BIND waits for a client."""

        def exactly(connection, count):
            data = b""
            while len(data) < count:
                more = connection.recv(count - len(data))
                if not more:
                    raise OSError("it ended")
                data += more
            return data

        def handle(connection):
            _, count = exactly(connection, 2)
            exactly(connection, count)
            connection.sendall(b"\x05\x00")
            _, command, _, kind = exactly(connection, 4)
            length = {1: 4, 4: 16}.get(kind) or exactly(connection, 1)[0]
            host = exactly(connection, length)
            (port,) = struct.unpack("!H", exactly(connection, 2))
            self.record(f"SOCKS5 command {command}, {'name' if kind == 3 else 'address'} {host!r}")
            if command == 1:
                other = socket.create_connection(("127.0.0.1", port))
                connection.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01" + struct.pack("!H", 1))
            else:
                listener = socket.create_server(("127.0.0.1", 0))
                reply = b"\x05\x00\x00\x01\x7f\x00\x00\x01" + struct.pack("!H", listener.getsockname()[1])
                connection.sendall(reply)
                other = listener.accept()[0]
                connection.sendall(reply)
            back = threading.Thread(target=copy, args=(other, connection), daemon=True)
            back.start()
            copy(connection, other)
            back.join()

        def accept(listener):
            try:
                while True:
                    threading.Thread(target=quietly, args=(handle, listener.accept()[0]), daemon=True).start()
            except OSError:
                pass

        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        self.closers.append(listener.close)
        return f"127.0.0.1:{listener.getsockname()[1]}"


def quietly(function, *args):
    try:
        function(*args)
    except OSError:
        pass


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def patiently(attempt):
    """Tries until a listener is there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return attempt()
        except OSError:
            if time.monotonic() > end:
                return None
            time.sleep(0.02)


class WebSocketClient:
    """Sends messages, collects what comes until nothing comes, and closes."""

    def __init__(self, *messages, at="port", path="/", tls=None, options=None):
        self.messages, self.at, self.path, self.tls, self.options = messages, at, path, tls, options or {}

    def __call__(self, places):
        options = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None, **self.options}
        if self.at == "port":
            scheme = "wss" if self.tls else "ws"
            url = f"{scheme}://127.0.0.1:{places['port']}{self.path}"
            attempt = lambda: connect(url, ssl=self.tls, **options)
        else:
            options.pop("proxy")
            path = self.at.format(**places).replace("@", "\0")
            attempt = lambda: unix_connect(path, f"ws://localhost{self.path}", **options)
        try:
            connection = patiently(attempt)
        except Exception as error:  # the handshake failed
            return [f"no WebSocket: {type(error).__name__}"]
        if connection is None:
            return ["cannot connect"]
        got = []
        if connection.subprotocol:
            got.append(f"subprotocol {connection.subprotocol}")
        if "X-Test" in connection.response.headers:
            got.append(f"X-Test={connection.response.headers['X-Test']}")
        try:
            for message in self.messages:
                connection.send(message)
            while len(got) < MOST:
                got.append(shown(connection.recv(timeout=QUIET)))
            raise TimeoutError
        except TimeoutError:
            threading.Thread(target=quietly, args=(connection.close,), daemon=True).start()
            return got
        except ConnectionClosed as closed:
            # How a tool closes is compared in tests/interop.sh; here what matters is that it does.
            return [*got, "closed by the server" if closed.rcvd else "lost"]


class StreamClient:
    """The same with bytes. It ends its input, if `ends`, and reads to the end."""

    def __init__(self, data=b"", at="port", ends=True, kind=socket.SOCK_STREAM):
        self.data, self.at, self.ends, self.kind = data, at, ends, kind

    def __call__(self, places):
        if self.at == "port":
            attempt = lambda: socket.create_connection(("127.0.0.1", places["port"]))
        else:

            def attempt():
                connection = socket.socket(socket.AF_UNIX, self.kind)
                connection.connect(self.at.format(**places).replace("@", "\0"))
                return connection

        connection = patiently(attempt)
        if connection is None:
            return ["cannot connect"]
        got = b""
        with connection:
            connection.settimeout(QUIET)
            try:
                connection.sendall(self.data)
                if self.ends:
                    connection.shutdown(socket.SHUT_WR)
                while data := connection.recv(65536):
                    got += data
                    if len(got) > 1000:
                        return ["more than 1000 bytes"]
                return [f"{got!r}, then the end"]
            except TimeoutError:
                return [repr(got)]
            except OSError:
                return [f"{got!r}, then an error"]


class DatagramClient:
    """Sends datagrams and collects the answers."""

    def __init__(self, *datagrams):
        self.datagrams = datagrams

    def __call__(self, places):
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.settimeout(QUIET)
        own.connect(("127.0.0.1", places["port"]))
        # Nothing tells when a datagram socket is bound: send until it does not bounce.
        end = time.monotonic() + PATIENCE
        local = f":{places['port']:04X}"
        while time.monotonic() < end:
            table = pathlib.Path("/proc/net/udp").read_text().splitlines()
            if any(line.split()[1].endswith(local) for line in table):
                break
            time.sleep(0.02)
        got = []
        try:
            for datagram in self.datagrams:
                own.send(datagram)
            while True:
                got.append(shown(own.recv(65536)))
        except (TimeoutError, ConnectionError):
            return got
