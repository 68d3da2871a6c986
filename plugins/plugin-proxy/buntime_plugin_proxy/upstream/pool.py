"""The connections of one process to all targets: kept for a while, bounded, and timed out."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from buntime_plugin_proxy.config import ProxyConfig
from buntime_plugin_proxy.upstream.connection import TargetConnection, TargetLane
from buntime_plugin_proxy.upstream.errors import BadGateway, GatewayTimeout, TargetBusy
from buntime_plugin_proxy.upstream.guard import TargetGuard
from buntime_plugin_proxy.upstream.known_heads import TargetHeads
from buntime_plugin_proxy.upstream.origin import Origin

LONGEST_SWEEP = 1.0
"""The longest time between two checks for timeouts, in seconds."""


class UpstreamPool:
    """Makes, lends and keeps connections."""

    def __init__(self, config: ProxyConfig, logger: logging.Logger) -> None:
        """Raises `ValueError` for an invalid option."""
        self.guard = TargetGuard(config.allow_targets, deny_private=config.deny_private)
        self._config = config
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        self._heads = TargetHeads()
        self._lanes: dict[Origin, TargetLane] = {}
        self._made: set[TargetConnection] = set()
        """All open connections, and some that were closed since the last check."""
        self._sweep = min(config.read_timeout / 4, config.keep_alive / 4, LONGEST_SWEEP)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def used(self) -> int:
        """The number of connections in use or being made."""
        return sum(lane.open for lane in self._lanes.values())

    @property
    def idle(self) -> int:
        """The number of idle connections."""
        return sum(len(lane.idle) for lane in self._lanes.values())

    async def take(self, origin: Origin, *, fresh: bool = False) -> TargetConnection:
        """Take a connection, which has to be given back; a new one if `fresh`.

        Raises `BadGateway`, `GatewayTimeout`, `TargetBusy` and `TargetRefused`.
        """
        lane = self._lane_of(origin)
        while lane.idle and not fresh:
            connection = lane.idle.pop()
            if not connection.closed:
                lane.open += 1
                return connection
        if lane.open >= self._config.max_connections:
            await self._turn(lane)
            return await self.take(origin, fresh=fresh)
        lane.open += 1
        try:
            connection = await self._connect(lane)
        except BaseException:
            self._leave(lane)
            raise
        self._made.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(self._sweep, self._look)
        return connection

    def take_idle(self, origin: Origin) -> TargetConnection | None:
        """The same at once, if a used connection is free."""
        lane = self._lanes.get(origin)
        while lane is not None and lane.idle:
            connection = lane.idle.pop()
            if not connection.closed:
                lane.open += 1
                return connection
        return None

    def give_back(self, connection: TargetConnection) -> None:
        """Return a connection, which is kept if it can be used again."""
        lane = connection.lane
        if connection.is_reusable:
            connection.used = True
            lane.idle.append(connection)
        else:
            connection.close()
            self._made.discard(connection)
        self._leave(lane)

    @contextmanager
    def counted(self, origin: Origin) -> Iterator[None]:
        """Count a connection that is made elsewhere among those of its target."""
        lane = self._lane_of(origin)
        if lane.open >= self._config.max_connections:
            raise TargetBusy
        lane.open += 1
        try:
            yield
        finally:
            self._leave(lane)

    async def addresses(self, origin: Origin) -> list[str]:
        """The addresses of a target, all of them allowed. Raises `BadGateway`, `TargetRefused`."""
        try:
            found = [str(ipaddress.ip_address(origin.host))]
        except ValueError:
            try:
                infos = await self._loop.getaddrinfo(
                    origin.host, origin.port, type=socket.SOCK_STREAM
                )
            except OSError as error:
                raise BadGateway("the name of the target cannot be resolved") from error
            found = list(dict.fromkeys(str(info[4][0]) for info in infos))
        self.guard.check(origin.host, origin.port, found)
        return found

    async def socket(self, origin: Origin) -> socket.socket:
        """A connected socket, without TLS, within the time limit for connecting."""
        with self._translated():
            async with asyncio.timeout(self._config.connect_timeout):
                failure: OSError | None = None
                for address in await self.addresses(origin):
                    family = socket.AF_INET6 if ":" in address else socket.AF_INET
                    made = socket.socket(family, socket.SOCK_STREAM)
                    made.setblocking(False)
                    try:
                        await self._loop.sock_connect(made, (address, origin.port))
                    except OSError as error:
                        made.close()
                        failure = error
                    except BaseException:
                        made.close()
                        raise
                    else:
                        return made
                raise failure or OSError("no address")

    async def close(self) -> None:
        """Close all connections."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in [*self._made]:
            connection.fail(BadGateway("the proxy shuts down"))
        for lane in self._lanes.values():
            lane.idle.clear()
        await asyncio.sleep(0)  # transports close in the next turn

    async def _turn(self, lane: TargetLane) -> None:
        """Wait until another connection is given back."""
        turn = self._loop.create_future()
        lane.waiting.append(turn)
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                await turn
        except TimeoutError:
            raise TargetBusy from None
        finally:
            if not turn.done():
                turn.cancel()

    def _lane_of(self, origin: Origin) -> TargetLane:
        lane = self._lanes.get(origin)
        if lane is None:
            lane = self._lanes[origin] = TargetLane(origin)
        return lane

    def _leave(self, lane: TargetLane) -> None:
        lane.open -= 1
        while lane.waiting:
            turn = lane.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        if not lane.open and not lane.idle:
            self._lanes.pop(lane.origin, None)

    async def _connect(self, lane: TargetLane) -> TargetConnection:
        origin = lane.origin
        made = await self.socket(origin)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = tls_context(verify=origin.verify) if origin.tls else None
        try:
            with self._translated():
                async with asyncio.timeout(self._config.connect_timeout):
                    _, connection = await self._loop.create_connection(
                        lambda: TargetConnection(lane, self._loop, self._heads),
                        sock=made,
                        ssl=tls,
                        server_hostname=origin.host if tls is not None else None,
                    )
        except BaseException:
            made.close()
            raise
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise GatewayTimeout("the target took too long to take a connection") from error
        except ssl.SSLCertVerificationError as error:
            raise BadGateway("the certificate of the target is not good") from error
        except ssl.SSLError as error:
            raise BadGateway("the target does not speak TLS as we do") from error
        except ConnectionRefusedError as error:
            raise BadGateway("the target refused the connection") from error
        except OSError as error:
            self._logger.debug("A target cannot be reached: %s", error)
            raise BadGateway("the target cannot be reached") from error

    def _look(self) -> None:
        """Close connections that take too long; runs as long as there is any connection."""
        now = self._loop.time()
        for connection in [*self._made]:
            if connection.asker is not None and connection.asker.disconnected:
                connection.fail(BadGateway("nobody waits for the answer"))
                continue
            if connection.asker is not None:
                connection.tell()  # the rest is late
            silent = now - connection.moved_at > self._config.read_timeout
            is_waited_for = not connection.ended and not connection.reading_paused
            if silent and is_waited_for and connection.expects_soon:
                connection.fail(GatewayTimeout("the target took too long to answer"))
        for origin, lane in [*self._lanes.items()]:
            late = now - self._config.keep_alive
            for connection in lane.idle:
                if connection.moved_at < late:
                    connection.close()
            lane.idle = [connection for connection in lane.idle if not connection.closed]
            if not lane.open and not lane.idle and not lane.waiting:
                del self._lanes[origin]
        self._made = {connection for connection in self._made if not connection.closed}
        self._timer = self._loop.call_later(self._sweep, self._look) if self._made else None


@cache
def tls_context(*, verify: bool) -> ssl.SSLContext:
    """The TLS context for a target; without `verify` any answering server is accepted."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
