"""Large tensors leave the heap of a process that asks for it."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from rsadapt.build import heap

PROGRAM = """
import sys, torch
from rsadapt.build.heap import give_back_large_tensors

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

if sys.argv[1] == "given back":
    give_back_large_tensors()
for size in (2**22, 2**22, 2**22):  # 16 MiB: each time one is freed, glibc learns to keep such
    torch.zeros(size).add_(1)
large, small = torch.ones(2**22), torch.ones(2**16)
before = resident()
del large
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tells of Linux's resident memory")
def test_memory_of_a_large_tensor_goes_back_to_the_system():
    found = {}
    for how in ("kept", "given back"):
        command = [sys.executable, "-c", PROGRAM, how]
        found[how] = int(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["given back"] > 15 * 1024
    assert found["kept"] < 1024


def test_windows_and_libraries_without_mallopt_are_left_as_they_are(monkeypatch):
    def refused(name):
        raise TypeError("bad argument type for built-in operation")  # as Windows does

    monkeypatch.setattr(heap, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(heap, "ctypes", SimpleNamespace(CDLL=refused))
    heap.give_back_large_tensors()
    monkeypatch.setattr(heap, "os", SimpleNamespace(name="posix"))
    monkeypatch.setattr(heap, "ctypes", SimpleNamespace(CDLL=lambda name: object()))
    heap.give_back_large_tensors()
