"""Devices that torch computes on, as far as torch is in use."""

import inspect
import multiprocessing
import sys


def accelerators():
    """Return the names of this machine's GPUs and the like, such as ``["cuda:0"]``.

    Returns
    -------
    list of str
        Empty where there are none, or where nobody has imported torch.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    # What the core runs beside may be older than what text/ needs.
    known = getattr(torch, "accelerator", torch.cuda)
    if not known.is_available():
        return []
    kind = "cuda" if known is torch.cuda else known.current_accelerator().type
    return [f"{kind}:{i}" for i in range(known.device_count())]


def is_here(device):
    """Return whether this machine has a device, such as ``"cpu"`` or ``"cuda:1"``."""
    kind, _, index = str(device).partition(":")
    return kind == "cpu" or f"{kind}:{index or 0}" in accelerators()


def pick_device(device):
    """Return the device that `device` stands for.

    ``"auto"`` is the accelerator that torch finds, else the CPU. Where there are
    several, the workers of a process pool take them in turn.

    Raises
    ------
    ValueError
        If this machine does not have the device.
    """
    devices = accelerators() or ["cpu"]
    if device != "auto":
        device = str(sys.modules["torch"].device(device))
        if not is_here(device):
            raise ValueError(
                f"device={device!r} is not on this machine, which has {devices}. Name "
                "one of these, or give device='auto'."
            )
        return device
    worker = multiprocessing.current_process()._identity
    turn = worker[-1] - 1 if worker else 0
    return devices[turn % len(devices)]


def computes_bfloat16(device):
    """Return whether a device has circuits for products of bfloat16 numbers."""
    # Apple's devices do not say.
    check = getattr(_module(device), "is_bf16_supported", None)
    if str(device).startswith("cpu") or check is None:
        return False
    # Emulation, where it is told apart, is slower than single precision.
    told_apart = "including_emulation" in inspect.signature(check).parameters
    return check(including_emulation=False) if told_apart else check()


def generator_state(device):
    """Return the state of torch's generator on a device as an array of bytes."""
    if device == "cpu":
        return sys.modules["torch"].get_rng_state().numpy().copy()
    return _module(device).get_rng_state(device).numpy().copy()


def set_generator_state(state, device):
    """Put torch's generator on a device into a state."""
    torch = sys.modules["torch"]
    state = torch.from_numpy(state.copy())
    if device == "cpu":
        torch.set_rng_state(state)
    else:
        _module(device).set_rng_state(state, device)


def seeded_state(seed, device):
    """Return the state of a generator on a device that starts from a seed."""
    return sys.modules["torch"].Generator(device).manual_seed(seed).get_state().numpy()


def _module(device):
    # Older versions of torch have no get_device_module.
    return getattr(sys.modules["torch"], str(device).partition(":")[0])
