"""What the tests of the whole share: arguments, a scratch directory, copies of the tree, programs.

Each test is called with the source root, the build root and the compiler command, prints a line for
what it has seen to be right, and fails with a sentence.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LEAN = ["-Dlevel=base", "-Dblas=disabled", "-Dexamples=disabled", "-Dbench=disabled"]


class Failure(Exception):
    """Something is not as it should be; the text says what."""


class Place:
    """Where a test works, and the compiler as a list of words."""

    def __init__(self, source, build, compiler, scratch):
        self.source, self.build = Path(source), Path(build)
        self.compiler, self.scratch = compiler, Path(scratch).resolve()

    def name(self, path):
        """A file of the project as one speaks of it."""
        return path.relative_to(self.source).as_posix()


def main(test):
    """Runs test(place), and sees to the scratch directory and the exit status."""
    _, source, build, *compiler = sys.argv
    with tempfile.TemporaryDirectory(prefix="tapegrad-") as scratch:
        try:
            test(Place(source, build, compiler, scratch))
        except Failure as failure:
            sys.exit(f"FAILED: {failure}")


def say(text):
    print(text, flush=True)


def expect(condition, text):
    if not condition:
        raise Failure(text)


def attempt(command, timeout=900, env=None, cwd=None):
    """Runs a command; returns its status and what it wrote. After timeout, its children end too."""
    process = subprocess.Popen([str(word) for word in command], cwd=cwd, text=True,
                               env={**os.environ, **(env or {})}, start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 1, f"{output}\nnot finished after {timeout} s"
    return process.returncode, output


def run(command, **options):
    """The same for a command that must succeed; returns what it wrote."""
    status, output = attempt(command, **options)
    words = " ".join(str(word) for word in command)
    expect(status == 0, f"status {status} from: {words}\n{tail(output)}")
    return output


def head(text, lines=20):
    """The beginning of what a compiler says: its first error counts."""
    return "\n".join(text.rstrip().split("\n")[:lines])


def tail(text, lines=40):
    """The end of what a program says: the reason that it stopped."""
    return "\n".join(text.rstrip().split("\n")[-lines:])


def copy_tree(source, to):
    """Copies what belongs to the project: tracked files and new ones, nothing that git ignores."""
    command = ["git", "-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    git = subprocess.run(command, capture_output=True, text=True, check=False)
    if git.returncode != 0:  # no checkout, but an unpacked archive
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("build*", ".git"))
        return
    for name in filter(None, git.stdout.split("\0")):
        if (source / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, to / name)


def configure(place, tree, build, *options, env=None):
    """Configures a scratch build, with little optimisation, with the compiler under test."""
    run(["meson", "setup", build, tree, "-Doptimization=g", *options],
        env={"CC": " ".join(place.compiler), **(env or {})})


def option(build, name):
    """The value of a Meson option of a build directory."""
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    return next(o["value"] for o in options if o["name"] == name)


def include_arguments(source, build):
    return [f"-I{source}/include", f"-I{build}/include"]


def library_arguments(source, build):
    """What a program needs to be compiled against a build directory and to find its library."""
    sanitize = option(build, "b_sanitize")
    return [*include_arguments(source, build), f"-L{build}/src", f"-Wl,-rpath,{build}/src",
            "-ltapegrad", "-lm", *([] if sanitize == "none" else [f"-fsanitize={sanitize}"])]
