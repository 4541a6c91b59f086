"""The examples that websocat 1.14.1 documents, as tests/websocat/run.py runs them.

A row is the command line with places in braces, which run.py replaces by those of its peers. Rows that differ have a verdict with its
reason: `better(…)`, where websocat loses or alters something, or `different(…)`, where wsplice behaves otherwise on purpose. `ours` is
what wsplice's output or errors must contain then.
"""

import dataclasses
import re
import socket
import ssl
import threading

from peers import DatagramClient as Datagrams, StreamClient as Stream, WebSocketClient as WebSocket


@dataclasses.dataclass
class Example:
    source: str
    shown: str
    # Standard input; None is none at all.
    stdin: bytes | None = None
    # Whether standard input stays open.
    keeps_stdin: bool = False
    clients: tuple = ()
    # Further command lines, started a moment later.
    then: tuple = ()
    # Files that exist before, and those that are compared afterwards.
    files: dict = dataclasses.field(default_factory=dict)
    reads: tuple = ()
    # The run ends by itself although there are clients.
    oneshot: bool = False
    unordered: bool = False
    # Nothing is meant to be seen.
    is_quiet: bool = False
    limit: float = 0
    # What differs from run to run, such as times and random bytes: functions that make it comparable.
    normalise: dict = dataclasses.field(default_factory=dict)
    verdict: str = "same"
    why: str = ""
    ours: tuple = ()

    @property
    def documented(self):
        """As it is shown: with the places named."""
        text = self.shown
        for place, name in NAMES.items():
            text = text.replace(f"{{{place}}}", name)
        return text


NAMES = {
    "port": "1234",
    "port2": "1235",
    "dir": "/tmp",
    "name": "the_socket",
    "abstract": "the_socket",
    "unix": "the_socket",
    "seqpacket": "the_socket",
    "dgram": "./sender",
    "pkcs12": "q.pkcs12",
    **dict.fromkeys(["ws", "ws_says", "ws_push", "wss", "tcp", "hello", "greeting", "sink", "udp", "http"], "HOST:PORT"),
    "socks": "127.0.0.1:9050",
    "escaped": "HOST\\:PORT",
    "ws_space": "HOST PORT",
}

EXAMPLES = []
SOURCE = ""


def source(name):
    global SOURCE
    SOURCE = name


def row(line, stdin=None, **fields):
    if isinstance(stdin, str):
        stdin = stdin.encode()
    if "client" in fields:
        fields["clients"] = (fields.pop("client"),)
    fields.update(fields.pop("verdict", {}))
    EXAMPLES.append(Example(SOURCE, line, stdin, **fields))


def better(why, *ours):
    return {"verdict": "better", "why": why, "ours": ours}


def different(why, *ours):
    return {"verdict": "different", "why": why, "ours": ours}


def interactive(text):
    """A terminal at which somebody types, and looks."""
    return {"stdin": text.encode(), "keeps_stdin": True, "limit": 1.5}


def no_check():
    """TLS of a client that accepts the test's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def digits(data):
    return re.sub(rb"\d+", b"N", data)


def joined(got):
    """Bytes that passed a byte stream have no boundaries."""
    return "".join(part.removeprefix("binary b'").removesuffix("'") for part in got)


# Reasons that several rows have.
SOCKETS = different(
    "what a socket carries are bytes, so it is sent as binary messages, and no newline is added; websocat warns here that -b or -t should "
    "be given. -t sends text",
    "binary b",
)
KEEPS = better("websocat closes its clients at once, and what they send is lost")
ENDS = better("the run ends when the server has closed; websocat waits for the end of standard input", "'run': 'ended'")
LITERAL = different("a literal is sent as it is written; websocat adds a newline")


def together(*clients):
    """Several clients at once; the first comes last."""

    def run(places):
        results = [None] * len(clients)

        def one(number):
            results[number] = clients[number](places)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(clients))]
        for number, thread in reversed(list(enumerate(threads))):
            thread.start()
            if number:
                thread.join(0.3)
        for thread in threads:
            thread.join()
        return results

    return run


source("README")
row("websocat ws://{ws}/mirror", **interactive("123\nABC\n"))
row("websocat -s {port}", client=WebSocket("ABC"), **interactive("123\n"))
row("websocat ws://{ws}/", **interactive("ABC\n123\n"))
row(
    """echo 'Page.navigate {{"url":"https://example.com"}}' | websocat -n1 --jsonrpc --jsonrpc-omit-jsonrpc ws://{ws}/devtools""".replace(
        "{{", "{"
    ).replace("}}", "}"),
)
row(
    "websocat --oneshot -b ws-l:127.0.0.1:{port2} tcp:{hello}",
    then=("websocat --oneshot -b tcp-l:127.0.0.1:{port} ws://127.0.0.1:{port2}/",),
    client=Stream(b"qwertyu\n"),
    oneshot=True,
)
row(
    "websocat -t ws-l:127.0.0.1:{port} broadcast:mirror:",
    client=together(WebSocket("hello"), WebSocket()),
)

