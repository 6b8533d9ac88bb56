"""Who may do what: every route declares its permission, or the service does not start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.errors import ApiError, Fault, refused
from service.api.services import services_of
from service.app.tokens import Identity, KeysUnavailable, Permission, TokenError

#: Open to everybody; everything else needs a token.
PUBLIC_PATHS: Final = frozenset(
    {
        "/livez",
        "/readyz",
        "/metrics",
        "/docs",
        "/docs/openapi.json",
        "/docs/assets/{name}",
        "/openapi.json",
        "/asyncapi",
        "/t/o/{token}.gif",
        "/t/c/{token}",
        "/u/{token}",
    }
)

_CHALLENGE: Final = {"www-authenticate": "Bearer"}
_bearer: Final = HTTPBearer(auto_error=False, bearerFormat="JWT", description="`segments token` prints one")


class RouteWithoutPermission(Exception):
    """A route would be open to everybody by oversight."""


class Requires:
    """A dependency: the identity behind the request's token, which must carry the permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Identity:
        """Checks token, permission and the query's parameters by name and number, in this order.

        Raises:
            ApiError: unauthenticated, forbidden, too_many or invalid.
        """
        identity = await self.identify(request)
        refuse_parameters(request, _known_parameters(request))
        return identity

    async def identify(self, request: Request) -> Identity:
        """Who asks, checked and counted once a request.

        Raises:
            ApiError: unauthenticated, forbidden or too_many.
        """
        known = getattr(request.state, "identity", None)
        if isinstance(known, Identity):
            return known
        services = services_of(request)
        identity = await self._accept(request)
        services.rate_limit.count(identity.sub)
        if not identity.can(self.permission):
            message = f"The token lacks the permission {self.permission}; ask for one that carries it"
            raise ApiError("forbidden", message)
        request.state.identity = identity
        return identity

    async def _accept(self, request: Request) -> Identity:
        credentials = await _bearer(request)
        if credentials is None:
            message = "A token is needed: send the header Authorization: Bearer <token>"
            raise ApiError("unauthenticated", message, headers=_CHALLENGE)
        try:
            return await services_of(request).tokens.accept(credentials.credentials)
        except TokenError as error:
            raise ApiError("unauthenticated", str(error), headers=_CHALLENGE) from None
        except KeysUnavailable as error:
            raise ApiError("unavailable", str(error), headers={"retry-after": "10"}) from None


def refuse_parameters(request: Request, known: Sequence[str], repeatable: Collection[str] = ()) -> None:
    """Refuses what would be ignored: it could matter, as ?dry_run=true does, and of several only one would count.

    Args:
        request: with a query.
        known: the names of the query's parameters.
        repeatable: those of them that may come several times.

    Raises:
        ApiError: invalid.
    """
    faults = []
    unknown = f"is no parameter of this address; {'use ' + ', '.join(known) if known else 'it takes none'}"
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name not in known:
            faults.append(Fault(name, unknown, "unknown_parameter"))
        elif len(values) > 1 and name not in repeatable:
            faults.append(Fault(name, f"is given {len(values)} times; give it once", "repeated_parameter"))
    if faults:
        raise refused(faults)


def _known_parameters(request: Request) -> list[str]:
    return [field.alias for dependant in _all_of(request.scope["route"].dependant) for field in dependant.query_params]


def check_routes(app: FastAPI) -> None:
    """Deny by default.

    Raises:
        RouteWithoutPermission: a route is neither public nor declares a permission.
    """
    for route in iter_route_contexts(app.routes):
        if route.path not in PUBLIC_PATHS and permission_of(route) is None:
            msg = f"The route {route.path} declares no permission: give it a dependency on Requires(...)"
            raise RouteWithoutPermission(msg)


def permission_of(route: Any) -> Permission | None:
    """The permission that a route declares, or None."""
    found = requirement_of(route)
    return None if found is None else found.permission


def requirement_of(route: Any) -> Requires | None:
    """What a route asks of its callers, or None."""
    for dependant in _all_of(getattr(route, "dependant", None)):
        if isinstance(dependant.call, Requires):
            return dependant.call
    return None


def _all_of(dependant: Dependant | None) -> Iterator[Dependant]:
    """A route's own parameters and those of everything it depends on."""
    if dependant is None:
        return
    yield dependant
    for one in dependant.dependencies:
        yield from _all_of(one)
