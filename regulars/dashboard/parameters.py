"""A rule for the parameters of every route."""

from collections import Counter

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute


def require_each_once(request: Request) -> None:
    """A dependency. Raises RequestValidationError where a parameter of the query is given twice.

    The framework would take the last one: `?repeat=true&repeat=` would drop the filter, and show everybody.
    """
    counts = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        route = request.scope.get("route")
        known = {field.alias for field in get_flat_params(route.dependant)} if isinstance(route, APIRoute) else set()
        raise RequestValidationError(
            [
                # An unknown name may be anything, so it is not repeated.
                {"type": "value_error", "loc": ("query", name), "ctx": {"error": "is given more than once"}}
                for name in dict.fromkeys(name if name in known else "?" for name in repeated)
            ]
        )
