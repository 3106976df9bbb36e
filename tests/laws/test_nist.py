"""The solver against certified values of the NIST Statistical Reference Datasets, nonlinear regression
(https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml), from both of NIST's starts.

The laws themselves are fitted on logarithms, which no certified value covers: their forms are given to the solver here.
"""

import numpy as np
import pytest

from fairseq_scaling.laws.numerics.solver import minimise


def _misra1a(b, x):
    # A power law's approach to a ceiling, in x instead of log x.
    decay = np.exp(-b[:, 1:] * x)
    return b[:, :1] * (1 - decay), np.stack([1 - decay, b[:, :1] * x * decay], -1)


def _danwood(b, x):
    power = x ** b[:, 1:]
    return b[:, :1] * power, np.stack([power, b[:, :1] * power * np.log(x)], -1)


def _mgh09(b, x):
    b1, b2, b3, b4 = (b[:, i : i + 1] for i in range(4))
    above, below = x * x + x * b2, x * x + x * b3 + b4
    share = above / below
    return b1 * share, np.stack([share, b1 * x / below, -b1 * share * x / below, -b1 * share / below], -1)


MISRA1A = (
    [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0],
    [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78],
)
DANWOOD = ([1.309, 1.471, 1.490, 1.565, 1.611, 1.680], [2.138, 3.421, 3.597, 4.340, 4.882, 5.660])
MGH09 = (
    [4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625],
    [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246],
)


@pytest.mark.parametrize(
    ("form", "data", "starts", "certified", "squares"),
    [
        (_misra1a, MISRA1A, [(500, 1e-4), (250, 5e-4)], (238.94212918, 5.5015643181e-4), 0.12455138894),
        (_danwood, DANWOOD, [(1, 5), (0.7, 4)], (0.76886226176, 3.8604055871), 4.3173084083e-3),
        (
            _mgh09,
            MGH09,
            [(25, 39, 41.5, 39), (0.25, 0.39, 0.415, 0.39)],
            (0.19280693458, 0.19128232873, 0.12305650693, 0.13606233068),
            3.0750560385e-4,
        ),
    ],
)
def test_certified_values_are_met_to_six_digits(form, data, starts, certified, squares):
    x, y = (np.array(column)[None] for column in data)
    free = np.full(len(certified), np.inf)
    for start in starts:
        theta = np.array([start], float)
        found = minimise(form, theta, x, y, np.ones_like(y), np.array([np.inf]), -free, free, 5000, 1e-15, linear=1)
        np.testing.assert_allclose(2 * found.objective[0], squares, rtol=1e-9)
        np.testing.assert_allclose(found.theta[0], certified, rtol=1e-6)
