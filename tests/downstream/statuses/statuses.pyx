# cython: language_level=3, freethreading_compatible=True
"""What the bindings make of a status, for any status."""

from gilprobe._native.c_base cimport gp_status
from gilprobe._native.status cimport check_status


def check(int status, bytes what, str rule=None, int error=0, path=None, bytes reason=b""):
    return check_status(<gp_status>status, what, rule, error, path, reason)
