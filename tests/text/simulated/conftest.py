# It needs the device, which test_accelerator.py gives to a process of its own.
collect_ignore = ["claims.py"]
