"""Ray clusters of several nodes on 127.0.0.1, in processes of their own, for tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Nodes are known by their order; "kill N" ends the raylet of one and its workers at once, as if its
# machine had lost its power.
_PROGRAM = """
import os, signal, sys
from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 * 2**20}
# A node that is gone is noticed within seconds.
HEALTH = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
cluster = Cluster()
try:
    nodes = [cluster.add_node(**NODE, include_dashboard=False, _system_config=HEALTH)]
    nodes += [cluster.add_node(**NODE) for _ in range(int(sys.argv[1]) - 1)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        command, *number = line.split()
        if command == "add":
            nodes.append(cluster.add_node(**NODE))
        else:
            for process in nodes[int(number[0])].all_processes["raylet"]:
                pid = process.process.pid
                with open(f"/proc/{pid}/task/{pid}/children") as workers:
                    lost = [pid, *map(int, workers.read().split())]
                for each in lost:
                    os.kill(each, signal.SIGKILL)
                process.process.wait()
        print("done", flush=True)
finally:
    cluster.shutdown()
"""


@dataclass
class RayCluster:
    """A cluster at `address`, each of whose nodes has one processor; `process` holds it."""

    address: str
    process: subprocess.Popen[str]
    nodes: int

    def kill(self, node: int = 1) -> None:
        """End a node, the second unless told otherwise, as if its machine had lost its power."""
        self._tell(f"kill {node}")

    def add(self) -> None:
        """Add a node."""
        self._tell("add")
        self.nodes += 1

    def _tell(self, command: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        print(command, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"


@contextmanager
def ray_cluster(nodes: int = 2, *import_from: Path) -> Iterator[RayCluster]:
    """Start a cluster, whose workers import from further folders as well; nothing of it is left at the end."""
    folders = [str(folder) for folder in import_from]
    environment = {
        **os.environ,
        # Keeps to 127.0.0.1, wherever Ray would think that others find this machine.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "PYTHONPATH": os.pathsep.join(filter(None, [*folders, os.environ.get("PYTHONPATH")])),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(nodes)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address, "the cluster does not start"
        yield RayCluster(address, process, nodes)
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End the cluster, and then whatever of its session is left."""
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(60)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            process.wait()
            time.sleep(0.1)
