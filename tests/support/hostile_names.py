"""Names that would break a careless writer of some format."""

HOSTILE = {
    "script": "</script><script>alert(1)</script>",
    "quotes": "a\"b'c\\d",
    "newlines": "a\nb\r\nc\u2028d\u2029e\x0bf\x85g",
    "escapes": "a\x1b[2J\x1b]0;x\x07\x9b31m",
    "directions": "a\u202egnp\u2066",
    "surrogate": "a\ud800b\udfff",
    "null": "a\0b",
    "long": "n" * 10_000,
    "semicolons": ";a; b ;;c",
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3",
    "at": "@SUM(1)",
    "tabbed": "\t=1",
    "markup": "[red]x[/red] :bomb:",
    "number": "f 12",
    "spaces": "  ",
    "empty": "",
    "astral": "\U0001f40d 工作",
}
