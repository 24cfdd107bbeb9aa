"""The Kubernetes manifests: valid by Kubernetes' own schemas, and fitting the gateway and one another."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import kubernetes_validate
import yaml
from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

import tracseq_gateway
from tests.compose_kit import DEPLOY
from tests.running_kit import RunningGateway
from tests.test_deploy_image import stage
from tracseq_gateway.config import Config, load
from tracseq_gateway.config.secrets import missing_secrets
from tracseq_gateway.metrics.families import Families
from tracseq_gateway.process.supervisor import END_SECONDS
from tracseq_gateway.process.worker_process import GRACE_SECONDS
from tracseq_gateway.sandbox import SERVICES

VERSIONS = ("1.30", kubernetes_validate.latest_version())
LABELS = {"app.kubernetes.io/name": "tracseq-gateway"}
SECRET = {"AUTHENTICATION__JWT_SECRET_KEY": "s" * 32, "REDIS_URL": "redis://gateway-redis:6379/0"}


def read(name: str) -> Any:
    """A file of ``deploy/``, which has one document."""
    return yaml.safe_load((DEPLOY / name).read_text())


class ManifestCase(SynchronousTestCase):
    """What ``kubectl apply --kustomize deploy`` would apply, by kind."""

    def setUp(self) -> None:
        self.kustomization = read("kustomization.yaml")
        documents = [read(name) for name in self.kustomization["resources"]]
        self.manifests: dict[str, Any] = {document["kind"]: document for document in documents}
        self.assertEqual(len(documents), len(self.manifests))
        self.pod: dict[str, Any] = self.manifests["Deployment"]["spec"]["template"]
        (self.container,) = self.pod["spec"]["containers"]

    def config(self) -> Config:
        """What a gateway in a Pod makes of its file, its variables and its options."""
        workers = self.container["args"][-1].removeprefix("--workers=")
        loaded = load(str(DEPLOY / "gateway.toml"), SECRET, {"gateway.workers": int(workers)})
        self.assertEqual([], [str(problem) for problem in loaded.problems])
        assert loaded.config is not None
        self.assertEqual([], list(missing_secrets(loaded.config, SECRET)))
        return loaded.config


class SchemaTests(ManifestCase):
    """What Kubernetes asks for."""

    def test_valid(self) -> None:
        """Every manifest keeps to the schemas, strictly, of the oldest release that is promised and the newest."""
        for version in VERSIONS:
            for manifest in self.manifests.values():
                kubernetes_validate.validate(manifest, version, strict=True)

    def test_mistakesAreFound(self) -> None:
        """A field that Kubernetes does not know would be found."""
        wrong = deepcopy(self.manifests["Deployment"])
        wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
        with self.assertRaisesRegex(kubernetes_validate.ValidationError, "readynessProbe"):
            kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)

    def test_all(self) -> None:
        """Every manifest that lies there is applied."""
        there = {str(path.relative_to(DEPLOY)) for path in (DEPLOY / "kubernetes").glob("*.yaml")}
        self.assertEqual(there, set(self.kustomization["resources"]))


class FitTests(ManifestCase):
    """What the parts say of one another."""

    def test_configuration(self) -> None:
        """The gateway is started with the file that the ConfigMap holds, where it is mounted, and the file passes."""
        (generator,) = self.kustomization["configMapGenerator"]
        (file,) = generator["files"]
        mounts = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in self.pod["spec"]["volumes"]}
        self.assertEqual(set(mounts), set(volumes))
        self.assertEqual(generator["name"], volumes["config"]["configMap"]["name"])
        self.assertIn(f"--config={mounts['config']}/{file}", self.container["args"])
        config = self.config()
        self.assertEqual(("production", SECRET["REDIS_URL"]), (config.gateway.environment, config.redis.url))

    def test_image(self) -> None:
        """The image is the one that the Dockerfile makes, with its program, its user, and this version's tag."""
        (image,) = self.kustomization["images"]
        self.assertEqual((self.container["image"], tracseq_gateway.__version__), (image["name"], image["newTag"]))
        self.assertEqual(json.loads(dict(stage("gateway"))["CMD"]), self.container["args"][:4])
        user = self.pod["spec"]["securityContext"]
        self.assertEqual(dict(stage("gateway"))["USER"], f"{user['runAsUser']}:{user['runAsGroup']}")

    def test_selected(self) -> None:
        """Service, budget, policy, spreading and ServiceMonitor mean the Pods of the Deployment, and it is scaled."""
        self.assertEqual(LABELS, self.pod["metadata"]["labels"])
        for kind in ("Deployment", "PodDisruptionBudget"):
            self.assertEqual(LABELS, self.manifests[kind]["spec"]["selector"]["matchLabels"])
        self.assertEqual(LABELS, self.manifests["Service"]["spec"]["selector"])
        self.assertEqual(LABELS, self.manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"])
        for constraint in self.pod["spec"]["topologySpreadConstraints"]:
            self.assertEqual(LABELS, constraint["labelSelector"]["matchLabels"])
        monitor = read("kubernetes/optional/service-monitor.yaml")["spec"]
        self.assertEqual(LABELS, monitor["selector"]["matchLabels"])
        self.assertEqual(LABELS, self.manifests["Service"]["metadata"]["labels"])
        scaled = self.manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        self.assertEqual(("Deployment", "tracseq-gateway"), (scaled["kind"], scaled["name"]))
        self.assertEqual("tracseq-gateway", self.manifests["Deployment"]["metadata"]["name"])
        self.assertNotIn("replicas", self.manifests["Deployment"]["spec"])
        account = self.manifests["ServiceAccount"]["metadata"]["name"]
        self.assertEqual(account, self.pod["spec"]["serviceAccountName"])

    def test_ports(self) -> None:
        """All mean the port that the gateway listens on."""
        port = self.config().gateway.port
        (named,) = self.container["ports"]
        self.assertEqual(port, named["containerPort"])
        (served,) = self.manifests["Service"]["spec"]["ports"]
        self.assertEqual((port, named["name"]), (served["port"], served["targetPort"]))
        (rule,) = self.manifests["NetworkPolicy"]["spec"]["ingress"]
        self.assertEqual([{"port": port}], rule["ports"])
        (endpoint,) = read("kubernetes/optional/service-monitor.yaml")["spec"]["endpoints"]
        annotated = self.pod["metadata"]["annotations"]
        metrics = self.config().metrics.path
        self.assertEqual((served["name"], metrics), (endpoint["port"], endpoint["path"]))
        self.assertEqual((str(port), metrics), (annotated["prometheus.io/port"], annotated["prometheus.io/path"]))

    def test_wayOut(self) -> None:
        """The policy lets the gateway ask DNS, every service of the configuration, and Redis; nobody else."""
        rules = self.manifests["NetworkPolicy"]["spec"]["egress"]
        ports = [range(port["port"], port.get("endPort", port["port"]) + 1) for rule in rules for port in rule["ports"]]
        allowed = {port for some in ports for port in some}
        self.assertEqual({53, 6379, *SERVICES.values()}, allowed)
        self.assertTrue(all(rule["to"] for rule in rules))

    def test_scaling(self) -> None:
        """The autoscaler asks for a metric that the gateway has and the adapter passes on, and keeps two at least."""
        spec = self.manifests["HorizontalPodAutoscaler"]["spec"]
        (name,) = [metric["pods"]["metric"]["name"] for metric in spec["metrics"] if metric["type"] == "Pods"]
        registry = CollectorRegistry()
        Families(registry)
        self.assertIn(name, {family.name for family in registry.collect()})
        (rule,) = read("kubernetes/optional/prometheus-adapter.yaml")["rules"]["custom"]
        self.assertEqual(name, rule["name"]["as"])
        self.assertTrue(rule["seriesQuery"].startswith(f"{name}{{"))
        self.assertGreater(spec["minReplicas"], self.manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"])
        self.assertEqual("2", self.container["resources"]["requests"]["cpu"])
        self.assertEqual(2, self.config().gateway.workers)

    def test_hardened(self) -> None:
        """It meets the restricted profile of the Pod Security Standards, and writes to memory only."""
        pod, container = self.pod["spec"]["securityContext"], self.container["securityContext"]
        self.assertEqual((True, "RuntimeDefault"), (pod["runAsNonRoot"], pod["seccompProfile"]["type"]))
        self.assertEqual(
            {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
            container,
        )
        self.assertFalse(self.pod["spec"]["automountServiceAccountToken"])


class LifeTests(ManifestCase):
    """A Pod from its start to its end."""

    def test_end(self) -> None:
        """Kubernetes waits for preStop and for the whole drain before it kills."""
        (word, seconds) = self.container["lifecycle"]["preStop"]["exec"]["command"]
        self.assertEqual("sleep", word)
        needed = int(seconds) + self.config().gateway.drain_seconds + GRACE_SECONDS + END_SECONDS
        self.assertGreater(self.pod["spec"]["terminationGracePeriodSeconds"], needed)

    def test_probes(self) -> None:
        """What is probed is answered with 200 by a gateway that serves."""
        gateway = RunningGateway("", workers=1)
        self.addCleanup(gateway.stop)
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = self.container[kind]["httpGet"]
            self.assertEqual("http", probe["port"])
            self.assertEqual(200, gateway.get(probe["path"])[0], kind)
