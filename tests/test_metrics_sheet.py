"""What workers share beside prometheus-client's files: single instances, which come and go, and exemplars."""

from __future__ import annotations

import os
import tempfile

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.samples import Sample
from twisted.trial.unittest import SynchronousTestCase

from tracseq_gateway.metrics import sheet
from tracseq_gateway.metrics.counting import Counted, Exemplar, InstanceCount, RequestCounts
from tracseq_gateway.metrics.further import process_families
from tracseq_gateway.metrics.metrics import ConnectionCounts, Metrics
from tracseq_gateway.metrics.page import Page, render
from tracseq_gateway.metrics.sheet import InstanceFigures, Sheet

HERE = ("samples", "http://[::1]:8081")
THERE = ("samples", 'http://a-"quoted"-host:8081')


def samples_of(page: Page) -> list[Sample]:
    return [sample for family in read_openmetrics(page.body.decode()) for sample in family.samples]


class InstanceTests(SynchronousTestCase):
    """Metrics of single instances, in one process alone."""

    def setUp(self) -> None:
        self.metrics = Metrics(["samples"], "1.2.3")

    def value(self, name: str, place: tuple[str, str]) -> float | None:
        labels = {"service": place[0], "url": place[1]}
        for sample in samples_of(self.metrics.page(openmetrics=True)):
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
        return None

    def add(self, **instances: InstanceCount) -> None:
        places = {"here": HERE, "there": THERE}
        counted = RequestCounts(["samples"]).taken({places[name]: count for name, count in instances.items()})
        self.metrics.add(counted)

    def test_figures(self) -> None:
        """Attempts and failures are added up, requests in flight and states are those of now."""
        self.metrics.instances({HERE: InstanceFigures(), THERE: InstanceFigures(True, drained=True)})
        self.add(here=InstanceCount(5, 1, 3), there=InstanceCount(0, 0, 0))
        self.metrics.instances({HERE: InstanceFigures(False, True), THERE: InstanceFigures(True, drained=True)})
        self.add(here=InstanceCount(2, 1, 0), there=InstanceCount(1, 0, 1))
        self.assertEqual(7, self.value("gateway_instance_requests_total", HERE))
        self.assertEqual(2, self.value("gateway_instance_failures_total", HERE))
        self.assertEqual(0, self.value("gateway_instance_requests_in_flight", HERE))
        self.assertEqual(0, self.value("gateway_instance_healthy", HERE))
        self.assertEqual(1, self.value("gateway_instance_ejected", HERE))
        self.assertEqual(1, self.value("gateway_instance_healthy", THERE))
        self.assertEqual(0, self.value("gateway_instance_ejected", THERE))
        self.assertEqual([0, 1], [self.value("gateway_instance_drained", place) for place in (HERE, THERE)])

    def test_unknown(self) -> None:
        """An instance that was not probed yet is neither healthy nor not."""
        self.metrics.instances({HERE: InstanceFigures()})
        self.add(here=InstanceCount(0, 0, 0))
        self.assertIsNone(self.value("gateway_instance_healthy", HERE))

    def test_gone(self) -> None:
        """An instance that is gone vanishes, and begins anew if it comes back."""
        self.add(here=InstanceCount(5, 0, 0), there=InstanceCount(5, 0, 0))
        self.add(there=InstanceCount(0, 0, 0))
        self.assertIsNone(self.value("gateway_instance_requests_total", HERE))
        self.add(here=InstanceCount(1, 0, 0), there=InstanceCount(0, 0, 0))
        self.assertEqual(1, self.value("gateway_instance_requests_total", HERE))
        self.assertEqual(5, self.value("gateway_instance_requests_total", THERE))

    def test_connections(self) -> None:
        """Connections to a service are shown by their state, and how long it took to open them is counted."""
        self.metrics.service_connections("samples", ConnectionCounts(idle=3, busy=2, opening=1, waiting=4))
        self.metrics.connected("samples", 0.002)
        self.metrics.not_connected("samples", "connect-refused")
        found = {(sample.name, *sorted(sample.labels.items())): sample.value for sample in self.samples()}
        service = ("service", "samples")
        for state, count in (("idle", 3), ("busy", 2), ("opening", 1)):
            self.assertEqual(count, found["gateway_upstream_connections", service, ("state", state)])
        self.assertEqual(4, found["gateway_upstream_waiting", service])
        self.assertEqual(0, found["gateway_upstream_connect_seconds_bucket", ("le", "0.001"), service])
        self.assertEqual(1, found["gateway_upstream_connect_seconds_bucket", ("le", "0.0025"), service])
        refused = ("gateway_upstream_connect_errors_total", ("error_type", "connect-refused"), service)
        self.assertEqual(1, found[refused])

    def samples(self) -> list[Sample]:
        return samples_of(self.metrics.page(openmetrics=True))

    def test_exemplars(self) -> None:
        """A sampled request stands in the bucket of its duration, for who reads OpenMetrics; the newest remains."""
        for trace_id, bucket, seconds, ended in (("a" * 32, 2, 0.003, 1.0), ("b" * 32, 2, 0.004, 2.0)):
            exemplars = {("samples", bucket): Exemplar(trace_id, seconds, ended)}
            self.metrics.add(Counted({}, {}, {}, exemplars))
        self.metrics.add(Counted({}, {}, {}, {("gateway", 14): Exemplar("c" * 32, 60.0, 3.0)}))
        found = {
            (sample.labels["service"], sample.labels["le"]): sample.exemplar
            for sample in self.samples()
            if sample.exemplar is not None
        }
        self.assertEqual({("samples", "0.005"), ("gateway", "+Inf")}, set(found))
        exemplar = found["samples", "0.005"]
        self.assertEqual(({"trace_id": "b" * 32}, 0.004), (exemplar.labels, exemplar.value))
        self.assertEqual("2.000000000", str(exemplar.timestamp))
        self.assertNotIn(b"trace_id", self.metrics.page().body)


