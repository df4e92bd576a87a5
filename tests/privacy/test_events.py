import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsynth.errors import PlanError, UnsupportedEventError
from privsynth.privacy import (
    Budget,
    DiscreteGaussian,
    ExponentialMechanism,
    GaussianPartitionSelection,
    Internal,
    Laplace,
    NonPrivate,
    PartitionSelection,
    PoissonSampledGaussian,
    Touch,
    ZeroConcentrated,
)
from privsynth.privacy.events import from_json, to_json

positive = st.floats(1e-6, 1e6)
events = st.one_of(
    st.builds(DiscreteGaussian, noise_multiplier=positive),
    st.builds(ZeroConcentrated, rho=positive),
    st.builds(Laplace, noise_multiplier=positive),
    st.builds(ExponentialMechanism, epsilon=positive),
    st.builds(PartitionSelection, epsilon=positive, delta=st.floats(1e-12, 0.5)),
    st.builds(GaussianPartitionSelection, noise_multiplier=positive, delta=st.floats(1e-12, 0.5)),
    st.builds(PoissonSampledGaussian, noise_multiplier=positive, sampling_prob=st.floats(1e-6, 1), steps=st.integers(1, 10**6)),
    st.just(NonPrivate()),
    st.just(Internal()),
)


@given(events, st.text(max_size=20), st.text(max_size=20))
def test_a_touch_survives_its_json_form(event, stage, label):
    touch = Touch(stage, label, event)
    assert from_json(to_json(touch)) == touch


@pytest.mark.parametrize(
    ("event", "expected"),
    [(DiscreteGaussian(noise_multiplier=1), "dp"), (NonPrivate(), "released-without-proof"), (Internal(), "internal")],
)
def test_every_event_has_one_of_three_classes(event, expected):
    assert Touch("s", "l", event).touch_class == expected


def test_an_event_of_a_newer_version_is_refused():
    with pytest.raises(UnsupportedEventError, match="newer"):
        from_json({"stage": "s", "label": "l", "event": {"type": "Unheard"}})


@pytest.mark.parametrize("value", [0, -1, float("nan"), "abc", None, True])
def test_epsilon_that_is_no_privacy_parameter_is_refused(value):
    with pytest.raises(PlanError, match="epsilon="):
        Budget(epsilon=value, delta=1e-6)


@pytest.mark.parametrize("value", [0, 1, -1e-6, float("nan"), "abc"])
def test_delta_that_is_no_privacy_parameter_is_refused(value):
    with pytest.raises(PlanError, match="delta="):
        Budget(epsilon=1, delta=value)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_noise_that_is_not_positive_is_refused(value):
    with pytest.raises(UnsupportedEventError, match="noise_multiplier"):
        DiscreteGaussian(noise_multiplier=value)
