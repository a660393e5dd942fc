"""Records a process that `gilprobe record --follow` runs: first on the PYTHONPATH of those, and of no others.

Any interpreter may come by here, one that is older than those of gilprobe, too: nothing but what all know.
"""

import os
import sys


def _give_way():
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    sys.path_importer_cache.pop(folder, None)
    this = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401  # the one that this one stands before
    except ImportError as error:
        if getattr(error, "name", None) != "sitecustomize":
            raise
    finally:
        if this is not None:  # the import system wants to find one
            sys.modules.setdefault("sitecustomize", this)


def _join():
    try:
        version, options, target = os.environ["GILPROBE_FOLLOW"].split(":", 2)
        from gilprobe import __version__

        if __version__ == version:
            from gilprobe.programs import follow, program_recording

            follow.join(program_recording.begin, options, target)
    except Exception:  # noqa: S110  # not recorded: no reason to disturb
        pass


try:
    _give_way()
finally:
    if "GILPROBE_FOLLOW" in os.environ:
        _join()
