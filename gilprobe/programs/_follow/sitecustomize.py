"""Record a process that `gilprobe record --follow` runs: only those have this folder on PYTHONPATH.

Interpreters older than gilprobe supports may run this too: use only what all of them know.
"""

import os
import sys


def _give_way():
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    sys.path_importer_cache.pop(folder, None)
    this = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401  # the one behind this one on the path
    except ImportError as error:
        if getattr(error, "name", None) != "sitecustomize":
            raise
    finally:
        if this is not None:  # the import system expects one
            sys.modules.setdefault("sitecustomize", this)


def _join():
    try:
        version, options, target = os.environ["GILPROBE_FOLLOW"].split(":", 2)
        from gilprobe import __version__

        if __version__ == version:
            from gilprobe.programs import follow, program_recording

            follow.join(program_recording.begin, options, target)
    except Exception:  # noqa: S110  # a child that can't be recorded just runs
        pass


try:
    _give_way()
finally:
    if "GILPROBE_FOLLOW" in os.environ:
        _join()
