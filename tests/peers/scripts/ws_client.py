"""A client with Python's websockets: ws_client.py WHAT URL [CA [CERT KEY]]. Prints a line for each event."""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

what, url, *pem = sys.argv[1:]


def show(message):
    if isinstance(message, str):
        return "text " + json.dumps(message, ensure_ascii=False)
    return "binary " + message.hex()


async def kinds(socket):
    for message in ["hello", "", "zwei\nZeilen ✓", bytes([0, 255, 10]), b"", ["one ", "two"], [b"1", b"2"]]:
        await socket.send(message)
        print(show(await socket.recv()))
    await (await socket.ping())
    await socket.close(4000, "done here")


async def listen(socket):
    async for message in socket:
        print(show(message))


def context():
    if not pem:
        return None
    made = ssl.create_default_context(cafile=pem[0])
    if pem[1:]:
        made.load_cert_chain(pem[1], pem[2])
    return made


async def main():
    try:
        async with connect(url, ssl=context(), subprotocols=["chat"], max_size=None, proxy=None) as socket:
            print("protocol", json.dumps(socket.subprotocol))
            try:
                await {"kinds": kinds, "listen": listen}[what](socket)
            except ConnectionClosed as closed:
                print("failed", closed)
            await socket.wait_closed()
            print("closed", socket.close_code, json.dumps(socket.close_reason))
    except (OSError, EOFError, InvalidHandshake) as error:
        print("cannot connect:", type(error).__name__)


asyncio.run(main())
