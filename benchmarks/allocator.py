"""One training step on the CPU, with and without `segwright.resources.keep_freed_memory`, in turn.

python benchmarks/allocator.py
"""

import resource
import statistics
import subprocess
import sys
import time

ROUNDS = 3


def measure(keep: bool) -> tuple[float, int]:
    """Best time of a step in seconds, and the page faults in it."""
    import torch

    from segwright.networks import NetworkSpec, build_network
    from segwright.resources import keep_freed_memory
    from segwright.training.loss import LossModule

    if keep:
        keep_freed_memory()
    network = build_network(NetworkSpec("deeplab", "tf_efficientnet_lite0", num_classes=11, output_stride=16))
    losses = LossModule(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    images = torch.randint(0, 256, (8, 3, 320, 320), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    masks = torch.randint(0, 11, (8, 320, 320))
    steps = []
    for _ in range(6):
        faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.monotonic()
        losses(images, masks).sum().backward()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        steps.append((time.monotonic() - start, faults))
    return min(steps)


def main() -> None:
    """Run both in processes of their own, turn by turn, and print medians and their ratio."""
    if len(sys.argv) > 1:
        print(*measure(sys.argv[1] == "keep"))
        return
    times: dict[str, list[float]] = {"leave": [], "keep": []}
    for _ in range(ROUNDS):
        for mode, values in times.items():
            done = subprocess.run([sys.executable, __file__, mode], capture_output=True, text=True, check=True)
            seconds, faults = done.stdout.split()
            values.append(float(seconds))
            print(f"{mode}: {float(seconds):.2f} s a step, {faults} page faults", flush=True)
    left, kept = (statistics.median(times[mode]) for mode in ("leave", "keep"))
    print(f"median {left:.2f} s against {kept:.2f} s: {left / kept:.2f} times")


if __name__ == "__main__":
    main()