source("Help")
row("websocat --binary ws-l:127.0.0.1:{port} tcp:{tcp}", client=WebSocket(b"hello \x00\xff"))
row("websocat -V | wc -l")
row("websocat --just-generate-key | wc -c")
row("websocat --just-generate-accept dGhlIHNhbXBsZSBub25jZQ==")

source("Reference")
row("websocat -t ws-l:127.0.0.1:{port} mirror:", client=WebSocket("hello", "zwei Wörter ✓"))
row("websocat - ws://{ws}/", **interactive("hello\n"))
row("websocat tcp-l:127.0.0.1:{port} wss://{wss}/some_websocket -k", client=Stream(b"hello\n", ends=False), verdict=SOCKETS)
row("websocat ws-l:127.0.0.1:{port} -", client=WebSocket("hello"), **interactive("from the terminal\n"))
row(
    "websocat ws-l:tcp-l:127.0.0.1:{port} reuse:-",
    client=together(WebSocket("one"), WebSocket("two")),
    **interactive(""),
)
row(
    "socat tcp-l:{port},fork,reuseaddr exec:'websocat -t inetd-ws\\: literal\\:hello'",
    client=WebSocket(),
)
row("websocat l-ws-unix:{dir}/the_socket mirror: -t", client=WebSocket("hello", at="{dir}/the_socket"))
row("websocat l-ws-abstract:{name} mirror: -t", client=WebSocket("hello", at="@{name}"), verdict=better("websocat refuses this", "text 'hello'"))
row(
    "websocat ws-ll-s:tcp-l:127.0.0.1:{port} literal:qwert3y -t",
    then=("websocat ws-ll-c:tcp:127.0.0.1:{port} - -t",),
)
row("websocat -E -t --pkcs12-der={pkcs12} wss-listen:127.0.0.1:{port} mirror:", client=WebSocket("hello", tls=no_check()))
row("websocat --ws-c-uri=wss://localhost/ -t - ws-c:cmd:'socat - ssl:{wss},verify=0'", **interactive("hello\n"))
row("websocat  -b - http://{http}/ < /dev/null")
row("websocat - -", stdin="hello\n")
row("websocat asyncstdio: ws://{ws}/mywebsocket", **interactive("hello\n"))
row("socat tcp-l:{port},fork,reuseaddr exec:'websocat inetd-ws\\: tcp\\:{escaped}'", client=WebSocket(b"hello"), verdict=SOCKETS)
row("websocat - tcp:{hello}", stdin="hello\n")
row("websocat ws-l:127.0.0.1:{port} tcp:{hello}", client=WebSocket(b"hello"), verdict=SOCKETS)
row("websocat tcp-l:127.0.0.1:{port} mirror:", client=Stream(b"hello\n"))
row("websocat tcp-l:127.0.0.1:{port} ws://{ws}", client=Stream(b"hello\n", ends=False), verdict=SOCKETS)
row(
    "websocat -E -b --pkcs12-der={pkcs12} ssl-listen:127.0.0.1:{port} mirror:",
    then=("(echo hello; sleep 1) | socat - ssl:127.0.0.1:{port},verify=0",),
    limit=2.5,
)
row(
    "websocat -U ws-l:127.0.0.1:{port} sh-c:'for i in 0 1 2 3; do echo $i; sleep 0.1; done'",
    client=WebSocket(),
)
row("websocat --exit-on-eof ws-l:127.0.0.1:{port} sh-c:'bash -i 2>/dev/null'", client=WebSocket("echo $((6 * 7))\n"))
row("websocat ws-l:127.0.0.1:{port} cmd:'echo hello'", client=WebSocket())
row("websocat -U ws-l:127.0.0.1:{port} exec:date --exec-args +%Y", client=WebSocket())
row("websocat -U ws-l:127.0.0.1:{port} exec:echo --exec-args 127.0.0.1 -c 1", client=WebSocket())
row("websocat ws-l:127.0.0.1:{port} readfile:hello.json", files={"hello.json": '{"a":1}\n'}, client=WebSocket())
row("websocat ws-l:127.0.0.1:{port} writefile:data.txt", reads=("data.txt",), client=WebSocket("one", "two"), verdict=KEEPS)
row(
    "websocat -u ws-l:127.0.0.1:{port} reuse:appendfile:log.txt",
    files={"log.txt": "before\n"},
    reads=("log.txt",),
    clients=(WebSocket("one"), WebSocket("two")), verdict=KEEPS)
