"""What objects refer to."""

from __future__ import annotations

import gc
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FREED_ARE_SHOWN = (3, 12) <= sys.version_info < (3, 13)


def referents(objects: Sequence[object]) -> list[object]:
    """Return what objects refer to, as :func:`gc.get_referents`.

    On 3.12 the module `_asyncio` shows the collector its list of freed iterators, too
    (Modules/_asynciomodule.c, module_traverse). A reference to one brings it back to life, and then it is
    freed a second time: the list becomes a ring, and the next collection never ends. That module is left out.
    """
    if _FREED_ARE_SHOWN:
        objects = [one for one in objects if type(one) is not types.ModuleType or not _is_asyncio(one)]
    return gc.get_referents(*objects)  # noqa: TID251 - the one place


def _is_asyncio(module: types.ModuleType) -> bool:
    namespace: dict[str, object] = types.ModuleType.__getattribute__(module, "__dict__")
    return namespace.get("__name__") == "_asyncio"
