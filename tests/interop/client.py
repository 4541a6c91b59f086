"""client.py LIBRARY URL DEFLATE: talks to an echo with Python's websockets or aiohttp, and prints each check and how it went."""

import asyncio
import os
import sys

library, url, deflate = sys.argv[1], sys.argv[2], sys.argv[3] == "deflate"
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]
HUGE = 50_000_000
LIMIT = 64 << 20


def random(size):
    return (os.urandom(min(size, 1 << 20)) * (size // (1 << 20) + 1))[:size]


def text(size):
    return "€" * (size // 3) + "x" * (size % 3)


class Websockets:
    async def open(self):
        from websockets.asyncio.client import connect

        self.socket = await connect(url, compression="deflate" if deflate else None, max_size=LIMIT, proxy=None)

    def extensions(self):
        return [extension.name for extension in self.socket.protocol.extensions]

    async def send(self, message):
        await self.socket.send(message)

    async def fragments(self, parts):
        await self.socket.send(parts)

    async def receive(self):
        return await self.socket.recv()

    async def ping(self):
        return await self.socket.ping()

    async def answered(self, ping):
        await ping

    async def close(self):
        await self.socket.close(1000, "done")
        return self.socket.close_code


class Aiohttp:
    fragments = None

    async def open(self):
        import aiohttp

        self.session = aiohttp.ClientSession()
        self.socket = await self.session.ws_connect(url, compress=15 if deflate else 0, max_msg_size=LIMIT, autoping=False)

    def extensions(self):
        return ["permessage-deflate"] if self.socket.compress else []

    async def send(self, message):
        await (self.socket.send_str if isinstance(message, str) else self.socket.send_bytes)(message)

    async def receive(self):
        from aiohttp import WSMsgType

        self.pongs = []
        while (message := await self.socket.receive()).type == WSMsgType.PONG:
            self.pongs.append(message.data)
        return message.data

    async def ping(self):
        await self.socket.ping(b"are you there")

    async def answered(self, _):
        assert b"are you there" in self.pongs, "no pong"

    async def close(self):
        await self.socket.close(code=1000, message=b"done")
        await self.session.close()
        return self.socket.close_code


def same(got, sent):
    assert type(got) is type(sent), f"{type(got).__name__} instead of {type(sent).__name__}"
    assert len(got) == len(sent), f"{len(got)} instead of {len(sent)}"
    assert got == sent, "other content"


async def main():
    peer = {"websockets": Websockets, "aiohttp": Aiohttp}[library]()
    await peer.open()

    async def echo(message):
        await peer.send(message)
        same(await peer.receive(), message)

    async def check_extension():
        assert ("permessage-deflate" in peer.extensions()) == deflate, f"extensions {peer.extensions()}"

    async def check_texts():
        for word in ["hello", "zwei\nZeilen\0 ✓ 🦀"]:
            await echo(word)

    async def check_binary():
        await echo(bytes(range(256)))

    async def check_empty():
        for _ in range(3):
            await echo("")
            await echo(b"")

    async def check_sizes():
        for size in SIZES:
            await echo(text(size))
            await echo(random(size))

    async def check_huge():
        await echo(random(HUGE))

    async def check_fragments():
        for parts in [["one ", "", "two"], [b"1", random(70000), b""], ["€" * 5000] * 20]:
            await peer.fragments(parts)
            same(await peer.receive(), type(parts[0])().join(parts))

    async def check_pings():
        first = await peer.ping()
        await peer.send("between")
        same(await peer.receive(), "between")
        await peer.answered(first)

    async def check_close():
        code = await peer.close()
        assert code == 1000, f"close code {code}"

    checks = {"extension": check_extension, "text": check_texts, "binary": check_binary, "empty": check_empty,
              "sizes": check_sizes, "50 MB": check_huge, "fragments": check_fragments, "pings": check_pings,
              "close": check_close}
    for name, check in checks.items():
        if name == "fragments" and peer.fragments is None:
            print(f"{name}: -")
            continue
        try:
            await asyncio.wait_for(check(), 60)
            print(f"{name}: ok", flush=True)
        except Exception as error:
            print(f"{name}: {type(error).__name__} {error}", flush=True)
            return


asyncio.run(main())
