"""The rules on the paper's own numbers: they let an exact replication pass."""

import pandas as pd

from lib.results import published_claims as claims

TESTED = ["C1", "C2", "C3", "C4"]


def test_the_papers_own_numbers_pass_but_where_they_contradict_the_paper():
    found = claims.findings()
    parts = found[(found["says"] != "") & found["claim"].isin(TESTED)]
    against = parts[parts["finding"] != "supported"]
    assert against["says"].tolist() == ["… the smaller θ, the closer to Experiment 2's result"]
    assert against["finding"].tolist() == ["contradicted"]
    assert set(found[~found["claim"].isin(TESTED)]["finding"]) == {"not tested"}


def test_what_is_stored_is_what_is_found():
    pd.testing.assert_frame_equal(claims.read(), claims.findings(), check_dtype=False, rtol=1e-9)


def test_what_is_stored_of_the_simulation_meets_what_the_rules_promise():
    table = pd.read_csv("benchmarks/claim_rules.csv").set_index("truth")
    assert (table.loc["as the paper has it", "supported"] >= 0.80).all()
    assert (table.loc["at the edge", "supported"] <= 0.05).all()
    otherwise = table.loc["plainly otherwise"]
    assert (otherwise["contradicted"] > otherwise["supported"]).all()
