"""The processes: a supervisor that serves no request itself, and the workers that do.

Read ``life`` first (what can happen to one worker), then ``worker_process`` (one worker, from outside), ``slot`` (who
follows whom on one socket), ``workforce`` (all of them) and ``supervisor`` (the service that twistd starts).
``worker`` and ``attendant`` are the other side: what runs inside a worker.
"""
