#!/usr/bin/env python3
"""samara beside iroh-blobs over loopback: the same data, alternating, in one run.

usage: loopback.py DATA SCRATCH REPS samara=BINARY [iroh-blobs=BINARY]

DATA is a file or a folder. Both sides run on this machine, so a wall time includes the work of both.
"seconds" is what the getter's user waits for: connect, transfer, data on stable storage, files under
their final names. For iroh-blobs that is fetch plus export. What the sender does before its ticket
works (hashing) is counted as "prepare". Peak memory is VmHWM, as the kernel counts it.
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """CPU seconds of a live process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_mib(pid):
    """The largest resident size of a live process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def run(args):
    """Runs a program to its end: (output, wall, CPU seconds, peak MiB)."""
    began = time.monotonic()
    process = subprocess.Popen(args, stdout=subprocess.PIPE)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{args[0]} ended with {process.returncode}:\n{output}")
    wall = time.monotonic() - began
    return output, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


class Server:
    """A sender from its start until `stop`."""

    def __init__(self, args, ready):
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE)
        self.line = b""
        while not ready(self.line):
            self.line = self.process.stdout.readline()
            if not self.line:
                sys.exit(f"{args[0]} ended before it was ready")
        self.prepare_cpu = cpu(self.process.pid)

    def stop(self):
        """(CPU seconds since it was ready, peak MiB)."""
        pid = self.process.pid
        spent, peak = cpu(pid) - self.prepare_cpu, peak_mib(pid)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return spent, peak


def samara(binary, data, scratch):
    """One transfer with samara."""
    out = scratch / "out"
    began = time.monotonic()
    share = [binary, "--store", scratch / "sender", "share", "--json", "--direct", "-q"]
    server = Server([*share, "--bind", "127.0.0.1:0", data], lambda line: b'"ready"' in line)
    prepare = time.monotonic() - began
    ticket = json.loads(server.line)["ticket"]
    get = [binary, "--store", scratch / "getter", "get", "--json", "--direct", "-q"]
    _, wall, spent, peak = run([*get, "--bind", "127.0.0.1:0", "-o", out, ticket])
    sender_cpu, sender_peak = server.stop()
    return out, (prepare, wall, sender_cpu, spent, sender_peak, peak)


def iroh_blobs(binary, data, scratch):
    """One transfer with iroh-blobs: import by reference, fetch, export by copy."""
    out = scratch / "out"
    began = time.monotonic()
    imported, *_ = run([binary, "import", scratch / "sender", data, "ref", "1", "sync"])
    pairs = dict(pair.split("=", 1) for pair in imported.split() if "=" in pair)
    server = Server([binary, "serve", scratch / "sender"], lambda line: line.startswith(b"READY"))
    prepare = time.monotonic() - began
    peer, blob, kind = server.line.split()[1].decode(), pairs["hash"], pairs["fmt"]
    _, wall, spent, peak = run([binary, "fetch", scratch / "getter", peer, blob, kind])
    sender_cpu, sender_peak = server.stop()
    export = [binary, "export", scratch / "getter", blob, kind, out, "copy"]
    _, more_wall, more_spent, more_peak = run(export)
    figures = (wall + more_wall, sender_cpu, spent + more_spent, sender_peak, max(peak, more_peak))
    return out, (prepare, *figures)


def intact(data, out):
    """Whether a copy has the same bytes."""
    tool = ["diff", "-rq"] if data.is_dir() else ["cmp"]
    return subprocess.run([*tool, data, out], check=False).returncode == 0


TRANSFERS = {"samara": samara, "iroh-blobs": iroh_blobs}


def main():
    """Alternates the programs and prints the medians as Markdown."""
    data, scratch, reps = Path(sys.argv[1]), Path(sys.argv[2]) / "loopback", int(sys.argv[3])
    programs = [program.split("=", 1) for program in sys.argv[4:]]
    results = {name: [] for name, _ in programs}
    for rep in range(reps):
        for name, binary in programs:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            os.sync()
            out, figures = TRANSFERS[name](binary, data, scratch)
            if not intact(data, out):
                sys.exit(f"{name}: what arrived differs")
            results[name].append(figures)
            print(f"{name} run {rep + 1}: {figures[1]:.2f} s", file=sys.stderr)
    shutil.rmtree(scratch, ignore_errors=True)
    heads = ["prepare s", "seconds", "sender CPU s", "getter CPU s", "sender MiB", "getter MiB"]
    print(f"\n| {data.name}, {reps} runs | " + " | ".join(heads) + " |\n" + "| --- " * 7 + "|")
    for name, rows in results.items():
        medians = [statistics.median(column) for column in zip(*rows)]
        print(f"| {name} | " + " | ".join(f"{figure:.2f}" for figure in medians) + " |")


if __name__ == "__main__":
    main()
