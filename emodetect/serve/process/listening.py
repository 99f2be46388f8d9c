"""The address to listen on, and how many connections the system allows."""

from __future__ import annotations

import ipaddress
import socket
import sys

from emodetect.errors import EmodetectError

MOST_CONNECTIONS = 512
# A client that takes none of what is sent for so long is cut off. asyncio would wait for it even
# after it has closed the connection.
UNREAD_S = 30.0


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 picks a free port, "::" is all addresses.

    Raises EmodetectError for an address that is not available.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        listening = socket.create_server(address[:2], family=family, dualstack_ipv6=dual)
    except (OSError, UnicodeError) as error:  # the latter for an invalid host name
        raise EmodetectError(
            f"{host}:{port}: cannot listen here: {getattr(error, 'strerror', None) or error}; "
            "choose another --host or --port."
        ) from None
    # Otherwise the body of a response waits about 40 ms until the client has acknowledged the
    # header. asyncio only does this for sockets that it creates.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNREAD_S))
    return listening


def spellings(proxy: str) -> list[str]:
    """Return the ways in which a proxy's address, or a network, may be that of a connection.

    On a socket for both versions of IP (`--host ::`), IPv4 addresses are mapped to IPv6.
    """
    network = ipaddress.ip_network(proxy)
    if network.version == 6:
        return [proxy]
    return [proxy, f"::ffff:{network.network_address}/{96 + network.prefixlen}"]


def allow_open_files() -> int:
    """Raise the limit of open files, which on macOS is 256, to twice that of connections.

    Returns how many connections there may be: half of what the system allows, at most
    MOST_CONNECTIONS. Without room for one more, none could be ended in favour of another.
    """
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = 2 * MOST_CONNECTIONS
    if hard != resource.RLIM_INFINITY:
        least = min(least, hard)
    if soft != resource.RLIM_INFINITY and soft < least:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, hard))
    return min(MOST_CONNECTIONS, max(1, least // 2))