row("websocat - udp:{udp}", **interactive("hello\n"))
row("websocat udp-listen:127.0.0.1:{port} mirror:", client=Datagrams(b"hello", b"again"))
row(
    "websocat -U ws-l:127.0.0.1:{port} open-async:/dev/zero -b",
    client=WebSocket(),
    normalise={"client 1": lambda got: got[0][:20] if got else got},
)
row(
    "websocat -U ws-l:127.0.0.1:{port} reuse:open-fd:55 -b 55< hello.txt",
    files={"hello.txt": "hello\n"},
    client=WebSocket(), verdict=different("the end of the file ends the session", "closed by the server"))
row("websocat threadedstdio: ws://{ws}/", **interactive("hello\n"))
row("websocat ws-l:127.0.0.1:{port} unix:{unix}", client=WebSocket(b"hello"), verdict=SOCKETS)
row("websocat --unlink unix-l:{dir}/s ws://{ws}", client=Stream(b"hello\n", at="{dir}/s", ends=False), verdict=SOCKETS)
row("websocat --unlink -b -E ws-u:unix-l:{dir}/wstest tcp:{hello}", client=WebSocket(b"hello", at="{dir}/wstest"), normalise={"client 1": joined})
row("websocat - unix-dgram:./receiver:{dgram}", **interactive("hello\n"))
row("websocat ws-l:127.0.0.1:{port} abstract:{abstract}", client=WebSocket(b"hello"), verdict=SOCKETS)
row("websocat abstract-l:{name} ws://{ws}", client=Stream(b"hello\n", at="@{name}", ends=False), verdict=SOCKETS)
row("websocat ws-l:127.0.0.1:{port} literalreply:'hello, world'", client=WebSocket("one", "two"))
row("websocat ws-l:127.0.0.1:{port} literal:'hello, world '", client=WebSocket())
row("websocat ws-l:127.0.0.1:{port} clogged:", client=WebSocket("hello"), is_quiet=True)
row("echo -n hello | websocat - assert:hello")
row("websocat literal:qwerty assert2:qwerty")
row("websocat ws-l:127.0.0.1:{port} seqpacket:{seqpacket}", client=WebSocket("hello"), verdict=better("usual builds of websocat lack it", "hello"))
row(
    "websocat --unlink seqpacket-l:{dir}/s ws://{ws}",
    client=Stream(b"hello", at="{dir}/s", ends=False, kind=socket.SOCK_SEQPACKET), verdict=better("usual builds of websocat lack it", "hello"))
