"""Devices of torch, if it has been imported."""

import inspect
import multiprocessing
import sys


def accelerators():
    """Return the names of this machine's accelerators, such as ``["cuda:0"]``.

    Returns
    -------
    list of str
        Empty if there are none, or if torch has not been imported.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    # text/ needs a newer torch, but the rest of the package accepts older ones.
    module = getattr(torch, "accelerator", torch.cuda)
    if not module.is_available():
        return []
    kind = "cuda" if module is torch.cuda else module.current_accelerator().type
    return [f"{kind}:{i}" for i in range(module.device_count())]


def is_here(device):
    """Return whether this machine has a device, such as ``"cpu"`` or ``"cuda:1"``."""
    kind, _, index = str(device).partition(":")
    return kind == "cpu" or f"{kind}:{index or 0}" in accelerators()


def pick_device(device):
    """Return the name of a device, or of the one to use if it is ``"auto"``.

    ``"auto"`` is an accelerator if there is one, and the CPU otherwise. The workers of
    a process pool take several accelerators in turn.

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
    """Return whether the hardware of a device multiplies bfloat16 numbers."""
    # Apple's devices have no such function.
    is_supported = getattr(_module(device), "is_bf16_supported", None)
    if str(device).startswith("cpu") or is_supported is None:
        return False
    # Emulation is slower than single precision.
    if "including_emulation" in inspect.signature(is_supported).parameters:
        return is_supported(including_emulation=False)
    return is_supported()


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
