import pickle

from segwright.findings import Finding, FindingError


def test_an_error_of_a_finding_reaches_other_processes_whole() -> None:
    finding = Finding("class_range", "error", "train", "Two masks are wrong.", "Mend them.", ("a.png", "b.png"))
    copy = pickle.loads(pickle.dumps(FindingError(finding, "a message")))
    assert (copy.finding, str(copy), copy.file) == (finding, "a message", "a.png")
