"""What would become of a request: told by the parts that serve, with nothing sent and nothing charged.

Each module explains some steps of the way that ``service/gateway.py`` lays; ``explainer`` follows it. What the steps
ask is the very code that requests pass, on copies where it would change something.
"""

from tracseq_gateway.service.explain.explainer import explain, report
from tracseq_gateway.service.explain.parts import Parts
from tracseq_gateway.service.explain.question import BadQuestion, Question

__all__ = ["BadQuestion", "Parts", "Question", "explain", "report"]
