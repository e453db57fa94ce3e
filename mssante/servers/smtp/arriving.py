"""A message while its octets come in: the reader that judges them, and its share of memory."""

from typing import Generic, TypeVar

from mssante.kernel.reasons import Reason
from mssante.servers.limits import ByteBudget
from mssante.wire.smtp.data import ChunkReader, DataReader

Reader = TypeVar("Reader", DataReader, ChunkReader)


class Arriving(Generic[Reader]):
    """One message on its way in."""

    def __init__(self, reader: Reader, memory: ByteBudget) -> None:
        self.reader: Reader = reader
        self._share = memory.share()

    def account(self) -> None:
        """Take what the reader holds out of the budget; without room, the message is refused at its
        end.
        """
        if not self._share.resize(self.reader.held):
            self.reader.discard(Reason.TRY_LATER)

    def reserve(self, octets: int) -> bool:
        """Make room for the whole message in memory; False where there is none now."""
        return self._share.resize(octets)

    def close(self) -> None:
        """Let go of everything."""
        self.reader.keeper.drop()
        self._share.resize(0)
