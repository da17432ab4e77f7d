"""Which deployment a person means by a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher import Client
    from dispatcher.models import Deployment


def found_deployment(client: Client, name: str) -> Deployment:
    """The deployment that a person means. Raises `NotFound`, with the nearest name; `AmbiguousName`."""
    from difflib import get_close_matches

    from dispatcher.errors import DeploymentNotFound, NotFound
    from dispatcher.ops import deployments

    try:
        return client.run(deployments.read(name))
    except DeploymentNotFound as error:
        known = {
            part: one.name for one in client.run(deployments.list_all()) for part in (*one.name.split("/"), one.name)
        }
        near = [known[part] for part in get_close_matches(name, known, n=1)]
        if not near:
            raise
        raise NotFound(f"{error} Did you mean {near[0]}?") from None
