"""What becomes of a load while things break: a fault injector, services that misbehave, an open-loop load, scenarios.

``python -m tests.faults`` (``make faults``) runs the scenarios; README.md says what they need and how to read them.

Every part that has work to do while the load runs is a process of its own (injector, services, load), told what to do
by JSON lines (``control``). The harness (``laboratory``, ``running``) starts them and the gateway, does things to them
at their times, and judges by what clients and services wrote down (``asked``, ``ledger``, ``figures``).
"""