class SheetTests(SynchronousTestCase):
    """The files of several workers."""

    def setUp(self) -> None:
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.directory = made.name

    def write(self, pid: int, *instances: tuple[tuple[str, str], InstanceFigures], **exemplars: Exemplar) -> Sheet:
        written = Sheet(dict(instances), {("samples", int(key[1:])): value for key, value in exemplars.items()})
        sheet.write(written, self.directory, sheet.name_of(pid))
        return written

    def together(self) -> Sheet:
        return sheet.together(sheet.read_living(self.directory), sheet.read(self.directory, sheet.DEAD))

    def test_file(self) -> None:
        """A sheet is read as it was written, and nothing else is left in the directory."""
        written = self.write(
            1,
            (HERE, InstanceFigures(True, False, False, 3, 5, 1)),
            (THERE, InstanceFigures()),
            b3=Exemplar("a" * 32, 0.1, 9.5),
        )
        self.assertEqual([written], sheet.read_living(self.directory))
        self.assertEqual(["sheet_1.json"], os.listdir(self.directory))

    def test_sum(self) -> None:
        """Counts are added; an instance that one worker has ejected is ejected; of exemplars the newest stands."""
        self.write(1, (HERE, InstanceFigures(None, False, False, 3, 5, 1)), b3=Exemplar("a" * 32, 0.1, 9.5))
        self.write(2, (HERE, InstanceFigures(True, True, False, 1, 2, 0)), b3=Exemplar("b" * 32, 0.1, 8.5))
        together = self.together()
        self.assertEqual({HERE: InstanceFigures(True, True, False, 4, 7, 1)}, together.instances)
        self.assertEqual({("samples", 3): Exemplar("a" * 32, 0.1, 9.5)}, together.exemplars)

    def test_dead(self) -> None:
        """A dead worker's totals stay, and what was true only while it lived goes."""
        self.write(1, (HERE, InstanceFigures(True, True, False, 3, 5, 1)), b3=Exemplar("a" * 32, 0.1, 9.5))
        self.write(2, (HERE, InstanceFigures(False, False, False, 1, 2, 0)))
        sheet.bury(self.directory, 1)
        sheet.bury(self.directory, 1)
        self.assertEqual({HERE: InstanceFigures(False, False, False, 1, 7, 1)}, self.together().instances)
        self.assertEqual({}, self.together().exemplars)

    def test_bounded(self) -> None:
        """An instance that no living worker knows is not shown, and with the next death nothing of it is kept."""
        self.write(1, (HERE, InstanceFigures(requests=5)), (THERE, InstanceFigures(requests=5)))
        self.write(2, (THERE, InstanceFigures(requests=1)))
        sheet.bury(self.directory, 1)
        self.assertEqual({THERE}, set(self.together().instances))
        self.write(3, (THERE, InstanceFigures(requests=1)))
        sheet.bury(self.directory, 3)
        dead = sheet.read(self.directory, sheet.DEAD)
        assert dead is not None
        self.assertEqual({THERE: InstanceFigures(requests=6)}, dead.instances)

    def test_page(self) -> None:
        """The page of a directory shows what the sheets say."""
        self.write(1, (HERE, InstanceFigures(True, False, False, 3, 5, 1)))
        self.write(2, (HERE, InstanceFigures(True, False, False, 1, 2, 0)))
        values = {sample.name: sample.value for sample in samples_of(render(self.directory, openmetrics=True))}
        self.assertEqual(7, values["gateway_instance_requests_total"])
        self.assertEqual(4, values["gateway_instance_requests_in_flight"])


class ProcessTests(SynchronousTestCase):
    """What the kernel says of the gateway's processes."""

    def test_processes(self) -> None:
        """Each process that is there has its figures, by its name; one that is gone has none."""
        families = {family.name: family for family in process_families(7, {"0": os.getpid(), "1": 2**22 + 1})}
        self.assertEqual([7], [sample.value for sample in families["gateway_worker_restarts"].samples])
        (memory,) = families["process_resident_memory_bytes"].samples
        self.assertEqual({"worker": "0"}, memory.labels)
        self.assertGreater(memory.value, 2**20)
        (cpu,) = families["process_cpu_seconds"].samples
        self.assertEqual("process_cpu_seconds_total", cpu.name)
