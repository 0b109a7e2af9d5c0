"""What the tests of the whole share: their arguments, a scratch directory, copies of the tree, running programs.

Each test is called with the source root, the build root and the compiler command, prints a line for everything
it has seen to be right, and fails with a sentence.
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
CHEAP = ["-Dlevel=base", "-Dblas=disabled", "-Dexamples=disabled", "-Dbench=disabled", "-Dbuildtype=debug"]


class Failure(Exception):
    """Something is not as it should be; the text says what."""


class Place:
    """Where the test works: source, build, a scratch directory, and the compiler as a list of words."""

    def __init__(self, source, build, compiler, scratch):
        self.source, self.build, self.scratch = Path(source), Path(build), Path(scratch)
        self.compiler = compiler


def main(test):
    """Runs test(place), and sees to the scratch directory and the exit status."""
    _, source, build, *compiler = sys.argv
    with tempfile.TemporaryDirectory(prefix="tapegrad-") as scratch:
        try:
            test(Place(source, build, compiler, Path(scratch).resolve()))
        except Failure as failure:
            sys.exit(f"FAILED: {failure}")


def say(text):
    print(text, flush=True)


def attempt(command, timeout=900, env=None, **options):
    """Runs a command, all its children with it; returns its exit status and what it wrote, in one text."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True,
                               env={**os.environ, **(env or {})}, **options)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 1, output + f"\nnot finished after {timeout} s"
    return process.returncode, output


def run(command, **options):
    """The same for a command that must succeed; returns what it wrote."""
    status, output = attempt(command, **options)
    if status != 0:
        raise Failure(f"status {status} from: {' '.join(map(str, command))}\n{tail(output)}")
    return output


def tail(text, lines=40):
    return "\n".join(text.rstrip().split("\n")[-lines:])


def expect(condition, text):
    if not condition:
        raise Failure(text)


def copy_tree(source, to):
    """Copies what belongs to the project: tracked files and new ones, nothing that git ignores."""
    git = subprocess.run(["git", "-C", source, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         capture_output=True, text=True, check=False)
    if git.returncode != 0:  # not a checkout: an unpacked archive
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("build*", ".git"))
        return
    for name in filter(None, git.stdout.split("\0")):
        if (source / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, to / name)


def configure(place, tree, build, *options, env=None):
    """Configures a scratch build with the compiler under test."""
    run(["meson", "setup", build, tree, *options], env={"CC": " ".join(place.compiler), **(env or {})})


def option(build, name):
    """The value of a Meson option of a build directory."""
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    return next(o["value"] for o in options if o["name"] == name)


def library_arguments(build, source):
    """What a program needs to be compiled against a build directory and to find its library there."""
    sanitize = option(build, "b_sanitize")
    return [f"-I{source}/include", f"-I{build}/include", f"-L{build}/src", f"-Wl,-rpath,{build}/src", "-ltapegrad",
            "-lm"] + ([] if sanitize == "none" else [f"-fsanitize={sanitize}"])
