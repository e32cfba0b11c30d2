"""Sockets of this machine: a free port, and which ones a process and everything it started have."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port, and the process that has to do with it."""

    process: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        address = ip_address(self.address)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return address.ipv4_mapped.is_loopback
        return address.is_loopback


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listeners(process_id: int) -> set[Endpoint]:
    """What takes connections in the process and its descendants."""
    return {
        Endpoint(name, connection.laddr.ip, connection.laddr.port)
        for name, connection in _connections(process_id)
        if connection.status == psutil.CONN_LISTEN or (not connection.raddr and connection.type == socket.SOCK_DGRAM)
    }


def peers(process_id: int) -> set[Endpoint]:
    """What the process and its descendants are connected to, or are trying to reach."""
    return {
        Endpoint(name, connection.raddr.ip, connection.raddr.port)
        for name, connection in _connections(process_id)
        if connection.raddr
    }


def _connections(process_id: int) -> Iterator[tuple[str, Any]]:
    parent = psutil.Process(process_id)
    for process in (parent, *parent.children(recursive=True)):
        try:
            title = " ".join(process.cmdline()[:1]).strip()  # what Ray's workers call themselves
            name = f"{process.name()} {title}"
            connections = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        yield from ((name, connection) for connection in connections)
