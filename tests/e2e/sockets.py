"""Which sockets a process and everything it started listen on."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import psutil


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that takes connections, or a UDP one."""

    process: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        address = ip_address(self.address)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return address.ipv4_mapped.is_loopback
        return address.is_loopback


def listeners(process_id: int) -> set[Listener]:
    """Those of the process and its descendants."""
    parent = psutil.Process(process_id)
    found: set[Listener] = set()
    for process in (parent, *parent.children(recursive=True)):
        try:
            connections = process.net_connections("inet")
            name = process.name()
            title = " ".join(process.cmdline()[:1]).strip()  # what Ray's workers call themselves
        except psutil.NoSuchProcess:
            continue
        found |= {
            Listener(f"{name} {title}", connection.laddr.ip, connection.laddr.port)
            for connection in connections
            if connection.status == psutil.CONN_LISTEN or (not connection.raddr and connection.type == 2)
        }
    return found
