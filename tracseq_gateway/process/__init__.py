"""The processes: a supervisor that serves no request itself, and the workers that do.

Read ``life`` first (what can happen to one worker), then ``worker_process`` (one worker, from outside) with
``supervisor_end`` (what is said to it), ``slot`` (who follows whom on one socket), ``workforce`` (all of them) and
``supervisor`` (the service that twistd starts). ``worker``, ``duty`` and ``attendant`` are the other side: what runs
inside a worker.

What the supervisor does for its workers: ``backoff`` (when the next may start), ``watchdog`` (who hangs), ``covering``
(who helps out meanwhile), and ``relay`` (what one has found out and the others should know).

Beside the workers: ``run_directory`` (a private place for sockets), ``redis_process`` with ``redis_program`` and
``leash`` (the embedded Redis: found, kept running, never left behind), ``metrics_directory`` (what the workers
measured, also the dead ones), and ``sandbox_process``.
"""
