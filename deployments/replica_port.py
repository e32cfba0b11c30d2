"""Ray Serve opens a port in every replica, for calls between replicas, on all interfaces of the machine.

A caller needs Ray's token, but there is no reason to be heard elsewhere at all: `keep_to_node` makes it listen on the
node's own address only, which under the launcher is loopback. Ray Serve has no setting for this; the function by which
a replica opens the port is replaced. A test lists the ports of the running stack, lest another Ray do it otherwise.
"""

import importlib
from typing import Any


def keep_to_node() -> None:
    """To be called in a replica's process before the replica is ready."""
    replica: Any = importlib.import_module("ray.serve._private.replica")
    assert replica.add_port_to_grpc_server, "this is how Ray Serve 2.60 opens the port"
    replica.add_port_to_grpc_server = _open_on_node


def _open_on_node(server: Any, address: str) -> int:
    import ray
    from ray._common.tls_utils import add_port_to_grpc_server

    node, port = ray.util.get_node_ip_address(), address.rpartition(":")[2]
    return add_port_to_grpc_server(server, f"[{node}]:{port}" if ":" in node else f"{node}:{port}")
