# twistd -ny tac/gateway.tac
#
# The same service as ``twistd tracseq-gateway``, for those who start it by file. TRACSEQ_GATEWAY_CONFIG names the
# configuration file; without it, the platform's services on this host. The other options are not to be had here, the
# sandbox least of all.

import os

from twisted.application.service import Application

from tracseq_gateway.tap import Options, makeService

options = Options()
options["config"] = os.environ.get("TRACSEQ_GATEWAY_CONFIG") or None

application = Application("tracseq-gateway")
makeService(options).setServiceParent(application)
