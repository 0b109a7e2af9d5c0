"""Writes the manual pages from the public headers: a page each, tapegrad(3) for tapegrad.h,
tapegrad_tape(3) for tapegrad/tape.h, in the order of the header, with its comments as the text.

    man.py VERSION DIRECTORY HEADER ...

A header is a comment on the whole, then declarations, each after its comment if it has one; a line
/* ---- title ---- */ begins a section. What has two underscores, as in tg__, is not for
use by name.
"""

import re
import sys
import textwrap
from pathlib import Path

COMMENT = re.compile(r"/\*.*?\*/", re.S)
SECTION = re.compile(r"/\* -{4} (.*?) -* ?\*/")
DROPPED = re.compile(r"#(?!define)|#define \w+_(H|HPP)$|#define TG_(API|DEFAULTS_\w+|HERE)\b"
                     r"|extern \"C\"|\}$|static inline ")
ATTRIBUTE = re.compile(r"__attribute__\(\((?:[^()]|\([^()]*\))*\)\)\s*")


def page_name(header):
    """tapegrad_tape for tapegrad/tape.h; tapegrad_cpp for tapegrad.hpp."""
    if header.suffix == ".hpp":
        return "tapegrad_cpp"
    return "tapegrad" if header.name == "tapegrad.h" else f"tapegrad_{header.stem}"


def include_name(header):
    return header.name if header.stem == "tapegrad" else f"tapegrad/{header.name}"


# ---- reading ------------------------------------------------------------------------------------


def code_end(text, at):
    """Where a declaration or a directive that begins at a place ends."""
    if text[at] == "#":
        return re.compile(r"(?:.*\\\n)*.*").match(text, at).end()
    depth = 0
    for piece in re.compile(r"/\*.*?\*/|[{};]", re.S).finditer(text, at):
        depth += {"{": 1, "}": -1}.get(piece[0], 0)
        function = text.startswith("static inline", at) and piece[0] == "}"
        if depth == 0 and (piece[0] == ";" or function):
            # a remark on the same line belongs to it, with the lines that it goes on for
            remark = re.compile(r" *(/\*.*?\*/)?", re.S).match(text, piece.end())
            return remark.end()
        if depth < 0 or piece[0] == "{" and text[at:].startswith('extern "C"'):
            return piece.end()
    return len(text)


def pieces(text):
    """("section", title), ("comment", text) and ("code", text) in their order; a code piece that
    has no blank line before it has the comment of the one before."""
    at = 0
    while at < len(text):
        blank = re.compile(r"\s*").match(text, at)
        at = blank.end()
        if at == len(text):
            return
        comment = COMMENT.match(text, at)
        if comment:
            section = SECTION.fullmatch(comment[0])
            yield ("section", section[1]) if section else ("comment", comment[0])
            at = comment.end()
        else:
            end = code_end(text, at)
            yield "code", text[at:end]
            at = end


def is_public(code):
    if DROPPED.match(code):
        return False
    name = names(code)
    return bool(name) and "__" not in name[0]


def declaration(code):
    """As a page shows it: without TG_API, of a macro with arguments only the head."""
    macro = re.match(r"#define \w+\([^)]*\)", code)
    if macro:
        return macro[0]
    shown, n = re.subn(r"^TG_API ", "", ATTRIBUTE.sub("", code))
    return re.sub(r"\n {7}", "\n", shown) if n else shown


def names(code):
    """What a declaration declares."""
    code = ATTRIBUTE.sub("", COMMENT.sub("", code))
    macro = re.match(r"#define (\w+)", code)
    if macro:
        return [macro[1]]
    body = re.sub(r"\{.*\}", "{}", code, flags=re.S)
    found = re.findall(r"\b(tg_\w+)\(", body) or re.findall(r"(\w+)(?:\[\w+\])?;", body)
    if body.startswith(("typedef enum", "enum")):
        found += re.findall(r"\b(TG_[A-Z0-9]\w*)", code)
    return found


# ---- writing ------------------------------------------------------------------------------------


def escaped(line):
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + line if line.startswith((".", "'")) else line


def verbatim(text):
    lines = textwrap.dedent(text).rstrip().split("\n")
    return [".PP", ".in +4n", ".nf", *map(escaped, lines), ".fi", ".in"]


def prose(comment):
    """A comment as paragraphs; what is indented in it stays as it is."""
    lines = [line.removeprefix("   ") for line in comment[3:-2].rstrip().split("\n")]
    result, quiet, kept = [], True, []
    for line in [*lines, ""]:
        if line.startswith("  ") or kept and not line.strip():
            kept.append(line.rstrip())
            continue
        if kept:
            result += verbatim("\n".join(kept))
            kept, quiet = [], True
        if line.strip():
            result += ([".PP"] if quiet else []) + [escaped(line.strip())]
        quiet = not line.strip()
    if any(kept):
        result += verbatim("\n".join(kept))
    return result


def spaced(block):
    """Declarations one below the other, with a blank line around those of several lines."""
    text = block[0]
    for before, code in zip(block, block[1:]):
        text += ("\n\n" if "{\n" in before + code else "\n") + code
    return text


class Page:
    """One page as it grows: its text, and the names on it."""

    def __init__(self):
        self.text, self.names = [], []
        self.section, self.comment, self.block = None, None, []

    def flush(self):
        """A declaration or several, and then what their comment says."""
        if self.block:
            if self.section:
                self.text.append(f".SS {escaped(self.section[0].upper() + self.section[1:])}")
            self.text += verbatim(spaced(self.block))
            self.text += prose(self.comment) if self.comment else []
            self.section = None
        self.comment, self.block = None, []

    def add(self, kind, text):
        if kind == "code":
            if is_public(text):
                self.block.append(declaration(text))
                self.names += [name for name in names(text) if name not in self.names]
            return
        self.flush()
        if kind == "section":
            self.section = text
        else:
            self.comment = text


def first_sentence(comment):
    text = " ".join(comment[3:-2].split()).removeprefix("tapegrad: ")
    return re.split(r"[.:](?= |$)", text)[0]


def page(header, version, others):
    text = header.read_text()
    items = list(pieces(re.sub(r"^/\* Made from the op table.*\*/\n", "", text)))
    about = next(text for kind, text in items if kind == "comment")
    own = Page()
    cut = items.index(("comment", about)) + 1
    for kind, piece in items[cut:] if header.suffix == ".h" else []:
        own.add(kind, piece)
    own.flush()
    name = page_name(header)
    shown = [n for n in own.names if not n.endswith("_at") or n[:-3] not in own.names]
    lines = [
        f'.TH {name.upper()} 3 "" "tapegrad {version}" "tapegrad"', ".nh", ".ad l",
        ".SH NAME", ", ".join([name, *shown]) + f" \\- {escaped(first_sentence(about))}",
        ".SH SYNOPSIS", ".nf", f".B #include <{include_name(header)}>", ".fi",
        ".SH DESCRIPTION", *prose(about), *own.text,
        ".SH SEE ALSO", *(f".BR {other} (3)," for other in others if other != name),
    ]
    lines[-1] = lines[-1].removesuffix(",")
    first = (".SH", ".SS")  # what follows begins a paragraph by itself
    return "\n".join(line for before, line in zip(["", *lines], lines)
                     if line != ".PP" or not before.startswith(first)) + "\n"


def main(version, directory, *headers):
    headers = [Path(header) for header in headers]
    every = [page_name(header) for header in headers]
    for header in headers:
        Path(directory, page_name(header) + ".3").write_text(page(header, version, every))


if __name__ == "__main__":
    main(*sys.argv[1:])
