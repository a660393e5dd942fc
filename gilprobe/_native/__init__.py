"""The compiled core: declares, converts, raises; decides nothing.

One binding a concern, with its stub beside it. Nothing here imports anything else of gilprobe.
"""

import sys


def renew(name: str) -> None:
    """Make a module of the core usable, and all others, in an interpreter that is not its process's first.

    What a process has loaded stays there when its interpreter is finalized, but without the names that were
    in it, and is not filled again (Cython makes a module once). So another copy of each file is loaded.
    """
    if _is_spent(f"{__name__}.{name}"):
        _load_copies()


def _is_spent(name: str) -> bool:
    try:
        module = __import__(name, fromlist=["__name__"])  # importlib would cost a measured program more
    except ImportError as error:
        if "Re-importing it is not supported" in str(error):  # Cython's words, of one with a state for each
            return True
        raise
    return all(value is None for key, value in vars(module).items() if not key.startswith("__"))


def _load_copies() -> None:
    import shutil
    import tempfile
    from pathlib import Path

    for module in [name for name in sys.modules if name.startswith(f"{__name__}.")]:
        del sys.modules[module]
    # The loader takes files of one name, or number, for the same: each copy has a new one.
    with tempfile.TemporaryDirectory(prefix="gilprobe-") as folder:
        for file in sorted(Path(__path__[0]).glob("*.so")):
            copy = shutil.copyfile(file, f"{folder}/{file.name}")
            _load(f"{__name__}.{file.name.partition('.')[0]}", copy)


def _load(name: str, path: str) -> None:
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
    assert spec is not None and spec.loader is not None  # that one  # noqa: S101, PT018
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    globals()[name.rpartition(".")[2]] = module
