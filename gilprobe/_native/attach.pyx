# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""The binding of what loads the agent into another process, for :mod:`gilprobe.attaching`."""

from libc.errno cimport errno
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from .c_attach cimport *
from .c_cpython_attach cimport gp_agent_functions, gp_linetable_line
from .status cimport check_status

FUNCTIONS = (
    b"Py_IsInitialized", b"PyGILState_Ensure", b"PyGILState_Release", b"PyDict_New", b"PyRun_String", b"PyErr_Clear",
    b"Py_DecRef",
)
"""What the agent needs of the interpreter, in the order of the addresses that :func:`inject` takes."""

cdef dict OUTCOMES = {
    <int>GP_INJECT_DONE: "done",
    <int>GP_INJECT_NO_THREAD: "no thread",
    <int>GP_INJECT_REFUSED: "refused",
    <int>GP_INJECT_ENDED: "ended",
    <int>GP_INJECT_BLOCKED: "blocked",
    <int>GP_INJECT_NOT_LOADED: "not loaded",
    <int>GP_INJECT_NOT_STARTED: "not started",
    <int>GP_INJECT_FAULT: "fault",
}


def inject(int process, uint64_t dlopen, tuple code not None, bytes agent not None,
           bytes own_agent not None, tuple functions not None, bint yields_in_vain, bytes path not None,
           uint64_t patience_ns):
    """Load the agent into a process and let it run the Python code in the file `path`.

    `dlopen` and `functions` are addresses, `code` is a range of them, in the process. It sees the agent as `agent`, this
    process its own copy as `own_agent`. With `yields_in_vain` the code's first part does not yield the core.

    Returns
    -------
    tuple
        The outcome in words, and errno, the thread that was used, whether it waited in a system call, nanoseconds for which
        it stood still, and nanoseconds until it was found.

    Raises
    ------
    NotImplementedError
        If nobody wrote this for the platform.
    ValueError
        If the path is too long, or the agent is none.
    OSError
        If there can be no thread for it.
    """
    cdef gp_agent_order order
    cdef gp_injection injection
    cdef gp_injected injected
    if len(path) >= GP_AGENT_PATH_MAX:
        raise ValueError(f"path must be shorter than {GP_AGENT_PATH_MAX} bytes, got {len(path)}")
    (order.is_initialized, order.ensure, order.release, order.new_dict, order.run_string, order.clear_error,
     order.drop) = functions
    order.yields_in_vain = yields_in_vain
    memcpy(order.path, <const char *>path, len(path) + 1)
    injection.process = process
    injection.dlopen = dlopen
    injection.code_begin, injection.code_end = code
    injection.library = agent
    injection.own_library = own_agent
    injection.function = GP_AGENT_FUNCTION
    injection.message = &order
    injection.message_size = sizeof(order)
    injection.patience_ns = patience_ns
    cdef gp_status status
    with nogil:
        status = gp_inject(&injection, &injected)
    check_status(status, b"an attachment", f"{own_agent!r} must be gilprobe's agent", errno)
    return (OUTCOMES[<int>injected.outcome], injected.error, injected.thread, bool(injected.waited), injected.stopped_ns,
            injected.searched_ns)


def arm(int signal_number, bytes version not None, bytes path not None) -> None:
    """Handle a signal: run the code that comes with it in a new thread, or that in the file `path` (csrc/attach/gp_dormant.h).

    Raises
    ------
    NotImplementedError
        If nobody wrote this for the platform.
    ValueError
        If the signal has a handler, another one is armed, or the path is too long.
    OSError
        If the system refuses.
    """
    cdef gp_agent_order order
    if len(path) >= GP_AGENT_PATH_MAX:
        raise ValueError(f"gilprobe's own path must be shorter than {GP_AGENT_PATH_MAX} bytes, got {len(path)}")
    gp_agent_functions(&order)
    memcpy(order.path, <const char *>path, len(path) + 1)
    cdef gp_status status = gp_dormant_arm(signal_number, version, &order)
    check_status(status, b"a process to attach to", f"signal must be one without a handler, got {signal_number}", errno)


def disarm() -> None:
    """Put the signal back as it was, unless the program has a handler of its own by now."""
    gp_dormant_disarm()


def armed() -> int:
    """Return the armed signal; 0: none."""
    return gp_dormant_signal()


def wake(int process, int thread, int signal_number, uint64_t ticket) -> int:
    """Send the signal with a ticket to a thread of an armed process; return 0 or an errno."""
    return gp_dormant_wake(process, thread, signal_number, ticket)


def act_as(uint32_t user, uint32_t group):
    """Make and open files as this user and group, in the calling thread; return what it was before, if the system allows it.

    Root gives up its power over other users' files meanwhile.
    """
    gp_act_as(&user, &group)
    return user, group


def where(int thread):
    """Return the address of the instruction that a thread of another process runs; stop it for some 50 us.

    Raises
    ------
    OSError
        If it can't be stopped.
    NotImplementedError
        If nobody wrote this for the platform.
    """
    cdef uint64_t instruction = 0
    cdef gp_status status
    with nogil:
        status = gp_inject_where(thread, &instruction)
    check_status(status, b"a look at a thread", None, errno)
    return instruction


def line(bytes table not None, int first_line, int instruction):
    """Return the line of an instruction, in bytes from the first one, by a code object's table; 0 without one."""
    return gp_linetable_line(<const uint8_t *><const char *>table, len(table), first_line, instruction)
