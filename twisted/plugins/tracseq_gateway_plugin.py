"""Makes ``twistd tracseq-gateway`` known. Whoever scans for plugins imports nothing of the gateway."""

from twisted.application.service import ServiceMaker

gateway = ServiceMaker(
    "TracSeq Gateway",
    "tracseq_gateway.tap",
    "An API gateway in front of a sequencing laboratory's services.",
    "tracseq-gateway",
)
