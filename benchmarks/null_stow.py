"""A PACS that keeps nothing: reads a STOW-RS request and names its instances as stored. The ceiling for a writer.

Run as ``python -m benchmarks.null_stow PORT``. It also counts: ``GET /counted`` gives every SOP Instance UID and
how often it came, in the order of their first arrival.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import suppress

#: Media Storage SOP Class and Instance UID of the file meta information, explicit little endian (PS3.10 7.1).
_META = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)\x00?\x02\x00\x03\x00UI..([0-9.]+)", re.DOTALL)

_counted: dict[str, int] = {}


def _answer(body: bytes) -> bytes:
    stored = []
    for sop_class, sop in _META.findall(body):
        uid = sop.decode()
        _counted[uid] = _counted.get(uid, 0) + 1
        stored.append(
            {
                "00081150": {"vr": "UI", "Value": [sop_class.decode()]},
                "00081155": {"vr": "UI", "Value": [uid]},
            }
        )
    return json.dumps({"00081199": {"vr": "SQ", "Value": stored}}).encode()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            if head.startswith(b"POST"):
                status, said = b"200 OK", _answer(body)
            elif b"/counted" in head.partition(b"\r\n")[0]:
                status, said = b"200 OK", json.dumps(_counted).encode()
            else:
                status, said = b"204 No Content", b""
            kind = b"Content-Type: application/dicom+json\r\nContent-Length: %d\r\n" % len(said) if said else b""
            writer.write(b"HTTP/1.1 " + status + b"\r\n" + kind + b"\r\n" + said)
            await writer.drain()
    writer.close()


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, limit=1 << 20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1])))
