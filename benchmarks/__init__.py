"""How fast, how small, how steady: the gateway beside nginx, Caddy and a treq-based proxy.

``python -m benchmarks`` runs every part and writes a Markdown table, plots and the raw samples into
``benchmarks/results/``. Read :mod:`benchmarks.scenario_cpu` first, then :mod:`benchmarks.contestants`.

House rules:

1. Contestants take turns (A B C D, A B C D ...), so that a slow minute of the machine falls on all of them; what is
   reported is the median over the rounds, with the smallest and the largest value.
2. Each turn starts its contestant afresh, so that hash seeds and memory layouts vary between rounds.
3. The contestant has one core for itself; load and service share another.
4. An answer that is not a whole 200 is an error of the run, never a sample.
5. Every process and file of a turn is gone when the turn is over, however it ended. Only 127.0.0.1 is spoken to.
"""
