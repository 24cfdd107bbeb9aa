"""The stand-in samples service."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.sandbox_client import UNKNOWN, SandboxCase
from tracseq_gateway.sandbox.sample_status import NEXT

COMPLETE = {
    "name": "Blood 100",
    "sample_type": "DNA",
    "source_type": "blood",
    "source_identifier": "DONOR-7",
    "collection_date": "2026-02-20",
    "collector": "A. Okafor",
    "concentration": 41.5,
    "volume": 80,
}


class StatusTableTests(SynchronousTestCase):
    """The life of a sample."""

    def test_mainPath(self) -> None:
        """A sample can go all the way from pending to the archive."""
        path = ["pending", "validated", "in_storage", "in_sequencing", "completed", "archived"]
        for current, wanted in pairwise(path):
            self.assertIn(wanted, NEXT[current])

    def test_sideExits(self) -> None:
        """A sample is rejected, archived and corrected only from where the platform says so."""
        allowed = {state: {now for now in NEXT if state in NEXT[now]} for state in NEXT}
        self.assertEqual({"pending", "validated"}, allowed["rejected"])
        self.assertEqual({"completed", "failed", "discarded"}, allowed["archived"])
        self.assertEqual({"validated"}, allowed["pending"])
        self.assertEqual({"pending", "in_storage"}, allowed["validated"])

    def test_closed(self) -> None:
        """Every state that may follow is itself a state."""
        self.assertEqual(set(), {state for following in NEXT.values() for state in following} - set(NEXT))


class SamplesTests(SandboxCase):
    """The samples over HTTP."""

    name = "samples"

    def create(self, **fields: Any) -> Any:
        return self.post("/samples", {**COMPLETE, **fields}, status=201)

    def test_create(self) -> None:
        """A new sample is pending, has a barcode and everything that was sent, and is found by id and barcode."""
        sample = self.create(metadata={"project": "PRJ-9"}, notes="µ-tube")
        self.assertEqual(("pending", "µL"), (sample["status"], sample["unit"]))
        self.assertEqual(COMPLETE, {name: sample[name] for name in COMPLETE})
        self.assertEqual(sample, self.get(f"/samples/{sample['id']}"))
        self.assertEqual(sample, self.get(f"/barcode/{sample['barcode']}"))
        self.assertEqual(sample, self.get("/samples?limit=1")[0])

    def test_barcodes(self) -> None:
        """A barcode is given once: made barcodes differ, and a taken one is refused at creation and change."""
        first, second = self.create(), self.create()
        self.assertNotEqual(first["barcode"], second["barcode"])
        taken = {**COMPLETE, "barcode": first["barcode"]}
        self.assertEqual("barcode_taken", self.refused("POST", "/samples", taken, status=409)["code"])
        self.refused("PUT", f"/samples/{second['id']}", {"barcode": first["barcode"]}, status=409)
        self.refused("PUT", f"/samples/{second['id']}", {"barcode": None}, status=400)

    def test_invalid(self) -> None:
        """Every wrong field of a sample is named."""
        wrong = {
            "name": "",
            "concentration": -1,
            "collection_date": "2026-13-01",
            "barcode": "a b",
            "status": "completed",
        }
        fields = self.refused("POST", "/samples", wrong, status=400)["fields"]
        self.assertEqual({*wrong, "sample_type"}, set(fields))

    def test_future(self) -> None:
        """A sample was not collected in the future; tomorrow's date is taken, as somewhere it is tomorrow."""
        self.create(collection_date="2026-03-02")
        refused = self.refused("POST", "/samples", {**COMPLETE, "collection_date": "2026-03-03"}, status=400)
        self.assertEqual({"collection_date": "must not be in the future"}, refused["fields"])

    def test_change(self) -> None:
        """A change sets what is sent and says who did it; the status cannot be changed that way."""
        sample = self.create()
        self.clock.advance(60)
        path = f"/samples/{sample['id']}"
        changed = self.put(path, {"volume": 10, "notes": None}, headers={"X-User-Id": "u-2"})
        expected = {"volume": 10, "notes": None, "updated_by": "u-2", "updated_at": "2026-03-01T10:01:00Z"}
        self.assertEqual({**sample, **expected}, changed)
        for wrong in ({"status": "completed"}, {"id": UNKNOWN}, {}):
            self.refused("PUT", path, wrong, status=400)

    def test_delete(self) -> None:
        """A deleted sample can be shown, is listed only on demand, and changes no more."""
        sample = self.create()
        path = f"/samples/{sample['id']}"
        self.assertEqual("deleted", self.send("DELETE", path).data["status"])
        self.assertEqual("deleted", self.get(path)["status"])
        self.assertNotIn(sample["id"], [one["id"] for one in self.get("/samples?limit=200")])
        self.assertEqual([sample["id"]], [one["id"] for one in self.get("/samples?status=deleted")])
        self.refused("DELETE", path, status=409)
        self.refused("PUT", path, {"volume": 1}, status=409)

    def test_filters(self) -> None:
        """A list can be narrowed by status, type, template and collector; an unknown status is refused."""
        stored = self.get("/samples?status=in_storage&sample_type=DNA")
        self.assertTrue(stored)
        self.assertEqual({("in_storage", "DNA")}, {(one["status"], one["sample_type"]) for one in stored})
        self.refused("GET", "/samples?status=lost", status=400)

    def test_status(self) -> None:
        """Each step of the table is taken, and a refusal names what may follow."""
        sample = self.create()
        path = f"/samples/{sample['id']}/status"
        refused = self.refused("PUT", path, {"status": "completed"}, status=409)
        self.assertEqual(("pending", list(NEXT["pending"])), (refused["current"], refused["allowed"]))
        for status in ("validated", "in_storage", "validated", "in_storage", "in_sequencing", "completed", "archived"):
            self.assertEqual(status, self.put(path, {"status": status})["status"])
        self.assertEqual([], self.refused("PUT", path, {"status": "deleted"}, status=409)["allowed"])

    def test_reason(self) -> None:
        """The reason of a step is kept beside the other metadata."""
        sample = self.create(metadata={"project": "PRJ-9"})
        rejected = self.put(f"/samples/{sample['id']}/status", {"status": "rejected", "reason": "thawed"})
        self.assertEqual({"project": "PRJ-9", "status_reason": "thawed"}, rejected["metadata"])

    def test_validate(self) -> None:
        """A complete sample becomes validated; an incomplete one stays pending and says what is missing."""
        good, poor = self.create(), self.create(concentration=0, collector=None)
        self.assertEqual({}, self.post(f"/samples/{good['id']}/validate")["problems"])
        self.assertEqual("validated", self.get(f"/samples/{good['id']}")["status"])
        checked = self.post(f"/samples/{poor['id']}/validate")
        self.assertEqual((False, {"concentration", "collector"}), (checked["valid"], set(checked["problems"])))
        self.assertEqual("pending", self.get(f"/samples/{poor['id']}")["status"])
        self.refused("POST", f"/samples/{good['id']}/validate", status=409)

    def test_batch(self) -> None:
        """A batch is stored as a whole, in its order."""
        batch = {"samples": [{**COMPLETE, "name": f"Batch {number}"} for number in range(3)]}
        created = self.post("/samples/batch", batch, status=201)
        self.assertEqual(["Batch 0", "Batch 1", "Batch 2"], [sample["name"] for sample in created])
        self.assertEqual(3, len({sample["barcode"] for sample in created}))

    def test_batchIsAllOrNothing(self) -> None:
        """A batch with one sample that is refused stores none, and names the fields by their place in it."""
        before = self.get("/samples?limit=200")
        taken = {"samples": [COMPLETE, {**COMPLETE, "barcode": "TSQ-000001"}]}
        self.refused("POST", "/batch", taken, status=409)
        future = {"samples": [COMPLETE, {**COMPLETE, "collection_date": "2030-01-01"}]}
        self.assertIn("samples[1].collection_date", self.refused("POST", "/batch", future, status=400)["fields"])
        self.assertEqual(before, self.get("/samples?limit=200"))

    def test_batchValidate(self) -> None:
        """A batch of samples is validated one by one; an unknown one leaves all as they were."""
        good, poor = self.create(), self.create(volume=None)
        ids = [good["id"], poor["id"]]
        self.refused("POST", "/batch/validate", {"sample_ids": [*ids, UNKNOWN]}, status=404)
        self.assertEqual("pending", self.get(f"/samples/{good['id']}")["status"])
        checked = self.post("/batch/validate", {"sample_ids": ids})
        self.assertEqual((False, [True, False]), (checked["valid"], [one["valid"] for one in checked["results"]]))
        self.refused("POST", "/batch/validate", {"sample_ids": [poor["id"], poor["id"]]}, status=400)

    def test_restart(self) -> None:
        """Samples survive a restart, and the demo data is not stored again."""
        sample = self.create()
        everything = self.get("/samples?limit=200")
        self.service.close()
        self.start()
        self.assertEqual(everything, self.get("/samples?limit=200"))
        self.assertEqual(sample, everything[0])
