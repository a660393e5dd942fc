FUNCTIONS: tuple[bytes, ...]

def inject(
    process: int,
    dlopen: int,
    code: tuple[int, int],
    agent: bytes,
    functions: tuple[int, ...],
    path: bytes,
    patience_ns: int,
) -> tuple[str, int, int, bool, int, int]: ...
def where(thread: int) -> int: ...
def line(table: bytes, first_line: int, instruction: int) -> int: ...
