import asyncio
import socket

import pytest
import uvloop

from mssante.servers.acknowledging import acknowledge

QUICK = getattr(socket, "TCP_QUICKACK", None)


class Talker(asyncio.Protocol):
    """Answers each word: the system then expects that its acknowledgements can go with answers."""

    def __init__(self) -> None:
        self.made = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.made.set_result(transport)

    def data_received(self, data):
        self.transport.write(data)


@pytest.mark.skipif(QUICK is None, reason="an option of Linux")
@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_came_is_acknowledged_without_an_answer_to_go_with(factory):
    async def talk():
        loop = asyncio.get_running_loop()
        talker = Talker()
        server = await loop.create_server(lambda: talker, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        transport = await talker.made
        found = transport.get_extra_info("socket")
        for _ in range(20):
            writer.write(b"word")
            await reader.readexactly(4)
        before = found.getsockopt(socket.IPPROTO_TCP, QUICK)
        acknowledge(transport)
        after = found.getsockopt(socket.IPPROTO_TCP, QUICK)
        writer.close()
        transport.abort()
        server.close()
        return before, after

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(talk()) == (0, 1)


async def test_a_connection_without_tcp_is_left_alone():
    here, there = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=here)
    acknowledge(transport)
    transport.close()
    there.close()
