"""The benchmarks notice what they are there to notice:  check_report.py SCALAR SUMMARY ROWS

Sides that disagree, gradients of zeros, a side that got slower, rows that are missing or unknown.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

scalar, summary, rows = sys.argv[1:]
failed = False


def expect(what, command, status, *texts):
    """Runs a command, which has to end with this status and print these texts."""
    global failed
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    missing = [text for text in texts if text not in done.stdout + done.stderr]
    fine = done.returncode == status and not missing
    print("ok" if fine else "FAILED", "-", what)
    if not fine:
        failed = True
        print(f"status {done.returncode}, not printed: {missing}\n{done.stdout}{done.stderr}")


with tempfile.TemporaryDirectory() as folder:
    before, other = Path(folder) / "before.json", Path(folder) / "other.json"
    listed, empty = Path(folder) / "rows.txt", Path(folder) / "empty.txt"
    empty.write_text("")
    quick = [scalar, "--quick", "tanh-net"]
    expect("a run as it should be", [*quick, "--json", before], 0, "tanh-net 2-100-3 f64 vector-ops")
    expect("one changed number", [*quick, "--break", "eager"], 1, "WRONG: number")
    expect("gradients of zeros", [*quick, "--break", "all"], 1, "WRONG: the gradient is zero")
    expect("a side that is no side", [*quick, "--break", "left"], 64, "left is no side")
    expect("a side to profile that is none", [*quick, "--profile", "left"], 64, "left is no side")
    expect("rows that there are not", [scalar, "--quick", "no-such-row"], 1, "no such row")
    expect("a slowed operation", [*quick, "--delay", "eager=2000", "--baseline", before], 1, "SLOWER")
    expect("nothing slower than itself", [summary, "--baseline", before, before], 0, "0 worse")

    run = json.loads(before.read_text())
    for row in run:
        row["eager_ns"] *= 3
        row["plain_ns"] *= 3
    other.write_text(json.dumps(run))
    expect("all on a slower machine", [summary, "--baseline", before, other], 0, "0 worse")
    steady = Path(folder) / "steady.json"  # whatever a sanitizer allocates
    for file, allocations in (steady, 0), (other, 1):
        file.write_text(json.dumps([{**row, "allocations": allocations} for row in run]))
    expect("more allocations", [summary, "--baseline", steady, other], 1, "allocations", "MORE")
    other.write_text('[{"bench": "x", "name": "y", ]')
    expect("a file that is no JSON", [summary, other], 1, "no JSON at character 29")

    names = ["bench", "name", "size", "type", "layout"]
    ids = ["/".join(row[name] for name in names) for row in run]
    listed.write_text(f"{ids[0]}  eager/plain<=1e9 spread>=1e9 # two targets\n" + "\n".join(ids[1:]))
    expect("targets", [summary, "--rows", listed, before], 0, "met", "MISSED", "1 of 2 targets met")
    reasons = Path(folder) / "reasons.txt"
    expect("without a reason", [summary, "--rows", listed, "--reasons", empty, before], 0, "WITHOUT A REASON")
    reasons.write_text(f"# why\n{ids[0]}  spread\n    It is quiet\n    here.\n")
    expect("a reason", [summary, "--rows", listed, "--reasons", reasons, before], 0, "It is quiet\n      here.")
    with listed.open("a") as more:
        more.write("\n?scalar/perhaps/*\n")
    expect("an optional row", [summary, "--rows", listed, before], 0, "1 of 2 targets met")
    with listed.open("a") as more:
        more.write("scalar/of-course/*\n")
    expect("a missing row", [summary, "--rows", listed, before], 1, "scalar/of-course/*: MISSING")
    expect("a row nobody asked for", [summary, "--rows", listed, "--only", "scalar/tanh", before], 0)
    expect("an unknown row", [summary, "--rows", empty, before], 1, "UNKNOWN")
    run[0]["emitted/expert_high"] = 0.9
    other.write_text(json.dumps(run))
    expect("an expert slower than the emitted C", [summary, "--rows", listed, "--only", "scalar/tanh", other], 1, "NO EXPERT")
    del run[0]["emitted/expert_high"]
    run[0]["wrong"] = True
    other.write_text(json.dumps(run))
    expect("a wrong row", [summary, "--rows", listed, "--only", "scalar/tanh", other], 1, "WRONG")
    expect("the list of rows knows them", [summary, "--rows", rows, "--only", "nothing", before], 0, "targets met")

sys.exit(failed)
