"""Modalities that send small images over raw sockets, lose their connection, and send again what was not taken."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.producers.dimse.peer import RELEASE_RQ, RawPeer, response_of, store_request
from tests.producers.store.data import encoded, image

PIXEL_BYTES: Final = 10_000


@dataclass
class Modality:
    """One sender of one study after the other; each image is made when its turn comes.

    Attributes
    ----------
    number
        Tells modalities apart.
    root
        Start of all UIDs.
    images_per_study
        Length of a study.
    acknowledged
        SOP Instance UID → data set that was answered with success.
    refused
        Status of every other answer.
    """

    number: int
    root: str
    images_per_study: int = 40
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    offered: dict[str, bytes] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pending: tuple[str, bytes] | None = None
        self._made = self._images()

    def study(self, count: int) -> str:
        """UID of the study that holds the image of this number."""
        return f"{self.root}.{self.number}.{count // self.images_per_study + 1}"

    def _images(self) -> Iterator[tuple[str, bytes]]:
        count = 0
        while True:
            study = self.study(count)
            sop = f"{study}.{count + 1}"
            yield sop, encoded(image(sop=sop, study=study, PixelData=os.urandom(PIXEL_BYTES)))
            count += 1

    def send(self, port: int, stop: threading.Event, most: int) -> None:
        """Send until told to stop, until so many are taken now, or until the connection is lost."""
        taken = 0
        try:
            with RawPeer(port) as peer:
                peer.associate()
                while not stop.is_set() and taken < most:
                    taken += self._send_one(peer)
                peer.send(RELEASE_RQ)
                peer.receive()
        except (OSError, AssertionError):
            # Killed in between: what has no answer is sent again by the next call.
            return

    def _send_one(self, peer: RawPeer) -> bool:
        self._pending = self._pending or next(self._made)
        sop, data = self._pending
        self.offered[sop] = data
        peer.send(store_request(sop, data))
        status = response_of(peer).status
        if status != 0:
            self.refused.append(int(status or 0))
            return False
        self.acknowledged[sop] = data
        self._pending = None
        return True


class Fleet:
    """Modalities that send at the same time.

    Parameters
    ----------
    root
        Start of all UIDs, at most 30 characters.
    size
        Number of associations.
    """

    def __init__(self, root: str, size: int) -> None:
        self.root = root
        self.modalities = [Modality(number + 1, root) for number in range(size)]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, port: int, most: int = 1_000_000) -> None:
        """Open all associations and begin to send; each stops after ``most`` images."""
        self._stop.clear()
        self._threads = [
            threading.Thread(target=modality.send, args=(port, self._stop, most), daemon=True)
            for modality in self.modalities
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 60.0) -> None:
        """Let every modality finish its image, and wait for all."""
        self._stop.set()
        self.join(timeout_s)

    def join(self, timeout_s: float = 60.0) -> None:
        """Wait for all modalities."""
        for thread in self._threads:
            thread.join(timeout_s)
            assert not thread.is_alive(), f"a modality did not end within {timeout_s:.0f} s"

    def acknowledged(self) -> dict[str, bytes]:
        """Everything that was answered with success."""
        return {sop: data for modality in self.modalities for sop, data in list(modality.acknowledged.items())}

    def offered(self) -> dict[str, bytes]:
        """Everything that was sent, or half sent."""
        return {sop: data for modality in self.modalities for sop, data in list(modality.offered.items())}

    def count(self) -> int:
        """Number of acknowledged images."""
        return sum(len(modality.acknowledged) for modality in self.modalities)

    def refused(self) -> list[int]:
        """Statuses other than success."""
        return [status for modality in self.modalities for status in modality.refused]
