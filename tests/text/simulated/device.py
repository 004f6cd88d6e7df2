"""An accelerator that is none, for tests of what runs on one.

Importing `install` changes nothing; calling it gives this process two devices of a new
kind, for good.
"""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch.utils.cpp_extension import include_paths


def build(folder, compiler):
    """Compile the devices, in a quarter of a minute; return the library's path."""
    library = Path(folder) / "simulated_device.so"
    torch_folder = Path(torch.__file__).parent / "lib"
    subprocess.run(
        [
            compiler, "-std=c++20", "-O0", "-w", "-shared", "-fPIC",
            *(f"-isystem{path}" for path in include_paths()),
            str(Path(__file__).with_name("device.cpp")),
            f"-L{torch_folder}", "-lc10", "-ltorch_cpu", "-ltorch", "-o", str(library),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return library


def install(library):
    """Make ``torch.device("sim")`` known to this process."""
    torch.ops.load_library(library)
    device = torch.ops.sim

    def index(which):
        number = torch.device(which).index
        return device.current() if number is None else number

    @contextmanager
    def on(which):
        before = device.current()
        device.set_current(index(which))
        try:
            yield
        finally:
            device.set_current(before)

    module = ModuleType("torch.sim")
    module.device = on
    module.is_available = module.is_initialized = lambda: True
    module._is_in_bad_fork = lambda: False
    module.device_count = lambda: 2
    module.current_device = device.current
    module.set_device = lambda which: device.set_current(index(which))
    module.synchronize = lambda which=None: None
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    module.is_bf16_supported = lambda including_emulation=True: including_emulation
    module.get_rng_state = lambda which: device.generator_of(index(which)).get_state()
    module.set_rng_state = lambda state, which: device.generator_of(
        index(which)
    ).set_state(state)

    def manual_seed_all(seed):
        for i in range(2):
            device.generator_of(i).manual_seed(seed)

    module.manual_seed_all = manual_seed_all
    torch.utils.rename_privateuse1_backend("sim")
    torch._register_device_module("sim", module)
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)
    sys.modules["torch.sim"] = module