row(
    "websocat -b -u --max-messages 1 random: ws://{ws}/flood",
    normalise={"server": lambda seen: [text[:12] for text in seen]},
)
row("socat tcp-l:{port},fork,reuseaddr exec:'websocat -t ws-u\\:stdio\\: mirror\\:'", client=WebSocket("hello"))
row("websocat -Ub - http-request:tcp:{http} --request-uri=http://example.com/ --request-header 'Connection: close'")
row("websocat -E -t http-post-sse:tcp-l:127.0.0.1:{port} reuse:ws://{ws_push}/websock", then=("timeout 1 curl -sN http://127.0.0.1:{port}/",), limit=2)
row("websocat -t - ws-c:tls-c:tcp:{wss} --ws-c-uri ws://localhost --tls-domain localhost -k", **interactive("hello\n"))
row(
    "websocat -E -b --pkcs12-der={pkcs12} tls-a:tcp-l:127.0.0.1:{port} mirror:",
    then=("(echo hello; sleep 1) | socat - ssl:127.0.0.1:{port},verify=0",),
    limit=2.5,
)
row("websocat -u ws-l:127.0.0.1:{port} reuse:tcp:{tcp}", clients=(WebSocket(b"one"), WebSocket(b"two")), verdict=KEEPS)
row("websocat ws-l:127.0.0.1:{port} reuse:tcp:{hello}", client=WebSocket(b"hello"), verdict=SOCKETS)
row(
    "websocat -E ws-l:127.0.0.1:{port} reuse-broadcast:mirror:",
    client=together(WebSocket("hello"), WebSocket()),
)
row("websocat - autoreconnect:tcp:{tcp}", **interactive("hello\n"))
row("websocat -u ws-l:127.0.0.1:{port} reuse:autoreconnect:tcp:{tcp}", clients=(WebSocket(b"one"), WebSocket(b"two")), verdict=KEEPS)
row("websocat --ws-c-uri=ws://localhost/ - ws-c:tcp:{ws}", **interactive("hello\n"))
row('websocat --ws-c-uri=ws://localhost/ - ws-c:cmd:"socat - tcp:{ws}"', **interactive("hello\n"))
row("websocat -u -b lengthprefixed:readfile:test.dat ws://{ws}", files={"test.dat": "\0\0\0\5hello\0\0\0\2ab"})
row("websocat -u -b ws://{ws_says} lengthprefixed:writefile:test.dat", reads=("test.dat",))
row("websocat -b lengthprefixed:- ws://{ws_push}/ --binary-prefix=B --text-prefix=T", **interactive("\0\0\0\6Thello"))
row("websocat -t -u ws://{ws_push}/listen_for_updates foreachmsg:writefile:status.txt", reads=("status.txt",), limit=1.5, verdict=better("the run goes on while the server is there; websocat ends after the messages that came at once", "'run': 'went on'"))
row("websocat -t - ws-c:log:tcp:{ws} --ws-c-uri ws://localhost", **interactive("hello\n"))
row("echo 'abc 1,2' | websocat -t -n1 - jsonrpc:ws://{ws}/")
row("websocat -t - timestamp:ws://{ws_push}", normalise={"output": digits}, **interactive(""))
row("websocat -t - ws-c:socks5-connect:tcp:{socks} --socks5-destination {ws} --ws-c-uri ws://localhost", **interactive("hello\n"))
row("websocat --socks5 {socks} ws://{ws}/", **interactive("hello\n"))
row("printf 'hello\\034world\\n' | websocat -b exit_on_specific_byte:stdio: tcp:{tcp}")
row("echo hello | websocat -b -u asyncstdio: drop_on_backpressure:ws://{ws}")
row("websocat -b tcp:{greeting} waitfordata:tcp:{sink}", limit=1.5, unordered=True)
row("websocat -b --binary-prefix=b --text-prefix=t ws://{ws_push} waitfordata:ws://{ws}/", limit=3)
row("websocat ws-c:tcp:{ws} - --ws-c-uri ws://localhost/", **interactive("hello\n"))
row("websocat - mirror:", stdin="hello\n")
row("websocat - literalreply:pong", stdin="one\ntwo\n")

