"""The reference domain folds as it was released: its tables and stored states go on after an upgrade.

A fingerprint is made of source, comments and docstrings included. Whoever changes one of these makes each user rebuild
the table, or fold the streams' states again: the changelog must say so.
"""

from refold.projections.tables.declared import declared
from refold.streams.domain import load_domains
from refold.streams.reactors.declared import declared_reactors


def test_the_read_models_are_those_of_the_last_release() -> None:
    assert declared(["retail"]).fingerprints == {
        ("retail", "basket_lines"): "9903f3f1908953a8",
        ("retail", "baskets"): "99c2fd07460c7822",
        ("retail", "campaigns"): "ebcbb3e0ec62eaf7",
        ("retail", "coupons"): "6e30a0ef941e4023",
        ("retail", "households"): "59724a36ebbe6f6e",
        ("retail", "product_sales"): "5dba92a104d1c1e2",
        ("retail", "rejections"): "f046bdde4ec086e3",
        ("retail", "store_daily"): "7d53ebca9aa42bed",
    }


def test_the_states_of_streams_and_reactors_are_those_of_the_last_release() -> None:
    domains = load_domains(["retail"])
    assert {name: decider.fingerprint for name, decider in domains.deciders.items()} == {
        "retail.basket": "488c81eaf6e5c051",
        "retail.household": "a96c487e04bd3d14",
        "retail.product": "6c19f905f5b0e1b7",
    }
    assert {one.name: one.fingerprint for one in declared_reactors(domains)} == {"points": "10f116a494ff0e3d"}
