"""What an object file asks of its surroundings: the symbols it uses and does not define.

LLVM may turn a loop into ``memcpy`` or an intrinsic into ``expf``.  Such code would depend on the
machine's C library, and so would its results; reading the symbol table finds it.
"""

from __future__ import annotations

import struct

_ELF64_LITTLE = b"\x7fELF\x02\x01"
_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, addr, offset, size, link, info, align, entsize
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section index, value, size
_SYMBOL_TABLE = 2
_PROVIDED_BY_LINKER = frozenset({"", "_GLOBAL_OFFSET_TABLE_"})


def undefined_symbols(code: bytes) -> list[str]:
    """Names an ELF object uses and does not define; empty for other formats, which are not read."""
    if not code.startswith(_ELF64_LITTLE):
        return []
    (sections_at,) = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [_SECTION.unpack_from(code, sections_at + i * size) for i in range(count)]
    missing = []
    for section in sections:
        if section[1] != _SYMBOL_TABLE:
            continue
        strings = sections[section[6]][4]
        for place in range(section[4], section[4] + section[5], _SYMBOL.size):
            name_at, _, _, index, _, _ = _SYMBOL.unpack_from(code, place)
            start = strings + name_at
            name = code[start : code.index(b"\0", start)].decode()
            if index == 0 and name not in _PROVIDED_BY_LINKER:
                missing.append(name)
    return missing