source("Page of examples")
row("websocat -t --ws-c-uri=wss://localhost/ - ws-c:cmd:'socat - ssl:{wss},verify=0'", **interactive("sadf\n"))
row(
    "websocat -t --ws-c-uri=wss://localhost/ - ws-c:cmd:'openssl s_client -connect {wss} -quiet 2>/dev/null'",
    **interactive("123\n"),
)
row("websocat --pkcs12-der={pkcs12} -s {port}", client=WebSocket("hello", tls=no_check()), **interactive(""))
row("websocat -t - --ws-c-uri=ws://localhost ws-c:cmd:'nc {ws_space}'", **interactive("hello\n"))
row(
    "chmod +x port_obtained; websocat -E -t ws-u:socks5-bind:tcp:{socks} - --socks5-destination 255.255.255.255:65535 --socks5-bind-script ./port_obtained",
    files={"port_obtained": "#!/bin/sh\nwebsocat -t -1 literal:'Roundtrip using SOCKS server' ws://127.0.0.1:$1/\n"},
    limit=3,
    is_quiet=True,
)
row(
    "websocat -t -E tcp-l:127.0.0.1:{port} reuse-raw:ws://{ws} --max-messages-rev 1",
    clients=(Stream(b"Hello 1\n", ends=False), Stream(b"World 2\n", ends=False)),
)
row("websocat -t - --ws-c-uri=wss://localhost log:ws-c:ssl:tcp:{wss} -k", **interactive("asdf\n"))
row("websocat -t - --ws-c-uri=wss://localhost ws-c:log:ssl:tcp:{wss} -k", **interactive("ABCDE\n"))
row("websocat -t - --ws-c-uri=wss://localhost --tls-domain=localhost ws-c:ssl:log:tcp:{wss} -k", **interactive("qwert\n"))
row("socat unix-l:{dir}/s,fork exec:'websocat -E -b ws-inetd\\: tcp\\:{escaped}'", client=WebSocket(b"hello", at="{dir}/s"), normalise={"client 1": joined})
row(
    "systemd-socket-activate -l {dir}/s websocat -E -b --accept-from-fd l-ws-unix:3 tcp:{hello}",
    client=WebSocket(b"hello", at="{dir}/s"),
    normalise={"client 1": joined},
)
row(
    "websocat -E -b ws-u:unix-l:{dir}/s tcp:{hello}",
    then=("(echo hello; sleep 1) | websocat -E -b - ws-c:unix:{dir}/s",),
    limit=2.5,
)
row("websocat -t - --ws-c-uri=wss://domain-for-host-header/ ws-c:tls:tcp:{wss} --tls-domain localhost -k", **interactive("hello\n"))
row("websocat -t - --ws-c-uri=ws://domain-for-host-header/ ws-c:tcp:{ws}", **interactive("hello\n"))

source("Own tests")
row("websocat -b literal:qwe ws://{ws}")
row("websocat -b literal:qwe -u ws://{ws}")
row("websocat -b literal:qwe -1uU ws://{ws}")
row("websocat literal:qwert2y tcp-l:127.0.0.1:{port}", client=Stream(), verdict=LITERAL)
row("websocat -t literal:qwert3y ws-l:127.0.0.1:{port}", client=WebSocket())
row("websocat -t ws-l:127.0.0.1:{port} literal:qwert4y", clients=(Stream(b"invalid_connection_request"), WebSocket(path="/ololo")), verdict=different("a request that ends within its first line gets no answer", "text 'qwert4y'"))
row("websocat literal:qwert3y unix-l:{dir}/zxc", client=Stream(at="{dir}/zxc"), verdict=LITERAL)
row("websocat literal:qwert4y abstract-l:{name}", client=Stream(at="@{name}"), verdict=LITERAL)

