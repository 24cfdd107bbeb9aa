"""The processes: a supervisor that serves no request itself, and the workers that do.

Read ``life`` first (what can happen to one worker), then ``worker_process`` (one worker, from outside) with
``supervisor_end`` (what is said to it), ``slot`` (who follows whom on one socket), ``workforce`` (all of them) and
``supervisor`` (the service that twistd starts). ``worker``, ``duty`` and ``attendant`` are the other side: what runs
inside a worker.

What the supervisor does for its workers: ``backoff`` (when the next may start), ``watchdog`` (who hangs), ``covering``
(who helps out meanwhile), and ``relay`` (what one has found out and the others should know).

A reload begins at ``Supervisor.reload``: ``configured`` (what it loads), ``succession`` (all workers are replaced, or
none), ``reload_report``, ``one_at_a_time``, ``file_watch``, and ``control_socket`` with ``control_client``, by which it
is asked for.

One gateway takes over from another: ``estate`` is the side of the one that runs, ``predecessor`` that of the new one.
``sockets`` opens what is listened on, ``activation`` takes what systemd has opened, ``notify`` tells it how we are,
with a ``status_line``. ``notice`` is the time between being told to stop and stopping.

Beside the workers: ``provisions`` (what they are given), ``run_directory`` (a private place for sockets),
``redis_process`` with ``redis_program`` and ``leash`` (the embedded Redis: found, kept running, never left behind),
``metrics_directory`` (what the workers measured, also the dead ones) with ``metrics_pages`` (made of that), and
``sandbox_process``.
"""