source("Options")
row("websocat --stdout-announce-listening-ports -t ws-l:127.0.0.1:{port} mirror:", client=WebSocket("x"), normalise={"output": digits})
row("websocat --async-stdio - ws://{ws}", **interactive("hello\n"))
row("websocat --no-async-stdio - ws://{ws}", **interactive("hello\n"))
row("echo hello | websocat -n -b -u --compress-gzip - ws://{ws}", normalise={"server": lambda seen: [s[:26] for s in seen]}, limit=1.5)
row("echo hello | websocat -n -b -u --compress-zlib - ws://{ws}", limit=1.5)
row("echo hello | websocat -n -b -u --compress-deflate - ws://{ws}", limit=1.5)
row("echo hello | websocat -n -b --compress-zlib --uncompress-zlib - ws://{ws}", limit=1.5)
row("echo hello | websocat -n -b --compress-gzip --uncompress-gzip - ws://{ws}", limit=1.5)
row("echo hello | websocat -n -b --compress-deflate --uncompress-deflate - ws://{ws}", limit=1.5)
row(
    "websocat -e -t ws-l:127.0.0.1:{port} sh-c:'echo $WEBSOCAT_URI'",
    client=WebSocket(path="/a?b=c"),
)
row("echo hello | websocat -E ws://{ws_push}")
row("websocat --foreachmsg-wait-read -t -u ws://{ws_push} foreachmsg:appendfile:status.txt", reads=("status.txt",), limit=1.5, verdict=better("websocat hangs after the first message", "one\\ntwo"))
row("websocat --jsonrpc -t - ws://{ws}", **interactive("abc 1,2\n"), verdict=better("works with two addresses, too", "jsonrpc"))
row("websocat -b lengthprefixed:readfile:test.dat ws://{ws} --lengthprefixed-little-endian -u", files={"test.dat": "\5\0\0\0hello"})
row("websocat -b lengthprefixed:readfile:test.dat ws://{ws} --lengthprefixed-nbytes 1 -u", files={"test.dat": "\5hello"})
row("websocat --linemode-strip-newlines -t - ws://{ws}", **interactive("hello\n"))
row("printf 'a\\0b\\0' | websocat -0 -t -n - ws://{ws}", limit=1.5, verdict=better("websocat sends each zero byte as a message of its own", "got text 'b'"))
row("websocat --no-line - ws://{ws}", **interactive("hello\n"))
row("websocat --no-exit-on-zeromsg -t - ws://{ws}", **interactive("\nhello\n"))
row("websocat --no-fixups - mirror:", stdin="hello\n")
row("echo hello | websocat -1 ws://{ws}")
row("websocat --oneshot ws-l:127.0.0.1:{port} literal:hello -t", client=WebSocket(), oneshot=True)
row("websocat --print-ping-rtts --ping-interval 1 ws://{ws} 2>&1", **{**interactive("hello\n"), "limit": 2.5}, verdict=different("the lines are marked, as others of the log are", "* RTT 0."))
row("websocat --exec-exit-on-disconnect ws-l:127.0.0.1:{port} sh-c:'cat; echo done >end' -t", client=WebSocket("hello"))
row("websocat --exec-sighup-on-stdin-close ws-l:127.0.0.1:{port} sh-c:'trap \"echo hup >end; exit\" HUP; cat; sleep 3' -t", client=WebSocket("hello"), reads=("end",))
row("websocat -q ws://{ws}", **interactive("hello\n"))
row("websocat -S -t - ws://{ws}", **interactive("hello\n"))
row("websocat --strict -B 10 -t - ws://{ws}", **interactive("a long line of text\nshort\n"), verdict=different("no line is too long, so none is dropped; --max-ws-message-length sets a limit", "a long line"))
row("websocat -k wss://{wss}", **interactive("hello\n"))
row("websocat wss://{wss}", **interactive("hello\n"), is_quiet=True)
row("websocat -U ws://{ws} -", **interactive("hello\n"))
row("websocat -u - ws://{ws}", **interactive("hello\n"))
row("websocat -uU - ws://{ws}", **interactive("hello\n"))
row("websocat --unlink ws-u:unix-l:{dir}/s mirror: -t", client=WebSocket("hello", at="{dir}/s"))
row("websocat -b ws://{ws}", **interactive("hello\n"))
row("websocat --websocket-ignore-zeromsg -t - ws://{ws}", **interactive("hello\n"))
row("websocat -t ws://{ws}", **interactive("hello\n"))
row("websocat --base64 ws://{ws_says}", **interactive(""), verdict=ENDS)
row("websocat --base64-text ws://{ws_says}", **interactive(""), verdict=ENDS)
row("websocat --autoreconnect-delay-millis 20 - autoreconnect:ws://{ws}", **interactive("hello\n"))
row("websocat --basic-auth user:secret ws://{ws}", **interactive("hello\n"))
row("websocat --basic-auth-file auth.txt ws://{ws}", files={"auth.txt": "user:secret"}, **interactive("hello\n"))
row("WEBSOCAT_BASIC_AUTH=user:secret websocat ws://{ws}", **interactive("hello\n"))
row("websocat --queue-len 16 -t ws-l:127.0.0.1:{port} broadcast:mirror:", client=WebSocket("hello"))
row("websocat -B 100 -t ws://{ws}", **interactive("hello\n"))
row("printf 'aXb' | websocat -b --byte-to-exit-on 88 exit_on_specific_byte:- tcp:{tcp}")
row("websocat --close-status-code 4000 --close-reason bye -t -1 - ws://{ws}", stdin="hello\n")
row("websocat -H 'X-Test: a' -H 'User-Agent: me' ws://{ws}", **interactive("hello\n"), verdict=better("websocat takes the URL for one more header", "User-Agent=me X-Test=a"))
row("websocat ws://{ws} -H='X-Test: a'", **interactive("hello\n"))
row("websocat --server-header 'X-Test: a' -t ws-l:127.0.0.1:{port} mirror:", client=WebSocket("hello"))
row(
    "websocat --header-to-env X-Test -t ws-l:127.0.0.1:{port} sh-c:'echo $H_X_Test'",
    client=WebSocket(options={"additional_headers": {"X-Test": "a"}}),
)
row("websocat --conncap 1 -t ws-l:127.0.0.1:{port} mirror:", client=WebSocket("hello"))
row("websocat --max-messages 1 -t - ws://{ws}", **interactive("one\ntwo\n"))
row("websocat --max-messages-rev 1 -t - ws://{ws}", **interactive("one\ntwo\n"))
row("websocat --max-ws-message-length 3 -t - ws://{ws}", **interactive("hello\n"), verdict=different("the limit is kept, also for lines that are sent; websocat lets longer frames pass", "longer than 3 bytes"))
row("websocat --origin http://example.com ws://{ws}", **interactive("hello\n"))
row("websocat --ua me/1 ws://{ws}", **interactive("hello\n"))
row("websocat --protocol chat ws://{ws}", **interactive("hello\n"))
row(
    "websocat --server-protocol chat -t ws-l:127.0.0.1:{port} mirror:",
    client=WebSocket("hello", options={"subprotocols": ["chat"]}),
)
row("websocat -p first -t - ws://{ws}", **interactive("second\n"))
row("websocat -P first -t - ws://{ws}", **interactive("second\n"), verdict=different("a preamble is a message, and printed as one", "first\\nsecond"))
row("websocat --restrict-uri /ws -t ws-l:127.0.0.1:{port} mirror:", clients=(WebSocket("hello", path="/ws"), WebSocket("hello", path="/other")))
row(
    "websocat -F /index.html:text/html:page.html -t ws-l:127.0.0.1:{port} mirror:",
    files={"page.html": "<p>hello"},
    then=("curl -s --retry-connrefused --retry 5 --retry-delay 1 http://127.0.0.1:{port}/index.html",),
    limit=3,
)
row("websocat --text-prefix T --binary-prefix B ws://{ws_says}", **interactive(""), verdict=ENDS)
row("websocat --timestamp-monotonic -t - timestamp:ws://{ws_push}", normalise={"output": digits}, **interactive(""))
row("websocat --tls-domain localhost -k wss://{wss}", **interactive("hello\n"))
row("websocat --udp-oneshot udp-listen:127.0.0.1:{port} mirror:", client=Datagrams(b"hello"))
row("websocat --udp-reuseaddr udp-listen:127.0.0.1:{port} mirror:", client=Datagrams(b"hello"))
row("websocat --udp-broadcast --udp-ttl 3 - udp:{udp}", **interactive("hello\n"))
row("websocat --websocket-version 13 ws://{ws}", **interactive("hello\n"))
row("websocat -E -b --client-pkcs12-der {pkcs12} --client-pkcs12-passwd '' -k wss://{wss}", **interactive("hello\n"))
row("websocat -X PUT -b - http-request:tcp:{http} --request-uri http://localhost/x --request-header 'X-Test: a'", stdin="")
row("websocat --inhibit-pongs 1 ws://{ws}", **interactive("hello\n"))
row("websocat --max-sent-pings 1 --ping-interval 1 ws://{ws}", **interactive("hello\n"))
